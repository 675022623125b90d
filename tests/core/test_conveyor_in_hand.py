"""What is on its way stays in hand: an abort stops it, a revert ends, and nobody's edit or pause is written over."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from ombak.core.conveyor import plan
from ombak.core.conveyor.memory import HubMemory
from ombak.core.conveyor.snapshot import GateAnswer
from ombak.core.conveyor.world import World, no_gates
from ombak.core.gates.gate import Held
from support.conveyor import hours, inside, push, region, running, spec, stage, version_of, world

V1, V2 = (version_of(tag) for tag in ("v1", "v2"))
STAGES = [stage("alpha", "a-1"), stage("prod", "p-1", "p-2")]
VALUES = [{"regions": {"matchLabels": {"cloud": "gcp"}}, "env": {"DB": "db.gcp"}}]


def delivered(**more: Any) -> World:
    """V2 runs everywhere, where v1 ran before."""
    w = world(spec("v1", STAGES, **more), [region(n) for n in ("a-1", "p-1", "p-2")])
    w.run(w.now + hours(12))
    push(w, "v2")
    w.run(w.now + hours(12))
    assert set(running(w).values()) == {V2}
    return w


def edit(w: World, name: str, change: dict[str, Any]) -> None:
    """Somebody edits the Rollout in a region by hand."""
    r = w.regions[name].rollouts["shop"]
    r.manifest = copy.deepcopy(r.manifest)
    r.manifest["spec"] |= change
    r.generation, r.version = r.generation + 1, r.version + 1


def test_to_abort_a_version_in_a_stage_that_is_new_to_it_stops_it_there() -> None:
    """It was delivered by a plan that had fewer stages: where it never ran before, it is no change of settings."""
    alpha, beta, prod = stage("alpha", "a-1"), stage("beta", "b-1"), stage("prod", "p-1")
    w = world(spec("v1", [alpha, beta, prod]), [region(n) for n in ("a-1", "b-1", "p-1")])
    w.run(w.now + hours(12))
    push(w, "v2", stages=[alpha, prod])
    w.run(w.now + hours(12))
    push(w, "v2", stages=[alpha, beta, prod])
    w.settle()
    assert inside(w) == {"beta": V2}
    w.pipeline = dataclasses.replace(w.pipeline, abort=V2)
    last = w.run(w.now + hours(12))

    assert (last.reason, running(w)) == ("Rejected", {"a-1": V2, "b-1": V1, "p-1": V2})


def test_to_abort_a_change_of_settings_stops_a_region_that_gets_the_version_late_and_no_other() -> None:
    """It was passed over when the version was delivered; where that runs, it stays."""
    stages = [stage("alpha", "a-1"), stage("prod", "p-1", "p-2", onRegionUnreachable="Skip")]
    w = world(spec("v1", stages), [region(n) for n in ("a-1", "p-1", "p-2")])
    w.run(w.now + hours(12))
    push(w, "v2")
    w.silent.add("p-2")
    w.run(w.now + hours(12))
    made = w.pipeline.spec["rollout"]["spec"]
    rollout = {"spec": {**made, "progressDeadline": "20m"}}
    w.pipeline = dataclasses.replace(w.pipeline, spec={**w.pipeline.spec, "rollout": rollout})
    held = Held("window", "Window office-hours to open", "its owner", "kubectl get windows")
    w.set_gates(lambda _now: (GateAnswer("prod", held, region="p-2"),))
    w.silent.clear()
    w.settle()
    w.set_gates(no_gates)
    w.settle()
    assert (inside(w), w.regions["p-2"].rollouts["shop"].flying) == ({"prod": V2}, V2)
    w.pipeline = dataclasses.replace(w.pipeline, abort=V2)
    w.run(w.now + hours(12))

    assert running(w) == {"a-1": V2, "p-1": V2, "p-2": V1}


def test_a_change_that_has_begun_nothing_keeps_no_region_from_a_newer_one() -> None:
    """Its stage has another name by now, and what holds it there may never end."""
    w = world(spec("v1", STAGES), [region(n) for n in ("a-1", "p-1", "p-2")])
    w.run(w.now + hours(12))
    push(w, "v2")
    w.run(w.now + hours(1))
    held = Held("window", "Window office-hours to open", "its owner", "kubectl get windows")
    w.set_gates(lambda _now: tuple(GateAnswer("prod", held, region=name) for name in ("p-1", "p-2")))
    w.run(w.now + hours(1))
    assert inside(w) == {"prod": V2}
    push(w, "v3", stages=[STAGES[0], {**STAGES[1], "name": "production"}])
    last = w.run(w.now + hours(12))

    assert (last.reason, set(running(w).values())) == ("Delivered", {version_of("v3")})


def test_a_hand_edit_is_not_written_over_because_the_memory_was_lost() -> None:
    """With handEdits: Report it is told, as before."""
    w = delivered()
    made = w.regions["p-2"].rollouts["shop"].manifest["spec"]["strategy"]
    edit(w, "p-2", {"strategy": {**made, "oneBox": {"bake": {"for": "77m"}}}})
    last = w.run(w.now + hours(1))
    assert last.reason == "Edited"
    w.memory = HubMemory()
    last = w.run(w.now + hours(12))
    assert last.reason == "Edited"
    assert w.regions["p-2"].rollouts["shop"].manifest["spec"]["strategy"]["oneBox"] == {"bake": {"for": "77m"}}


def test_a_template_that_was_edited_by_hand_is_no_other_setting() -> None:
    """The memory is lost, and it is the only region of its stage."""
    w = delivered()
    made = copy.deepcopy(w.regions["a-1"].rollouts["shop"].manifest["spec"]["template"])
    made["spec"]["containers"][0]["image"] = "registry.example/app:by-hand"
    edit(w, "a-1", {"template": made})
    w.run(w.now + hours(12))
    w.memory = HubMemory()
    last = w.run(w.now + hours(12))
    assert last.reason == "Edited"
    assert w.regions["a-1"].rollouts["shop"].manifest["spec"]["template"] == made


def test_a_base_brings_back_what_was_on_its_way_however_late_a_region_answers() -> None:
    """The verdict was heard while a region was silent."""
    w = world(spec("v1", STAGES), [region(n) for n in ("a-1", "p-1", "p-2")])
    w.run(w.now + hours(12))
    push(w, "v2")
    w.run(w.now + hours(2))
    assert inside(w) == {"prod": V2}
    w.pipeline = dataclasses.replace(w.pipeline, spec={k: v for k, v in w.pipeline.spec.items() if k != "rollout"})
    w.silent.add("p-2")
    w.regions["p-1"].becomes_ill(V2)
    last = w.run(w.now + hours(1))
    assert last.reason == "Invalid"
    assert f"spec.rollout is gone, but on its way back is Region p-2 from {V2}" in last.message
    assert any("cannot be reached" in wait.what for wait in last.waits if wait.region == "p-2")
    w.silent.clear()
    last = w.run(w.now + hours(12))

    assert (last.reason, running(w)["p-1"], running(w)["p-2"]) == ("Base", V1, V1)
    assert w.regions["p-2"].rollouts["shop"].wanted == V1


def test_new_values_start_where_nothing_holds_them_with_put_back_too() -> None:
    """A paused Pipeline starts nothing."""
    w = world(spec("v1", STAGES, values=VALUES, handEdits="PutBack"), [region(n) for n in ("a-1", "p-1", "p-2")])
    w.run(w.now + hours(24))
    w.pipeline = dataclasses.replace(w.pipeline, spec={**w.pipeline.spec, "paused": True})
    w.add(region("p-2", labels={"cloud": "gcp"}))
    made = w.step()
    assert ([x.reason for x in made.waits], made.actions) == (["Paused"], ())
    w.pipeline = dataclasses.replace(w.pipeline, spec={**w.pipeline.spec, "paused": False})
    made = w.step()
    assert {a.region for a in made.actions if isinstance(a, plan.ApplyRollout)} == {"p-2"}


def test_new_values_go_to_no_more_regions_at_once_than_the_stage_allows() -> None:
    """maxParallel holds for them as for any start."""
    stages = [stage("prod", *(f"p-{n}" for n in range(4)), maxParallel=1)]
    w = world(spec("v1", stages, values=VALUES), [region(f"p-{n}") for n in range(4)])
    w.run(w.now + hours(24))
    push(w, "v2")
    w.run(w.now + hours(3.9))
    assert list(running(w).values()).count(V2) == 3
    for n in range(4):
        w.add(region(f"p-{n}", labels={"cloud": "gcp"}))
    most = 0
    for _ in range(60):
        w.step()
        w.tick(hours(0.1))
        most = max(most, sum(bool(m.rollouts["shop"].flying) for m in w.regions.values()))
    last = w.run(w.now + hours(12))
    given = [m.rollouts["shop"].manifest["spec"]["template"] for m in w.regions.values()]
    assert (most, last.reason) == (1, "Delivered")
    assert all(t["spec"]["containers"][0]["env"] == [{"name": "DB", "value": "db.gcp"}] for t in given)


def test_a_hand_edit_is_not_written_over_with_new_values() -> None:
    """Somebody edited the template, and labels changed as well: that is told, and not undone."""
    w = world(spec("v1", STAGES, values=VALUES), [region(n) for n in ("a-1", "p-1", "p-2")])
    w.run(w.now + hours(12))
    push(w, "v2")
    w.run(w.now + hours(2))
    made = copy.deepcopy(w.regions["p-2"].rollouts["shop"].manifest["spec"]["template"])
    made["spec"]["containers"][0]["image"] = "registry.example/app:by-hand"
    edit(w, "p-2", {"template": made})
    w.add(region("p-2", labels={"cloud": "gcp"}))
    w.run(w.now + hours(12))
    assert w.regions["p-2"].rollouts["shop"].manifest["spec"]["template"] == made


def test_a_retry_that_waits_for_a_placement_is_not_called_aborted() -> None:
    """What it waits for is told, and nothing that is not true."""
    w = world(spec("v1", STAGES), [region(n) for n in ("a-1", "p-1", "p-2")])
    w.run(w.now + hours(12))
    push(w, "v2")
    w.regions["a-1"].becomes_ill(V2)
    w.run(w.now + hours(2))
    del w.regions["p-2"], w.views["p-2"]
    w.pipeline = dataclasses.replace(w.pipeline, retry=V2)
    w.step()
    assert [x.reason for x in w.step().waits] == ["Invalid"]
