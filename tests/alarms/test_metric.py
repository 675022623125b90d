"""Metric alarms over several series (the tables for one are in the compliance suite)."""

import math

import pytest

from ombak.alarms.metric import NOTHING, Memory, MetricResult, Points, Rule, judge, judge_series
from ombak.api.alarm import Comparison, TreatMissingData
from ombak.api.health import Certainty, State

RULE = Rule(Comparison.GREATER, 1.0, n=2, m=2)
FINE, BAD, GAP = (0.0,) * 4, (2.0,) * 4, (None,) * 4


def _judge(series: dict[str, Points], memory: Memory | None = None, rule: Rule = RULE) -> MetricResult:
    return judge(rule, series, memory or Memory())


@pytest.mark.parametrize(
    ("series", "state", "certainty", "contributors", "unknown"),
    [
        pytest.param({"a": FINE, "b": FINE}, State.OK, Certainty.Certain, (), (), id="all fine"),
        pytest.param({"a": FINE, "b": BAD}, State.ALARM, Certainty.Certain, ("b",), (), id="one bad"),
        pytest.param({"a": FINE, "b": GAP}, State.OK, Certainty.Uncertain, (), ("b",), id="one without data"),
        pytest.param({"a": BAD, "b": GAP}, State.ALARM, Certainty.Certain, ("a",), ("b",), id="bad beside no data"),
        pytest.param({"a": GAP}, State.INSUFFICIENT_DATA, Certainty.Certain, (), ("a",), id="only gaps"),
        pytest.param({}, State.INSUFFICIENT_DATA, Certainty.Certain, (), (NOTHING,), id="no series"),
    ],
)
def test_the_alarm_is_the_or_over_its_series(
    series: dict[str, Points],
    state: State,
    certainty: Certainty,
    contributors: tuple[str, ...],
    unknown: tuple[str, ...],
) -> None:
    """ALARM if any is, certainly OK only if every one is known to be."""
    found = _judge(series)
    assert (state, certainty) == (found.state, found.certainty)
    assert (contributors, unknown) == (found.contributors, found.unknown)


@pytest.mark.parametrize(
    ("option", "state", "certainty"),
    [
        pytest.param(TreatMissingData.MISSING, State.INSUFFICIENT_DATA, Certainty.Certain, id="missing"),
        pytest.param(TreatMissingData.IGNORE, State.OK, Certainty.Uncertain, id="ignore"),
        pytest.param(TreatMissingData.BREACHING, State.ALARM, Certainty.Certain, id="breaching"),
        pytest.param(TreatMissingData.NOT_BREACHING, State.OK, Certainty.Certain, id="notBreaching"),
    ],
)
def test_no_series_at_all_is_all_points_missing(option: TreatMissingData, state: State, certainty: Certainty) -> None:
    """Also where there was one before; a state that is only kept is no evaluation."""
    rule = Rule(Comparison.GREATER, 1.0, n=2, m=2, missing=option)
    found = _judge({}, Memory(State.OK, {"a": State.OK}), rule)
    assert (state, certainty) == (found.state, found.certainty)


def test_a_new_series_that_breaches_once_is_not_certain_yet() -> None:
    """A box that just came: neither OK nor ALARM before it had the time for M points."""
    found = _judge({"old": FINE, "new": (None, None, None, 2.0)})
    assert (State.OK, Certainty.Uncertain, ("new",)) == (found.state, found.certainty, found.unknown)


def test_a_kept_state_is_remembered_per_series() -> None:
    """What the points cannot say comes from the judgement before, series by series."""
    sparse = {"a": (None, None, None, 2.0), "b": (None, None, None, 2.0)}
    memory = Memory(State.ALARM, {"a": State.ALARM, "b": State.OK})
    found = _judge(sparse, memory)
    assert (State.ALARM, Certainty.Uncertain, ("a",)) == (found.state, found.certainty, found.contributors)
    assert found.memory.series == {"a": State.ALARM, "b": State.OK}


@pytest.mark.parametrize(
    ("comparison", "breaching"),
    [
        pytest.param(Comparison.GREATER, [2.0, math.inf], id="greater"),
        pytest.param(Comparison.GREATER_OR_EQUAL, [1.0, 2.0, math.inf], id="greater or equal"),
        pytest.param(Comparison.LESS, [-math.inf, 0.0], id="less"),
        pytest.param(Comparison.LESS_OR_EQUAL, [-math.inf, 0.0, 1.0], id="less or equal"),
    ],
)
def test_infinities_are_values(comparison: Comparison, breaching: list[float]) -> None:
    """CloudWatch's four comparisons with the threshold 1."""
    rule = Rule(comparison, 1.0, n=1, m=1)
    assert breaching == [v for v in (-math.inf, 0.0, 1.0, 2.0, math.inf) if rule.breaches(v)]


def test_nan_is_a_missing_point() -> None:
    """0/0 of a box without traffic says nothing."""
    with_nan = judge_series(RULE, (2.0, math.nan, 2.0, math.nan), State.OK)
    with_gap = judge_series(RULE, (2.0, None, 2.0, None), State.OK)
    assert with_gap == with_nan


@pytest.mark.parametrize(
    ("points", "reach"),
    [
        pytest.param((0.0, 0.0, 0.0, 0.0), 2, id="the last N"),
        pytest.param((0.0, None, None, 0.0), 4, id="an old one fills the gap"),
        pytest.param((None, None, None, 0.0), 2, id="never less than N"),
        pytest.param((), 2, id="nothing"),
    ],
)
def test_the_reach_says_how_old_the_data_is(points: Points, reach: int) -> None:
    """Evidence must not rest on points from before a step without saying so."""
    assert reach == judge_series(RULE, points, State.OK).reach


def test_the_message_has_the_numbers_of_the_worst_series() -> None:
    """What a person wants to know at first sight."""
    found = _judge({'{pod="a"}': (0.0, 0.0, 0.5, 2.0), '{pod="b"}': BAD, '{pod="c"}': (0.0, 0.0, 3.0, 1.5)})
    assert found.message == '2 for {pod="b"} (alarms when > 1; 2 of 2 points breach, 2 of 2 needed, 2 of 3 series)'
