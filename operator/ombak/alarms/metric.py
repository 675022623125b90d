"""Metric alarms: M breaching points out of N, and what missing points mean (alarms-and-judge.md B2).

A query gives a set of series. Each is judged on its own, and the alarm is the OR over them: ALARM if any
series is, known to be OK only if every series is. Points are ordered by time, oldest first, one per period;
None and NaN are missing points, infinities are values.

Where AWS keeps the state for want of data, so does `state`; but a kept state is no evaluation, hence
Uncertain: no data never promotes and never reverts (design 2).
"""

import dataclasses
import itertools
import math
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from ombak.alarms.persistence import Settled, settle
from ombak.api.alarm import Comparison, TreatMissingData
from ombak.api.health import Certainty, State

EXTRA_POINTS = 2
"""Points looked at beyond N, so that a few missing ones do not hide the real ones (CWUG: 5 for N = 3)."""

Points: TypeAlias = Sequence[float | None]

_COMPARE: Mapping[Comparison, tuple[str, Callable[[float, float], bool]]] = {
    Comparison.GREATER: (">", operator.gt),
    Comparison.GREATER_OR_EQUAL: (">=", operator.ge),
    Comparison.LESS: ("<", operator.lt),
    Comparison.LESS_OR_EQUAL: ("<=", operator.le),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """When a series is in ALARM: `m` of the last `n` points compare so with the threshold.

    It has to be so for `pending` periods more, and to be otherwise for `recovery` periods more.
    """

    comparison: Comparison
    threshold: float
    n: int
    m: int
    missing: TreatMissingData = TreatMissingData.MISSING
    pending: int = 0
    recovery: int = 0

    @property
    def points(self) -> int:
        """How many points, one per period and up to now, an evaluation asks for."""
        return self.range + self.pending + self.recovery

    @property
    def range(self) -> int:
        """How many points the judgement of one moment looks at: CloudWatch's evaluation range."""
        return self.n + EXTRA_POINTS

    @property
    def is_low_bad(self) -> bool:
        """Whether low values are the bad ones."""
        return self.comparison in (Comparison.LESS, Comparison.LESS_OR_EQUAL)

    def breaches(self, value: float) -> bool:
        """Whether a value is on the wrong side of the threshold."""
        return _COMPARE[self.comparison][1](value, self.threshold)

    def __str__(self) -> str:
        """The condition as people read it, such as `> 0.01`."""
        return f"{_COMPARE[self.comparison][0]} {self.threshold:g}"


@dataclasses.dataclass(frozen=True, slots=True)
class SeriesResult:
    """The judgement of one series.

    `kept`: the state is the previous one, the points say nothing. `reach`: periods back to the oldest point, and
    while it is pending to the moment since which it must have been bad to be in ALARM.
    """

    state: State
    kept: bool
    breaching: int
    real: int
    newest: float | None
    reach: int
    is_pending: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """What has to be remembered from one judgement to the next, because some options keep the state."""

    overall: State = State.INSUFFICIENT_DATA
    series: Mapping[str, State] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class MetricResult:
    """The judgement of all series of a query; `reach` in periods, the longest of the series."""

    state: State
    certainty: Certainty
    contributors: tuple[str, ...]
    unknown: tuple[str, ...]
    reach: int
    message: str
    memory: Memory
    newest: float | None = None
    """The newest value of the series that the message is about."""
    series: int = 0
    """How many there are."""
    doubt: str = ""
    """Why nothing is known all the same; empty if something is."""


NO_LABELS = "{}"
"""The name of a series without labels, as a sum over everything gives it."""
NOTHING = "no series"
"""Stands for the one series of a query that gives none."""


def judge_series(rule: Rule, points: Points, previous: State) -> SeriesResult:
    """The state of one series from its last `rule.points` periods (if fewer, the ones before are missing).

    `previous` is its state at the last judgement; INSUFFICIENT_DATA if there was none.
    """
    window = _clean(points[-rule.range :])
    real = [(len(window) - index, value) for index, value in enumerate(window) if value is not None]
    used = real[-rule.n :] if len(real) >= rule.n else real
    breaching = [age for age, value in used if rule.breaches(value)]
    settled = _settled(rule, points, _state(rule, len(used), breaching))
    return SeriesResult(
        state=settled.state or previous,
        kept=settled.state is None,
        breaching=len(breaching),
        real=len(used),
        newest=used[-1][1] if used else None,
        reach=max([rule.n + (rule.pending if settled.is_pending else 0), *(age for age, _ in used)]),
        is_pending=settled.is_pending,
    )


def _clean(points: Points) -> list[float | None]:
    return [None if value is None or math.isnan(value) else value for value in points]


def _settled(rule: Rule, points: Points, now: State | None) -> Settled:
    if not rule.pending and not rule.recovery:
        return Settled(now)
    return settle([*_earlier(rule, points), now], rule.pending, rule.recovery)


def _earlier(rule: Rule, points: Points) -> Iterable[State | None]:
    """The states at the moments before now, oldest first, for pending and recovery.

    Where no point is missing, which is the rule, a moment costs one subtraction, however large N is.
    """
    values = [None] * (rule.points - len(points)) + _clean(points[-rule.points :])
    real = [0, *itertools.accumulate(value is not None for value in values)]
    bad = [0, *itertools.accumulate(value is not None and rule.breaches(value) for value in values)]
    for end in range(rule.range, rule.points):
        if real[end] - real[end - rule.n] == rule.n:
            yield _alarm_if(bad[end] - bad[end - rule.n] >= rule.m)
        else:
            yield _state_of(rule, values[end - rule.range : end])


def _state_of(rule: Rule, window: Sequence[float | None]) -> State | None:
    real = [(len(window) - index, value) for index, value in enumerate(window) if value is not None][-rule.n :]
    return _state(rule, len(real), [age for age, value in real if rule.breaches(value)])


def _state(rule: Rule, real: int, breaching: list[int]) -> State | None:
    """The table of B2, None to keep the state; `breaching`: the ages of those points, oldest first."""
    count = len(breaching)
    if real >= rule.n or rule.missing is TreatMissingData.NOT_BREACHING:
        return _alarm_if(count >= rule.m)
    if rule.missing is TreatMissingData.BREACHING:
        return _alarm_if(count + rule.n - real >= rule.m)
    if real == 0:
        return State.INSUFFICIENT_DATA if rule.missing is TreatMissingData.MISSING else None
    if count < real:
        return _alarm_if(count >= rule.m)
    if rule.missing is TreatMissingData.MISSING and breaching[0] >= rule.m:
        return State.ALARM  # not premature: nothing but breaching points for M periods
    return None


def _alarm_if(condition: bool) -> State:
    return State.ALARM if condition else State.OK


def judge(rule: Rule, series: Mapping[str, Points], memory: Memory) -> MetricResult:
    """The state of a metric alarm, from the series of its query (name -> points) and what was remembered.

    A series that is only in the answer because of its past (pending and recovery ask far back) is gone, and no
    series any more: a box that was replaced is not a box without data.
    """
    results = {
        name: judge_series(rule, points, memory.series.get(name, State.INSUFFICIENT_DATA))
        for name, points in series.items()
        if not _is_gone(rule, points)
    }
    if not results:
        return _judge_nothing(rule, memory)
    alarm = tuple(name for name, result in results.items() if result.state is State.ALARM)
    open_ones = tuple(name for name, result in results.items() if _is_open(result))
    state = _overall(results.values())
    message, newest = _message(rule, results, state)
    return MetricResult(
        state=state,
        certainty=_certainty(results.values(), state),
        contributors=alarm,
        unknown=open_ones,
        reach=max(result.reach for result in results.values()),
        message=message,
        memory=Memory(state, {name: result.state for name, result in results.items()}),
        newest=newest,
        series=len(results),
    )


def _is_gone(rule: Rule, points: Points) -> bool:
    has_past = any(value is not None for value in points[: -rule.range])
    return has_past and all(value is None for value in points[-rule.range :])


def _is_open(result: SeriesResult) -> bool:
    return result.kept or result.state is State.INSUFFICIENT_DATA


def _overall(results: Iterable[SeriesResult]) -> State:
    states = {result.state for result in results}
    if State.ALARM in states:
        return State.ALARM
    return State.OK if State.OK in states else State.INSUFFICIENT_DATA


def _certainty(results: Collection[SeriesResult], state: State) -> Certainty:
    """Certain if the open series cannot change the OR over all; no data at all is certainly no data."""
    if state is State.ALARM:
        certain = any(result.state is State.ALARM and not result.kept for result in results)
    elif state is State.OK:
        certain = not any(_is_open(result) for result in results)
    else:
        certain = not any(result.kept for result in results)
    return Certainty.Certain if certain else Certainty.Uncertain


def _judge_nothing(rule: Rule, memory: Memory) -> MetricResult:
    """No series at all: every point of the one series that was expected is missing."""
    result = judge_series(rule, (), memory.overall)
    return MetricResult(
        state=result.state,
        certainty=Certainty.Uncertain if result.kept else Certainty.Certain,
        contributors=(NOTHING,) if result.state is State.ALARM else (),
        unknown=(NOTHING,) if _is_open(result) else (),
        reach=rule.n,
        message=f"the query gives no series (treatMissingData: {rule.missing})",
        memory=Memory(result.state, memory.series),
    )


def _message(rule: Rule, results: Mapping[str, SeriesResult], state: State) -> tuple[str, float | None]:
    """The numbers of the series that says most, and its value: the worst of those in the state of the whole."""
    sign = -1 if rule.is_low_bad else 1
    fitting = [(name, result) for name, result in results.items() if result.state is state]

    def weight(item: tuple[str, SeriesResult]) -> tuple[int, float]:
        newest = item[1].newest
        return item[1].breaching, -math.inf if newest is None else sign * newest

    name, worst = max(fitting, key=weight)
    value = "no value" if worst.newest is None else f"{worst.newest:.6g}"
    more = f", {len(fitting)} of {len(results)} series" if len(results) > 1 else ""
    series = "" if name == NO_LABELS else f" for {name}"
    pending = f", pending for {rule.pending} periods" if worst.is_pending else ""
    needed = f"{rule.m} of {rule.n} needed{pending}{more}"
    text = f"{value}{series} (alarms when {rule}; {worst.breaching} of {worst.real} points breach, {needed})"
    return text, worst.newest
