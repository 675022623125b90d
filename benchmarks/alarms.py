"""The evaluator at scale: thousands of Alarms over fewer queries against a real Prometheus, and more than it can do.

The load is that of a whole operator: its queue, the status of every Alarm, and the looks for traps. No control plane is
needed: the API server is one in memory. It and the exporter run in this process, and are counted with the operator.
"""

import argparse
import asyncio
import collections
import os
import random
import statistics
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil

from ombak.adapters.clock import SystemClock
from ombak.adapters.prometheus import PrometheusSource
from ombak.alarms.resolve import AlarmKey
from ombak.alarms.template import Context
from ombak.api.alarm import AlarmSpec
from ombak.runtime import kinds
from ombak.runtime.alarm_interest import Wanted
from ombak.runtime.alarm_polling import PollSettings
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.kube_port import Object
from ombak.runtime.operator import Operator
from ombak.sandbox.build import ensure_binaries
from ombak.sandbox.prometheus import Prometheus
from ombak.sandbox.workdir import Workdir
from ombak.simulation.agenda import Agenda
from ombak.simulation.client import Request, ServerClient
from ombak.simulation.server import Server

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


def _metric(number: int, size: Size) -> dict[str, Any]:
    return {
        "query": f'bench_level{{app="a{number % size.apps}"}} + {number % size.queries // size.apps} * 0',
        "comparison": "GreaterThanThreshold",
        "threshold": 1 + number // size.queries,
        "period": f"{size.period_s:g}s",
        "evaluationPeriods": 1,
    }


class Evaluator:
    """A service with `alarms` Alarms over `queries` queries, and nothing around it."""

    def __init__(self, source: PrometheusSource, size: Size) -> None:
        alarms = self.alarms = size.alarms
        self.service = AlarmService({"": source}, SystemClock(), lambda _: None, PollSettings(), random.Random(1))
        for number in range(alarms):
            spec = AlarmSpec.model_validate({"metric": _metric(number, size)})
            self.service.set_alarm(AlarmKey("bench", f"x{number}"), spec)
        for number in range(alarms):
            wanted = {"x": Wanted(f"ALARM(x{number})", "bench", Context())}
            self.service.watch(number, wanted, is_active=False)

    def count(self) -> collections.Counter[str]:
        """How many Alarms are certainly OK, certainly in ALARM, and unknown."""
        found = (self.service.verdict(number, "x") for number in range(self.alarms))
        return collections.Counter("OK" if v.is_ok else "ALARM" if v.is_alarm else "unknown" for v in found)


class CountingSource(PrometheusSource):
    """Counts what it is asked: `asked` are queries, `looked` what the search for traps asks."""

    asked = looked = 0

    async def query_range(self, *arguments: object) -> object:  # type: ignore[override]
        """Count, and ask."""
        self.asked += 1
        return await super().query_range(*arguments)  # type: ignore[arg-type]

    async def query(self, *arguments: object) -> object:  # type: ignore[override]
        """Count, and ask."""
        self.looked += 1
        return await super().query(*arguments)  # type: ignore[arg-type]

    async def has_series(self, *arguments: object) -> bool:  # type: ignore[override]
        """Count, and ask."""
        self.looked += 1
        return await super().has_series(*arguments)  # type: ignore[arg-type]


