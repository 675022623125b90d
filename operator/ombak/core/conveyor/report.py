"""What people read of a Pipeline: its stages and regions, one line at a glance, and the whole status."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ombak.core import unheard
from ombak.core.conditions import condition, stamp
from ombak.core.conveyor import back, content, plan, provenance, queue
from ombak.core.conveyor.memory import Item, dump_memory
from ombak.core.conveyor.placement import Target
from ombak.core.conveyor.scene import Scene
from ombak.core.conveyor.snapshot import HubSnapshot, RolloutFacts
from ombak.core.conveyor.standing import State, is_taken_back, standing

Status = dict[str, Any]
_MOST_WAITS = 64
_UNQUEUED = ("placement", "artifact", "objects", "aborted")
"""Waits of the Pipeline for being able to queue what it asks for."""
_SERVE_NOT = {State.FOREIGN.value: "Conflict", State.BACK.value: "TakenBack", State.ABSENT.value: "Missing"}
"""What somebody else delivered there may serve well, but it is not this Pipeline that tells."""
_STALLED = ("Rejected", "Aborted", "Invalid", "Conflict", "SameCluster", "TakenBack")
"""Reasons that no time ends: a person has to do something."""
_NO_GOOD = "NothingGood"
"""The first version there is on its way, or failed."""
_MOST_NAMED = 8


def stages(scene: Scene) -> tuple[plan.StageReport, ...]:
    """Return how each stage of today's plan stands; of the newest item's plan where today's is not valid."""
    made = scene.merged
    if made.spec is None and scene.items:
        made = scene.plan_of(scene.items[-1])
    placed = scene.placement(made)
    return tuple(_stage(scene, name, targets) for name, targets in placed.targets.items())


def _stage(scene: Scene, name: str, targets: tuple[Target, ...]) -> plan.StageReport:
    inside = next((i for i in scene.items if i.is_inside and i.stage == name), None)
    done = next((i for i in reversed(scene.items) if name in queue.passed(scene, i)), None)
    item = inside or done
    regions = tuple(_region(scene, item, target) for target in targets)
    reverting = any(back.is_going_back(scene, target) for target in targets)
    state = "Reverting" if reverting else "UnderWay" if inside else "Passed" if done else "Empty"
    if item is None:
        return plan.StageReport(name, state, regions)
    since = item.since if item.stage == name else None  # when it left those before is not remembered
    return plan.StageReport(name, state, regions, item.sequence, item.version, since, item.batch)


def _region(scene: Scene, item: Item | None, target: Target) -> plan.RegionReport:
    facts = scene.facts.get(target.key)
    order = scene.order(item, target) if item is not None else None
    if not target.region.is_reached:
        state = State.UNREACHED
    elif facts is None:
        state = State.ABSENT
    else:
        state = _rejected(scene, target, facts) or (standing(scene, order)[0] if order else State.EARLIER)
    if facts is None:
        return plan.RegionReport(target.region.name, state.value)
    return plan.RegionReport(
        name=target.region.name,
        state=state.value,
        version=facts.version,
        sequence=facts.sequence,
        phase=facts.phase.value if facts.phase else "",
        message=facts.message,
        has_good=bool(facts.stable),
    )


def _rejected(scene: Scene, target: Target, facts: RolloutFacts) -> State | None:
    """Return how a region stands that was given what is rejected: on its way back, or keeping it; None for others."""
    if not scene.is_ours(facts) or scene.rejection(facts.version) is None:
        return None
    return State.BACK if is_taken_back(facts) or back.is_going_back(scene, target) else State.REJECTED


def glance(scene: Scene) -> tuple[str, str, str, str]:
    """Return stage, version, reason and one sentence: of what went wrong first, else of the newest change."""
    newest = scene.items[-1] if scene.items else None
    if scene.problem:
        return (newest.stage if newest else "", newest.version if newest else "", "Invalid", scene.problem)
    unqueued = next((w for w in scene.waits.values() if w.key in _UNQUEUED), None)
    if unqueued is not None:
        # What is asked for is not on its way at all, however well the last change went.
        return (newest.stage if newest else "", newest.version if newest else "", unqueued.reason, unqueued.what)
    rejected = next((w for w in scene.waits.values() if w.key.startswith("rejected/")), None)
    if newest is None or rejected is not None:
        first = rejected or next(iter(scene.waits.values()), None)
        version = first.key.removeprefix("rejected/") if rejected and first else (newest.version if newest else "")
        found = scene.rejection(version)
        stage = found.stage if found else (newest.stage if newest else "")
        return (
            stage,
            version,
            first.reason if first else "Idle",
            first.what if first else "Nothing was delivered yet.",
        )
    own = next((w for w in scene.waits.values() if w.key.startswith(f"{newest.sequence}/")), None)
    if scene.is_done(newest):
        reason = own.reason if own else "Delivered"
        return newest.stage, newest.version, reason, own.what if own else _runs(scene, newest)
    stage = newest.stage if newest.is_inside else queue.next_stage(scene, newest)
    reason = own.reason if own else "UnderWay"
    told = f"{own.what}{_in_front(scene, own)}" if own else f"{newest.version} is on its way in stage {stage}."
    return stage, newest.version, reason, told


def _in_front(scene: Scene, own: plan.HubWait) -> str:
    """Say what the change waits for that is in the slot: what stands still first, for that is what keeps both."""
    if own.reason != "Queued":
        return ""
    found = [w for w in scene.waits.values() if w.stage == own.stage and w.reason != own.reason]
    still = (w for w in found if w.expected is None and w.reason != "Turn")
    front = next(still, next(iter(found), None))
    return f", and waits for: {front.what}" if front else ""


