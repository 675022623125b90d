"""Asks a Prometheus, within a time limit, and takes no answer by another clock than ours."""

import asyncio
from collections.abc import Awaitable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from ombak.runtime.alarm_queries import QueryKey, RulesKey
from ombak.runtime.clock import Clock
from ombak.runtime.metrics_port import MetricsSource, QueryError, QueryErrorKind, QueryResult, RulesResult

_Answer = TypeVar("_Answer")


class Asker:
    """The Prometheus servers of one region by endpoint. Every call raises `QueryError` where nothing that counts comes.

    `timeout`, None for the own limit of each, and `most_skew` (between a server's clock and ours) in seconds.
    """

    def __init__(
        self, sources: Mapping[str, MetricsSource], clock: Clock, timeout: float | None, most_skew: float
    ) -> None:
        self._sources = sources
        self._clock = clock
        self._timeout = timeout
        self._most_skew = most_skew

    async def over(self, key: QueryKey, start: datetime, end: datetime) -> QueryResult:
        """Ask a question at every period from `start` to `end`."""
        source = self._source(key)
        answer = await self._in_time(source, source.query_range(key.text, start, end, key.period))
        self._check_skew(answer.server_time)
        return answer

    async def once(self, key: QueryKey, at: datetime) -> QueryResult:
        """Ask a question at one moment."""
        source = self._source(key)
        answer = await self._in_time(source, source.query(key.text, at))
        self._check_skew(answer.server_time)
        return answer

    async def rules(self, key: RulesKey) -> RulesResult:
        """Read the alerting rules."""
        source = self._source(key)
        answer = await self._in_time(source, source.alert_rules())
        self._check_skew(answer.server_time)
        return answer

    def _source(self, key: QueryKey | RulesKey) -> MetricsSource:
        source = self._sources.get(key.endpoint)
        if source is None:
            message = f"no Prometheus is configured as {key.endpoint!r}"
            raise QueryError(QueryErrorKind.UNREACHABLE, message)
        return source

    async def _in_time(self, source: MetricsSource, call: Awaitable[_Answer]) -> _Answer:
        limit = source.limit.total_seconds() if self._timeout is None else self._timeout
        try:
            async with asyncio.timeout(limit):
                return await call
        except TimeoutError:
            message = f"no answer within {limit:g} s"
            raise QueryError(QueryErrorKind.TIMEOUT, message) from None

    def _check_skew(self, server_time: datetime | None) -> None:
        """Refuse an answer by another clock: its `now` would be old data, or data of a future we call missing."""
        if server_time is None:
            return
        skew: timedelta = server_time - self._clock.now()
        if abs(skew.total_seconds()) > self._most_skew:
            order = "ahead of" if skew > timedelta(0) else "behind"
            seconds = abs(skew.total_seconds())
            message = f"the clock of Prometheus is {seconds:.0f} s {order} ours; set the clocks right"
            raise QueryError(QueryErrorKind.FAILED, message)


def whole_milliseconds(moment: datetime) -> datetime:
    """The moment as exactly as Prometheus takes one."""
    return moment - timedelta(microseconds=moment.microsecond % 1000)
