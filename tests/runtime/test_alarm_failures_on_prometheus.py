"""A real Prometheus that fails in every way it can: nothing that it does then promotes or reverts by itself."""

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest

from ombak.adapters.clock import SystemClock
from ombak.adapters.prometheus import PrometheusSource
from ombak.alarms.resolve import AlarmKey
from ombak.alarms.template import Context
from ombak.alarms.verdict import Verdict
from ombak.api.alarm import AlarmSpec
from ombak.runtime.alarm_interest import Wanted
from ombak.runtime.alarm_polling import PollSettings
from ombak.runtime.alarm_service import AlarmService
from support.prometheus_history import HistoryPrometheus, Spoiler, running_history, spoiled

pytestmark = pytest.mark.cluster
PATIENCE = 60.0
LASTS = 3.0
RULES = """
groups:
- name: g
  interval: 1s
  rules:
  - {alert: Well, expr: 'level{box="well"} > 1'}
  - {alert: Sick, expr: 'level{box="sick"} > 1'}
"""
POINT = {"period": "1s", "comparison": "GreaterThanThreshold", "threshold": 1}
ALARMS: dict[str, Any] = {box: {"metric": {"query": f'level{{box="{box}"}}', **POINT}} for box in ("well", "sick")}
ALARMS |= {
    f"{box}-rate": {"metric": {**ALARMS[box]["metric"], "query": f'rate(count_total{{box="{box}"}}[5s])'}}
    for box in ("well", "sick")
}
ALARMS |= {f"{box}-rule": {"alertingRule": {"name": box.title()}} for box in ("well", "sick")}

# What answers from nothing at all: a default in the query, or one for missing data.
LESS = {**POINT, "comparison": "LessThanThreshold"}
DEFAULTS: dict[str, Any] = {
    "sick-or-zero": {"query": 'sum(rate(count_total{box="sick"}[5s])) or vector(0)', **POINT},
    "well-count": {"query": 'count(level{box="well"}) or vector(0)', **LESS, "evaluationPeriods": 3},
    "well-absent": {"query": 'absent(level{box="well"}) or vector(0)', **POINT, "threshold": 0.5},
    "well-breaching": {"query": 'level{box="well"}', **POINT, "treatMissingData": "breaching"},
    "sick-not-breaching": {"query": 'level{box="sick"}', **POINT, "treatMissingData": "notBreaching"},
}


class Boxes:
    """One box that is well and one that is sick, which tell so twice a second until they are stopped.

    Whoever holds `silence` can be sure that they tell nothing, not even the rest of what they were about to.
    """

    def __init__(self, prometheus: HistoryPrometheus) -> None:
        self.prometheus = prometheus
        self.silence, self._is_over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        began = time.time()
        while not self._is_over.wait(0.5):
            with self.silence, suppress(OSError):
                for box, slope in (("well", 0.0), ("sick", 10.0)):
                    self.prometheus.now("level", slope, box=box)
                    self.prometheus.now("count_total", 1e6 + slope * (time.time() - began), box=box)

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()


