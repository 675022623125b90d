"""Traps in the signals of a Rollout, and in Alarms that have no state without one: told by the Rollout itself."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from ombak.alarms.resolve import AlarmKey
from ombak.api.alarm import AlarmSpec
from ombak.runtime.alarm_reader import AlarmReader
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.alarm_traps import TrapInspector
from ombak.runtime.reconcile import Reconciler
from ombak.runtime.rollout_traps import RolloutTraps
from support.fake_metrics import FakeSource
from support.rig import KEY, NAMESPACE, Rig, template

SIGNAL = {"name": "errors", "ratio": {"bad": 'r{status=~"5.."}', "total": "r"}, "above": "1%"}
FIX = "no series of r has a label status, so this never matches anything: correct the name of the label."


class Knowing(FakeSource):
    """Metrics by name, each with the labels that its series have."""

    labels: dict[str, set[str]]

    async def has_series(self, selector: str, start: Any, end: Any) -> bool:
        name, _, conditions = selector.rstrip("}").partition("{")
        asked = {each.partition("=")[0].rstrip("!").strip() for each in conditions.split(", ") if each}
        return name in self.labels and asked <= self.labels[name] | {"namespace", "pod"}


class World:
    """A stable Rollout with the real evaluator, and a Prometheus that knows which series there are."""

    def __init__(self, rig: Rig, source: Knowing) -> None:
        self.rig, self.source = rig, source
        self.start()

    def start(self) -> None:
        clock = self.rig.clock
        self.service = AlarmService({"": self.source}, clock, lambda _: None, rng=random.Random(1))
        self.woken: list[Any] = []
        traps = RolloutTraps(self.service, TrapInspector({"": self.source}, clock, self.woken.extend))
        reader = AlarmReader(self.service, self.source, clock, lambda _: None, traps=traps)
        self.rig.reconciler = Reconciler(self.rig.kube, self.rig.stores, reader, clock, self.rig.recorder)

    async def look(self) -> dict[str, Any]:
        """What is told once all that was asked is answered."""
        for _ in range(3):
            await self.rig.reconcile()
            await asyncio.sleep(0.01)
        return self.rig.condition("QueriesSound")


async def world(**spec: Any) -> World:
    rig, source = Rig(), Knowing()
    source.labels = {"r": {"code"}}
    await rig.installed()
    rig.change(**spec)
    return World(rig, source)


async def test_a_label_that_no_series_has_is_told_of_a_signal() -> None:
    """The share of bad ones would be 0 for ever; one sentence for both alarms of the signal."""
    made = await world(alarms=None, signals=[SIGNAL])
    found = await made.look()
    assert (found["status"], found["reason"]) == ("False", "Trap")
    assert found["message"] == f"signal errors of all boxes: {FIX}"
    assert set(made.woken) == {KEY}
    assert made.rig.phase == "Stable"


async def test_a_query_that_is_sound_is_not_talked_about() -> None:
    """Nor is a value that nothing has yet."""
    made = await world(alarms=None, signals=[SIGNAL | {"ratio": {"bad": 'r{code=~"5.."}', "total": "r"}}])
    assert await made.look() == {}


async def test_an_alarm_with_variables_is_looked_into_for_the_rollout_that_names_it() -> None:
    """By itself it has no query that could be asked."""
    made = await world()
    spec = {"query": 'sum(r{status="x", pod=~"$(pods)"}) or vector(0)', "threshold": 1, "period": "30s"}
    metric = {"metric": spec | {"comparison": "GreaterThanThreshold", "evaluationPeriods": 1}}
    made.service.set_alarm(AlarmKey(NAMESPACE, "errors"), AlarmSpec.model_validate(metric))
    assert (await made.look())["message"] == f"errors: {FIX}"


async def test_what_was_told_stays_over_a_restart_and_goes_when_it_is_mended() -> None:
    """A complaint is looked into again after five minutes."""
    made = await world(alarms=None, signals=[SIGNAL])
    told = await made.look()
    made.start()
    await made.rig.reconcile()
    assert made.rig.condition("QueriesSound") == told
    await made.look()
    made.source.labels["r"].add("status")
    made.rig.clock.advance(301)
    await made.look()
    assert made.rig.condition("QueriesSound") == {}


async def test_a_rollout_that_is_gone_is_not_looked_after() -> None:
    """Nothing is kept of its queries."""
    made = await world(alarms=None, signals=[SIGNAL])
    await made.look()
    reader: Any = made.rig.reconciler._alarms
    assert reader._traps._inspector._looked
    reader.forget(KEY)
    assert reader._traps._inspector._looked == {}


async def test_queries_of_earlier_versions_are_not_kept() -> None:
    """With `$(artifact)` in an Alarm each version asks for its own; an operator lives through thousands."""
    made = await world()
    spec = {"query": 'sum(r{code="500", version="$(artifact)"}) or vector(0)', "threshold": 1, "period": "30s"}
    metric = {"metric": spec | {"comparison": "GreaterThanThreshold", "evaluationPeriods": 1}}
    made.service.set_alarm(AlarmKey(NAMESPACE, "errors"), AlarmSpec.model_validate(metric))
    reader: Any = made.rig.reconciler._alarms
    for version in ("2.0.0", "3.0.0", "4.0.0"):
        made.rig.change(template=template(version))
        await made.look()
        assert len(reader._traps._inspector._looked) == 1
