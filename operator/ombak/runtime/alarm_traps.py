"""Traps of PromQL that only the data give away: windows too short for the scrapes, labels that nothing has.

Looked into in the background and now and then, one question to each Prometheus at a time: this is advice for people,
and no verdict ever waits for it. What cannot be found out is no complaint.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from ombak.alarms import traps
from ombak.runtime.clock import Clock
from ombak.runtime.metrics_port import MetricsSource, QueryError

log = structlog.get_logger()

AGAIN_AFTER = timedelta(hours=1)
AGAIN_WHILE_BAD = timedelta(minutes=5)
FIRST_DOUBT = timedelta(minutes=1)
"""So soon a first finding is looked at again though nobody asks, then less and less: a service that is new has no
series until its first boxes serve."""
_EXISTED_WITHIN = timedelta(hours=1)
_NAMED_WITHIN = timedelta(days=1)
_LEAST_WINDOW, _MOST_WINDOW = timedelta(minutes=5), timedelta(hours=1)
_TOLERANCE = 0.9
"""Scrapes come a little early or late; a window is too short only if it is clearly so."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in one query: sentences with the fix, and the longest interval between its samples."""

    problems: tuple[str, ...] = ()
    scrape: timedelta | None = None


@dataclass(slots=True)
class _Looked:
    """When a query was looked into, what was found, and who wants to know."""

    at: float
    findings: Findings | None = None
    watchers: set[Hashable] = field(default_factory=set)
    pause: timedelta = FIRST_DOUBT


async def common_interval(source: MetricsSource) -> timedelta | None:
    """The interval at which all targets are scraped; None where it is not told, or they differ."""
    try:
        return await source.scrape_interval()
    except QueryError:
        return None


async def inspect(
    source: MetricsSource, query: str, clock: Clock, *, is_empty: bool, scrape: timedelta | None
) -> Findings:
    """Look into a rendered query now; raises QueryError.

    `is_empty`: it gave no series, so find out why, down to the values of labels; `scrape`: the common interval, None
    to count samples instead.
    """
    problems: dict[str, None] = {}
    longest: timedelta | None = None
    for selector in traps.selectors(query):
        if problem := await _misses(source, selector, clock, is_empty=is_empty):
            problems[problem] = None
            continue
        every = scrape
        if every is None and selector.range is not None:
            every = await _counted_interval(source, selector, selector.range, clock)
        if every is not None and selector.range is not None:
            longest = max(every, longest or every)
            if traps.short_window(selector, every * _TOLERANCE):
                problems[traps.short_window(selector, every)] = None
    return Findings(tuple(problems), longest or scrape)


async def _misses(source: MetricsSource, selector: traps.Selector, clock: Clock, *, is_empty: bool) -> str:
    """Why no series matches a selector, empty if one does (or did lately).

    Where the query has an answer without it, only what cannot be right: a name or a label that there is not. A value
    that nothing has is what one hopes for.
    """
    end = clock.now()

    async def exists(tried: traps.Selector, within: timedelta = _EXISTED_WITHIN) -> bool:
        return await source.has_series(str(tried), end - within, end)

    if selector.may_be_absent or await exists(selector):
        return ""
    if not selector.name or not await exists(selector.only(), _NAMED_WITHIN):
        if is_empty:
            return traps.nothing_has(selector, None, is_named=False)
        return traps.no_such_name(selector) if selector.name else ""
    if label := await _unknown_label(selector, exists):
        return traps.no_such_label(selector, label)
    return await _why_nothing(selector, exists) if is_empty else ""


Exists = Callable[[traps.Selector], Awaitable[bool]]
"""Whether there is a series, or was lately."""


async def _unknown_label(selector: traps.Selector, exists: Exists) -> str:
    """The first label that none of these series has, whatever its value: of its owner's, where there are some."""
    if not await exists(selector.only()):
        return ""
    whose = selector.whose if await exists(selector.only(*selector.whose)) else ()
    for matcher in selector.matchers:
        if matcher.needs_label and matcher not in whose:
            others = () if matcher in selector.whose else whose
            if not await exists(selector.only(*others, traps.Matcher(matcher.label, "!=", ""))):
                return matcher.label
    return ""


async def _why_nothing(selector: traps.Selector, exists: Exists) -> str:
    for matcher in selector.matchers:
        if not await exists(selector.only(matcher)):
            return traps.nothing_has(selector, matcher, is_named=True)
    return traps.nothing_has(selector, None, is_named=True)


async def _counted_interval(
    source: MetricsSource, selector: traps.Selector, reach: timedelta, clock: Clock
) -> timedelta | None:
    """How often these series have a sample, counted over some time.

    Only where they were there at the beginning of that time too, for else there are too few.
    """
    window = max(_LEAST_WINDOW, 10 * min(reach, _MOST_WINDOW / 10))
    seconds = f"{window.total_seconds():.0f}s"
    query = f"max(count_over_time({selector}[{seconds}])) and on() (count({selector} offset {seconds}) > 0)"
    answer = await source.query(query, clock.now())
    count = answer.series[0].points[-1][1] if answer.series else 0
    if count < 2:
        return None
    every = (window / count).total_seconds()
    return timedelta(seconds=round(every) if every >= 1 else every)


