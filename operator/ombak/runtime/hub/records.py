"""What a hub keeps of its Pipelines and of their Artifacts."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pydantic

from ombak.api.artifact import ArtifactStatus
from ombak.api.parse import parse_pipeline_spec
from ombak.core import identity, naming
from ombak.core.conveyor import content, manifests
from ombak.core.conveyor.snapshot import HubArtifact, HubRejection, PipelineView
from ombak.runtime.kube_port import listed, mapping, metadata, whole
from ombak.runtime.records import Meta, meta_of
from ombak.runtime.store import Key


@dataclasses.dataclass(frozen=True, slots=True)
class PipelineRecord:
    """A Pipeline as the user wrote it, and its status as the hub wrote it last."""

    meta: Meta
    view: PipelineView
    labels: Mapping[str, str]
    status: Mapping[str, Any]

    @property
    def base(self) -> str:
        """The name of the Pipeline that it extends, empty if none."""
        return str(mapping(self.view.spec.get("extends")).get("name") or "")


def decode_pipeline(obj: Mapping[str, Any]) -> PipelineRecord:
    """Read a Pipeline. Total: what is wrong with it becomes the problem of its view."""
    meta, spec = meta_of(obj), mapping(obj.get("spec"))
    annotations = mapping(metadata(obj).get("annotations"))
    view = PipelineView(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        generation=meta.generation,
        spec=spec,
        problem=parse_pipeline_spec(spec).problem,
        is_deleting=meta.is_deleting,
        abort=str(annotations.get(naming.ABORT) or ""),
        retry=str(annotations.get(naming.RETRY) or ""),
        provenance={name: str(annotations[name]) for name in manifests.PROVENANCE if name in annotations},
    )
    return PipelineRecord(meta, view, dict(mapping(metadata(obj).get("labels"))), mapping(obj.get("status")))


@dataclasses.dataclass(frozen=True, slots=True)
class HubArtifactRecord:
    """An Artifact of a Pipeline."""

    pipeline: Key
    view: HubArtifact


def decode_hub_artifact(obj: Mapping[str, Any]) -> HubArtifactRecord:
    """Read an Artifact of a Pipeline, and check that its content is what its name says (R61). Total."""
    meta, spec, annotations = meta_of(obj), mapping(obj.get("spec")), mapping(metadata(obj).get("annotations"))
    name = str(mapping(metadata(obj).get("labels")).get(manifests.PIPELINE) or "")
    template = dict(mapping(spec.get("template")))
    objects, values = (tuple(map(dict, map(mapping, listed(spec.get(k))))) for k in ("objects", "values"))
    found = str(spec.get("id") or "")
    version, digest = content.version_of(found, values), content.content_digest(template, objects)
    is_genuine = (
        found == identity.id_of(digest)
        and spec.get("digest") == digest
        and meta.name == content.object_name(name, version)
    )
    status = _status(obj)
    view = HubArtifact(
        version=meta.name.rpartition(".pipeline.")[2] or version,
        id=found,
        name=meta.name,
        sequence=whole(spec.get("sequence")),
        template=template,
        objects=objects,
        values=values,
        is_genuine=is_genuine,
        is_ours=spec.get("pipeline") == name,
        rejection=_rejection(status),
        retried=status.retried,
        retried_at=status.retried_at,
        resource_version=meta.resource_version,
        provenance={key: str(annotations[key]) for key in manifests.PROVENANCE if key in annotations},
    )
    return HubArtifactRecord((meta.namespace, name), view)


def _status(obj: Mapping[str, Any]) -> ArtifactStatus:
    try:
        return ArtifactStatus.model_validate(obj.get("status") or {})
    except pydantic.ValidationError:
        return ArtifactStatus()


def _rejection(status: ArtifactStatus) -> HubRejection | None:
    found = status.rejected
    if found is None:
        return None
    return HubRejection(found.reason, found.message, found.at, found.stage, found.region, found.scope)


def artifact_owner(record: HubArtifactRecord) -> Key | None:
    """Index Artifacts by their Pipeline."""
    return record.pipeline if record.pipeline[1] else None
