"""Stages, regions and settings that change while changes are on their way: nothing bad goes on, nothing is lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from ombak.core.conveyor import report
from ombak.core.conveyor.decide import decide
from ombak.core.conveyor.memory import HubMemory
from ombak.core.conveyor.snapshot import GateAnswer, JobState
from ombak.core.conveyor.world import World, no_gates
from ombak.core.gates.gate import Held
from support.conveyor import hours, inside, push, region, running, spec, stage, version_of, world

V1, V2, V3 = (version_of(tag) for tag in ("v1", "v2", "v3"))
STAGES = [stage("alpha", "a-1"), stage("prod", "p-1", "p-2")]
FEWER = [stage("alpha", "a-1"), stage("prod", "p-1")]
JOB = {"spec": {"template": {"spec": {"containers": [{"name": "test", "image": "registry.example/test:1"}]}}}}


def in_prod(**more: Any) -> World:
    """V2 is on its way in the second stage, in both of its regions; v1 runs there."""
    w = world(spec("v1", STAGES, **more), [region(n) for n in ("a-1", "p-1", "p-2")])
    w.run(w.now + hours(12))
    push(w, "v2")
    w.run(w.now + hours(2))
    assert (set(inside(w)), running(w)["p-2"]) == ({"prod"}, V1)
    return w


def out_of_the_names(w: World) -> None:
    """Somebody takes the region out of its stage."""
    push(w, "v2", stages=FEWER)


def out_of_the_region(w: World) -> None:
    """The region lets the Pipeline's namespace in no longer."""
    w.add(region("p-2", allow=("others",)))


@pytest.mark.parametrize("leaves", [out_of_the_names, out_of_the_region])
@pytest.mark.parametrize("is_aborted", [False, True], ids=["reverted", "aborted"])
def test_a_region_that_was_moved_out_does_not_go_on_with_what_is_taken_back(
    leaves: Callable[[World], None], is_aborted: bool
) -> None:
    """It had not finished: nobody else would stop there what is known to be bad."""
    w = in_prod()
    leaves(w)
    w.settle()
    if is_aborted:
        w.pipeline = dataclasses.replace(w.pipeline, abort=V2)
    else:
        w.regions["p-1"].becomes_ill(V2)
    w.run(w.now + hours(12))

    assert (running(w)["p-1"], running(w)["p-2"]) == (V1, V1)
    assert w.regions["p-2"].rollouts["shop"].wanted == V1


def test_what_is_stable_where_a_region_was_moved_out_stays() -> None:
    """It is no longer this Pipeline's to take back, however far the verdict reaches."""
    w = in_prod(revertScope="Everywhere")
    w.run(w.now + hours(12))
    push(w, "v2", stages=FEWER)
    w.settle()
    w.regions["a-1"].rollouts["shop"].bad[V2] = "a guard"
    w.regions["a-1"].rollouts["shop"].phase = ""
    w.run(w.now + hours(12))

    assert running(w)["p-2"] == V2


def settings(w: World, bake: str) -> None:
    """Ask for the same version with another bake of the one box."""
    made = w.pipeline.spec["rollout"]["spec"]
    rollout = {"spec": {**made, "strategy": {**made["strategy"], "oneBox": {"bake": {"for": bake}}}}}
    w.pipeline = dataclasses.replace(w.pipeline, spec={**w.pipeline.spec, "rollout": rollout})


def bakes(w: World) -> dict[str, str]:
    """The bake of the one box, as it is written in each region."""
    made = {name: model.rollouts["shop"].manifest["spec"]["strategy"] for name, model in w.regions.items()}
    return {name: strategy["oneBox"]["bake"]["for"] for name, strategy in made.items()}


