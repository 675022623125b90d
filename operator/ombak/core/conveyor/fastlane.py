"""An approved Override for a Pipeline: who waits meanwhile, and whose place its version takes (R80-R84, R88)."""

import dataclasses

from ombak.core.conveyor import manifests, queue
from ombak.core.conveyor.memory import Item
from ombak.core.conveyor.scene import Scene
from ombak.core.conveyor.snapshot import HubSnapshot, RolloutFacts
from ombak.core.gates.gate import Context, Held, Moment
from ombak.core.gates.overrides import OverrideGate


def holds(scene: Scene, item: Item) -> Held | None:
    """Return why a change waits for an Override of another version; no new region gets it meanwhile."""
    pipeline = scene.s.pipeline
    context = Context(
        pipeline.namespace, pipeline.name, Moment.START, artifact=item.version, ended=_ended(scene), resource="ompl"
    )
    return OverrideGate(scene.s.overrides).holds(context, scene.now)


def _ended(scene: Scene) -> frozenset[str]:
    """Return the versions that have come to their end: taken back, or delivered everywhere."""
    rejected = (version for version, artifact in scene.artifacts.items() if artifact.rejection is not None)
    done = (i.version for i in scene.items if not i.is_inside and i.stage and not queue.next_stage(scene, i))
    return frozenset((*rejected, *done))


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
    scene.waits = [wait for wait in scene.waits if not wait.key.startswith(f"{old.sequence}/")]


def overridden(s: HubSnapshot, order: manifests.Order, seen: RolloutFacts) -> manifests.Manifest:
    """Return a region's Rollout as it is, but for its bakes, as an Override and the Region's floors have them now."""
    told = {k: v for k, v in seen.annotations.items() if k not in (manifests.OVERRIDE, manifests.FLOORS)}
    changed = {"strategy": order.spec["strategy"]}
    return manifests.amended(s, order.target, dataclasses.replace(seen, annotations=told), changed, order.bakes)


def flying(facts: RolloutFacts) -> str:
    """Return the id of what is on its way in a region, empty if nothing is."""
    return facts.current if facts.current != facts.stable else ""
