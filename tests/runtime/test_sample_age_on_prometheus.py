"""A real Prometheus answers from old samples, and tells of which time they are."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator

import pytest

from ombak.adapters.clock import SystemClock
from ombak.adapters.prometheus import PrometheusSource
from ombak.alarms.resolve import AlarmKey
from ombak.alarms.template import Context
from ombak.api.alarm import AlarmSpec
from ombak.runtime.alarm_interest import Wanted
from ombak.runtime.alarm_polling import PollSettings
from ombak.runtime.alarm_service import AlarmService
from support.prometheus_history import HistoryPrometheus, running_history

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def history() -> Iterator[HistoryPrometheus]:
    with running_history("age") as made:
        yield made


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        pytest.param("max(slow)", 100, id="the oldest of its series"),
        pytest.param("fast + on() group_left() max(slow)", 100, id="of several selectors"),
        pytest.param("fast", 0, id="one that was just scraped"),
        pytest.param("sum(none) or vector(0)", 0, id="none there"),
    ],
)
async def test_a_verdict_reaches_back_to_the_oldest_sample(
    history: HistoryPrometheus, query: str, seconds: int
) -> None:
    """However new the evaluation is."""
    now = time.time()
    history.write(
        [
            ({"__name__": "slow", "pod": "a"}, [(now - 100, 0.0)]),
            ({"__name__": "slow", "pod": "b"}, [(now - 5, 0.0)]),
            ({"__name__": "fast"}, [(now - 3 + index / 10, 0.0) for index in range(30)]),
        ]
    )
    source = PrometheusSource(history.url)
    # The store is new, and how old its samples may be is all that is asked here.
    settings = PollSettings(least_uptime=0)
    service = AlarmService({"": source}, SystemClock(), lambda _: None, settings, random.Random(1))
    rule = {"query": query, "comparison": "GreaterThanThreshold", "threshold": 1}
    spec = {"metric": rule | {"evaluationPeriods": 1, "period": "1s"}}
    assert not service.set_alarm(AlarmKey("shop", "x"), AlarmSpec.model_validate(spec))
    service.watch("r", {"w": Wanted("ALARM(x)", "shop", Context())}, is_active=True)
    try:
        async with asyncio.timeout(10):
            await service.poll_due()
    finally:
        source.close()
    late = time.time() - now
    verdict = service.verdict("r", "w")
    assert verdict.is_ok
    assert seconds + 1 <= verdict.window.total_seconds() <= seconds + 5 + late
