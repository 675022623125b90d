"""`ombak plan` for a person: how long, when in which region, how much at once, and what the Windows leave."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from itertools import groupby

from ombak.cli.plan_facts import Planned, a_week, told
from ombak.core.conveyor.forecast import Day, Forecast, RegionForecast, StageForecast

_WIDTH = 118
_NEVER = "-"
_ASIDE = re.compile(r" \([^()]*\)")
Row = tuple[str, ...]


def plan_lines(planned: Planned, zone: tzinfo) -> Iterator[str]:
    """One Pipeline; times are of this zone."""
    found, name = planned.forecast, "/".join(planned.key)
    if found.ended is None:
        yield f"Pipeline {name}: a change made {_moment(found.began, zone)} would not get everywhere"
        yield from (f"  it waits for {each}" for each in found.stuck)
    else:
        yield f"Pipeline {name}: {_count(found.business_days(zone) or 0, 'business day')} to {_extent(found)}"
        length = told(found.ended - found.began)
        yield f"  a change made {_moment(found.began, zone)} is everywhere {_moment(found.ended, zone)}, after {length}"
    yield ""
    yield from _stages(planned, zone)
    yield from _days(found, zone)
    yield from _windows(planned)
    yield from (f"note: {note}" for note in planned.notes)


def _moment(moment: datetime | None, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%a %Y-%m-%d %H:%M") if moment is not None else _NEVER


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _extent(found: Forecast) -> str:
    places = [region for stage in found.stages for region in stage.regions]
    regions = len({place.name for place in places})
    return f"{_count(regions, 'region')} in {_count(len(found.stages), 'stage')}"


def _stages(planned: Planned, zone: tzinfo) -> Iterator[str]:
    stages = planned.forecast.stages
    tables = [list(_rows(stage, planned.key[0], zone)) for stage in stages]
    heading = ("STAGE", "STARTS", "STABLE", "TAKES", "REGIONS")
    widths = [max(map(len, column)) for column in zip(heading, *(row for rows in tables for row in rows), strict=True)]
    yield from _aligned([heading], widths)
    for stage, rows in zip(stages, tables, strict=True):
        yield from _aligned(rows, widths)
        if stage.waited_for:
            waited = f" {told(stage.waited)}" if stage.waited else ""
            yield f"  waits{waited} before it, for {_ASIDE.sub('', stage.waited_for)}"


def _rows(stage: StageForecast, namespace: str, zone: tzinfo) -> Iterator[Row]:
    """Regions that go at the same time stand in one row."""
    ordered = sorted(stage.regions, key=lambda r: (r.started is None, r.started, r.stable is None, r.stable))
    name = stage.name
    for (started, stable), group in groupby(ordered, key=lambda r: (r.started, r.stable)):
        length = told(stable - started) if started is not None and stable is not None else _NEVER
        regions = ", ".join(_region(each, namespace) for each in group)
        yield name, _moment(started, zone), _moment(stable, zone), length, regions
        name = ""
    if not ordered:
        yield name, _moment(stage.entered, zone), _moment(stage.left, zone), _NEVER, "no region"


def _region(found: RegionForecast, namespace: str) -> str:
    return found.name if found.namespace == namespace else f"{found.name} ({found.namespace})"


def _aligned(rows: Sequence[Row], widths: Sequence[int]) -> Iterator[str]:
    """Columns under each other; the last one is broken over lines where it is long."""
    before = sum(widths[:-1]) + 2 * len(widths[:-1])
    for row in rows:
        first, *others = textwrap.wrap(row[-1], max(20, _WIDTH - before), break_long_words=False) or [""]
        cells = (f"{cell:<{width}}" for cell, width in zip(row[:-1], widths[:-1], strict=True))
        yield "  ".join((*cells, first)).rstrip()
        yield from (f"{'':<{before}}{other}" for other in others)


def _days(found: Forecast, zone: tzinfo) -> Iterator[str]:
    largest = found.largest_day(zone)
    if largest is None:
        return
    regions, boxes = len({r.name for r in found.exposed}), sum(r.boxes for r in found.exposed)
    yield ""
    yield f"Blast radius: what gets the change on one day, of {_count(regions, 'region')} and {boxes:,} boxes"
    for day in found.days(zone):
        mark = "   the largest" if day == largest else ""
        yield f"  {_day(day, regions, boxes)}{mark}"


def _day(day: Day, regions: int, boxes: int) -> str:
    told_boxes = f"{day.boxes:,} boxes ({_share(day.boxes, boxes)})"
    return f"{day.day:%a %Y-%m-%d}  {day.regions:>4} ({_share(day.regions, regions)})  {told_boxes}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}%" if whole else "0%"


def _windows(planned: Planned) -> Iterator[str]:
    if planned.windows:
        yield ""
        yield "Windows: how much time they leave, by the next four weeks"
    for each in planned.windows:
        found = each.openness
        names = ", ".join(f"{name} {a_week(found.alone[name])}" for name in found.windows)
        together = f"; together {a_week(found.together)}" if len(found.windows) > 1 else ""
        yield f"  {', '.join(each.stages)}: {names}{together}; longest pause {told(found.longest_pause)}"
        if each.warning:
            yield f"    warning: {each.warning}"
