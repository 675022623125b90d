"""Objects that travel along, written into a region: never over somebody else's, nor over what a person edited there.

The hub cannot list or watch them, so each is read right before it is written, and written as it was read.
"""

import re
from collections.abc import Mapping
from typing import Any

import structlog

from ombak.core.conveyor import manifests, plan
from ombak.core.conveyor.snapshot import Refused
from ombak.runtime import kinds
from ombak.runtime.drift import missing
from ombak.runtime.kube_port import ApiError, Conflict, Forbidden, Kind, NotFound, Object, mapping, metadata
from ombak.runtime.regions import NotTravelling, Regions

log = structlog.get_logger(__name__)

_VALUE = re.compile(r"Invalid value: [^\n]{80,}(?=: )")
OVERTAKEN = "has been modified"
"""What the API server says of a write whose resource version is no longer the object's."""


class RefusedError(Exception):
    """An object is not written: it is somebody else's, was edited by hand, or is nothing that the API server takes."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(str(refused))
        self.refused = refused


async def bring(regions: Regions, region: str, action: plan.ApplyObject) -> None:
    """Write an object that travels along. Raises `ApiError`, and `RefusedError` where it must not be touched."""
    manifest = action.manifest
    kind, name = kinds.TRAVELLING.get(str(manifest["kind"])), manifest["metadata"]["name"]
    if kind is None:
        raise NotTravelling(f"{manifest['apiVersion']} {manifest['kind']}")
    try:
        live = await regions.get(region, kind, action.namespace, name)
    except NotFound:
        live = {}
    try:
        await _write(regions, region, action, kind, live)
    except ApiError as error:
        if not _is_flaw(error):
            raise
        raise RefusedError(_refused(kind, action, live, flaw=_brief(error.message))) from error


async def _write(regions: Regions, region: str, action: plan.ApplyObject, kind: Kind, live: Object) -> None:
    manifest = action.manifest
    if not live:
        await regions.create(region, manifest)  # not applied: another hub may be doing the same
        return
    is_shared = not _is_ours(live, action)
    if is_shared and not _is_the_same_for_ever(live, manifest):
        raise RefusedError(_refused(kind, action, live))
    if is_shared and not _is_brought(live):
        return
    edits = "" if action.takes_back else _taken_out(live, manifest)
    if edits:
        raise RefusedError(_refused(kind, action, live, edits))
    seen = {**manifest["metadata"], "resourceVersion": metadata(live).get("resourceVersion")}
    try:
        # What is shared is taken over: else who brought it may delete it before the Rollout that refers to it is there.
        await regions.apply(region, {**manifest, "metadata": seen}, force=action.takes_back or is_shared)
    except Conflict as error:
        if OVERTAKEN in error.message:
            raise
        raise RefusedError(_refused(kind, action, live, error.message)) from error


async def drop(regions: Regions, region: str, action: plan.DropConfig) -> None:
    """Delete a copy of a ConfigMap that this Pipeline brought and nothing there refers to. Raises `ApiError`.

    What is somebody else's, or serves others too, stays. So does all where the region gives no right to delete.
    """
    try:
        live = await regions.get(region, kinds.CONFIG_MAPS, action.namespace, action.name)
        told = mapping(metadata(live).get("annotations"))
        is_ours = told.get(manifests.HUB) == action.hub and told.get(manifests.PIPELINE) == action.pipeline
        if is_ours and live.get("immutable") is True and not regions.names_config(*action.place):
            version = str(metadata(live).get("resourceVersion"))
            await regions.delete(region, kinds.CONFIG_MAPS, action.namespace, action.name, version)
    except NotFound:
        return
    except Forbidden as error:
        fix = "apply charts/region-rbac.yaml there"
        log.info("an old copy of a ConfigMap stays", region=region, name=action.name, error=str(error), fix=fix)


def _is_flaw(error: ApiError) -> bool:
    """The object itself is not one that an API server takes; an apply of an unknown field is its fault, it says."""
    return error.status in (400, 422) or "failed to create typed patch object" in error.message


def _brief(message: str) -> str:
    """Return what the API server says, without the values that it echoes: a whole pod template tells nobody more."""
    return _VALUE.sub("Invalid value", message)


def _refused(kind: Kind, action: plan.ApplyObject, live: Object, edits: str = "", flaw: str = "") -> Refused:
    told = mapping(metadata(live).get("annotations"))
    return Refused(
        kind=kind.plural if not kind.group else f"{kind.plural}.{kind.group}",
        namespace=action.namespace,
        name=action.manifest["metadata"]["name"],
        hub=str(told.get(manifests.HUB) or ""),
        pipeline=str(told.get(manifests.PIPELINE) or ""),
        edits=edits,
        flaw=flaw,
    )


def _is_ours(live: Object, action: plan.ApplyObject) -> bool:
    """It says that this Pipeline brought it; one from before that was said in full has its name in a label."""
    found, wanted = metadata(live), action.manifest["metadata"]
    told, ours = mapping(found.get("annotations")), wanted["annotations"]
    hub, pipeline = told.get(manifests.HUB), told.get(manifests.PIPELINE)
    if pipeline is None:
        label = mapping(found.get("labels")).get(manifests.PIPELINE)
        is_of_pipeline = bool(hub) and label == wanted["labels"][manifests.PIPELINE]
    else:
        is_of_pipeline = pipeline == ours[manifests.PIPELINE]
    return is_of_pipeline and (hub == ours[manifests.HUB] or action.is_heir)


def _is_brought(live: Object) -> bool:
    """Some Pipeline brought it along, and may take it away again."""
    told = mapping(metadata(live).get("annotations"))
    return bool(told.get(manifests.HUB) and told.get(manifests.PIPELINE))


def _is_the_same_for_ever(live: Object, manifest: Mapping[str, Any]) -> bool:
    """Whosever it is: a copy of a ConfigMap with this content under this name serves both."""
    content = ("data", "binaryData")
    return live.get("immutable") is True and all((live.get(k) or {}) == (manifest.get(k) or {}) for k in content)


def _taken_out(live: Object, manifest: Mapping[str, Any]) -> str:
    """Return which fields somebody removed: for an apply these are nobody's, and it would bring them back silently.

    It can be told only where the object is to be what it was to be before. What was changed has an owner, and the
    API server names that.
    """
    written = mapping(metadata(live).get("annotations")).get(manifests.CONTENT)
    if written != manifest["metadata"]["annotations"][manifests.CONTENT] or live.get("immutable") is True:
        return ""
    said = {k: _said(v) for k, v in manifest.items() if k not in ("apiVersion", "kind", "metadata", "status")}
    gone = [path.removeprefix(".") for path in missing(said, live, "")]
    return f"somebody took out {', '.join(gone)}" if gone else ""


def _said(value: Any) -> Any:
    """Without what is false: of its own kinds the API server leaves that out by itself."""
    if isinstance(value, Mapping):
        return {k: _said(v) for k, v in value.items() if v is not False}
    return [_said(v) for v in value] if isinstance(value, list) else value
