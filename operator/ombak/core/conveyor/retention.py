"""Which versions the hub keeps: wanted, on their way, running anywhere, and the last ten (design 2)."""

from ombak.core.conveyor import plan, queue
from ombak.core.conveyor.scene import Scene

KEPT = 10


def clear(scene: Scene) -> None:
    """Delete old Artifacts of the hub that nobody needs any more; while a region is silent none is deleted."""
    if not all(region.is_reached for region in scene.s.regions):
        return
    wish = queue.wished(scene)
    used = {i.version for i in scene.items} | {f.version for f in scene.ours()} | ({wish.version} if wish else set())
    newest = sorted(scene.s.artifacts, key=lambda a: a.sequence, reverse=True)[:KEPT]
    keep = used | {a.version for a in newest}
    scene.late += [
        plan.DeleteArtifact(a.version, a.name, a.resource_version)
        for a in scene.s.artifacts
        if a.version not in keep and a.is_ours
    ]
