"""Which versions the hub keeps: wanted, on their way, running anywhere, and the last ten (design 2)."""

from collections.abc import Collection, Iterator

from ombak.core.conveyor import manifests, plan, queue
from ombak.core.conveyor.scene import Scene

KEPT = 10


def clear(scene: Scene) -> None:
    """Delete old Artifacts of the hub that nobody needs any more; while a region is silent none is deleted.

    What a version brought to regions as copies of ConfigMaps goes first: later nobody would know their names.
    """
    if not all(region.is_reached for region in scene.s.regions):
        return
    wish = queue.wished(scene)
    used = {i.version for i in scene.items} | {f.version for f in scene.ours()} | ({wish.version} if wish else set())
    newest = sorted(scene.s.artifacts, key=lambda a: a.sequence, reverse=True)[:KEPT]
    keep = used | {a.version for a in newest}
    old = [a for a in scene.s.artifacts if a.version not in keep and a.is_ours]
    kept = {n for a in scene.artifacts.values() if a not in old for n in manifests.copies(a)}
    for artifact in old:
        left = list(_left(scene, manifests.copies(artifact) - kept))
        scene.late += dict.fromkeys(drop for drop in left if drop is not None and drop not in scene.late)
        if not left:
            scene.late.append(plan.DeleteArtifact(artifact.version, artifact.name, artifact.resource_version))


def _left(scene: Scene, names: Collection[str]) -> Iterator[plan.DropConfig | None]:
    """Return what is still to be deleted; None stands for what a region may go back to, and so needs."""
    for facts in scene.ours():
        for name in sorted(names):
            if name in facts.configs:
                yield None
            elif (facts.region, facts.namespace, name) not in scene.s.dropped:
                yield plan.DropConfig(facts.region, facts.namespace, name, scene.s.hub, scene.s.pipeline.key)
