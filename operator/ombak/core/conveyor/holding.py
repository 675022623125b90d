"""What keeps a change from starting in a stage, or in one of its regions (R45-R48)."""

from ombak.core.conveyor import fastlane, waits
from ombak.core.conveyor.memory import Item
from ombak.core.conveyor.placement import Target
from ombak.core.conveyor.scene import Scene
from ombak.core.conveyor.standing import has_version
from ombak.core.gates.gate import Held, together
from ombak.core.gates.team_alarms import ALARM


def what_holds(scene: Scene, item: Item, target: Target | None, stage: str = "") -> Held | None:
    """Return what keeps a change from starting in a stage, or in one of its regions."""
    if scene.problem:
        what, edit = f"the Pipeline to be valid: {scene.problem}", waits.of_pipeline(scene.s.pipeline, "edit")
        return waits.held("spec", what, "whoever edits the Pipeline", edit)
    if scene.s.pipeline.spec.get("paused"):
        lift = waits.of_pipeline(scene.s.pipeline, "patch") + """ --type merge -p '{"spec":{"paused":false}}'"""
        return waits.held("paused", "spec.paused to be lifted", "whoever paused it", lift)
    name, region = (target.stage.name, target.region.name) if target else (stage, "")
    if problem := scene.placement(scene.plan_of(item)).against(name, region):
        who, edit = "whoever owns the Pipeline or the Regions", waits.of_pipeline(scene.s.pipeline, "edit")
        return waits.held("placement", problem, who, edit)
    artifact = scene.artifacts.get(item.version)
    if artifact is None or not artifact.is_genuine:
        what = f"the Artifact of {item.version}, which is gone or not what its name says"
        return waits.held("artifact", what, "whoever deleted it; or deliver another version")
    answers = [g.left if g.spared and g.spared == item.version else g.held for g in scene.gates(name, region)]
    found = [held for held in answers if held is not None]
    if any(held.kind == ALARM for held in found) and _is_way_back(scene, item, target, stage):
        found = [held for held in found if held.kind != ALARM]
    return fastlane.holds(scene, item) or together(found)


def in_use(scene: Scene, item: Item, target: Target) -> Held | None:
    """Return why a region is not free though its stage is: an earlier change has it in a stage of another name.

    That comes of stages that were changed, and of labels. Started there, this one would be what the tests of that one
    judge. One that has begun nothing in its stage keeps nothing from a newer one, as in a stage of the same name. An
    Override's version does not wait for it.
    """
    if scene.permit(item.version) is not None:
        return None
    for other in (i for i in scene.items if i.is_inside and i.sequence < item.sequence):
        if other.stage != target.stage.name and _has(scene, other, target):
            return waits.slot(scene, other)
    return None


def _has(scene: Scene, other: Item, target: Target) -> bool:
    """A change has begun in its stage, to which a region belongs: written there before, or just now."""
    keys = scene.keys(other, other.stage)
    if target.key not in keys:
        return False
    return not scene.touched.isdisjoint(keys) or any(has_version(scene, other, scene.facts.get(key)) for key in keys)


def _is_way_back(scene: Scene, item: Item, target: Target | None, stage: str) -> bool:
    """Every region in question keeps the version as one that was good there: the alarm may be the doing of what runs.

    To hold it would make an outage last (ADR 11). A region that does not answer, or has nothing yet, proves nothing.
    """
    targets = (target,) if target is not None else scene.targets(item, stage)
    return bool(targets) and all(_was_good(scene, item, each) for each in targets)


def _was_good(scene: Scene, item: Item, target: Target) -> bool:
    facts, order = scene.facts.get(target.key), scene.order(item, target)
    return facts is not None and order is not None and order.delivery.id in facts.good
