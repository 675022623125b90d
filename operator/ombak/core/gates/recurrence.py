"""RFC 5545 recurrences in local time, read and expanded no further than they are asked for."""

import dataclasses
from collections.abc import Iterator
from datetime import MAXYEAR, UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

from ombak.core.gates.localtime import FIRST_YEAR, LAST_YEAR, bounded
from ombak.core.gates.problems import UnreadableWindow

_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
"""What comes more often would make a rule of years cost minutes."""
_END = datetime(MAXYEAR, 12, 31)  # noqa: DTZ001 - local, and later than anything
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, OverflowError)
"""What the parser, or the search in the first year, raises, depending on what is wrong."""
_CYCLE = 400
"""Years after which the calendar repeats itself, to the day of the week."""
_MOST = 10**9
"""Occurrences; nobody counts further."""


@dataclasses.dataclass(frozen=True, slots=True)
class Recurrence:
    """A rule without its end, which is kept apart: so no rule can be expanded beyond what is asked for."""

    rule: str
    start: datetime
    """The first one, local, without a zone."""
    until: datetime | None = None
    count: int | None = None
    first: datetime | None = None
    """The first time at which it comes, which may be after its start; None if it never does."""

    def times(self, until: datetime) -> Iterator[datetime]:
        """Return all local times of it from its start up to `until`, that one included."""
        last = until if self.until is None else min(until, self.until)
        # A rule that never comes (the 30th of February) would be searched again, each time.
        if self.first is None or last < self.first:
            return iter(())
        found = takewhile(lambda each: each <= last, iter(_rule(self.rule, self.start, last)))
        return islice(found, self.count)


def parse_recurrence(text: str, start: datetime, zone: ZoneInfo) -> Recurrence:
    """Read an RRULE that begins at a local time; raises `UnreadableWindow`."""
    parts = dict(part.partition("=")[::2] for part in text.strip().removeprefix("RRULE:").upper().split(";") if part)
    if parts.get("FREQ") not in _FREQUENCIES:
        raise UnreadableWindow(f"{text!r} needs FREQ, one of {', '.join(_FREQUENCIES)}; write FREQ=WEEKLY;BYDAY=MO")
    if len(parts.get("BYMINUTE", "").split(",")) > 4 or "BYSECOND" in parts or "BYEASTER" in parts:
        raise UnreadableWindow(f"{text!r} is too fine; leave out BYSECOND and BYEASTER, and write few in BYMINUTE")
    if not FIRST_YEAR <= start.year <= LAST_YEAR:
        raise UnreadableWindow(f"{text!r} begins in {start.year}; write a start from {FIRST_YEAR} to {LAST_YEAR}")
    until, count = parts.pop("UNTIL", None), parts.pop("COUNT", None)
    rule = ";".join(f"{name}={value}" for name, value in parts.items())
    try:
        interval, most = _counted("INTERVAL", parts.get("INTERVAL")), _counted("COUNT", count)
        first = _first(rule, start, interval or 1)
        last = None if until is None else _until(until, zone)
        return Recurrence(rule, start, last, most, first)
    except _UNREADABLE as error:
        raise UnreadableWindow(f"{text!r} is no RRULE of RFC 5545: {error}") from error


def _counted(name: str, text: str | None) -> int | None:
    """Read a number; below 1 it would go on for ever, or backwards."""
    if text is None:
        return None
    if int(text) < 1:
        raise ValueError(f"{name} is {text}; write 1 or more, or leave it out")
    return min(int(text), _MOST)


def _first(rule: str, start: datetime, interval: int) -> datetime | None:
    """Return the first time of a rule, None if it never comes.

    After a cycle the calendar is the same, and so is a rule whose start is moved by cycles. It is moved so far that the
    search, which ends with the calendar, has just enough: in a cycle of intervals a rule visits every place in the
    cycle that it ever visits, for that is 146,097 days, 20,871 weeks, 4,800 months.
    """
    later = max((MAXYEAR - 1 - start.year) // _CYCLE - interval, 0) * _CYCLE
    found = next(iter(_rule(rule, start.replace(year=start.year + later), _END)), None)
    return None if found is None else found.replace(year=found.year - later)


def _rule(rule: str, start: datetime, until: datetime) -> rrule:
    made = rrulestr(f"{rule};UNTIL={until:%Y%m%dT%H%M%S}", dtstart=start)
    assert isinstance(made, rrule)
    return made


def _until(text: str, zone: ZoneInfo) -> datetime:
    """Read an UNTIL as local time: a day is whole, and one in UTC is brought here."""
    if len(text) == 8:
        day = bounded(datetime.strptime(text, "%Y%m%d"))  # noqa: DTZ007 - local
        return day + timedelta(days=1) - timedelta(seconds=1)
    moment = bounded(datetime.strptime(text.removesuffix("Z"), "%Y%m%dT%H%M%S"))  # noqa: DTZ007 - local, or UTC
    return moment.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) if text.endswith("Z") else moment
