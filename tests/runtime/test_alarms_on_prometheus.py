"""The whole evaluation against a real Prometheus, which scrapes an exporter of the test's own every second."""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import prometheus_client
import pytest

from ombak.adapters.clock import SystemClock
from ombak.adapters.prometheus import PrometheusSource
from ombak.alarms.resolve import AlarmKey
from ombak.alarms.template import Context
from ombak.alarms.verdict import Verdict
from ombak.api.alarm import AlarmSpec
from ombak.api.signal import Signal
from ombak.runtime.alarm_interest import Wanted, wanted_signal
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.metrics_port import QueryError, QueryErrorKind
from ombak.sandbox.build import ensure_binaries
from ombak.sandbox.prometheus import Prometheus
from ombak.sandbox.workdir import Workdir

pytestmark = pytest.mark.cluster
PATIENCE = 90.0


class Setup:
    """A Prometheus, and the gauge `sick` that it scrapes."""

    def __init__(self, prometheus: Prometheus) -> None:
        self.prometheus = prometheus
        self.registry = prometheus_client.CollectorRegistry()
        self.sick = prometheus_client.Gauge("sick", "set by the tests", ["pod"], registry=self.registry)
        labels = ["namespace", "pod", "code"]
        self.calls = prometheus_client.Counter("calls", "counted by the tests", labels, registry=self.registry)


@pytest.fixture(scope="module")
def setup() -> Iterator[Setup]:
    """Both run for all tests of this file; each test has pods of its own."""
    workdir = Workdir("alarms")
    made = Setup(Prometheus("alarms", workdir, ensure_binaries(("prometheus",))["prometheus"]))
    server, thread = prometheus_client.start_http_server(0, "127.0.0.1", made.registry)
    made.prometheus.add_target("exporter", f"127.0.0.1:{server.server_port}")
    made.prometheus.start()
    yield made
    made.prometheus.stop()
    server.shutdown()
    thread.join()
    server.server_close()
    workdir.remove()


@pytest.fixture
def source(setup: Setup) -> Iterator[PrometheusSource]:
    """The real adapter."""
    made = PrometheusSource(setup.prometheus.url)
    yield made
    made.close()


class Watched:
    """The verdict on the alarm of a Rollout under way, kept by a running service."""

    def __init__(self, source: PrometheusSource) -> None:
        self.heard = asyncio.Event()
        self.service = AlarmService({"": source}, SystemClock(), lambda _: self.heard.set(), rng=random.Random(1))

    @property
    def verdict(self) -> Verdict:
        return self.service.verdict("r1", "revert")

    async def until(self, holds: Callable[[Verdict], bool]) -> Verdict:
        """Return the first one that holds."""
        async with asyncio.timeout(PATIENCE):
            while not holds(found := self.verdict):
                self.heard.clear()
                await self.heard.wait()
        return found


@asynccontextmanager
async def _watching(source: PrometheusSource, pods: str, **metric: Any) -> AsyncIterator[Watched]:
    watched = Watched(source)
    spec = {"query": 'sick{pod=~"$(pods)"}', "comparison": "GreaterThanThreshold", "threshold": 1, "period": "1s"}
    alarm = AlarmSpec.model_validate({"metric": {**spec, **metric}})
    assert not watched.service.set_alarm(AlarmKey("shop", "sick"), alarm)
    wanted = {"revert": Wanted("ALARM(sick)", "shop", Context(pods=pods))}
    watched.service.watch("r1", wanted, is_active=True)
    running = asyncio.create_task(watched.service.run())
    try:
        yield watched
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def _signalling(source: PrometheusSource, pods: str, **fields: Any) -> AsyncIterator[Watched]:
    """A ratio of bad calls, evaluated every second over four."""
    watched = Watched(source)
    ratio = {"bad": 'calls_total{code="500"}', "total": "calls_total"}
    signal = Signal.model_validate({"name": "errors", "ratio": ratio, "above": "10%", "period": "1s"} | fields)
    context = Context(namespace="shop", pods=pods)
    watched.service.watch("r1", {"revert": wanted_signal(signal, context, "of all boxes")}, is_active=True)
    running = asyncio.create_task(watched.service.run())
    try:
        yield watched
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def _calling(setup: Setup, *labels: str) -> AsyncIterator[None]:
    """Calls come in, a hundred a second."""

    async def call() -> None:
        while True:
            setup.calls.labels(*labels).inc(10)
            await asyncio.sleep(0.1)

    calling = asyncio.create_task(call())
    try:
        yield
    finally:
        calling.cancel()
        with suppress(asyncio.CancelledError):
            await calling


async def test_no_bad_series_is_0_and_no_calls_are_unknown(setup: Setup, source: PrometheusSource) -> None:
    """A share of nothing says nothing; once there are calls, no bad ones are a share of 0."""
    async with _signalling(source, "ratio-.*") as watched:
        await watched.until(lambda verdict: "has 0 samples, 10 are needed" in str(verdict.unknown))
        async with _calling(setup, "shop", "ratio-1", "200"):
            found = await watched.until(lambda verdict: verdict.is_ok)
            assert found.message.startswith("signal errors of all boxes: 0 (alarms when > 0.1")
            async with _calling(setup, "shop", "ratio-1", "500"):
                await watched.until(lambda verdict: verdict.is_alarm)
            await watched.until(lambda verdict: verdict.is_ok)
        await watched.until(lambda verdict: "samples, 10 are needed" in str(verdict.unknown))


