"""From the spec of a Window to its `Schedule`."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ombak.api.window import REGION_TIME, WindowSpec
from ombak.core.gates.closings import Calendar, Closings, named, public_holidays
from ombak.core.gates.ics import parse_ics
from ombak.core.gates.openings import times_of
from ombak.core.gates.problems import UnreadableWindow
from ombak.core.gates.schedule import Schedule


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name; raises `UnreadableWindow`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnreadableWindow(f"there is no time zone {name!r}; write an IANA name such as Europe/Berlin") from error


def _zone_of_region(name: str) -> ZoneInfo:
    try:
        return zone_of(name)
    except UnreadableWindow as error:
        raise UnreadableWindow(f"it goes by the Region's time, and {error} in the Region's spec.timeZone") from error


def compile_window(spec: WindowSpec, region_zone: str, calendars: Sequence[str] = ()) -> Schedule:
    """Return when a Window is open; raises `UnreadableWindow` if any part of it cannot be understood.

    `region_zone` is what `timeZone: Region` means here; `calendars` are the texts of `ics`, in order, those of
    ConfigMaps too.
    """
    zone = _zone_of_region(region_zone) if spec.time_zone == REGION_TIME else zone_of(spec.time_zone)
    closings: list[Closings] = [public_holidays(each, zone) for each in spec.holidays]
    closings += [named(each, zone) for each in spec.closed]
    closings += [Calendar(zone, parse_ics(text, zone)) for text in calendars]
    staffed = None if spec.staffed is None else [times_of(each, zone) for each in spec.staffed]
    return Schedule(zone, [times_of(each, zone) for each in spec.open], closings, staffed)
