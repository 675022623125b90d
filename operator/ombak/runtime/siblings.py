"""What is read of the API server itself before boxes are taken away or a version is rejected, for what the watch has
told may be old (design 2 "Stale reads harm nobody").
"""

from collections.abc import Collection
from typing import Any, TypeGuard

from ombak.core.advance import DEADLINE
from ombak.core.plan import Action, CreateFleet, Delete, Plan, RecordRejected, RepairFleet, ScaleFleet, WriteOneBox
from ombak.core.snapshot import Snapshot
from ombak.runtime import kinds
from ombak.runtime.kube_port import Kind, KubeClient, NotFound
from ombak.runtime.observe import Stores
from ombak.runtime.store import Store


def to_read(s: Snapshot, plan: Plan, *, met_conflict: bool) -> frozenset[str]:
    """Return the names of all box sets that must be known as they are now before this plan is carried out.

    Those are all that have boxes, if it takes any away or says that boxes do not serve; but not the one that protects
    itself. After a conflict that one is read too, for the watch may be long in telling of it.
    """
    with_boxes = frozenset({f.name for f in s.fleet if f.desired or f.replicas} | {b.name for b in s.one_boxes})
    if not any(_is_about_boxes(s, action) or _takes(action, with_boxes) for action in plan.actions):
        return frozenset()
    return with_boxes if met_conflict else with_boxes - {_protected(s, plan, with_boxes)}


def _is_about_boxes(s: Snapshot, action: Action) -> bool:
    """Tell whether a version is rejected for its boxes; a verdict that is only recorded later was looked at before."""
    return is_late(action) and all(verdict.artifact != action.artifact for verdict in s.memory.unrecorded)


def is_late(action: Action) -> TypeGuard[RecordRejected]:
    """Tell whether a version is rejected since its boxes did not come up, or did not stay."""
    return isinstance(action, RecordRejected) and action.reason == DEADLINE


def _takes(action: Action, with_boxes: Collection[str]) -> bool:
    match action:
        case ScaleFleet():
            return action.is_shrink
        case WriteOneBox():
            return bool(action.resource_version)
        case Delete(kind=kind, name=name):  # an Artifact has the name of its ReplicaSet
            return kind in (kinds.REPLICA_SETS.kind, kinds.DEPLOYMENTS.kind) and name in with_boxes
    return isinstance(action, RepairFleet)


def _protected(s: Snapshot, plan: Plan, with_boxes: Collection[str]) -> str:
    """Return the one set that its own resource version protects, empty if there is none.

    It protects against nothing that is carried out before, nor what the plan tells of. So that set must be the only
    one that boxes are taken from, in a plan of sizes alone, and not be what a release or a way back is judged by: what
    is left is a batch of a release that takes the place of old boxes, and a fleet that gets smaller.
    """
    first, *others = plan.actions
    if not isinstance(first, ScaleFleet) or plan.memory.reverting is not None:
        return ""
    if not all(isinstance(a, ScaleFleet | CreateFleet) and not _takes(a, with_boxes) for a in others):
        return ""
    judged = plan.memory.release.artifact if plan.memory.release is not None else ""
    return next((f.name for f in s.fleet if f.name == first.name and f.artifact != judged), "")


async def read_live(client: KubeClient, stores: Stores, s: Snapshot, names: Collection[str]) -> None:
    """Read these sets, one by one, into the stores; raises `ApiError`."""
    found: list[tuple[Kind, Store[Any], str, str]] = [
        (kinds.REPLICA_SETS, stores.replica_sets, f.name, f.uid) for f in s.fleet if f.name in names
    ]
    found += [(kinds.DEPLOYMENTS, stores.deployments, b.name, b.uid) for b in s.one_boxes if b.name in names]
    for kind, store, name, uid in found:
        try:
            store.upsert(await client.get(kind, s.rollout.namespace, name))
        except NotFound:
            store.discard((s.rollout.namespace, name), uid)
