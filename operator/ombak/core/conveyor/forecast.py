"""How long a change needs to all regions, found out by the very same decisions in simulated time (R75, R90)."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from ombak.core.conveyor import queue
from ombak.core.conveyor.merge import merge
from ombak.core.conveyor.plan import HubPlan
from ombak.core.conveyor.scene import Scene
from ombak.core.conveyor.snapshot import PipelineView, RegionFacts
from ombak.core.conveyor.world import Gates, World, no_gates

_LONGEST = timedelta(days=90)
_OLD = "ombak-forecast-before"
"""Marks the version that is taken to run everywhere before the change, so that the change is no first install."""


@dataclasses.dataclass(frozen=True, slots=True)
class StageForecast:
    """When a change comes to a stage, and when it leaves it."""

    name: str
    regions: tuple[str, ...]
    entered: datetime | None
    left: datetime | None
    waited: timedelta
    """For gates, before it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Forecast:
    """What is to be expected of a change that begins at `began`."""

    began: datetime
    ended: datetime | None
    """When it runs everywhere; None if it never does, `stuck` says why."""
    stages: tuple[StageForecast, ...] = ()
    regions_per_day: Mapping[date, int] = dataclasses.field(default_factory=dict)
    """So many regions get the change on each day: the blast radius of a day."""
    stuck: tuple[str, ...] = ()

    @property
    def length(self) -> timedelta | None:
        """From the wish to all regions."""
        return self.ended - self.began if self.ended is not None else None

    @property
    def largest_day(self) -> int:
        """The most regions that get it on one day."""
        return max(self.regions_per_day.values(), default=0)


def forecast(
    pipeline: PipelineView,
    bases: Mapping[str, Mapping[str, Any]],
    regions: Sequence[RegionFacts],
    now: datetime,
    gates: Gates = no_gates,
) -> Forecast:
    """Return how a change would go if nothing failed, all regions being reached and all tests passing at once.

    `gates` answers for any moment, as in a snapshot; a closed one says when it opens by `Held.expected`.
    """
    made = merge(pipeline.name, pipeline.spec, bases)
    if made.spec is None or made.spec.rollout is None:
        return Forecast(now, None, stuck=(made.problem or "it has no rollout: it is a base for others",))
    reached = [dataclasses.replace(r, reachable=True) for r in regions]
    world = World(pipeline, reached, now, gates=no_gates)
    world.bases = dict(bases)
    problem = _before(world, made.template)
    if problem:
        return Forecast(now, None, stuck=problem)
    world.now = now
    return _travel(world, now, gates)


def _before(world: World, template: Mapping[str, Any]) -> tuple[str, ...]:
    """Bring another version everywhere first, in no time that counts."""
    wanted = world.pipeline
    metadata = dict(template.get("metadata") or {})
    old = {**template, "metadata": {**metadata, "annotations": {_OLD: "true"}}}
    rollout = {"spec": {**(wanted.spec.get("rollout") or {}).get("spec", {}), "template": old}}
    world.pipeline = dataclasses.replace(wanted, spec={**wanted.spec, "rollout": rollout, "paused": False})
    world.now -= _LONGEST
    last = world.run(world.now + _LONGEST)
    world.pipeline = dataclasses.replace(wanted, spec={**wanted.spec, "paused": False})
    return () if last.reason == "Delivered" else tuple(w.what for w in last.waits)


def _travel(world: World, now: datetime, gates: Gates) -> Forecast:
    world.set_gates(gates)
    entered: dict[str, datetime] = {}
    left: dict[str, datetime] = {}
    free: dict[str, datetime] = {}
    days: Counter[date] = Counter()
    while True:
        before = {f.region: f.sequence for fs in world.views.values() for f in fs}
        last = world.settle()
        sequence = last.memory.sequence
        for name, region in world.regions.items():
            if any(f.sequence == sequence for f in region.seen()) and before.get(name, 0) < sequence:
                days[world.now.date()] += 1
        _mark(world, last, sequence, entered, left, free)
        following = world.next_at(last)
        if last.reason == "Delivered" or following is None or following - now > _LONGEST:
            break
        world.tick(following - world.now)
    stages = tuple(_stage(s.name, tuple(r.name for r in s.regions), entered, left, free) for s in last.stages)
    is_over = last.reason == "Delivered"
    stuck = () if is_over else tuple(w.what for w in last.waits)
    return Forecast(now, world.now if is_over else None, stages, dict(days), stuck)


def _mark(
    world: World,
    last: HubPlan,
    sequence: int,
    entered: dict[str, datetime],
    left: dict[str, datetime],
    free: dict[str, datetime],
) -> None:
    """Write down where the change is now; stages that take no time are entered and left at once."""
    scene = Scene(world.snapshot(), world.now)
    item = next((i for i in last.memory.items if i.sequence == sequence), None)
    if item is None:
        return
    for name in queue.passed(scene, item):
        free.setdefault(name, world.now)
        entered.setdefault(name, world.now)
        left.setdefault(name, world.now)
    if item.is_inside:
        free.setdefault(item.stage, world.now)
        entered.setdefault(item.stage, world.now)
    elif waiting := queue.next_stage(scene, item):
        free.setdefault(waiting, world.now)


def _stage(
    name: str,
    regions: tuple[str, ...],
    entered: Mapping[str, datetime],
    left: Mapping[str, datetime],
    free: Mapping[str, datetime],
) -> StageForecast:
    came = entered.get(name)
    waited = came - free[name] if came is not None else timedelta(0)
    return StageForecast(name, regions, came, left.get(name), waited)
