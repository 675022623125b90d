"""`Alarm`: one named fact about health (design 1; alarms-and-judge.md B4)."""

import enum
from datetime import datetime, timedelta
from typing import Annotated, Any, Self

import pydantic

from ombak.api.common import Condition, Model, StatusModel
from ombak.api.duration import Duration
from ombak.api.health import Certainty, State

MAX_PERIODS = 1440
"""Most evaluation periods of one alarm: a day of minutes."""
MIN_PERIOD = timedelta(seconds=1)
MAX_RANGE = timedelta(days=1)
"""Longest period x evaluationPeriods, and longest pendingPeriod and recoveryPeriod (CWUG: one day)."""
MAX_WARM_UP = timedelta(days=2)
"""Longest warmUp (CWAPI: 2880 minutes)."""
MAX_POINTS = 10_000
"""Most points of one evaluation; Prometheus gives at most 11,000 per series."""


class Comparison(enum.StrEnum):
    """When a point breaches; CloudWatch's names."""

    GREATER = "GreaterThanThreshold"
    GREATER_OR_EQUAL = "GreaterThanOrEqualToThreshold"
    LESS = "LessThanThreshold"
    LESS_OR_EQUAL = "LessThanOrEqualToThreshold"


class TreatMissingData(enum.StrEnum):
    """What a missing point counts as; CloudWatch's names."""

    MISSING = "missing"
    IGNORE = "ignore"
    BREACHING = "breaching"
    NOT_BREACHING = "notBreaching"


class Severity(enum.StrEnum):
    """Whether people are woken up for it (R62)."""

    HIGH = "High"
    LOW = "Low"


def _rules(*rules: tuple[str, str]) -> dict[str, Any]:
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


class MinSamples(Model):
    """How many samples have to stand behind an evaluation; with fewer the alarm is INSUFFICIENT_DATA.

    `query` counts them, over all its series together; `$(window)` in it is period x evaluationPeriods, as in
    `increase(http_requests_total{pod=~"$(pods)"}[$(window)])`. A quantile q means little below 10 / (1 - q)
    samples (CWUG: 20 for a median, 1000 for p99): that is the count to write where you know no better.
    """

    query: Annotated[str, pydantic.Field(min_length=1, max_length=8192)]
    """PromQL that counts them, with `$(window)` as the range."""
    count: Annotated[int, pydantic.Field(ge=1, le=1_000_000_000)]
    """So many there must be."""


