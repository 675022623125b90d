"""How a region stands to a change: what it was told, what it runs, and whether that is beyond doubt."""

import copy
from collections.abc import Collection
from enum import StrEnum
from typing import Any

from ombak.api.rollout import Phase
from ombak.core.conveyor import manifests
from ombak.core.conveyor.memory import Item
from ombak.core.conveyor.placement import Target, zones_told
from ombak.core.conveyor.scene import Scene
from ombak.core.conveyor.snapshot import RolloutFacts


class State(StrEnum):
    """One word for a region of a stage."""

    ABSENT = "Absent"
    """Nothing was delivered there yet."""
    UNREACHED = "Unknown"
    """It does not answer, so nothing is known: never ready."""
    TWIN = "SameCluster"
    """Another Region of the same cluster is to get the same Rollout: neither gets anything, what runs stays."""
    FOREIGN = "Conflict"
    """A Rollout of that name belongs to somebody else."""
    EARLIER = "Earlier"
    """It runs an earlier change, and nothing is on its way."""
    BUSY = "Busy"
    """Something else is on its way there."""
    LATER = "Later"
    """It was given a later change already."""
    RENUMBERED = "Renumbered"
    """It is asked for exactly what is to be delivered, but as a change that this hub never gave out."""
    OVERRIDDEN = "Overridden"
    """Its bakes are to be written anew: another Override counts than when it was, or none, or the floors are others."""
    REVALUED = "Revalued"
    """It was written while it had other values, by other labels, and nobody edited it."""
    REZONED = "Rezoned"
    """It was written while its Region had other zones, and nobody edited them."""
    EDITED = "Edited"
    """Somebody changed what was delivered."""
    MOVING = "Moving"
    """The change is on its way there."""
    HELD = "Held"
    """The change is written, but nothing of it has started there."""
    STABLE = "Stable"
    """It runs exactly that content and has finished its bake."""
    BACK = "TakenBack"
    """It took the change back, or failed to install it."""
    REJECTED = "Rejected"
    """It runs, as its good version, one that was taken back elsewhere, out of reach of that; only for reports."""


_OF_BAKES = (manifests.OVERRIDE, manifests.FLOORS)


def standing(scene: Scene, order: manifests.Order) -> tuple[State, RolloutFacts | None]:
    """Return how a region stands to what is to be delivered there, and what was seen of it."""
    facts = scene.facts.get(order.target.key)
    if not order.target.region.is_reached:
        return State.UNREACHED, facts
    if scene.twin(order):
        return State.TWIN, facts
    if facts is None:
        return State.ABSENT, None
    if not scene.is_ours(facts):
        return State.FOREIGN, facts
    if facts.sequence != order.sequence or facts.version != order.artifact.version:
        return _before(scene, facts, order), facts
    return _told(scene, order, facts), facts


def _before(scene: Scene, facts: RolloutFacts, order: manifests.Order) -> State:
    """What a region says of itself proves nothing: a later change is one that this hub gave out, and its content."""
    is_known = scene.is_change(facts.sequence, facts.version)
    if facts.sequence > order.sequence and is_known and _asks_for_it(scene, facts, order):
        return State.LATER
    if not is_known and facts.artifact == order.delivery.id and not manifests.edited(order, facts):
        return State.RENUMBERED
    return State.BUSY if facts.is_moving and not runs_none(facts) else State.EARLIER


def _asks_for_it(scene: Scene, facts: RolloutFacts, order: manifests.Order) -> bool:
    """Its template is that of the version that it says; nothing else can be told where the Artifact is gone."""
    artifact = scene.artifacts.get(facts.version)
    return artifact is None or manifests.delivery(artifact, order.target).id == facts.artifact


