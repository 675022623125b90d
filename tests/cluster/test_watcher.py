"""The judge of the cluster tests sees each broken promise, and nothing else (no cluster needed)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from timeline import PodSeen, RolloutSeen, Seen, SetSeen
from watcher import judge

OLD, NEW = "a1old", "a1new"


class Story:
    """A made-up sequence of events, a second apart."""

    def __init__(self, replicas: int, zones: tuple[str, ...] = (), batch: str = "33%") -> None:
        self.events: list[Seen] = []
        self._zones = zones
        self._strategy = {"rolling": {"batch": batch}}
        self.spec(replicas)
        for number in range(replicas):
            zone = zones[number % len(zones)] if zones else ""
            self.box(f"old-{number}", OLD, zone=zone)
        self.wait(10)

    def _next(self) -> int:
        return 1 + (self.events[-1].version if self.events else 0)

    def wait(self, seconds: int) -> None:
        """Let time pass: a status that says nothing new."""
        last = next(seen for seen in reversed(self.events) if isinstance(seen, RolloutSeen))
        now = self.events[-1].version + seconds
        self.events.append(RolloutSeen(now, now, "u", last.generation, last.spec, last.status, {}, is_gone=False))

    def spec(self, replicas: int, phase: str = "Stable", release: dict[str, Any] | None = None) -> None:
        version = self._next()
        memory = {"memory": {"release": release}} if release else {}
        spec = {"replicas": replicas, "zones": list(self._zones), "strategy": self._strategy}
        status = {"phase": phase, "observedGeneration": 1, **memory}
        self.events.append(RolloutSeen(version, version, "u", 1, spec, status, {}, is_gone=False))

    def box(
        self,
        name: str,
        artifact: str,
        *,
        zone: str = "",
        ready: bool = True,
        deleting: bool = False,
        owner: str = "",
    ) -> None:
        at = self._next()
        self.events.append(
            PodSeen(at, at, name, artifact, zone, is_ready=ready, is_deleting=deleting, is_gone=False, owner=owner)
        )

    def order(self, name: str, replicas: int) -> None:
        """A ReplicaSet is told how many boxes to have."""
        version = self._next()
        self.events.append(SetSeen(version, version, name, replicas, is_gone=False))

    def take(self, *numbers: int, zone: str = "") -> None:
        """Boxes that serve are taken away."""
        for number in numbers:
            self.box(f"old-{number}", OLD, zone=zone, deleting=True)


def test_a_batch_away_breaks_nothing() -> None:
    """Three of ten may be away, and are counted."""
    story = Story(10)
    story.take(0, 1, 2)

    found = judge(story.events)

    assert not found.violations
    assert (found.removals, found.lowest) == (3, 7)


def test_one_box_under_the_floor_is_a_broken_promise() -> None:
    """The fourth of ten is one too many, also when the events arrive in another order."""
    story = Story(10)
    story.take(0, 1, 2, 3)

    found = judge(sorted(story.events, key=lambda seen: seen.version))

    assert len(found.violations) == 1
    assert "under the floor of 7 of 10" in found.violations[0]


def test_more_than_a_batch_away_is_a_broken_promise_above_the_floor_too() -> None:
    """Of 100 boxes 33 may be away, though the floor is 66."""
    story = Story(100)
    story.take(*range(34))

    assert "more than a batch away" in judge(story.events).violations[0]


def test_boxes_that_fall_by_themselves_are_not_our_doing_but_what_we_take_on_top_is() -> None:
    """Nobody can have known of one that fell just now; of one that fell long ago we must have."""
    story = Story(10)
    for number in (7, 8, 9):
        story.box(f"old-{number}", OLD, ready=False)
    assert not judge(story.events).violations

    story.wait(10)
    story.take(0)
    assert judge(story.events).violations


def test_what_the_test_takes_itself_is_excused() -> None:
    """And afterwards the floor holds again as soon as enough boxes serve."""
    story = Story(10)
    story.take(0, 1, 2, 3)
    taken = story.events[-1].version
    assert not judge(story.events, [(taken - 4, taken + 0.5)]).violations

    for number in range(4):
        story.box(f"again-{number}", OLD)
    story.wait(1)
    story.take(4, 5, 6, 7)
    assert judge(story.events, [(taken - 4, taken + 0.5)]).violations


def test_growth_is_owed_only_when_it_can_be_there() -> None:
    """After `replicas` grew the old floor holds until the new boxes serve, and then the new one."""
    story = Story(10)
    story.spec(20)
    story.take(0, 1, 2)
    assert not judge(story.events).violations

    for number in range(13):
        story.box(f"more-{number}", OLD)
    story.wait(10)
    story.take(3, 4, 5, 6, 7, 8, 9)
    assert "under the floor of 14 of 20" in judge(story.events).violations[0]


def test_a_batch_is_a_batch_while_replicas_move_too() -> None:
    """An autoscaler that is never at rest is no excuse: of 100 boxes or a few more no more than ten are away."""
    story = Story(100, batch="10%")
    story.spec(102)
    story.take(*range(4))
    story.spec(104)
    story.take(*range(4, 10))
    assert not judge(story.events).violations

    story.take(10)
    assert "more than a batch away" in judge(story.events).violations[0]


def test_two_zones_at_once_are_a_broken_promise() -> None:
    """One box of two zones each is within floor and batch of nine, and still wrong (P6)."""
    story = Story(9, zones=("a", "b", "c"))
    story.take(0, zone="a")
    assert not judge(story.events).violations

    story.take(1, zone="b")
    assert "zones a, b" in judge(story.events).violations[0]


@pytest.mark.parametrize(("goal", "is_broken"), [(1, True), (2, False)], ids=["beyond", "approved"])
def test_more_boxes_of_the_new_version_than_were_approved_are_a_broken_promise(goal: int, is_broken: bool) -> None:
    """The status approves, then boxes move."""
    story = Story(10)
    release = {"artifact": NEW, "mode": "Forward", "step": {"number": 1, "goal": goal}}
    story.spec(10, phase="OneBox", release=release)
    for number in range(2):
        story.box(f"new-{number}", NEW, ready=False)

    assert bool(judge(story.events).violations) == is_broken
    assert judge(story.events).most(NEW) == 2


def test_a_box_that_a_replicaset_made_twice_was_not_asked_for() -> None:
    """Its controller does so when the answer to its order is lost; what the operator orders too many is its own."""
    story = Story(10)
    release = {"artifact": NEW, "mode": "Forward", "step": {"number": 1, "goal": 1}}
    story.spec(10, phase="OneBox", release=release)
    story.order("set", 1)
    for number in range(2):
        story.box(f"new-{number}", NEW, ready=False, owner="set")
    assert not judge(story.events).violations

    story.order("set", 2)
    story.box("new-1", NEW, owner="set")
    assert "there were 2 boxes of a1new, and 1 were approved" in judge(story.events).violations[0]


@pytest.mark.parametrize(("goal", "is_broken"), [(4, True), (10, False)], ids=["a batch", "everywhere"])
def test_growth_goes_to_the_old_version_unless_all_were_approved(goal: int, is_broken: bool) -> None:
    """Somebody scales in the middle of a release."""
    story = Story(10)
    story.spec(10, phase="Rolling", release={"artifact": NEW, "mode": "Forward", "step": {"number": 2, "goal": goal}})
    for number in range(goal):
        story.box(f"new-{number}", NEW)
    story.spec(12, phase="Rolling", release={"artifact": NEW, "mode": "Forward", "step": {"number": 2, "goal": goal}})
    assert not judge(story.events).violations

    story.box("one-more", NEW)
    assert bool(judge(story.events).violations) == is_broken


def _numbers() -> Iterator[tuple[int, int]]:
    yield from ((1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (10, 7), (100, 67))


@pytest.mark.parametrize(("replicas", "least"), list(_numbers()), ids=lambda value: str(value))
def test_so_many_boxes_serve_at_every_moment(replicas: int, least: int) -> None:
    """The arithmetic of design 2, by hand for some numbers."""
    story = Story(replicas)
    story.take(*range(replicas - least))
    assert not judge(story.events).violations

    story.take(replicas - least)
    assert judge(story.events).violations
