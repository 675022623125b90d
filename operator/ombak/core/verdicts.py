"""What was decided elsewhere: ids in `spec.rejected` are taken back here too, at revert speed (design 3, R68)."""

import dataclasses
from datetime import datetime

from ombak.core import plan
from ombak.core.plan import Note, Waiting
from ombak.core.snapshot import ArtifactView, Rejection, Snapshot

REASON = "RejectedElsewhere"
_MESSAGE = "spec.rejected names it: it was taken back elsewhere."


def judged(s: Snapshot, now: datetime) -> Snapshot:
    """Return the snapshot in which every version that `spec.rejected` names is rejected, recorded already or not."""
    named = _unrecorded(s)
    if not named:
        return s
    views = tuple(
        dataclasses.replace(v, rejection=Rejection(REASON, _MESSAGE, now)) if v in named else v for v in s.artifacts
    )
    return dataclasses.replace(s, artifacts=views)


def records(s: Snapshot) -> tuple[plan.Action, ...]:
    """Return the verdicts to write down, before anything moves."""
    return tuple(plan.RecordRejected(v.id, REASON, _MESSAGE) for v in _unrecorded(s))


def notes(s: Snapshot) -> tuple[Note, ...]:
    """Return what happens, for people; said once, when it is recorded."""
    return tuple(
        Note("RejectedElsewhere", f"{v.id} is taken back: {_MESSAGE}", is_warning=True) for v in _unrecorded(s)
    )


def _unrecorded(s: Snapshot) -> tuple[ArtifactView, ...]:
    return tuple(v for v in s.artifacts if v.id in s.rollout.spec.rejected and v.rejection is None and v.is_ours)


def forbidden(s: Snapshot) -> Waiting | None:
    """Return the wait of a version that `spec.rejected` keeps from starting at all, or None."""
    wanted = s.rollout.artifact
    if wanted not in s.rollout.spec.rejected:
        return None
    what = f"another version in spec.template: spec.rejected names {wanted}"
    return Waiting("rejected", what, "whoever writes spec.rejected")


def to_retry(s: Snapshot) -> ArtifactView | None:
    """Return the version that a person's retry takes the verdict off, or None; what `spec.rejected` names stays."""
    command = s.rollout.retry
    view = s.artifact(command.partition(".")[0]) if command else None
    if view is None or view.rejection is None or view.retried == command or view.id in s.rollout.spec.rejected:
        return None
    return view


def retried(s: Snapshot) -> Snapshot:
    """Return the snapshot in which a retry has taken effect: no status written after it tells the old verdict."""
    view = to_retry(s)
    if view is None:
        return s
    views = tuple(
        dataclasses.replace(v, rejection=None, retried=s.rollout.retry) if v is view else v for v in s.artifacts
    )
    return dataclasses.replace(s, artifacts=views)
