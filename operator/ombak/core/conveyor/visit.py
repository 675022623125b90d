"""One region of a stage: a change starts there, or goes on by what the region says of it (R45-R48)."""

from enum import StrEnum

from ombak.api.pipeline import HandEdits
from ombak.api.rollout import Phase
from ombak.api.stage import OnUnreachable
from ombak.core import naming
from ombak.core.conveyor import back, fastlane, holding, manifests, placement, plan, queue, tests, travel, waits
from ombak.core.conveyor.memory import Item
from ombak.core.conveyor.placement import Target
from ombak.core.conveyor.scene import Scene
from ombak.core.conveyor.snapshot import RolloutFacts
from ombak.core.conveyor.standing import State, has_version, is_taken_back, runs_none, standing
from ombak.core.gates.gate import Held


class Outcome(StrEnum):
    """What one region of a stage came to."""

    FINISHED = "Finished"
    UNDER_WAY = "UnderWay"
    NOT_BEGUN = "NotBegun"
    SKIPPED = "Skipped"


_FORWARD = (Phase.INSTALLING, Phase.BLOCKED, Phase.ONE_BOX, Phase.ONE_BOX_BAKE, Phase.ROLLING, Phase.BAKE)
_REASONS = {"unreachable": "Unreachable", "paused": "Paused", "turn": "Turn", "slot": "Queued"}


def state_of(scene: Scene, item: Item, target: Target) -> tuple[State, RolloutFacts | None]:
    """Where a region stands with a change, and what is known of its Rollout."""
    order = scene.order(item, target)
    if order is None:
        return State.BUSY, scene.facts.get(target.key)
    state, facts = standing(scene, order)
    if state is State.LATER and facts is not None and queue.goes_no_further(scene, item, target.stage.name, facts):
        state = State.BUSY if facts.is_moving and not runs_none(facts) else State.EARLIER
    if state is State.EARLIER and back.is_going_back(scene, target):
        return State.BUSY, facts
    if state is State.BUSY and facts is not None and _gives_way(scene, order, facts):
        return State.EARLIER, facts
    return state, facts


def _gives_way(scene: Scene, order: manifests.Order, facts: RolloutFacts) -> bool:
    """An Override lets the version start where an earlier one is in the middle of its way."""
    is_ahead = facts.is_told and facts.sequence < order.sequence and not back.is_going_back(scene, order.target)
    return is_ahead and order.permit is not None and order.permit.supersedes and facts.phase in _FORWARD


def start(scene: Scene, item: Item, target: Target, facts: RolloutFacts | None, *, has_room: bool) -> Outcome:
    """Write the change into a region, unless something holds it."""
    if _is_held(scene, item, target, has_room=has_room):
        return Outcome.NOT_BEGUN
    order = scene.order(item, target)
    assert order is not None
    if facts is not None and _must_be_named(item, order, facts):
        return Outcome.NOT_BEGUN if back.name_rejected(scene, facts, target) else Outcome.UNDER_WAY
    if target.key in scene.touched:
        return Outcome.NOT_BEGUN
    _write(scene, order, facts, f"{item.version} starts in stage {target.stage.name}", everything=facts is None)
    if told := waits.of_write(scene, target, item.version):
        waits.of_item(scene, item, target.stage.name, *told, target.region.name)
    else:
        where = f"Region {target.region.name} (stage {target.stage.name})"
        scene.note("RegionStarted", f"{item.version} starts in {where}.")
    return Outcome.UNDER_WAY


def _is_held(scene: Scene, item: Item, target: Target, *, has_room: bool) -> bool:
    held = holding.what_holds(scene, item, target) or holding.in_use(scene, item, target)
    if held is None and not has_room:
        most = target.stage.max_parallel
        what = f"its turn: maxParallel lets {most} of the stage's regions be on their way at once"
        held = waits.held("turn", what, "time, as the others finish")
    if held is not None:
        waits.of_item(scene, item, target.stage.name, _REASONS.get(held.kind, "Held"), held, target.region.name)
    return held is not None


def _must_be_named(item: Item, order: manifests.Order, facts: RolloutFacts) -> bool:
    """A retried version is started only from a spec that changes by it, so that the region's status is about it."""
    made = order.delivery
    named = facts.spec.get("rejected") or ()
    return item.is_retry and is_taken_back(facts) and facts.artifact == made.id and made.id not in named


