"""What goes on although the API server does not take a record of something new: all that does not rest on it (P3).

A full quota of ConfigMaps, or a policy about records, holds the version that lacks them. It holds neither the scaling
of what runs nor the way back from another version.
"""

import dataclasses

from ombak.core import plan
from ombak.core.failures import Failure
from ombak.core.snapshot import ArtifactView, CopyState, Snapshot, TemplateCheck


def without(s: Snapshot, refused: plan.Action | None, failure: Failure) -> Snapshot | None:
    """Return the snapshot in which it is known that this will not be recorded now; None where nothing goes on."""
    match refused:
        case plan.CreateArtifact(artifact=artifact):
            return dataclasses.replace(s, template_check=TemplateCheck(artifact, failure.message, failure.who))
        case plan.KeepConfig(artifact=artifact, name=name):
            views = (_without_copy(view, name) if view.id == artifact else view for view in s.artifacts)
            return dataclasses.replace(s, artifacts=tuple(views))
    return None


def _without_copy(view: ArtifactView, name: str) -> ArtifactView:
    copies = (dataclasses.replace(c, state=CopyState.REFUSED) if c.name == name else c for c in view.copies)
    return dataclasses.replace(view, copies=tuple(copies))
