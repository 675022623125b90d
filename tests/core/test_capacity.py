"""The arithmetic of floors and batches, at every number of replicas that is special."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ombak.core.capacity import batch_of, floor_of, limits


@pytest.mark.parametrize(
    ("replicas", "floor", "batch", "surge"),
    [
        pytest.param(0, 0, 1, 1, id="none: nothing to keep up"),
        pytest.param(1, 1, 1, 1, id="one: it must be surged"),
        pytest.param(2, 2, 1, 1, id="two: 66% of two are two"),
        pytest.param(3, 2, 1, 0, id="three: one may be away"),
        pytest.param(4, 3, 1, 0, id="four"),
        pytest.param(5, 4, 1, 0, id="five"),
        pytest.param(7, 5, 2, 0, id="seven"),
        pytest.param(10, 7, 3, 0, id="ten: three at a time"),
        pytest.param(100, 66, 33, 0, id="a hundred: a third at a time"),
    ],
)
def test_the_defaults_hold_at_every_size(replicas: int, floor: int, batch: int, surge: int) -> None:
    """Floors round up, batches round down, and with no budget one box surges."""
    found = limits("33%", "66%", 0, replicas)

    assert (floor, batch, surge) == (found.floor, found.batch, found.surge)


@pytest.mark.parametrize(
    ("wanted", "replicas", "floor"),
    [
        pytest.param("80%", 10, 8, id="a higher percentage"),
        pytest.param("81%", 10, 9, id="rounded up"),
        pytest.param("100%", 10, 10, id="all of them"),
        pytest.param(9, 10, 9, id="a count"),
        pytest.param(3, 10, 7, id="a count below 66 per cent does not count"),
        pytest.param(20, 10, 10, id="a count beyond the replicas"),
        pytest.param(0, 3, 2, id="nothing asked"),
    ],
)
def test_the_floor_is_what_is_asked_but_never_under_66_percent(wanted: int | str, replicas: int, floor: int) -> None:
    """R53: at least 66 % of the capacity serves."""
    assert floor == floor_of(wanted, replicas)


@pytest.mark.parametrize(
    ("wanted", "replicas", "batch"),
    [
        pytest.param("5%", 100, 5, id="down to five per cent"),
        pytest.param("5%", 10, 1, id="never under one box"),
        pytest.param(1, 100, 1, id="one at a time"),
        pytest.param(50, 100, 33, id="a count beyond 33 per cent does not count"),
        pytest.param(5, 10, 3, id="a count beyond 33 per cent of a few"),
        pytest.param(3, 2, 1, id="of two, one"),
    ],
)
def test_a_batch_is_what_is_asked_but_never_over_33_percent(wanted: int | str, replicas: int, batch: int) -> None:
    """R52: at most 33 % of the boxes are replaced at once."""
    assert batch == batch_of(wanted, replicas)


SHARES = st.one_of(st.integers(0, 200), st.integers(0, 100).map(lambda p: f"{p}%"))


@given(batch=SHARES, least=SHARES, surge=SHARES, replicas=st.integers(0, 2000))
def test_limits_are_always_possible(batch: int | str, least: int | str, surge: int | str, replicas: int) -> None:
    """There is always a way forward: a box of budget, or a box of surge."""
    found = limits(batch, least, surge, replicas)

    assert 0 <= found.floor <= found.replicas
    assert found.floor * 100 >= 66 * replicas
    assert found.batch >= 1
    assert found.batch == 1 or found.batch * 100 <= 33 * replicas
    assert found.budget >= 1 or found.surge >= 1
