"""One shared evaluation per distinct question: what was asked last, for whom, and what came out."""

import abc
import enum
from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, Generic, TypeAlias, TypeVar

from ombak.alarms import alerting, lookback, metric, unseen
from ombak.alarms.definition import MEMBER
from ombak.alarms.verdict import Certainty, Contributor, Verdict, unknown_verdict
from ombak.runtime.metrics_port import QueryResult, RulesResult, Series


class Pace(enum.Enum):
    """How urgently somebody wants to know."""

    RELEASE = "release"
    STEADY = "steady"
    REST = "rest"


RULES_PERIOD = timedelta(seconds=15)
"""How often the alerting rules of a Prometheus are read while no release is under way; then four times as often."""


@dataclass(frozen=True, slots=True)
class QueryKey:
    """What makes two evaluations one: the same text asked of the same place in the same steps."""

    endpoint: str
    text: str
    period: timedelta


@dataclass(frozen=True, slots=True)
class View:
    """What a rule looks at in an answer: all of it, or the series of one of the many for whom it was asked."""

    rule: metric.Rule
    member: str = ""


@dataclass(frozen=True, slots=True)
class RulesKey:
    """All alerting rules of one place: one read serves every Alarm that names some."""

    endpoint: str
    period: timedelta = RULES_PERIOD


PollKey: TypeAlias = QueryKey | RulesKey
Rule: TypeAlias = View | alerting.Selector
Result: TypeAlias = metric.MetricResult | alerting.RuleResult
RuleT = TypeVar("RuleT", bound=Rule)
ResultT = TypeVar("ResultT", bound=Result)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[ResultT]):
    """A judgement, the wall-clock moment up to which it looked, and the monotonic one at which it was asked.

    `age` is how much older than the moment of a point the samples were that it was made of.
    """

    result: ResultT
    at: datetime
    asked: float
    age: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Sight:
    """Which points of an answer tell anything, oldest first (none: all do), and why the others do not."""

    seen: tuple[bool, ...] = ()
    why: str = ""


CLEAR = Sight()


@dataclass(slots=True)
class RuleState(Generic[ResultT]):
    """One rule over what was answered, and who watches it."""

    outcome: Outcome[ResultT] | None = None
    watchers: set[Hashable] = field(default_factory=set)

    def take(self, outcome: Outcome[ResultT]) -> bool:
        """Replace the outcome; returns whether anything that people or the engine look at is different now."""
        before, self.outcome = self.outcome, outcome
        return before is None or _essence(before.result) != _essence(outcome.result)


def _essence(result: Result) -> tuple[object, ...]:
    unknown: object = frozenset(result.unknown) if isinstance(result, metric.MetricResult) else bool(result.unknown)
    return result.state, result.certainty, frozenset(result.contributors), unknown


@dataclass(slots=True, eq=False)
class Shared(abc.ABC, Generic[RuleT, ResultT]):
    """The state of one question; times are monotonic seconds. Changed by the pool only, in one event loop."""

    rules: dict[RuleT, RuleState[ResultT]] = field(default_factory=dict)
    active: set[Hashable] = field(default_factory=set)
    """For whom a release is under way."""
    steady: set[Hashable] = field(default_factory=set)
    """Who wants to know all the time, and at no special rate."""
    due: float | None = None
    asked: float | None = None
    is_waiting: bool = False
    is_polling: bool = False
    again: bool = False
    failures: int = 0
    error: str = ""
    is_stale: bool = False
    """Everybody was told that the last answer is too old."""
    was_read_stale: bool = False
    """Somebody read that it is, told or not."""
    at_rest: ClassVar[int] = 1
    """So many periods lie between two polls that only settled Rollouts want."""

    @property
    @abc.abstractmethod
    def poll_key(self) -> PollKey:
        """What is asked."""

    @property
    def watchers(self) -> set[Hashable]:
        """Everybody who rests on this question."""
        return {watcher for state in self.rules.values() for watcher in state.watchers}

    def set_pace(self, watcher: Hashable, pace: Pace | None) -> None:
        """Note how urgently a watcher wants to know; None for one that does not any more."""
        for group, each in ((self.active, Pace.RELEASE), (self.steady, Pace.STEADY)):
            (group.add if pace is each else group.discard)(watcher)

    def interval(self, minimum: float) -> float:
        """Seconds between two polls: a quarter of the period while a release is under way, else the period.

        Longer where it only serves Rollouts that are settled: what it says is asked anew before one of them starts.
        """
        period = self.poll_key.period.total_seconds()
        return max(minimum, period / 4 if self.active else period if self.steady else self.at_rest * period)

    def _recover(self) -> bool:
        """Note that there is an answer again; returns whether there was none before, to anybody's knowledge."""
        recovered = bool(self.error) or self.is_stale or self.was_read_stale
        self.error, self.failures, self.is_stale, self.was_read_stale = "", 0, False, False
        return recovered

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

    def verdict(self, rule: RuleT, name: str, stale_before: float) -> Verdict:
        """What is known of one rule, for an alarm of this name; asked before `stale_before` is too old."""
        state = self.rules.get(rule)
        outcome = None if state is None else state.outcome
        if self.error:
            return unknown_verdict(name, self.error)
        if outcome is None:
            return unknown_verdict(name, "was not evaluated yet")
        if outcome.asked < stale_before:
            self.was_read_stale = True  # between two scans: the next answer is news to whoever asked
            return unknown_verdict(name, f"was last evaluated at {outcome.at:%H:%M:%S} UTC, which is too long ago")
        return self._known_verdict(name, outcome)

    @abc.abstractmethod
    def _known_verdict(self, name: str, outcome: Outcome[ResultT]) -> Verdict:
        """The verdict from an outcome that is fresh."""


