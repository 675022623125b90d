"""What a region's Rollout asks for once it is back from what was rejected: the version that runs, as it came there."""

import dataclasses

from ombak.core.conveyor import manifests, plan, travel
from ombak.core.conveyor.placement import Target
from ombak.core.conveyor.scene import Scene
from ombak.core.conveyor.snapshot import HubArtifact, RolloutFacts

Write = tuple[plan.Manifest, tuple[plan.Action, ...], str, bool]
"""What to write, after what, why, and whether it is a way back."""


def in_line(scene: Scene, facts: RolloutFacts, target: Target) -> Write | None:
    """Ask in the spec for what runs there since the revert; a version that the hub does not know stays as it is."""
    known = [a for a in scene.artifacts.values() if a.is_genuine and a.version != facts.version]
    for artifact in sorted(known, key=lambda a: a.sequence, reverse=True):
        made = manifests.delivery(artifact, target)
        if made.id != facts.stable or made.digest != facts.stable_digest:
            continue
        rejected = [str(i) for i in facts.spec.get("rejected") or ()]
        named = [*(i for i in rejected if i not in (facts.artifact, made.id)), facts.artifact]
        whole = _as_it_came(scene, artifact, facts, target) or _as_it_is(scene, artifact, facts, target)
        whole["spec"]["rejected"] = named[-manifests.MOST_REJECTED :]
        objects = travel.brought(scene, artifact, target, artifact.objects, facts)
        return whole, objects, f"it is back on {artifact.version}", False
    return None


def _as_it_came(scene: Scene, artifact: HubArtifact, facts: RolloutFacts, target: Target) -> plan.Manifest | None:
    """Return the Rollout as the change of a version was delivered, with its settings; None if it is remembered no more.

    Those of what was taken back went with it: left there, they would be taken for somebody's edit.
    """
    for item in reversed(scene.items):
        if item.version != artifact.version or item.sequence >= facts.sequence:
            continue
        placed = scene.placement(scene.plan_of(item)).targets.values()
        own = next((t for targets in placed for t in targets if t.key == target.key), None)
        order = scene.order(item, own) if own is not None else None
        if order is not None:
            return manifests.rollout(scene.s, dataclasses.replace(order, retry=False), facts, objects=True)
    return None


def _as_it_is(scene: Scene, artifact: HubArtifact, facts: RolloutFacts, target: Target) -> plan.Manifest:
    """Return the Rollout with the template of a version, and all else as it is there."""
    made = manifests.delivery(artifact, target)
    told = {
        manifests.SEQUENCE: str(_sequence_of(scene, artifact, facts.sequence)),
        manifests.VERSION: artifact.version,
        manifests.OBJECTS: made.objects,
        manifests.VALUES: made.env,
        **artifact.provenance,
    }
    seen = dataclasses.replace(
        facts, annotations={k: v for k, v in facts.annotations.items() if k not in manifests.OF_A_VERSION}
    )
    changed = {"template": made.template}
    return manifests.amended(scene.s, target, seen, changed, {k: v for k, v in told.items() if v})


def _sequence_of(scene: Scene, artifact: HubArtifact, below: int) -> int:
    """Return as which change a region counts that went back to a version: the latest of it before the rejected one."""
    known = [i.sequence for i in scene.items if i.version == artifact.version and i.sequence < below]
    return max(known, default=min(artifact.sequence, below - 1))