class Watched:
    """The verdicts on some alarms, seen whenever something may be different, and 20 times a second."""

    def __init__(self, source: PrometheusSource, alarms: dict[str, Any]) -> None:
        self.names = tuple(alarms)
        settings = PollSettings(timeout=1.0, slack=1.0, least_uptime=8.0)
        self.service = AlarmService({"": source}, SystemClock(), lambda _: None, settings, random.Random(1))
        for name, spec in alarms.items():
            assert self.service.set_alarm(AlarmKey("shop", name), AlarmSpec.model_validate(spec)) == ""
        wanted = {name: Wanted(f'ALARM("{name}")', "shop", Context()) for name in alarms}
        self.service.watch("r1", wanted, is_active=True)
        self.wrong: list[str] = []

    def verdicts(self) -> dict[str, Verdict]:
        found = {name: self.service.verdict("r1", name) for name in self.names}
        for name, verdict in found.items():
            if verdict.is_alarm if name.startswith("well") else verdict.is_ok:
                self.wrong.append(f"{name}: {verdict.message}")
        return found

    async def until(self, holds: Callable[[dict[str, Verdict]], bool]) -> dict[str, Verdict]:
        async with asyncio.timeout(PATIENCE):
            while not holds(found := self.verdicts()):  # noqa: ASYNC110 - every moment is to be seen
                await asyncio.sleep(0.05)
        return found

    async def stay_unknown(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert all(verdict.is_unknown for verdict in self.verdicts().values())
            await asyncio.sleep(0.05)


def _all_known(found: dict[str, Verdict]) -> bool:
    return all(v.is_ok if name.startswith("well") else v.is_alarm for name, v in found.items())


def _all_unknown(found: dict[str, Verdict]) -> bool:
    return all(verdict.is_unknown for verdict in found.values())


@pytest.fixture(scope="module")
def boxes() -> Iterator[Boxes]:
    """With their Prometheus."""
    with running_history("failures", RULES) as prometheus:
        made = Boxes(prometheus)
        yield made
        made.stop()


@asynccontextmanager
async def _watching(boxes: Boxes, alarms: dict[str, Any] = ALARMS) -> AsyncIterator[tuple[Watched, Spoiler]]:
    """Through the proxy, once everything is known; and at the end everything has to be known again."""
    with spoiled(boxes.prometheus.port) as (url, spoiler):
        source = PrometheusSource(url, read_timeout=timedelta(seconds=1))
        watched = Watched(source, alarms)
        running = asyncio.create_task(watched.service.run())
        try:
            await watched.until(_all_known)
            watched.wrong.clear()
            yield watched, spoiler
            await watched.until(_all_known)
            assert watched.wrong == []
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            source.close()


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        pytest.param({"delay": 2.5}, "timeout", id="slow"),
        pytest.param({"status": 500}, "HTTP 500", id="errors"),
        pytest.param({"status": 503}, "overloaded", id="overloaded"),
        pytest.param({"status": 403}, "refused", id="refused"),
        pytest.param({"warning": "store-2 is away"}, "partial data: store-2 is away", id="partial data"),
        pytest.param({"cut": True}, "cannot be reached", id="hangs up"),
        pytest.param({"skew": timedelta(minutes=5)}, "ahead of ours", id="its clock is ahead"),
        pytest.param({"skew": timedelta(minutes=-5)}, "behind ours", id="its clock is behind"),
    ],
)
async def test_trouble_is_unknown_while_it_lasts(boxes: Boxes, trouble: dict[str, Any], says: str) -> None:
    """What was well is never in ALARM, what was sick is never OK, and both come back by themselves."""
    async with _watching(boxes) as (watched, spoiler):
        before = vars(Spoiler())
        for name, value in trouble.items():
            setattr(spoiler, name, value)
        # On a busy machine one or the other may be unknown for another reason before.
        await watched.until(lambda found: all(v.is_unknown and says in str(v.unknown) for v in found.values()))
        await watched.stay_unknown(LASTS)
        for name in trouble:
            setattr(spoiler, name, before[name])


async def test_a_prometheus_that_is_gone_is_unknown(boxes: Boxes) -> None:
    """And one that is back knows what it knew."""
    async with _watching(boxes) as (watched, _):
        boxes.prometheus.process.kill()
        await watched.until(_all_unknown)
        await watched.stay_unknown(LASTS)
        await asyncio.get_running_loop().run_in_executor(None, boxes.prometheus.start)


async def test_an_empty_store_is_unknown_until_there_are_data(boxes: Boxes) -> None:
    """Answers come, and there is nothing in them; an alerting rule is in good health and has nothing to alert about."""
    async with _watching(boxes) as (watched, _):
        with boxes.silence:
            await asyncio.get_running_loop().run_in_executor(None, boxes.prometheus.restart_empty)
            metrics = [name for name in ALARMS if not name.endswith("rule")]
            await watched.until(lambda found: all("stored nothing" in str(found[name].unknown) for name in metrics))
            await watched.until(lambda found: "its store may have been empty" in str(found["sick-rule"].unknown))
            await watched.until(_all_unknown)
            await watched.stay_unknown(LASTS)


async def test_no_default_answers_for_an_empty_store(boxes: Boxes) -> None:
    """`or vector(0)`, count(), absent() and both defaults for missing data: from nothing they all conclude nothing.

    Neither while nothing comes, nor when the first samples do but the windows reach back to before them.
    """
    alarms = {name: {"metric": spec} for name, spec in DEFAULTS.items()}
    async with _watching(boxes, alarms) as (watched, _):
        with boxes.silence:
            await asyncio.get_running_loop().run_in_executor(None, boxes.prometheus.restart_empty)
            await watched.until(lambda found: all("stored nothing" in str(v.unknown) for v in found.values()))
            await watched.stay_unknown(LASTS)
        # From here on it is known sooner or later; nothing wrong may be said before, which `wrong` would tell.
        await watched.until(lambda found: all("has samples since" in str(v.unknown) for v in found.values()))


async def test_a_store_that_was_kept_is_relied_upon_at_once(boxes: Boxes) -> None:
    """A restart alone makes nobody wait: what it knew before, it knows again."""
    async with _watching(boxes) as (watched, _):
        await asyncio.get_running_loop().run_in_executor(None, boxes.prometheus.process.kill)
        await watched.until(_all_unknown)
        await asyncio.get_running_loop().run_in_executor(None, boxes.prometheus.start)
        found = await watched.until(lambda found: found["sick"].is_alarm)
        assert not any("samples since" in str(verdict.unknown) for verdict in found.values())
