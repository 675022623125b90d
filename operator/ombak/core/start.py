"""Whether a change may start: what blocks it, better not begun than taken back (R86, design 2)."""

from ombak.core import commands, verdicts
from ombak.core.evidence import Evidence
from ombak.core.plan import Waiting
from ombak.core.snapshot import RolloutView, Snapshot


def what_blocks(s: Snapshot, evidence: Evidence, replicas: int, *, is_first: bool) -> Waiting | None:
    """Return what the change waits for, or None if it may start now.

    A first install is not held by alarms: nothing runs yet that they could speak of, and where an earlier
    install failed they must not block its fix.
    """
    if s.rollout.problem:
        return Waiting("spec", s.rollout.problem, "whoever edits the Rollout")
    return verdicts.forbidden(s) or _template(s) or _people(s, replicas) or (None if is_first else _alarms(evidence))


def _people(s: Snapshot, replicas: int) -> Waiting | None:
    rollout = s.rollout
    if replicas == 0:
        return Waiting(
            "replicas", "spec.replicas to be more than 0", "whoever scales it up", commands.scale_up(rollout)
        )
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
        return Waiting("template", problem, "whoever edits spec.template")
    if must_ask(s):
        return Waiting("template", "the API server's dry run of the pod template", "nobody, it is asked")
    return None


def _alarms(evidence: Evidence) -> Waiting | None:
    if evidence.alarm is not None:
        told = evidence.alarm.message or ", ".join(evidence.alarm.contributors)
        return Waiting("alarm", f"an alarm to end that was there before the change: {told}", "the alarm's owner")
    if evidence.unknown is not None:
        told = evidence.unknown.message or "; ".join(evidence.unknown.unknown)
        return Waiting("alarms", f"alarms that can be evaluated: {told}", "whoever runs Prometheus or owns the alarm")
    return None
