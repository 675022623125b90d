"""Points of which nothing is known: what is said all the same would be said however they were."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ombak.alarms import metric, unseen
from ombak.alarms.metric import Memory, Rule
from ombak.api.alarm import Comparison, TreatMissingData
from ombak.api.health import Certainty, State

POINT = st.sampled_from((None, 0.0, 2.0))
RULES = st.builds(
    lambda n, m, missing, pending, recovery, comparison: Rule(comparison, 1, n, min(n, m), missing, pending, recovery),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from(TreatMissingData),
    st.integers(0, 1),
    st.integers(0, 1),
    st.sampled_from((Comparison.GREATER, Comparison.LESS)),
)


def judge(rule: Rule, points: list[float | None], seen: list[bool], name: str = "a") -> metric.MetricResult:
    series = {name: points} if any(point is not None for point in points) else {}
    return unseen.judge(rule, series, Memory(), seen, "nothing was scraped")


@given(RULES, st.data())
def test_what_is_certain_holds_for_every_value_of_the_unseen_points(rule: Rule, data: st.DataObject) -> None:
    """By trying them all."""
    points = data.draw(st.lists(POINT, min_size=rule.points, max_size=rule.points))
    seen = data.draw(st.lists(st.booleans(), min_size=rule.points, max_size=rule.points))
    shown = [point if known else None for point, known in zip(points, seen, strict=True)]
    found = judge(rule, shown, seen)
    if found.doubt or found.certainty is Certainty.Uncertain:
        return
    gaps = [index for index, known in enumerate(seen) if not known]
    for values in itertools.product((0.0, 2.0), repeat=min(len(gaps), 6)):
        tried = list(shown)
        for index, value in zip(gaps, values, strict=False):
            tried[index] = value
        if len(gaps) <= 6 and any(value is not None for value in tried):
            assert metric.judge(rule, {"a": tried}, Memory()).state is found.state


@given(RULES, st.data())
def test_where_all_is_seen_nothing_is_different(rule: Rule, data: st.DataObject) -> None:
    """The tables of missing data hold as they are."""
    points = data.draw(st.lists(POINT, min_size=rule.points, max_size=rule.points))
    series = {"a": points} if any(point is not None for point in points) else {}
    assert judge(rule, points, [True] * rule.points) == metric.judge(rule, series, Memory())


@pytest.mark.parametrize("missing", list(TreatMissingData))
@pytest.mark.parametrize("newest", [None, 0.0, 2.0])
def test_the_newest_point_has_to_be_seen(missing: TreatMissingData, newest: float | None) -> None:
    """Neither OK nor ALARM of a moment at which nothing was scraped, whatever missing points mean."""
    rule = Rule(Comparison.GREATER, 1, 1, 1, missing)
    found = judge(rule, [0.0, 0.0, newest], [True, True, False])
    assert (found.state, found.certainty, found.doubt) == (
        State.INSUFFICIENT_DATA,
        Certainty.Uncertain,
        "nothing was scraped",
    )


@pytest.mark.parametrize(
    ("last", "unseen_one", "newest", "state"),
    [
        pytest.param(2.0, None, 2.0, State.ALARM, id="bad enough without it"),
        pytest.param(0.0, None, 0.0, State.OK, id="one of three does not matter"),
        pytest.param(2.0, None, 0.0, None, id="it decides"),
    ],
)
def test_what_does_not_hang_on_it_is_known(last: float, unseen_one: None, newest: float, state: State | None) -> None:
    """Two bad ones of three are needed; one of them was not seen."""
    rule = Rule(Comparison.GREATER, 1, 3, 2)
    found = judge(rule, [0.0, 0.0, last, unseen_one, newest], [True, True, True, False, True])
    assert found.state is (state or State.INSUFFICIENT_DATA)
    assert bool(found.doubt) is (state is None)
    assert "inf" not in found.message
