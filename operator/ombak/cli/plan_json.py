"""`ombak plan -o json`: the same for programs; times in UTC, lengths as Go writes them."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from ombak.api.duration import format_duration
from ombak.cli.plan_facts import Planned, StageWindows
from ombak.core.conveyor.forecast import Day, Forecast, StageForecast

Json = dict[str, Any]


def plan_json(planned: Planned, zone: tzinfo) -> Json:
    """One Pipeline; days are those of this zone."""
    found, largest = planned.forecast, planned.forecast.largest_day(zone)
    return {
        "namespace": planned.key[0],
        "name": planned.key[1],
        "began": _stamp(found.began),
        "ended": _stamp(found.ended),
        "length": _length(found.length),
        "businessDays": found.business_days(zone),
        "stages": [_stage(stage) for stage in found.stages],
        "days": [_day(day, found) for day in found.days(zone)],
        "largestDay": _day(largest, found) if largest is not None else None,
        "windows": [_windows(each) for each in planned.windows],
        "notes": list(planned.notes),
        "stuck": list(found.stuck),
    }


def _stamp(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment is not None else None


def _length(length: timedelta | None) -> str | None:
    return format_duration(timedelta(seconds=round(length.total_seconds()))) if length is not None else None


def _stage(stage: StageForecast) -> Json:
    regions = [
        {
            "name": r.name,
            "namespace": r.namespace,
            "boxes": r.boxes,
            "started": _stamp(r.started),
            "stable": _stamp(r.stable),
        }
        for r in stage.regions
    ]
    return {
        "name": stage.name,
        "phase": stage.phase.value,
        "entered": _stamp(stage.entered),
        "left": _stamp(stage.left),
        "waited": _length(stage.waited),
        "waitedFor": stage.waited_for,
        "regions": regions,
    }


def _day(day: Day, found: Forecast) -> Json:
    regions, boxes = len({r.name for r in found.exposed}), sum(r.boxes for r in found.exposed)
    shares = {"regionShare": _share(day.regions, regions), "boxShare": _share(day.boxes, boxes)}
    return {"day": day.day.isoformat(), "regions": day.regions, "boxes": day.boxes, **shares}


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _windows(each: StageWindows) -> Json:
    found = each.openness
    return {
        "stages": list(each.stages),
        "windows": list(found.windows),
        "openPerWeek": _length(found.together),
        "alonePerWeek": {name: _length(length) for name, length in found.alone.items()},
        "longestPause": _length(found.longest_pause),
        "warning": each.warning,
    }
