"""When each Prometheus scraped, asked of the series `up` that every scrape stores: one question for all its alarms.

It is asked at most once in a period of those who want to know (30 s for longer ones), and then for what is new since.
That no scrape is lost between two questions follows from what counts as a gap, which is longer. Where there is no
`up`, as in a store that is only written to, nothing is concluded.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from ombak.alarms import lookback
from ombak.alarms.scrapes import Timeline, timeline
from ombak.runtime.alarm_asking import Asker, whole_milliseconds
from ombak.runtime.alarm_queries import CLEAR, QueryKey, Sight
from ombak.runtime.clock import Clock
from ombak.runtime.metrics_port import QueryError, QueryErrorKind

_QUERY = "max(timestamp(up))"
_SHORTEST, _LONGEST = timedelta(seconds=2), timedelta(seconds=30)
_LEAST_PAST = timedelta(minutes=15)
"""So much tells how often there are scrapes."""
_MOST_STEPS = 5000
"""Of one question; Prometheus takes 11,000."""
_EVER, _EVER_STEP = timedelta(days=15), timedelta(minutes=5)
"""How long Prometheus keeps its store by default, and how long a sample answers for `up`."""
_ABSENT_FOR = 60.0
_NOT_TOLD = frozenset({QueryErrorKind.BAD_QUERY, QueryErrorKind.REFUSED})
"""Those of the question itself: `up` is not for us, or there is more of it than may be asked for."""


@dataclass(slots=True)
class _Known:
    """What is known of one Prometheus, and when the last question was begun and ended (monotonic seconds)."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    line: Timeline | None = None
    error: QueryError | None = None
    began: float = float("-inf")
    ended: float = float("-inf")

    def serves(self, since: float, arrived: float) -> bool:
        """Whether it goes back so far, if it can; a failure serves whoever came while it was not known yet."""
        if self.line is None or self.error is not None:
            return self.ended >= arrived
        return self.line.since <= since or self.line.span >= (_MOST_STEPS - 1) * self.line.grain


class ScrapeWatch:
    """Tells which points a Prometheus can know of. To be used from one event loop only."""

    def __init__(self, asker: Asker, clock: Clock, unknown: float) -> None:
        """`unknown`: the seconds between two scrapes where there are too few to tell."""
        self._asker = asker
        self._clock = clock
        self._unknown = unknown
        self._known: defaultdict[tuple[str, timedelta], _Known] = defaultdict(_Known)
        self._absent_until: dict[str, float] = {}

    async def sight(self, key: QueryKey, moments: Sequence[datetime]) -> Sight:
        """Which of the points of a question that was just answered count; raises QueryError."""
        reads = lookback.reads(key.text)
        if not reads:
            return CLEAR
        line = await self._line(key, moments[0] - max(one.offset + one.window for one in reads))
        if line is None or not line.gaps:
            return CLEAR
        return Sight(tuple(line.saw(moment.timestamp(), reads) for moment in moments), line.why_not())

    async def _line(self, key: QueryKey, since: datetime) -> Timeline | None:
        arrived, pace = self._clock.monotonic(), min(max(key.period, _SHORTEST), _LONGEST)
        if arrived < self._absent_until.get(key.endpoint, arrived):
            return None
        known = self._known[key.endpoint, pace]
        async with known.lock:
            is_recent = known.began > arrived - pace.total_seconds() or known.ended >= arrived
            if not is_recent or not known.serves(since.timestamp(), arrived):
                await self._ask(known, replace(key, text=_QUERY, period=pace / 2), since)
        if known.error is not None:
            raise known.error
        return known.line

    async def _ask(self, known: _Known, key: QueryKey, since: datetime) -> None:
        known.began, known.error = self._clock.monotonic(), None
        try:
            known.line = await self._looked(known.line, key, since)
        except QueryError as error:
            if error.kind in _NOT_TOLD:
                known.line = None
            else:
                known.error = error
        known.ended = self._clock.monotonic()
        if known.line is None and known.error is None:
            self._absent_until[key.endpoint] = known.ended + _ABSENT_FOR

    async def _looked(self, before: Timeline | None, key: QueryKey, since: datetime) -> Timeline | None:
        """What is known now, with what was known before; the span does not become shorter."""
        now, step = self._clock.now().timestamp(), key.period.total_seconds()
        span = max(_LEAST_PAST.total_seconds(), now - since.timestamp(), before.span if before is not None else 0.0)
        oldest, kept = now - min(span, _MOST_STEPS * step), list[float]()
        start = oldest
        if before is not None and before.since <= oldest:
            start, kept = max(oldest, before.until - step), [one for one in before.times if one >= oldest]
        times = sorted({*kept, *await self._times(key, start, now)})
        if not times and before is None and not await self._was_ever(key, now):
            return None
        return timeline(oldest, now, times, step, self._unknown)

    async def _was_ever(self, key: QueryKey, now: float) -> bool:
        """Whether there were scrapes at all while Prometheus kept its data; else it may get them in another way."""
        return bool(await self._times(replace(key, period=_EVER_STEP), now - _EVER.total_seconds(), now))

    async def _times(self, key: QueryKey, start: float, end: float) -> list[float]:
        """The times of scrapes that are seen by looking at every step from `start` to `end`, and at both."""
        steps = math.ceil((end - start) / key.period.total_seconds())
        last = whole_milliseconds(datetime.fromtimestamp(end, UTC))
        answer = await self._asker.over(key, last - steps * key.period, last)
        return [value for series in answer.series for _, value in series.points]
