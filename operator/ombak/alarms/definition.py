"""An Alarm as the evaluator needs it: its spec, checked once, with everything that is derived from it."""

import dataclasses
from datetime import timedelta
from typing import TypeAlias

from ombak.alarms import alerting, lookback, metric, parser, syntax, template, traps
from ombak.api.alarm import AlarmSpec, AlertingRule, Comparison, Metric, TreatMissingData

REGION = ""
"""The endpoint of an Alarm that names no source: the region's own Prometheus."""


MEMBER = "ombak_member"
"""The label that tells apart what was asked for many at once."""


@dataclasses.dataclass(frozen=True, slots=True)
class Samples:
    """How many samples an evaluation needs, and the query that counts them over `window`."""

    query: str
    count: int
    window: timedelta

    @property
    def rule(self) -> metric.Rule:
        """In ALARM when there are too few; none at all are too few."""
        return metric.Rule(Comparison.LESS, self.count, n=1, m=1, missing=TreatMissingData.BREACHING)


@dataclasses.dataclass(frozen=True, slots=True)
class Crowd:
    """The same asked for many at once: the series of `member` are those with it in the label MEMBER."""

    query: str
    samples: str
    member: str


@dataclasses.dataclass(frozen=True, slots=True)
class MetricAlarm:
    """A query template and the rule that judges its series; `traps` are sentences with what to write instead."""

    query: str
    period: timedelta
    rule: metric.Rule
    source: str = REGION
    samples: Samples | None = None
    warm_up: timedelta = timedelta(0)
    traps: tuple[str, ...] = ()
    crowd: Crowd | None = None

    @property
    def queries(self) -> tuple[str, ...]:
        """What it asks."""
        return (self.query,) if self.samples is None else (self.query, self.samples.query)

    @property
    def is_context_free(self) -> bool:
        """Whether it means the same for everybody, so that the Alarm has a state of its own."""
        return all(map(template.is_context_free, self.queries))

    @property
    def is_by_zone(self) -> bool:
        """Whether it means something else for each zone."""
        return any("zone" in template.variables(query) for query in self.queries)

    @property
    def time_to_alarm(self) -> timedelta:
        """From the first bad point until M are bad for the pending period."""
        return (self.rule.m - 1 + self.rule.pending) * self.period


@dataclasses.dataclass(frozen=True, slots=True)
class RuleAlarm:
    """Alerting rules that a Prometheus has."""

    selector: alerting.Selector
    source: str = REGION


@dataclasses.dataclass(frozen=True, slots=True)
class ExpressionAlarm:
    """An expression over other alarms, and what a reader could misunderstand in it."""

    expression: syntax.Expression
    warnings: tuple[str, ...] = ()
    is_by_zone: bool = False
    """It stands for one metric alarm, asked for each zone (see `zoned`), and so can lack data as that can."""


LeafAlarm: TypeAlias = MetricAlarm | RuleAlarm
"""What is asked of a Prometheus."""
Definition: TypeAlias = LeafAlarm | ExpressionAlarm


def define(spec: AlarmSpec, region: str | None = None) -> Definition:
    """The checked definition; raises AlarmError, whose text is meant for the person who wrote the spec.

    `region` is the name of this region, if it has one: its own alarms may be called by it.
    """
    source = spec.source.name if spec.source is not None else REGION
    if spec.metric is not None:
        return _define_metric(spec.metric, source)
    if spec.alerting_rule is not None:
        return _define_rule(spec.alerting_rule, source)
    assert spec.expression is not None
    parsed = parser.parse(spec.expression)
    return ExpressionAlarm(syntax.in_region(parsed.expression, region), parsed.warnings)


def _define_metric(spec: Metric, source: str) -> MetricAlarm:
    lookback.check_query(spec.query)
    rule = metric.Rule(
        comparison=spec.comparison,
        threshold=spec.threshold,
        n=spec.evaluation_periods,
        m=spec.datapoints_to_alarm or spec.evaluation_periods,
        missing=spec.treat_missing_data,
        pending=_periods(spec.pending_period, spec.period),
        recovery=_periods(spec.recovery_period, spec.period),
    )
    found = traps.find_traps(spec.query, spec.treat_missing_data)
    return MetricAlarm(spec.query, spec.period, rule, source, _define_samples(spec), spec.warm_up, found)


def _define_samples(spec: Metric) -> Samples | None:
    if spec.min_samples is None:
        return None
    lookback.check_query(spec.min_samples.query)
    return Samples(spec.min_samples.query, spec.min_samples.count, spec.period * spec.evaluation_periods)


def _define_rule(spec: AlertingRule, source: str) -> RuleAlarm:
    return RuleAlarm(alerting.Selector(spec.name or "", tuple(sorted(spec.match_labels.items()))), source)


def _periods(length: timedelta, period: timedelta) -> int:
    """How many periods have to pass until it is over."""
    return -(-length // period)