def _write(scene: Scene, order: manifests.Order, facts: RolloutFacts | None, why: str, *, everything: bool) -> None:
    """Apply what has to be there first, then the Rollout."""
    target, artifact = order.target, order.artifact
    chosen = [found for found in artifact.objects if everything or manifests.is_first(found)]
    first = travel.brought(scene, artifact, target, chosen, facts)
    made = manifests.rollout(scene.s, order, facts, objects=everything)
    if facts is not None and _gives_way(scene, order, facts) and fastlane.flying(facts):
        # What is given up goes back there first, so that it never bakes by the fix' short bakes.
        made["metadata"]["annotations"][naming.ABORT] = fastlane.flying(facts)
    back.apply(scene, target, facts, made, first, why)


def go_on(
    scene: Scene, item: Item, target: Target, state: State, facts: RolloutFacts | None, *, with_tests: bool
) -> Outcome:
    """Return what a region that is not to be started came to, and say what it waits for."""
    match state:
        case State.LATER:
            return Outcome.FINISHED
        case State.UNREACHED:
            return _unreached(scene, item, target, at_rest=not with_tests)
        case State.BUSY:
            return _busy(scene, item, target, facts)
        case State.TWIN:
            return _twin(scene, item, target)
    assert facts is not None
    if state is State.STABLE:
        return _finish(scene, item, target, facts, with_tests=with_tests)
    if state in _ANSWERS:
        return _ANSWERS[state](scene, item, target, facts)
    _moves(scene, item, target, facts, with_tests=with_tests)
    return Outcome.NOT_BEGUN if state is State.HELD else Outcome.UNDER_WAY


def _busy(scene: Scene, item: Item, target: Target, facts: RolloutFacts | None) -> Outcome:
    is_gone = facts is None or scene.order(item, target) is None
    told = _gone(item) if facts is None or is_gone else waits.moving(scene, target, facts, facts.version)
    waits.of_item(scene, item, target.stage.name, "Artifact" if is_gone else "Busy", told, target.region.name)
    return Outcome.NOT_BEGUN


def _twin(scene: Scene, item: Item, target: Target) -> Outcome:
    """Two Regions would have each other's Rollout, values and floors in turn."""
    order = scene.order(item, target)
    assert order is not None
    has_begun = has_version(scene, item, scene.facts.get(target.key))
    is_way_out = has_begun and not scene.is_done(item)
    told = waits.of_twins(scene, target, scene.twin(order), has_begun=is_way_out)
    waits.of_item(scene, item, target.stage.name, "SameCluster", told, target.region.name)
    return Outcome.UNDER_WAY if has_begun else Outcome.NOT_BEGUN


def _moves(scene: Scene, item: Item, target: Target, facts: RolloutFacts, *, with_tests: bool) -> None:
    reason = facts.phase.value if facts.phase and facts.is_told else "Starting"
    told = waits.moving(scene, target, facts, item.version)
    waits.of_item(scene, item, target.stage.name, reason, told, target.region.name)
    _brought(scene, item, target)
    if facts.is_told:
        tests.while_mixed(scene, item, target, facts, with_tests=with_tests)


def _taken_back(scene: Scene, item: Item, target: Target, facts: RolloutFacts) -> Outcome:
    told = waits.taken_back(scene, target, facts)
    waits.of_item(scene, item, target.stage.name, "TakenBack", told, target.region.name)
    return Outcome.UNDER_WAY


def _renumbered(scene: Scene, item: Item, target: Target, facts: RolloutFacts) -> Outcome:
    """Write which change it is, and nothing else: after a move to this hub, or where somebody wrote another number."""
    said = f"change {facts.sequence} ({facts.version or 'of no version'})"
    what = f"Region {target.region.name} to be told that {item.version} is change {item.sequence} there"
    told = waits.held(
        "renumbered", f"{what}: it says {said}, which this hub never gave out", "nobody, it goes by itself"
    )
    waits.of_item(scene, item, target.stage.name, "Renumbered", told, target.region.name)
    if target.key not in scene.touched:
        is_it = {
            manifests.SEQUENCE: str(item.sequence),
            manifests.VERSION: item.version,
            manifests.STAGE: target.stage.name,
        }
        made = manifests.amended(scene.s, target, facts, {}, is_it)
        back.apply(scene, target, facts, made, (), f"it says {said}, which this hub never gave out")
        scene.note("Renumbered", f"Region {target.region.name}: {told.what}.", is_warning=True)
    return Outcome.UNDER_WAY


