"""A real Prometheus that kept its store and was away for longer than the queries read: it says nothing of that time."""

import asyncio
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest

from ombak.adapters.clock import SystemClock
from ombak.adapters.prometheus import PrometheusSource
from ombak.alarms.resolve import AlarmKey
from ombak.alarms.template import Context
from ombak.api.alarm import AlarmSpec
from ombak.runtime.alarm_interest import Wanted
from ombak.runtime.alarm_polling import PollSettings
from ombak.runtime.alarm_service import AlarmService
from ombak.sandbox.build import ensure_binaries
from ombak.sandbox.process import Process, free_ports, wait_for
from ombak.sandbox.prometheus import Prometheus
from ombak.sandbox.workdir import Workdir

pytestmark = pytest.mark.cluster
PATIENCE, AWAY = 40.0, 25.0
POINT = {"period": "2s", "comparison": "GreaterThanThreshold", "threshold": 0.5, "evaluationPeriods": 1}
LESS = {**POINT, "comparison": "LessThanThreshold"}
ALARMS: dict[str, Any] = {
    "sick-or-zero": {"query": "sum(rate(count_total[6s])) or vector(0)", **POINT},
    "sick-not-breaching": {"query": "rate(count_total[6s])", **POINT, "treatMissingData": "notBreaching"},
    "well-count": {"query": "count(count_over_time(level[6s])) or vector(0)", **LESS},
    "well-absent": {"query": "absent_over_time(level[6s]) or vector(0)", **POINT},
    "well-breaching": {"query": "max_over_time(level[6s])", **POINT, "treatMissingData": "breaching"},
}


BOX = """
import http.server, sys, time
began = time.time()
class Box(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"count_total {1000 + 10 * (time.time() - began)}\\nlevel 0\\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(text.encode())
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Box).serve_forever()
"""
"""A box whose errors grow by ten a second, and whose level is well."""


@contextmanager
def exporting(workdir: Workdir) -> Iterator[str]:
    """The address of the box, which is a process: scrapes that come to nothing while we are busy would be zeros."""
    (port,) = free_ports(1)
    box = Process("box", [sys.executable, "-c", BOX, str(port)], workdir.logs / "box.log")
    box.start()
    try:
        wait_for("the box", lambda: _answers(port), timedelta(seconds=30), processes=[box])
        yield f"127.0.0.1:{port}"
    finally:
        box.kill()


def _answers(port: int) -> bool:
    socket.create_connection(("127.0.0.1", port), timeout=1).close()
    return True


class Watched:
    """What one operator makes of the alarms."""

    def __init__(self, source: PrometheusSource) -> None:
        settings = PollSettings(timeout=2.0, slack=1.0, least_uptime=10.0)
        self.service = AlarmService({"": source}, SystemClock(), lambda _: None, settings, random.Random(1))
        for name, metric in ALARMS.items():
            spec = AlarmSpec.model_validate({"metric": metric})
            assert self.service.set_alarm(AlarmKey("shop", name), spec) == ""
        wanted = {name: Wanted(f'ALARM("{name}")', "shop", Context()) for name in ALARMS}
        self.service.watch("r1", wanted, is_active=True)
        self.seen: set[str] = set()
        self.running = asyncio.create_task(self.service.run())

    async def until_known(self) -> None:
        """Until all of it is right; nothing may be wrong before."""
        async with asyncio.timeout(PATIENCE):
            while not self.is_right():  # noqa: ASYNC110 - every moment is to be seen
                await asyncio.sleep(0.02)

    def is_right(self) -> bool:
        found = {name: self.service.verdict("r1", name) for name in ALARMS}
        for name, verdict in found.items():
            self.seen |= set(map(str, verdict.unknown))
            assert verdict.is_unknown or verdict.is_alarm is name.startswith("sick"), f"{name}: {verdict.message}"
        return not any(verdict.is_unknown for verdict in found.values())

    async def stop(self) -> None:
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running


async def test_of_the_time_in_which_it_was_away_nothing_is_concluded() -> None:
    """By an operator that was there all the time, and by a new one; and soon everything is known again."""
    workdir = Workdir("gap")
    prometheus = Prometheus("gap", workdir, ensure_binaries(("prometheus",))["prometheus"])
    with exporting(workdir) as address:
        try:
            prometheus.add_target("box", address)
            prometheus.start()
            source = PrometheusSource(prometheus.url, read_timeout=timedelta(seconds=2))
            old = Watched(source)
            await old.until_known()
            await asyncio.sleep(15)
            prometheus.stop()
            await asyncio.sleep(AWAY)
            await asyncio.to_thread(prometheus.start)
            new = Watched(source)
            await asyncio.gather(old.until_known(), new.until_known())
            assert any("no target was scraped" in line for line in new.seen), new.seen
            await old.stop()
            await new.stop()
            source.close()
        finally:
            prometheus.stop()
            workdir.remove()
