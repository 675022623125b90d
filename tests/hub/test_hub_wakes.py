"""Whom the engine of a hub lets look again: those whom a change concerns, and nobody else."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from ombak.runtime.gate_book import GateBook
from ombak.runtime.hub.engine import HubEngine
from ombak.runtime.records import decode_rollout
from ombak.runtime.region_records import decode_region
from ombak.runtime.store import Store


class StoppedClock:
    """It is always the same moment."""

    def now(self) -> datetime:
        return datetime(2026, 1, 5, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


class Woken(HubEngine):
    """An engine that tells who is to look again."""

    def __init__(self) -> None:
        kube: Any = None
        gates = GateBook(Store(decode_rollout), lambda _key: None)
        super().__init__(kube, Store(decode_region), gates, StoppedClock(), random.Random(1))
        self._version = 0

    def put(self, name: str, extends: str = "", generation: int = 1) -> None:
        """A Pipeline was written, by whomever."""
        self._version += 1
        spec = {"extends": {"name": extends}} if extends else {}
        meta = {"name": name, "namespace": "shop", "uid": name, "generation": generation}
        self.stores.pipelines.observe({"metadata": meta | {"resourceVersion": str(self._version)}, "spec": spec})

    def remove(self, name: str) -> None:
        """A Pipeline was deleted."""
        self._version += 1
        meta = {"name": name, "namespace": "shop", "uid": name, "resourceVersion": str(self._version)}
        self.stores.pipelines.remove({"metadata": meta})

    def see_region(self, labels: dict[str, str] | None, status: dict[str, str]) -> None:
        """Somebody wrote the Region eu-1; None for its labels: deleted it."""
        self._version += 1
        meta = {"name": "eu-1", "uid": "eu-1", "resourceVersion": str(self._version), "labels": labels or {}}
        made = {"metadata": meta, "spec": {"access": {"inCluster": {}}}, "status": status}
        (self.stores.regions.remove if labels is None else self.stores.regions.observe)(made)
        self.region_changed("eu-1")

    def asked_for(self, name: str, alarms: set[tuple[str, str]]) -> None:
        """A pass over a Pipeline asked for these Alarms."""
        self._alarms.put(("shop", name), frozenset(alarms))

    async def told_of(self, alarm: tuple[str, str]) -> set[str]:
        """Who looks when an Alarm of some region says something else."""
        self.alarm_changed("eu-1", alarm)
        return await self.taken()

    async def taken(self) -> set[str]:
        """Who is in the queue; then it is empty."""
        found = set()
        while self._queue.depth:
            key = await self._queue.get()
            found.add(key[1])
            self._queue.done(key)
        return found


@pytest.fixture
async def engine() -> Woken:
    made = Woken()
    for name, base in (("base", ""), ("child", "base"), ("grandchild", "child"), ("other", "")):
        made.put(name, base)
    await made.taken()
    return made


async def test_a_new_spec_of_a_base_concerns_all_that_extend_it(engine: Woken) -> None:
    """Over any depth."""
    engine.put("base", generation=2)

    assert await engine.taken() == {"base", "child", "grandchild"}


async def test_a_new_status_of_a_base_concerns_itself_alone(engine: Woken) -> None:
    """Else every write of a hub would let a whole team's Pipelines look again."""
    engine.put("base")

    assert await engine.taken() == {"base"}


async def test_a_base_that_comes_late_concerns_who_waits_for_it(engine: Woken) -> None:
    """It was missing before."""
    engine.put("orphan", "late")
    await engine.taken()
    engine.put("late")

    assert await engine.taken() == {"late", "orphan"}


async def test_a_rollout_of_a_region_concerns_the_pipelines_of_its_name(engine: Woken) -> None:
    """In whatever namespace it is."""
    engine.rollout_changed("eu-1", ("shop-alpha", "other"))

    assert await engine.taken() == {"other"}


async def test_an_alarm_concerns_the_pipelines_that_asked_for_it(engine: Woken) -> None:
    """In the same namespace there, whatever the region; whoever asks no more, or is gone, is not woken."""
    high, low = ("web", "high"), ("web", "low")
    for name, alarms in (("child", {high}), ("other", {high, low}), ("grandchild", {low})):
        engine.asked_for(name, alarms)

    assert await engine.told_of(high) == {"child", "other"}
    engine.asked_for("child", set())
    engine.remove("other")
    await engine.taken()
    assert await engine.told_of(high) == set()
    assert await engine.told_of(low) == {"grandchild"}


async def test_the_status_of_a_region_concerns_nobody(engine: Woken) -> None:
    """The hub itself writes it every few minutes; labels, zones and floors may concern all."""
    for labels, status, woken in (({}, {}, True), ({}, {"lastContact": "now"}, False), ({"a": "b"}, {}, True)):
        engine.see_region(labels, status)
        assert bool(await engine.taken()) is woken
    engine.see_region(None, {})
    assert await engine.taken() == {"base", "child", "grandchild", "other"}


async def test_an_alarm_that_a_pipeline_brought_concerns_that_one(engine: Woken) -> None:
    """Whoever is named and is no Pipeline of this hub wakes nobody."""
    for told in ("shop/other", "shop/unknown", "nonsense"):
        engine.brought_changed(told)

    assert await engine.taken() == {"other"}