def _overridden(scene: Scene, item: Item, target: Target, facts: RolloutFacts) -> Outcome:
    """Write the bakes as an Override and the floors of the Region have them now, and leave all else as it is."""
    order = scene.order(item, target)
    assert order is not None
    by = _why_other_bakes(order, facts)
    what = f"the bakes of {item.version} to be written to Region {target.region.name}: {by}"
    told = waits.held("override", what, "nobody, it goes by itself")
    waits.of_item(scene, item, target.stage.name, "Override", told, target.region.name)
    if target.key not in scene.touched:
        back.apply(scene, target, facts, fastlane.overridden(scene.s, order, facts), (), by)
        scene.note("Overridden", f"Region {target.region.name}: {what}.", is_warning=bool(order.override))
    return Outcome.UNDER_WAY


def _rezoned(scene: Scene, item: Item, target: Target, facts: RolloutFacts) -> Outcome:
    """Write the zones that the Region has now, and leave all else as it is: the region spreads its boxes by itself."""
    order = scene.order(item, target)
    assert order is not None
    zones = placement.zones_told(target)
    told = waits.held("zones", f"Region {target.region.name} to get its zones: {zones}", "nobody, it goes by itself")
    waits.of_item(scene, item, target.stage.name, "Zones", told, target.region.name)
    if target.key not in scene.touched:
        changed = {"zones": order.spec["zones"]}
        made = manifests.amended(scene.s, target, facts, changed, {manifests.ZONES: zones})
        back.apply(scene, target, facts, made, (), "the Region has other zones now")
        scene.note("Rezoned", f"Region {target.region.name}: it has other zones now, {item.version} gets {zones}.")
    return Outcome.UNDER_WAY


def _why_other_bakes(order: manifests.Order, facts: RolloutFacts) -> str:
    if facts.annotations.get(manifests.OVERRIDE, "") == order.override:
        return "the floors of the Region are others now"
    return f"Override {order.override} counts" if order.override else "no Override counts any more"


def _gone(item: Item) -> Held:
    return waits.held("artifact", f"the Artifact of {item.version}", "whoever deleted it; or deliver another version")


def may_skip(scene: Scene, item: Item, target: Target) -> bool:
    """A region was silent for long enough to be passed over, and its stage says that it may be."""
    return policy(scene, item, target) is OnUnreachable.SKIP and scene.is_skipped(target)


def policy(scene: Scene, item: Item, target: Target) -> OnUnreachable:
    """Return what follows when a region cannot be reached.

    As the Pipeline says today, for who sets it means the change that waits; a stage that is gone, as it was frozen.
    """
    for spec in (scene.merged.spec, scene.plan_of(item).spec):
        stage = next((s for s in spec.stages if s.name == target.stage.name), None) if spec is not None else None
        if spec is not None and stage is not None:
            return stage.on_region_unreachable or spec.on_region_unreachable or OnUnreachable.HOLD
    return OnUnreachable.HOLD


def no_answer(scene: Scene, item: Item, target: Target) -> Held:
    """Return the wait for a region that does not answer, as its stage has it."""
    if policy(scene, item, target) is OnUnreachable.SKIP and scene.is_placed(target):
        return waits.passed_over(target, scene.now, scene.s.skip_after)
    return waits.unreachable(scene, target)


def _unreached(scene: Scene, item: Item, target: Target, *, at_rest: bool) -> Outcome:
    has_it = has_version(scene, item, scene.facts.get(target.key))
    if at_rest and has_it:
        return Outcome.UNDER_WAY
    if may_skip(scene, item, target):
        return Outcome.SKIPPED
    told = no_answer(scene, item, target)
    waits.of_item(scene, item, target.stage.name, "Unreachable", told, target.region.name)
    return Outcome.UNDER_WAY if has_it else Outcome.NOT_BEGUN


def _foreign(scene: Scene, item: Item, target: Target, facts: RolloutFacts) -> Outcome:
    told = waits.foreign(scene, target, facts)
    waits.of_item(scene, item, target.stage.name, "Conflict", told, target.region.name)
    may_write = target.region.takes(scene.s.pipeline.namespace, target.namespace)
    if may_write and facts.hub and facts.hub != scene.s.hub and facts.claimed_by != scene.s.hub:
        claim = plan.Claim(*target.key, scene.s.pipeline.name, scene.s.hub, facts.resource_version)
        scene.late.append(claim)
    return Outcome.NOT_BEGUN