def test_to_abort_a_change_of_settings_takes_no_version_back() -> None:
    """What runs everywhere is not bad because somebody thinks better of a setting; that one goes back."""
    w = in_prod()
    w.run(w.now + hours(12))
    settings(w, "20m")
    w.step()
    assert bakes(w) == {"a-1": "20m", "p-1": "10m", "p-2": "10m"}
    w.pipeline = dataclasses.replace(w.pipeline, abort=V2)
    last = w.run(w.now + hours(12))

    assert set(running(w).values()) == {V2}
    assert w.artifacts[V2].rejection is None
    assert set(bakes(w).values()) == {"10m"}
    assert (last.reason, w.pipeline.abort) == ("Aborted", "")
    (told,) = last.waits
    assert f"({V2}) was aborted" in told.what
    settings(w, "30m")
    last = w.run(w.now + hours(12))
    assert (last.reason, set(bakes(w).values())) == ("Delivered", {"30m"})


def test_a_verdict_that_somebody_deletes_is_not_taken_for_a_delivery() -> None:
    """The spec asks for what was taken back, and nothing tells any more that it was."""
    w = in_prod()
    w.regions["p-1"].becomes_ill(V2)
    w.run(w.now + hours(12))
    del w.artifacts[V2]
    last = w.run(w.now + hours(1))

    assert last.reason == "Aborted"
    assert "its Artifact was deleted" in last.message
    found = {c["type"]: c["status"] for c in report.status(w.snapshot(), last, {}, w.now)["conditions"]}
    assert (found["Delivered"], found["Stalled"]) == ("False", "True")


@pytest.mark.parametrize("silent", [set(), {"p-1", "p-2"}], ids=["all answer", "some are silent"])
def test_a_pipeline_that_comes_back_with_other_settings_delivers_them(silent: set[str]) -> None:
    """Deleted and applied anew with another bake: nobody edited anything in a region."""
    w = in_prod()
    w.run(w.now + hours(12))
    w.memory = HubMemory()
    w.silent |= silent
    settings(w, "20m")
    w.settle()
    w.silent.clear()
    last = w.run(w.now + hours(12))

    assert (last.reason, last.waits) == ("Delivered", ())
    assert set(bakes(w).values()) == {"20m"}


def test_a_verdict_on_what_is_on_its_way_is_heard_at_once_though_the_settings_are_others() -> None:
    """The memory is lost, and all is to be delivered anew: not what a region has just taken back."""
    w = in_prod(revertScope="Everywhere")
    w.regions["p-1"].becomes_ill(V2)
    w.tick()
    w.memory = HubMemory()
    settings(w, "20m")
    w.step()

    assert w.artifacts[V2].rejection is not None
    last = w.run(w.now + hours(12))
    assert (last.reason, set(running(w).values())) == ("Rejected", {V1})


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_setting_by_hand_in_the_only_region_of_a_stage_is_told_from_another_plan(by_hand: bool) -> None:
    """Also when the memory is lost: the API server there knows who wrote it."""
    w = in_prod()
    w.run(w.now + hours(12))
    w.regions["a-1"].rollouts["shop"].manifest["spec"]["alarms"] = {"revert": "FALSE"}
    w.regions["a-1"].rollouts["shop"].version += 1
    w.memory = HubMemory()
    w.look()
    if by_hand:
        w.views["a-1"] = tuple(dataclasses.replace(f, others=frozenset({"spec.alarms"})) for f in w.views["a-1"])
    made = decide(w.snapshot(), w.now)

    found = [(x.region, "spec.alarms" in x.what) for x in made.waits if x.reason == "Edited"]
    assert found == ([("a-1", True)] if by_hand else [])
    assert made.memory.sequence == (2 if by_hand else 3)


def test_what_was_retried_is_still_a_retry_when_the_memory_is_lost() -> None:
    """Else the regions that took it back would do so once more, at once."""
    w = in_prod()
    w.regions["p-1"].becomes_ill(V2)
    w.run(w.now + hours(12))
    w.regions["p-1"].recovers(V2)
    held = Held("window", "Window office-hours to open", "its owner", "kubectl get windows")
    w.set_gates(lambda _now: (GateAnswer("prod", held),))
    w.pipeline = dataclasses.replace(w.pipeline, retry=V2)
    w.settle()
    assert [(i.version, i.stage, i.is_retry) for i in w.memory.items[1:]] == [(V2, "alpha", True)]
    w.memory = HubMemory()
    w.set_gates(no_gates)
    w.run(w.now + hours(12))

    assert set(running(w).values()) == {V2}


