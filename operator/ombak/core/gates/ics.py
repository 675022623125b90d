"""Calendars as .ics files have them (RFC 5545): each event of one is closed time."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar

from ombak.core.gates.localtime import bounded, instant
from ombak.core.gates.problems import UnreadableWindow
from ombak.core.gates.recurrence import Recurrence, parse_recurrence
from ombak.core.gates.spans import Span

_DAY = timedelta(days=1)
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError)
"""What the parser raises, depending on what is wrong."""


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One event and its repetitions; times are local, those of a `zone` of its own or of the Window's."""

    summary: str
    start: datetime
    end: datetime
    zone: ZoneInfo | None
    rules: tuple[Recurrence, ...] = ()
    more: tuple[datetime, ...] = ()
    less: frozenset[datetime] = frozenset()

    def spans(self, since: datetime, until: datetime, zone: ZoneInfo) -> Iterator[Span]:
        """Return every stretch of it that reaches into the time asked for; others may be among them."""
        own, length = self.zone or zone, self.end - self.start
        first, last = (moment.astimezone(own).replace(tzinfo=None) for moment in (since - length - _DAY, until + _DAY))
        for local in dict.fromkeys(self._starts(last)):
            if first <= local <= last and local not in self.less:
                yield instant(local, own), instant(local + length, own)

    def _starts(self, last: datetime) -> Iterator[datetime]:
        yield self.start
        yield from self.more
        for rule in self.rules:
            yield from rule.times(last)


def parse_ics(text: str, zone: ZoneInfo) -> tuple[Event, ...]:
    """Return the events of a calendar; raises `UnreadableWindow`, since half of a calendar is none."""
    try:
        events: list[Any] = list(icalendar.Calendar.from_ical(text).walk("VEVENT"))
        moved = [(str(each.get("UID")), each["RECURRENCE-ID"].dt) for each in events if "RECURRENCE-ID" in each]
        held = (each for each in events if str(each.get("STATUS", "")).upper() != "CANCELLED")
        return tuple(_event(each, moved, zone) for each in held)
    except UnreadableWindow:
        raise
    except _UNREADABLE as error:
        raise UnreadableWindow(f"the calendar cannot be read: {error}; write what an .ics file holds") from error


def _event(raw: Any, moved: list[tuple[str, Any]], window_zone: ZoneInfo) -> Event:
    zone = _zone_of(raw.start)
    own = zone or window_zone
    start, end = _local(raw.start, own), _local(raw.end, own)
    less = {_local(each, own) for each in raw.exdates}
    more = tuple(_local(each[0], own) for each in raw.rdates)
    if "RECURRENCE-ID" not in raw:  # an occurrence that was moved is an event of its own, and leaves its old place
        less |= {_local(at, own) for uid, at in moved if uid == str(raw.get("UID"))}
    rules = tuple(parse_recurrence(rule.to_ical().decode(), start, own) for rule in raw.rrules)
    return Event(str(raw.get("SUMMARY", "an event"))[:128], start, end, zone, rules, more, frozenset(less))


def _zone_of(moment: date) -> ZoneInfo | None:
    """Return the zone that an event names; None for whole days and for times of no zone, which are local anywhere."""
    tz = moment.tzinfo if isinstance(moment, datetime) else None
    if tz is None or isinstance(tz, ZoneInfo):
        return tz
    return ZoneInfo("UTC")


def _local(moment: date, zone: ZoneInfo) -> datetime:
    """Return a day, a local time or a moment as local time in a zone."""
    moment = bounded(moment)
    if not isinstance(moment, datetime):
        return datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 - local
    if moment.tzinfo is None:
        return moment
    return moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
