"""A release on its way: what its step has come to, and whether the next one may be taken (P2)."""

import dataclasses
from datetime import datetime

from ombak.api.duration import format_duration
from ombak.api.rollout import Bake, ThenOnUnknown
from ombak.api.wording import clause, sentence
from ombak.core import bake as bakes
from ombak.core import commands, naming, sight, start
from ombak.core.converge import asked_of, is_done, serving_of
from ombak.core.evidence import Evidence
from ombak.core.gates.alarms import told_by
from ombak.core.layout import Segment, Want, reached
from ombak.core.memory import ZERO, Mode, Position, Release, Step
from ombak.core.plan import Waiting
from ombak.core.snapshot import Snapshot

CHURN_PERCENT = 5
"""So many percent of boxes that once served may be away without the step counting as unavailable: a large fleet
always has a node that drains. Under 20 boxes this is none."""

DEADLINE = "ProgressDeadlineExceeded"
"""The reason of a verdict on boxes that did not come up, or did not stay."""

FORGIVEN_PERCENT = 10
"""So much of the time in which all boxes serve is taken off the time in which some were away: over a bake of half a
day nodes are drained and come back, and that is no crash loop. What is away a tenth of the time is, and so is what
never serves for as long as evidence takes: it would neither go on nor be late."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reject:
    """The release is taken back."""

    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Hold:
    """The release stays where it is."""

    waiting: Waiting
    is_loud: bool = False
    """It has been unknown for so long that a person should look."""


@dataclasses.dataclass(frozen=True, slots=True)
class Proceed:
    """Everything that the step needed is there."""


Judgement = Reject | Hold | Proceed


def new_step(number: int, goal: int, now: datetime, serving: int = 0) -> Step:
    """Return a step that was approved just now, while so many boxes served already.

    That is written down with the approval, and may be all that the next process knows of them (`core.undone`).
    """
    return Step(number=number, approved_at=now, goal=goal, high_water=serving, progress_at=now)


def goal_of(parts: tuple[Segment, ...], position: Position) -> int:
    """Return how many boxes of the new version a position approves."""
    return sum(reached(parts, position))


def observe(
    s: Snapshot,
    release: Release,
    wanted: tuple[Want, ...],
    parts: tuple[Segment, ...],
    evidence: Evidence,
    now: datetime,
) -> Release:
    """Return the release with what this look at the cluster and the alarms added to it."""
    have = serving_of(s, release.artifact)
    need = min(release.step.goal, goal_of(parts, release.position))
    step = release.step
    if step.arrived_at is not None:
        is_up = have >= need - CHURN_PERCENT * need // 100
    else:
        is_up = have >= need and is_done(s, wanted)
    is_up = is_up and need > 0
    if is_up:
        step = dataclasses.replace(step, ledger=bakes.backfilled(step.ledger, s, release))
    step = _moved(step, s, have, is_up, _is_lacking(s, release, have), evidence, now)
    ledger = bakes.tick(step.ledger, s, is_up and evidence.is_ok and not s.rollout.problem, now)
    if not evidence.verdicts and release.step.down_since is not None:
        # Nothing else watches, which would ask for a stretch without a break: good moments must not add up to a bake.
        ledger = bakes.set_back(ledger, sight.counted(s) * 100 // FORGIVEN_PERCENT)
    # After a restart nothing was evaluated yet, and whether it was unknown in between nobody knows: until this
    # process has asked, unknown only means early.
    before = release.unknown_since if s.elapsed is not None and s.has_asked else None
    unknown_since = (before or now) if evidence.unknown else None
    return dataclasses.replace(release, step=dataclasses.replace(step, ledger=ledger), unknown_since=unknown_since)


def _is_lacking(s: Snapshot, release: Release, have: int) -> bool:
    """Boxes are asked for and do not serve, or the API server does not let them be asked for: a deadline runs."""
    return asked_of(s, release.artifact) > have or bool(s.refusal)


def _moved(
    step: Step, s: Snapshot, have: int, is_up: bool, is_lacking: bool, evidence: Evidence, now: datetime
) -> Step:
    if have > step.high_water:
        # A step may take many exchanges; it can grow no more often than it has boxes, so this ends.
        step = dataclasses.replace(step, high_water=have, progress_at=now, down_for=ZERO)
    if is_up:
        # After a restart nobody knows what happened in between: evidence starts anew.
        since = step.available_since if s.elapsed is not None and step.available_since else now
        counts = sight.counted(s) if now >= evidence.ready_at(since) else ZERO
        down_for = max(ZERO, step.down_for - counts * FORGIVEN_PERCENT // 100)
        return dataclasses.replace(
            step, available_since=since, down_since=None, arrived_at=step.arrived_at or now, down_for=down_for
        )
    step = dataclasses.replace(step, available_since=None)
    if not is_lacking:
        # Nothing is asked for that does not serve: there is no room, or replicas is 0. No deadline runs.
        return dataclasses.replace(step, down_since=None, progress_at=now)
    return dataclasses.replace(step, down_since=step.down_since or now, down_for=step.down_for + sight.counted(s))


def judge(s: Snapshot, release: Release, parts: tuple[Segment, ...], evidence: Evidence, now: datetime) -> Judgement:
    """Return whether the release is taken back, stays, or goes on. What is bad comes before what is missing."""
    bake = bakes.bake_of(s.rollout.spec, release, parts)
    return (
        _bad(s, release, evidence, now)
        or _not_there(s, release, parts, now)
        or _unknown(s, release, evidence, now)
        or _held_by_people(s)
        or _old_alarm(s, release, evidence)
        or _not_proven(s, release, bake, evidence, now)
        or Proceed()
    )


def fired(evidence: Evidence) -> Reject | None:
    """Return the verdict on a release that an alarm speaks against; None where none does."""
    alarm = evidence.alarm
    return None if alarm is None else Reject("AlarmFired", sentence(told_by(alarm)))


def _bad(s: Snapshot, release: Release, evidence: Evidence, now: datetime) -> Reject | None:
    if s.rollout.abort and s.rollout.abort == release.artifact:
        return Reject("Aborted", f"{release.artifact} was aborted by the annotation ombak.dev/abort.")
    verdict = fired(evidence)
    if verdict is not None:
        return verdict
    late = _lateness(s, release, now)
    if late:
        why = s.refusal or s.trouble_of(release.artifact)
        return Reject(DEADLINE, f"{late} {sentence(why)}".strip())
    return None


def _lateness(s: Snapshot, release: Release, now: datetime) -> str:
    """Return why the step missed its deadline, empty if it did not. Boxes not yet asked for are nobody's fault."""
    step, limit = release.step, s.rollout.spec.progress_deadline
    have = serving_of(s, release.artifact)
    if step.down_since is None or not _is_lacking(s, release, have):
        return ""
    since = step.progress_at if step.arrived_at is None else step.down_since
    told = f"{have} of {_needed(s, step)} boxes of {release.artifact} serve"
    if now - since > limit:
        return f"{told}, and no more came up within progressDeadline {format_duration(limit)}."
    if step.down_for > (3 if step.arrived_at is None else 2) * limit:
        return f"{told}; they come and go, and were away longer than progressDeadline allows."
    return ""