@dataclass(slots=True, eq=False)
class SharedQuery(Shared[View, metric.MetricResult]):
    """A query, asked over as many points as any of its rules looks at."""

    at_rest: ClassVar[int] = 4

    key: QueryKey = field(kw_only=True)

    @property
    def poll_key(self) -> QueryKey:
        """The query, its place and its points."""
        return self.key

    @property
    def points(self) -> int:
        """How many points have to be asked for."""
        return max((view.rule.points for view in self.rules), default=1)

    def judge(
        self,
        answer: QueryResult,
        at: datetime,
        asked: float,
        points: int,
        age: timedelta = timedelta(0),
        sight: Sight = CLEAR,
    ) -> set[Hashable]:
        """Judge the rules by a new answer of so many points; returns who watches one that is different now.

        A rule that came while it was asked, and looks at more points, waits for the next one.
        """
        recovered = self._recover()
        seen = Seen(answer, at, self.key.period, points)
        changed: set[Hashable] = set()
        for view, state in self.rules.items():
            if view.rule.points <= points:
                memory = metric.Memory() if state.outcome is None else state.outcome.result.memory
                result = unseen.judge(view.rule, seen.series(view), memory, sight.seen, sight.why)
                if state.take(Outcome(result, at, asked, age)) or recovered:
                    changed |= state.watchers
        return changed

    def _known_verdict(self, name: str, outcome: Outcome[metric.MetricResult]) -> Verdict:
        return metric_verdict(name, outcome.result, outcome.at, self.key, outcome.age)


def metric_verdict(
    name: str, result: metric.MetricResult, at: datetime, key: QueryKey, age: timedelta = timedelta(0)
) -> Verdict:
    """The verdict for a metric alarm of this name that was judged up to `at`, by samples that much older."""
    if result.doubt:
        return unknown_verdict(name, result.doubt)
    doubt = "not enough data" if result.certainty is Certainty.Certain else "not enough data to change its state"
    return Verdict(
        state=result.state,
        certainty=result.certainty,
        evaluated_at=at,
        window=result.reach * key.period + lookback.lookback(key.text) + age,
        contributors=result.contributors,
        unknown=tuple(f"{name} {series}: {doubt}" for series in result.unknown),
        message=f"{name}: {result.message}",
        causes=tuple(Contributor(name, series) for series in result.contributors),
        unclear=(name,) if result.unknown else (),
    )


@dataclass(slots=True, eq=False)
class SharedRules(Shared[alerting.Selector, alerting.RuleResult]):
    """The alerting rules of one place."""

    key: RulesKey = field(kw_only=True)
    least_uptime: timedelta = timedelta(0)
    ages: Mapping[tuple[str, datetime], timedelta] = field(default_factory=dict)
    """How old the samples of an evaluation were, by query and moment, where a release rests on it."""

    @property
    def poll_key(self) -> RulesKey:
        """The place."""
        return self.key

    def judge(self, answer: RulesResult, at: datetime, asked: float) -> set[Hashable]:
        """Judge all selectors by a new answer; returns who watches one that is different now."""
        recovered = self._recover()
        uptime = alerting.Uptime(answer.started_at, self.least_uptime)
        changed: set[Hashable] = set()
        for selector, state in self.rules.items():
            result = alerting.judge(selector, answer.rules, answer.server_time or at, uptime, self.ages)
            if state.take(Outcome(result, at, asked)) or recovered:
                changed |= state.watchers
        return changed

    def _known_verdict(self, name: str, outcome: Outcome[alerting.RuleResult]) -> Verdict:
        return outcome.result.verdict(name)


def name_series(series: Series) -> str:
    """The labels of a series as Prometheus writes them, in a fixed order."""
    pairs = (f'{label}="{value}"' for label, value in sorted(series.labels.items()))
    return "{" + ", ".join(pairs) + "}"


def oldest_age(answer: QueryResult) -> timedelta:
    """The longest time between a moment and the sample that answers for it; the values are times of samples."""
    ages = (moment - value for series in answer.series for moment, value in series.points)
    return timedelta(seconds=max(0.0, max(ages, default=0.0)))


class Seen:
    """An answer, as each of its rules would have got it had it asked alone."""

    def __init__(self, answer: QueryResult, at: datetime, period: timedelta, points: int) -> None:
        self._lines: defaultdict[str, dict[str, metric.Points]] = defaultdict(dict)
        for series in answer.series:
            line = align(series, at, period, points)
            self._lines[""][name_series(series)] = line
            if member := series.labels.get(MEMBER):
                labels = {label: value for label, value in series.labels.items() if label != MEMBER}
                self._lines[member][name_series(Series(labels, ()))] = line
        self._tails: dict[tuple[str, int], dict[str, metric.Points]] = {}

    def series(self, view: View) -> Mapping[str, metric.Points]:
        """The series of a view with the points that its rule asks for; without those that have none there."""
        key = view.member, view.rule.points
        if key not in self._tails:
            tails = {name: line[-view.rule.points :] for name, line in self._lines.get(view.member, {}).items()}
            self._tails[key] = {name: tail for name, tail in tails.items() if any(each is not None for each in tail)}
        return self._tails[key]


def align(series: Series, at: datetime, period: timedelta, count: int) -> metric.Points:
    """The points of a series on the grid of the query, oldest first; None where there is none."""
    step, end = period.total_seconds(), at.timestamp()
    points: list[float | None] = [None] * count
    for moment, value in series.points:
        index = count - 1 - round((end - moment) / step)
        if 0 <= index < count:
            points[index] = value
    return points
