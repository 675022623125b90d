"""One shared evaluation per distinct query: what it was asked last, for whom, and what came out."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ombak.alarms import lookback, metric
from ombak.alarms.verdict import Certainty, Verdict, unknown_verdict
from ombak.runtime.metrics_port import QueryResult, Series


@dataclass(frozen=True, slots=True)
class QueryKey:
    """What makes two evaluations one: the same text asked of the same place over the same points."""

    endpoint: str
    text: str
    period: timedelta
    points: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A judgement, the wall-clock moment up to which it looked, and the monotonic one at which it was asked."""

    result: metric.MetricResult
    at: datetime
    asked: float


@dataclass(slots=True)
class RuleState:
    """One rule over the series of a query, and who watches it."""

    outcome: Outcome | None = None
    watchers: set[Hashable] = field(default_factory=set)

    def judge(self, rule: metric.Rule, series: Mapping[str, metric.Points], at: datetime, asked: float) -> bool:
        """Take in new points; returns whether anything that people or the engine look at is different now."""
        before = self.outcome
        memory = metric.Memory() if before is None else before.result.memory
        result = metric.judge(rule, series, memory)
        self.outcome = Outcome(result, at, asked)
        return before is None or _essence(before.result) != _essence(result)


def _essence(result: metric.MetricResult) -> tuple[object, ...]:
    return result.state, result.certainty, frozenset(result.contributors), frozenset(result.unknown)


@dataclass(slots=True, eq=False)
class SharedQuery:
    """The state of one query; times are monotonic seconds. Changed by the service only, in one event loop."""

    key: QueryKey
    rules: dict[metric.Rule, RuleState] = field(default_factory=dict)
    active: set[Hashable] = field(default_factory=set)
    due: float | None = None
    asked: float | None = None
    is_waiting: bool = False
    is_polling: bool = False
    again: bool = False
    failures: int = 0
    error: str = ""
    is_stale: bool = False

    @property
    def watchers(self) -> set[Hashable]:
        """Everybody who rests on this query."""
        return {watcher for state in self.rules.values() for watcher in state.watchers}

    def interval(self, minimum: float) -> float:
        """Seconds between two polls: a quarter of the period while a release is under way, else the period."""
        period = self.key.period.total_seconds()
        return max(minimum, period / 4 if self.active else period)

    def judge(self, result: QueryResult, at: datetime, asked: float) -> set[Hashable]:
        """Judge all rules by a new answer; returns who watches one that is different now."""
        recovered = bool(self.error) or self.is_stale
        self.error, self.failures, self.is_stale = "", 0, False
        series = {name_series(s): align(s, at, self.key) for s in result.series}
        changed: set[Hashable] = set()
        for rule, state in self.rules.items():
            if state.judge(rule, series, at, asked) or recovered:
                changed |= state.watchers
        return changed

    def fail(self, why: str) -> set[Hashable]:
        """Record that there is no answer; returns who has to hear of it."""
        was_known = not self.error
        self.error, self.failures = why, self.failures + 1
        return self.watchers if was_known else set()

    def turned_stale(self, stale_before: float) -> bool:
        """Whether the last answer has become too old, and this was not said before."""
        is_new = self.asked is not None and self.asked < stale_before and not self.is_stale and not self.error
        self.is_stale = self.is_stale or is_new
        return is_new

    def verdict(self, rule: metric.Rule, name: str, stale_before: float) -> Verdict:
        """What is known of one rule, for an alarm of this name; asked before `stale_before` is too old."""
        state = self.rules.get(rule)
        outcome = None if state is None else state.outcome
        if self.error:
            return unknown_verdict(name, self.error)
        if outcome is None:
            return unknown_verdict(name, "was not evaluated yet")
        if outcome.asked < stale_before:
            return unknown_verdict(name, f"was last evaluated at {outcome.at:%H:%M:%S} UTC, which is too long ago")
        return self._known_verdict(name, outcome)

    def _known_verdict(self, name: str, outcome: Outcome) -> Verdict:
        result = outcome.result
        doubt = "not enough data" if result.certainty is Certainty.Certain else "not enough data to change its state"
        return Verdict(
            state=result.state,
            certainty=result.certainty,
            evaluated_at=outcome.at,
            window=result.reach * self.key.period + lookback.lookback(self.key.text),
            contributors=result.contributors,
            unknown=tuple(f"{name} {series}: {doubt}" for series in result.unknown),
            message=f"{name}: {result.message}",
        )


def name_series(series: Series) -> str:
    """The labels of a series as Prometheus writes them, in a fixed order."""
    pairs = (f'{label}="{value}"' for label, value in sorted(series.labels.items()))
    return "{" + ", ".join(pairs) + "}"


def align(series: Series, at: datetime, key: QueryKey) -> metric.Points:
    """The points of a series on the grid of the query, oldest first; None where there is none."""
    step, end = key.period.total_seconds(), at.timestamp()
    points: list[float | None] = [None] * key.points
    for moment, value in series.points:
        index = key.points - 1 - round((end - moment) / step)
        if 0 <= index < key.points:
            points[index] = value
    return points
