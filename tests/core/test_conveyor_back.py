"""Taking back over many regions: how far it reaches, that slots wait for it, and what may come afterwards."""

import dataclasses
from datetime import datetime
from typing import Any

import pytest

from ombak.core.conveyor.plan import ApplyRollout, RecordRejected
from ombak.core.conveyor.report import status
from ombak.core.conveyor.snapshot import GateAnswer
from ombak.core.conveyor.world import World
from ombak.core.gates.gate import Held
from support.conveyor import hours, inside, push, region, running, spec, stage, version_of, world
from support.conveyor import template as template_of

V1, V2, V3 = (version_of(tag) for tag in ("v1", "v2", "v3"))

HELD = Held("window", "Window office-hours to open", "its owner", "kubectl get windows")


def three(scope: str) -> World:
    """Two stages of one and three regions, in which v1 runs; the second takes its regions in turn."""
    stages = [stage("alpha", "a-1"), stage("prod", "p-1", "p-2", "p-3", maxParallel=1)]
    w = world(spec("v1", stages, revertScope=scope), [region(n) for n in ("a-1", "p-1", "p-2", "p-3")])
    w.run(w.now + hours(12))
    return w


def in_second_region(scope: str) -> World:
    """V2 is stable in a-1 and p-1, and on its way in p-2."""
    w = three(scope)
    push(w, "v2")
    w.run(w.now + hours(3))
    assert running(w) == {"a-1": V2, "p-1": V2, "p-2": V1, "p-3": V1}
    assert w.regions["p-2"].rollouts["shop"].flying == V2
    return w


@pytest.mark.parametrize(
    ("scope", "stays"),
    [
        pytest.param("Region", {"a-1": V2, "p-1": V2}, id="region"),
        pytest.param("Stage", {"a-1": V2, "p-1": V1}, id="stage"),
        pytest.param("Everywhere", {"a-1": V1, "p-1": V1}, id="everywhere"),
    ],
)
def test_a_revert_reaches_as_far_as_its_scope(scope: str, stays: dict[str, str]) -> None:
    """Regions that finished it go back within the scope; nobody else gets it."""
    w = in_second_region(scope)
    w.regions["p-2"].becomes_ill(V2)

    w.run(w.now + hours(1))

    assert running(w) == {"p-2": V1, "p-3": V1} | stays
    assert w.artifacts[V2].rejection is not None
    assert w.artifacts[V2].rejection.scope == scope
    assert inside(w) == {}


def test_the_verdict_is_recorded_before_anything_else_is_done() -> None:
    """A hub that dies in between must not deliver it once more."""
    w = in_second_region("Stage")
    w.regions["p-2"].becomes_ill(V2)
    w.tick()
    w.look()

    made = w.step(writes=1)

    assert isinstance(made.actions[0], RecordRejected)
    assert (made.actions[0].region, made.actions[0].stage) == ("p-2", "prod")
    w.run(w.now + hours(1))
    assert running(w)["p-3"] == V1


def test_a_slot_stays_taken_until_its_reverts_have_ended() -> None:
    """The next change waits for regions on their way back, and says so."""
    w = in_second_region("Stage")
    push(w, "v3")
    w.run(w.now + hours(1.4))
    w.regions["p-3"].becomes_ill(V2)
    w.tick()
    made = w.step()

    wait = next(x for x in made.waits if x.artifact == V3)
    assert (wait.reason, wait.stage) == ("Reverting", "prod")
    w.run(w.now + hours(0.2))
    assert inside(w) == {"prod": V3}
    w.run(w.now + hours(12))
    assert set(running(w).values()) == {V3}


def test_afterwards_the_spec_of_a_region_says_what_runs_there() -> None:
    """Template and annotations are those of the version that is back; the rejected id stays named."""
    w = in_second_region("Stage")
    w.regions["p-2"].becomes_ill(V2)
    w.run(w.now + hours(1))

    rollout = w.regions["p-2"].rollouts["shop"]
    told = rollout.manifest["metadata"]["annotations"]
    assert (rollout.wanted, rollout.phase) == (V1, "Stable")
    assert (told["ombak.dev/version"], told["ombak.dev/sequence"]) == (V1, "1")
    assert rollout.manifest["spec"]["rejected"] == [V2]