def _needed(s: Snapshot, step: Step) -> int:
    """Return how many boxes a step waits for, for people: after a scale down no more than there are."""
    replicas = s.rollout.spec.replicas
    return step.goal if replicas is None else min(step.goal, replicas)


def _not_there(s: Snapshot, release: Release, parts: tuple[Segment, ...], now: datetime) -> Hold | None:
    step = release.step
    if step.available_since is not None:
        return None
    if not goal_of(parts, release.position):
        return Hold(start.no_replicas(s.rollout))
    have, asked = serving_of(s, release.artifact), asked_of(s, release.artifact)
    if asked <= have < step.goal:
        return Hold(
            Waiting(
                "capacity",
                "room to exchange a box without going under minAvailable",
                "whoever brings the other boxes back, or raises spec.replicas",
                commands.look_at_boxes(s.rollout),
            )
        )
    return Hold(boxes_wait(s, release, now))


def boxes_wait(s: Snapshot, release: Release, now: datetime) -> Waiting:
    """Return the wait of a step whose boxes are not all there."""
    step = release.step
    since = step.progress_at if step.arrived_at is None else (step.down_since or now)
    what = f"boxes of {release.artifact} to serve ({serving_of(s, release.artifact)} of {_needed(s, step)})"
    latest = since + s.rollout.spec.progress_deadline
    is_unmade = bool(s.unmade_of(release.artifact))
    mends = "whoever mends what keeps them" if is_unmade else "the boxes themselves"
    who = f"{mends}; else it {'has failed' if release.mode is Mode.INSTALL else 'is reverted'}"
    command = commands.look_for_boxes(s, release.artifact)
    return Waiting("boxes", with_trouble(s, release.artifact, what), who, command, latest, is_unmade)