async def test_a_signal_does_not_see_strangers(setup: Setup, source: PrometheusSource) -> None:
    """Neither pods of the same name elsewhere nor other pods beside them."""
    async with (
        _calling(setup, "shop", "own-1", "200"),
        _calling(setup, "other", "own-1", "500"),
        _calling(setup, "shop", "own-2", "500"),
        _signalling(source, "own-1") as watched,
    ):
        found = await watched.until(lambda verdict: verdict.is_ok)
        assert "errors of all boxes: 0 (" in found.message


async def test_too_few_calls_say_nothing(setup: Setup, source: PrometheusSource) -> None:
    """All of them are bad, but they are fewer than asked for."""
    async with _calling(setup, "shop", "few-1", "500"), _signalling(source, "few-.*", minSamples=10**6) as watched:
        found = await watched.until(lambda verdict: "1e+06 are needed" in str(verdict.unknown))
        assert found.is_unknown


async def test_a_value_that_goes_bad_and_well_again_is_followed(setup: Setup, source: PrometheusSource) -> None:
    """Unknown, OK, ALARM with the pod that did it, OK."""
    async with _watching(source, "flip-.*", evaluationPeriods=2) as watched:
        found = await watched.until(lambda verdict: "no series: not enough data" in str(verdict.unknown))
        assert found.is_unknown
        for pod in ("flip-1", "flip-2"):
            setup.sick.labels(pod).set(0)
        await watched.until(lambda verdict: verdict.is_ok)
        setup.sick.labels("flip-2").set(7)
        found = await watched.until(lambda verdict: verdict.is_alarm)
        assert 'pod="flip-2"' in found.message
        assert 'pod="flip-1"' not in found.message
        setup.sick.labels("flip-2").set(0)
        await watched.until(lambda verdict: verdict.is_ok)


async def test_a_prometheus_that_dies_is_unknown_until_it_is_back(setup: Setup, source: PrometheusSource) -> None:
    """Whatever it said before."""
    setup.sick.labels("outage-1").set(0)
    async with _watching(source, "outage-.*", evaluationPeriods=1) as watched:
        await watched.until(lambda verdict: verdict.is_ok)
        setup.prometheus.kill()
        try:
            found = await watched.until(lambda verdict: "cannot be reached" in str(verdict.unknown))
            assert found.is_unknown
        finally:
            await asyncio.get_running_loop().run_in_executor(None, setup.prometheus.restart)
        await watched.until(lambda verdict: verdict.is_ok)


async def test_a_query_that_fails_when_asked_is_unknown_with_the_reason(setup: Setup, source: PrometheusSource) -> None:
    """It parses, but the series do not fit together."""
    for pod in ("many-1", "many-2"):
        setup.sick.labels(pod).set(0)
    query = 'sick{pod=~"$(pods)"} + on() sick{pod=~"$(pods)"}'
    async with _watching(source, "many-.*", query=query) as watched:
        found = await watched.until(lambda verdict: "bad query" in str(verdict.unknown))
        assert "many-to-many" in found.unknown[0]
        assert found.is_unknown


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("vector(1.5)", [1.5], id="one"),
        pytest.param("scalar(vector(1.5))", [1.5], id="scalar"),
        pytest.param("vector(1) / 0", [math.inf], id="infinity"),
        pytest.param("vector(0) / 0", [math.nan], id="nan"),
        pytest.param("no_such_series", [], id="nothing"),
    ],
)
async def test_every_kind_of_answer_is_read(source: PrometheusSource, query: str, expected: list[float]) -> None:
    """In a range and in a moment, with a grid to the millisecond."""
    now = SystemClock().now()
    end = now.replace(microsecond=now.microsecond // 1000 * 1000)
    whole = await source.query_range(query, end - 3 * timedelta(milliseconds=700), end, timedelta(milliseconds=700))
    assert [[pytest.approx(v, nan_ok=True) for v in expected] * 4 for _ in expected] == [
        [value for _, value in series.points] for series in whole.series
    ]
    for series in whole.series:
        assert series.points[-1][0] == pytest.approx(end.timestamp(), abs=0.0005)
    moment = await source.query(query, end)
    assert [pytest.approx(v, nan_ok=True) for v in expected] == [series.points[0][1] for series in moment.series]
    assert whole.server_time is not None


async def test_a_query_of_thirty_kilobytes_is_no_problem(source: PrometheusSource) -> None:
    """It goes in the body."""
    query = " or ".join(f'sick{{pod="none-{i}"}}' for i in range(1_000))
    assert (await source.query(query, SystemClock().now())).series == ()


async def test_a_wrong_query_is_a_bad_query(source: PrometheusSource) -> None:
    """With Prometheus' own words."""
    with pytest.raises(QueryError, match="parse error") as caught:
        await source.query("sick{", SystemClock().now())
    assert caught.value.kind is QueryErrorKind.BAD_QUERY
