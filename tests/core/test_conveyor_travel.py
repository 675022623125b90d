"""Changes on their way through five stages: several at once, none overtakes, the newest of those that wait wins."""

import dataclasses

from ombak.core.conveyor.memory import HubMemory
from ombak.core.conveyor.world import World
from support.conveyor import FIVE, hours, inside, push, running, version_of, world

V1, V2, V3, V4 = (version_of(tag) for tag in ("v1", "v2", "v3", "v4"))
HOUR = hours(1)
A_STAGE = hours(1.4)
"""A stage of the tests takes 1 h 18 min."""


def delivered() -> World:
    """A world in which v1 runs everywhere."""
    w = world()
    w.run(w.now + hours(12))
    assert set(running(w).values()) == {V1}
    return w


def test_a_change_travels_by_itself_through_every_stage() -> None:
    """One stage after the other, and nobody does anything."""
    w = delivered()
    push(w, "v2")
    seen = []
    for _ in range(12):
        seen += list(inside(w))
        last = w.run(w.now + HOUR)

    assert list(dict.fromkeys(seen)) == list(FIVE)
    assert set(running(w).values()) == {V2}
    assert (last.reason, last.actions, last.waits) == ("Delivered", (), ())


def test_three_changes_travel_at_the_same_time() -> None:
    """Each slot holds one, and the next enters as soon as it is free (R41)."""
    w = delivered()
    for tag in ("v2", "v3", "v4"):
        push(w, tag)
        w.run(w.now + A_STAGE)

    assert inside(w) == {"gamma": V3, "wave-1": V2, "beta": V4}

    w.run(w.now + hours(12))
    assert set(running(w).values()) == {V4}
    assert w.memory.sequence == 4


def test_of_those_that_wait_the_newest_wins_and_tells_how_many_came() -> None:
    """Two wishes that came while the first stage was taken are one delivery (R90)."""
    w = delivered()
    push(w, "v2")
    w.settle()
    push(w, "v3")
    w.settle()
    push(w, "v4")
    w.settle()

    assert inside(w) == {"alpha": V2}
    assert [(i.version, i.batch) for i in w.memory.items if not i.stage] == [(V4, 2)]


def test_a_change_that_passed_a_stage_gives_way_to_the_next_one_that_did() -> None:
    """Both wait for the same slot, which a longer bake keeps taken."""
    w = delivered()
    push(
        w,
        "v2",
        stages=[s | ({"bake": {"for": "20h"}} if s["name"] == "gamma" else {}) for s in w.pipeline.spec["stages"]],
    )
    w.run(w.now + hours(3))
    for tag in ("v3", "v4"):
        push(w, tag)
        w.run(w.now + hours(3))

    assert inside(w) == {"gamma": V2}
    assert [(i.version, i.stage, i.batch) for i in w.memory.items if i.sequence > 2] == [(V4, "beta", 2)]


def test_a_rejection_in_the_second_stage_leaves_an_older_change_in_the_fourth_alone() -> None:
    """Only what was taken back goes back."""
    w = delivered()
    push(w, "v2")
    w.run(w.now + 2 * A_STAGE)
    push(w, "v3")
    w.run(w.now + A_STAGE)
    assert inside(w) == {"beta": V3, "wave-1": V2}

    w.regions["r-beta"].becomes_ill(V3)
    last = w.settle()

    assert w.artifacts[V3].rejection is not None
    assert inside(w) == {"wave-1": V2}
    assert (last.stage, last.version, last.reason) == ("beta", V3, "Rejected")
    w.run(w.now + hours(12))
    assert running(w) == {f"r-{n}": V2 for n in (*FIVE, "wave-3")} | {"r-alpha": V3}
    assert w.regions["r-beta"].rollouts["shop"].wanted == V2


def test_a_rejection_in_the_fourth_stage_leaves_a_newer_change_in_the_second_alone() -> None:
    """Rejecting one does not reject the next, which then goes all the way."""
    w = delivered()
    push(w, "v2")
    w.run(w.now + 2 * A_STAGE)
    push(w, "v3")
    w.run(w.now + A_STAGE)
    assert inside(w) == {"beta": V3, "wave-1": V2}

    w.regions["r-wave-1"].becomes_ill(V2)
    w.settle()

    assert inside(w) == {"beta": V3}
    assert w.artifacts[V3].rejection is None
    w.run(w.now + hours(12))
    assert set(running(w).values()) == {V3}


def test_going_back_to_an_old_artifact_is_a_new_change_of_the_same_artifact() -> None:
    """A, B, A: its id stays, its number is new, and it goes through every stage."""
    w = delivered()
    push(w, "v2")
    w.run(w.now + hours(12))
    push(w, "v1")
    w.settle()

    assert inside(w) == {"alpha": V1}
    w.run(w.now + hours(12))
    assert set(running(w).values()) == {V1}
    assert sorted(w.artifacts) == sorted([V1, V2])
    assert w.memory.sequence == 3
    assert {
        r.manifest["metadata"]["annotations"]["ombak.dev/sequence"]
        for m in w.regions.values()
        for r in m.rollouts.values()
    } == {"3"}


def test_asking_for_what_runs_after_a_rejection_brings_earlier_stages_back_too() -> None:
    """Alpha keeps a version that beta rejected, until somebody asks for the old one."""
    w = delivered()
    push(w, "v2")
    w.run(w.now + A_STAGE)
    w.regions["r-beta"].becomes_ill(V2)
    w.run(w.now + HOUR)
    assert running(w)["r-alpha"] == V2

    push(w, "v1")
    w.run(w.now + hours(12))

    assert set(running(w).values()) == {V1}


def test_an_erased_memory_is_told_from_the_regions() -> None:
    """What is on its way goes on from where it is, and nothing is delivered twice."""
    w = delivered()
    push(w, "v2")
    w.run(w.now + 2 * A_STAGE)
    w.memory = HubMemory()

    w.settle()

    assert inside(w) == {"gamma": V2}
    assert w.memory.sequence == 2
    w.run(w.now + hours(12))
    assert set(running(w).values()) == {V2}


def test_the_way_of_a_change_is_frozen_when_it_is_put_into_the_queue() -> None:
    """A new plan is a change of its own, behind the one that is on its way (R94)."""
    w = delivered()
    push(w, "v2")
    w.settle()
    fewer = [s for s in w.pipeline.spec["stages"] if s["name"] != "gamma"]
    push(w, "v2", stages=fewer)
    w.run(w.now + 2 * A_STAGE)

    assert {i.sequence: i.stage for i in w.memory.items}[2] == "gamma"
    w.run(w.now + hours(12))
    assert set(running(w).values()) == {V2}


def test_a_deleted_pipeline_leaves_everything_as_it_is() -> None:
    """No intent at all, in the middle of a wave too."""
    w = delivered()
    push(w, "v2")
    w.run(w.now + A_STAGE)
    w.pipeline = dataclasses.replace(w.pipeline, is_deleting=True)

    assert w.step().actions == ()
    assert w.memory.items
