"""The decision: one snapshot and the time in, one plan out. Pure; the same input gives the same plan."""

import dataclasses
from datetime import datetime

from ombak.api.rollout import Phase
from ombak.api.wording import sentence
from ombak.core import back, delivery, keeping, layout, retention, returning, sight, start, supersede, unheard, verdicts
from ombak.core.converge import is_done
from ombak.core.course import Course, heading
from ombak.core.memory import Memory, Queued, Wait
from ombak.core.overrides.effective import effective
from ombak.core.overrides.used import recorded
from ombak.core.ownership import clear_copies, conflict, housekeeping, live_replicas, without_copies, without_strangers
from ombak.core.plan import Note, Plan
from ombak.core.scene import Scene
from ombak.core.snapshot import Snapshot
from ombak.core.undone import without_undone


def decide(s: Snapshot, now: datetime) -> Plan:
    """Return what to do about a Rollout now. Raises nothing for any snapshot."""
    if s.rollout.is_deleting:
        return Plan(Phase.STABLE, s.memory, message="It is being deleted.")
    made = _made(without_undone(sight.without_unseen(without_copies(s), now)), now)
    actions, notes = clear_copies(s)
    return dataclasses.replace(
        made,
        actions=(*actions, *made.actions),
        notes=(*notes, *made.notes),
        memory=sight.seen(made.memory, now),
    )


def _made(s: Snapshot, now: datetime) -> Plan:
    waiting = conflict(s)
    if waiting is None:
        return _decided(s, now)
    held = dataclasses.replace(without_strangers(s), is_in_conflict=True)
    made = _decided(held, now)
    if s.memory.reverting is not None or made.memory.reverting is not None:
        return made  # a revert waits for nobody (P3); only a name that it needs itself can stop it, at the write
    message = sentence(f"Only scaling goes on: it waits for {waiting.what}")
    made = dataclasses.replace(made, phase=Phase.INVALID, waiting=waiting, message=message, is_loud=True)
    return _with_wait(made, s, now)


def _decided(s: Snapshot, now: datetime) -> Plan:
    replicas, seen = live_replicas(s), s
    told = verdicts.judged(s, now)
    s = verdicts.retried(told)
    scene = _scene(s, replicas, now)
    made = _way_back_first(scene) or supersede.superseded(scene) or _COURSES[scene.heading.course](scene)
    made = recorded(s, keeping.withhold(s, supersede.asking(scene, made), now), replicas, now)
    kept = (*verdicts.records(seen, told), *housekeeping(told, replicas), *keeping.put_back(s))
    made = dataclasses.replace(
        made,
        actions=(*kept, *made.actions, *keeping.owning(s)),
        notes=(*verdicts.notes(seen, told), *unheard.notes(told), *made.notes),
        stable=made.stable or scene.heading.stable,
        memory=dataclasses.replace(made.memory, unrecorded=verdicts.unrecorded(s)),
    )
    return _with_queue(_with_wait(made, s, now), s, now)


def _scene(s: Snapshot, replicas: int, now: datetime) -> Scene:
    """Return the scene, in which bakes are those that hold for the version that it is about."""
    head, spec = heading(s), s.rollout.spec
    return Scene(
        s=effective(s, head.artifact, now),
        heading=head,
        replicas=replicas,
        parts=layout.segments(spec, replicas),
        zones=tuple(spec.zones or ("",)),
        now=now,
    )


def _with_wait(made: Plan, s: Snapshot, now: datetime) -> Plan:
    """Keep since when the same thing is waited for: boxes of the next step, or of the way back, are other ones."""
    wait = None
    if made.waiting is not None:
        old = s.memory.wait if _stretch(s.memory) == _stretch(made.memory) else None
        wait = old if old is not None and old.key == made.waiting.key else Wait(made.waiting.key, now)
    return dataclasses.replace(made, memory=dataclasses.replace(made.memory, wait=wait))


def _stretch(memory: Memory) -> object:
    """Return the part of a way to which a wait belongs."""
    release = memory.release
    step = (release.artifact, release.step.number) if release is not None else None
    return step, memory.reverting is None


def _with_queue(made: Plan, s: Snapshot, now: datetime) -> Plan:
    """Count the changes that are overtaken while they wait."""
    old, queued = s.memory.queued, None
    if made.queued:
        queued = old or Queued(made.queued, now)
        if queued.artifact != made.queued:
            queued = Queued(made.queued, queued.since, queued.superseded + 1)
    return dataclasses.replace(made, memory=dataclasses.replace(made.memory, queued=queued))


def _way_back_first(scene: Scene) -> Plan | None:
    """A way back that has begun is finished, boxes serving, before anything else is called done or started."""
    reverting, target = scene.s.memory.reverting, scene.heading.stable
    if reverting is None or not target or scene.heading.course is Course.FORWARD:
        return None
    reverting = back.observe(scene.s, reverting, target, scene.replicas, scene.now)
    may_lack = back.is_stuck(scene.s, reverting, scene.now)
    settled = is_done(scene.s, layout.wants_only(scene.parts, target), may_lack=may_lack)
    return None if settled and back.is_over(scene.s, reverting, scene.replicas, scene.now) else returning.revert(scene)


def _stable(scene: Scene) -> Plan:
    s, stable = scene.s, scene.heading.stable
    notes: tuple[Note, ...] = ()
    if s.memory.reverting is not None:
        notes = (Note("Returned", returning.ended(scene, stable, ", as the spec asks")),)
    problem = s.rollout.problem
    return Plan(
        phase=Phase.INVALID if problem else Phase.STABLE,
        memory=Memory(),
        actions=(*scene.stay(stable), *retention.leftovers(s, stable, scene.zones)),
        notes=notes,
        waiting=start.invalid(s.rollout) if problem else None,
        message=sentence(problem) or scene.delivered(stable),
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
