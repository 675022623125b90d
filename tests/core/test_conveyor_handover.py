"""A Pipeline moves to another hub: what runs stays, the old hub's Rollouts are given over, and changes go on."""

from collections.abc import Callable

import pytest

from ombak.core.conveyor import content, manifests
from ombak.core.conveyor.memory import HubMemory
from ombak.core.conveyor.world import World
from support.conveyor import hours, push, running, version_of, world

V1, V2 = version_of("v1"), version_of("v2")


def moved() -> World:
    """A new hub with the same Pipeline, over regions in which the old one delivered three changes."""
    w = world()
    for tag in ("v1", "v2", "v1"):
        push(w, tag)
        w.run(w.now + hours(12))
    w.hub, w.memory, w.artifacts = "hub-2", HubMemory(), {}
    return w


def give_over(w: World) -> None:
    """Carry out the command that the wait names, in every region."""
    for model in w.regions.values():
        for r in model.rollouts.values():
            r.manifest["metadata"]["annotations"][manifests.HUB] = w.hub
            r.version += 1


def test_the_new_hub_touches_nothing_until_it_is_given_over() -> None:
    """It names the old hub, and the command."""
    w = moved()
    last = w.run(w.now + hours(1))

    assert last.reason == "Conflict"
    assert "it belongs to the hub hub-1" in last.waits[0].what
    assert "ombak.dev/hub=hub-2" in last.waits[0].command
    assert set(running(w).values()) == {V1}


def test_once_it_is_given_over_nothing_is_restarted_and_the_next_change_travels() -> None:
    """The same content stays as it is."""
    w = moved()
    w.run(w.now + hours(1))
    give_over(w)
    before = {name: [r.generation for r in m.rollouts.values()] for name, m in w.regions.items()}
    last = w.run(w.now + hours(12))

    assert last.reason == "Delivered"
    assert {name: [r.generation for r in m.rollouts.values()] for name, m in w.regions.items()} == before
    push(w, "v2")
    w.run(w.now + hours(12))
    assert set(running(w).values()) == {V2}


def told(w: World, *names: str) -> dict[str, str]:
    """As which change the Rollouts of regions count, by their annotation."""
    found = {name: w.regions[name].rollouts["shop"].manifest["metadata"]["annotations"] for name in names or w.regions}
    return {name: annotations[manifests.SEQUENCE] for name, annotations in found.items()}


def annotate(w: World, name: str, **more: str) -> None:
    """Somebody writes annotations of the hub in a region."""
    rollout = w.regions[name].rollouts["shop"]
    annotations = rollout.manifest["metadata"]["annotations"]
    rollout.manifest["metadata"]["annotations"] = annotations | {f"ombak.dev/{k}": v for k, v in more.items()}
    rollout.version += 1


def early(w: World) -> None:
    """The new hub asks for the next version before it can see any region."""
    w.views = dict.fromkeys(w.regions, ())
    w.silent |= set(w.regions)
    w.step()
    w.silent.clear()
    assert [i.sequence for i in w.memory.items] == [1]


def late(w: World) -> None:
    """The old hub has gone on meanwhile, far beyond what the new one saw."""
    w.run(w.now + hours(1))
    for name in w.regions:
        annotate(w, name, sequence="40", version=V1)


def at_once(w: World) -> None:
    """Everything stands as the new hub found it."""
    w.run(w.now + hours(1))


@pytest.mark.breadth
@pytest.mark.parametrize("before", [at_once, early, late])
@pytest.mark.parametrize("tag", ["v1", "v9"])
def test_the_new_hub_delivers_what_git_says_and_counts_on(before: Callable[[World], None], tag: str) -> None:
    """Git may be ahead of what runs: higher numbers of the old hub are no later changes of the new one."""
    w = moved()
    push(w, tag)
    before(w)
    give_over(w)
    last = w.run(w.now + hours(12))

    assert (last.reason, last.waits) == ("Delivered", ())
    assert set(running(w).values()) == {version_of(tag)}
    assert {r.state for s in last.stages for r in s.regions} == {"Stable"}
    highest = max(map(int, told(w).values()))
    push(w, "v2")
    w.run(w.now + hours(12))
    assert set(running(w).values()) == {V2}
    assert min(map(int, told(w).values())) > highest


FORGED = [
    pytest.param({"sequence": "99"}, id="a number that nobody gave out"),
    pytest.param({"sequence": "9" * 40}, id="no number"),
    pytest.param({"sequence": "9" * 17}, id="a number beyond all counting"),
    pytest.param({"sequence": "3", "version": version_of("v3")}, id="a change that is on its way"),
    pytest.param({"version": version_of("v3")}, id="another version"),
    pytest.param({"sequence": "-1", "version": "", "stage": ""}, id="nothing"),
]


@pytest.mark.breadth
@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize("moment", [0.1, 4.5, 12], ids=["before", "meanwhile", "after"])
def test_what_a_region_says_of_itself_proves_nothing(forged: dict[str, str], moment: float) -> None:
    """It is delivered only where it runs, whichever annotations somebody writes there, and nothing is restarted."""
    w = world()
    w.run(w.now + hours(12))
    push(w, "v2")
    w.run(w.now + hours(moment))
    if version_of("v3") in forged.values():
        push(w, "v3")
    w.run(w.now + hours(0.1))
    before = w.regions["r-wave-3"].rollouts["shop"].wanted
    annotate(w, "r-wave-3", **forged)
    w.settle()
    first = w.regions["r-wave-3"].rollouts["shop"].wanted
    last = w.run(w.now + hours(24))

    wished = content.content_id(w.pipeline.spec["rollout"]["spec"]["template"], ())
    assert (last.reason, last.version, first) == ("Delivered", wished, before)
    assert set(running(w).values()) == {wished}
    assert len(set(told(w).values())) == 1
