"""What is kept of each object that is watched: only what a decision may ask, in few containers (runtime.md 2.4)."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pydantic

from ombak.api.artifact import ArtifactStatus
from ombak.api.parse import parse_rollout_spec, salvage_rollout_spec
from ombak.api.rollout import RolloutSpec
from ombak.core import deliverable, naming
from ombak.core.identity import artifact_id, digest_of
from ombak.runtime import drift
from ombak.runtime.kube_port import listed, mapping, metadata, whole
from ombak.runtime.store import Key


@dataclasses.dataclass(frozen=True, slots=True)
class Meta:
    """The part of `metadata` that matters."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    is_deleting: bool
    finalizers: tuple[str, ...]
    owner_uid: str
    """The uid of the controlling owner, empty if there is none."""
    rollout: str
    """The label that says whose it is."""
    owned_by: str = ""
    """Kind and name of the controlling owner, for people."""
    other_owners: tuple[str, ...] = ()
    """Owner references that control nothing, as JSON: they are their writers', and stay."""

    @property
    def owner(self) -> Key | None:
        """The Rollout that it says it belongs to."""
        return (self.namespace, self.rollout) if self.rollout else None


def meta_of(obj: Mapping[str, Any]) -> Meta:
    """Read the metadata of any object."""
    meta = metadata(obj)
    owners = [mapping(o) for o in listed(meta.get("ownerReferences"))]
    controller: Mapping[str, Any] = next((o for o in owners if o.get("controller")), {})
    return Meta(
        namespace=str(meta.get("namespace") or ""),
        name=str(meta.get("name") or ""),
        uid=str(meta.get("uid") or ""),
        resource_version=str(meta.get("resourceVersion") or ""),
        generation=whole(meta.get("generation")),
        is_deleting=bool(meta.get("deletionTimestamp")),
        finalizers=tuple(map(str, listed(meta.get("finalizers")))),
        owner_uid=str(controller.get("uid") or ""),
        rollout=str(mapping(meta.get("labels")).get(naming.ROLLOUT) or ""),
        owned_by=f"{controller.get('kind')} {controller.get('name')}" if controller else "",
        other_owners=tuple(json.dumps(o) for o in owners if o and not o.get("controller")),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class RolloutRecord:
    """A Rollout; `spec` is None where nothing of it can be trusted, and `problem` then says why."""

    meta: Meta
    spec: RolloutSpec | None
    artifact: str
    """The id of the template by itself."""
    problem: str
    abort: str
    retry: str
    permit: str
    status: Mapping[str, Any]
    labels: Mapping[str, str]


def decode_rollout(obj: Mapping[str, Any]) -> RolloutRecord:
    """Read a Rollout; total: what is wrong with it becomes its `problem`."""
    raw = obj.get("spec") or {}
    parsed = parse_rollout_spec(raw)
    template = mapping(raw).get("template")
    annotations = mapping(metadata(obj).get("annotations"))
    return RolloutRecord(
        meta=meta_of(obj),
        spec=parsed.spec or salvage_rollout_spec(raw),
        artifact=artifact_id(template) if isinstance(template, dict) else "",
        problem=parsed.problem or (deliverable.problem_of(parsed.spec) if parsed.spec is not None else ""),
        abort=str(annotations.get(naming.ABORT) or ""),
        retry=str(annotations.get(naming.RETRY) or ""),
        permit=str(annotations.get(naming.PERMIT) or ""),
        status=mapping(obj.get("status")),
        labels=dict(mapping(metadata(obj).get("labels"))),
    )


@functools.lru_cache(maxsize=1024)
def _parsed(text: str) -> dict[str, Any]:
    """Parse a template; those of releases under way are asked for at every pass."""
    found: dict[str, Any] = json.loads(text)
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """An Artifact; its template is kept as text, ten of them weigh what one costs as objects."""

    meta: Meta
    id: str
    sequence: int
    template_json: str
    is_genuine: bool
    stable_order: int
    rejected: tuple[str, str, datetime] | None
    retried: str
    config: Mapping[str, str]
    """Digests of the ConfigMaps that travel with it, by name."""
    is_complete: bool = True
    """False while its verdict is still to be written anew (see `lost_records`)."""

    @property
    def template(self) -> dict[str, Any]:
        """The pod template; shared, so whoever changes it makes a copy first."""
        return _parsed(self.template_json)


def decode_artifact(obj: Mapping[str, Any]) -> ArtifactRecord:
    """Read an Artifact, and check that its content is what its id says (R61)."""
    spec = mapping(obj.get("spec"))
    template, carried = dict(mapping(spec.get("template"))), dict(mapping(spec.get("config")))
    try:
        status = ArtifactStatus.model_validate(obj.get("status") or {})
    except pydantic.ValidationError:
        status = ArtifactStatus()
    found = str(spec.get("id") or "")
    rejected = status.rejected
    return ArtifactRecord(
        meta=meta_of(obj),
        id=found,
        sequence=whole(spec.get("sequence")),
        template_json=json.dumps(template),
        is_genuine=found == artifact_id(template, carried) and spec.get("digest") == digest_of(template, carried),
        stable_order=status.stable.order if status.stable else 0,
        rejected=(rejected.reason, rejected.message, rejected.at) if rejected else None,
        retried=status.retried,
        config=carried,
        is_complete=bool(obj.get("status")) or naming.RESTORING not in mapping(metadata(obj).get("annotations")),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class WorkloadRecord:
    """A Deployment or ReplicaSet of ours."""

    meta: Meta
    artifact: str
    zone: str
    desired: int
    replicas: int
    ready: int
    available: int
    updated: int
    is_current: bool
    surges: bool
    annotations: Mapping[str, str]
    edits: drift.Edits
    scaled_by: str
    failure: str
    """Why its controller cannot make boxes, such as a quota; empty while it can."""

    @property
    def is_settled(self) -> bool:
        """Whether its controller has made, or taken away, all boxes that it was asked to."""
        return self.is_current and self.desired == self.replicas

    @property
    def is_complete(self) -> bool:
        """Whether every box is available besides."""
        return self.is_settled and self.desired == self.available


def decode_workload(obj: Mapping[str, Any]) -> WorkloadRecord:
    """Read a Deployment or ReplicaSet."""
    meta, spec, status = meta_of(obj), mapping(obj.get("spec")), mapping(obj.get("status"))
    # Its selector comes first, for nobody can change that; then what its pods carry. Its own labels anybody can change.
    chosen = mapping(mapping(spec.get("selector")).get("matchLabels"))
    labels = {
        **mapping(metadata(obj).get("labels")),
        **mapping(mapping(mapping(spec.get("template")).get("metadata")).get("labels")),
        **chosen,
    }
    rolling = mapping(mapping(spec.get("strategy")).get("rollingUpdate"))
    desired = spec.get("replicas")
    return WorkloadRecord(
        meta=meta,
        artifact=str(labels.get(naming.ARTIFACT) or ""),
        # Of a zone the selector tells whether there is one at all; the pods may have a label of somebody's own.
        zone=str((chosen or labels).get(naming.ZONE) or ""),
        desired=1 if desired is None else whole(desired),
        replicas=whole(status.get("replicas")),
        ready=whole(status.get("readyReplicas")),
        available=whole(status.get("availableReplicas")),
        updated=whole(status.get("updatedReplicas")),
        is_current=whole(status.get("observedGeneration")) >= meta.generation,
        surges=bool(rolling.get("maxSurge")) and not rolling.get("maxUnavailable"),
        annotations=dict(mapping(metadata(obj).get("annotations"))),
        edits=drift.edits_of(obj),
        scaled_by=drift.scaled_by(obj),
        failure=_failure(status),
    )


def _failure(status: Mapping[str, Any]) -> str:
    conditions = [c for c in listed(status.get("conditions")) if isinstance(c, Mapping)]
    failing = (c for c in conditions if c.get("type") == "ReplicaFailure" and c.get("status") == "True")
    return next((str(c.get("message") or "") for c in failing), "")


def owner_of(record: WorkloadRecord | ArtifactRecord) -> Key | None:
    """Index children by the Rollout that their label names."""
    return record.meta.owner
