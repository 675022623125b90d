"""How much time several Windows leave together, and for how long changes pile up before them (R90)."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timedelta

from ombak.core.gates.gate import ZERO
from ombak.core.gates.schedule import Schedule
from ombak.core.gates.spans import Span, Spans, intersect

WEEKS = 4
_REACH = timedelta(weeks=WEEKS)


@dataclasses.dataclass(frozen=True, slots=True)
class Openness:
    """How much time some Windows leave to begin, over the next four weeks."""

    windows: tuple[str, ...]
    together: timedelta
    """A week, on average."""
    alone: Mapping[str, timedelta]
    """A week, on average: each of them without the others."""
    longest_pause: timedelta
    """For so long nothing may start; all that is asked for meanwhile comes as one change."""


def openness(schedules: Mapping[str, Schedule], now: datetime, horizon: timedelta = ZERO) -> Openness:
    """Return how much time Windows leave for a change whose last bake ends `horizon` after its start.

    Without any Window there is no pause.
    """
    until = now + _REACH
    together: Spans = ((now, until),)
    alone = {}
    for name, schedule in schedules.items():
        spans = _open(schedule, now, until, horizon)
        alone[name] = _length(spans) / WEEKS
        together = intersect(together, spans)
    return Openness(tuple(schedules), _length(together) / WEEKS, alone, _longest_pause(together, now, until))


def _open(schedule: Schedule, since: datetime, until: datetime, horizon: timedelta) -> Spans:
    found: list[Span] = []
    at = since
    while (opens := schedule.next_open(at, horizon)) is not None and opens < until:
        closes = schedule.next_close(opens, horizon)
        at = until if closes is None else min(closes, until)
        found.append((opens, at))
    return tuple(found)


def _length(spans: Spans) -> timedelta:
    return sum((end - start for start, end in spans), ZERO)


def _longest_pause(spans: Spans, since: datetime, until: datetime) -> timedelta:
    ends = (since, *(end for _, end in spans))
    starts = (*(start for start, _ in spans), until)
    return max(start - end for start, end in zip(starts, ends, strict=True))
