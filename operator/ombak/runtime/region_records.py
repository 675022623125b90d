"""What a hub keeps of its regions: the Region objects, and of each region's Rollouts, Artifacts and
Alarms the little it asks.

A hub may hold tens of thousands of these, so everything is kept as text, and equal texts are one in memory: the pod
template of a Pipeline is there once, not once for each region.
"""

import dataclasses
import functools
import json
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pydantic

from ombak.api.artifact import ArtifactStatus
from ombak.api.common import GROUP
from ombak.api.health import Certainty, State
from ombak.api.parse import parse_region_spec
from ombak.api.region import RegionSpec
from ombak.core import naming
from ombak.core.conveyor import manifests
from ombak.core.floors import NO_FLOORS, ZERO, Floors
from ombak.core.identity import digest_of, id_of
from ombak.runtime.decode_alarm import moment_of
from ombak.runtime.kube_port import listed, mapping, metadata, whole
from ombak.runtime.records import Meta, meta_of
from ombak.runtime.region_fields import is_anothers, others
from ombak.runtime.store import Key

_STATES = {state.value: state for state in State}


@dataclasses.dataclass(frozen=True, slots=True)
class RegionRecord:
    """A Region; `spec` is None where it cannot be used, and `problem` then says why."""

    meta: Meta
    spec: RegionSpec | None
    problem: str
    labels: Mapping[str, str]
    status: Mapping[str, Any]


def decode_region(obj: Mapping[str, Any]) -> RegionRecord:
    """Read a Region; `labels` are those that selectors see. Total: what is wrong with it becomes its `problem`."""
    parsed, meta = parse_region_spec(obj.get("spec") or {}), meta_of(obj)
    own = {str(k): str(v) for k, v in mapping(metadata(obj).get("labels")).items()}
    labels = parsed.spec.selection_labels(meta.name, own) if parsed.spec is not None else own
    return RegionRecord(meta, parsed.spec, parsed.problem, labels, mapping(obj.get("status")))


def floors_of(spec: RegionSpec | None) -> Floors:
    """Return the shortest bakes of a Region; none where nothing is known of it."""
    if spec is None:
        return NO_FLOORS
    found = spec.floors
    return Floors(found.one_box or ZERO, found.batch or ZERO, found.bake or ZERO)


@dataclasses.dataclass(frozen=True, slots=True)
class RegionRollout:
    """A Rollout of a region as it was said last.

    `artifact` and `digest` are those of its template as it stands in the spec; `others` are fields of its spec that
    somebody else than the hub and the region's operator manages, with the managers. Spec, template and
    status are kept as text, which weighs a tenth; parsed ones are shared, so nobody may change them.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    is_deleting: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    artifact: str
    digest: str
    spec_json: str
    template_json: str
    status_json: str
    others: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def spec(self) -> Mapping[str, Any]:
        """The spec as written, without the template."""
        return _parsed(self.spec_json)

    @property
    def template(self) -> Mapping[str, Any]:
        """The pod template as written."""
        return _parsed(self.template_json)

    @property
    def status(self) -> Mapping[str, Any]:
        """The status as the region's operator wrote it, without its memory; empty until it did."""
        return mapping(json.loads(self.status_json))  # hardly two are the same, and each is read once

    @property
    def is_current(self) -> bool:
        """Whether the status speaks of the spec as it is."""
        return whole(self.status.get("observedGeneration")) >= self.generation


@functools.lru_cache(maxsize=4096)
def _parsed(text: str) -> Mapping[str, Any]:
    return mapping(json.loads(text))


def decode_region_rollout(obj: Mapping[str, Any], ours: str) -> RegionRollout:
    """Read a Rollout of a region; `ours` is the field manager of the hub. Total."""
    meta, spec = meta_of(obj), mapping(obj.get("spec"))
    found = spec.get("template")
    template: dict[str, Any] | None = found if isinstance(found, dict) else None
    digest = digest_of(template) if template is not None else ""
    return RegionRollout(
        namespace=sys.intern(meta.namespace),
        name=sys.intern(meta.name),
        uid=meta.uid,
        resource_version=meta.resource_version,
        generation=meta.generation,
        is_deleting=meta.is_deleting,
        labels=_texts(metadata(obj).get("labels")),
        annotations=_told(obj, ours),
        artifact=id_of(digest) if digest else "",
        digest=digest,
        spec_json=_text({name: value for name, value in spec.items() if name != "template"}),
        template_json=_text(template or {}),
        status_json=_text({k: v for k, v in mapping(obj.get("status")).items() if k != "memory"}),
        others=others(obj, ours),
    )


