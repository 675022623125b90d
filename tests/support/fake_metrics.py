"""A Prometheus for tests: says what it is told, fails when it is told, and counts what it is asked."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ombak.alarms import traps
from ombak.alarms.alerting import AlertRule
from ombak.runtime.metrics_port import QueryError, QueryResult, RulesResult, Series, Store

Values = dict[str, Callable[[datetime], float | None]]
"""Series name -> its value at a moment; None where there is none."""

_TIMES = re.compile(r"(?:max|min)\(timestamp\((.*)\)\)")


class FakeClock:
    """Both clocks, which stand still until told otherwise."""

    def __init__(self) -> None:
        self.wall = datetime(2026, 1, 1, tzinfo=UTC)
        self.elapsed = 0.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.elapsed

    def advance(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.elapsed += seconds


class LoopClock:
    """Both clocks, which follow the event loop's."""

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


@dataclass
class FakeSource:
    """Answers from `values` (query -> series); `error` fails every query, `delay` is how long one takes.

    A query is also a selector of what is stored: its newest sample is `age` seconds older than the moment, where
    there is a value.

    `existing` are the selectors that series match beside those of the queries in `values`, `rules` the alerting rules,
    `scraped` the interval that it tells, `store` since when it has samples.
    """

    values: dict[str, Values] = field(default_factory=dict)
    error: QueryError | None = None
    delay: float = 0.0
    server_time: datetime | None = None
    asked: list[str] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    existing: set[str] = field(default_factory=set)
    rules: tuple[AlertRule, ...] = ()
    rules_read: int = 0
    scraped: timedelta | None = None
    age: float = 0.0
    store: Store | None = None
    limit: timedelta = timedelta(seconds=12)

    async def query_range(self, query: str, start: datetime, end: datetime, step: timedelta) -> QueryResult:
        if query == "max(timestamp(up))":  # goes with all questions
            return self._answer(query, start, end, step)
        if not query.startswith("min(timestamp("):  # goes with a question of a release
            self.asked.append(query)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.delay)
        finally:
            self.running -= 1
        return self._answer(query, start, end, step)

    def _answer(self, query: str, start: datetime, end: datetime, step: timedelta) -> QueryResult:
        if self.error is not None:
            raise self.error
        moments = [start + i * step for i in range(round((end - start) / step) + 1)]
        found = [_series(name, value, moments) for name, value in self._stored(query).items()]
        return QueryResult(tuple(one for one in found if one.points), self.server_time, self.store)

    def _stored(self, query: str) -> Values:
        times = _TIMES.fullmatch(query)
        if times is None:
            return self.values.get(query, {})
        values = self.values.get(times.group(1), {})

        def newest(moment: datetime) -> float | None:
            is_there = any(value(moment) is not None for value in values.values())
            return moment.timestamp() - self.age if is_there else None

        return {"": newest} if values else {}

    async def query(self, query: str, at: datetime) -> QueryResult:
        return await self.query_range(query, at, at, timedelta(seconds=1))

    async def alert_rules(self) -> RulesResult:
        self.rules_read += 1
        if self.error is not None:
            raise self.error
        return RulesResult(self.rules, self.server_time)

    async def has_series(self, selector: str, start: datetime, end: datetime) -> bool:
        if self.error is not None:
            raise self.error
        return selector in self.existing or any(
            selector == str(read) for query, found in self.values.items() if found for read in traps.selectors(query)
        )

    async def scrape_interval(self) -> timedelta | None:
        if self.error is not None:
            raise self.error
        return self.scraped


def _series(name: str, value: Callable[[datetime], float | None], moments: list[datetime]) -> Series:
    points = [(moment.timestamp(), value(moment)) for moment in moments]
    return Series({"pod": name} if name else {}, tuple((t, v) for t, v in points if v is not None))


def constant(value: float | None) -> Callable[[datetime], float | None]:
    """The same at every moment."""
    return lambda _moment: value
