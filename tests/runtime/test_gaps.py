"""An operator that runs and cannot see: its ledger gets what Prometheus proves of that time, and no more."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ombak.alarms.resolve import AlarmKey
from ombak.api.alarm import AlarmSpec
from ombak.core.memory import Ledger
from ombak.runtime.alarm_reader import AlarmReader
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.metrics_port import QueryError, QueryErrorKind
from ombak.runtime.reconcile import Reconciler
from ombak.runtime.store import Key
from support.fake_metrics import FakeSource
from support.rig import KEY, NAMESPACE, Rig, baking, template

PERIOD = 20
POLL = PERIOD / 4
KINDS = (QueryErrorKind.UNREACHABLE, QueryErrorKind.TIMEOUT, QueryErrorKind.FAILED, QueryErrorKind.PARTIAL)


@pytest.fixture(autouse=True, scope="module")
def logged() -> Iterator[list[Any]]:
    """The lines of the log, which would make up most of the time of these tests."""
    with capture_logs() as lines:
        yield lines


@dataclass(frozen=True)
class Part:
    """Some seconds: what the metric is (None: nothing is stored), and why Prometheus gives no answer, if it does not.

    With `is_dead` there is no operator, and the next part begins with a new one.
    """

    seconds: int
    value: float | None = 0.0
    error: QueryErrorKind | None = None
    is_dead: bool = False


class World:
    """A long bake, an operator with the real evaluator, and a Prometheus that does as it is told."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.source = rig, FakeSource()
        self.line: list[float | None] = []
        self.began = rig.clock.now()
        self.source.values["errors"] = {"": self.value}
        self.told: set[Key] = set()
        long_ago = (self.began - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": long_ago}
        rig.kube.pods = [{"metadata": {}, "status": {"phase": "Running", "conditions": [ready]}}] * 4
        self.start()

    def value(self, moment: datetime) -> float | None:
        """By whole seconds since the beginning; before it all was well."""
        second = int((moment - self.began).total_seconds())
        return 0.0 if second < 0 else self.line[min(second, len(self.line) - 1)]

    def start(self) -> None:
        """A new operator."""
        rig = self.rig
        rig.restart()
        self.service = AlarmService({"": self.source}, rig.clock, self._tell, rng=random.Random(1))
        rule = {"query": "errors", "comparison": "GreaterThanThreshold", "threshold": 0.5, "period": f"{PERIOD}s"}
        rule |= {"evaluationPeriods": 1, "datapointsToAlarm": 1}
        self.service.set_alarm(AlarmKey(NAMESPACE, "errors"), AlarmSpec.model_validate({"metric": rule}))
        reader = AlarmReader(self.service, self.source, rig.clock, self.told.add)
        rig.reconciler = Reconciler(rig.kube, rig.stores, reader, rig.clock, rig.recorder)
        self.told.add(KEY)

    def _tell(self, watchers: frozenset[Any]) -> None:
        self.told |= watchers

    async def go(self, *parts: Part) -> None:
        """Let parts pass, second by second; the operator looks when its evaluator tells it to."""
        for part in parts:
            self.source.error = None if part.error is None else QueryError(part.error, "spoiled")
            for _ in range(part.seconds):
                self.line.append(part.value)
                self.rig.clock.advance(1)
                if not part.is_dead:
                    await self._second()
            if part.is_dead:
                self.start()

    async def _second(self) -> None:
        await self.service.poll_due()
        if self.told:
            self.told.clear()
            await self.rig.reconcile()
            for _ in range(8):
                await asyncio.sleep(0)  # a past that is asked is answered

    @property
    def ledger(self) -> Ledger:
        """As the process has it."""
        release = self.rig.reconciler._known[KEY].memory.release
        assert release is not None
        return release.step.ledger

    @property
    def good(self) -> int:
        """The seconds in which all was well, since the beginning."""
        return sum(value == 0.0 for value in self.line)


async def baked() -> World:
    """A version that is baking, with nothing in its ledger."""
    rig = Rig()
    await rig.installed()
    rig.change(template=template("2.0.0"), strategy=baking("6h"))
    await rig.go_on("Bake")
    rig.settle()
    return World(rig)


AWAY = st.sampled_from(KINDS)
SECONDS = st.integers(6, 60)


@st.composite
def outages(draw: st.DrawFn) -> list[Part]:
    """A time in which nobody sees: whatever happens in it, all is well again at its end."""
    is_dead = draw(st.booleans())
    error = None if is_dead else draw(AWAY)
    values = draw(st.lists(st.sampled_from([0.0, 1.0, None]), min_size=1, max_size=4))
    parts = [Part(draw(SECONDS), value, error) for value in values]
    parts.append(Part(draw(st.integers(1, 30)) if values[-1] == 0.0 else PERIOD * 4, 0.0, error))
    return [Part(part.seconds, part.value, error, is_dead) for part in parts]


PATTERNS = st.lists(st.tuples(st.integers(8, 90), outages()), min_size=1, max_size=4)


@pytest.mark.breadth
@settings(max_examples=40, deadline=None)
@given(PATTERNS)
def test_the_ledger_gets_what_is_proven_and_no_more(pattern: list[tuple[int, list[Part]]]) -> None:
    """Never a second in which the alarm was in ALARM or nothing was stored; of the others only the edges are lost."""

    async def scenario() -> None:
        world = await baked()
        edges = 2
        for seconds, outage in pattern:
            await world.go(Part(seconds))
            await world.go(*outage)
            edges += 2 + 2 * len(outage)
        await world.go(Part(150))

        assert world.rig.phase == "Bake"
        assert world.ledger.accrued <= timedelta(seconds=world.good)
        assert world.ledger.accrued >= timedelta(seconds=world.good - 2 * POLL * edges)

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_an_outage_with_its_samples_counts_whole(kind: QueryErrorKind) -> None:
    """It kept scraping, and only the queries failed."""
    world = await baked()
    await world.go(Part(60))
    before = world.ledger.accrued
    await world.go(Part(600, error=kind))
    assert world.ledger.accrued == before
    await world.go(Part(60))
    assert timedelta(seconds=world.good - 2 * POLL) <= world.ledger.accrued <= timedelta(seconds=world.good)


async def test_an_outage_without_samples_counts_nothing() -> None:
    """It was down, or lost them."""
    world = await baked()
    await world.go(Part(60), Part(600, None, QueryErrorKind.UNREACHABLE), Part(60))
    assert timedelta(seconds=100) <= world.ledger.accrued <= timedelta(seconds=120)


async def test_an_alarm_in_an_outage_that_is_over_reverts_nothing() -> None:
    """Its time does not count; what the alarm is now decides, not what it was (alarms-and-judge.md B4.3)."""
    world = await baked()
    away = QueryErrorKind.UNREACHABLE
    await world.go(Part(60), Part(100, error=away), Part(200, 1.0, away), Part(100, error=away), Part(60))
    assert world.rig.phase == "Bake"
    assert timedelta(seconds=world.good - 6 * POLL) <= world.ledger.accrued <= timedelta(seconds=world.good)


async def test_an_alarm_that_began_in_an_outage_reverts_at_its_end() -> None:
    """The first answer says so."""
    world = await baked()
    away = QueryErrorKind.UNREACHABLE
    await world.go(Part(60), Part(100, error=away), Part(100, 1.0, away))
    assert world.rig.phase == "Bake"
    await world.go(Part(50, 1.0))
    assert world.rig.phase == "Reverting"


async def test_a_prometheus_that_comes_and_goes_loses_nothing() -> None:
    """The gap before waits while there is another one, however long that is."""
    world = await baked()
    away = QueryErrorKind.FAILED
    await world.go(Part(60), Part(200, error=away), Part(6), Part(1500, error=away), Part(6), Part(90, error=away))
    await world.go(Part(400))
    assert world.ledger.accrued >= timedelta(seconds=world.good - 8 * POLL)


async def test_an_operator_that_dies_in_an_outage_loses_nothing() -> None:
    """The status says since when nothing was known."""
    world = await baked()
    away = QueryErrorKind.UNREACHABLE
    await world.go(Part(60), Part(200, error=away), Part(30, error=away, is_dead=True), Part(200, error=away), Part(60))
    assert timedelta(seconds=world.good - 6 * POLL) <= world.ledger.accrued <= timedelta(seconds=world.good)


async def test_a_pass_that_comes_late_loses_nothing() -> None:
    """The API server hung, or the machine slept: the evaluator was asked again only much later."""
    world = await baked()
    await world.go(Part(60))
    world.line += [0.0] * 300
    world.rig.clock.advance(300)
    await world.go(Part(60))
    assert timedelta(seconds=world.good - 4 * POLL) <= world.ledger.accrued <= timedelta(seconds=world.good)


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        pytest.param({"progressDeadline": "9m"}, False, id="the spec"),
        pytest.param({"replicas": 5}, True, id="only the number of boxes"),
    ],
)
async def test_a_change_of_the_spec_breaks_a_gap(changes: dict[str, Any], counts: bool) -> None:
    """Nobody can say which alarms it should have been before it; the time after it counts."""
    world = await baked()
    away = QueryErrorKind.UNREACHABLE
    await world.go(Part(60), Part(300, error=away))
    world.rig.change(**changes)
    world.told.add(KEY)
    await world.go(Part(10, error=away))
    world.rig.settle()
    await world.go(Part(200, error=away), Part(60))
    most = world.good - (0 if counts else 300)
    assert timedelta(seconds=most - 6 * POLL) <= world.ledger.accrued <= timedelta(seconds=most + POLL)


async def test_a_jump_of_the_clock_breaks_a_gap() -> None:
    """When it began cannot be said any more."""
    world = await baked()
    away = QueryErrorKind.UNREACHABLE
    await world.go(Part(60), Part(100, error=away))
    world.rig.clock.wall += timedelta(hours=1)
    world.line += [0.0] * 3600
    await world.go(Part(100, error=away), Part(60))
    assert world.ledger.accrued <= timedelta(seconds=60 + 100 + 60)
