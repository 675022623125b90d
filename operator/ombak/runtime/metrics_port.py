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
    TOO_EARLY = "too early"
    FAILED = "failed"


class QueryError(Exception):
    """There is no answer that can be relied upon; the message names neither credentials nor headers.

    `status` is that of HTTP, None where there was none.
    """

    def __init__(self, kind: QueryErrorKind, message: str, status: int | None = None) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its labels, and (seconds since the epoch, value) by time; NaN and Inf are kept."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


_LONGEST_DOUBT = timedelta(hours=1)
"""A Prometheus that kept its store is asked for so much of the past at least; of more it does not tell cheaply."""
_YOUNG = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Store:
    """Since when a Prometheus has had samples, None if it has none; `scrape` is the interval of all its targets.

    `scrape` is None where they differ, or nobody asked because that was long ago.
    """

    since: datetime | None
    scrape: timedelta | None = None

    def is_young(self, at: datetime) -> bool:
        """Whether what it has is so little that the interval of its targets matters."""
        return self.since is not None and at - self.since < _YOUNG

    def is_too_early(self, at: datetime, reach: timedelta, settling: timedelta) -> str:
        """Why an answer of `at`, which reads so far back, may come from an empty store; empty if it does not.

        Every target was scraped twice after the first sample of any; `settling` is how long that takes where the
        interval is not known.
        """
        if self.since is None:
            return "Prometheus has stored nothing since it started"
        needed = reach + (settling if self.scrape is None else 2 * self.scrape)
        reliable = self.since + min(needed, max(_LONGEST_DOUBT, settling))
        if at >= reliable:
            return ""
        return (
            f"Prometheus has samples since {self.since:%H:%M:%S} only, so this query, which reads "
            f"{reach.total_seconds():.0f} s back, is not relied upon until {reliable:%H:%M:%S} UTC"
        )


@dataclass(frozen=True, slots=True)
class QueryResult:
    """An answer that is complete; `server_time` is Prometheus' own clock (whole seconds), None if it did not say.

    `store` is what Prometheus could know, None if it did not say that.
    """

    series: tuple[Series, ...]
    server_time: datetime | None = None
    store: Store | None = None


@dataclass(frozen=True, slots=True)
class RulesResult:
    """Every alerting rule that is loaded.

    `server_time` is Prometheus' own clock, `started_at` since when it runs; None if it did not say.
    """

    rules: tuple[AlertRule, ...]
    server_time: datetime | None = None
    started_at: datetime | None = None


class MetricsSource(Protocol):
    """One Prometheus. Every call ends within the source's limit and raises `QueryError` and nothing else."""

    @property
    def limit(self) -> timedelta:
        """How long an answer may take; who waits longer waits in vain."""
        ...

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
