"""What goes on although the API server does not take a record: all that does not rest on it (P3).

A full quota of ConfigMaps, or a policy about records, holds the version that lacks them. It holds neither the scaling
of what runs nor the way back from another version. A verdict counts from the moment at which it is given; until it can
be written on its Artifact it is remembered (`memory.Unrecorded`), and every pass tries again.
"""

import dataclasses
from datetime import datetime

from ombak.core import plan, verdicts
from ombak.core.converge import artifacts_with_boxes
from ombak.core.course import newest_good
from ombak.core.failures import Failure
from ombak.core.snapshot import ArtifactView, CopyState, Rejection, Snapshot, TemplateCheck


def without(s: Snapshot, refused: plan.Action, failure: Failure, now: datetime) -> Snapshot:
    """Return the snapshot in which it is known that this will not be recorded now.

    Nothing new comes before the finalizer, the owners of what there is, and the verdict that a version is stable.
    """
    match refused:
        case plan.CreateArtifact(artifact=artifact):
            return dataclasses.replace(s, template_check=TemplateCheck(artifact, failure.message, failure.who))
        case plan.KeepConfig(artifact=artifact, name=name):
            views = (_without_copy(view, name) if view.id == artifact else view for view in s.artifacts)
            return dataclasses.replace(s, artifacts=tuple(views))
        case plan.RecordRejected(artifact=artifact, reason=reason, message=message):
            verdict = Rejection(reason, message, now, is_recorded=False)
            views = (dataclasses.replace(v, rejection=verdict) if v.id == artifact else v for v in s.artifacts)
            return dataclasses.replace(s, artifacts=tuple(views))
        case plan.RecordRetry():
            return dataclasses.replace(s, rollout=dataclasses.replace(s.rollout, retry=""))
    return dataclasses.replace(s, off_record=failure.message)


def remembering(made: plan.Plan, s: Snapshot) -> plan.Plan:
    """Return a plan that counts on verdicts already, with those that are not on record in its memory."""
    kept = {u.artifact: u for u in (*made.memory.unrecorded, *verdicts.unrecorded(s))}
    return dataclasses.replace(made, memory=dataclasses.replace(made.memory, unrecorded=tuple(kept.values())))


def is_missed(s: Snapshot, refused: plan.Action) -> bool:
    """Tell whether anything waits for that record: nothing does for one of a version that nobody needs (any more)."""
    if isinstance(refused, plan.Prepare | plan.Adopt):
        return True
    good, release = newest_good(s), s.memory.release
    needed = {s.rollout.artifact, good.id if good else "", release.artifact if release else ""}
    return getattr(refused, "artifact", "") in needed | artifacts_with_boxes(s)


def _without_copy(view: ArtifactView, name: str) -> ArtifactView:
    copies = (dataclasses.replace(c, state=CopyState.REFUSED) if c.name == name else c for c in view.copies)
    return dataclasses.replace(view, copies=tuple(copies))
