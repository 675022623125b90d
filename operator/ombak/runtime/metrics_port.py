"""The port to a Prometheus: queries in, series out, and one kind of failure."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from ombak.alarms.alerting import AlertRule


class QueryErrorKind(enum.StrEnum):
    """What went wrong; none of them says anything about health."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    BAD_QUERY = "bad query"
    REFUSED = "refused"
    OVERLOADED = "overloaded"
    PARTIAL = "partial data"
    MALFORMED = "malformed answer"
    FAILED = "failed"


class QueryError(Exception):
    """There is no answer that can be relied upon; the message names neither credentials nor headers."""

    def __init__(self, kind: QueryErrorKind, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its labels, and (seconds since the epoch, value) by time; NaN and Inf are kept."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class QueryResult:
    """An answer that is complete; `server_time` is Prometheus' own clock (whole seconds), None if it did not say."""

    series: tuple[Series, ...]
    server_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class RulesResult:
    """Every alerting rule that is loaded.

    `server_time` is Prometheus' own clock, `started_at` since when it runs; None if it did not say.
    """

    rules: tuple[AlertRule, ...]
    server_time: datetime | None = None
    started_at: datetime | None = None


class MetricsSource(Protocol):
    """One Prometheus. Every call ends within the source's timeout and raises `QueryError` and nothing else."""

    async def query_range(self, query: str, start: datetime, end: datetime, step: timedelta) -> QueryResult:
        """Evaluate at start, start + step, ... up to end (aware UTC, exact to the millisecond)."""
        ...

    async def query(self, query: str, at: datetime) -> QueryResult:
        """Evaluate at one moment; each series has one point, a scalar is a series without labels."""
        ...

    async def alert_rules(self) -> RulesResult:
        """All alerting rules with their health and their alerts."""
        ...

    async def has_series(self, selector: str, start: datetime, end: datetime) -> bool:
        """Whether any series matched the selector in that time."""
        ...

    async def scrape_interval(self) -> timedelta | None:
        """The shortest scrape interval of any target; None if it does not say."""
        ...
