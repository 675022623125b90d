"""Keeps the verdicts on everything that somebody watches, with one query for all who ask the same.

Verdicts are computed when they are read, from the last answers; nothing here decides. An answer that failed, or is
older than two polls and some slack, makes its alarms unknown: an overload shows as staleness, never as OK.
"""

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import Hashable, Mapping
from datetime import datetime, timedelta

from ombak.alarms import metric
from ombak.alarms.alerting import RuleResult
from ombak.alarms.definition import Definition, LeafAlarm, MetricAlarm, define
from ombak.alarms.errors import AlarmError
from ombak.alarms.history import Stretch
from ombak.alarms.resolve import AlarmKey, Broken, Resolution
from ombak.alarms.verdict import Verdict, unknown_verdict
from ombak.alarms.zoned import origin
from ombak.api.alarm import AlarmSpec
from ombak.runtime.alarm_asking import whole_milliseconds
from ombak.runtime.alarm_history import ok_stretches
from ombak.runtime.alarm_interest import Bound, Leaf, Wanted, Watch, bind, held_back, leaf_verdicts
from ombak.runtime.alarm_polling import Notify, PollSettings, QueryPool
from ombak.runtime.alarm_queries import Pace, QueryKey
from ombak.runtime.clock import Clock
from ombak.runtime.metrics_port import MetricsSource, QueryResult

_PAST_AT_ONCE = 4
"""Questions about the past that one Prometheus gets at a time."""
_MOST_AT_ONCE = 0.05
"""Seconds for which watchers are bound anew without a pause for anything else."""


