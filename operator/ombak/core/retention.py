"""Which versions are kept, and what is cleared away: stable, wanted, any with boxes, and the last ten (design 2).

And the newest two that were good here: however many fail after one another, there is something to go back to.
"""

from ombak.core import plan
from ombak.core.converge import artifacts_with_boxes
from ombak.core.snapshot import Snapshot

KEPT = 10
KEPT_GOOD = 2


def leftovers(s: Snapshot, stable: str, zones: tuple[str, ...]) -> tuple[plan.Action, ...]:
    """Return the deletions of empty ReplicaSets and old Artifacts that nobody needs any more."""
    newest = sorted(s.artifacts, key=lambda a: a.sequence, reverse=True)[:KEPT]
    good = sorted((a for a in s.artifacts if a.is_good), key=lambda a: a.stable_order, reverse=True)[:KEPT_GOOD]
    keep = {a.id for a in (*newest, *good)} | artifacts_with_boxes(s) | {stable, s.rollout.artifact}
    sets = [
        plan.Delete("ReplicaSet", f.name, f.uid, f.resource_version)
        for f in s.fleet
        if not (f.desired or f.replicas or f.is_deleting) and (f.artifact not in keep or f.zone not in zones)
    ]
    versions = [
        plan.Delete("Artifact", a.name, a.uid, a.resource_version)
        for a in s.artifacts
        if a.id not in keep and a.is_ours
    ]
    return (*sets, *versions)