def _told(scene: Scene, order: manifests.Order, facts: RolloutFacts) -> State:
    if is_taken_back(facts) and runs_what_it_names(scene, facts, order.target):
        return State.BACK
    if has_other_bakes(facts, order):
        return State.OVERRIDDEN
    if _is_revalued(order, facts):
        return State.REVALUED
    if _is_rezoned(order, facts):
        return State.REZONED
    if manifests.edited(order, facts):
        return State.EDITED
    if not facts.is_told or facts.has_retry:
        return State.MOVING
    if facts.phase is Phase.STABLE and runs_exactly(facts, order.delivery):
        return State.STABLE
    return State.HELD if runs_none(facts) else State.MOVING


def _is_revalued(order: manifests.Order, seen: RolloutFacts) -> bool:
    """Only the values of a region are not what they are to be, and it was written while it had others."""
    had_them = seen.annotations.get(manifests.VALUES, "") == order.delivery.env
    if had_them or manifests.edited(order, seen) != ("spec.template",):
        return False
    names = {str(name) for each in order.artifact.values for name in each.get("env") or {}}
    return _without_env(order.delivery.template, names) == _without_env(seen.spec.get("template"), names)


def _is_rezoned(order: manifests.Order, seen: RolloutFacts) -> bool:
    """Its zones are as they were written, and not those that the stage takes of its Region now.

    Where it was not noted what was written, by an earlier hub, nobody can tell.
    """
    written, has = seen.annotations.get(manifests.ZONES), ",".join(map(str, seen.spec.get("zones") or ()))
    return has == written != zones_told(order.target) and "spec.zones" in manifests.edited(order, seen)


def _without_env(template: Any, names: Collection[str]) -> manifests.Manifest:
    """Return a template without some variables. Total: reads what a region says, too."""
    made: manifests.Manifest = copy.deepcopy(dict(template or {}))
    for kind in ("initContainers", "containers"):
        for container in (made.get("spec") or {}).get(kind) or ():
            kept = [v for v in container.pop("env", None) or () if v.get("name") not in names]
            container |= {"env": kept} if kept else {}
    return made


def has_version(scene: Scene, item: Item, facts: RolloutFacts | None) -> bool:
    """What was seen last in a region is this change, written by this hub."""
    return facts is not None and scene.is_ours(facts) and facts.sequence == item.sequence


def has_other_bakes(facts: RolloutFacts, order: manifests.Order) -> bool:
    """It was written while another Override, or none, or other floors counted than now."""
    return {n: v for n in _OF_BAKES if (v := facts.annotations.get(n))} != order.bakes


def runs_what_it_names(scene: Scene, facts: RolloutFacts, target: Target) -> bool:
    """A region is asked for the version that it names: else a verdict on that one says nothing of what is there.

    Where the region's values changed since it was written, that version is no longer what it would be today.
    """
    named = scene.artifacts.get(facts.version)
    if named is None:
        return False
    made = manifests.delivery(named, target)
    if made.id == facts.artifact:
        return True
    others = (a for a in scene.artifacts.values() if a.is_genuine and a.rejection is None)
    is_another = any(manifests.delivery(a, target).id == facts.artifact for a in others)
    return not is_another and facts.annotations.get(manifests.VALUES, "") != made.env


def runs_exactly(facts: RolloutFacts, made: manifests.Delivery) -> bool:
    """It is asked for that content, runs it as its good version, and keeps it unaltered (R61, P5)."""
    return facts.artifact == made.id == facts.stable and facts.stable_digest == made.digest


def is_taken_back(facts: RolloutFacts) -> bool:
    """The region says for sure that it took back, or could not install, what it is asked for."""
    if not facts.is_told or facts.has_retry or not facts.rejected:
        return False
    return facts.phase in (Phase.REVERTING, Phase.REVERTED, Phase.FAILED) and facts.rejected == facts.artifact


def runs_none(facts: RolloutFacts) -> bool:
    """Nothing runs there of what the spec asks for: it went back, or has not begun."""
    if not facts.is_told:
        return False
    if facts.phase is Phase.REVERTED:
        return is_taken_back(facts)
    return facts.phase in (Phase.BLOCKED, Phase.INVALID) and facts.artifact not in (facts.current, facts.stable)