class AlarmService:
    """The verdicts of one region. To be used from one event loop only."""

    def __init__(
        self,
        sources: Mapping[str, MetricsSource],
        clock: Clock,
        on_change: Notify,
        settings: PollSettings | None = None,
        rng: random.Random | None = None,
        region: str | None = None,
    ) -> None:
        """`sources` by endpoint, the region's own under ""; `region` is how references may call this region.

        `on_change` gets the watchers that have to look again: a verdict of theirs may be different, or they are
        active and there is fresh evidence.
        """
        self._clock = clock
        self._on_change = on_change
        chance = rng or random.Random()  # noqa: S311 - spreads polls, guards nothing
        self._pool = QueryPool(sources, clock, on_change, settings or PollSettings(), chance, self._scan)
        self._region = region
        self._registry: dict[AlarmKey, Definition | Broken] = {}
        self._watches: dict[Hashable, Watch] = {}
        self._outdated: set[Hashable] = set()
        """Those that rest on an Alarm that changed, and were not bound anew since."""
        self._dependents: defaultdict[AlarmKey, set[Hashable]] = defaultdict(set)
        self._warm_at: dict[AlarmKey, datetime] = {}
        self._past: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_PAST_AT_ONCE))

    async def run(self) -> None:
        """Poll until cancelled."""
        await self._pool.run()

    async def poll_due(self) -> None:
        """Ask everything that is due now, and return when all of it is answered (for whoever owns the time)."""
        self._renew()
        await self._pool.poll_due()

    @property
    def distinct_queries(self) -> int:
        """How many different questions are asked for all watchers together."""
        self._renew()
        return len(self._pool)

    def set_alarm(self, key: AlarmKey, spec: AlarmSpec | str, warm_at: datetime | None = None) -> str:
        """Take in an Alarm object; a text instead of a spec says why there is none.

        Until `warm_at` (aware UTC) its state is INSUFFICIENT_DATA, whatever its data say. Returns what is wrong with
        it, for its condition; empty if nothing is. Whoever rests on it hears of it.
        """
        try:
            definition: Definition | Broken = Broken(spec) if isinstance(spec, str) else define(spec, self._region)
        except AlarmError as error:
            definition = Broken(str(error))
        if warm_at is not None and warm_at <= self._clock.now():
            warm_at = None
        is_new = self._registry.get(key) != definition or self._warm_at.get(key) != warm_at
        self._warm_at.pop(key, None)
        if warm_at is not None:
            self._warm_at[key] = warm_at
        if is_new:
            self._registry[key] = definition
            self._outdate_dependents(key)
        return definition.why if isinstance(definition, Broken) else ""

    def remove_alarm(self, key: AlarmKey) -> None:
        """Forget an Alarm object: to whoever rests on it, it is missing now."""
        self._warm_at.pop(key, None)
        if self._registry.pop(key, None) is not None:
            self._outdate_dependents(key)

    def definition(self, key: AlarmKey) -> Definition | Broken | None:
        """What is known of an Alarm object."""
        return self._registry.get(key)

    def watch(
        self, watcher: Hashable, wanted: Mapping[str, Wanted], is_active: bool, *, is_settled: bool = False
    ) -> None:
        """Keep the verdicts on these expressions; replaces what the watcher wanted before.

        Active means that a release is under way: queries are asked four times per period, and the watcher hears
        of every answer. Settled means that nothing rests on the verdicts until the watcher is active: then they are
        asked every fourth period only, and an answer from that time is too old once it is active. To be called at
        every reconcile; nothing happens if nothing is different.
        """
        pace = Pace.RELEASE if is_active else Pace.REST if is_settled else Pace.STEADY
        before = self._current(watcher)
        if before is not None and before.wanted == wanted and before.pace is pace:
            return
        if before is not None and before.wanted == wanted:
            bound = before.bound
        else:
            bound = {name: bind(one, self._registry, self._region) for name, one in wanted.items()}
        self._keep(Watch(watcher, dict(wanted), pace, bound))

    def unwatch(self, watcher: Hashable) -> None:
        """The watcher is gone; nothing happens if it was not there."""
        if watcher not in self._watches:
            return
        self._keep(Watch(watcher, {}, Pace.REST, bound={}))
        del self._watches[watcher]
        self._outdated.discard(watcher)

    def verdict(self, watcher: Hashable, name: str) -> Verdict:
        """What is known now of the expression that the watcher wanted under this name."""
        watch = self._current(watcher)
        if watch is None or name not in watch.wanted:
            return unknown_verdict(name, "is not watched")
        wanted, bound = watch.wanted[name], watch.bound[name]
        if bound.resolution is None:
            return unknown_verdict(name, bound.error)
        leaves = leaf_verdicts(wanted, bound, self._leaf_verdict)
        return bound.resolution.evaluate(leaves.__getitem__, self._clock.now())

    def has_looked(self, watcher: Hashable) -> bool:
        """Whether everything that the watcher rests on was asked once: before that, unknown only means early."""
        watch = self._current(watcher)
        return watch is not None and all(map(self._pool.has_looked, watch.questions))

    def is_watching(self, watcher: Hashable) -> bool:
        """Whether the watcher wants anything."""
        return watcher in self._watches

    async def ok_stretches(self, watcher: Hashable, since: datetime, until: datetime) -> tuple[Stretch, ...]:
        """When between two moments all was OK and certain that the watcher rests on; raises QueryError."""
        watch = self._current(watcher)
        if watch is None:
            return ()
        start, end = whole_milliseconds(since), whole_milliseconds(until)
        return await ok_stretches(watch, self._ask_past, frozenset(self._warm_at), start, end)

    async def _ask_past(self, key: QueryKey, start: datetime, end: datetime) -> QueryResult:
        """Few at once, also after an outage that every release wants to know about: the present goes first."""
        async with self._past[key.endpoint]:
            return await self._pool.asker.over(key, start, end)

    def slowest(self, watcher: Hashable) -> timedelta | None:
        """The longest time between two polls of anything that the watcher rests on; None if it rests on nothing."""
        watch = self._current(watcher)
        if watch is None or not watch.questions:
            return None
        return max(self._pool.pace(leaf, is_active=watch.is_active) for leaf in watch.questions)

    def resolution(self, watcher: Hashable, name: str) -> Resolution | None:
        """What that expression rests on; None if it cannot be understood, or nobody wants it."""
        bound = self._bound(watcher, name)
        return None if bound is None else bound.resolution

    def detection_latency(self, watcher: Hashable, name: str) -> timedelta | None:
        """The longest that any alarm below that expression needs from bad data to ALARM during a release.

        The wait for the scrape is not in it. None if there is none below, or one of which it is not known.
        """
        bound = self._bound(watcher, name)
        if bound is None or bound.resolution is None or bound.problems or bound.resolution.unknown:
            return None
        found = [self._time_to_alarm(alarm, bound.leaves[key]) for key, alarm in bound.resolution.leaves.items()]
        known = [time for time in found if time is not None]
        return max(known) if known and len(known) == len(found) else None

    def empty_queries(self, watcher: Hashable, name: str) -> dict[Leaf, bool]:
        """The questions below that expression that were answered, and whether there was no series in the answer."""
        bound = self._bound(watcher, name)
        leaves = [part for leaf in bound.leaves.values() for part in leaf.parts] if bound is not None else []
        found = {leaf: self._pool.result(leaf) for leaf in leaves}
        return {leaf: one.series == 0 for leaf, one in found.items() if isinstance(one, metric.MetricResult)}

    def leaves(self, watcher: Hashable, name: str) -> dict[AlarmKey, Verdict]:
        """The alarms of a Prometheus on which that expression rests, with their numbers; for people."""
        watch = self._current(watcher)
        if watch is None or name not in watch.bound:
            return {}
        return leaf_verdicts(watch.wanted[name], watch.bound[name], self._leaf_verdict)

    def leaves_of(self, watcher: Hashable) -> tuple[tuple[AlarmKey, Leaf], ...]:
        """Every alarm of a Prometheus on which anything of that watcher rests, and what it asks."""
        watch = self._current(watcher)
        bounds = watch.bound.values() if watch is not None else ()
        return tuple(item for bound in bounds for item in bound.leaves.items())

    def _bound(self, watcher: Hashable, name: str) -> Bound | None:
        watch = self._current(watcher)
        return None if watch is None else watch.bound.get(name)

    def _leaf_verdict(self, key: AlarmKey, leaf: Leaf, name: str) -> Verdict:
        verdict, warm_at = self._pool.verdict(leaf, name), self._warm_at.get(origin(key))
        if warm_at is None or self._clock.now() >= warm_at:
            return verdict
        return held_back(verdict, name, f"is warming up until {warm_at:%Y-%m-%d %H:%M:%S} UTC")

    def _time_to_alarm(self, alarm: LeafAlarm, leaf: Leaf) -> timedelta | None:
        poll = self._pool.interval_of(leaf.query.period, is_active=True)
        if isinstance(alarm, MetricAlarm):
            return alarm.time_to_alarm + poll
        found = self._pool.result(leaf)
        own = found.time_to_alarm if isinstance(found, RuleResult) else None
        return None if own is None else own + poll

    def _scan(self) -> None:
        self._renew(_MOST_AT_ONCE)
        self._end_warm_ups()

    def _end_warm_ups(self) -> None:
        """Tell whoever rests on an Alarm whose warm-up is over."""
        now = self._clock.now()
        over = [key for key, warm_at in self._warm_at.items() if now >= warm_at]
        for key in over:
            del self._warm_at[key]
        told = frozenset(watcher for key in over for watcher in self._dependents.get(key, ()))
        if told:
            self._on_change(told)

    def _keep(self, watch: Watch) -> None:
        before = self._watches.get(watch.key)
        for alarm in _alarms(before.bound) if before is not None else ():
            self._dependents[alarm].discard(watch.key)
            if not self._dependents[alarm]:
                del self._dependents[alarm]
        for alarm in _alarms(watch.bound):
            self._dependents[alarm].add(watch.key)
        self._watches[watch.key] = watch
        self._pool.subscribe(watch.key, watch.questions, watch.pace)

    def _outdate_dependents(self, alarm: AlarmKey) -> None:
        """Whoever rests on it hears of it, and is bound anew when somebody asks, or soon.

        Not at once: of a hundred Alarms that one commit changes, a team's expression over them would be resolved a
        hundred times for each Rollout that it guards.
        """
        dependents = frozenset(self._dependents.get(alarm, ()))
        self._outdated |= dependents
        if dependents:
            self._on_change(dependents)

    def _current(self, watcher: Hashable) -> Watch | None:
        """What it watches, resolved against the Alarms that there are now."""
        watch = self._watches.get(watcher)
        if watch is not None and watcher in self._outdated:
            self._outdated.discard(watcher)
            bound = {name: bind(one, self._registry, self._region) for name, one in watch.wanted.items()}
            watch = Watch(watcher, watch.wanted, watch.pace, bound)
            self._keep(watch)
        return watch

    def _renew(self, most: float = math.inf) -> None:
        """Bind anew for so many seconds; the next scan goes on, and who asks before is bound anew at once."""
        end = self._clock.monotonic() + most
        for watcher in tuple(self._outdated):
            if self._clock.monotonic() > end:
                return
            self._current(watcher)


def _alarms(bound: Mapping[str, Bound]) -> frozenset[AlarmKey]:
    return frozenset(alarm for one in bound.values() for alarm in one.alarms)
