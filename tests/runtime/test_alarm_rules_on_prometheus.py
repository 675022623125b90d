"""Alerting rules of a real Prometheus: what its rules API says while all goes well, and while it does not."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from operator import attrgetter
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
from ombak.runtime.alarm_traps import inspect
from support.prometheus_history import HistoryPrometheus, running_history

pytestmark = pytest.mark.cluster
RULES = """
groups:
- name: shop
  interval: 1s
  rules:
  - {alert: Sick, expr: sick > 1, labels: {team: shop}}
  - {alert: Patient, expr: sick > 1, for: 1h, labels: {team: shop}}
  - {alert: Broken, expr: sick + on() sick}
- name: few
  interval: 1s
  limit: 1
  rules:
  - {alert: Many, expr: many > 1}
- name: slow
  interval: 10y
  rules:
  - {alert: Never, expr: sick > 1}
"""


@pytest.fixture(scope="module")
def prometheus() -> Iterator[HistoryPrometheus]:
    """With rules of every kind and two sick boxes."""
    with running_history("rules", RULES) as made:
        yield made


_is_ok, _is_alarm = attrgetter("is_ok"), attrgetter("is_alarm")


def says(why: str) -> Callable[[Verdict], bool]:
    """It is unknown for this reason; a busy Prometheus may give others for a while."""
    return lambda verdict: verdict.is_unknown and why in str(verdict.unknown)


@asynccontextmanager
async def _watching(
    prometheus: HistoryPrometheus, **rule: Any
) -> AsyncIterator[Callable[[Callable[[Verdict], bool]], Awaitable[Verdict]]]:
    heard = asyncio.Event()
    source = PrometheusSource(prometheus.url)
    service = AlarmService(
        {"": source}, SystemClock(), lambda _: heard.set(), PollSettings(least_uptime=0), random.Random(1)
    )
    service.set_alarm(AlarmKey("shop", "a"), AlarmSpec.model_validate({"alertingRule": rule}))
    service.watch("r1", {"x": Wanted("ALARM(a)", "shop", Context())}, is_active=True)
    running = asyncio.create_task(service.run())

    async def until(holds: Callable[[Verdict], bool]) -> Verdict:
        async with asyncio.timeout(30):
            while not service.has_looked("r1") or not holds(service.verdict("r1", "x")):
                heard.clear()
                await heard.wait()
        return service.verdict("r1", "x")

    try:
        yield until
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        source.close()


async def test_a_rule_that_fires_and_stops_is_followed(prometheus: HistoryPrometheus) -> None:
    """OK, ALARM with the box that does it, OK; one that must last longer than Prometheus has run is not trusted."""
    async with _watching(prometheus, name="Sick") as until, _watching(prometheus, name="Patient") as patient:
        await until(_is_ok)
        for pod in ("p1", "p2"):
            prometheus.now("sick", 7.0 if pod == "p2" else 0.0, pod=pod)
        found = await until(_is_alarm)
        assert found.contributors == ("a",)
        assert 'Sick{pod="p2"} firing' in found.message
        await patient(says("is not relied upon until 3600 s after"))
        prometheus.now("sick", 0.0, pod="p2")
        await until(_is_ok)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        pytest.param({"name": "Nothing"}, "no alerting rule Nothing is loaded", id="missing"),
        pytest.param({"matchLabels": {"team": "nobody"}}, 'no alerting rule {team="nobody"}', id="no such label"),
        pytest.param({"name": "Broken"}, "many-to-many", id="broken"),
        pytest.param({"name": "Many"}, "exceeded limit", id="limit exceeded"),
    ],
)
async def test_a_rule_that_says_nothing_is_unknown(prometheus: HistoryPrometheus, rule: Any, why: str) -> None:
    """Although the series ALERTS has nothing to say of any of them, as of a healthy one."""
    for pod in ("p1", "p2"):
        prometheus.now("many", 7.0, pod=pod)
        prometheus.now("sick", 0.0, pod=pod)
    async with _watching(prometheus, **rule) as until:
        await until(says(why))


async def test_rules_that_are_not_evaluated_yet_are_unknown() -> None:
    """A Prometheus that just came, with a group that waits for its turn; then it is taken away."""
    with running_history("fresh", RULES) as fresh:
        async with _watching(fresh, name="Never") as until:
            await until(says("was never evaluated"))
        async with _watching(fresh, name="Sick") as until:
            await until(_is_ok)
            fresh.set_rules("groups: []\n")
            await until(says("no alerting rule Sick is loaded"))


async def test_the_inspector_of_traps_reads_a_real_one(prometheus: HistoryPrometheus) -> None:
    """Which series there are, and the limit on the answer is no incomplete one."""
    for pod in ("p1", "p2"):
        prometheus.now("sick", 0.0, pod=pod)
    source = PrometheusSource(prometheus.url)
    asked = 'sick{pod="p9"} + healthy + sick{pod=~"p."}'
    found = await inspect(source, asked, SystemClock(), is_empty=True, scrape=None)
    source.close()
    assert len(found.problems) == 2
    assert 'no series of sick has pod="p9"' in found.problems[0]
    assert "there is no series healthy" in found.problems[1]
