"""What others did to objects that we own, told when it is put back, so that nobody wonders where an edit went."""

from collections.abc import Iterable, Set

from ombak.core import naming, plan
from ombak.core.plan import Action, Note
from ombak.core.snapshot import Owned, Snapshot

REASON = "PutBack"


def children(s: Snapshot) -> frozenset[str]:
    """Return the names of the owned objects that there are."""
    return frozenset(o.name for o in (*s.fleet, *s.one_boxes))


def notes(s: Snapshot, actions: Iterable[Action], seen: Set[str]) -> tuple[Note, ...]:
    """Return one note for each object that a plan puts back; `seen` are the names that there were before."""
    there: dict[str, Owned] = {o.name: o for o in (*s.fleet, *s.one_boxes)}
    found = []
    for action in actions:
        name = _name(s, action)
        why = _why(there.get(name), action, is_lost=name in seen) if name else ""
        if why:
            found.append(Note(REASON, f"{name}: {why}; it is put back, since Ombak owns it.", is_warning=True))
    return tuple(found)


def _name(s: Snapshot, action: Action) -> str:
    rollout = s.rollout.name
    match action:
        case plan.WriteOneBox(zone=zone):
            return naming.one_box(rollout, zone)
        case plan.CreateFleet(artifact=artifact, zone=zone):
            return naming.fleet(rollout, artifact, zone)
        case plan.ScaleFleet(name=name) | plan.RepairFleet(name=name):
            return name
    return ""


def _why(have: Owned | None, action: Action, *, is_lost: bool) -> str:
    if have is None:
        return "somebody deleted it" if is_lost else ""
    if have.drift:
        return have.drift
    is_same = not isinstance(action, plan.WriteOneBox) or action.artifact == have.artifact
    return f"spec.replicas set by {have.scaled_by}" if have.scaled_by and is_same else ""
