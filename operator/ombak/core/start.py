"""Whether a change may start: what blocks it, better not begun than taken back (R86, design 2)."""

from ombak.core import commands
from ombak.core.evidence import Evidence
from ombak.core.plan import Waiting
from ombak.core.snapshot import RolloutView, Snapshot


def what_blocks(s: Snapshot, evidence: Evidence, replicas: int, *, is_first: bool) -> Waiting | None:
    """Return what the change waits for, or None if it may start now.

    A first install is not held by alarms: nothing runs yet that they could speak of, and where an earlier
    install failed they must not block its fix.
    """
    by_people = _wish(s, replicas)
    if by_people is not None:
        return by_people
    if not _is_accepted(s):
        return Waiting("template", "the API server's dry run of the pod template", "nobody")
    return None if is_first else _alarms(evidence)


def _wish(s: Snapshot, replicas: int) -> Waiting | None:
    rollout = s.rollout
    if rollout.problem:
        return Waiting("spec", rollout.problem, "whoever edits the Rollout")
    if replicas == 0:
        return Waiting(
            "replicas", "spec.replicas to be more than 0", "whoever scales it up", commands.scale_up(rollout)
        )
    if rollout.spec.paused:
        return paused(rollout)
    return None


def paused(rollout: RolloutView) -> Waiting:
    """Return the wait of a Rollout that a person paused."""
    return Waiting("paused", "spec.paused to be lifted", "whoever paused it", commands.unpause(rollout))


def template_problem(s: Snapshot) -> str:
    """Return what the API server has against the wanted template, empty if nothing is known."""
    check = s.template_check
    return check.problem if check is not None and check.artifact == s.rollout.artifact else ""


def _is_accepted(s: Snapshot) -> bool:
    if s.artifact(s.rollout.artifact) is not None:
        return True
    check = s.template_check
    return check is not None and check.artifact == s.rollout.artifact and not check.problem


def _alarms(evidence: Evidence) -> Waiting | None:
    if evidence.alarm is not None:
        told = evidence.alarm.message or ", ".join(evidence.alarm.contributors)
        return Waiting("alarm", f"an alarm to end that was there before the change: {told}", "the alarm's owner")
    if evidence.unknown is not None:
        told = evidence.unknown.message or "; ".join(evidence.unknown.unknown)
        return Waiting("alarms", f"alarms that can be evaluated: {told}", "whoever runs Prometheus or owns the alarm")
    return None
