"""Since when a Prometheus can know anything: a new one with an empty store answers every query, and knows nothing.

A Prometheus tells since when its process runs, and once per process is asked for the oldest sample that is still in
memory. That is at least an hour old in one that kept its store (TSDB never cuts its head shorter), and as old as the
first scrape in one that did not. Where several take turns behind one address, the youngest counts. What is no
Prometheus itself (Thanos, Mimir) tells neither, and nothing is concluded then.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ombak.adapters.prometheus_answers import read_oldest_sample, read_scrape_interval, read_start_time
from ombak.runtime.metrics_port import Store

_FRESH = 0.25
"""Seconds; no Prometheus ends, starts and answers again within that time. Within one second a small one does."""
_ASK_AGAIN = 600.0
_PATIENCE = 1.0
"""Seconds between two looks into a store that is new."""
_MOST_PROCESSES = 8

Call = Callable[[str, Mapping[str, str]], Any]
"""Asks for `/api/v1/<what>`: the body, None where there is no such thing; raises QueryError."""
Run = Callable[[Callable[[], Store | None]], Awaitable[Store | None]]
"""Runs a call in a thread; raises QueryError."""


@dataclass(slots=True)
class StoreWatch:
    """What is known of one Prometheus' store; asked anew when that is not fresh. Times are monotonic seconds."""

    call: Call
    run: Run
    _by_process: dict[datetime, Store] = field(default_factory=dict)
    _again: dict[datetime, float] = field(default_factory=dict)
    _found: Store | None = None
    _began: float = float("-inf")
    _absent_until: float = float("-inf")
    _task: "asyncio.Task[None] | None" = None

    async def known(self) -> Store | None:
        """What is true of the process that gave an answer just now, None if it does not tell; raises QueryError."""
        arrived = time.monotonic()
        if arrived < self._absent_until:
            return None
        while self._began < arrived - _FRESH:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._look())
            await asyncio.shield(self._task)
        return self._found

    async def _look(self) -> None:
        began = time.monotonic()
        self._found = await self.run(self._ask)
        if self._found is None:
            self._absent_until = began + _ASK_AGAIN
        self._began = began

    def _ask(self) -> Store | None:
        """Runs in a thread, one at a time."""
        info = self.call("status/runtimeinfo", {})
        started = None if info is None else read_start_time(info)
        if started is None:
            return None
        if time.monotonic() >= self._again.get(started, 0.0):
            known = self._ask_store()
            if known is None:
                return None
            self._keep(started, known)
        own = self._by_process[started]
        return own if own.since is None else max(self._by_process.values(), key=_age)

    def _keep(self, started: datetime, known: Store) -> None:
        """What a process says of its past stays true; while it is young there may be more to know soon."""
        is_open = known.since is None or (known.scrape is None and known.is_young(datetime.now(UTC)))
        self._by_process[started] = known
        self._again[started] = time.monotonic() + _PATIENCE if is_open else float("inf")
        for oldest in sorted(self._by_process)[:-_MOST_PROCESSES]:
            del self._by_process[oldest], self._again[oldest]

    def _ask_store(self) -> Store | None:
        status = self.call("status/tsdb", {"limit": "1"})
        if status is None or "headStats" not in status["data"]:
            return None
        known = Store(read_oldest_sample(status))
        targets = self.call("targets", {"state": "active"}) if known.is_young(datetime.now(UTC)) else None
        return known if targets is None else replace(known, scrape=read_scrape_interval(targets))


def _age(store: Store) -> datetime:
    return store.since or datetime.min.replace(tzinfo=UTC)
