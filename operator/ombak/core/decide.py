"""The decision: one snapshot and the time in, one plan out. Pure; the same input gives the same plan."""

import dataclasses
from datetime import datetime

from ombak.api.rollout import Phase
from ombak.core import back, delivery, layout, retention, returning, verdicts
from ombak.core.converge import is_done
from ombak.core.course import Course, heading
from ombak.core.memory import Memory, Wait
from ombak.core.ownership import conflict, housekeeping, live_replicas
from ombak.core.plan import Note, Plan, Waiting
from ombak.core.scene import Scene
from ombak.core.snapshot import Snapshot


def decide(s: Snapshot, now: datetime) -> Plan:
    """Return what to do about a Rollout now. Raises nothing for any snapshot."""
    if s.rollout.is_deleting:
        return Plan(Phase.STABLE, s.memory, message="It is being deleted.")
    problem = conflict(s)
    if problem:
        waiting = Waiting("conflict", problem, "whoever owns that object, by deleting or renaming it")
        return _with_wait(Plan(Phase.INVALID, s.memory, waiting=waiting, message=problem), s, now)
    replicas, seen = live_replicas(s), s
    told = verdicts.judged(s, now)
    s = verdicts.retried(told)
    spec = s.rollout.spec
    scene = Scene(
        s=s,
        heading=heading(s),
        replicas=replicas,
        parts=layout.segments(spec, replicas),
        zones=tuple(spec.zones or ("",)),
        now=now,
    )
    made = _way_back_first(scene) or _COURSES[scene.heading.course](scene)
    kept = housekeeping(told, replicas)
    made = dataclasses.replace(
        made,
        actions=(*verdicts.records(seen), *kept, *made.actions),
        notes=(*verdicts.notes(seen), *made.notes),
        stable=made.stable or scene.heading.stable,
    )
    return _with_wait(made, s, now)


def _with_wait(made: Plan, s: Snapshot, now: datetime) -> Plan:
    """Keep since when the same thing is waited for."""
    wait = None
    if made.waiting is not None:
        old = s.memory.wait
        wait = old if old is not None and old.key == made.waiting.key else Wait(made.waiting.key, now)
    return dataclasses.replace(made, memory=dataclasses.replace(made.memory, wait=wait))


def _way_back_first(scene: Scene) -> Plan | None:
    """A way back that has begun is finished, boxes serving, before anything else is called done or started."""
    reverting, target = scene.s.memory.reverting, scene.heading.stable
    if reverting is None or not target or scene.heading.course is Course.FORWARD:
        return None
    settled = is_done(scene.s, layout.wants_only(scene.parts, target))
    reverting = dataclasses.replace(reverting, target=target)
    return None if settled and back.is_over(scene.s, reverting, scene.replicas, scene.now) else returning.revert(scene)


def _stable(scene: Scene) -> Plan:
    s, stable = scene.s, scene.heading.stable
    notes: tuple[Note, ...] = ()
    if s.memory.reverting is not None:
        notes = (Note("Returned", f"Every box is back on {stable}, as the spec asks."),)
    problem = s.rollout.problem
    return Plan(
        phase=Phase.INVALID if problem else Phase.STABLE,
        memory=Memory(),
        actions=(*scene.stay(stable), *retention.leftovers(s, stable, scene.zones)),
        notes=notes,
        waiting=Waiting("spec", problem, "whoever edits the Rollout") if problem else None,
        message=problem or f"{stable} runs in every box and finished its bake.",
        current=stable,
        boxes=scene.boxes(stable),
    )


_COURSES = {
    Course.INSTALL: delivery.install,
    Course.START: delivery.begin,
    Course.FORWARD: delivery.forward,
    Course.REVERT: returning.revert,
    Course.STABLE: _stable,
    Course.REVERTED: returning.reverted,
    Course.FAILED: returning.failed,
}
