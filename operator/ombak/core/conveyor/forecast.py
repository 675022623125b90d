"""How long a change needs to all regions, found out by the very same decisions in simulated time (R75, R90)."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from ombak.api.rollout import Phase as RolloutPhase
from ombak.api.stage import Phase
from ombak.core.conveyor import queue
from ombak.core.conveyor.memory import Item
from ombak.core.conveyor.merge import merge
from ombak.core.conveyor.plan import HubPlan
from ombak.core.conveyor.scene import Scene
from ombak.core.conveyor.snapshot import PipelineView, RegionFacts
from ombak.core.conveyor.undisturbed import Undisturbed
from ombak.core.conveyor.world import Gates, World, no_gates

REACH = timedelta(days=90)
"""A change that is not everywhere after so long is taken never to be."""
_OLD = "ombak-forecast-before"
"""Marks the version that is taken to run everywhere before the change, so that the change is no first install."""
_FRIDAY = 4


@dataclasses.dataclass(frozen=True, slots=True)
class RegionForecast:
    """When a change starts in a region of a stage, and when it is stable there."""

    name: str
    namespace: str
    boxes: int
    started: datetime | None = None
    stable: datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class StageForecast:
    """When a change comes to a stage, and when it leaves it."""

    name: str
    phase: Phase
    regions: tuple[RegionForecast, ...]
    entered: datetime | None
    left: datetime | None
    waited: timedelta
    """For gates, before it."""
    waited_for: str = ""
    """For what, in the words of the gate that held it first."""


@dataclasses.dataclass(frozen=True, slots=True)
class Day:
    """What gets the change on one day: its blast radius, if the change was bad and nothing noticed it."""

    day: date
    regions: int
    boxes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Forecast:
    """What is to be expected of a change that begins at `began`."""

    began: datetime
    ended: datetime | None
    """When it runs everywhere; None if it never does, `stuck` says why."""
    stages: tuple[StageForecast, ...] = ()
    stuck: tuple[str, ...] = ()

    @property
    def length(self) -> timedelta | None:
        """From the wish to all regions."""
        return self.ended - self.began if self.ended is not None else None

    def business_days(self, zone: tzinfo = UTC) -> int | None:
        """Return on how many days from Monday to Friday somebody is waiting for it, the first and the last included."""
        if self.ended is None:
            return None
        first, last = self.began.astimezone(zone).date(), self.ended.astimezone(zone).date()
        return sum((first + timedelta(days=n)).weekday() <= _FRIDAY for n in range((last - first).days + 1))

    @property
    def exposed(self) -> tuple[RegionForecast, ...]:
        """The regions that count for the blast radius: those of production, or all where no stage is."""
        prod = tuple(r for s in self.stages if s.phase is Phase.PROD for r in s.regions)
        return prod or tuple(r for s in self.stages for r in s.regions)

    def days(self, zone: tzinfo = UTC) -> tuple[Day, ...]:
        """Return how many regions and boxes get it on each day on which one does, in order."""
        by_day: dict[date, list[RegionForecast]] = {}
        for region in self.exposed:
            if region.started is not None:
                by_day.setdefault(region.started.astimezone(zone).date(), []).append(region)
        return tuple(
            Day(day, len({r.name for r in found}), sum(r.boxes for r in found)) for day, found in sorted(by_day.items())
        )

    def largest_day(self, zone: tzinfo = UTC) -> Day | None:
        """Return the day on which most boxes get it, the first one of several; None if none does."""
        return max(self.days(zone), key=lambda day: (day.boxes, day.regions), default=None)


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
    problem = pipeline.problem or made.problem
    if problem or made.spec is None or made.spec.rollout is None:
        problem = problem or "it has no rollout: it is a base for others"
        return Forecast(now, None, stuck=(problem,))
    # With all that it inherits written out, nothing is to be inherited again at each look.
    whole = dataclasses.replace(pipeline, spec=made.raw)
    world = Undisturbed(whole, [dataclasses.replace(r, reachable=True) for r in regions], now)
    stuck = _before(world, made.template)
    if stuck:
        return Forecast(now, None, stuck=stuck)
    world.now = now
    world.set_gates(functools.lru_cache(maxsize=1)(gates))  # several looks at one moment
    return _travel(world)


def _before(world: World, template: Mapping[str, Any]) -> tuple[str, ...]:
    """Bring another version everywhere first, in no time that counts."""
    wanted = world.pipeline
    metadata = dict(template.get("metadata") or {})
    annotations = {**(metadata.get("annotations") or {}), _OLD: "true"}
    old = {**template, "metadata": {**metadata, "annotations": annotations}}
    rollout = {"spec": {**(wanted.spec.get("rollout") or {}).get("spec", {}), "template": old}}
    world.pipeline = dataclasses.replace(wanted, spec={**wanted.spec, "rollout": rollout, "paused": False})
    world.now -= REACH
    last = world.run(world.now + REACH)
    world.pipeline = dataclasses.replace(wanted, spec={**wanted.spec, "paused": False})
    return () if last.reason == "Delivered" else _stuck(world, last)


def _stuck(world: World, last: HubPlan) -> tuple[str, ...]:
    """Return what a change waits for; where that will come some day, that nobody looks so far ahead."""
    found = tuple(dict.fromkeys(w.what for w in last.waits))
    if world.next_at(last) is None:
        return found
    return (f"more than {REACH.days} days to pass, and a plan looks no further ahead; shorten the bakes", *found)


def _travel(world: World) -> Forecast:
    diary = _Diary(world.now)
    while True:
        last = world.settle()
        diary.note(world, last)
        following = world.next_at(last)
        if last.reason == "Delivered" or following is None or following - diary.began > REACH:
            break
        world.tick(following - world.now)
    is_over = last.reason == "Delivered"
    stuck = () if is_over else _stuck(world, last)
    stages = tuple(diary.stages(Scene(world.snapshot(), world.now)))
    return Forecast(diary.began, world.now if is_over else None, stages, stuck)


class _Diary:
    """What happened to the change, and when."""

    def __init__(self, began: datetime) -> None:
        self.began = began
        self._free: dict[str, datetime] = {}
        self._entered: dict[str, datetime] = {}
        self._left: dict[str, datetime] = {}
        self._waits: dict[str, str] = {}
        self._regions: dict[tuple[str, str], RegionForecast] = {}

    def note(self, world: World, last: HubPlan) -> None:
        """Write down where the change is now; stages that take no time are entered and left at once."""
        scene = Scene(world.snapshot(), world.now)
        item = next((i for i in last.memory.items if i.sequence == last.memory.sequence), None)
        if item is None:
            return
        self._note_stages(scene, item)
        for wait in last.waits:
            if wait.stage and wait.stage not in self._entered and wait.key.startswith(f"{item.sequence}/"):
                self._waits.setdefault(wait.stage, wait.what)
        for facts in (f for seen in world.views.values() for f in seen if f.sequence == item.sequence):
            key = facts.region, facts.namespace
            known = self._regions.setdefault(key, RegionForecast(*key, facts.replicas or 0, world.now))
            is_stable = facts.is_told and facts.phase is RolloutPhase.STABLE and facts.stable == facts.artifact
            if known.stable is None and is_stable:
                self._regions[key] = dataclasses.replace(known, stable=world.now)

    def _note_stages(self, scene: Scene, item: Item) -> None:
        for name in queue.passed(scene, item):
            for each in (self._free, self._entered, self._left):
                each.setdefault(name, scene.now)
        if item.is_inside:
            self._free.setdefault(item.stage, scene.now)
            self._entered.setdefault(item.stage, scene.now)
        elif waiting := queue.next_stage(scene, item):
            self._free.setdefault(waiting, scene.now)

    def stages(self, scene: Scene) -> Iterator[StageForecast]:
        """Return all stages, those that it never came to included."""
        spec = scene.merged.spec
        assert spec is not None
        for stage in spec.stages:
            entered, assumed = self._entered.get(stage.name), scene.merged.rollout.get("replicas", 1)
            boxes = stage.replicas if stage.replicas is not None else assumed
            regions = tuple(
                self._regions.get(t.key) or RegionForecast(*t.key, boxes)
                for t in scene.placement(scene.merged).targets[stage.name]
            )
            waited = entered - self._free[stage.name] if entered is not None else timedelta(0)
            told = self._waits.get(stage.name, "") if waited or entered is None else ""
            assert stage.phase is not None
            yield StageForecast(stage.name, stage.phase, regions, entered, self._left.get(stage.name), waited, told)
