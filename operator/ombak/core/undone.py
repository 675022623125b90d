"""A release whose boxes went back although nobody could write that down: then the cluster is right, not the memory.

A way back does not wait for a status that is refused (P3). Where the process dies before one is written, the next one
finds the old memory, with steps that were approved and boxes that are not there any more. To make them again in one go
would need no evidence, so what is on its way is told from the boxes, as with an erased status: it begins its step anew.
"""

import dataclasses

from ombak.core import layout
from ombak.core.converge import asked_of
from ombak.core.course import newest_good
from ombak.core.memory import Memory, Mode
from ombak.core.ownership import live_replicas, without_copies
from ombak.core.snapshot import Snapshot


def without_undone(s: Snapshot) -> Snapshot:
    """Leave out a release whose boxes made room for others again, in the first look of a process.

    Fewer of it are asked for than served before, and more of others than its share leaves them. Boxes that nobody asks
    for yet, as after a scale up that came while no operator was there, tell nothing of a way back.
    """
    release = s.memory.release
    if s.elapsed is not None or release is None or release.mode is Mode.INSTALL or newest_good(s) is None:
        return s
    replicas = live_replicas(s)
    approved = sum(layout.reached(layout.segments(s.rollout.spec, replicas), release.position))
    asked = asked_of(s, release.artifact)
    others = sum(o.desired for o in (*s.fleet, *s.one_boxes)) - asked
    served = max(release.step.high_water, 1 if release.step.number > 1 else 0)
    # After a scale down no more than what is approved is asked for.
    if asked >= min(served, approved) or others <= replicas - approved:
        return s
    return dataclasses.replace(s, memory=dataclasses.replace(s.memory, release=None))


def believed(s: Snapshot) -> Memory:
    """Return what a process may remember after its first look: it may not come to write that down at once."""
    return without_undone(without_copies(s)).memory
