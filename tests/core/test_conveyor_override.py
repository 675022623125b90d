"""An approved Override for a Pipeline: short bakes and gates in regions, others held, and a stage taken over."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ombak.core import naming
from ombak.core.conveyor import manifests, report
from ombak.core.conveyor.snapshot import GateAnswer, Held
from ombak.core.conveyor.world import World
from ombak.core.floors import Floors
from ombak.core.overrides.facts import OverrideFacts
from ombak.core.overrides.view import OverrideView
from support.conveyor import hours, inside, override, push, region, running, spec, stage, version_of, world

FREEZE = Held("blocker", "Blocker shop/freeze to be lifted", "sre", "kubectl delete blocker freeze")


V1, V2, V3 = (version_of(tag) for tag in ("v1", "v2", "v3"))
STAGES = [stage("alpha", "a-1"), stage("prod", "p-1", "p-2", bake={"for": "12h"})]


def small(**more: Any) -> World:
    """Two stages of one and two regions with floors, in which v1 runs."""
    floors = Floors(one_box=hours(1), bake=hours(2))
    w = world(spec("v1", STAGES, **more), [region(name, floors=floors) for name in ("a-1", "p-1", "p-2")])
    w.run(w.now + hours(40))
    assert set(running(w).values()) == {V1}
    return w


def let(w: World, view: OverrideView | None) -> None:
    """Let an Override count from now on, or none any more."""
    w.overrides = OverrideFacts(() if view is None else (view,))


def strategies(w: World) -> dict[str, dict[str, Any]]:
    """The bakes in each region, as they are written there."""
    found = {}
    for name, model in w.regions.items():
        for r in model.rollouts.values():
            made = r.manifest["spec"]["strategy"]
            parts = ("oneBox", made["oneBox"]), ("rolling", made["rolling"]), ("bake", made)
            found[name] = {part: each["bake"]["for"] for part, each in parts}
    return found


def references(w: World) -> set[str]:
    """What the Rollouts in the regions say of an Override."""
    return {
        r.manifest["metadata"]["annotations"].get(manifests.OVERRIDE, "")
        for model in w.regions.values()
        for r in model.rollouts.values()
    }


SHORT = {"oneBox": "1m", "rolling": "30s", "bake": "2m"}
ORDINARY = {"oneBox": "1h", "rolling": "1m", "bake": "12h"}


def test_short_bakes_are_written_with_a_reference_and_taken_back_in_the_end() -> None:
    """The floors of the Regions give way; afterwards everything is as it was, and nothing was called an edit."""
    w = small()
    let(w, override("v2"))
    push(w, "v2")
    w.run(w.now + hours(1))

    assert set(running(w).values()) == {V2}
    assert strategies(w)["p-1"] == SHORT
    assert references(w) == {"shop/fix"}
    told = report.status(w.snapshot(), w.step(), {}, w.now)["override"]
    assert (told["name"], told["requestedBy"], told["approvedBy"]) == ("fix", "alice", ["bob"])
    let(w, None)
    last = w.run(w.now + hours(1))
    assert strategies(w)["p-1"] == ORDINARY
    assert references(w) == {""}
    assert [wait.reason for wait in last.waits] == []
    assert {r.state for s in last.stages for r in s.regions} == {"Stable"}


def test_an_override_reaches_a_region_in_the_middle_of_its_bake() -> None:
    """And no version of another change ever gets the short bakes."""
    w = small()
    push(w, "v2")
    w.run(w.now + hours(4))
    assert inside(w) == {"prod": V2}
    before = strategies(w)["p-1"]
    let(w, override("v3"))
    w.run(w.now + timedelta(minutes=10))
    assert (before, strategies(w)["p-1"]) == (ORDINARY, ORDINARY)

    let(w, override("v2"))
    made = w.step()
    assert [note.reason for note in made.notes] == ["Overridden"] * 3
    w.settle()
    assert strategies(w)["p-1"] == SHORT
    assert all(state != "Edited" for s in w.settle().stages for state in [r.state for r in s.regions])


def test_other_versions_enter_nothing_meanwhile_and_go_on_afterwards() -> None:
    """What waits names the Override and the command that ends it; the fix goes on."""
    w = small()
    let(w, override("v3"))
    push(w, "v2")
    last = w.run(w.now + hours(1))
    held = next(wait for wait in last.waits if "Override fix to end" in wait.what)

    assert inside(w) == {}
    assert (held.reason, held.command) == ("Override", "kubectl -n shop delete override fix")
    assert held.expected == override("v3").spec.expires  # type: ignore[union-attr]
    push(w, "v3")
    w.run(w.now + hours(1))
    assert set(running(w).values()) == {V3}
    push(w, "v4")
    w.run(w.now + hours(40))
    assert set(running(w).values()) == {version_of("v4")}


def test_when_the_fix_is_taken_back_the_others_go_on() -> None:
    """There is nothing more to wait for."""
    w = small()
    for model in w.regions.values():
        model.becomes_ill(V3)
    let(w, override("v3"))
    push(w, "v3")
    w.run(w.now + hours(1))
    push(w, "v2")
    w.run(w.now + hours(40))

    assert set(running(w).values()) == {V2}


def test_a_gate_that_is_named_holds_every_other_version() -> None:
    """What the hub found to be left of it is what holds the version that is spared."""
    w = small()
    left = dataclasses.replace(FREEZE, what="Window hours to open")
    answers = [GateAnswer("alpha", FREEZE, spared=V2), GateAnswer("prod", FREEZE, spared=V2, left=left)]
    w.set_gates(lambda _now: tuple(answers))
    push(w, "v3")
    w.run(w.now + hours(1))
    assert inside(w) == {}
    push(w, "v2")
    last = w.run(w.now + hours(10))

    assert running(w) == {"a-1": V2, "p-1": V1, "p-2": V1}
    assert [wait.what for wait in last.waits] == ["Window hours to open"]


def test_the_fix_takes_the_slot_of_what_is_in_a_stage() -> None:
    """There it is aborted, goes back, and the fix starts; it never bakes by the short bakes of the fix."""
    w = small()
    push(w, "v2")
    w.run(w.now + hours(5))
    assert inside(w) == {"prod": V2}
    push(w, "v3")
    let(w, override("v3"))
    w.run(w.now + hours(1))
    assert inside(w) == {"prod": V2}

    let(w, override("v3", supersede=True))
    noted = []
    for _ in range(6):
        noted += [note for note in w.step().notes if note.reason == "Superseded"]
        w.tick()
    assert [i.version for i in w.memory.items if i.is_inside] == [V3]
    assert len(noted) == 1
    assert f"{V3} takes the place of {V2} in stage prod, by Override fix of alice, approved by bob" in noted[0].message
    w.run(w.now + hours(1))
    assert set(running(w).values()) == {V3}
    for name in ("p-1", "p-2"):
        assert V2 not in [good for r in w.regions[name].rollouts.values() for good in r.good]
    assert all(
        naming.ABORT not in r.manifest["metadata"]["annotations"]
        for model in w.regions.values()
        for r in model.rollouts.values()
    )


def test_what_was_given_up_is_not_left_behind_when_the_fix_is_taken_back() -> None:
    """Nobody speaks for it any more: its regions come back to what was delivered last, also one that did not answer."""
    w = small()
    push(w, "v2")
    w.run(w.now + hours(4))
    assert inside(w) == {"prod": V2}
    push(w, "v3")
    w.run(w.now + hours(3))
    w.silent.add("p-2")
    w.regions["p-1"].becomes_ill(V3)
    let(w, override("v3", supersede=True))
    w.run(w.now + hours(30))
    w.silent.clear()
    last = w.run(w.now + hours(30))

    assert last.reason == "Rejected"
    assert running(w)["p-1"] == running(w)["p-2"] == V1


def test_a_fix_that_is_held_takes_nobodys_slot() -> None:
    """What is in the stage goes on, and the fix says what holds it: it is not the slot."""
    w = small()
    push(w, "v2")
    w.run(w.now + hours(5))
    push(w, "v3")
    let(w, override("v3", supersede=True))
    w.set_gates(lambda _now: (GateAnswer("prod", FREEZE),))
    last = w.run(w.now + hours(1))

    assert inside(w) == {"prod": V2}
    assert [wait.what for wait in last.waits if wait.artifact == V3] == [FREEZE.what]


def test_floors_that_are_raised_in_the_middle_of_a_bake_are_written_and_no_edit() -> None:
    """Nobody edited anything: the Region says something else, and the hub writes it, once."""
    w = small()
    push(w, "v2")
    w.run(w.now + hours(4))
    assert inside(w) == {"prod": V2}
    facts = w.regions["p-1"].facts
    w.regions["p-1"].facts = dataclasses.replace(facts, floors=Floors(one_box=hours(1), bake=hours(20)))
    made = w.step()

    assert [(note.reason, "floors" in note.message) for note in made.notes] == [("Overridden", True)]
    last = w.settle()
    assert strategies(w)["p-1"] == ORDINARY | {"bake": "20h"}
    assert all(region.state == "Moving" for s in last.stages if s.name == "prod" for region in s.regions)
    w.run(w.now + hours(40))
    assert set(running(w).values()) == {V2}


def bakes_in_alpha(w: World) -> None:
    """Another change is in the middle of the first stage, and the fix waits behind it."""
    push(w, "v2")
    w.run(w.now + timedelta(minutes=5))


def does_not_answer(w: World) -> None:
    """The fix is in the first stage, but its region does not answer, so nothing of it has begun."""
    w.silent.add("a-1")


def does_not_begin(w: World) -> None:
    """The fix is in the first stage, but what it asks for is held there."""
    w.set_gates(lambda _now: (GateAnswer("alpha", FREEZE, "a-1"),))


@pytest.mark.parametrize("before", [bakes_in_alpha, does_not_answer, does_not_begin])
def test_a_fix_is_never_given_up_for_what_its_override_holds(before: Callable[[World], None]) -> None:
    """Whatever is merged behind it: the fix goes on first, wherever it waits, and the newest version after it."""
    w = small()
    before(w)
    push(w, "v3")
    let(w, override("v3"))
    w.run(w.now + hours(1))
    push(w, "v4")
    last = w.run(w.now + hours(1))
    told = {wait.artifact: wait.reason for wait in last.waits if not wait.region}
    w.silent.clear()
    w.set_gates(lambda _now: ())
    w.run(w.now + hours(20))

    assert told[version_of("v4")] == ("Queued" if before is bakes_in_alpha else "Override")
    assert V3 in {good for r in w.regions["p-2"].rollouts.values() for good in r.good}
    w.run(w.now + hours(60))
    assert set(running(w).values()) == {version_of("v4")}


def test_a_fix_stays_where_a_newer_change_catches_up_with_it() -> None:
    """Both wait for the same stage now; that the fix is held by a gate of its own makes it no part of the other."""
    w = small()
    w.set_gates(lambda _now: (GateAnswer("prod", FREEZE),))
    push(w, "v3")
    w.run(w.now + hours(4))
    push(w, "v4")
    w.step()
    let(w, override("v3"))
    w.run(w.now + hours(4))

    assert [(i.version, i.stage) for i in w.memory.items[1:]] == [(V3, "alpha"), (version_of("v4"), "alpha")]


def test_a_fix_that_nobody_has_looked_at_yet_is_not_given_up() -> None:
    """For a moment its Override may be in force or not: nothing starts, and nothing is thrown out."""
    w = small()
    bakes_in_alpha(w)
    push(w, "v3")
    view = override("v3")
    let(w, dataclasses.replace(view, flaw=None))
    w.settle()
    push(w, "v4")
    w.settle()
    let(w, view)
    w.run(w.now + hours(20))

    assert V3 in {good for r in w.regions["p-2"].rollouts.values() for good in r.good}


def test_an_override_for_what_is_not_on_its_way_says_so() -> None:
    """It holds the others to its end, so who reads the wait must know that nothing comes of it."""
    w = small()
    let(w, override("v3"))
    push(w, "v2")
    asked = w.run(w.now + hours(1)).waits[0]
    push(w, "v3")
    w.step()
    push(w, "v4")
    travels = next(wait for wait in w.settle().waits if wait.artifact == version_of("v4"))

    assert asked.what.endswith(f"; {V3} is not on its way, and this Pipeline does not ask for it")
    assert asked.command == "kubectl -n shop delete override fix"
    assert "is not on its way" not in travels.what


def test_an_override_by_the_id_alone_is_told_which_version_is_meant() -> None:
    """Where a Pipeline has values its version is more than the id, which `abort` and `retry` name."""
    w = small()
    let(w, override("v2"))
    push(w, "v2", values=[{"regions": {"names": ["p-1"]}, "env": {"DB": "one"}}])
    asked = w.run(w.now + hours(1)).waits[0]
    version = w.memory.items[-1].version

    assert version.startswith(f"{V2}-")
    assert asked.what.endswith(f"write artifact: {version}, which tells its values too")


def in_turns() -> World:
    """The second stage takes its regions one after the other; v1 runs everywhere."""
    prod = stage("prod", "p-1", "p-2", bake={"for": "3h"}, maxParallel=1)
    w = world(spec("v1", [stage("alpha", "a-1"), prod]), [region(name) for name in ("a-1", "p-1", "p-2")])
    w.run(w.now + hours(40))
    return w


@pytest.mark.parametrize("closed", [(), ("p-2",)], ids=["turns", "a gate in a region"])
def test_what_the_fix_waits_behind_goes_on(closed: tuple[str, ...]) -> None:
    """Else the slot would never be free, and the fast lane would end with the Override."""
    w = in_turns()
    w.set_gates(lambda _now: tuple(GateAnswer("prod", FREEZE, name) for name in closed))
    push(w, "v2")
    w.run(w.now + hours(4))
    assert inside(w) == {"prod": V2}
    push(w, "v3")
    let(w, override("v3", until=w.now + hours(20)))
    w.run(w.now + hours(1))
    w.set_gates(lambda _now: ())

    assert w.run(w.now + hours(8)).override is not None
    assert set(running(w).values()) == {V3}


def test_what_the_fix_does_not_wait_behind_stands_still() -> None:
    """The fix is in an earlier stage: no further region gets the other change (R83)."""
    w = in_turns()
    push(w, "v2")
    w.run(w.now + hours(2))
    let(w, override("v3", until=w.now + hours(20)))
    w.run(w.now + hours(6))

    assert running(w) == {"a-1": V2, "p-1": V2, "p-2": V1}
