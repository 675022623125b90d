"""Asks every query that somebody rests on, each in its own rhythm, those of releases under way first.

A poll is stateless: the last N periods (and some more, for missing points) up to now. So a restart is warm after one
poll, and a poll that was lost is made good by the next. A failed one is tried again later and later, up to a few
periods, so that a Prometheus that is down is not hammered.
"""

import asyncio
import contextlib
import functools
import heapq
import itertools
import random
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ombak.alarms import alerting, freshness, lookback, metric
from ombak.alarms.verdict import Verdict, unknown_verdict
from ombak.runtime.alarm_asking import Asker, whole_milliseconds
from ombak.runtime.alarm_interest import Leaf, RuleLeaf, guarded
from ombak.runtime.alarm_lanes import AnyShared, Lanes
from ombak.runtime.alarm_queries import (
    Pace,
    PollKey,
    QueryKey,
    Result,
    RuleState,
    SharedQuery,
    SharedRules,
    oldest_age,
)
from ombak.runtime.alarm_rule_ages import ages
from ombak.runtime.alarm_scrapes import ScrapeWatch
from ombak.runtime.alarm_together import Together, may_ask
from ombak.runtime.clock import Clock
from ombak.runtime.metrics_port import MetricsSource, QueryError, QueryErrorKind, QueryResult

Notify = Callable[[frozenset[Hashable]], None]
"""Called, in the event loop, with the watchers that have to look again; must not block."""

_STALE_SCAN = 1.0


@dataclass(frozen=True, slots=True)
class PollSettings:
    """How hard to work, and whom to trust how long; times in seconds.

    `concurrency` is how many questions each Prometheus gets at once, `timeout` bounds one where that is not left to the
    source's own limit, `slack` is what an answer may be late beyond two polls before it is stale, `most_skew`
    how far the clock of a Prometheus may be from ours, `most_backoff` how many periods lie between failing polls,
    `least_uptime` how long a Prometheus has to run before its alerting rules count, and, where it does not tell how
    often it scrapes, how long it needs to see all its targets (two scrapes by its own default).
    """

    concurrency: int = 16
    timeout: float | None = None
    minimum_interval: float = 0.5
    slack: float = 5.0
    most_skew: float = 5.0
    most_backoff: float = 2.0
    least_uptime: float = 120.0


