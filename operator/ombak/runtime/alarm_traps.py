"""Traps of PromQL that only the data give away: windows too short for the scrapes, labels that nothing has.

Looked into in the background and now and then, one question at a time: this is advice for people, and no verdict
ever waits for it. What cannot be found out is no complaint.
"""

import asyncio
import contextlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from ombak.alarms import traps
from ombak.runtime.clock import Clock
from ombak.runtime.metrics_port import MetricsSource, QueryError

AGAIN_AFTER = timedelta(hours=1)
AGAIN_WHILE_EMPTY = timedelta(minutes=5)
_EXISTED_WITHIN = timedelta(hours=1)
_LEAST_WINDOW, _MOST_WINDOW = timedelta(minutes=5), timedelta(hours=1)
_TOLERANCE = 0.9
"""Scrapes come a little early or late; a window is too short only if it is clearly so."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in one query: sentences with the fix, and the longest interval between its samples."""

    problems: tuple[str, ...] = ()
    scrape: timedelta | None = None


_NOTHING = Findings()


@dataclass(slots=True)
class _Looked:
    """When and how a query was looked into, and who wants to know."""

    at: float
    while_empty: bool
    findings: Findings | None = None
    watchers: set[Hashable] = field(default_factory=set)


async def inspect(source: MetricsSource, query: str, clock: Clock, *, is_empty: bool) -> Findings:
    """Look into a rendered query now; `is_empty`: it gave no series, so find out why. Raises QueryError."""
    problems: dict[str, None] = {}
    longest: timedelta | None = None
    for selector in traps.selectors(query):
        if is_empty and (problem := await _why_nothing(source, selector, clock)):
            problems[problem] = None
            continue
        scrape = await _scrape_interval(source, selector, clock) if selector.range is not None else None
        if scrape is not None:
            longest = max(scrape, longest or scrape)
            if problem := traps.short_window(selector, scrape * _TOLERANCE) and traps.short_window(selector, scrape):
                problems[problem] = None
    return Findings(tuple(problems), longest)


async def _why_nothing(source: MetricsSource, selector: traps.Selector, clock: Clock) -> str:
    """Why no series matches a selector, empty if one does (or did lately)."""
    end = clock.now()

    async def exists(tried: traps.Selector) -> bool:
        return await source.has_series(str(tried), end - _EXISTED_WITHIN, end)

    if await exists(selector):
        return ""
    if not selector.name or not await exists(selector.only()):
        return traps.nothing_has(selector, None, is_named=False)
    for matcher in selector.matchers:
        if not await exists(selector.only(matcher)):
            return traps.nothing_has(selector, matcher, is_named=True)
    return traps.nothing_has(selector, None, is_named=True)


async def _scrape_interval(source: MetricsSource, selector: traps.Selector, clock: Clock) -> timedelta | None:
    """How often these series have a sample: what all targets are scraped at, else counted over some time.

    Counted only where they were there at the beginning of that time too, for else there are too few.
    """
    with contextlib.suppress(QueryError):
        if common := await source.scrape_interval():
            return common
    assert selector.range is not None
    window = min(_MOST_WINDOW, max(_LEAST_WINDOW, 10 * selector.range))
    seconds = f"{window.total_seconds():.0f}s"
    query = f"max(count_over_time({selector}[{seconds}])) and on() (count({selector} offset {seconds}) > 0)"
    answer = await source.query(query, clock.now())
    count = answer.series[0].points[-1][1] if answer.series else 0
    return window / count if count >= 2 else None


class TrapInspector:
    """Findings by query, kept for a while. To be used from one event loop only."""

    def __init__(
        self, sources: Mapping[str, MetricsSource], clock: Clock, on_found: Callable[[frozenset[Hashable]], None]
    ) -> None:
        """`on_found` gets those who asked about a query when something else than before was found in it."""
        self._sources = sources
        self._clock = clock
        self._on_found = on_found
        self._looked: dict[tuple[str, str], _Looked] = {}
        self._turn = asyncio.Semaphore(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def known(self, watcher: Hashable, endpoint: str, query: str, *, is_empty: bool) -> Findings:
        """What is known of a query so far; what is not will be found out, and the watcher then hears of it."""
        now, key = self._clock.monotonic(), (endpoint, query)
        before = self._looked.get(key)
        if before is None or self._is_due(before, now, is_empty):
            looked = _Looked(now, is_empty, before.findings if before else None, before.watchers if before else set())
            self._looked[key] = looked
            task = asyncio.create_task(self._look(key, looked))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            before = looked
        before.watchers.add(watcher)
        return before.findings or _NOTHING

    def forget(self, watcher: Hashable) -> None:
        """The watcher is gone, and what only it asked about."""
        for key, looked in list(self._looked.items()):
            looked.watchers.discard(watcher)
            if not looked.watchers:
                del self._looked[key]

    def _is_due(self, looked: _Looked, now: float, is_empty: bool) -> bool:
        pause = AGAIN_WHILE_EMPTY if is_empty else AGAIN_AFTER
        return looked.while_empty != is_empty or now - looked.at >= pause.total_seconds()

    async def _look(self, key: tuple[str, str], looked: _Looked) -> None:
        endpoint, query = key
        source = self._sources.get(endpoint)
        if source is None:
            return
        async with self._turn:
            if self._looked.get(key) is not looked:
                return
            try:
                found = await inspect(source, query, self._clock, is_empty=looked.while_empty)
            except QueryError:
                return
        if found != looked.findings:
            looked.findings = found
            self._on_found(frozenset(looked.watchers))
