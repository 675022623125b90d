"""Stretches of good time: never more than there was, and never any that a bad look stands at."""

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ombak.alarms.history import clipped, good_stretches, length_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


LOOKS = st.dictionaries(st.integers(0, 300), st.booleans(), max_size=40).map(
    lambda found: [(at(second), good) for second, good in sorted(found.items())]
)


@given(LOOKS, st.integers(0, 300), st.integers(0, 300))
def test_only_time_between_two_good_looks_counts(looks: list[tuple[datetime, bool]], one: int, other: int) -> None:
    """Each second of the result lies in the span, between two neighbours that were both good, and all such do."""
    since, until = sorted((one, other))
    found = clipped(good_stretches(looks), at(since), at(until))
    expected = sum(
        max(0.0, (min(b, at(until)) - max(a, at(since))).total_seconds())
        for (a, was), (b, is_good) in itertools.pairwise(looks)
        if was and is_good
    )
    assert length_of(found).total_seconds() == expected <= until - since
    for moment, good in looks:
        assert good or not any(start <= moment <= end for start, end in good_stretches(looks))


@given(LOOKS)
def test_stretches_are_apart_and_in_order(looks: list[tuple[datetime, bool]]) -> None:
    """So that nothing is counted twice."""
    found = good_stretches(looks)
    assert all(start < end for start, end in found)
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(found))