def env_of(w: World, name: str) -> list[str]:
    """What the variable of the values is in a region."""
    (container,) = w.regions[name].rollouts["shop"].manifest["spec"]["template"]["spec"]["containers"]
    return [each["value"] for each in container.get("env") or ()]


VALUES = [{"regions": {"matchLabels": {"cloud": c}}, "env": {"DB": f"db.{c}"}} for c in ("aws", "gcp")]


def test_a_region_whose_labels_change_in_the_middle_of_a_change_gets_its_values_with_it() -> None:
    """Nobody edited anything there, and nobody has to do anything."""
    w = in_prod(values=VALUES)
    w.add(region("p-2", labels={"cloud": "gcp"}))
    made = w.step()
    assert [x.reason for x in made.waits if x.region == "p-2"] == ["Values"]
    last = w.run(w.now + hours(12))

    assert (last.reason, env_of(w, "p-2"), env_of(w, "p-1")) == ("Delivered", ["db.gcp"], [])


def test_a_region_whose_labels_change_later_says_so_and_is_given_its_values_where_it_is_asked_for() -> None:
    """It is no edit; and no box is exchanged without anybody having asked for it."""
    w = in_prod(values=VALUES)
    w.run(w.now + hours(12))
    w.add(region("p-2", labels={"cloud": "gcp"}))
    last = w.run(w.now + hours(12))
    assert (last.reason, env_of(w, "p-2")) == ("Values", [])
    assert "its labels have changed" in last.message
    w.pipeline = dataclasses.replace(w.pipeline, spec={**w.pipeline.spec, "handEdits": "PutBack"})
    last = w.run(w.now + hours(12))
    assert (last.reason, env_of(w, "p-2")) == ("Delivered", ["db.gcp"])


def labelled(name: str, wave: str) -> Any:
    """A region of a wave."""
    return region(name, labels={"wave": wave})


def waves() -> list[dict[str, Any]]:
    """Two waves by label, the second with a test."""
    tests = [{"name": "smoke", "template": JOB}]
    return [
        stage("one", regions={"matchLabels": {"wave": "1"}}),
        stage("two", regions={"matchLabels": {"wave": "2"}}, tests=tests),
    ]


def renamed(w: World) -> None:
    """The stage with the test gets another name, and the next version comes with it."""
    push(w, "v3", stages=[waves()[0], waves()[1] | {"name": "zwei"}])


def relabelled(w: World) -> None:
    """The next version comes, and the region is taken into the first wave as well."""
    first = stage("one", regions={"matchExpressions": [{"key": "wave", "operator": "In", "values": ["1", "2"]}]})
    push(w, "v3", stages=[first, stage("three", "c-1")])


@pytest.mark.parametrize("plan", [renamed, relabelled])
def test_a_region_is_free_for_the_next_change_when_the_stage_of_the_earlier_one_is_over(
    plan: Callable[[World], None],
) -> None:
    """Under another name of its stage too: what is tested there is the version that the test is for."""
    w = world(spec("v1", waves()), [labelled("a-1", "1"), labelled("b-1", "2"), region("c-1")])
    w.run(w.now + hours(24))
    push(w, "v2")
    w.run(w.now + hours(1.5))
    assert inside(w) == {"two": V2}
    judged: list[tuple[str, str]] = []

    def smoke(job: dict[str, Any]) -> JobState:
        env = {e["name"]: e["value"] for e in job["spec"]["template"]["spec"]["containers"][0]["env"]}
        if env["OMBAK_SEQUENCE"] == "2" and inside(w).get("two") == V2:
            judged.append((env["OMBAK_ARTIFACT"], w.regions["b-1"].rollouts["shop"].wanted))
            return JobState.RUNNING if w.now < ends else JobState.PASSED
        return JobState.PASSED

    ends, w.test = w.now + hours(6), smoke
    plan(w)
    last = w.run(w.now + hours(4))
    wait = next(x for x in last.waits if x.artifact == V3)
    assert (set(judged), wait.reason) == ({(V2, V2)}, "Queued")
    assert "ombak.dev/abort" in wait.command
    w.run(ends)
    w.run(w.now + hours(24))
    assert running(w)["b-1"] == V3


