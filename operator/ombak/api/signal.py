"""`signals` of a Rollout: one line each, from which the service's alarm and the one box's are made (design 1, R63)."""

import re
from datetime import timedelta
from typing import Annotated, Any, Self

import pydantic
from pydantic_core import core_schema

from ombak.api.common import Model, rule, rules
from ombak.api.duration import Duration, parse_duration

MAX_SIGNALS = 16
MAX_PERIODS = 100
MIN_PERIOD, MAX_PERIOD = timedelta(seconds=1), timedelta(hours=1)

_NUMBER = r"-?[0-9]{1,15}([.][0-9]{1,9})?"
_THRESHOLD = re.compile(rf"^{_NUMBER}(%|ms|s|m|h|d)?$")
_THRESHOLD_WANTED = 'must be a share, a time or a number; write for example 1%, 500ms, 100 or "0.5" (in quotes)'
_ONE_KIND = (
    "a signal measures one thing: write exactly one of ratio (bad and total), quantile (of and q) and query "
    "(PromQL that gives a number)"
)
_ONE_SIDE = "a signal has one limit: write above (it is bad when more) or below (it is bad when less), one of the two"
_RATIO_IS_SHARE = "a ratio is at most 1, so a whole number says nothing; write a share such as 1%"
_M_OF_N = "datapointsToAlarm (M) is more than evaluationPeriods (N): write M of at most N"
_COUNTED = "minSamples counts what a ratio or a quantile is made of; a query counts its own, leave minSamples out"
NO_ZONE = (
    "$(zone) has no value in a signal, which speaks of all zones: write an Alarm with it, which is asked for each of "
    "them, or group by the label of the zone, since each series is judged on its own"
)


class _ThresholdSchema:
    """Reads `1%`, `500ms` and `0.5` into a number: shares of 1, seconds, or as it is."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(_threshold)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        # A rule would have a sentence, but a text beside an integer has no length that the API server could count on,
        # and the rules of sixteen signals would then be too dear for it. It says the pattern instead.
        return {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": _THRESHOLD.pattern,
        }


def _threshold(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = _THRESHOLD.fullmatch(value) if isinstance(value, str) else None
    if match is None or not isinstance(value, str):
        raise ValueError(f"{value!r} {_THRESHOLD_WANTED}")
    unit = match.group(2) or ""
    number = value.removesuffix(unit)
    if unit in ("", "%"):
        return float(number) / (100 if unit else 1)
    length = parse_duration(value.removeprefix("-")).total_seconds()
    return -length if value.startswith("-") else length


Threshold = Annotated[float, _ThresholdSchema]
"""A limit: a share (`1%` is 0.01), a time in Prometheus' seconds (`500ms` is 0.5), or a plain number."""
Selector = Annotated[str, pydantic.Field(min_length=1, max_length=2048)]


class Ratio(Model):
    """The share of `bad` in `total`, two selectors of counters. None bad yet is 0 where the total has samples."""

    bad: Annotated[Selector, pydantic.Field(description='Such as `http_requests_total{code=~"5.."}`.')]
    total: Annotated[Selector, pydantic.Field(description="Such as `http_requests_total`.")]


class Quantile(Model):
    """A quantile of a histogram: `of` selects its buckets, `q` is 0.99 for p99."""

    of: Annotated[Selector, pydantic.Field(description="Such as `http_request_duration_seconds_bucket`.")]
    q: Annotated[float, pydantic.Field(gt=0, lt=1)]
    """Which quantile, such as 0.99."""


class Signal(Model):
    """One measure of health and its limit, watched for all boxes and for the one box by itself.

    Selectors are scoped to the namespace and the pods of the Rollout by the operator. A `query` that uses `$(pods)`
    is asked as it is written, any other has each of its selectors scoped too; it should give one number. `ratio` and
    `quantile` look at four periods with every point.
    """

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            rule(
                "(has(self.ratio) ? 1 : 0) + (has(self.quantile) ? 1 : 0) + (has(self.query) ? 1 : 0) == 1", _ONE_KIND
            ),
            rule("has(self.above) != has(self.below)", _ONE_SIDE),
            rule("!has(self.ratio) || !has(self.above) || type(self.above) == string", _RATIO_IS_SHARE, ".above"),
            rule(
                "(has(self.datapointsToAlarm) ? self.datapointsToAlarm : 1) <= "
                "(has(self.evaluationPeriods) ? self.evaluationPeriods : 3)",
                _M_OF_N,
            ),
            rule("!has(self.minSamples) || !has(self.query)", _COUNTED),
            rule("!has(self.query) || !self.query.contains('$(zone)')", NO_ZONE),
        )
    )

    name: Annotated[
        str, pydantic.Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
    ]
    """By which status and messages name it."""
    ratio: Ratio | None = None
    quantile: Quantile | None = None
    query: Annotated[str, pydantic.Field(min_length=1, max_length=4096)] | None = None
    """Any PromQL that gives one number."""
    above: Annotated[
        Threshold | None, pydantic.Field(description='Bad when more: `1%`, `500ms`, `100` or `"0.5"`, in quotes.')
    ] = None
    below: Annotated[Threshold | None, pydantic.Field(description="Bad when less, written like above.")] = None
    period: Annotated[Duration, pydantic.Field(description="Between two points, 1s to 1h.")] = timedelta(seconds=30)
    evaluation_periods: Annotated[
        int, pydantic.Field(ge=1, le=MAX_PERIODS, description="N: so many of the last points are looked at.")
    ] = 3
    datapoints_to_alarm: Annotated[
        Annotated[int, pydantic.Field(ge=1, le=MAX_PERIODS)] | None,
        pydantic.Field(description="M: so many of them have to be bad. Default: 2, or 1 where N is 1."),
    ] = None
    min_samples: Annotated[
        Annotated[int, pydantic.Field(ge=1, le=1_000_000_000)] | None,
        pydantic.Field(
            description="With fewer requests behind an evaluation the signal is unknown. Default: 10 for a ratio, "
            "1 / (1 - q) for a quantile."
        ),
    ] = None

    @property
    def m(self) -> int:
        """How many of the last points have to be bad."""
        return self.datapoints_to_alarm or min(2, self.evaluation_periods)

    @pydantic.model_validator(mode="after")
    def _is_one_measure(self) -> Self:
        if [self.ratio, self.quantile, self.query].count(None) != 2:
            raise ValueError(_ONE_KIND)
        if (self.above is None) == (self.below is None):
            raise ValueError(_ONE_SIDE)
        if self.ratio is not None and self.above is not None and self.above >= 1:
            raise ValueError(_RATIO_IS_SHARE)
        if self.query is not None and self.min_samples is not None:
            raise ValueError(_COUNTED)
        return self

    @pydantic.model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.m > self.evaluation_periods:
            raise ValueError(_M_OF_N)
        if not MIN_PERIOD <= self.period <= MAX_PERIOD:
            raise ValueError("period must be from 1s to 1h; write how often there is a point, such as 30s")
        return self


def _names_differ(value: "tuple[Signal, ...]") -> "tuple[Signal, ...]":
    names = [signal.name for signal in value]
    if len(set(names)) != len(names):
        raise ValueError("two signals have the same name; give each its own")
    return value


SignalList = Annotated[
    tuple[Signal, ...],
    pydantic.Field(
        min_length=1,
        max_length=MAX_SIGNALS,
        description="Measures of health; each becomes two alarms, that of all boxes and that of the one box.",
    ),
    pydantic.AfterValidator(_names_differ),
]
Signals = Annotated[
    SignalList,
    pydantic.Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
]
"""The same, each of which may be applied by somebody else."""
