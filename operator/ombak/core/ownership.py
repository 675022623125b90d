"""Owning and leaving: the finalizer, objects left behind, names that belong to others, people's commands."""

import dataclasses

from ombak.core import commands, naming, plan, verdicts
from ombak.core.capacity import floor_of
from ombak.core.converge import serving_all
from ombak.core.course import in_flight, newest_good
from ombak.core.identity import digest_of
from ombak.core.plan import Waiting
from ombak.core.snapshot import ArtifactView, FleetSet, OneBoxSet, RolloutView, Snapshot


def live_replicas(s: Snapshot) -> int:
    """Return N: `spec.replicas`, or where it is absent the number of boxes that are there, or one."""
    if s.rollout.spec.replicas is not None:
        return s.rollout.spec.replicas
    return sum(o.desired for o in (*s.fleet, *s.one_boxes)) or 1


def _is_misnamed(rollout: RolloutView, found: FleetSet | OneBoxSet | ArtifactView) -> bool:
    """Its name is not the one that its labels demand: somebody copied it, for we make no other names."""
    match found:
        case FleetSet():
            return found.name != naming.fleet(rollout.name, found.artifact, found.zone)
        case OneBoxSet():
            return found.name != naming.one_box(rollout.name, found.zone)
        case _:
            return found.name != naming.artifact(rollout.name, found.id)


def without_copies(s: Snapshot) -> Snapshot:
    """Leave out what bears our owner reference by a name that we never gave: two of the same would count as one."""

    def kept(found: FleetSet | OneBoxSet | ArtifactView) -> bool:
        return not (found.is_ours and found.has_owner and _is_misnamed(s.rollout, found))

    fleet, boxes, versions = filter(kept, s.fleet), filter(kept, s.one_boxes), filter(kept, s.artifacts)
    return dataclasses.replace(s, fleet=tuple(fleet), one_boxes=tuple(boxes), artifacts=tuple(versions))


def clear_copies(s: Snapshot) -> tuple[tuple[plan.Action, ...], tuple[plan.Note, ...]]:
    """Return the deletions of what `without_copies` leaves out, and what to tell of them.

    One whose boxes serve goes only once the others keep the floor without it (P1): it may be all that there is, where
    the original was deleted.
    """
    kept, actions, notes = without_copies(s), [], []
    is_needed = serving_all(kept) < floor_of(s.rollout.spec.strategy.rolling.min_available, live_replicas(s))
    for kind, there, left in (
        ("ReplicaSet", s.fleet, kept.fleet),
        ("Deployment", s.one_boxes, kept.one_boxes),
        ("Artifact", s.artifacts, kept.artifacts),
    ):
        for found in there:
            if found in left or getattr(found, "is_deleting", False):
                continue
            if is_needed and not isinstance(found, ArtifactView) and found.serving:
                continue
            actions.append(plan.Delete(kind, found.name, found.uid, found.resource_version))
            told = (
                f"{kind} {found.name} is a copy of one that Ombak owns, by a name that it never gives; it is deleted."
            )
            notes.append(plan.Note("Surplus", told, is_warning=True))
    return tuple(actions), tuple(notes)


def conflict(s: Snapshot) -> Waiting | None:
    """Return the wait for an object that stands in the way, None if none does."""
    kinds = (("ReplicaSet", s.fleet), ("Deployment", s.one_boxes), ("Artifact", s.artifacts))
    for kind, there in kinds:
        for found in there:
            if not found.is_ours:
                return in_the_way(s.rollout, kind, found.name, found.owner)
            if not found.has_owner and _is_misnamed(s.rollout, found):
                return _stray(s.rollout, kind, found.name)
    return _collision(s)


def without_strangers(s: Snapshot) -> Snapshot:
    """Leave out ReplicaSets and Deployments that carry our label and are not ours."""
    fleet = (f for f in s.fleet if f.is_ours and not _is_misnamed(s.rollout, f))
    one_boxes = (b for b in s.one_boxes if b.is_ours and not _is_misnamed(s.rollout, b))
    return dataclasses.replace(s, fleet=tuple(fleet), one_boxes=tuple(one_boxes))


def in_the_way(rollout: RolloutView, kind: str, name: str, owner: str) -> Waiting:
    """Return the wait for an object of somebody else that has a name of ours; `owner` is empty where it has none."""
    whose = f"it belongs to {owner}" if owner else "it was not made for this Rollout"
    what = f"{kind} {name} to be out of the way: {whose}, so it is not touched; delete it, or make it by another name"
    return _conflict(rollout, kind, name, what)


def _stray(rollout: RolloutView, kind: str, name: str) -> Waiting:
    """Return the wait for an object that nobody owns, with our labels and a name that we never give."""
    what = (
        f"{kind} {name} to be out of the way: it has the labels of this Rollout's objects and belongs to nobody; "
        f"delete it, or take the label {naming.ROLLOUT} off it"
    )
    return _conflict(rollout, kind, name, what)


def _conflict(rollout: RolloutView, kind: str, name: str, what: str) -> Waiting:
    who = "whoever owns that object, by deleting or renaming it"
    return Waiting("conflict", what, who, commands.delete(rollout, kind, name))


def _collision(s: Snapshot) -> Waiting | None:
    view = s.artifact(s.rollout.artifact)
    if view is None or s.rollout.problem:
        return None
    wanted = digest_of(s.rollout.spec.template, s.rollout.config)
    if view.is_genuine and digest_of(dict(view.template), view.config) == wanted:
        return None
    what = f"Artifact {view.name} to be deleted: its content is not what its name says"
    who = "whoever may delete it; it is made anew"
    return Waiting("conflict", what, who, commands.delete(s.rollout, "Artifact", view.name))


def housekeeping(s: Snapshot, replicas: int) -> tuple[plan.Action, ...]:
    """Return what must be in order before anything else: finalizer, replicas, owners, commands."""
    return (*_prepare(s, replicas), *_adoptions(s), *_commands(s))


def _prepare(s: Snapshot, replicas: int) -> tuple[plan.Action, ...]:
    absent = s.rollout.spec.replicas is None
    if s.rollout.has_finalizer and not absent:
        return ()
    return (plan.Prepare(finalizer=not s.rollout.has_finalizer, replicas=replicas if absent else None),)


def _adoptions(s: Snapshot) -> tuple[plan.Action, ...]:
    found = [plan.Adopt("ReplicaSet", f.name, f.resource_version) for f in s.fleet if not f.has_owner]
    found += [plan.Adopt("Deployment", b.name, b.resource_version) for b in s.one_boxes if not b.has_owner]
    found += [plan.Adopt("Artifact", a.name, a.resource_version) for a in s.artifacts if not a.has_owner]
    return tuple(found)


def _commands(s: Snapshot) -> tuple[plan.Action, ...]:
    return (*_retry(s), *_abort(s))


def _retry(s: Snapshot) -> tuple[plan.Action, ...]:
    """A retry takes effect once: the same words again, as a Git repository keeps saying them, change nothing."""
    command = s.rollout.retry
    if not command:
        return ()
    clear = plan.ClearCommand(naming.RETRY)
    view = verdicts.to_retry(s)
    return (plan.RecordRetry(view.id, command), clear) if view else (clear,)


def _abort(s: Snapshot) -> tuple[plan.Action, ...]:
    """An abort stays until the release that it names is taken back; one that names nothing on its way goes."""
    command = s.rollout.abort
    stable = newest_good(s)
    flying = in_flight(s, stable.id) if stable else (s.memory.release.artifact if s.memory.release else None)
    if not command or command == flying:
        return ()
    return (plan.ClearCommand(naming.ABORT),)
