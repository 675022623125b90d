"""The three forms in which a Window says when it opens, each expanded over a stretch of time."""

import dataclasses
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from itertools import takewhile
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from ombak.api.window import Day, Opening
from ombak.core.gates.localtime import instant, local_day
from ombak.core.gates.problems import UnreadableWindow
from ombak.core.gates.recurrence import Recurrence, parse_recurrence
from ombak.core.gates.spans import Span

_DAY = timedelta(days=1)
_MOST_STARTS = 96
"""So many a day, one in a quarter of an hour, still cost little over a year."""
_WEEK = tuple(Day)


class Times(Protocol):
    """Stretches of time that come back."""

    def spans(self, since: datetime, until: datetime) -> Iterator[Span]:
        """Return every stretch that reaches into the time asked for, in any order; others may be among them."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Hours:
    """The same hours on some days of the week; `over` more days later where they go beyond midnight."""

    zone: ZoneInfo
    days: frozenset[int]
    start: time
    end: time
    over: int

    def spans(self, since: datetime, until: datetime) -> Iterator[Span]:
        """See `Times`."""
        day, last = local_day(since, self.zone) - 2 * _DAY, local_day(until, self.zone)
        while day <= last:
            if day.weekday() in self.days:
                start = instant(datetime.combine(day, self.start), self.zone)
                yield start, instant(datetime.combine(day + self.over * _DAY, self.end), self.zone)
            day += _DAY


@dataclasses.dataclass(frozen=True, slots=True)
class Recurring:
    """An RFC 5545 recurrence, each occurrence of the same length."""

    zone: ZoneInfo
    recurrence: Recurrence
    length: timedelta

    def spans(self, since: datetime, until: datetime) -> Iterator[Span]:
        """See `Times`."""
        first, last = _around(since, until, self.length, self.zone)
        for local in self.recurrence.times(last):
            if local >= first:
                start = instant(local, self.zone)
                yield start, start + self.length


@dataclasses.dataclass(frozen=True, slots=True)
class Cron:
    """A cron schedule, each start opening for the same length."""

    zone: ZoneInfo
    schedule: str
    length: timedelta

    def spans(self, since: datetime, until: datetime) -> Iterator[Span]:
        """See `Times`."""
        first, last = _around(since, until, self.length, self.zone)
        for local in takewhile(lambda each: each <= last, CronSim(self.schedule, first)):
            start = instant(local, self.zone)
            yield start, start + self.length


def _around(since: datetime, until: datetime, length: timedelta, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the local times between which everything begins that reaches into a stretch; a day more at each end."""
    first, last = (moment.astimezone(zone).replace(tzinfo=None) for moment in (since - length, until))
    return first - _DAY, last + _DAY


def times_of(opening: Opening, zone: ZoneInfo) -> Times:
    """Return what an opening says; raises `UnreadableWindow`."""
    if opening.days is not None:
        return _hours(opening, zone)
    assert opening.for_ is not None
    if opening.rrule is not None:
        assert opening.start is not None
        return Recurring(zone, _coming(opening.rrule, moment_of(opening.start), zone), opening.for_)
    assert opening.cron is not None
    return Cron(zone, _checked(opening.cron), opening.for_)


def _coming(text: str, start: datetime, zone: ZoneInfo) -> Recurrence:
    """Read a rule of openings, which has to open once (a calendar's may never come: then it closes nothing)."""
    found = parse_recurrence(text, start, zone)
    if found.first is None or (found.until is not None and found.until < found.first):
        told = f"rrule {text!r} never comes after its start {start:%Y-%m-%dT%H:%M}; change its days, start or UNTIL"
        raise UnreadableWindow(told)
    return found


def _hours(opening: Opening, zone: ZoneInfo) -> Hours:
    assert opening.days is not None
    assert opening.from_ is not None
    assert opening.to is not None
    is_whole = opening.to == "24:00"
    end = time(0) if is_whole else time.fromisoformat(opening.to)
    over = 1 if is_whole or opening.to < opening.from_ else 0
    days = frozenset(_WEEK.index(day) for day in opening.days)
    return Hours(zone, days, time.fromisoformat(opening.from_), end, over)


def _checked(schedule: str) -> str:
    if len(schedule.split()) != 5:
        raise UnreadableWindow(f"cron {schedule!r} needs five fields; write for example 0 9 * * MON-THU")
    begin = datetime(2026, 1, 1)  # noqa: DTZ001 - local; only to see whether it can be read, and how often it comes
    try:
        first = next(CronSim(schedule, begin), begin)
    except CronSimError as error:
        told = f"cron {schedule!r} cannot be read ({error}); write for example 0 9 * * MON-THU"
        raise UnreadableWindow(told) from error
    of_a_day = takewhile(lambda each: each - first < _DAY, CronSim(schedule, first))
    if sum(1 for _ in of_a_day) > _MOST_STARTS:
        told = f"cron {schedule!r} opens more than {_MOST_STARTS} times a day; write a longer pause, or days"
        raise UnreadableWindow(told)
    return schedule


def moment_of(text: str) -> datetime:
    """Read a local moment; raises `UnreadableWindow` for one that no calendar has."""
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise UnreadableWindow(f"{text!r} is no day or moment of any calendar: {error}") from error