class TrapInspector:
    """Findings by query, kept for a while. To be used from one event loop only."""

    def __init__(
        self, sources: Mapping[str, MetricsSource], clock: Clock, on_found: Callable[[frozenset[Hashable]], None]
    ) -> None:
        """`on_found` gets those who asked about a query when something else than before was found in it."""
        self._sources = sources
        self._clock = clock
        self._on_found = on_found
        self._looked: dict[tuple[str, str, bool], _Looked] = {}
        """By endpoint, query, and whether it gave nothing: an Alarm and a Rollout may ask differently of one query."""
        self._asked: dict[Hashable, frozenset[tuple[str, str, bool]]] = {}
        """By watcher, of those who say it (`keep_only`)."""
        self._scrapes: dict[str, tuple[float, timedelta | None]] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()

    def known(self, watcher: Hashable, endpoint: str, query: str, *, is_empty: bool) -> Findings | None:
        """What is known of a query; None: nothing yet. It will be found out, and the watcher then hears of it."""
        now, key = self._clock.monotonic(), (endpoint, query, is_empty)
        before = self._looked.get(key)
        if before is None or self._is_due(before, now, is_empty):
            before = self._begin(key, before)
        before.watchers.add(watcher)
        return before.findings

    def _begin(self, key: tuple[str, str, bool], before: _Looked | None) -> _Looked:
        looked = _Looked(self._clock.monotonic())
        if before is not None:
            looked.findings, looked.watchers = before.findings, before.watchers
            looked.pause = min(2 * before.pause, AGAIN_AFTER)
        self._looked[key] = looked
        task = asyncio.create_task(self._look(key, looked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return looked

    def _doubt_later(self, key: tuple[str, str, bool], looked: _Looked) -> None:
        """Look again unasked, until so much time has passed that it is no new service any more."""
        if looked.pause < AGAIN_AFTER:
            asyncio.get_running_loop().call_later(looked.pause.total_seconds(), self._doubt, key, looked)

    def _doubt(self, key: tuple[str, str, bool], looked: _Looked) -> None:
        """Look again, unless somebody did since; whoever waits for nothing else would never ask."""
        if self._looked.get(key) is looked:
            self._begin(key, looked)

    def forget(self, watcher: Hashable) -> None:
        """The watcher is gone, and what only it asked about."""
        self._asked.pop(watcher, None)
        for key in list(self._looked):
            self._leave(watcher, key)

    def keep_only(self, watcher: Hashable, asked: Collection[tuple[str, str, bool]]) -> None:
        """Forget what the watcher asks about no more: with `$(artifact)` every version has queries of its own."""
        for key in self._asked.get(watcher, frozenset()).difference(asked):
            self._leave(watcher, key)
        self._asked[watcher] = frozenset(asked)

    def _leave(self, watcher: Hashable, key: tuple[str, str, bool]) -> None:
        looked = self._looked.get(key)
        if looked is not None:
            looked.watchers.discard(watcher)
            if not looked.watchers:
                del self._looked[key]

    def _is_due(self, looked: _Looked, now: float, is_empty: bool) -> bool:
        is_bad = is_empty or (looked.findings is not None and bool(looked.findings.problems))
        pause = AGAIN_WHILE_BAD if is_bad else AGAIN_AFTER
        return now - looked.at >= pause.total_seconds()

    async def _look(self, key: tuple[str, str, bool], looked: _Looked) -> None:
        endpoint, query, is_empty = key
        source = self._sources.get(endpoint)
        if source is None:
            return
        async with self._turns[endpoint]:
            if self._looked.get(key) is not looked:
                return
            try:
                scrape = await self._scrape(endpoint, source)
                found = await inspect(source, query, self._clock, is_empty=is_empty, scrape=scrape)
            except QueryError:
                if looked.findings is None:
                    self._doubt_later(key, looked)
                    return
                found = looked.findings
            except Exception:
                # Advice only: a mistake of ours in it must not cost the verdicts, and is not worth an unending wait.
                log.exception("a query could not be looked into", query=query)
                found = Findings()
        if found.problems:
            self._doubt_later(key, looked)
        if found != looked.findings:
            looked.findings = found
            self._on_found(frozenset(looked.watchers))

    async def _scrape(self, endpoint: str, source: MetricsSource) -> timedelta | None:
        """The common interval of one place; asked now and then only, for the list of targets may be long."""
        now, before = self._clock.monotonic(), self._scrapes.get(endpoint)
        if before is None or now - before[0] >= AGAIN_AFTER.total_seconds():
            self._scrapes[endpoint] = before = now, await common_interval(source)
        return before[1]
