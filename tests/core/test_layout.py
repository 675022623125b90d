"""Where the boxes are, in which order a change reaches them, and what a share of them is when replicas change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ombak.core import layout
from ombak.core.layout import Part, Segment
from ombak.core.memory import Position
from support.snapshots import spec

ZONES = ["a", "b", "c"]
PER_ZONE = {"oneBox": {"scope": "Zone"}}


def parts_of(replicas: int, zones: list[str] | None = None, *, per_zone: bool = False) -> tuple[Segment, ...]:
    """The parts of a Rollout of that shape."""
    more = {"zones": zones, "strategy": PER_ZONE if per_zone else {}}
    return layout.segments(spec(**more), replicas)


@pytest.mark.parametrize(
    ("replicas", "zones", "per_zone", "sizes"),
    [
        pytest.param(0, None, False, [0, 0], id="none"),
        pytest.param(1, None, False, [1, 0], id="the one box is all"),
        pytest.param(10, None, False, [1, 9], id="one box and nine"),
        pytest.param(2, ZONES, False, [1, 0, 1, 0], id="fewer boxes than zones"),
        pytest.param(10, ZONES, False, [1, 3, 3, 3], id="the first zone takes what is left over"),
        pytest.param(10, ZONES, True, [1, 3, 1, 2, 1, 2], id="a one box in each zone"),
        pytest.param(2, ZONES, True, [1, 0, 1, 0, 0, 0], id="a one box in each zone that has any"),
    ],
)
def test_parts_are_in_order_and_add_up(
    replicas: int, zones: list[str] | None, per_zone: bool, sizes: list[int]
) -> None:
    """One box first, then its zone, then the next zone."""
    assert sizes == [p.size for p in parts_of(replicas, zones, per_zone=per_zone)]


def test_a_batch_never_crosses_into_the_next_zone() -> None:
    """P6: the last batch of a zone is what is left of it."""
    parts, found = parts_of(10, ZONES), []
    position = layout.first_position(parts)

    while not layout.is_everywhere(parts, position):
        position = layout.next_position(parts, position, 2)
        found.append(layout.reached(parts, position))

    assert found == [(1, 2, 0, 0), (1, 3, 0, 0), (1, 3, 2, 0), (1, 3, 3, 0), (1, 3, 3, 2), (1, 3, 3, 3)]


@pytest.mark.parametrize(
    ("replicas", "reached"),
    [
        pytest.param(10, (1, 3), id="as approved"),
        pytest.param(100, (1, 3), id="growth goes to the old version"),
        pytest.param(4, (1, 1), id="a shrink leaves at most the approved share"),
        pytest.param(2, (1, 0), id="or the one box"),
        pytest.param(0, (0, 0), id="or none"),
    ],
)
def test_the_approved_share_follows_the_replicas(replicas: int, reached: tuple[int, ...]) -> None:
    """Memory holds a share and not counts."""
    assert reached == layout.reached(parts_of(replicas), Position(segment=1, boxes=3, of=9))


def test_a_finished_release_takes_all_growth() -> None:
    """Where everything was approved, everything stays approved."""
    parts = parts_of(100)

    assert layout.is_everywhere(parts, layout.last_position(parts_of(10)))


@pytest.mark.parametrize(
    ("have", "position"),
    [
        pytest.param({(Part.ONE_BOX, ""): 1}, Position(0, 1, 1), id="one box"),
        pytest.param({(Part.ONE_BOX, ""): 1, (Part.FLEET, ""): 3}, Position(1, 3, 9), id="and three"),
        pytest.param({(Part.FLEET, ""): 12}, Position(1, 9, 9), id="no more than there may be"),
        pytest.param({}, Position(0, 1, 1), id="nothing left: one box, so that it can be proven"),
    ],
)
def test_an_erased_position_is_rebuilt_from_the_boxes(have: dict[tuple[Part, str], int], position: Position) -> None:
    """Erasing the status promotes nothing and takes nothing back."""
    found = layout.observed_position(parts_of(10), have)

    assert (position.segment, position.boxes, position.of) == (found.segment, found.boxes, found.of)
    assert (found.layout, found.replicas) == ("*", 10)


def test_a_position_rebuilt_without_replicas_can_go_on_later() -> None:
    """With replicas at 0 a release must not remember that nothing was approved, ever."""
    position = layout.observed_position(parts_of(0), {(Part.FLEET, ""): 3})

    assert layout.reached(parts_of(10), position) == (1, 0)


SHAPES = st.tuples(st.integers(1, 60), st.sampled_from([None, ["a"], ["a", "b"], ZONES]), st.booleans())


@given(shape=SHAPES, batch=st.integers(1, 20))
def test_every_release_reaches_every_box_in_bounded_steps(
    shape: tuple[int, list[str] | None, bool], batch: int
) -> None:
    """Each step approves more, by a batch at most, and the end is everywhere."""
    replicas, zones, per_zone = shape
    parts = parts_of(replicas, zones, per_zone=per_zone and zones is not None)
    position = layout.first_position(parts)
    before = sum(layout.reached(parts, position))
    assert before == 1

    while not layout.is_everywhere(parts, position):
        position = layout.next_position(parts, position, batch)
        now = sum(layout.reached(parts, position))
        assert 1 <= now - before <= batch
        before = now

    assert before == replicas


@given(
    shape=SHAPES,
    later=st.integers(0, 60),
    steps=st.integers(0, 10),
    batch=st.integers(1, 8),
)
def test_no_change_of_replicas_exposes_more_than_was_approved(
    shape: tuple[int, list[str] | None, bool], later: int, steps: int, batch: int
) -> None:
    """The part under way: its share does not grow by itself, in boxes or in proportion."""
    replicas, zones, per_zone = shape
    per_zone = per_zone and zones is not None
    parts = parts_of(replicas, zones, per_zone=per_zone)
    position = layout.first_position(parts)
    for _ in range(steps):
        if not layout.is_everywhere(parts, position):
            position = layout.next_position(parts, position, batch)
    after = parts_of(later, zones, per_zone=per_zone)

    count, size = layout.reached(after, position)[position.segment], after[position.segment].size

    if position.boxes < position.of:
        assert count <= position.boxes
        assert count * position.of <= position.boxes * size