@pytest.mark.parametrize("scope", ["Region", "Stage", "Everywhere"])
def test_the_settings_of_what_was_taken_back_go_with_it(scope: str) -> None:
    """A change of version and bake at once: nobody edited anything, so nobody is accused of it."""
    w = three(scope)
    slow = [stage("alpha", "a-1"), stage("prod", "p-1", "p-2", "p-3", maxParallel=1, bake={"for": "2h"})]
    push(w, "v2", stages=slow)
    w.run(w.now + hours(4))
    assert w.regions["p-2"].rollouts["shop"].flying == V2
    w.regions["p-2"].becomes_ill(V2)
    made = w.run(w.now + hours(3))

    went_back = [name for name, version in running(w).items() if version == V1 and name != "a-1"]
    bakes = {w.regions[n].rollouts["shop"].manifest["spec"]["strategy"]["bake"]["for"] for n in went_back}
    assert ("p-2" in went_back, bakes) == (True, {"1h"})
    assert not [r for s in made.stages for r in s.regions if r.state == "Edited"]
    assert {wait.reason for wait in made.waits} == {"Rejected"}


def test_a_rejected_version_is_not_tried_again_until_somebody_names_it() -> None:
    """The wait says who and how; a retry then goes all the way, as a new change."""
    w = in_second_region("Stage")
    w.regions["p-2"].becomes_ill(V2)
    last = w.run(w.now + hours(4))
    assert (last.reason, inside(w)) == ("Rejected", {})
    wait = next(x for x in last.waits if x.reason == "Rejected")
    assert wait.command == f"kubectl -n shop annotate ompl front-end --overwrite ombak.dev/retry={V2}"

    w.regions["p-2"].recovers(V2)
    w.pipeline = dataclasses.replace(w.pipeline, retry=V2)
    w.run(w.now + hours(24))

    assert set(running(w).values()) == {V2}
    assert w.memory.sequence == 3


def test_a_retry_that_fails_again_is_rejected_again() -> None:
    """And the same words then change nothing: another retry needs other words."""
    w = in_second_region("Stage")
    w.regions["p-2"].becomes_ill(V2)
    w.run(w.now + hours(4))
    for _ in range(2):
        w.pipeline = dataclasses.replace(w.pipeline, retry=V2)
        last = w.run(w.now + hours(12))

    assert (last.reason, w.memory.sequence) == ("Rejected", 3)
    assert next(x for x in last.waits if x.reason == "Rejected").command.endswith(f"{V2}.2")


def test_what_was_rejected_before_does_not_start_when_it_is_asked_for_again() -> None:
    """A, B, A where A was rejected: only a retry that names it helps."""
    w = in_second_region("Everywhere")
    w.regions["p-2"].becomes_ill(V2)
    w.run(w.now + hours(1))
    push(w, "v1")
    w.run(w.now + hours(12))
    push(w, "v2")
    last = w.run(w.now + hours(12))

    assert last.reason == "Rejected"
    assert set(running(w).values()) == {V1}


def test_an_abort_takes_a_change_back_wherever_it_has_not_finished() -> None:
    """One annotation on the Pipeline, which names the artifact."""
    w = in_second_region("Region")
    w.pipeline = dataclasses.replace(w.pipeline, abort=V2)

    w.run(w.now + hours(1))

    assert running(w) == {"a-1": V2, "p-1": V2, "p-2": V1, "p-3": V1}
    assert w.pipeline.abort == ""
    assert w.artifacts[V2].rejection is not None
    assert w.artifacts[V2].rejection.reason == "Aborted"


def test_an_abort_said_together_with_the_wish_is_about_it() -> None:
    """Both are seen in one decision: it is queued and taken back, told at once, and no region ever sees it."""
    w = three("Stage")
    push(w, "v2")
    w.pipeline = dataclasses.replace(w.pipeline, abort=V2)
    made = w.step()

    assert [type(a).__name__ for a in made.actions] == ["EnsureArtifact", "RecordRejected", "ClearCommand"]
    assert made.reason == "Rejected"
    w.run(w.now + hours(12))
    assert set(running(w).values()) == {V1}


@pytest.mark.parametrize(
    ("command", "told"),
    [
        pytest.param({"abort": "a1typo"}, f"on its way: {V2} (change 2)", id="abort-of-nothing"),
        pytest.param({"abort": V1}, f"ombak.dev/abort={V2}", id="abort-of-what-is-done"),
        pytest.param({"retry": "a1typo"}, "names no version that was taken back", id="retry-of-nothing"),
        pytest.param({"retry": V2}, "names no version that was taken back", id="retry-of-what-is-on-its-way"),
    ],
)
def test_a_command_that_names_nothing_says_so(command: dict[str, str], told: str) -> None:
    """In an incident a typo must not look like success: an Event, and a condition that outlives the annotation."""
    w = in_second_region("Stage")
    w.pipeline = dataclasses.replace(w.pipeline, **command)  # type: ignore[arg-type]  # abort or retry
    made = w.step()

    (note,) = [n for n in made.notes if n.reason == "NamesNothing"]
    assert (told in note.message, note.is_warning) == (True, True)
    found = status(w.snapshot(), made, {}, w.now)
    assert (w.pipeline.abort, w.pipeline.retry) == ("", "")
    after = w.step()
    assert after.notes == ()
    (heard,) = unheard(status(w.snapshot(), after, found, w.now))
    assert (heard["status"], heard["message"]) == ("False", note.message)


