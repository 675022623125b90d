"""Pending and recovery periods, found from the points alone."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ombak.alarms.metric import Memory, Rule, judge, judge_series
from ombak.alarms.persistence import settle
from ombak.api.alarm import Comparison, TreatMissingData
from ombak.api.health import Certainty, State

SIGNS = {"A": State.ALARM, "O": State.OK, "-": State.INSUFFICIENT_DATA, "?": None}
WORDS = {**SIGNS, "?": None}


@pytest.mark.parametrize(
    ("moments", "pending", "recovery", "expected"),
    [
        pytest.param("OOOA", 0, 0, "A", id="at once"),
        pytest.param("OOAA", 2, 1, "O", id="not yet for long enough"),
        pytest.param("OAAA", 2, 1, "A", id="for long enough"),
        pytest.param("AAAO", 2, 1, "A", id="not yet well for long enough"),
        pytest.param("AAAOO", 2, 1, "O", id="well for long enough"),
        pytest.param("OOAAOAA", 2, 0, "O", id="a good moment begins the count anew"),
        pytest.param("OAA-AA", 2, 0, "O", id="a gap begins the count anew"),
        pytest.param("AAA-O", 2, 1, "A", id="a gap is no recovery"),
        pytest.param("AAAO-O", 2, 1, "A", id="a gap begins the recovery anew"),
        pytest.param("AAAA-", 2, 0, "-", id="no data now"),
        pytest.param("AAAA?", 2, 0, "?", id="the last points do not tell"),
        pytest.param("--AA", 2, 0, "O", id="a series that begins begins OK"),
        pytest.param("AOAOAO", 1, 1, "?", id="flapping since before the first moment"),
        pytest.param("OOAOAO", 1, 1, "O", id="flapping since it was well"),
        pytest.param("AAOAOA", 1, 1, "A", id="flapping since it was bad"),
    ],
)
def test_the_state_follows_when_it_has_lasted(moments: str, pending: int, recovery: int, expected: str) -> None:
    """Oldest first; `?` says that the moments cannot tell."""
    assert SIGNS[expected] == settle([SIGNS[sign] for sign in moments], pending, recovery).state


def _rule(pending: int = 3, recovery: int = 2, **changes: object) -> Rule:
    return Rule(Comparison.GREATER, 1.0, 2, 2, TreatMissingData.MISSING, pending, recovery)


def test_a_restart_changes_no_certain_state() -> None:
    """A process that has followed a series from its beginning and one that just came agree wherever it is certain."""
    rule, chance, agreed = _rule(), random.Random(4), 0
    for _ in range(200):
        values: list[float | None] = [0.0] * rule.points
        level, state, bad, well = 0.0, State.OK, 0, 0
        for _ in range(80):
            if chance.random() < 0.15:
                level = 2.0 - level
            values.append(level)
            raw_bad = all((value or 0) > 1 for value in values[-2:])
            bad, well = (bad + 1, 0) if raw_bad else (0, well + 1)
            state = State.ALARM if bad > rule.pending else State.OK if well > rule.recovery else state
            fresh = judge_series(rule, values[-rule.points :], State.INSUFFICIENT_DATA)
            if not fresh.kept:
                agreed += 1
                assert state == fresh.state
    assert agreed > 200 * 80 * 0.8


def test_the_window_covers_the_pending_period_only_while_it_is_pending() -> None:
    """A box that was bad from its first moment must have had the time to be in ALARM; a good one needs no more."""
    rule = _rule()
    pending = judge_series(rule, (0.0,) * 7 + (2.0, 2.0), State.OK)
    well = judge_series(rule, (0.0,) * 9, State.OK)
    assert (pending.state, pending.is_pending, pending.reach) == (State.OK, True, 5)
    assert (well.state, well.is_pending, well.reach) == (State.OK, False, 2)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 6), st.integers(0, 4), st.floats(0, 1, exclude_max=True))
def test_no_step_passes_an_alarm_that_is_on_its_way(n: int, m: int, pending: int, recovery: int, off: float) -> None:
    """What is bad since a step is in ALARM before there is evidence of OK from after it, whatever that takes (B4.7)."""
    rule = Rule(Comparison.GREATER, 1.0, n, min(n, m), TreatMissingData.MISSING, pending, recovery)
    for periods in range(n + pending + 3):
        now = periods + off
        points = [2.0 if now - back >= 0 else 0.0 for back in reversed(range(rule.points))]
        found = judge_series(rule, points, State.OK)
        assert found.state is State.ALARM or now - found.reach < 0
    assert found.state is State.ALARM


def test_a_series_that_ended_is_no_series_without_data() -> None:
    """The points that pending asks for are older than any box that was replaced."""
    rule = _rule()
    gone, there = (0.0,) * 5 + (None,) * 4, (0.0,) * 9
    found = judge(rule, {"old": gone, "new": there}, Memory())
    assert (found.state, found.certainty, found.series) == (State.OK, Certainty.Certain, 1)
    assert judge(rule, {"old": gone}, Memory()).state is State.INSUFFICIENT_DATA


@pytest.mark.parametrize("missing", TreatMissingData)
def test_the_quick_way_over_whole_windows_changes_nothing(missing: TreatMissingData) -> None:
    """Windows without a gap are counted by differences; the same windows one by one give the same states."""
    chance = random.Random(7)
    rule = Rule(Comparison.GREATER, 1.0, 3, 2, missing, pending=4, recovery=3)
    plain = Rule(Comparison.GREATER, 1.0, 3, 2, missing)
    for _ in range(300):
        points = [None if chance.random() < 0.1 else chance.choice((0.0, 2.0)) for _ in range(rule.points)]
        moments = []
        for end in range(rule.range, rule.points + 1):
            one = judge_series(plain, points[end - rule.range : end], State.OK)
            moments.append(None if one.kept else one.state)
        expected = settle(moments, rule.pending, rule.recovery).state
        found = judge_series(rule, points, State.OK)
        assert (None if found.kept else found.state) == expected


def test_the_message_says_that_it_is_pending() -> None:
    """Else nobody would understand an OK with all points breaching."""
    found = judge(_rule(), {"{}": (0.0,) * 7 + (2.0, 2.0)}, Memory())
    assert "2 of 2 points breach, 2 of 2 needed, pending for 3 periods" in found.message