class Metric(Model):
    """A query whose value is compared with a threshold: in ALARM when M of the last N points breach.

    The query may use `$(namespace)`, `$(name)`, `$(pods)`, `$(region)`, `$(zone)`, `$(artifact)` and `$(window)`.
    Each series it gives is judged on its own, and with `$(zone)` each zone of the Rollout. Do not compare in the
    query itself: it would be empty, hence unknown, when all is well.

    A series has to breach for all of `pendingPeriod` before it is in ALARM, and to be well for all of
    `recoveryPeriod` before it is OK again; one gap begins the count anew, and a series that begins, begins OK. For
    `warmUp` after the Alarm was made or changed it stays INSUFFICIENT_DATA.
    """

    model_config = pydantic.ConfigDict(
        json_schema_extra=_rules(
            (
                "!has(self.datapointsToAlarm) || self.datapointsToAlarm <= self.evaluationPeriods",
                "datapointsToAlarm (M) is more than evaluationPeriods (N): write M of at most N, "
                "or leave datapointsToAlarm out, it is N then",
            ),
            (
                "!self.period.matches('^(0+([.]0+)?(ms|s|m|h|d)?)+$')",
                "period is zero: write how often there is a point, such as 30s; it is at least 1s",
            ),
        )
    )

    query: Annotated[str, pydantic.Field(min_length=1, max_length=8192)]
    """PromQL that gives the value, without a comparison; each series is judged on its own."""
    comparison: Comparison
    """When a point breaches `threshold`."""
    threshold: Annotated[float, pydantic.Field(allow_inf_nan=False)]
    """What every point is compared with."""
    period: Duration = timedelta(seconds=30)
    """The time between two points, at least 1s."""
    evaluation_periods: Annotated[int, pydantic.Field(ge=1, le=MAX_PERIODS)] = 2
    """N: so many of the last points are looked at."""
    datapoints_to_alarm: Annotated[int, pydantic.Field(ge=1, le=MAX_PERIODS)] | None = None
    """M: so many of them have to breach; all N where it is left out."""
    treat_missing_data: TreatMissingData = TreatMissingData.MISSING
    min_samples: MinSamples | None = None
    pending_period: Duration = timedelta(0)
    """So long it has to breach before it is in ALARM, at most 1d."""
    recovery_period: Duration = timedelta(0)
    """So long it has to be well before it is OK again, at most 1d."""
    warm_up: Duration = timedelta(0)
    """So long after it was made or changed it stays unknown, at most 2d."""

    @pydantic.model_validator(mode="after")
    def _m_is_at_most_n(self) -> Self:
        if self.datapoints_to_alarm is not None and self.datapoints_to_alarm > self.evaluation_periods:
            msg = (
                f"datapointsToAlarm {self.datapoints_to_alarm} is more than evaluationPeriods "
                f"{self.evaluation_periods}; write M of at most N"
            )
            raise ValueError(msg)
        if self.period < MIN_PERIOD:
            msg = "period is shorter than 1s; write how often there is a point, such as 30s"
            raise ValueError(msg)
        if self.period * self.evaluation_periods > MAX_RANGE:
            msg = "period x evaluationPeriods is more than 1d; write a shorter period or fewer of them"
            raise ValueError(msg)
        return self

    @pydantic.model_validator(mode="after")
    def _times_are_in_range(self) -> Self:
        for name, value, most, text in (
            ("pendingPeriod", self.pending_period, MAX_RANGE, "1d"),
            ("recoveryPeriod", self.recovery_period, MAX_RANGE, "1d"),
            ("warmUp", self.warm_up, MAX_WARM_UP, "2d"),
        ):
            if value > most:
                msg = f"{name} is more than {text}; write a shorter one"
                raise ValueError(msg)
        if (self.pending_period + self.recovery_period) / self.period + self.evaluation_periods > MAX_POINTS:
            msg = (
                f"evaluationPeriods, pendingPeriod and recoveryPeriod together are more than {MAX_POINTS} periods; "
                "write a longer period"
            )
            raise ValueError(msg)
        return self


LabelValue = Annotated[str, pydantic.Field(max_length=1024)]
LabelKey = Annotated[str, pydantic.Field(min_length=1, max_length=317)]
RolloutLabel = Annotated[str, pydantic.Field(max_length=63)]


class AlertingRule(Model):
    """An alerting rule that the Prometheus has already, by its name, by labels of the rule, or by both.

    In ALARM while an instance of it fires, OK while none does (also while one is pending); of several rules that
    match, the worst. A rule that is missing, broken, late or was never evaluated is unknown, never OK.
    """

    model_config = pydantic.ConfigDict(
        json_schema_extra=_rules(
            (
                "has(self.name) || (has(self.matchLabels) && self.matchLabels.size() > 0)",
                "alertingRule selects nothing: write the name of the alerting rule, matchLabels, or both",
            ),
        )
    )

    name: Annotated[str, pydantic.Field(min_length=1, max_length=255)] | None = None
    """The name of the rule, as in `alert:` of the rule file."""
    match_labels: Annotated[dict[str, LabelValue], pydantic.Field(max_length=32)] = pydantic.Field(default_factory=dict)
    """Labels that the rule has, all of them."""

    @pydantic.model_validator(mode="after")
    def _selects_something(self) -> Self:
        if self.name is None and not self.match_labels:
            msg = "selects nothing; write the name of the alerting rule, matchLabels, or both"
            raise ValueError(msg)
        return self