def test_without_a_rollout_nothing_is_heard_and_what_is_on_its_way_is_not_left_alone() -> None:
    """A base takes no commands; one that was none a moment ago still takes back what is bad."""
    w = in_prod()
    bare = {k: v for k, v in w.pipeline.spec.items() if k != "rollout"}
    w.pipeline = dataclasses.replace(w.pipeline, spec=bare)
    last = w.settle()
    assert (last.reason, "spec.rollout is gone" in last.message) == ("Invalid", True)
    w.regions["p-1"].becomes_ill(V2)
    w.run(w.now + hours(1))
    assert (running(w)["p-1"], running(w)["p-2"]) == (V1, V1)

    w.pipeline = dataclasses.replace(w.pipeline, abort=V2, retry=V1)
    made = w.step()
    assert (made.reason, w.pipeline.abort, w.pipeline.retry) == ("Base", "", "")
    assert [note.reason for note in made.notes] == ["NamesNothing"] * 2
    assert f"ombak.dev/abort={V2} changes nothing: this Pipeline has no rollout" in made.unheard


def test_a_late_region_is_not_told_to_abort_what_is_delivered() -> None:
    """That would name nothing: the change has ended."""
    w = in_prod()
    w.run(w.now + hours(12))
    w.add(region("p-0"))
    w.add(region("p-3"))
    more = [stage("alpha", "a-1"), stage("prod", "p-1", "p-2", "p-0", "p-3", maxParallel=1)]
    push(w, "v2", stages=more)
    w.run(w.now + hours(12))
    for name in ("p-0", "p-3"):
        del w.regions[name].rollouts["shop"]
    last = w.settle()

    turn = next(wait for wait in last.waits if wait.reason == "Turn")
    assert (turn.who, turn.command) == ("time, as the others finish", "kubectl -n shop describe ompl front-end")


def test_a_slot_that_a_silent_region_keeps_says_so() -> None:
    """A region that does not answer goes nowhere by itself, as far as anybody can tell."""
    w = in_prod()
    w.regions["p-1"].becomes_ill(V2)
    w.silent.add("p-2")
    push(w, "v3")
    last = w.run(w.now + hours(1.4))
    wait = next(x for x in last.waits if x.artifact == V3 and x.stage == "prod")

    assert (wait.reason, "it cannot be reached" in wait.what) == ("Unreachable", True)
    assert "set onRegionUnreachable" in wait.who


def test_a_silent_region_in_no_stage_any_more_is_not_told_to_be_skipped() -> None:
    """Nothing passes it over where no stage has it; only its end, or its answer, ends the wait."""
    w = in_prod()
    out_of_the_names(w)
    w.settle()
    w.silent.add("p-2")
    w.regions["p-1"].becomes_ill(V2)
    last = w.run(w.now + hours(1))
    found = [x for x in last.waits if x.region == "p-2"]

    assert "Reverting" in {x.reason for x in found}
    assert {x.who for x in found} == {
        "whoever runs that cluster; or delete the Region, if it is gone for good: kubectl delete omreg p-2"
    }
    del w.regions["p-2"]
    assert not [x for x in w.settle().waits if x.region == "p-2"]


def test_a_slot_that_a_dead_operator_keeps_says_so() -> None:
    """Nobody there would take anything back."""
    w = in_prod()
    w.regions["p-1"].becomes_ill(V2)
    w.tick()
    for name in ("p-1", "p-2"):
        w.regions[name].facts = dataclasses.replace(w.regions[name].facts, silence="its operator gives no sign of life")
    found = [x for x in w.step().waits if "to be back from" in x.what]

    assert [(x.region, x.who) for x in found] == [(n, "whoever runs Ombak there") for n in ("p-1", "p-2")]
    assert all("no sign of life" in x.what for x in found)
