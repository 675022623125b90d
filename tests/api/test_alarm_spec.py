"""Specs of Alarms: what is taken, what is refused and with which words."""

from datetime import timedelta
from typing import Any

import pydantic
import pytest

from ombak.api.alarm import AlarmSpec, Comparison, TreatMissingData

METRIC = {"query": "up", "comparison": "GreaterThanThreshold", "threshold": 0.01}


def test_the_shortest_metric_alarm_has_sensible_defaults() -> None:
    """Half-minute points, two of two, and missing data is missing."""
    metric = AlarmSpec.model_validate({"metric": METRIC}).metric
    assert metric is not None
    assert (metric.period, metric.evaluation_periods) == (timedelta(seconds=30), 2)
    assert (metric.comparison, metric.treat_missing_data) == (Comparison.GREATER, TreatMissingData.MISSING)
    assert metric.datapoints_to_alarm is None


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param({}, "exactly one of metric, alertingRule and expression", id="none"),
        pytest.param({"metric": METRIC, "expression": "TRUE"}, "exactly one of", id="both"),
        pytest.param({"metric": {**METRIC, "datapointsToAlarm": 3}}, "write M of at most N", id="M above N"),
        pytest.param({"metric": {**METRIC, "period": "0s"}}, "shorter than 1s", id="no period"),
        pytest.param({"metric": {**METRIC, "period": "999ms"}}, "shorter than 1s", id="a short period"),
        pytest.param({"metric": {**METRIC, "period": "1h", "evaluationPeriods": 25}}, "more than 1d", id="too long"),
        pytest.param({"metric": {**METRIC, "period": 30}}, "90s, 5m or 1h30m", id="a period without a unit"),
        pytest.param({"metric": {**METRIC, "threshold": "nan"}}, "finite", id="a threshold that is no number"),
        pytest.param({"metric": {**METRIC, "comparison": ">"}}, "GreaterThanThreshold", id="a sign"),
        pytest.param({"metric": {**METRIC, "treshold": 1}}, "Extra inputs", id="a misspelled field"),
        pytest.param({"metric": {**METRIC, "pendingPeriod": "25h"}}, "pendingPeriod is more than 1d", id="pending"),
        pytest.param({"metric": {**METRIC, "recoveryPeriod": "2d"}}, "recoveryPeriod is more than", id="recovery"),
        pytest.param({"metric": {**METRIC, "warmUp": "49h"}}, "warmUp is more than 2d", id="warm-up"),
        pytest.param(
            {"metric": {**METRIC, "period": "1s", "pendingPeriod": "3h"}}, "write a longer period", id="too many points"
        ),
        pytest.param({"metric": {**METRIC, "minSamples": {"query": "x"}}}, "count", id="samples without a count"),
        pytest.param({"alertingRule": {}}, "selects nothing", id="no rule"),
        pytest.param({"alertingRule": {"matchLabels": {}}}, "selects nothing", id="no labels"),
        pytest.param({"alertingRule": {"name": "x"}, "expression": "TRUE"}, "exactly one of", id="rule and expression"),
        pytest.param({"expression": "TRUE", "source": {"name": "x"}}, "leave source out", id="source"),
        pytest.param({"expression": ""}, "at least 1 character", id="an empty expression"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(spec: dict[str, Any], says: str) -> None:
    """Each with a sentence that says what to write."""
    with pytest.raises(pydantic.ValidationError, match=says):
        AlarmSpec.model_validate(spec)
