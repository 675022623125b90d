"""What the hub reads back from a region: its own words on a Rollout, and what the region says of it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ombak.api.rollout import Phase
from ombak.core import naming
from ombak.core.conveyor import manifests
from ombak.core.conveyor.snapshot import RegionWait, RolloutFacts
from ombak.core.identity import artifact_id

_OURS = (
    manifests.HUB,
    manifests.PIPELINE,
    manifests.SEQUENCE,
    manifests.VERSION,
    manifests.STAGE,
    manifests.VALUES,
    manifests.OBJECTS,
    naming.PERMIT,
    manifests.OVERRIDE,
    manifests.FLOORS,
    manifests.ZONES,
    *manifests.PROVENANCE,
)
_DIGITS = 18
"""What is longer is no number of a hub, and would not fit into a status."""
_PHASES = {phase.value: phase for phase in Phase}


def rollout_facts(
    region: str,
    found: Mapping[str, Any],
    digests: Mapping[str, str],
    configs: Iterable[str] = (),
    good: Iterable[str] = (),
    others: Iterable[str] = (),
    artifact: str = "",
) -> RolloutFacts:
    """Read a region's Rollout; `digests` are those of its genuine Artifacts there, by id. Total: raises nothing.

    `configs` are the ConfigMaps to which its Artifacts there refer, `good` the ids of those that were stable there.
    `others` are paths in its spec that others manage, such as `spec.strategy.bake.for`, `artifact` the id of its
    template where that was reckoned before.
    """
    metadata, spec, status = (_mapping(found.get(name)) for name in ("metadata", "spec", "status"))
    annotations = {str(k): str(v) for k, v in _mapping(metadata.get("annotations")).items()}
    artifacts = _mapping(status.get("artifacts"))
    template, sequence = spec.get("template"), annotations.get(manifests.SEQUENCE, "")
    stable = str(artifacts.get("stable") or "")
    return RolloutFacts(
        region=region,
        namespace=str(metadata.get("namespace") or ""),
        resource_version=str(metadata.get("resourceVersion") or ""),
        generation=_whole(metadata.get("generation")),
        observed_generation=_whole(status.get("observedGeneration")),
        spec=spec,
        artifact=artifact or (artifact_id(dict(template)) if isinstance(template, Mapping) else ""),
        hub=annotations.get(manifests.HUB, ""),
        pipeline=annotations.get(manifests.PIPELINE, ""),
        claimed_by=annotations.get(manifests.CLAIMED, ""),
        sequence=int(sequence) if sequence.isdecimal() and len(sequence) <= _DIGITS else 0,
        version=annotations.get(manifests.VERSION, ""),
        stage=annotations.get(manifests.STAGE, ""),
        objects=annotations.get(manifests.OBJECTS, ""),
        annotations={k: v for k, v in annotations.items() if k in _OURS},
        has_retry=naming.RETRY in annotations,
        phase=_PHASES.get(str(status.get("phase"))),
        stable=stable,
        stable_digest=digests.get(stable, ""),
        current=str(artifacts.get("current") or ""),
        rejected=str(artifacts.get("rejected") or ""),
        message=str(status.get("message") or ""),
        wait=_wait(_mapping(status.get("waitingFor"))),
        replicas=spec.get("replicas") if isinstance(spec.get("replicas"), int) else None,
        configs=manifests.configs_of(template).union(configs),
        good=frozenset(good),
        others=frozenset(".".join(path.replace("[", ".").split(".")[:2]) for path in others),
    )


def _wait(found: Mapping[str, Any]) -> RegionWait | None:
    if not found.get("what"):
        return None
    return RegionWait(
        what=str(found["what"]),
        since=_moment(found.get("since")),
        who=str(found.get("who") or ""),
        command=str(found.get("command") or ""),
        expected=_moment(found.get("expected")),
    )


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _mapping(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}


def _whole(found: object) -> int:
    return found if isinstance(found, int) else 0