def _runs(scene: Scene, item: Item) -> str:
    """Say that a change is delivered, and where it was passed over and nobody answers yet."""
    places = [place.partition("/") for place in item.skipped]
    missing = [
        f"Region {r} (stage {s})" for s, _, r in places if r in scene.regions and not scene.regions[r].is_reached
    ]
    but = f", but for {', '.join(missing)}: no answer" if missing else ""
    return f"{item.version} runs in every stage{but}."


def status(s: HubSnapshot, made: plan.HubPlan, old: Mapping[str, Any], now: datetime) -> Status:
    """Return the whole status of a Pipeline; times of conditions stay while their state does."""
    found: Status = {
        "observedGeneration": s.pipeline.generation,
        "stage": made.stage,
        "artifact": made.version,
        "reason": made.reason,
        "message": made.message[:1024],
        "travelling": [_travelling(item) for item in made.memory.items],
        "stages": [_stage_status(stage) for stage in made.stages],
        "waitingFor": [_wait(wait) for wait in made.waits[:_MOST_WAITS]],
        "override": made.override.status if made.override is not None else {},
        "merged": dict(made.merged),
        "memory": dump_memory(made.memory),
        "conditions": _conditions(s, made, old, now),
    }
    return {k: v for k, v in found.items() if v not in ("", [], {}) or k == "memory"}


def _filled(found: Mapping[str, Any]) -> Status:
    return {k: v for k, v in found.items() if v not in ("", None, [], {}, 0)}


def _stamp(moment: datetime | None) -> str:
    return stamp(moment) if moment else ""


def _travelling(item: Item) -> Status:
    told = {"stage": item.stage, "state": "Inside" if item.is_inside else "Waiting", "batch": item.batch}
    rest: Status = {"since": _stamp(item.since), "skipped": list(item.skipped)}
    rest |= {"began": _stamp(item.began_at), "provenance": provenance.told(item.provenance)}
    return {"sequence": item.sequence, "artifact": item.version, **_filled({**told, **rest})}


def _stage_status(stage: plan.StageReport) -> Status:
    told = {"artifact": stage.version, "sequence": stage.sequence, "since": _stamp(stage.since), "batch": stage.batch}
    regions = [
        {"name": r.name, "state": r.state}
        | _filled({"artifact": r.version, "sequence": r.sequence, "phase": r.phase, "message": r.message[:256]})
        for r in stage.regions
    ]
    return {"name": stage.name, "state": stage.state, **_filled({**told, "regions": regions})}


def _wait(wait: plan.HubWait) -> Status:
    rest = {
        "who": wait.who,
        "command": wait.command,
        "expected": _stamp(wait.expected),
        "stage": wait.stage,
        "region": wait.region,
        "artifact": content.id_of(wait.artifact),
    }
    return {"what": wait.what, "since": _stamp(wait.since), **_filled(rest)}


def _conditions(s: HubSnapshot, made: plan.HubPlan, old: Mapping[str, Any], now: datetime) -> list[Status]:
    generation, is_commanded = s.pipeline.generation, bool(s.pipeline.abort or s.pipeline.retry)
    found = unheard.fact(made.unheard, is_commanded=is_commanded, old=old, generation=generation)
    facts = (*_facts(made), *((unheard.HEARD, *fact) for fact in found))
    return [condition(fact, old, generation, now) for fact in facts]


def _facts(made: plan.HubPlan) -> list[tuple[str, str, str, str]]:
    """Return the table of conditions: kstatus's three, whether all is delivered, and whether the spec is valid.

    A region that does not answer makes Ready Unknown: silence is never success.
    """
    ready = _ready(made)
    stalled = bool(made.problem) or made.reason in _STALLED
    delivered = made.reason == "Delivered"
    told = "" if delivered else made.message
    return [
        ready,
        ("Reconciling", str(not delivered and not stalled and made.reason != "Base"), made.reason or "Idle", told),
        ("Stalled", str(stalled), made.reason if stalled else "Going", told if stalled else ""),
        ("Delivered", str(delivered), made.reason or "Idle", told),
        ("SpecValid", str(not made.problem), "Invalid" if made.problem else "Valid", made.problem),
    ]


def _ready(made: plan.HubPlan) -> tuple[str, str, str, str]:
    regions = [(stage.name, r) for stage in made.stages for r in stage.regions]
    lacks = {(stage, r.name): lack for stage, r in regions if (lack := _lack(r))}
    silent = [f"Region {r.name} (stage {stage})" for stage, r in regions if r.state == State.UNREACHED.value]
    if silent:
        return "Ready", "Unknown", "Unreachable", f"{_few(silent)}: no answer"
    if regions and not lacks:
        return "Ready", "True", "Serving", ""
    named = [f"Region {region} (stage {stage}): {lack}" for (stage, region), lack in lacks.items()]
    first = next((lack for lack in (*_SERVE_NOT.values(), _NO_GOOD) if lack in lacks.values()), "Missing")
    return "Ready", "False", first, _few(named)


def _few(named: list[str]) -> str:
    more = f", and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return ", ".join(named[:_MOST_NAMED]) + more


def _lack(region: plan.RegionReport) -> str:
    """Return why a region does not serve what this Pipeline delivered, empty if it does."""
    return _SERVE_NOT.get(region.state, "" if region.has_good else _NO_GOOD)
