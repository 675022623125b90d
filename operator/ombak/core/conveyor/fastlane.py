"""An approved Override for a Pipeline: who waits meanwhile, and whose place its version takes (R80-R84, R88)."""

import dataclasses

from ombak.core.conveyor import content, manifests, queue
from ombak.core.conveyor.memory import Item
from ombak.core.conveyor.scene import Scene
from ombak.core.conveyor.snapshot import HubSnapshot, RolloutFacts
from ombak.core.gates.gate import Context, Held, Moment
from ombak.core.gates.overrides import OverrideGate


def holds(scene: Scene, item: Item) -> Held | None:
    """Return why a change waits for an Override of another version; no new region gets it meanwhile."""
    pipeline = scene.s.pipeline
    context = Context(
        pipeline.namespace,
        pipeline.name,
        Moment.START,
        artifact=item.version,
        behind=_behind(scene, item),
        ended=queue.ended(scene),
        resource="ompl",
    )
    held = OverrideGate(scene.s.overrides).holds(context, scene.now)
    return None if held is None else _told(scene, held)


def _behind(scene: Scene, item: Item) -> str:
    """Return the version of the Override where it waits for the stage in whose slot a change is: else both wait."""
    lane = scene.lane
    waiting = (i for i in scene.items if i.version == lane and item.is_inside)
    return lane if any(queue.next_stage(scene, i) == item.stage for i in waiting) else ""


def _told(scene: Scene, held: Held) -> Held:
    """Say it where the Override is for a version that will never come: nobody would see why all stand still."""
    lane, wish = scene.lane, queue.wished(scene)
    known = [i.version for i in scene.items] + ([wish.version] if wish is not None else [])
    if lane in known:
        return held
    what = f"{held.what}; {lane} is not on its way, and this Pipeline does not ask for it"
    meant = next((version for version in reversed(known) if content.id_of(version) == lane), "")
    if meant:
        what += f", but for {meant}: delete the Override, and write artifact: {meant}, which tells its values too"
    return dataclasses.replace(held, what=what)


def takes_over(scene: Scene, item: Item, other: Item) -> bool:
    """Whether a change may take the place of an earlier one that is in the stage that it waits for."""
    permit = scene.permit(item.version)
    return permit is not None and permit.supersedes and other.sequence < item.sequence


def give_up(scene: Scene, old: Item, new: Item) -> None:
    """Forget a change whose place a later one takes; its regions follow as the later one starts there."""
    permit = scene.permit(new.version)
    assert permit is not None
    told = f"{new.version} takes the place of {old.version} in stage {old.stage}, {permit.by_whom}: {permit.reason}"
    scene.note("Superseded", told, is_warning=True)
    scene.drop(old)
    scene.changes[old.sequence] = ""
    scene.forget_waits(old)


def overridden(s: HubSnapshot, order: manifests.Order, seen: RolloutFacts) -> manifests.Manifest:
    """Return a region's Rollout as it is, but for its bakes, as an Override and the Region's floors have them now."""
    told = {k: v for k, v in seen.annotations.items() if k not in (manifests.OVERRIDE, manifests.FLOORS)}
    changed = {"strategy": order.spec["strategy"]}
    return manifests.amended(s, order.target, dataclasses.replace(seen, annotations=told), changed, order.bakes)


def flying(facts: RolloutFacts) -> str:
    """Return the id of what is on its way in a region, empty if nothing is."""
    return facts.current if facts.current != facts.stable else ""
