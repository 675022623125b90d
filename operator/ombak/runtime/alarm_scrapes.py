"""When each Prometheus scraped, asked of the series `up` that every scrape stores: one question for all its alarms.

It is asked at most once for each distinct period of those who want to know (30 s for longer ones), and then for what
is new since. A question further back that fails is asked again as seldom, and leaves what is known of the time since.
That no scrape is lost between two questions follows from what counts as a gap, which is longer. Where there is no
`up`, as in a store that is only written to, nothing is concluded.
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from ombak.alarms import lookback
from ombak.alarms.scrapes import Timeline, timeline
from ombak.runtime.alarm_asking import Asker, whole_milliseconds
from ombak.runtime.alarm_queries import CLEAR, QueryKey, Sight
from ombak.runtime.clock import Clock
from ombak.runtime.metrics_port import QueryError, QueryErrorKind, Store

_QUERY = "max(timestamp(up))"
_SHORTEST, _LONGEST = timedelta(seconds=2), timedelta(seconds=30)
_LEAST_PAST = timedelta(minutes=15)
"""So much tells how often there are scrapes."""
_MOST_STEPS = 5000
"""Of one question; Prometheus takes 11,000."""
_EVER, _EVER_STEP = timedelta(days=15), timedelta(minutes=5)
"""How long Prometheus keeps its store by default, and how long a sample answers for `up`."""
_ABSENT_FOR = 60.0
_LATEST = 30
"""So many answers with a new scrape tell how late samples come."""
_NOT_TOLD = frozenset({QueryErrorKind.BAD_QUERY, QueryErrorKind.REFUSED})
"""Those of the question itself: `up` is not for us, or there is more of it than may be asked for."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """A question over so many seconds had no answer; it holds for one as long until then (monotonic seconds)."""

    span: float
    until: float
    error: QueryError | None
    """None: it never will have one, so nothing is concluded."""


@dataclass(slots=True)
class _Known:
    """What is known of one Prometheus, and when the last answer was asked for and came (monotonic seconds)."""

    pace: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    line: Timeline | None = None
    began: float = float("-inf")
    ended: float = float("-inf")
    failure: _Failure | None = None
    delays: deque[float] = field(default_factory=lambda: deque(maxlen=_LATEST))
    """From the newest scrape to the question, of answers that told a new one: in an outage nothing is learnt."""

    @property
    def delay(self) -> float:
        """How late samples come."""
        return min(self.delays, default=0.0)

    def serves(self, since: float, arrived: float) -> bool:
        """Whether the line is recent, and goes back so far, if it can."""
        if self.line is None or (self.began <= arrived - self.pace and self.ended < arrived):
            return False
        # A moment passes between the question of an Alarm and this one, so the line may begin a little later.
        return self.line.since <= since + self.line.grain or self.line.span >= (_MOST_STEPS - 1) * self.line.grain

    def failed(self, span: float, arrived: float) -> _Failure | None:
        """The failure of a question that is about as long as this one, or shorter."""
        one = self.failure
        return one if one is not None and arrived < one.until and span > one.span - self.pace else None


def pace_of(period: timedelta) -> timedelta:
    """How often the scrapes are asked for where an alarm has that period; they are looked at twice as finely."""
    return min(max(period, _SHORTEST), _LONGEST)


class ScrapeWatch:
    """Tells which points a Prometheus can know of. To be used from one event loop only."""

    def __init__(self, asker: Asker, clock: Clock, unknown: float) -> None:
        """`unknown`: the seconds between two scrapes where there are too few to tell."""
        self._asker = asker
        self._clock = clock
        self._unknown = unknown
        self._known: dict[tuple[str, timedelta], _Known] = {}

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
        arrived, pace = self._clock.monotonic(), pace_of(key.period)
        known = self._known.setdefault((key.endpoint, pace), _Known(pace.total_seconds()))
        if self._is_open(known, since, arrived):
            async with known.lock:
                if self._is_open(known, since, arrived):
                    await self._ask(known, replace(key, text=_QUERY, period=pace / 2), since)
        failure = known.failed(self._span(known, since), arrived)
        if failure is None or known.serves(since.timestamp(), arrived):
            return known.line
        if failure.error is not None:
            raise failure.error
        return None

    def _is_open(self, known: _Known, since: datetime, arrived: float) -> bool:
        """Whether there is neither an answer nor a failure that counts."""
        return not known.serves(since.timestamp(), arrived) and known.failed(self._span(known, since), arrived) is None

    def _span(self, known: _Known, since: datetime) -> float:
        """Over how many seconds to ask: what is known does not become shorter."""
        wanted = (self._clock.now() - since).total_seconds()
        return max(_LEAST_PAST.total_seconds(), wanted, known.line.span if known.line is not None else 0.0)

    async def _ask(self, known: _Known, key: QueryKey, since: datetime) -> None:
        began, span = self._clock.monotonic(), self._span(known, since)
        try:
            line = await self._looked(known, key, span)
        except QueryError as error:
            is_final = error.kind in _NOT_TOLD
            known.failure = self._failure(known, span, began, None if is_final else error)
            return
        if line is None:
            known.failure = self._failure(known, 0.0, began, None)
        else:
            known.line, known.began, known.ended = line, began, self._clock.monotonic()

    def _failure(self, known: _Known, span: float, began: float, error: QueryError | None) -> _Failure:
        ended = self._clock.monotonic()
        return _Failure(span, ended + _ABSENT_FOR if error is None else max(began + known.pace, ended), error)

    async def _looked(self, known: _Known, key: QueryKey, span: float) -> Timeline | None:
        """What is known now, with what was known before."""
        before, now, step = known.line, self._clock.now().timestamp(), key.period.total_seconds()
        oldest, kept = now - min(span, _MOST_STEPS * step), list[float]()
        start = oldest
        if before is not None and before.since <= oldest:
            # What came late is seen if it is looked for where it would have been.
            start = max(oldest, before.until - step - known.delay)
            kept = [one for one in before.times if one >= oldest]
        found, store = await self._times(key, start, now)
        times = sorted({*kept, *found})
        if not times and before is None and not await self._was_ever(key, now):
            return None
        if before is not None and before.times and times and times[-1] > before.times[-1]:
            known.delays.append(now - times[-1])
        told = store.scrape if store is not None and store.is_young(self._clock.now()) else None
        seconds = None if told is None else told.total_seconds()
        return timeline(oldest, now, times, step, self._unknown, known.delay, seconds)

    async def _was_ever(self, key: QueryKey, now: float) -> bool:
        """Whether there were scrapes at all while Prometheus kept its data; else it may get them in another way."""
        found, _ = await self._times(replace(key, period=_EVER_STEP), now - _EVER.total_seconds(), now)
        return bool(found)

    async def _times(self, key: QueryKey, start: float, end: float) -> tuple[list[float], Store | None]:
        """The times of scrapes that are seen by looking at every step from `start` to `end`, and at both.

        With them what the store tells of itself.
        """
        steps = math.ceil((end - start) / key.period.total_seconds())
        last = whole_milliseconds(datetime.fromtimestamp(end, UTC))
        answer = await self._asker.over(key, last - steps * key.period, last)
        return [value for series in answer.series for _, value in series.points], answer.store
