"""A bake on a real Prometheus that fails in every way it can: nothing is promoted or reverted, no time is invented."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ombak.adapters.clock import SystemClock
from ombak.adapters.prometheus import PrometheusSource
from ombak.alarms.resolve import AlarmKey
from ombak.api.alarm import AlarmSpec
from ombak.core.memory import Ledger
from ombak.runtime.alarm_polling import PollSettings
from ombak.runtime.alarm_reader import AlarmReader
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.reconcile import Reconciler
from support.prometheus_history import HistoryPrometheus, Spoiler, running_history, spoiled
from support.rig import KEY, NAMESPACE, Rig, baking, template

pytestmark = pytest.mark.cluster
PATIENCE = 120.0
LASTS = 10.0
EDGES = timedelta(seconds=4)
"""What a gap may cost at its two ends: a second that the API cuts off, a poll, and the moments beside a change."""
PERIOD = timedelta(seconds=2)
RULE = {"query": "level", "comparison": "GreaterThanThreshold", "threshold": 1, "period": "2s"}
RULE |= {"evaluationPeriods": 1, "datapointsToAlarm": 1}


class Feed:
    """A metric that is told four times a second, as long as there is somebody who takes it."""

    def __init__(self, prometheus: HistoryPrometheus) -> None:
        self.prometheus, self.value = prometheus, 0.0
        self.told: list[tuple[float, float]] = []
        """When it was told which value; a machine that is busy with something else may leave pauses."""
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over.wait(0.25):
            with suppress(OSError):
                value = self.value
                self.prometheus.now("level", value)
                self.told.append((time.time(), value))

    def bad_for(self, since: datetime) -> timedelta:
        """How long it has been bad since then."""
        bad = [at for at, value in self.told if value > 1 and at >= since.timestamp()]
        return timedelta(seconds=max(bad) - min(bad))

    def paused_for(self, since: datetime) -> timedelta:
        """What pauses since then may have cost a ledger, each with its edges."""
        times = [at for at, _ in self.told if at >= since.timestamp()]
        pauses = (timedelta(seconds=later - at) for at, later in itertools.pairwise(times))
        return sum((pause + EDGES for pause in pauses if pause > timedelta(seconds=1)), timedelta(0))

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()


class Bake:
    """A Rollout in its last bake, with the real evaluator and the real clock."""

    def __init__(self, rig: Rig, source: PrometheusSource) -> None:
        self.rig, clock = rig, SystemClock()
        settings = PollSettings(timeout=2.0, slack=1.0, least_uptime=2.0)
        self.service = AlarmService({"": source}, clock, lambda _: None, settings, random.Random(1))
        assert self.service.set_alarm(AlarmKey(NAMESPACE, "errors"), AlarmSpec.model_validate({"metric": RULE})) == ""
        reader = AlarmReader(self.service, source, clock, lambda _: None)
        rig.restart()
        rig.reconciler = Reconciler(rig.kube, rig.stores, reader, clock, rig.recorder)
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": stamp}
        rig.kube.pods = [{"metadata": {}, "status": {"phase": "Running", "conditions": [ready]}}] * 4
        self.phases: set[str] = set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Look ten times a second."""
        async with asyncio.timeout(PATIENCE):
            await self.look()
            while not holds():
                await asyncio.sleep(0.1)
                await self.look()

    async def look(self) -> None:
        await self.rig.reconcile()
        self.phases.add(self.rig.phase)

    async def go_on(self, seconds: float) -> None:
        """For so long."""
        end = time.monotonic() + seconds
        await self.until(lambda: time.monotonic() >= end)

    @property
    def ledger(self) -> Ledger:
        """As the process has it."""
        release = self.rig.reconciler._known[KEY].memory.release
        assert release is not None
        return release.step.ledger

    def is_good(self) -> bool:
        """The ledger runs."""
        return self.ledger.proven_until is not None

    def is_blind(self) -> bool:
        """It does not."""
        return self.ledger.proven_until is None

    def is_settled(self) -> bool:
        """It runs, and nothing is left to be proven."""
        known = self.rig.reconciler._known[KEY]
        return self.is_good() and known.gaps.oldest is None and known.proof is None

    @property
    def since(self) -> datetime:
        """Where the ledger ends."""
        assert self.ledger.proven_until is not None
        return self.ledger.proven_until