def _told(obj: Mapping[str, Any], ours: str) -> Mapping[str, str]:
    """What is told beside the spec; what the hub says is there counts only while the hub says it."""
    found = _texts(metadata(obj).get("annotations"), prefix=f"{GROUP}/")
    if manifests.OBJECTS in found and is_anothers(obj, manifests.OBJECTS, ours):
        return {name: value for name, value in found.items() if name != manifests.OBJECTS}
    return found


def _text(value: Mapping[str, Any]) -> str:
    """JSON; equal texts are one in memory: most regions have the same spec."""
    return sys.intern(json.dumps(value, separators=(",", ":"), sort_keys=True))


def _texts(value: object, prefix: str = "") -> Mapping[str, str]:
    found = mapping(value).items()
    return {sys.intern(str(k)): sys.intern(str(v)) for k, v in found if str(k).startswith(prefix)}


@dataclasses.dataclass(frozen=True, slots=True)
class RegionArtifact:
    """An Artifact of a region, and the verdict there; `is_genuine` if its content is what its id says."""

    rollout: Key
    id: str
    digest: str
    is_genuine: bool
    stable_order: int
    stable_at: datetime | None
    rejected: tuple[str, str, datetime] | None
    """Reason, message and moment (of the region's clock)."""
    configs: tuple[str, ...] = ()
    """The ConfigMaps to which it refers."""


def decode_region_artifact(obj: Mapping[str, Any]) -> RegionArtifact:
    """Read an Artifact of a region; total."""
    spec, meta = mapping(obj.get("spec")), metadata(obj)
    template = dict(mapping(spec.get("template")))
    try:
        status = ArtifactStatus.model_validate(obj.get("status") or {})
    except pydantic.ValidationError:
        status = ArtifactStatus()
    found, digest = str(spec.get("id") or ""), digest_of(template)
    rejected = status.rejected
    name = str(mapping(meta.get("labels")).get(naming.ROLLOUT) or spec.get("rollout") or "")
    return RegionArtifact(
        rollout=(sys.intern(str(meta.get("namespace") or "")), sys.intern(name)),
        id=sys.intern(found),
        digest=sys.intern(digest),
        is_genuine=found == id_of(digest) and spec.get("digest") == digest,
        stable_order=status.stable.order if status.stable else 0,
        stable_at=status.stable.at if status.stable else None,
        rejected=(rejected.reason, rejected.message, rejected.at) if rejected else None,
        configs=tuple(sys.intern(name) for name in sorted(manifests.configs_of(template))),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Brought:
    """What an object says of who brought it along with which version, and its spec as text."""

    hub: str = ""
    pipeline: str = ""
    version: str = ""
    spec_json: str = "{}"

    @property
    def spec(self) -> Mapping[str, Any]:
        """The spec as it stands there."""
        return _parsed(self.spec_json)


NOBODYS = Brought()


@dataclasses.dataclass(frozen=True, slots=True)
class RegionAlarm:
    """An Alarm of a region, as its operator told it; `state` is None where nothing valid is told."""

    state: State | None
    is_certain: bool
    told: str
    """What it says, or why nothing valid is told."""
    since: datetime | None
    brought: Brought = NOBODYS


def decode_region_alarm(obj: Mapping[str, Any]) -> RegionAlarm:
    """Read an Alarm of a region; total. What its status says of another generation of it counts for nothing."""
    meta, status, brought = meta_of(obj), mapping(obj.get("status")), _brought(obj)
    if not status:
        return RegionAlarm(None, is_certain=False, told="nobody has evaluated it yet", since=None, brought=brought)
    if status.get("observedGeneration") != meta.generation:
        earlier = "what it says is about an earlier spec of it"
        return RegionAlarm(None, is_certain=False, told=earlier, since=None, brought=brought)
    state = _STATES.get(str(status.get("state")))
    told = str(status.get("message") or "") or "; ".join(map(str, listed(status.get("contributors"))))
    is_certain = status.get("certainty") == Certainty.Certain.value
    return RegionAlarm(state, is_certain, sys.intern(told), moment_of(status.get("since")), brought)


def _brought(obj: Mapping[str, Any]) -> Brought:
    """Of an Alarm that nobody brought along nothing is kept."""
    told = _texts(metadata(obj).get("annotations"), prefix=f"{GROUP}/")
    hub, pipeline = told.get(manifests.HUB, ""), told.get(manifests.PIPELINE, "")
    if not hub and not pipeline:
        return NOBODYS
    return Brought(hub, pipeline, told.get(manifests.VERSION, ""), _text(mapping(obj.get("spec"))))


def artifact_owner(record: RegionArtifact) -> Key | None:
    """Index Artifacts by their Rollout."""
    return record.rollout if record.rollout[1] else None