def unheard(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The condition about commands, if it is there."""
    return [c for c in found["conditions"] if c["type"] == "CommandHeard"]


def test_the_next_command_or_spec_takes_the_word_off() -> None:
    """Whoever corrects the typo sees that it was one no longer."""
    w = in_second_region("Stage")
    w.pipeline = dataclasses.replace(w.pipeline, abort="a1typo")
    old = status(w.snapshot(), w.step(), {}, w.now)
    w.pipeline = dataclasses.replace(w.pipeline, generation=9)
    assert unheard(status(w.snapshot(), w.step(), old, w.now)) == []
    w.pipeline = dataclasses.replace(w.pipeline, generation=2, abort=V2)
    s = w.snapshot()
    assert unheard(status(s, w.step(), old, w.now)) == []


def test_a_command_that_was_carried_out_is_not_told_twice() -> None:
    """The annotation may be there for one more look."""
    w = in_second_region("Stage")
    w.pipeline = dataclasses.replace(w.pipeline, abort=V2)
    w.step()
    w.pipeline = dataclasses.replace(w.pipeline, abort=V2)
    assert w.step().unheard == ""
    w.pipeline = dataclasses.replace(w.pipeline, abort="", retry=V2)
    w.step()
    w.pipeline = dataclasses.replace(w.pipeline, retry=V2)
    assert w.step().unheard == ""


def test_the_same_retry_once_more_says_how_to_write_the_next_one() -> None:
    """It was used up by the first time."""
    w = in_second_region("Stage")
    for command in ({"abort": V2}, {"retry": V2}, {"abort": V2}):
        w.pipeline = dataclasses.replace(w.pipeline, **command)  # type: ignore[arg-type]  # abort or retry
        w.step()
    w.pipeline = dataclasses.replace(w.pipeline, retry=V2)
    made = w.step()

    assert f"ombak.dev/retry={V2}.2" in made.unheard
    assert w.artifacts[V2].rejection is not None


@pytest.mark.parametrize("template", ["v1", "by-hand"])
def test_nobody_is_taken_back_for_the_version_that_a_region_only_names(template: str) -> None:
    """An annotation proves nothing: what runs there is another version, or somebody's own."""
    w = in_second_region("Stage")
    w.regions["p-2"].becomes_ill(V2)
    w.run(w.now + hours(1))
    assert w.artifacts[V2].rejection is not None
    made = w.regions["p-3"].rollouts["shop"]
    made.manifest["metadata"]["annotations"]["ombak.dev/version"] = V2
    made.manifest["spec"]["template"] = template_of(template)
    made.version += 1
    w.run(w.now + hours(3))

    assert made.manifest["spec"].get("rejected") is None
    assert made.wanted == V1
    push(w, "v3")
    w.run(w.now + hours(12))
    assert set(running(w).values()) == {V3}


def test_a_region_whose_values_changed_meanwhile_is_taken_back_all_the_same() -> None:
    """What it runs is that version with the values of then; nobody can tell by today's."""
    values = [{"regions": {"matchLabels": {"cloud": "gcp"}}, "env": {"DB": "db.gcp.example"}}]
    stages = [stage("alpha", "a-1"), stage("prod", "p-1")]
    w = world(spec("v1", stages, values=values, revertScope="Everywhere"), [region("a-1"), region("p-1")])
    w.run(w.now + hours(12))
    push(w, "v2")
    w.run(w.now + hours(2))
    w.add(region("a-1", labels={"ombak.dev/cloud": "gcp"}))
    old = w.regions["a-1"].rollouts["shop"]
    bad = old.wanted
    w.pipeline = dataclasses.replace(w.pipeline, abort=w.memory.items[-1].version)
    w.run(w.now + hours(2))

    assert bad in old.bad
    assert old.manifest["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":v1")


def test_an_abort_between_two_stages_takes_back_the_one_that_it_passed() -> None:
    """What waits before the next stage is in none; `revertScope: Stage` means the last one then."""
    w = three("Stage")
    w.set_gates(lambda _now: (GateAnswer("prod", HELD),))
    push(w, "v2")
    w.run(w.now + hours(6))
    assert (running(w)["a-1"], inside(w)) == (V2, {})
    w.pipeline = dataclasses.replace(w.pipeline, abort=V2)
    w.run(w.now + hours(6))

    assert set(running(w).values()) == {V1}
    assert w.artifacts[V2].rejection is not None
    assert (w.artifacts[V2].rejection.stage, w.artifacts[V2].rejection.scope) == ("alpha", "Stage")


def test_a_change_whose_artifact_is_gone_says_so_and_can_be_aborted() -> None:
    """There is nothing to deliver and nowhere to write a verdict: whoever aborts it lets the next one go on."""
    w = three("Stage")
    push(w, "v2")
    w.run(w.now + hours(3))
    push(w, "v1")
    w.step()
    del w.artifacts[V2]
    made = w.step()
    told = next(x for x in made.waits if x.reason == "Artifact")
    assert (f"the Artifact of {V2}" in told.what, told.command.endswith(f"ombak.dev/abort={V2}")) == (True, True)

    w.pipeline = dataclasses.replace(w.pipeline, abort=V2)
    w.step()
    w.pipeline = dataclasses.replace(w.pipeline, abort="")
    assert V2 not in inside(w).values()
    w.run(w.now + hours(24))
    assert set(running(w).values()) == {V1}


def test_reverts_do_not_wait_for_a_paused_or_invalid_pipeline() -> None:
    """Nothing starts then, but what is bad goes back."""
    w = in_second_region("Stage")
    w.pipeline = dataclasses.replace(w.pipeline, spec={**w.pipeline.spec, "paused": True, "stages": []})
    w.regions["p-2"].becomes_ill(V2)

    w.run(w.now + hours(1))

    assert running(w) == {"a-1": V2, "p-1": V1, "p-2": V1, "p-3": V1}


def test_a_first_version_that_fails_makes_room_for_its_fix() -> None:
    """There is nothing to go back to, so the slot is free at once."""
    w = world(spec("v1", [stage("alpha", "a-1")]), [region("a-1")])
    w.regions["a-1"].becomes_ill(V1)
    last = w.run(w.now + hours(3))
    assert last.reason == "Rejected"

    push(w, "v2")
    w.run(w.now + hours(3))

    assert running(w) == {"a-1": V2}


def test_a_revert_writes_nothing_but_what_it_must() -> None:
    """One write to name the id, one to bring the spec in line; regions that never had it get none."""
    w = in_second_region("Stage")
    w.regions["p-2"].becomes_ill(V2)
    written = []
    for _ in range(12):
        w.tick(hours(0.02))
        written += [(a.region, a.why) for a in w.step().actions if isinstance(a, ApplyRollout)]

    assert sorted(written) == [
        ("p-1", f"{V2} was rejected"),
        ("p-1", f"it is back on {V1}"),
        ("p-2", f"it is back on {V1}"),
    ]


def test_what_a_newer_change_stood_for_does_not_start_when_that_one_is_aborted() -> None:
    """It is written in a region that a Blocker there holds: it would start by itself, and nobody would speak for it."""
    w = world()
    w.run(w.now + hours(12))
    model = w.regions["r-alpha"]

    def blocked(_now: datetime) -> None:
        for r in model.rollouts.values():
            r.phase, r.observed = "Stable" if r.wanted == r.stable else "Blocked", r.generation

    model.tick = blocked  # type: ignore[method-assign]
    push(w, "v2")
    w.settle()
    assert model.rollouts["shop"].wanted == V2
    held = Held("blocker", "Blocker shop/freeze to be lifted", "sre", "kubectl delete blocker freeze")
    w.set_gates(lambda _now: (GateAnswer("alpha", held, "r-alpha"),))
    push(w, "v3")
    w.settle()
    assert inside(w) == {"alpha": V3}
    w.pipeline = dataclasses.replace(w.pipeline, abort=V3)
    w.settle()
    w.set_gates(lambda _now: ())
    w.settle()

    assert model.rollouts["shop"].wanted == V1


@pytest.mark.parametrize(
    ("policy", "ends", "third"), [("Report", "Edited", V1), ("PutBack", "Delivered", V2)], ids=["report", "put-back"]
)
def test_what_a_region_took_back_of_a_hand_edit_is_no_verdict_on_the_version(
    policy: str, ends: str, third: str
) -> None:
    """It takes nothing back in the regions that run the version well; it is told as the edit that it is."""
    w = in_second_region("Stage")
    w.pipeline = dataclasses.replace(w.pipeline, spec={**w.pipeline.spec, "handEdits": policy})
    region = w.regions["p-1"]
    made = region.rollouts["shop"].manifest
    region.becomes_ill(version_of("bad"))
    edited = {**made, "spec": {**made["spec"], "template": template_of("bad")}}
    region.apply("shop", edited, str(region.rollouts["shop"].version))
    for _ in range(40):  # the region tries it, and takes it back, before the hub looks
        w.tick(hours(0.05))
    assert region.rollouts["shop"].phase == "Reverted"
    last = w.run(w.now + hours(12))

    assert w.artifacts[V2].rejection is None
    assert last.reason == ends
    assert running(w) == {"a-1": V2, "p-1": V2, "p-2": V2, "p-3": third}
    assert policy == "PutBack" or "spec.template" in next(x.what for x in last.waits if x.region == "p-1")
