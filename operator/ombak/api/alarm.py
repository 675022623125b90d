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
"""Longest period x evaluationPeriods (CWUG: one day)."""


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


class Metric(Model):
    """A query whose value is compared with a threshold: in ALARM when M of the last N points breach.

    The query may use `$(namespace)`, `$(name)`, `$(pods)`, `$(zone)`, `$(artifact)` and `$(window)`; each
    series it gives is judged on its own. Do not compare in the query itself: it would be empty, hence
    unknown, when all is well.
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
    comparison: Comparison
    threshold: Annotated[float, pydantic.Field(allow_inf_nan=False)]
    period: Duration = timedelta(seconds=30)
    evaluation_periods: Annotated[int, pydantic.Field(ge=1, le=MAX_PERIODS)] = 2
    datapoints_to_alarm: Annotated[int, pydantic.Field(ge=1, le=MAX_PERIODS)] | None = None
    treat_missing_data: TreatMissingData = TreatMissingData.MISSING

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


class AlarmSpec(Model):
    """Exactly one of `metric` and `expression`, and whose it is."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=_rules(
            (
                "has(self.metric) != has(self.expression)",
                "an Alarm is one fact: write exactly one of metric (a query and a threshold) "
                'and expression (such as \'ALARM("errors") OR ALARM("latency")\')',
            ),
        )
    )

    metric: Metric | None = None
    expression: Annotated[str, pydantic.Field(min_length=1, max_length=10_240)] | None = None
    description: Annotated[str, pydantic.Field(max_length=1024)] = ""
    team: Annotated[str, pydantic.Field(max_length=63)] = ""
    severity: Severity | None = None

    @pydantic.model_validator(mode="after")
    def _is_one_fact(self) -> Self:
        if (self.metric is None) == (self.expression is None):
            msg = "an Alarm is one fact; write exactly one of metric and expression"
            raise ValueError(msg)
        return self


class AlarmStatus(StatusModel):
    """What was found; valid only if `observedGeneration` is the generation of the object."""

    observed_generation: int = 0
    state: State | None = None
    certainty: Certainty | None = None
    since: datetime | None = None
    contributors: tuple[str, ...] = ()
    unknown_children: tuple[str, ...] = ()
    message: str = ""
    conditions: tuple[Condition, ...] = ()