def with_trouble(s: Snapshot, artifact: str, what: str) -> str:
    """Return a wait for boxes of a version with why they do not come up, if that is known."""
    trouble = s.trouble_of(artifact)
    return f"{what}: {clause(trouble)}" if trouble else what


def _unknown(s: Snapshot, release: Release, evidence: Evidence, now: datetime) -> Reject | Hold | None:
    unknown, policy = evidence.unknown, s.rollout.spec.on_unknown
    if unknown is None or release.unknown_since is None:
        return None
    is_over = s.has_asked and now - release.unknown_since >= policy.hold_for
    if is_over and policy.then is ThenOnUnknown.REVERT:
        told = f"Alarms were unknown for {format_duration(policy.hold_for)}: {told_by(unknown)}"
        return Reject("AlarmsUnknown", sentence(told))
    if s.rollout.problem:
        return _held_by_people(s)  # an expression that cannot be read is unknown too, and no Prometheus mends it
    expected = release.unknown_since + policy.hold_for if policy.then is ThenOnUnknown.REVERT else None
    return Hold(start.unknown_alarms(s.rollout, unknown, expected), is_over)


def _held_by_people(s: Snapshot) -> Hold | None:
    if s.rollout.problem:
        return Hold(start.invalid(s.rollout), is_loud=True)
    if s.is_in_conflict:
        return Hold(start.in_conflict())
    if s.off_record:
        return Hold(start.off_record(s))
    if s.rollout.spec.paused:
        return Hold(start.paused(s.rollout))
    return None


def _old_alarm(s: Snapshot, release: Release, evidence: Evidence) -> Hold | None:
    """What was in ALARM before it went ahead neither takes it back nor lets it go on, however long that lasts."""
    old = evidence.old_alarm
    if old is None:
        return None
    began = f"{release.began_at:%Y-%m-%d %H:%M:%S} UTC"
    what = f"an alarm to end that was there before {release.artifact} started at {began}: {told_by(old)}"
    newer = s.rollout.artifact if s.rollout.artifact != release.artifact else "a newer version"
    who = f"the alarm's owner; {newer} may enter only after an abort of this one ({naming.ABORT})"
    return Hold(Waiting("alarm", what, who, commands.abort(s.rollout, release.artifact)))


def _not_proven(s: Snapshot, release: Release, bake: Bake, evidence: Evidence, now: datetime) -> Reject | Hold | None:
    step = release.step
    assert step.available_since is not None
    # The bake first: a restart begins evidence anew, and in a bake that is nothing new to tell (P7).
    left = bakes.remaining(bake, step.ledger)
    if left > ZERO:
        told = f"the bake, proven good for {bakes.told(bake, step.ledger, now)}"
        good = "every alarm is OK" if evidence.verdicts else "its boxes serve, for nothing is watched"
        return Hold(Waiting("bake", told, f"time, while {good}", "", now + left))
    if not evidence.covers_since(step.available_since, now):
        at = evidence.ready_at(step.available_since)
        return Hold(Waiting("evidence", "alarm data from after this step only", "time", "", max(at, now)))
    lacking = bakes.missing_samples(bake, s)
    return _too_few_samples(s, release, bake, lacking, now) if lacking else None


def _too_few_samples(
    s: Snapshot, release: Release, bake: Bake, lacking: tuple[str, ...], now: datetime
) -> Reject | Hold:
    began, then = release.step.ledger.began_at or now, s.rollout.spec.on_unknown.then
    latest = began + bake.at_most if bake.at_most else None
    is_asked = all(quota.name in s.samples for quota in bake.at_least)  # else it only means early, after a restart
    is_over = is_asked and latest is not None and now >= latest
    if is_over and then is ThenOnUnknown.REVERT:
        return Reject("TooFewSamples", f"By atMost the bake still lacked {'; '.join(lacking)}.")
    is_counted = not any(isinstance(count, str) for count in s.samples.values())
    who = f"{'the traffic of this service' if is_counted else 'whoever mends it'}; or whoever lowers atLeast"
    what = f"enough samples ({'; '.join(lacking)})"
    return Hold(Waiting("samples", what, who, commands.edit(s.rollout), latest), is_over)
