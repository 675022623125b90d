"""An Alarm as the evaluator needs it: its spec, checked once, with everything that is derived from it."""

import dataclasses
from datetime import timedelta
from typing import TypeAlias

from ombak.alarms import lookback, metric, parser, syntax, template
from ombak.api.alarm import AlarmSpec, Metric


@dataclasses.dataclass(frozen=True, slots=True)
class MetricAlarm:
    """A query template and the rule that judges its series."""

    query: str
    period: timedelta
    rule: metric.Rule

    @property
    def is_context_free(self) -> bool:
        """Whether it means the same for everybody, so that the Alarm has a state of its own."""
        return template.is_context_free(self.query)


@dataclasses.dataclass(frozen=True, slots=True)
class ExpressionAlarm:
    """An expression over other alarms, and what a reader could misunderstand in it."""

    expression: syntax.Expression
    warnings: tuple[str, ...] = ()


Definition: TypeAlias = MetricAlarm | ExpressionAlarm


def define(spec: AlarmSpec) -> Definition:
    """The checked definition; raises AlarmError, whose text is meant for the person who wrote the spec."""
    if spec.metric is not None:
        return _define_metric(spec.metric)
    assert spec.expression is not None
    parsed = parser.parse(spec.expression)
    return ExpressionAlarm(parsed.expression, parsed.warnings)


def _define_metric(spec: Metric) -> MetricAlarm:
    lookback.check_query(spec.query)
    rule = metric.Rule(
        comparison=spec.comparison,
        threshold=spec.threshold,
        n=spec.evaluation_periods,
        m=spec.datapoints_to_alarm or spec.evaluation_periods,
        missing=spec.treat_missing_data,
    )
    return MetricAlarm(spec.query, spec.period, rule)
