"""The evaluator at scale: thousands of Alarms over fewer queries against a real Prometheus, and more than it can do.

No control plane is needed. The exporter runs in this process too; what it costs is counted with the evaluator.
"""

import argparse
import asyncio
import collections
import random
import statistics
import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil

from ombak.adapters.clock import SystemClock
from ombak.adapters.prometheus import PrometheusSource
from ombak.alarms.resolve import AlarmKey
from ombak.alarms.template import Context
from ombak.api.alarm import AlarmSpec
from ombak.runtime.alarm_interest import Wanted
from ombak.runtime.alarm_polling import PollSettings
from ombak.runtime.alarm_service import AlarmService
from ombak.sandbox.build import ensure_binaries
from ombak.sandbox.prometheus import Prometheus
from ombak.sandbox.workdir import Workdir

SCRAPE_S = 1.0


class Exporter:
    """One gauge for each app, 0 while it is well and 100 while it is bad; the text is made when something changes."""

    def __init__(self, apps: int) -> None:
        self.values = dict.fromkeys(range(apps), 0)
        self._text = b""
        self.publish()
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                with suppress(OSError):  # a scrape that timed out
                    self.wfile.write(exporter._text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def publish(self) -> None:
        """Show the values from the next scrape on."""
        self._text = "".join(f'bench_level{{app="a{n}"}} {value}\n' for n, value in self.values.items()).encode()


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is to do: `queries` are distinct ones, over the gauges of `apps` apps."""

    alarms: int
    queries: int
    apps: int
    active: int
    period_s: float


class Evaluator:
    """A service with `alarms` Alarms over `queries` queries; the first `active` are those of releases under way.

    `changed`: when the app of an Alarm was turned bad (monotonic), and less than 0, how long ago that was when seen.
    """

    def __init__(self, source: PrometheusSource, size: Size) -> None:
        alarms, queries = size.alarms, size.queries
        self.alarms = alarms
        self.changed: dict[Hashable, float] = {}
        self.service = AlarmService({"": source}, SystemClock(), self._heard, PollSettings(), random.Random(1))
        for number in range(alarms):
            metric = {
                "query": f'bench_level{{app="a{number % size.apps}"}} + {number % queries // size.apps} * 0',
                "comparison": "GreaterThanThreshold",
                "threshold": 1 + number // queries,
                "period": f"{size.period_s}s",
                "evaluationPeriods": 1,
            }
            self.service.set_alarm(AlarmKey("bench", f"x{number}"), AlarmSpec.model_validate({"metric": metric}))
        for number in range(alarms):
            wanted = {"x": Wanted(f"ALARM(x{number})", "bench", Context())}
            self.service.watch(number, wanted, is_active=number < size.active)

    def _heard(self, watchers: frozenset[Hashable]) -> None:
        now = time.monotonic()
        for watcher in watchers:
            if self.changed.get(watcher, 0) > 0 and self.service.verdict(watcher, "x").is_alarm:
                self.changed[watcher] -= now

    def is_known(self) -> bool:
        """Whether nothing is unknown."""
        return not any(self.service.verdict(number, "x").is_unknown for number in range(self.alarms))

    def count(self) -> collections.Counter[str]:
        """How many Alarms are certainly OK, certainly in ALARM, and unknown."""
        found = (self.service.verdict(number, "x") for number in range(self.alarms))
        return collections.Counter("OK" if v.is_ok else "ALARM" if v.is_alarm else "unknown" for v in found)


class CountingSource(PrometheusSource):
    """Counts what it is asked."""

    asked = 0

    async def query_range(self, *arguments: object) -> object:  # type: ignore[override]
        """Count, and ask."""
        self.asked += 1
        return await super().query_range(*arguments)  # type: ignore[arg-type]


@contextmanager
def scraped(apps: int) -> Iterator[tuple[Exporter, Prometheus]]:
    """A Prometheus that scrapes the exporter every second."""
    workdir, exporter = Workdir("bench-alarms"), Exporter(apps)
    prometheus = Prometheus("bench", workdir, ensure_binaries(("prometheus",))["prometheus"])
    try:
        prometheus.add_target("bench", exporter.address)
        prometheus.start()
        while prometheus.value("count(bench_level)") != apps:
            time.sleep(0.2)
        yield exporter, prometheus
    finally:
        prometheus.stop()
        workdir.remove()


async def measure_load(exporter: Exporter, source: CountingSource, options: argparse.Namespace) -> None:
    """Let it run at its rhythm, turn some apps bad at any moment, and tell how long that took to be seen."""
    size = Size(options.alarms, options.queries, options.queries, options.active, options.period)
    evaluator = Evaluator(source, size)
    running = asyncio.create_task(evaluator.service.run())
    began = time.monotonic()
    while not evaluator.is_known():  # noqa: ASYNC110 - a benchmark may look now and then
        await asyncio.sleep(0.2)
    print(f"  all {options.alarms} known {time.monotonic() - began:.1f} s after the start")
    me, prometheus = psutil.Process(), _child("prometheus")
    cpu, theirs, asked, started = me.cpu_times(), prometheus.cpu_times(), source.asked, time.monotonic()
    chance, turned = random.Random(2), set[int]()
    while time.monotonic() - started < options.seconds:
        await asyncio.sleep(chance.uniform(0.2, 0.6))
        active = chance.random() < 0.5
        app = chance.randrange(options.active) if active else chance.randrange(options.active, options.queries)
        if exporter.values[app] == 0:
            exporter.values[app] = 100
            exporter.publish()
            turned.add(app)
            evaluator.changed[app] = time.monotonic()
    took = time.monotonic() - started
    after, others, rate = me.cpu_times(), prometheus.cpu_times(), (source.asked - asked) / took
    await asyncio.sleep(options.period + 3)
    ours = (after.user + after.system - cpu.user - cpu.system) / took
    prom = (others.user + others.system - theirs.user - theirs.system) / took
    print(f"  {rate:.0f} queries/s; CPU: evaluator {ours:.2f} of a core, Prometheus {prom:.2f}")
    for name, mine in (("release under way", True), ("idle", False)):
        found = [evaluator.changed[app] for app in turned if (app < options.active) is mine]
        lags, missed = [-lag for lag in found if lag < 0], sum(lag > 0 for lag in found)
        _print_lags(name, lags, missed)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def _print_lags(name: str, lags: list[float], missed: int) -> None:
    if lags:
        quantile = statistics.quantiles(lags, n=20)[-1] if len(lags) > 1 else lags[0]
        print(
            f"  {name}: bad value set -> ALARM: median {statistics.median(lags):.1f} s, 95 % {quantile:.1f} s, "
            f"max {max(lags):.1f} s ({len(lags)} changes, {missed} not seen; up to {SCRAPE_S:g} s of it is the scrape)"
        )


def _child(name: str) -> psutil.Process:
    return next(child for child in psutil.Process().children(recursive=True) if name in child.name())


async def measure_overload(exporter: Exporter, source: CountingSource, options: argparse.Namespace) -> None:
    """Ask for more than can be answered; then everything goes bad at once, and nothing may still be called OK."""
    settings = PollSettings()
    many = options.overload_queries
    evaluator = Evaluator(source, Size(many, many, options.queries, 0, options.overload_period))
    for app in exporter.values:
        exporter.values[app] = 0
    exporter.publish()
    await asyncio.sleep(2 * SCRAPE_S)
    running = asyncio.create_task(evaluator.service.run())
    for _ in range(3):
        asked, now = source.asked, time.monotonic()
        await asyncio.sleep(8)
        rate = (source.asked - asked) / (time.monotonic() - now)
        wanted = many / options.overload_period
        print(f"  {wanted:.0f} queries/s wanted, {rate:.0f} done: {dict(evaluator.count())}")
    for app in exporter.values:
        exporter.values[app] = 100
    exporter.publish()
    limit = 2 * options.overload_period + settings.slack + settings.timeout + 2 * SCRAPE_S
    await asyncio.sleep(limit)
    found = evaluator.count()
    print(f"  {limit:.0f} s after everything went bad: {dict(found)}; called OK although bad: {found['OK']}")
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def main() -> None:
    """Both measurements, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alarms", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument(
        "--active", type=int, default=100, help="queries of releases under way, asked four times as often"
    )
    parser.add_argument("--period", type=float, default=30)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--overload-period", type=float, default=1)
    parser.add_argument("--overload-queries", type=int, default=8_000)
    options = parser.parse_args()
    with scraped(options.queries) as (exporter, prometheus):
        for title, measure in (("load", measure_load), ("overload", measure_overload)):
            print(f"{title}:")
            source = CountingSource(prometheus.url, read_timeout=timedelta(seconds=10))
            asyncio.run(measure(exporter, source, options))
            source.close()


if __name__ == "__main__":
    main()