@pytest.fixture(scope="module")
def feed() -> Iterator[Feed]:
    """With its Prometheus."""
    with running_history("failing-bake") as prometheus:
        made = Feed(prometheus)
        yield made
        made.stop()


@asynccontextmanager
async def _baking(feed: Feed) -> AsyncIterator[tuple[Bake, Spoiler]]:
    """Through the proxy, once the ledger runs; at the end it must run again, and nothing else may have happened."""
    rig = Rig()
    rig.clock.wall = datetime.now(UTC) - timedelta(minutes=30)  # the installation takes a quarter of an hour of it
    await rig.installed()
    rig.change(template=template("2.0.0"), strategy=baking("6h"))
    await rig.go_on("Bake")
    with spoiled(feed.prometheus.port) as (url, spoiler):
        source = PrometheusSource(url, read_timeout=timedelta(seconds=2))
        bake = Bake(rig, source)
        running = asyncio.create_task(bake.service.run())
        try:
            await bake.until(bake.is_good)
            await bake.go_on(2)
            await bake.until(bake.is_settled)
            yield bake, spoiler
            await bake.until(bake.is_good)
            assert bake.phases == {"Bake"}
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            source.close()


TROUBLES = [
    pytest.param({"delay": 4.5}, id="slow"),
    pytest.param({"status": 500}, id="errors"),
    pytest.param({"status": 503}, id="overloaded"),
    pytest.param({"status": 403}, id="refused"),
    pytest.param({"warning": "store-2 is away"}, id="partial data"),
    pytest.param({"cut": True}, id="hangs up"),
    pytest.param({"skew": timedelta(minutes=5)}, id="its clock is ahead"),
    pytest.param({"skew": timedelta(minutes=-5)}, id="its clock is behind"),
]


async def _stand_still(bake: Bake) -> None:
    """For a while, in which the ledger does, and nothing else happens."""
    await bake.until(bake.is_blind)
    held = bake.ledger.accrued
    await bake.go_on(LASTS)
    assert (bake.ledger.accrued, bake.rig.phase) == (held, "Bake")


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_time_that_could_not_be_asked_is_proven_afterwards(feed: Feed, trouble: dict[str, Any]) -> None:
    """It kept its samples: the ledger gets them, and no more than the clock on the wall says."""
    async with _baking(feed) as (bake, spoiler):
        began, before, usual = bake.since, bake.ledger.accrued, vars(Spoiler())
        for name, value in trouble.items():
            setattr(spoiler, name, value)
        await _stand_still(bake)
        for name in trouble:
            setattr(spoiler, name, usual[name])
        await bake.until(bake.is_settled)
        counted = bake.ledger.accrued - before
        assert timedelta(seconds=LASTS) - EDGES - feed.paused_for(began) <= counted <= bake.since - began


async def test_an_alarm_in_the_gap_is_left_out(feed: Feed) -> None:
    """The metric was bad for some seconds of it: that time does not count, and nothing is reverted."""
    async with _baking(feed) as (bake, spoiler):
        began, before = bake.since, bake.ledger.accrued
        spoiler.status = 500
        await bake.until(bake.is_blind)
        await bake.go_on(LASTS)
        feed.value = 5.0
        await bake.go_on(LASTS)
        feed.value = 0.0
        await bake.go_on(LASTS)
        spoiler.status = 0
        await bake.until(bake.is_settled)
        counted = bake.ledger.accrued - before
        least = timedelta(seconds=2 * LASTS) - 2 * EDGES - feed.paused_for(began)
        assert least <= counted <= bake.since - began - feed.bad_for(began)


@pytest.mark.parametrize("is_emptied", [pytest.param(False, id="down"), pytest.param(True, id="down, and emptied")])
async def test_time_of_which_nothing_was_stored_is_not_proven(feed: Feed, is_emptied: bool) -> None:
    """A Prometheus that was down answers for that time too, from the last sample before it; that proves nothing."""
    async with _baking(feed) as (bake, _):
        began, before = bake.since, bake.ledger.accrued
        await asyncio.to_thread(feed.prometheus.process.kill)
        await _stand_still(bake)
        await asyncio.to_thread(feed.prometheus.restart_empty if is_emptied else feed.prometheus.start)
        await bake.until(bake.is_settled)
        counted = bake.ledger.accrued - before
        assert counted <= bake.since - began - timedelta(seconds=LASTS) + 2 * PERIOD