def _edited(scene: Scene, item: Item, target: Target, facts: RolloutFacts) -> Outcome:
    order = scene.order(item, target)
    assert order is not None
    fields = manifests.edited(order, facts)
    told = waits.edited(scene, target, fields)
    waits.of_item(scene, item, target.stage.name, "Edited", told, target.region.name)
    if scene.merged.spec is not None and scene.merged.spec.hand_edits is HandEdits.PUT_BACK:
        why = f"{', '.join(fields)} was edited by hand"
        _write(scene, order, facts, why, everything=False)
        if failed := waits.of_write(scene, target, item.version):
            waits.of_item(scene, item, target.stage.name, *failed, target.region.name)
        scene.note("PutBack", f"Region {target.region.name}: {why}, and is put back.", is_warning=True)
    return Outcome.UNDER_WAY


def revalue(scene: Scene, item: Item, target: Target, facts: RolloutFacts | None, *, has_room: bool) -> Outcome:
    """Deliver the values that a region has now: its labels changed since it was written, and nobody edited it there.

    A change that is in the stage delivers them with it, one that is over has to be asked; both as carefully as a start.
    """
    order = scene.order(item, target)
    assert order is not None
    puts_back = scene.merged.spec is not None and scene.merged.spec.hand_edits is HandEdits.PUT_BACK
    goes = puts_back or (item.is_inside and item.stage == target.stage.name)
    if goes and _is_held(scene, item, target, has_room=has_room):
        return Outcome.NOT_BEGUN
    told = waits.revalued(scene, target, item.version, goes=goes)
    waits.of_item(scene, item, target.stage.name, "Values", told, target.region.name)
    if not goes:
        return Outcome.NOT_BEGUN
    _write(scene, order, facts, "its values are others now", everything=False)
    if failed := waits.of_write(scene, target, item.version):
        waits.of_item(scene, item, target.stage.name, *failed, target.region.name)
    scene.note("Revalued", f"Region {target.region.name}: {told.what}.")
    return Outcome.UNDER_WAY


def _finish(scene: Scene, item: Item, target: Target, facts: RolloutFacts, *, with_tests: bool) -> Outcome:
    """What remains in a region that is stable: the other objects, and the tests."""
    order = scene.order(item, target)
    assert order is not None
    if facts.objects != order.delivery.objects:
        _write(scene, order, facts, f"{item.version} is stable, and the rest follows", everything=True)
        told = waits.of_write(scene, target, item.version) or ("Objects", _rest(item))
        waits.of_item(scene, item, target.stage.name, *told, target.region.name)
        travel.tell_left(scene, order, facts)
        return Outcome.UNDER_WAY
    if _brought(scene, item, target) or (with_tests and not tests.passed(scene, item, target)):
        return Outcome.UNDER_WAY
    return Outcome.FINISHED


def _brought(scene: Scene, item: Item, target: Target) -> bool:
    """Say what travels along and is not as it was delivered, and put it right where the Pipeline says so."""
    order = scene.order(item, target)
    assert order is not None
    found = list(travel.strayed(scene, order))
    puts_back = scene.merged.spec is not None and scene.merged.spec.hand_edits is HandEdits.PUT_BACK
    for refused, action in found:
        is_edit = action.takes_back
        reason, told = waits.of_refused(scene, target, refused) if is_edit else ("Objects", _rest(item))
        waits.of_item(scene, item, target.stage.name, reason, told, target.region.name)
        if puts_back and is_edit and (failed := waits.of_write(scene, target, item.version)):
            waits.of_item(scene, item, target.stage.name, *failed, target.region.name)
        if target.key in scene.touched or not refused.edits or (is_edit and not puts_back):
            continue
        scene.late.append(action)
        if is_edit:
            where = f"Region {target.region.name}"
            scene.note("PutBack", f"{where}: {refused.what}: {refused.edits}, and it is put back.", is_warning=True)
    return bool(found)


def _rest(item: Item) -> Held:
    return waits.held("objects", f"the objects of {item.version} to be applied", "nobody, it goes by itself")


_ANSWERS = {
    State.FOREIGN: _foreign,
    State.RENUMBERED: _renumbered,
    State.OVERRIDDEN: _overridden,
    State.REZONED: _rezoned,
    State.EDITED: _edited,
    State.BACK: _taken_back,
}
