"""An approved Override for a Pipeline: short bakes and gates in regions, others held, and a stage taken over."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import Any

from ombak.api.override import OverrideSpec
from ombak.core import naming
from ombak.core.conveyor import manifests, report
from ombak.core.conveyor.snapshot import GateAnswer, Held
from ombak.core.conveyor.world import World
from ombak.core.floors import Floors
from ombak.core.overrides.facts import OverrideFacts
from ombak.core.overrides.view import OverrideView
from support.conveyor import NAME, NOW, hours, inside, push, region, running, spec, stage, version_of, world

FREEZE = Held("blocker", "Blocker shop/freeze to be lifted", "sre", "kubectl delete blocker freeze")


def override(version: str, *, until: datetime = NOW + timedelta(days=3), **more: Any) -> OverrideView:
    """An Override for the Pipeline that was approved; a long one where the test takes days."""
    fields: dict[str, Any] = {
        "target": {"kind": "Pipeline", "name": NAME},
        "artifact": version_of(version),
        "requestedBy": "alice",
        "reason": "CVE-2026-1",
        "urgency": "it is exploited",
        "expires": until.isoformat(),
        "bake": {"oneBox": "1m", "batch": "30s", "bake": "2m"},
        "approvals": [{"by": "bob", "uid": "u"}],
    }
    made = OverrideSpec.model_validate({k: v for k, v in (fields | more).items() if v is not None})
    return OverrideView("shop", "fix", "u", until - timedelta(hours=20), made, flaw="")


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


def test_a_fix_that_is_held_takes_nobodys_slot() -> None:
    """What is in the stage goes on."""
    w = small()
    push(w, "v2")
    w.run(w.now + hours(5))
    push(w, "v3")
    let(w, override("v3", supersede=True))
    w.set_gates(lambda _now: (GateAnswer("prod", FREEZE),))
    w.run(w.now + hours(1))

    assert inside(w) == {"prod": V2}


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
