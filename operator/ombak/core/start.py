"""Whether a change may start, or take its next step: what blocks it, better not begun than taken back (R85-R91)."""

import dataclasses
from datetime import datetime, timedelta

from ombak.alarms.verdict import Verdict
from ombak.api.rollout import KnownGood
from ombak.api.wording import clause
from ombak.core import baseline, commands, keeping, naming, verdicts
from ombak.core.course import good_ones, newest_good, newest_last
from ombak.core.evidence import Evidence
from ombak.core.gates.alarms import AlarmGate, unknown_held
from ombak.core.gates.gate import ZERO, Context, Held, Moment
from ombak.core.gates.horizon import detection_horizon
from ombak.core.plan import Waiting
from ombak.core.snapshot import RolloutView, Snapshot


def what_blocks(s: Snapshot, evidence: Evidence, replicas: int, now: datetime, *, is_first: bool) -> Waiting | None:
    """Return what the change waits for, or None if it may start now.

    A first install is not held by alarms: nothing runs yet that they could speak of, and where an earlier
    install failed they must not block its fix. Windows and Blockers hold it as they hold any start.
    """
    if s.rollout.problem:
        return invalid(s.rollout)
    if s.is_in_conflict:
        return in_conflict()
    if s.off_record:
        return off_record(s)
    return (
        verdicts.forbidden(s)
        or keeping.what_holds(s)
        or _template(s)
        or _people(s, replicas)
        or (None if is_way_back(s, evidence) else _gates(s, evidence, replicas, now, is_first=is_first))
        or _template_once_more(s)
    )


def is_way_back(s: Snapshot, evidence: Evidence) -> bool:
    """Somebody asks for a version that was good here before while an alarm is on.

    The alarm may well be the doing of what runs, so holding the way back by it would make the outage last (R88): it
    goes as a revert does, and as for any revert no gate is asked.
    """
    return evidence.alarm is not None and is_known_good(s)


def _gates(s: Snapshot, evidence: Evidence, replicas: int, now: datetime, *, is_first: bool) -> Waiting | None:
    """Alarms come last: while a Window is closed they may come and go without anybody waiting for them."""
    horizon = ZERO
    if s.gates.windows:
        horizon = detection_horizon(s.rollout.spec, replicas, is_first=is_first, is_fast=is_known_good(s))
    held = s.gates.hold(start_of(s, horizon), now)
    if held is None and not is_first:
        passed = s.gates.overrides.alarms(s.rollout.artifact, now)
        to_keep = baseline.to_keep(s, s.rollout.artifact) if passed else 0
        gate = AlarmGate(evidence, commands.look_at_alarms(s.rollout), _who_ends_an_alarm(s), passed, to_keep)
        held = gate.holds(start_of(s), now)
    return None if held is None else _waiting(held)


def _who_ends_an_alarm(s: Snapshot) -> str:
    """Tell also how what runs is taken back, where there is something to go back to: it may be the cause."""
    owner, good = "the alarm's owner", sorted(good_ones(s), key=newest_last)
    if len(good) < 2:
        return owner
    before, running = good[-2].id, good[-1].id
    return f"{owner}; if {running} is the cause, spec.rejected: [{running}] takes it back to {before} at once"


def what_blocks_a_step(s: Snapshot, artifact: str, now: datetime) -> Waiting | None:
    """Return what stops the next step of a release under way, though all its evidence is in; None if nothing does."""
    held = s.gates.hold(step_of(s, artifact), now)
    return None if held is None else _waiting(held)


def start_of(s: Snapshot, horizon: timedelta = ZERO) -> Context:
    """Return what the gates are asked about the start of the wanted version."""
    return _context(s, Moment.START, s.rollout.artifact, horizon)


def step_of(s: Snapshot, artifact: str) -> Context:
    """Return what the gates are asked about the next step of a release of a version."""
    return _context(s, Moment.STEP, artifact)


def _context(s: Snapshot, moment: Moment, artifact: str, horizon: timedelta = ZERO) -> Context:
    rollout = s.rollout
    return Context(
        namespace=rollout.namespace,
        name=rollout.name,
        moment=moment,
        labels=rollout.labels,
        horizon=horizon,
        artifact=artifact,
        behind=rollout.artifact,
        ended=ended(s),
    )


def ended(s: Snapshot) -> frozenset[str]:
    """Return the versions that have come to their end here: the stable one, and those that were taken back."""
    stable = newest_good(s)
    return frozenset(a.id for a in s.artifacts if a.rejection is not None or a is stable)


def what_permit_lacks(s: Snapshot, artifact: str) -> Waiting | None:
    """Return the wait for the word that a version may leave its one box; None if nobody asks for that, or it is said.

    It holds in the region itself, so that no failure of whoever gives it lets an untested version out (R31, R33).
    """
    if not s.rollout.spec.strategy.one_box.needs_permit or s.rollout.permit == artifact:
        return None
    what = f"the permit to leave the one box: the annotation {naming.PERMIT} names {artifact}"
    who = "the hub, once its tests of coexistence have passed; or whoever may annotate the Rollout"
    return Waiting("permit", what, who, commands.permit(s.rollout, artifact))


