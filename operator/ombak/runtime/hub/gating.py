"""What the gates say of each stage of a Pipeline: Windows and Blockers by region, and the team's alarms (R85-R91)."""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ombak.api.common import GROUP
from ombak.api.health import State
from ombak.api.override import TargetKind
from ombak.api.pipeline import PipelineSpec
from ombak.api.stage import OnUnreachable, Stage
from ombak.core.conveyor import manifests, placement
from ombak.core.conveyor.merge import Merged
from ombak.core.conveyor.model import times_of
from ombak.core.conveyor.placement import Placement, Target
from ombak.core.conveyor.snapshot import SKIP_AFTER, ZERO, GateAnswer, RegionFacts
from ombak.core.gates.blockers import NAME_LABEL
from ombak.core.gates.facts import GateFacts
from ombak.core.gates.gate import Context, Held, Moment
from ombak.core.gates.team_alarms import PlacedAlarm, TeamAlarmGate
from ombak.core.overrides.facts import NO_OVERRIDES, OverrideFacts
from ombak.runtime.gate_book import GateBook
from ombak.runtime.hub.records import PipelineRecord
from ombak.runtime.region_records import RegionAlarm
from ombak.runtime.regions import Regions
from ombak.runtime.store import Key

STAGE_LABEL = f"{GROUP}/stage"
"""Stands for the stage of a Pipeline, in selectors of Blockers."""


@dataclasses.dataclass(frozen=True)
class _Asked:
    """One Pipeline by one of its plans, at one moment; most have no gates, so what costs time is found when needed."""

    record: PipelineRecord
    made: Merged
    spec: PipelineSpec
    regions: Sequence[RegionFacts]
    overrides: OverrideFacts
    now: datetime
    known: dict[object, Held | None] = dataclasses.field(default_factory=dict)
    """What was answered for regions that no gate can tell from each other."""

    @functools.cached_property
    def spared(self) -> str:
        """The version that an Override lets pass some gates, empty if there is none."""
        active = self.overrides.active(self.now)
        return active.artifact if active is not None and active.passes else ""

    @functools.cached_property
    def placed(self) -> Placement:
        return placement.place(self.spec, self.record.meta.namespace, self.regions)


def named_alarms(own: str, plans: Iterable[Merged]) -> Iterator[Key]:
    """Return namespace and name of each Alarm that may hold a stage of a Pipeline, whose own namespace is `own`."""
    for spec in (made.spec for made in plans if made.spec is not None):
        for stage in spec.stages:
            for name in _alarms_of(spec, stage):
                yield _alarm_key(name, stage.namespace or own)


def _alarms_of(spec: PipelineSpec, stage: Stage) -> list[str]:
    return stage.alarms if stage.alarms is not None else spec.alarms or []


def _alarm_key(name: str, namespace: str) -> Key:
    """Return the place of an Alarm as a stage names it: of its own namespace, or `namespace/name`."""
    place, _, bare = name.rpartition("/")
    return place or namespace, bare


class Gating:
    """Asks all gates; reads memory only and never waits."""

    def __init__(self, gates: GateBook, regions: Regions | None = None) -> None:
        """Without `regions` no alarm is asked: whoever plans ahead takes them to be OK."""
        self._gates = gates
        self._alarms = _TeamAlarms(regions) if regions is not None else None

    def overrides(self, record: PipelineRecord) -> OverrideFacts:
        """Return the Overrides for a Pipeline."""
        return self._gates.overrides.facts(TargetKind.PIPELINE, record.meta.namespace, record.meta.name)

    def answers(
        self, record: PipelineRecord, plans: Iterable[Merged], regions: Sequence[RegionFacts], now: datetime
    ) -> Iterator[GateAnswer]:
        """Return what is closed, for every stage; the plan of the newest change that has a stage speaks for it."""
        answered = set[str]()
        overrides = self.overrides(record)
        for made in plans:
            if made.spec is None:
                continue
            asked = _Asked(record, made, made.spec, regions, overrides, now)
            for stage in made.spec.stages:
                if stage.name not in answered:
                    answered.add(stage.name)
                    yield from self._of_regions(asked, stage)
                    if self._alarms is not None:
                        yield from self._alarms.answers(asked, stage)

    def _of_regions(self, asked: _Asked, stage: Stage) -> Iterator[GateAnswer]:
        """Windows and Blockers: the whole stage is held while each of its regions is, else just those that are."""
        if not self._gates.facts_for(asked.record.meta.namespace, placement.windows_of(asked.spec, stage)):
            return
        targets, spared = asked.placed.targets[stage.name], asked.spared
        closed = {t.region.name: held for t in targets if (held := self._held(asked, t)) is not None}
        left = {t.region.name: held for t in targets if spared and (held := self._held(asked, t, spared)) is not None}
        if closed and len(closed) == len(targets):
            still = min(left.values(), key=_opens) if len(left) == len(targets) else None
            yield GateAnswer(stage.name, min(closed.values(), key=_opens), spared=spared, left=still)
            closed = left if still is None else {}
        for region, held in closed.items():
            yield GateAnswer(stage.name, held, region, spared=spared, left=left.get(region))

    def _held(self, asked: _Asked, target: Target, spared: str = "") -> Held | None:
        """Ask the gates of one region; `spared` is a version that an Override lets pass some of them."""
        meta, stage, region = asked.record.meta, target.stage, target.region
        windows, overrides = placement.windows_of(asked.spec, stage), asked.overrides if spared else NO_OVERRIDES
        facts = self._gates.facts_for(meta.namespace, windows, overrides, region_zone=region.time_zone)
        labels = {k: v for k, v in region.labels.items() if k not in (NAME_LABEL, STAGE_LABEL)}
        selected = tuple(sorted(labels.items())) if facts.blockers else ()
        like = (stage.name, spared, region.time_zone, region.floors, region.zones, selected)
        if like not in asked.known:
            asked.known[like] = self._ask(asked, target, facts, labels, spared)
        return asked.known[like]

    def _ask(
        self, asked: _Asked, target: Target, facts: GateFacts, region_labels: Mapping[str, str], spared: str
    ) -> Held | None:
        meta, windows = asked.record.meta, facts.windows
        own = {**asked.record.labels, STAGE_LABEL: target.stage.name}
        context = Context(
            meta.namespace,
            meta.name,
            Moment.START,
            own,
            region_labels,
            horizon=horizon_of(asked.made, asked.spec, target) if windows else ZERO,
            resource="ompl",
            artifact=spared,
        )
        return facts.hold(context, asked.now)


