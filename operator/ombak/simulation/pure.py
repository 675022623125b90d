"""The smallest world there is: snapshots in, snapshots out, so that `decide` alone can be run by the hundred thousand.

Nothing is late and nothing fails here; writes are conditional on resource versions, as everywhere.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from ombak.core import config, manifests, naming, plan
from ombak.core.memory import Memory
from ombak.core.snapshot import ArtifactView, ConfigCopy, CopyState, FleetSet, OneBoxSet, Owned, Rejection, Snapshot

OwnedT = TypeVar("OwnedT", bound=Owned)
EARLY = (
    plan.Prepare,
    plan.Adopt,
    plan.CreateArtifact,
    plan.KeepConfig,
    plan.RecordStable,
    plan.RecordRejected,
    plan.RecordRetry,
)
"""What is done before the memory is stored."""


_VERSIONS = itertools.count(1000)


def _version() -> str:
    """Return a resource version that no object had before, as an API server does."""
    return str(next(_VERSIONS))


def carried_out(s: Snapshot, made: plan.Plan, now: datetime, count: int | None = None) -> Snapshot:
    """Return the world after the first `count` writes of a plan (all without one), its memory being one of them."""
    early = [a for a in made.actions if isinstance(a, EARLY)]
    late = [a for a in made.actions if not isinstance(a, EARLY)]
    writes: list[plan.Action | Memory] = [*early, made.memory, *late]
    for write in writes[:count]:
        s = dataclasses.replace(s, memory=write) if isinstance(write, Memory) else applied(s, write, now)
    return s


def applied(s: Snapshot, action: plan.Action, now: datetime) -> Snapshot:
    """Return the world after one action; what the API server would refuse changes nothing."""
    match action:
        case plan.Prepare(replicas=replicas):
            spec = s.rollout.spec if replicas is None else s.rollout.spec.model_copy(update={"replicas": replicas})
            rollout = dataclasses.replace(s.rollout, has_finalizer=True, spec=spec)
            return dataclasses.replace(s, rollout=rollout)
        case plan.ClearCommand(annotation=annotation):
            rollout = dataclasses.replace(s.rollout, **{annotation.rpartition("/")[2]: ""})  # type: ignore[arg-type]  # abort or retry
            return dataclasses.replace(s, rollout=rollout)
        case plan.CreateArtifact() | plan.RecordStable() | plan.RecordRejected() | plan.RecordRetry():
            return dataclasses.replace(s, artifacts=_artifacts(s, action, now))
        case plan.KeepConfig() | plan.OwnConfig():
            return dataclasses.replace(s, artifacts=tuple(_with_copy(s, a, action) for a in s.artifacts))
        case plan.WriteOneBox():
            return dataclasses.replace(s, one_boxes=_one_boxes(s, action))
        case plan.CreateFleet() | plan.ScaleFleet() | plan.RepairFleet():
            return dataclasses.replace(s, fleet=_fleet(s, action))
        case plan.Delete(uid=uid, resource_version=version):
            return dataclasses.replace(
                s,
                fleet=tuple(f for f in s.fleet if (f.uid, f.resource_version) != (uid, version)),
                one_boxes=tuple(b for b in s.one_boxes if (b.uid, b.resource_version) != (uid, version)),
                artifacts=tuple(a for a in s.artifacts if (a.uid, a.resource_version) != (uid, version)),
            )
        case plan.Adopt(name=name):
            return dataclasses.replace(
                s,
                fleet=tuple(dataclasses.replace(f, has_owner=f.has_owner or f.name == name) for f in s.fleet),
                one_boxes=tuple(dataclasses.replace(b, has_owner=b.has_owner or b.name == name) for b in s.one_boxes),
                artifacts=tuple(dataclasses.replace(a, has_owner=a.has_owner or a.name == name) for a in s.artifacts),
            )


def _with_copy(s: Snapshot, view: ArtifactView, action: plan.KeepConfig | plan.OwnConfig) -> ArtifactView:
    """Return a version after one of its copies of a ConfigMap was put back, or got its owners."""
    if view.id != action.artifact:
        return view
    owners = frozenset(owner["uid"] for owner in manifests.config_owners(s, view.id))
    changes: dict[str, Any] = {"owners": owners, "resource_version": _version()}
    if isinstance(action, plan.KeepConfig):
        changes |= {"state": CopyState.KEPT}
    copies = (dataclasses.replace(c, **changes) if c.name == action.name else c for c in view.copies)
    return dataclasses.replace(view, copies=tuple(copies))


def _artifacts(
    s: Snapshot,
    action: plan.CreateArtifact | plan.RecordStable | plan.RecordRejected | plan.RecordRetry,
    now: datetime,
) -> tuple[ArtifactView, ...]:
    if isinstance(action, plan.CreateArtifact):
        name = naming.artifact(s.rollout.name, action.artifact)
        template = s.rollout.spec.template
        if any(a.name == name for a in s.artifacts):
            return s.artifacts
        names = config.copy_names(s.rollout.name, action.artifact, s.rollout.config)
        copies = tuple(ConfigCopy(n, d, names[n], CopyState.KEPT, _version()) for n, d in s.rollout.config.items())
        made = ArtifactView(action.artifact, name, _version(), f"uid-{name}", action.sequence, template, copies=copies)
        return (*s.artifacts, made)
    found = []
    for view in s.artifacts:
        if view.id == action.artifact:
            version = _version()
            match action:
                case plan.RecordStable(order=order):
                    view = dataclasses.replace(view, resource_version=version, stable_order=order)
                case plan.RecordRejected(reason=reason, message=message):
                    view = dataclasses.replace(
                        view, resource_version=version, rejection=Rejection(reason, message, now)
                    )
                case plan.RecordRetry(command=command):
                    view = dataclasses.replace(view, resource_version=version, rejection=None, retried=command)
        found.append(view)
    return tuple(found)


def _one_boxes(s: Snapshot, action: plan.WriteOneBox) -> tuple[OneBoxSet, ...]:
    name = naming.one_box(s.rollout.name, action.zone)
    old = next((b for b in s.one_boxes if b.name == name), None)
    if old is None:
        made = OneBoxSet(
            name, f"uid-{name}", _version(), action.artifact, action.zone, action.replicas, 0, 0, 0, is_current=False
        )
        return s.one_boxes if action.resource_version else (*s.one_boxes, made)
    if old.resource_version != action.resource_version:
        return s.one_boxes
    made = dataclasses.replace(
        old,
        artifact=action.artifact,
        desired=action.replicas,
        surges=action.surge,
        drift="",
        is_current=False,
        resource_version=_version(),
    )
    return tuple(made if b is old else b for b in s.one_boxes)


def _fleet(s: Snapshot, action: plan.CreateFleet | plan.ScaleFleet | plan.RepairFleet) -> tuple[FleetSet, ...]:
    if isinstance(action, plan.CreateFleet):
        name = naming.fleet(s.rollout.name, action.artifact, action.zone)
        if any(f.name == name for f in s.fleet):
            return s.fleet
        made = FleetSet(
            name, f"uid-{name}", _version(), action.artifact, action.zone, action.replicas, 0, 0, 0, is_current=False
        )
        return (*s.fleet, made)
    size = action.after if isinstance(action, plan.ScaleFleet) else action.replicas
    return tuple(
        dataclasses.replace(f, desired=size, drift="", is_current=False, resource_version=_version())
        if (f.name, f.resource_version) == (action.name, action.resource_version)
        else f
        for f in s.fleet
    )


def settled(s: Snapshot, ill: Iterable[str] = ()) -> Snapshot:
    """Return the world after its controllers and kubelets have done all they can; `ill` versions never serve."""
    never = set(ill)
    return dataclasses.replace(s, fleet=_all_settled(s.fleet, never), one_boxes=_boxes_settled(s.one_boxes, never))


def _all_settled(owned: Sequence[OwnedT], never: set[str]) -> tuple[OwnedT, ...]:
    return tuple(
        o
        if o.is_current and o.replicas == o.desired and o.available == (0 if o.artifact in never else o.desired)
        else dataclasses.replace(
            o,
            replicas=o.desired,
            ready=0 if o.artifact in never else o.desired,
            available=0 if o.artifact in never else o.desired,
            is_current=True,
            resource_version=_version(),
        )
        for o in owned
    )


def _boxes_settled(boxes: Sequence[OneBoxSet], never: set[str]) -> tuple[OneBoxSet, ...]:
    return tuple(dataclasses.replace(b, updated=b.desired) for b in _all_settled(boxes, never))