def _waiting(held: Held) -> Waiting:
    return Waiting(held.key, held.what, held.who, held.command, held.expected)


def is_known_good(s: Snapshot, artifact: str = "") -> bool:
    """A version, the wanted one if none is named, was stable here before, and goes without bakes."""
    view = s.artifact(artifact or s.rollout.artifact)
    return view is not None and view.is_good and s.rollout.spec.strategy.known_good is KnownGood.FAST


def _people(s: Snapshot, replicas: int) -> Waiting | None:
    rollout = s.rollout
    if replicas == 0:
        return no_replicas(rollout)
    if rollout.spec.paused:
        return paused(rollout)
    return None


def unrecorded(s: Snapshot) -> Waiting | None:
    """Return the wait for the records of versions that run, or None if there are no other ones than the wanted.

    Whoever deletes Artifacts takes the verdicts with them. What runs then may be all that was good, and what is
    wanted may have been taken back, so nothing is exchanged until a person has decided.
    """
    known = {a.id for a in s.artifacts} | {s.rollout.artifact}
    lost = next((o for o in (*s.fleet, *s.one_boxes) if (o.desired or o.replicas) and o.artifact not in known), None)
    if lost is None:
        return None
    what = f"the Artifact of {lost.artifact}, which runs in {lost.name} though nothing is recorded of it any more"
    who = "whoever owns the Rollout, by asking for that version first; or by deleting that object, boxes and all"
    return Waiting("records", what, who)


def invalid(rollout: RolloutView) -> Waiting:
    """Return the wait of a Rollout whose spec is wrong."""
    what = f"a spec that is right: {clause(rollout.problem)}"
    return Waiting("spec", what, "whoever edits the Rollout", commands.edit(rollout))


def in_conflict() -> Waiting:
    """Return the wait for an object in the way; who it is, `decide` tells in place of this."""
    return Waiting("conflict", "an object of somebody else to be out of the way", "whoever owns that object")


def off_record(s: Snapshot) -> Waiting:
    """Return the wait for the API server to take a record on which everything that is new rests."""
    what = f"the API server to take what must be on record first: {clause(s.off_record)}"
    return Waiting("refused", what, "whoever may change what the API server refuses, or runs it")


def no_replicas(rollout: RolloutView) -> Waiting:
    """Return the wait of a Rollout without any box."""
    what = "spec.replicas to be more than 0, for without boxes nothing can be proven"
    return Waiting("replicas", what, "whoever scales it up", commands.scale_up(rollout))


def paused(rollout: RolloutView) -> Waiting:
    """Return the wait of a Rollout that a person paused."""
    return Waiting("paused", "spec.paused to be lifted", "whoever paused it", commands.unpause(rollout))


def template_problem(s: Snapshot) -> str:
    """Return what the API server has against the wanted template, empty if nothing is known."""
    check = s.template_check
    return check.problem if check is not None and check.artifact == s.rollout.artifact else ""


def is_invalid(s: Snapshot) -> bool:
    """The API server refuses the wanted template for what is in it."""
    return bool(template_problem(s)) and s.template_check is not None and not s.template_check.who


def must_ask(s: Snapshot) -> bool:
    """The API server was not asked about the wanted template, or so long ago that it may say something else now."""
    check = s.template_check
    return check is None or check.artifact != s.rollout.artifact or check.is_stale


def _template(s: Snapshot) -> Waiting | None:
    """The template is asked about first, so that its author hears at once, whatever else is in the way."""
    if s.artifact(s.rollout.artifact) is not None:
        return None
    problem, check = template_problem(s), s.template_check
    if problem and check is not None and check.who:
        return Waiting("template", f"the API server to take boxes of it: {clause(problem)}", check.who)
    if problem:
        what = f"a pod template that the API server takes: {clause(problem)}"
        return Waiting("template", what, "whoever edits spec.template", commands.edit(s.rollout))
    return None if check is not None and check.artifact == s.rollout.artifact else _dry_run()


def _template_once_more(s: Snapshot) -> Waiting | None:
    """What was fine before a long wait is asked again right before the start, and not all the while."""
    return _dry_run() if s.artifact(s.rollout.artifact) is None and must_ask(s) else None


def _dry_run() -> Waiting:
    return Waiting("template", "the API server's dry run of the pod template", "nobody, it is asked")


def unknown_alarms(rollout: RolloutView, unknown: Verdict, expected: datetime | None = None) -> Waiting:
    """Return the wait for alarms of which nothing certain is known."""
    return _waiting(dataclasses.replace(unknown_held(unknown, commands.look_at_alarms(rollout)), expected=expected))
