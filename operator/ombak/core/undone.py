"""A release whose boxes went back although nobody could write that down: then the cluster is right, not the memory.

A way back does not wait for a status that is refused (P3). Where the process dies before one is written, the next one
finds the old memory, with steps that were approved and boxes that are not there any more. To make them again in one go
would need no evidence, so what is on its way is told from the boxes, as with an erased status: it begins its step anew.
"""

import dataclasses

from ombak.core import layout
from ombak.core.converge import asked_of
from ombak.core.course import newest_good
from ombak.core.memory import Mode
from ombak.core.ownership import live_replicas
from ombak.core.snapshot import Snapshot


def without_undone(s: Snapshot) -> Snapshot:
    """Leave out a release of which fewer boxes are asked for than served before, in the first look of a process."""
    release, stable = s.memory.release, newest_good(s)
    if s.elapsed is not None or release is None or release.mode is Mode.INSTALL or stable is None:
        return s
    parts = layout.segments(s.rollout.spec, live_replicas(s))
    approved = sum(layout.reached(parts, release.position))  # after a scale down no more than these are asked for
    served = max(release.step.high_water, 1 if release.step.number > 1 else 0)
    if asked_of(s, release.artifact) >= min(served, approved):
        return s
    return dataclasses.replace(s, memory=dataclasses.replace(s.memory, release=None))