class _TeamAlarms:
    """Asks for the alarms of the regions, as their operators tell them."""

    def __init__(self, regions: Regions) -> None:
        self._regions = regions

    def answers(self, asked: _Asked, stage: Stage) -> Iterator[GateAnswer]:
        """Return what holds a stage whole, if one of its alarms, or of the stages before, is not OK."""
        meta, alarms = asked.record.meta, tuple(dict.fromkeys(self._alarms(asked, stage)))
        context = Context(meta.namespace, meta.name, Moment.START, resource="ompl")
        held = TeamAlarmGate(alarms).holds(context, asked.now)
        if held is not None:
            passed = asked.overrides.alarms(asked.spared, asked.now)
            left = TeamAlarmGate(alarms, passed).holds(context, asked.now)
            yield GateAnswer(stage.name, held, spared=asked.spared, left=left)

    def _alarms(self, asked: _Asked, stage: Stage) -> Iterator[PlacedAlarm]:
        """Return the alarms of the stage's regions and of those of the stages before."""
        for each in asked.spec.stages:
            names = _alarms_of(asked.spec, each)
            can_skip = (each.on_region_unreachable or asked.spec.on_region_unreachable) is OnUnreachable.SKIP
            for target in asked.placed.targets[each.name] if names else ():
                if not (can_skip and target.region.is_given_up(asked.now, SKIP_AFTER)):
                    for name in names:
                        yield from self._alarm(asked, target, name)
            if each.name == stage.name:
                return

    def _alarm(self, asked: _Asked, target: Target, name: str) -> Iterator[PlacedAlarm]:
        region, (namespace, bare) = target.region, _alarm_key(name, target.namespace)
        if not region.is_reached:
            yield PlacedAlarm(region.name, namespace, bare, None, is_certain=False, told="the region does not answer")
            return
        found, contact = self._regions.alarm(region.name, (namespace, bare)), self._regions.contact(region.name)
        if found is not None and contact is not None and not contact.operator.lives:
            yield PlacedAlarm(region.name, namespace, bare, None, is_certain=False, told=contact.operator.message)
        elif found is not None and not (namespace == target.namespace and self._is_before(asked, target, found)):
            yield PlacedAlarm(region.name, namespace, bare, found.state, found.is_certain, found.told, found.since)
        elif found is None and not self._comes_with_it(asked, target, (namespace, bare)):
            yield PlacedAlarm(region.name, namespace, bare, None, is_certain=False, told="there is no such Alarm")

    def _is_before(self, asked: _Asked, target: Target, found: RegionAlarm) -> bool:
        """It has no data, where the Pipeline has nothing yet: its data may be that of what is to come.

        To be asked of the target's own namespace only: in others it is that of other services.
        """
        if found.state is not State.INSUFFICIENT_DATA:
            return False
        view = self._regions.view(target.region.name, (target.namespace, asked.record.meta.name))
        return view is not None and view.is_known and view.rollout is None

    def _comes_with_it(self, asked: _Asked, target: Target, key: tuple[str, str]) -> bool:
        """It travels with the change, to where that was not delivered yet: waiting for it would be for ever."""
        made = asked.made
        if key[0] != target.namespace or not any(_is_alarm(o, key[1]) for o in made.objects):
            return False
        view = self._regions.view(target.region.name, (target.namespace, asked.record.meta.name))
        there = view.rollout.annotations.get(manifests.VERSION) if view is not None and view.rollout else None
        return there != made.version


def _is_alarm(found: Mapping[str, Any], name: str) -> bool:
    return found.get("kind") == "Alarm" and found["metadata"].get("name") == name


def _opens(held: Held) -> tuple[bool, float]:
    """Order by when a gate opens; those of which nobody knows come last."""
    return held.expected is None, held.expected.timestamp() if held.expected is not None else 0.0


def horizon_of(made: Merged, spec: PipelineSpec, target: Target) -> timedelta:
    """Return how long the delivery into a region is expected to take, as far as bakes tell."""
    raw, stages = made.rollout, made.raw.get("stages") or ()
    strategy = placement.strategy(spec, raw.get("strategy") or {}, stages, target)
    replicas = target.stage.replicas if target.stage.replicas is not None else int(raw.get("replicas") or 1)
    zones = placement.zones_of(raw.get("zones"), target)
    times = times_of({"strategy": strategy, **({"zones": zones} if zones else {})}, ZERO, replicas)
    return times.one_box + times.rolling + times.bake
