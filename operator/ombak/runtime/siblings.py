"""What is read of the API server itself before boxes are taken away (design 2 "Stale reads harm nobody")."""

from collections.abc import Collection
from typing import Any

from ombak.core import naming
from ombak.core import plan as plan_of
from ombak.core.plan import Plan
from ombak.core.snapshot import Snapshot
from ombak.runtime import kinds
from ombak.runtime.kube_port import Kind, KubeClient, NotFound
from ombak.runtime.observe import Stores
from ombak.runtime.store import Store

_OF_BOXES = plan_of.WriteOneBox | plan_of.CreateFleet | plan_of.ScaleFleet | plan_of.RepairFleet


def to_read(s: Snapshot, plan: Plan, *, met_conflict: bool) -> frozenset[str]:
    """Return the names of all siblings that must be known as they are now before this plan is carried out.

    That is each one with boxes, but the one that boxes are taken from: its own resource version protects it, where it
    is the first that is written. It does not protect the others. After a conflict it is read too, for the watch may
    be long in telling of it.
    """
    if not plan.takes_away:
        return frozenset()
    with_boxes = {f.name for f in s.fleet if f.desired or f.replicas} | {b.name for b in s.one_boxes}
    return frozenset(with_boxes if met_conflict else with_boxes - {_protected(s, plan)})


def _protected(s: Snapshot, plan: Plan) -> str:
    first, *others = [a for a in plan.actions if isinstance(a, _OF_BOXES)]
    if any(plan_of.takes_boxes(a) for a in others):
        return ""  # they are written later, and would have been counted on before
    if isinstance(first, plan_of.WriteOneBox):
        return naming.one_box(s.rollout.name, first.zone)
    return first.name if isinstance(first, plan_of.ScaleFleet) else ""


async def read_live(client: KubeClient, stores: Stores, s: Snapshot, names: Collection[str]) -> None:
    """Read these siblings, one by one, into the stores; raises `ApiError`."""
    found: list[tuple[Kind, Store[Any], str, str]] = [
        (kinds.REPLICA_SETS, stores.replica_sets, f.name, f.uid) for f in s.fleet if f.name in names
    ]
    found += [(kinds.DEPLOYMENTS, stores.deployments, b.name, b.uid) for b in s.one_boxes if b.name in names]
    for kind, store, name, uid in found:
        try:
            store.upsert(await client.get(kind, s.rollout.namespace, name))
        except NotFound:
            store.discard((s.rollout.namespace, name), uid)
