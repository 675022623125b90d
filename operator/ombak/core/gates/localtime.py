"""From what a clock on the wall shows to moments, also on the two odd days of the year."""

from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

MIDNIGHT = time(0)
FIRST_YEAR, LAST_YEAR = 1600, 2999
"""Far from both ends of what a `datetime` can be, so that no zone and no length leads out of it."""
_SECOND = timedelta(seconds=1)
Day = TypeVar("Day", bound=date)


def bounded(day: Day) -> Day:
    """Return a day or moment, or the nearest end of these years: `to: 9999-12-31` means for ever."""
    if day.year < FIRST_YEAR:
        return day.replace(FIRST_YEAR, 1, 1)
    return day.replace(LAST_YEAR, 12, 31) if day.year > LAST_YEAR else day


def instant(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment (UTC) at which clocks in a zone first show a local time.

    A time that is shown twice is the first one; a time that is skipped is the moment of the jump.
    """
    early = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if early.astimezone(zone).replace(tzinfo=None) == local:
        return early
    late = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _jump(min(early, late), max(early, late), zone)


def _jump(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment between two others, to the second, from which on the zone's offset is that of the later."""
    offset = after.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after


def day_starts(day: date, zone: ZoneInfo) -> datetime:
    """Return the first moment of a local day, which is not everywhere and always midnight."""
    return instant(datetime.combine(day, MIDNIGHT), zone)


def local_day(moment: datetime, zone: ZoneInfo) -> date:
    """Return the local day that a moment is in."""
    return moment.astimezone(zone).date()


def local_time(moment: datetime, zone: ZoneInfo) -> str:
    """Return a moment for people, as clocks there show it: `Mon 2026-11-23 09:00`."""
    return moment.astimezone(zone).strftime("%a %Y-%m-%d %H:%M")
