"""A release is forgotten only where its boxes made room for others: a memory that is older than a way back."""

import dataclasses
from datetime import timedelta

import pytest

from ombak.core import advance, layout
from ombak.core.memory import Memory, Mode, Position, Release
from ombak.core.undone import without_undone
from support.snapshots import artifact, changed, fleet, id_of, later, one_box, snapshot, spec

PARTS = layout.segments(spec(), 10)
ALL, FIRST, SIX = (
    layout.last_position(PARTS),
    layout.first_position(PARTS),
    dataclasses.replace(layout.last_position(PARTS), boxes=5),
)


@pytest.mark.parametrize(
    ("position", "served", "new", "old", "is_kept"),
    [
        pytest.param(ALL, 10, 0, 10, False, id="all went back"),
        pytest.param(ALL, 10, 6, 4, False, id="some went back"),
        pytest.param(FIRST, 1, 0, 10, False, id="the one box went back"),
        pytest.param(SIX, 0, 0, 10, False, id="its step was approved, and then all went back"),
        pytest.param(ALL, 10, 10, 0, True, id="all there"),
        pytest.param(ALL, 10, 4, 0, True, id="scaled up since"),
        pytest.param(ALL, 10, 0, 0, True, id="scaled up from nothing"),
        pytest.param(SIX, 6, 3, 2, True, id="scaled down and up in the middle"),
        pytest.param(SIX, 3, 3, 7, True, id="in the middle of a step"),
        pytest.param(FIRST, 1, 0, 9, True, id="somebody deleted the one box"),
    ],
)
def test_only_what_made_room_for_others_is_forgotten(
    position: Position, served: int, new: int, old: int, *, is_kept: bool
) -> None:
    """And only in the first look of a process: later its own memory is right."""
    step = dataclasses.replace(advance.new_step(4 if position is SIX else 1, 10, later(-60)), high_water=served)
    memory = Memory(release=Release(id_of("v2"), Mode.FORWARD, later(-600), position, step))
    boxes = (one_box("v2" if new else "v1"),) if new + old > 9 or new else ()
    sets = (fleet("v2", max(0, new - 1)), fleet("v1", old if new or not boxes else old - 1))
    versions = (artifact("v1", 1, order=1), artifact("v2", 2))
    s = snapshot(spec("v2"), memory=memory, artifacts=versions, one_boxes=boxes, fleet=sets, elapsed=None)

    assert (without_undone(s).memory == memory) == is_kept
    assert without_undone(changed(s, elapsed=timedelta(seconds=5))).memory == memory
