"""Zones, one boxes and replicas that change in the middle of a release: never more exposure than was approved (P2)."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ombak.core import layout
from ombak.core.advance import goal_of, new_step
from ombak.core.capacity import floor_of
from ombak.core.converge import asked_of, serving_all
from ombak.core.decide import decide
from ombak.core.layout import Segment
from ombak.core.memory import Memory, Mode, Position, Release
from ombak.core.news import is_urgent
from ombak.core.report import report
from ombak.core.snapshot import TemplateCheck
from ombak.simulation import pure
from support.effort import examples
from support.snapshots import (
    ALARM,
    NOW,
    OK,
    UNKNOWN,
    artifact,
    changed,
    fleet,
    id_of,
    one_box,
    rollout,
    snapshot,
    spec,
)

Shape = tuple[tuple[str, ...] | None, bool]
ZONES = st.sampled_from(
    [None, ("a",), ("a", "b"), ("b", "a"), ("a", "b", "c"), ("c", "b", "a"), ("a", "c"), ("d", "e", "f")]
)
SHAPES = st.tuples(ZONES, st.booleans())
CHANGES = st.lists(st.tuples(SHAPES, st.integers(1, 40), st.integers(0, 2)), min_size=1, max_size=6)


def spec_of(shape: Shape, replicas: int, **more: Any) -> Any:
    """A spec of a shape whose bakes are over at once."""
    zones, every_zone = shape
    none = {"for": "0s"}
    scope = "Zone" if every_zone and zones else "Region"
    strategy = {"oneBox": {"scope": scope, "bake": none}, "rolling": {"bake": none}, "bake": {"for": "1h"}}
    return spec("v2", replicas=replicas, zones=list(zones) if zones else None, strategy=strategy, **more)


def parts_of(shape: Shape, replicas: int) -> tuple[Segment, ...]:
    """The parts of a Rollout of that shape."""
    return layout.segments(spec_of(shape, replicas), replicas)


@given(SHAPES, st.integers(1, 40))
def test_a_shape_tells_which_parts_there_are(shape: Shape, replicas: int) -> None:
    """From it the parts of another time are rebuilt."""
    parts = parts_of(shape, replicas)

    assert layout.parts_of(layout.shape_of(parts), replicas) == parts


@given(SHAPES, st.integers(1, 40), CHANGES, st.integers(1, 9))
def test_no_change_of_layout_or_replicas_approves_a_box(
    shape: Shape, replicas: int, changes: list[tuple[Shape, int, int]], batch: int
) -> None:
    """Only a step does, by a batch at most; where all was approved all stays so."""
    parts = parts_of(shape, replicas)
    position = layout.first_position(parts)
    approved = 1
    for other, count, steps in changes:
        for _ in range(steps):
            if not layout.is_everywhere(parts, position):
                before = sum(layout.reached(parts, position))
                position = layout.next_position(parts, position, batch)
                assert 1 <= sum(layout.reached(parts, position)) - before <= batch
                approved = max(approved, before + batch)
        was_everywhere = layout.is_everywhere(parts, position)

        parts = parts_of(other, count)
        if layout.shape_of(parts) != position.layout:
            position = layout.carried_over(parts, position)

        now = sum(layout.reached(parts, position))
        assert now >= 1
        assert now <= approved or (was_everywhere and now == count)
        approved = max(approved, now)


@given(SHAPES, st.integers(1, 30), st.integers(0, 12), st.integers(1, 60), st.integers(1, 9))
def test_every_release_still_reaches_every_box(shape: Shape, replicas: int, steps: int, later: int, batch: int) -> None:
    """Boxes that came into finished zones are caught up with, a batch at a time."""
    parts = parts_of(shape, replicas)
    position = layout.first_position(parts)
    for _ in range(steps):
        if not layout.is_everywhere(parts, position):
            position = layout.next_position(parts, position, batch)
    parts = parts_of(shape, later)

    for _ in range(later + 1):
        if not layout.is_everywhere(parts, position):
            position = layout.next_position(parts, position, batch)

    assert layout.is_everywhere(parts, position)


@pytest.mark.parametrize(
    ("made_for", "now", "reached"),
    [
        pytest.param((("a", "b", "c"), False), (("a", "b", "c"), True), [1, 3, 0, 0, 0, 0], id="a one box in each"),
        pytest.param((("a", "b", "c"), True), (("a", "b", "c"), False), [1, 3, 3, 0], id="one box in all"),
        pytest.param((("a", "b", "c"), False), (("a", "b"), False), [1, 3, 0], id="a zone less: its boxes are spread"),
        pytest.param((("a", "b", "c"), False), (("b", "a", "c"), False), [1, 0, 0, 0], id="another zone first"),
        pytest.param((("a", "b", "c"), False), (None, False), [1, 0], id="no zones any more"),
    ],
)
def test_what_is_surely_proven_stays(made_for: Shape, now: Shape, reached: list[int]) -> None:
    """Zone a is done, of zone b two or three boxes are approved; then somebody changes the spec."""
    parts = parts_of(made_for, 12)
    position = layout.first_position(parts)
    for _ in range(3 if made_for[1] else 2):
        position = layout.next_position(parts, position, 3)
    after = parts_of(now, 12)

    assert reached == list(layout.reached(after, layout.carried_over(after, position)))


class World:
    """A release of v2 over v1, looked at every ten seconds; everything is carried out at once."""

    def __init__(self, shape: Shape, replicas: int, ticks: int) -> None:
        before = spec_of(shape, replicas).model_copy(update={"template": spec("v1").template})
        self.s = changed(snapshot(before), artifacts=(artifact("v1", 1, order=1),), fleet=(), one_boxes=())
        self.now = NOW
        self.go(12)
        self.change(shape, replicas)
        self.go(ticks)

    def go(self, ticks: int, alarm: Any = OK) -> None:
        """So many looks."""
        for _ in range(ticks):
            self.now += timedelta(seconds=10)
            seen = dataclasses.replace(alarm, evaluated_at=self.now, window=timedelta(0))
            check = TemplateCheck(self.s.rollout.artifact)
            s = changed(self.s, revert_alarm=seen, elapsed=timedelta(seconds=10), template_check=check)
            made = pure.carried_out(s, decide(s, self.now), self.now)
            must = min(serving_all(s), floor_of("66%", s.rollout.spec.replicas or 0))
            assert serving_all(made) >= must, "P1"
            self.s = pure.settled(made)

    def change(self, shape: Shape, replicas: int) -> None:
        """Somebody edits the spec."""
        self.s = changed(self.s, rollout=rollout(spec_of(shape, replicas)))

    @property
    def asked(self) -> int:
        """How many boxes of the new version are asked for."""
        return asked_of(self.s, id_of("v2"))

    @property
    def planned(self) -> int:
        """How many boxes the release under way may have."""
        release, spec = self.s.memory.release, self.s.rollout.spec
        return goal_of(layout.segments(spec, spec.replicas or 0), release.position) if release else self.asked


@pytest.mark.breadth
@settings(deadline=None, max_examples=examples(60))
@given(SHAPES, st.integers(1, 30), st.integers(0, 20), st.lists(st.tuples(SHAPES, st.integers(1, 30)), max_size=4))
def test_without_evidence_no_change_of_the_spec_exposes_more(
    shape: Shape, replicas: int, ticks: int, changes: list[tuple[Shape, int]]
) -> None:
    """P2: nothing is known of the alarms any more, and somebody edits zones, scope and replicas.

    A box that moves to another zone may be there twice for a moment, as none is taken before the other serves.
    """
    world = World(shape, replicas, ticks)
    most, was_everywhere = world.planned, world.planned == replicas
    for other, count in changes:
        world.change(other, count)
        for _ in range(40):
            world.go(1, UNKNOWN)
            assert world.planned <= most or was_everywhere
        assert world.asked == world.planned
        was_everywhere = was_everywhere and world.planned == count
        most = max(most, world.planned)


@pytest.mark.breadth
@settings(deadline=None, max_examples=examples(40))
@given(SHAPES, st.integers(1, 30), st.integers(0, 20), st.lists(st.tuples(SHAPES, st.integers(1, 30)), max_size=3))
def test_a_revert_still_ends(shape: Shape, replicas: int, ticks: int, changes: list[tuple[Shape, int]]) -> None:
    """P3: however the boxes are to be spread meanwhile."""
    world = World(shape, replicas, ticks)
    world.go(1, ALARM)
    for other, count in changes:
        world.change(other, count)
        world.go(2, ALARM)

    world.go(200, ALARM)

    assert (world.asked, asked_of(world.s, id_of("v1"))) == (0, world.s.rollout.spec.replicas)


HALF = snapshot(
    spec_of((("a", "b"), False), 8),
    artifacts=(artifact("v1", 1, order=1), artifact("v2", 2)),
    fleet=(fleet("v2", 3, zone="a"), fleet("v1", 3, zone="b"), fleet("v2", 1, zone="b")),
    one_boxes=(one_box("v2", zone="a"),),
    revert_alarm=UNKNOWN,
)


def halfway(position: Position) -> Memory:
    """The memory of a release whose zone a is done, and zone b begun."""
    return Memory(release=Release(id_of("v2"), Mode.FORWARD, NOW, position, new_step(4, 5, NOW)))


def test_a_change_in_the_middle_is_told_and_begins_the_step_anew() -> None:
    """Once, as an Event; what had been proven of another step counts for nothing."""
    s = changed(HALF, rollout=rollout(spec_of((("a", "b"), True), 8)), memory=halfway(Position(2, 1, 4, "*a,b", 8)))

    first = decide(s, NOW)
    second = decide(changed(s, memory=first.memory), NOW)

    assert [n.message for n in first.notes] == [
        "zones or strategy.oneBox.scope changed in the middle of a release: "
        f"4 of 8 boxes stay approved for {id_of('v2')}."
    ]
    assert first.memory.release
    assert first.memory.release.step == dataclasses.replace(new_step(4, 4, NOW), high_water=5)
    assert second.notes == ()


@pytest.mark.parametrize(
    ("position", "goal"),
    [
        pytest.param(Position(2, 1, 4), 5, id="as if it was made for this"),
        pytest.param(Position(5, 1, 4), 5, id="beyond all parts: what the boxes show"),
    ],
)
def test_what_an_older_version_wrote_is_taken_up(position: Position, goal: int) -> None:
    """It took no note of the layout."""
    found = decide(changed(HALF, memory=halfway(position)), NOW).memory.release

    assert found
    assert found.position.layout == "*a,b"
    assert goal == sum(layout.reached(parts_of((("a", "b"), False), 8), found.position))


def test_an_upgrade_in_the_middle_writes_nothing() -> None:
    """P7: for which layout a position was made is no news."""
    s = changed(HALF, memory=halfway(Position(2, 1, 4)))
    made = decide(s, NOW)
    assert made.memory.release
    release = dataclasses.replace(made.memory.release, position=Position(2, 1, 4))
    written = changed(s, memory=dataclasses.replace(made.memory, release=release))
    old = report(s, dataclasses.replace(made, memory=written.memory), {}, NOW)

    assert not is_urgent(old, report(written, decide(written, NOW), old, NOW), timedelta(hours=1))


def test_growth_in_a_finished_zone_waits_for_a_step() -> None:
    """It goes to the version before, and is caught up with first."""
    parts = layout.segments(spec_of((("a", "b"), False), 8), 8)
    position = layout.next_position(parts, layout.first_position(parts), 3)
    after = layout.segments(spec_of((("a", "b"), False), 20), 20)

    caught = layout.next_position(after, position, 2)

    assert layout.reached(after, position) == (1, 3, 0)
    assert layout.reached(after, caught) == (1, 5, 0)
