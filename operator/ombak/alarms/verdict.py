"""What the engine is told about an alarm: one state, how sure it is, and how old the knowledge is."""

import dataclasses
from datetime import datetime, timedelta

from ombak.api.health import Certainty as Certainty
from ombak.api.health import State as State
from ombak.api.wording import sentence


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Contributor:
    """One thing that makes an alarm be in ALARM: a series or an alert of `alarm`, or the state in which that is."""

    alarm: str
    series: str

    def __str__(self) -> str:
        """As people read it, such as `errors {pod="front-1"}`; it tells it from every other one."""
        return f"{self.alarm} {self.series}"


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one alarm or expression, as of one moment.

    Exactly one of `is_ok`, `is_alarm` and `is_unknown` holds. A gate goes ahead on `is_ok` only, a revert is
    caused by `is_alarm` only, and everything else holds (alarms-and-judge.md B4.3).
    """

    state: State
    certainty: Certainty
    evaluated_at: datetime | None
    """When the oldest of the evaluations it rests on was made (aware UTC); None if there never was one."""
    window: timedelta
    """How far back before `evaluated_at` the data reaches (N x period + lookback; the longest child)."""
    contributors: tuple[str, ...] = ()
    """What is in ALARM and made it so: series of a metric alarm, children of an expression."""
    unknown: tuple[str, ...] = ()
    """What is not known, each as `name: why`."""
    message: str = ""
    """One sentence for people, with the numbers."""
    causes: tuple[Contributor, ...] = ()
    """The same as `contributors` down to the series, however deep it is nested; for comparisons."""
    unclear: tuple[str, ...] = ()
    """The alarms of which nobody can say now whether they still contribute."""

    @property
    def window_start(self) -> datetime | None:
        """The moment since which the data of this verdict was taken, or None if there is none."""
        return None if self.evaluated_at is None else self.evaluated_at - self.window

    @property
    def is_ok(self) -> bool:
        """It is OK, and would be however the unknown turned out."""
        return self.state is State.OK and self.certainty is Certainty.Certain

    @property
    def is_alarm(self) -> bool:
        """It is in ALARM, and would be however the unknown turned out."""
        return self.state is State.ALARM and self.certainty is Certainty.Certain

    @property
    def is_unknown(self) -> bool:
        """It is neither certainly OK nor certainly in ALARM: nobody may act on it."""
        return not (self.is_ok or self.is_alarm)


def unknown_verdict(name: str, why: str) -> Verdict:
    """The verdict on something that could not be evaluated at all: never OK, never a reason to revert."""
    return Verdict(
        state=State.INSUFFICIENT_DATA,
        certainty=Certainty.Uncertain,
        evaluated_at=None,
        window=timedelta(0),
        unknown=(f"{name}: {why}",),
        message=sentence(f"{name} is unknown: {why}"),
        unclear=(name,),
    )
