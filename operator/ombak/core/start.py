"""Whether a change may start: what blocks it, better not begun than taken back (R86, design 2)."""

from datetime import datetime

from ombak.alarms.verdict import Verdict
from ombak.api.wording import clause
from ombak.core import commands
from ombak.core.evidence import Evidence
from ombak.core.plan import Waiting
from ombak.core.snapshot import RolloutView, Snapshot


def what_blocks(s: Snapshot, evidence: Evidence, replicas: int, *, is_first: bool) -> Waiting | None:
    """Return what the change waits for, or None if it may start now.

    A first install is not held by alarms: nothing runs yet that they could speak of, and where an earlier
    install failed they must not block its fix.
    """
    if s.rollout.problem:
        return invalid(s.rollout)
    return _template(s) or _people(s, replicas) or (None if is_first else _alarms(s.rollout, evidence))


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
    return Waiting("records", what, "whoever deleted it; or delete that object, to give its boxes up")


def invalid(rollout: RolloutView) -> Waiting:
    """Return the wait of a Rollout whose spec is wrong."""
    what = f"a spec that is right: {clause(rollout.problem)}"
    return Waiting("spec", what, "whoever edits the Rollout", commands.edit(rollout))


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


def must_ask(s: Snapshot) -> bool:
    """The API server was not asked about the wanted template, or so long ago that it may say something else now."""
    check = s.template_check
    return check is None or check.artifact != s.rollout.artifact or check.is_stale


def _template(s: Snapshot) -> Waiting | None:
    """The template is asked about first, so that its author hears at once, whatever else is in the way."""
    if s.artifact(s.rollout.artifact) is not None:
        return None
    problem = template_problem(s)
    if problem:
        what = f"a pod template that the API server takes: {clause(problem)}"
        return Waiting("template", what, "whoever edits spec.template", commands.edit(s.rollout))
    if must_ask(s):
        return Waiting("template", "the API server's dry run of the pod template", "nobody, it is asked")
    return None


def _alarms(rollout: RolloutView, evidence: Evidence) -> Waiting | None:
    if evidence.alarm is not None:
        what = f"an alarm to end that was there before the change: {told_by(evidence.alarm)}"
        return Waiting("alarm", what, "the alarm's owner", commands.look_at_alarms(rollout))
    return unknown_alarms(rollout, evidence.unknown) if evidence.unknown is not None else None


def told_by(verdict: Verdict) -> str:
    """Return what an alarm says, to stand inside a sentence."""
    return clause(verdict.message) or "; ".join(map(clause, verdict.contributors or verdict.unknown))


def unknown_alarms(rollout: RolloutView, unknown: Verdict, expected: datetime | None = None) -> Waiting:
    """Return the wait for alarms of which nothing certain is known."""
    what = f"alarms that can be evaluated: {told_by(unknown)}"
    who = "whoever runs Prometheus or owns the alarm"
    return Waiting("alarms", what, who, commands.look_at_alarms(rollout), expected)