class Client(ServerClient):
    """Answers at once."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server, self.writes = server, 0

    async def _call(self, request: Request, effect: Callable[[Server], Object]) -> Object:
        self.writes += request.is_write and request.kind != "Lease"
        return effect(self.server)

    def _pods(self, _selector: str) -> list[Object]:
        return []


class Whole:
    """An operator with `alarms` Alarm objects; for the first `active` queries releases are under way.

    `changed`: when the app of an Alarm was turned bad (monotonic). `told` and `heard`: when that stood in the status of
    each of its Alarms, and when the release heard of it.
    """

    def __init__(self, source: PrometheusSource, size: Size) -> None:
        self.size = size
        self.changed: dict[int, float] = {}
        self.told: dict[str, float] = {}
        self.heard: dict[int, float] = {}
        self.server = Server(Agenda())
        self.client = Client(self.server)
        self.operator = Operator(self.client, {"": source}, SystemClock(), random.Random(1))
        self.operator.service._on_change = self.operator.service._pool._notify = self._wake
        self.server.listeners.append(self._see)
        self.synced = asyncio.Event()

    def create(self) -> None:
        """Apply the Alarms, and begin the releases."""
        for number in range(self.size.alarms):
            metric = _metric(number, self.size)
            body = {"apiVersion": kinds.ALARMS.api_version, "kind": "Alarm", "metadata": {"name": f"x{number}"}}
            self.server.create("kubectl", kinds.ALARMS, "bench", {**body, "spec": {"metric": metric}})
        for number in range(self.size.active):
            wanted = {"x": Wanted(f"ALARM(x{number})", "bench", Context())}
            self.operator.service.watch(number, wanted, is_active=True)
        self.synced.set()

    def _see(self, kind: str, _event: str, obj: Object) -> None:
        if kind != "Alarm":
            return
        self.operator.alarms.observe(obj)
        name, status = obj["metadata"]["name"], obj.get("status") or {}
        if (status.get("state"), status.get("certainty")) == ("ALARM", "Certain"):
            self.told.setdefault(name, time.monotonic())

    def _wake(self, watchers: frozenset[Hashable]) -> None:
        for watcher in watchers:
            if isinstance(watcher, int) and self.operator.service.verdict(watcher, "x").is_alarm:
                self.heard.setdefault(watcher, time.monotonic())
        self.operator._wake(watchers)

    def is_told(self) -> bool:
        """Whether every Alarm has a state that is certain."""
        found = (obj.get("status") or {} for obj in self.server.all("Alarm"))
        return all(status.get("certainty") == "Certain" and status.get("state") == "OK" for status in found)

    def lags(self, app: int) -> list[float]:
        """How long it took for each Alarm over an app; infinite where it was not told."""
        numbers = range(app, self.size.alarms, self.size.queries)
        return [self.told.get(f"x{number}", float("inf")) - self.changed[app] for number in numbers]


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
    whole, me, prometheus = Whole(source, size), psutil.Process(), _child("prometheus")
    running = asyncio.create_task(whole.operator.run([whole.synced]))
    started = Moment(me, prometheus, source, whole)
    whole.create()
    while not whole.is_told():  # noqa: ASYNC110 - a benchmark may look now and then
        await asyncio.sleep(0.5)
    print(f"  start, until all {options.alarms} have a status: {Moment(me, prometheus, source, whole).since(started)}")
    while whole.operator.queue.depth or source.looked < options.queries:  # noqa: ASYNC110
        await asyncio.sleep(0.5)
    print(f"  and every query was looked into: {Moment(me, prometheus, source, whole).since(started)}")
    quiet = Moment(me, prometheus, source, whole)
    await asyncio.sleep(options.seconds / 2)
    print(f"  nothing happens: {Moment(me, prometheus, source, whole).since(quiet)}")
    busy, chance = Moment(me, prometheus, source, whole), random.Random(2)
    while time.monotonic() - busy.at < options.seconds:
        await asyncio.sleep(chance.uniform(0.2, 0.6))
        active = chance.random() < 0.5
        app = chance.randrange(options.active) if active else chance.randrange(options.active, options.queries)
        if exporter.values[app] == 0:
            exporter.values[app] = 100
            exporter.publish()
            whole.changed[app] = time.monotonic()
    print(f"  {len(whole.changed)} apps turn bad: {Moment(me, prometheus, source, whole).since(busy)}")
    await asyncio.sleep(options.period + 3)
    found = [whole.heard.get(app, float("inf")) - at for app, at in whole.changed.items() if app < options.active]
    _print_lags("the release has heard", found)
    _print_lags(
        "its status says so", [lag for app in whole.changed if app >= options.active for lag in whole.lags(app)]
    )
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


class Moment:
    """What had been used and asked by now."""

    def __init__(self, me: psutil.Process, prometheus: psutil.Process, source: CountingSource, whole: Whole) -> None:
        self.at, self.memory = time.monotonic(), me.memory_info().rss
        self.cpu, self.theirs = (sum(process.cpu_times()[:2]) for process in (me, prometheus))
        self.asked, self.looked, self.writes = source.asked, source.looked, whole.client.writes

    def since(self, before: "Moment") -> str:
        """What happened between two moments."""
        took = self.at - before.at
        return (
            f"{took:.0f} s, {(self.asked - before.asked) / took:.0f} queries/s, {self.looked - before.looked} looks "
            f"for traps, {self.writes - before.writes} writes; CPU: operator {(self.cpu - before.cpu) / took:.2f} of a "
            f"core, Prometheus {(self.theirs - before.theirs) / took:.2f}; {self.memory / 1e6:.0f} MB; "
            f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        )


def _print_lags(name: str, lags: list[float]) -> None:
    seen = [lag for lag in lags if lag != float("inf")]
    if seen:
        quantile = statistics.quantiles(seen, n=20)[-1] if len(seen) > 1 else seen[0]
        print(
            f"  bad value set -> {name}: median {statistics.median(seen):.1f} s, 95 % {quantile:.1f} s, max "
            f"{max(seen):.1f} s ({len(seen)} Alarms, {len(lags) - len(seen)} not; up to {SCRAPE_S:g} s is the scrape)"
        )


def _child(name: str) -> psutil.Process:
    return next(child for child in psutil.Process().children(recursive=True) if name in child.name())


async def measure_overload(exporter: Exporter, source: CountingSource, options: argparse.Namespace) -> None:
    """Ask for more than can be answered; then everything goes bad at once, and nothing may still be called OK."""
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
    limit = 2 * options.overload_period + PollSettings().slack + source.limit.total_seconds() + 2 * SCRAPE_S
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
        time.sleep(2 * options.period + 5)  # until what it has scraped is enough for a first answer
        for title, measure in (("load", measure_load), ("overload", measure_overload)):
            print(f"{title}:")
            source = CountingSource(prometheus.url, read_timeout=timedelta(seconds=10))
            asyncio.run(measure(exporter, source, options))
            source.close()


if __name__ == "__main__":
    main()