class QueryPool:
    """All shared queries of one region. To be used from one event loop only."""

    def __init__(
        self,
        sources: Mapping[str, MetricsSource],
        clock: Clock,
        notify: Notify,
        settings: PollSettings,
        rng: random.Random,
        on_scan: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_scan` is called about once a second, for what depends on the time alone."""
        self._on_scan = on_scan
        self.asker = Asker(sources, clock, settings.timeout, settings.most_skew)
        self._scrapes = ScrapeWatch(self.asker, clock, settings.least_uptime / 2)
        self._clock = clock
        self._notify = notify
        self._settings = settings
        self._rng = rng
        self._queries: dict[PollKey, AnyShared] = {}
        self._wanted: dict[Hashable, tuple[frozenset[Leaf], Pace]] = {}
        self._held: dict[Hashable, frozenset[Leaf]] = {}
        self._together = Together()
        self._timetable: list[tuple[float, int, AnyShared]] = []
        self._lanes = Lanes(settings.concurrency)
        self._entries = itertools.count()
        self._polls: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._next_scan = 0.0
        self._defect: BaseException | None = None

    def __len__(self) -> int:
        """How many distinct questions are asked."""
        return len(self._queries)

    def subscribe(self, watcher: Hashable, leaves: frozenset[Leaf], pace: Pace) -> None:
        """From now on the watcher rests on exactly these leaves; what nobody rests on is forgotten."""
        self._wanted.pop(watcher, None)
        if leaves:
            self._wanted[watcher] = leaves, pace
        self._hold(watcher, frozenset(map(self._together.placed, leaves)), pace)

    def _hold(self, watcher: Hashable, leaves: frozenset[Leaf], pace: Pace) -> None:
        before = self._held.pop(watcher, frozenset())
        for leaf in leaves:
            query, is_new = self._join(leaf, watcher)
            query.set_pace(watcher, pace)
            self._hurry(query, is_new)
        if leaves:
            self._held[watcher] = leaves
        for leaf in before - leaves:
            self._leave(leaf, watcher, still_asked={kept.asked for kept in leaves})

    def _regroup(self, key: QueryKey) -> None:
        """Place everybody anew who could be asked for by this query for many."""
        for watcher, (leaves, pace) in self._wanted.items():
            if any(may_ask(leaf, key) for leaf in leaves):
                self._hold(watcher, frozenset(map(self._together.placed, leaves)), pace)

    def _join(self, leaf: Leaf, watcher: Hashable) -> tuple[AnyShared, bool]:
        """Add a watcher of a leaf; returns the question, and whether its rule is new there."""
        if isinstance(leaf, RuleLeaf):
            least = timedelta(seconds=self._settings.least_uptime)
            rules = self._queries.setdefault(leaf.asked, SharedRules(key=leaf.asked, least_uptime=least))
            assert isinstance(rules, SharedRules)
            is_new = leaf.view not in rules.rules
            rules.rules.setdefault(leaf.view, RuleState()).watchers.add(watcher)
            return rules, is_new
        query = self._queries.setdefault(leaf.asked, SharedQuery(key=leaf.asked))
        assert isinstance(query, SharedQuery)
        is_new = leaf.view not in query.rules
        query.rules.setdefault(leaf.view, RuleState()).watchers.add(watcher)
        return query, is_new

    def _leave(self, leaf: Leaf, watcher: Hashable, still_asked: Collection[PollKey]) -> None:
        query = self._queries[leaf.asked]
        rules: dict[Any, Any] = query.rules
        rules[leaf.view].watchers.discard(watcher)
        if not rules[leaf.view].watchers:
            del rules[leaf.view]
        if leaf.asked not in still_asked:
            query.set_pace(watcher, None)
        if not query.rules:
            del self._queries[leaf.asked]

    def _hurry(self, query: AnyShared, is_new: bool) -> None:
        """Ask at once what was never asked, and not later than the rhythm that the query has now."""
        if query.is_polling:
            query.again = query.again or is_new
            return
        if query.is_waiting:
            self._lanes.wait(query)
            return
        soonest = 0.0 if is_new or query.asked is None else query.asked + self._interval(query)
        if query.failures == 0 and (query.due is None or soonest < query.due):
            self._plan(query, soonest)

    def _plan(self, query: AnyShared, due: float) -> None:
        query.due = due
        heapq.heappush(self._timetable, (due, next(self._entries), query))
        self._wake.set()

    def verdict(self, leaf: Leaf, name: str) -> Verdict:
        """What is known of a leaf, for an alarm of this name."""
        leaf = self._together.placed(leaf)
        query = self._queries.get(leaf.asked)
        if isinstance(leaf, RuleLeaf) and isinstance(query, SharedRules):
            return query.verdict(leaf.view, name, self._stale_before(query))
        if isinstance(leaf, RuleLeaf) or not isinstance(query, SharedQuery):
            return unknown_verdict(name, "is not watched")
        own = query.verdict(leaf.view, name, self._stale_before(query))
        if leaf.samples is None:
            return own
        counted = self.result(leaf.samples)
        found = counted.newest if isinstance(counted, metric.MetricResult) else None
        return guarded(own, self.verdict(leaf.samples, name), name, found, leaf.samples.rule.threshold)

    def result(self, leaf: Leaf) -> Result | None:
        """The last judgement of a leaf, however old; None if there is none."""
        leaf = self._together.placed(leaf)
        query = self._queries.get(leaf.asked)
        rules: dict[Any, Any] = query.rules if query is not None else {}
        state: RuleState[Any] | None = rules.get(leaf.view)
        return None if state is None or state.outcome is None else state.outcome.result

    def pace(self, leaf: Leaf, *, is_active: bool) -> timedelta:
        """The time between two evaluations of a leaf: our polls, or those of the rule where they are slower."""
        own = self.interval_of(leaf.query.period, is_active=is_active)
        found = self.result(leaf)
        return max(own, found.interval) if isinstance(found, alerting.RuleResult) else own

    def _interval(self, query: AnyShared) -> float:
        return query.interval(self._settings.minimum_interval)

    def _stale_before(self, query: AnyShared) -> float:
        return self._clock.monotonic() - 2 * self._interval(query) - self._settings.slack

    def has_looked(self, leaf: Leaf) -> bool:
        """Whether there was an answer to this query, or a failure, since somebody asked for it."""
        query = self._queries.get(self._together.placed(leaf).asked)
        return query is not None and (query.failures > 0 or self.result(leaf) is not None)

    def interval_of(self, period: timedelta, *, is_active: bool) -> timedelta:
        """The time between two polls of a query of that period."""
        return max(timedelta(seconds=self._settings.minimum_interval), period / 4 if is_active else period)

    async def run(self) -> None:
        """Poll until cancelled."""
        try:
            while True:
                self._wake.clear()
                self._raise_defect()
                self._start_due()
                self._announce_stale()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause()):
                        await self._wake.wait()
        finally:
            for poll in self._polls:
                poll.cancel()
            await asyncio.gather(*self._polls, return_exceptions=True)

    async def poll_due(self) -> None:
        """Ask everything that is due now, and return when all of it is answered (for whoever owns the time)."""
        self._start_due()
        while self._polls:
            await asyncio.wait(self._polls)
            self._raise_defect()
            self._start_due()
        self._announce_stale()

    def _pause(self) -> float:
        """Seconds until there is something to do; a poll that ends wakes the loop by itself."""
        if not self._timetable:
            return _STALE_SCAN
        return min(_STALE_SCAN, max(0.0, self._timetable[0][0] - self._clock.monotonic()))

    def _start_due(self) -> None:
        """Start what is due, as far as there is room: releases under way first, then by how long it is overdue."""
        now = self._clock.monotonic()
        while self._timetable and self._timetable[0][0] <= now:
            due, _, query = heapq.heappop(self._timetable)
            if query.due == due and self._is_wanted(query):
                query.due = None
                self._lanes.wait(query)
        for query in self._lanes.start(self._is_wanted):
            poll = asyncio.get_running_loop().create_task(self._poll(query))
            self._polls.add(poll)
            poll.add_done_callback(functools.partial(self._ended, query.poll_key.endpoint))

    def _is_wanted(self, query: AnyShared) -> bool:
        return self._queries.get(query.poll_key) is query

    def _ended(self, endpoint: str, poll: asyncio.Task[None]) -> None:
        self._lanes.end(endpoint)
        self._polls.discard(poll)
        if not poll.cancelled() and poll.exception() is not None:
            self._defect = poll.exception()
        self._wake.set()

    def _raise_defect(self) -> None:
        """A poll ends in an answer or a `QueryError`; anything else is a mistake that must not stay unseen."""
        if self._defect is not None:
            raise self._defect

    async def _poll(self, query: AnyShared) -> None:
        """Ask once, judge, tell, and plan the next time."""
        asked, at = self._clock.monotonic(), whole_milliseconds(self._clock.now())
        query.again = False
        try:
            changed = await self._ask_and_judge(query, at, asked)
        except QueryError as error:
            changed = query.fail(f"could not be evaluated, {error}")
            refused = self._together.refuse(query, error, asked)
            if refused is not None:
                self._regroup(refused)
        query.asked, query.is_polling = asked, False
        self._plan(query, self._next_due(query, asked))
        self._tell(changed | query.active)

    async def _ask_and_judge(self, query: AnyShared, at: datetime, asked: float) -> set[Hashable]:
        """Ask within the time limit and judge what comes; raises QueryError where nothing that counts does."""
        if isinstance(query, SharedRules):
            told = await self.asker.rules(query.key)
            query.ages = await ages(self.asker, query, told.rules)
            return query.judge(told, at, asked)
        key, points = query.key, query.points
        start = at - (points - 1) * key.period
        answer = await self.asker.over(key, start, at)
        self._check_store(answer, at, at - start + lookback.lookback(key.text))
        sight = await self._scrapes.sight(key, [start + index * key.period for index in range(points)])
        # Only a release asks what its evidence rests on; and it asks anew when it begins.
        times = freshness.oldest_query(key.text) if query.active else ""
        old = await self.asker.over(replace(key, text=times), start, at) if times else QueryResult(())
        return query.judge(answer, at, asked, points, oldest_age(old), sight)

    def _check_store(self, answer: QueryResult, at: datetime, reach: timedelta) -> None:
        """Refuse what a store may say because it is new: `or vector(0)` and `absent()` answer from nothing, too."""
        least = timedelta(seconds=self._settings.least_uptime)
        problem = answer.store.is_too_early(at, reach, least) if answer.store is not None else ""
        if problem:
            raise QueryError(QueryErrorKind.TOO_EARLY, problem)

    def _next_due(self, query: AnyShared, asked: float) -> float:
        """Later and later after failures; a little early at random otherwise, so that polls spread out."""
        if query.again:
            return asked
        interval = self._interval(query)
        if query.failures:
            most = max(interval, self._settings.most_backoff * query.poll_key.period.total_seconds())
            return asked + min(most, interval * (1 << min(query.failures - 1, 16))) * self._rng.uniform(0.9, 1.1)
        return asked + interval * self._rng.uniform(0.9, 1.0)

    def _announce_stale(self) -> None:
        """Tell, once, whoever rests on an answer that has become too old while the next one is not there."""
        now = self._clock.monotonic()
        if now < self._next_scan:
            return
        self._next_scan = now + _STALE_SCAN
        stale: set[Hashable] = set()
        for query in self._queries.values():
            if query.turned_stale(self._stale_before(query)):
                stale |= query.watchers
        self._tell(stale)
        for key in self._together.over(now):
            self._regroup(key)
        self._on_scan()

    def _tell(self, watchers: set[Hashable]) -> None:
        if watchers:
            self._notify(frozenset(watchers))
