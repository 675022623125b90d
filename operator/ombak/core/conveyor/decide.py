"""The conveyor's decision: one snapshot of a Pipeline and the time in, one plan out. Pure (design 3)."""

import dataclasses
from datetime import datetime, timedelta

from ombak.core.conveyor import back, deliver, fastlane, holding, queue, report, retention, tests, visit, waits
from ombak.core.conveyor.memory import Item
from ombak.core.conveyor.plan import HubPlan
from ombak.core.conveyor.scene import Scene
from ombak.core.conveyor.snapshot import HubSnapshot
from ombak.core.gates.gate import Held

_MOST_STEPS = 64


def decide(s: HubSnapshot, now: datetime) -> HubPlan:
    """Return what to do about a Pipeline now. Raises nothing for any snapshot."""
    if s.pipeline.is_deleting:
        # Whatever runs in the regions stays as it is (deletionPolicy Orphan).
        return HubPlan(s.memory, reason="Deleting", message="It is being deleted; what runs in the regions stays.")
    scene = Scene(s, now)
    scene.abandoned = back.abandoned(scene)
    if scene.is_base and not scene.problem:
        return _base(scene)
    queue.rebuild(scene)
    back.forget(scene)
    back.retry(scene)
    back.verdicts(scene)
    tests.verdicts(scene)
    queue.renew(scene)
    queue.enqueue(scene)
    back.abort(scene)
    queue.tell(scene)
    queue.supersede(scene)
    back.settle(scene)
    for item in list(scene.items):
        _go(scene, item.sequence)
    queue.supersede(scene)
    _catch_up(scene)
    _is_nowhere(scene)
    back.tell(scene)
    retention.clear(scene)
    return _planned(scene)


def _base(scene: Scene) -> HubPlan:
    """Nothing is delivered of a base; what a person says to it is taken off, with a word."""
    back.refuse(scene, "this Pipeline has no rollout, it is a base for others; say it to one that extends it")
    return HubPlan(
        scene.s.memory,
        actions=tuple(scene.late),
        notes=tuple(scene.notes),
        reason="Base",
        message="It has no rollout: it is a base for others.",
        merged=scene.merged.raw,
        unheard=" ".join(scene.unheard),
    )


def _current(scene: Scene, sequence: int) -> Item | None:
    return next((i for i in scene.items if i.sequence == sequence), None)


def _go(scene: Scene, sequence: int) -> None:
    """Move one change as far as it goes: the oldest first, so that the slots it leaves are free for the next."""
    for _ in range(_MOST_STEPS):
        item = _current(scene, sequence)
        if item is None:
            return
        moved = _work(scene, item) if item.is_inside else _enter(scene, item)
        if not moved:
            return


def _work(scene: Scene, item: Item) -> bool:
    """Deliver in the stage where it is; True when that is over."""
    if _is_empty(scene, item, item.stage):
        return False
    if deliver.overtaken(scene, item, item.stage) is not None:
        return _stand_before(scene, item)
    done = deliver.deliver(scene, item, item.stage, with_tests=True)
    item = _current(scene, item.sequence) or item
    if not done.is_over:
        return False
    skipped = tuple(f"{item.stage}/{name}" for name in done.skipped)
    if skipped:
        told = ", ".join(done.skipped)
        scene.note("Skipped", f"{item.version} leaves {item.stage} without {told}: no answer.", is_warning=True)
    scene.replace(
        item,
        dataclasses.replace(item, is_inside=False, since=scene.now, passed=(), skipped=(*item.skipped, *skipped)),
    )
    last = item.stage == scene.stages(item)[-1]
    everywhere = ", and with it all" if last else ""
    scene.note("StagePassed", f"{item.version} has passed stage {item.stage}{everywhere}.")
    return True


def _stand_before(scene: Scene, item: Item) -> bool:
    """Give up the slot of a stage whose regions all have a later change: that one goes on for both, or goes back."""
    before = queue.passed(scene, item)
    stage = before[-1] if before else ""
    scene.replace(item, dataclasses.replace(item, stage=stage, is_inside=False, since=scene.now, passed=()))
    return True


def _is_empty(scene: Scene, item: Item, stage: str) -> bool:
    """A stage without any region proves nothing, unless it takes what is left over and others have some."""
    placed = scene.placement(scene.plan_of(item))
    if any(placed.targets.values()) and stage not in placed.empty:
        return False
    what = f"a Region in stage {stage}: none is selected that lets the namespace in"
    who = "whoever owns the Pipeline; or register or label a Region"
    told = waits.held("empty", what, who, waits.of_pipeline(scene.s.pipeline, "edit"))
    waits.of_item(scene, item, stage, "NoRegion", told)
    return True


