"""A Pipeline moves to another hub: what runs stays, the old hub's Rollouts are given over, and changes go on."""

from ombak.core.conveyor import manifests
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
