"""Two steps of whoever writes children of a Rollout: is it still there, and is a child that is there already ours."""

from ombak.core.snapshot import RolloutView
from ombak.runtime import kinds
from ombak.runtime.kube_port import Conflict, Kind, KubeClient, Object, mapping, metadata
from ombak.runtime.records import meta_of


async def check_lives(client: KubeClient, rollout: RolloutView) -> None:
    """Make sure that the Rollout lives; raises `Conflict` or `NotFound`.

    The garbage collector orphans children before the Rollout goes. Owned again by what is gone a moment later, they
    would be deleted with all their pods (P8).
    """
    meta = meta_of(await client.get(kinds.ROLLOUTS, rollout.namespace, rollout.name))
    if meta.uid != rollout.uid or meta.is_deleting:
        raise Conflict(409, "Conflict", f"{rollout.name} is going, so nothing becomes its child any more")


async def relabelled(client: KubeClient, kind: Kind, found: Object, labels: dict[str, str]) -> Object:
    """Return a child of ours with the labels by which it is watched, which it may have lost."""
    meta = meta_of(found)
    if labels.items() <= mapping(metadata(found).get("labels")).items():
        return found
    patch: Object = {"metadata": {"resourceVersion": meta.resource_version, "labels": labels}}
    return await client.patch(kind, meta.namespace, meta.name, patch)
