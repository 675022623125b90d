"""Verdicts that are not on their Artifacts (yet), and count all the same.

Those of elsewhere: ids in `spec.rejected` are taken back here too, at revert speed (design 3, R68). And those that the
API server has not let be written down (`core.unrecorded`).
"""

import dataclasses
from datetime import datetime

from ombak.core import commands, plan
from ombak.core.memory import Unrecorded
from ombak.core.plan import Note, Waiting
from ombak.core.snapshot import ArtifactView, Rejection, Snapshot

REASON = "RejectedElsewhere"
_MESSAGE = "spec.rejected names it: it was taken back elsewhere, or somebody wrote it there."
_LONGEST = 1024
"""Characters of a message, as on an Artifact."""


def judged(s: Snapshot, now: datetime) -> Snapshot:
    """Return the snapshot in which every version that was taken back is rejected, recorded already or not."""
    found = {v.name: verdict for v in s.artifacts if (verdict := _verdict(s, v, now)) is not None}
    if not found:
        return s
    views = tuple(dataclasses.replace(v, rejection=found.get(v.name, v.rejection)) for v in s.artifacts)
    return dataclasses.replace(s, artifacts=views)


def _verdict(s: Snapshot, view: ArtifactView, now: datetime) -> Rejection | None:
    """Return the verdict on a version, where it is not on its Artifact."""
    if view.rejection is not None or not view.is_ours:
        return None
    kept = (u for u in s.memory.unrecorded if (u.artifact, u.retried) == (view.id, view.retried))
    found = next(kept, None)
    if found is not None:
        return Rejection(found.reason, found.message, now, is_recorded=False)
    return Rejection(REASON, _MESSAGE, now) if view.id in s.rollout.spec.rejected else None


def records(s: Snapshot, told: Snapshot) -> tuple[plan.Action, ...]:
    """Return the verdicts to write down, before anything moves; not what a retry takes off at once."""
    spared = to_retry(told)
    return tuple(plan.RecordRejected(v.id, r.reason, r.message) for v, r in _new(s, told) if v is not spared)


def notes(s: Snapshot, told: Snapshot) -> tuple[Note, ...]:
    """Return what happens, for people; said once: of what is remembered it was said before."""
    new = (v.id for v, verdict in _new(s, told) if verdict.is_recorded)
    return tuple(Note("RejectedElsewhere", f"{id_} is taken back: {_MESSAGE}", is_warning=True) for id_ in new)


def _new(s: Snapshot, told: Snapshot) -> list[tuple[ArtifactView, Rejection]]:
    """Return what is rejected in the judged snapshot, and not on its Artifact."""
    pairs = zip(s.artifacts, told.artifacts, strict=True)
    return [(v, v.rejection) for before, v in pairs if before.rejection is None and v.rejection is not None]


def unrecorded(s: Snapshot) -> tuple[Unrecorded, ...]:
    """Return the verdicts that are nowhere but in the memory."""
    found = ((v, v.rejection) for v in s.artifacts if v.rejection is not None and not v.rejection.is_recorded)
    return tuple(Unrecorded(v.id, r.reason, r.message[:_LONGEST], v.retried) for v, r in found)


def forbidden(s: Snapshot) -> Waiting | None:
    """Return the wait of a version that `spec.rejected` keeps from starting at all, or None."""
    wanted = s.rollout.artifact
    if wanted not in s.rollout.spec.rejected:
        return None
    what = f"another version in spec.template, or spec.rejected not to name {wanted} any more"
    return Waiting("rejected", what, "whoever writes spec.rejected", commands.edit(s.rollout))


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