class Source(Model):
    """The Prometheus to ask, by the name that the operator's configuration gives it."""

    name: Annotated[str, pydantic.Field(min_length=1, max_length=63)]
    """The name of an endpoint in the file of `--prometheus-config`."""


class Guards(Model):
    """The Rollouts that a team's alarm guards: those with all of these labels; none given means every one.

    Only those of the Alarm's own namespace, and of namespaces whose label `ombak.dev/team` is the same as its own's.
    """

    match_labels: Annotated[dict[LabelKey, RolloutLabel], pydantic.Field(max_length=16)] = pydantic.Field(
        default_factory=dict
    )
    """Labels that a Rollout has, all of them."""


class AlarmSpec(Model):
    """Exactly one of `metric`, `alertingRule` and `expression`, and whose it is.

    `source` names another Prometheus than the region's own, for `metric` and `alertingRule`.
    """

    model_config = pydantic.ConfigDict(
        json_schema_extra=_rules(
            (
                "(has(self.metric) ? 1 : 0) + (has(self.alertingRule) ? 1 : 0) + (has(self.expression) ? 1 : 0) == 1",
                "an Alarm is one fact: write exactly one of metric (a query and a threshold), alertingRule (a rule "
                'that Prometheus has) and expression (such as \'ALARM("errors") OR ALARM("latency")\')',
            ),
            (
                "!(has(self.source) && has(self.expression))",
                "an expression asks no Prometheus; leave source out, the Alarms that it names say theirs",
            ),
        )
    )

    metric: Metric | None = None
    alerting_rule: AlertingRule | None = None
    expression: Annotated[str, pydantic.Field(min_length=1, max_length=10_240)] | None = None
    """An expression over other Alarms, such as `ALARM("errors") OR ALARM("latency")`."""
    source: Source | None = None
    guards: Guards | None = None
    description: Annotated[str, pydantic.Field(max_length=1024)] = ""
    """What it means when it alarms, for people."""
    team: Annotated[str, pydantic.Field(max_length=63)] = ""
    """Whose it is, for people."""
    severity: Severity | None = None

    @pydantic.model_validator(mode="after")
    def _is_one_fact(self) -> Self:
        if [self.metric, self.alerting_rule, self.expression].count(None) != 2:
            msg = "an Alarm is one fact; write exactly one of metric, alertingRule and expression"
            raise ValueError(msg)
        if self.source is not None and self.expression is not None:
            msg = "an expression asks no Prometheus; leave source out, the Alarms that it names say theirs"
            raise ValueError(msg)
        return self


class AlarmStatus(StatusModel):
    """What was found; valid only if `observedGeneration` is the generation of the object.

    `detectionLatency` is how long after something went bad it can take until the state is ALARM while a release is
    under way: scrape, pending, the points that have to breach, and the poll. Conditions: `Evaluable` (the state is
    certain), `Unambiguous` (no AND and OR mixed), `QuerySound` (no trap of PromQL in it), and of an expression
    `ChildrenResolved` (every Alarm that it names exists) and `AcyclicRule`.
    """

    observed_generation: int = 0
    """The rest speaks of this generation of the spec."""
    state: State | None = None
    certainty: Certainty | None = None
    since: datetime | None = None
    """Since when it is in this state."""
    contributors: tuple[str, ...] = ()
    """What is in ALARM and made it so: series, or Alarms of an expression."""
    unknown_children: tuple[str, ...] = ()
    """What is not known, each with the reason."""
    detection_latency: Duration | None = None
    """How long after something went bad it may take until it is in ALARM, while a release is on its way."""
    warm_up_until: datetime | None = None
    """Until then it stays unknown, because it is new."""
    message: str = ""
    """What was found, in a sentence, with the numbers."""
    conditions: tuple[Condition, ...] = ()
    """What is good or wrong about the Alarm itself."""
