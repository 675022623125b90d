"""Zones of a Region that change after a Rollout was written there: the hub knows which ones it wrote."""

from __future__ import annotations

from typing import Any

import pytest

from ombak.core.conveyor import manifests
from ombak.core.conveyor.decide import decide
from ombak.core.conveyor.world import World
from support.conveyor import hours, push, region, running, spec, stage, version_of, world

V1, V2 = (version_of(tag) for tag in ("v1", "v2"))


def zoned(zones: tuple[str, ...] = ("a", "b"), asked: Any = ("*",), **more: Any) -> World:
    """A region with zones, of which the stage takes some; v1 runs there."""
    w = world(spec("v1", [stage("alpha", "a-1", zones=list(asked))], **more), [region("a-1", zones=zones)])
    w.run(w.now + hours(12))
    return w


def zones_of(w: World) -> Any:
    """The zones that stand in the region."""
    return w.regions["a-1"].rollouts["shop"].manifest["spec"].get("zones")


@pytest.mark.parametrize(
    ("before", "asked", "after", "expected"),
    [
        pytest.param(("a", "b"), ("*",), ("a", "b", "c"), ["a", "b", "c"], id="one-more"),
        pytest.param(("a", "b"), ("*",), ("b",), ["b"], id="one-less"),
        pytest.param((), ("*",), ("a", "b"), ["a", "b"], id="the-first"),
        pytest.param(("a", "b"), ("a", "b"), ("b", "c"), ["b"], id="named"),
    ],
)
def test_zones_that_a_region_has_now_are_written_and_nobody_is_called_an_editor(
    before: tuple[str, ...], asked: tuple[str, ...], after: tuple[str, ...], expected: list[str]
) -> None:
    """By themselves, once, and nothing else is written anew."""
    w = zoned(before, asked)
    sequence = w.memory.sequence
    w.add(region("a-1", zones=after))
    made = w.step()
    assert [(x.reason, x.who) for x in made.waits] == [("Zones", "nobody, it goes by itself")]
    last = w.run(w.now + hours(1))

    assert (last.reason, last.waits, zones_of(w)) == ("Delivered", (), expected)
    assert (w.memory.sequence, running(w)) == (sequence, {"a-1": V1})


def test_zones_that_change_in_the_middle_of_a_change_do_not_hold_it() -> None:
    """It ends in the zones that the region has then."""
    w = zoned()
    push(w, "v2")
    w.run(w.now + hours(0.1))
    w.add(region("a-1", zones=("a", "b", "c")))
    last = w.run(w.now + hours(12))

    assert (last.reason, zones_of(w), running(w)) == ("Delivered", ["a", "b", "c"], {"a-1": V2})


@pytest.mark.parametrize("after", [("a", "b"), ("a", "b", "c")], ids=["the same", "one more"])
def test_zones_that_a_person_changed_are_reported_whatever_the_region_has(after: tuple[str, ...]) -> None:
    """They are not as they were written."""
    w = zoned()
    w.regions["a-1"].rollouts["shop"].manifest["spec"]["zones"] = ["a"]
    w.regions["a-1"].rollouts["shop"].version += 1
    w.add(region("a-1", zones=after))
    last = w.run(w.now + hours(1))

    assert (last.reason, "somebody edited spec.zones" in last.message, zones_of(w)) == ("Edited", True, ["a"])


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        pytest.param(("a", "b"), ("a", "b"), "Delivered", id="the-same"),
        pytest.param(("a", "b"), ("a", "b", "c"), "Edited", id="one-more"),
        pytest.param((), ("a", "b"), "Edited", id="the-first"),
    ],
)
def test_what_was_written_before_the_zones_were_noted_is_left_as_it_is(
    before: tuple[str, ...], after: tuple[str, ...], reason: str
) -> None:
    """P7: a new version of the hub writes nothing; that zones lack may as well be somebody's edit."""
    w = zoned(before)
    rollout = w.regions["a-1"].rollouts["shop"]
    assert rollout.manifest["metadata"]["annotations"].pop(manifests.ZONES) == ",".join(before)
    rollout.version += 1
    w.add(region("a-1", zones=after))
    w.look()

    made = decide(w.snapshot(), w.now)
    assert (made.reason, made.actions) == (reason, ())
