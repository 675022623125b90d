"""What closes a Window although it would be open: public holidays, calendars, and times that are named."""

import dataclasses
import functools
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

import holidays

from ombak.api.window import Closed, Holidays
from ombak.api.wording import clause
from ombak.core.gates.ics import Event
from ombak.core.gates.localtime import bounded, day_starts, instant, local_day
from ombak.core.gates.openings import moment_of
from ombak.core.gates.problems import UnreadableWindow
from ombak.core.gates.spans import Span

_DAY = timedelta(days=1)
_LANGUAGE = "en_US"
"""Always the same one: left out, the names would be in the language of the process' environment."""

Closing = tuple[Span, str]
"""A closed stretch, and why."""


class Closings(Protocol):
    """A source of closed stretches."""

    def closings(self, since: datetime, until: datetime) -> Iterator[Closing]:
        """Return every stretch that reaches into the time asked for; others may be among them."""
        ...


@functools.lru_cache(maxsize=512)
def _names(country: str, subdivision: str | None, year: int) -> dict[date, str]:
    found = holidays.country_holidays(country, subdiv=subdivision, years=year, language=_LANGUAGE)
    return {day: name for day, name in found.items() if day.year == year}


@dataclasses.dataclass(frozen=True, slots=True)
class PublicHolidays:
    """Whole local days."""

    zone: ZoneInfo
    country: str
    subdivision: str | None

    def closings(self, since: datetime, until: datetime) -> Iterator[Closing]:
        """See `Closings`."""
        first, last = local_day(since, self.zone) - _DAY, local_day(until, self.zone) + _DAY
        for year in range(first.year, last.year + 1):
            for day, name in _names(self.country, self.subdivision, year).items():
                if first <= day <= last:
                    yield (day_starts(day, self.zone), day_starts(day + _DAY, self.zone)), name


@dataclasses.dataclass(frozen=True, slots=True)
class Named:
    """One stretch that the Window names."""

    span: Span
    reason: str

    def closings(self, since: datetime, until: datetime) -> Iterator[Closing]:
        """See `Closings`."""
        if self.span[0] < until and since < self.span[1]:
            yield self.span, self.reason


@dataclasses.dataclass(frozen=True, slots=True)
class Calendar:
    """The events of a calendar."""

    zone: ZoneInfo
    events: tuple[Event, ...]

    def closings(self, since: datetime, until: datetime) -> Iterator[Closing]:
        """See `Closings`."""
        for event in self.events:
            for span in event.spans(since, until, self.zone):
                yield span, event.summary


def public_holidays(made: Holidays, zone: ZoneInfo) -> PublicHolidays:
    """Return the holidays of a country; raises `UnreadableWindow` for one that is not known."""
    try:
        _names(made.country, made.subdivision, 2026)
    except NotImplementedError as error:
        raise UnreadableWindow(
            f"the holidays of {made.country} {made.subdivision or ''} are not known: {error}"
        ) from error
    return PublicHolidays(zone, made.country, made.subdivision)


def named(made: Closed, zone: ZoneInfo) -> Named:
    """Return a stretch as the Window names it; raises `UnreadableWindow` for a day that no calendar has."""
    start, end = bounded(moment_of(made.from_)), bounded(moment_of(made.to or made.from_))
    if len(made.to or made.from_) == len("2026-11-20"):
        end += _DAY
    return Named((instant(start, zone), instant(end, zone)), clause(made.reason) or "closed")
