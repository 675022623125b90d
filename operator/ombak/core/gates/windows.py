"""The gate of the Windows: a delivery starts only while all that it names are open (R89-R91)."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta

from ombak.core.gates.gate import Context, Held, Moment
from ombak.core.gates.localtime import local_time
from ombak.core.gates.schedule import REACH, Schedule

KIND = "window"
_MOST_TURNS = 5000


@dataclasses.dataclass(frozen=True, slots=True)
class WindowView:
    """A Window that a delivery names, there or not."""

    name: str
    schedule: Schedule | None = None
    """None: it says nothing certain."""
    problem: str = ""
    """Why there is no schedule, empty where there is no such Window."""
    owner: str = ""

    @property
    def is_missing(self) -> bool:
        """There is no such Window."""
        return self.schedule is None and not self.problem


@dataclasses.dataclass(frozen=True, slots=True)
class WindowGate:
    """Holds starts while one of the Windows is not open; steps go on, for half a release is the worst of both."""

    windows: tuple[WindowView, ...]

    def holds(self, context: Context, now: datetime) -> Held | None:
        """See `Gate`."""
        if context.moment is not Moment.START:
            return None
        closed = [w for w in self.windows if w.schedule is None or not w.schedule.is_open(now, context.horizon)]
        if not closed:
            return None
        schedules = [w.schedule for w in self.windows if w.schedule is not None]
        expected = None
        if len(schedules) == len(self.windows):
            expected = next_open_of_all(schedules, now, context.horizon)
        told = [_what(each, now, context.horizon) for each in closed]
        if expected is None and len(schedules) == len(self.windows) > 1:
            told.append(f"they are not open together within {REACH.days} days")
        return Held(
            kind=KIND,
            what="; and ".join(told),
            who="; ".join(dict.fromkeys(_who(each) for each in closed)),
            command=" && ".join(_command(each, context) for each in closed),
            since=_since(closed, now, context.horizon),
            expected=expected,
            names=tuple(each.name for each in closed),
        )


def next_open_of_all(schedules: Sequence[Schedule], now: datetime, horizon: timedelta) -> datetime | None:
    """Return the first moment at which all are open; None if there is none within `REACH`."""
    at = now
    for _ in range(_MOST_TURNS):
        found = [schedule.next_open(at, horizon) for schedule in schedules]
        known = [moment for moment in found if moment is not None]
        if len(known) < len(found) or max(known, default=at) > now + REACH:
            return None
        if max(known, default=at) == at:
            return at
        at = max(known)
    return None


def off_hours(windows: tuple[WindowView, ...], now: datetime) -> tuple[str, ...]:
    """Return the names of the Windows that call this moment one without people (R90)."""
    return tuple(w.name for w in windows if w.schedule is not None and w.schedule.is_off_hours(now))


def _what(window: WindowView, now: datetime, horizon: timedelta) -> str:
    if window.schedule is None:
        return f"Window {window.name} to open, which is closed because {window.problem or 'it does not exist'}"
    schedule = window.schedule
    opens = schedule.next_open(now, horizon)
    when = f"never opens within {REACH.days} days"
    if opens is not None:
        when = f"opens {local_time(opens, schedule.zone)} {schedule.zone.key}"
    return f"Window {window.name} to open ({schedule.why_closed(now, horizon)}; {when})"


def _who(window: WindowView) -> str:
    if window.is_missing:
        return f"whoever may create Window {window.name}, or edit what names it"
    owner = window.owner or f"whoever may edit Window {window.name}"
    return owner if window.schedule is None else f"time, or {owner}"


def _command(window: WindowView, context: Context) -> str:
    if window.is_missing:
        return f"kubectl -n {context.namespace} edit {context.resource} {context.name}"
    return f"kubectl edit window {window.name}"


def _since(closed: list[WindowView], now: datetime, horizon: timedelta) -> datetime | None:
    found = [w.schedule.closed_since(now, horizon) for w in closed if w.schedule is not None]
    return min((moment for moment in found if moment is not None), default=None)