def _is_nowhere(scene: Scene) -> bool:
    """What was delivered everywhere is delivered no more when the last region is gone."""
    newest = scene.items[-1] if scene.items else None
    return newest is not None and scene.is_done(newest) and _is_empty(scene, newest, newest.stage)


def _enter(scene: Scene, item: Item) -> bool:
    """Take the slot of the next stage, if it is free and nothing holds the change."""
    stage = queue.next_stage(scene, item)
    if not stage or scene.rejection(item.version) is not None or _is_empty(scene, item, stage):
        return False
    held = _overtaken(scene, item, stage) or _slot(scene, item, stage) or holding.what_holds(scene, item, None, stage)
    if held is not None:
        waits.of_item(scene, item, stage, _word(held), held)
        return False
    scene.replace(item, dataclasses.replace(item, stage=stage, is_inside=True, since=scene.now, passed=()))
    batch = f" with {item.batch - 1} before it" if item.batch > 1 else ""
    scene.note("StageEntered", f"{item.version}{batch} enters stage {stage}.")
    return True


def _word(held: Held) -> str:
    return {"slot": "Queued", "revert": "Reverting"}.get(held.kind, held.kind.capitalize())


def _overtaken(scene: Scene, item: Item, stage: str) -> Held | None:
    """Return the wait of a change that could prove nothing in a stage: silence is never success, nor is another's."""
    later = deliver.overtaken(scene, item, stage)
    return waits.overtaken(item, stage, later) if later is not None else None


def _slot(scene: Scene, item: Item, stage: str) -> Held | None:
    """Return what keeps the slot of a stage taken: another change in it, or reverts that have not ended."""
    for other in [i for i in scene.items if i.is_inside and i.stage == stage]:
        if queue.is_kept(scene, other, item):
            return fastlane.holds(scene, item) or waits.slot(scene, other)
        if other.sequence < item.sequence and not deliver.has_begun(scene, other, stage):
            queue.drop_for(scene, other, item)
            continue
        if not fastlane.takes_over(scene, item, other):
            return waits.slot(scene, other)
        if (held := holding.what_holds(scene, item, None, stage)) is not None:
            return held  # the slot is not what it waits for
        fastlane.give_up(scene, other, item)
    for target in scene.targets(item, stage):
        if back.is_going_back(scene, target) and not visit.may_skip(scene, item, target):
            if not target.region.is_reached:
                return visit.no_answer(scene, item, target)
            return waits.going_back(scene, target, scene.facts[target.key])
    return None


def _catch_up(scene: Scene) -> None:
    """Bring regions that came late to what their stage has passed, where the slot is free."""
    seen = {i.stage for i in scene.items if i.is_inside}
    for item in reversed(scene.items):
        for stage in queue.passed(scene, item):
            if stage not in seen:
                seen.add(stage)
                deliver.deliver(scene, item, stage, with_tests=False)


def _planned(scene: Scene) -> HubPlan:
    stages = report.stages(scene)
    stage, version, reason, message = report.glance(scene)
    return HubPlan(
        memory=scene.memory(),
        actions=(*scene.early, *scene.late),
        notes=tuple(scene.notes),
        waits=tuple(scene.waits.values()),
        stages=stages,
        stage=stage,
        version=version,
        reason=reason,
        message=message,
        problem=scene.problem,
        merged=scene.merged.raw,
        override=scene.s.overrides.active(scene.now),
        unheard=" ".join(scene.unheard),
        wake_at=_wake_at(scene),
    )


def _wake_at(scene: Scene) -> datetime | None:
    """Return when to look again: at the next moment at which something is expected, and now and then while it waits."""
    s, override = scene.s, scene.s.overrides.active(scene.now)
    moments = [override.until] if override is not None else []
    if scene.waits:
        silent = [r.last_contact for r in s.regions if not r.is_reached and r.last_contact is not None]
        moments += (w.expected for w in scene.waits.values() if w.expected is not None)
        moments += (last + s.skip_after for last in silent)
        moments += (scene.now + s.skip_after - r.silent_for for r in s.regions if r.silent_for is not None)
        moments.append(scene.now + max(s.poll, timedelta(seconds=1)))
    return min((moment for moment in moments if moment > scene.now), default=None)
