"""Regions that are silent, new, gone, edited or somebody else's; gates and turns; what lands there."""

import dataclasses
from typing import Any

import pytest

from ombak.core.conveyor.decide import decide
from ombak.core.conveyor.plan import ApplyObject, ApplyRollout, Claim, HubPlan, HubWait, RunTest
from ombak.core.conveyor.snapshot import GateAnswer, Refused, RegionWait
from ombak.core.conveyor.world import World
from ombak.core.floors import Floors
from ombak.core.gates.gate import Held
from support.conveyor import NOW, hours, inside, push, region, running, spec, stage, version_of, watch, world

V1, V2, V3 = (version_of(tag) for tag in ("v1", "v2", "v3"))
ONE = [stage("alpha", "a-1"), stage("prod", "p-1", "p-2")]


def small(
    stages: list[dict[str, Any]] | None = None, names: tuple[str, ...] = ("a-1", "p-1", "p-2"), **more: Any
) -> World:
    """Two stages of one and two regions, in which v1 runs."""
    w = world(spec("v1", ONE if stages is None else stages, **more), [region(n) for n in names])
    w.run(w.now + hours(12))
    return w


def wait_of(made: HubPlan, reason: str) -> HubWait:
    """The wait with this reason."""
    return next(w for w in made.waits if w.reason == reason)


def written(made: HubPlan) -> list[ApplyRollout]:
    """The Rollouts that are written."""
    return [a for a in made.actions if isinstance(a, ApplyRollout)]


def test_a_silent_region_holds_its_stage_and_says_so() -> None:
    """Silence is never success; it comes back by itself."""
    w = small()
    w.silent.add("p-2")
    push(w, "v2")
    last = w.run(w.now + hours(6))

    assert inside(w) == {"prod": V2}
    found = wait_of(last, "Unreachable")
    assert (found.region, found.stage, found.command) == ("p-2", "prod", "kubectl describe omreg p-2")
    assert next(r.state for s in last.stages for r in s.regions if r.name == "p-2") == "Unknown"

    w.silent.clear()
    w.run(w.now + hours(6))
    assert set(running(w).values()) == {V2}


def test_the_change_behind_tells_what_the_one_in_front_stands_still_for() -> None:
    """The newest change is what people look at; that it is queued is not why it stands still."""
    w = small([stage("alpha", "a-1"), stage("prod", "p-1", "p-2", "p-3", maxParallel=2)], ("a-1", "p-1", "p-2", "p-3"))
    w.silent.add("p-2")
    push(w, "v2")
    w.run(w.now + hours(1.5))
    push(w, "v3")
    last = w.run(w.now + hours(6))

    assert (last.reason, last.stage, last.version) == ("Queued", "prod", V3)
    assert last.message.startswith(
        f"stage prod to be free: {V2} (change 2) is in it, and waits for: Region p-2 to answer"
    )


def test_a_region_that_refuses_the_hub_is_told_apart_from_a_silent_one() -> None:
    """Whoever reads the wait knows that it is the credentials, not the network."""
    w = small()
    w.silent.add("p-2")
    w.regions["p-2"].facts = dataclasses.replace(w.regions["p-2"].facts, refusal="Unauthorized")
    push(w, "v2")
    last = w.run(w.now + hours(6))

    assert "Region p-2 to answer: it cannot be reached (Unauthorized), last" in wait_of(last, "Unreachable").what


def test_a_silent_region_may_be_passed_over_with_a_record_and_catches_up() -> None:
    """Only after `skip_after`, and what was passed over is remembered."""
    w = small(onRegionUnreachable="Skip")
    w.silent.add("p-2")
    push(w, "v2")
    last = w.run(w.now + hours(6))

    assert inside(w) == {}
    assert w.memory.items[-1].skipped == ("prod/p-2",)
    assert running(w)["p-2"] == V1
    assert last.message == f"{V2} runs in every stage, but for Region p-2 (stage prod): no answer."
    w.silent.clear()
    last = w.run(w.now + hours(6))
    assert running(w)["p-2"] == V2
    assert last.message == f"{V2} runs in every stage."


@pytest.mark.parametrize("by_stage", [False, True], ids=["pipeline", "stage"])
def test_passing_over_said_while_a_change_waits_counts_for_that_change(by_stage: bool) -> None:
    """The wait names it as the way out, and the plan of a change is frozen; so does waiting again, for the next one."""
    w = small()
    w.silent.add("p-2")
    push(w, "v2")
    last = w.run(w.now + hours(6))
    assert "set onRegionUnreachable: Skip" in wait_of(last, "Unreachable").who

    skip = {"onRegionUnreachable": "Skip"}
    push(w, "v2", **({"stages": [ONE[0], ONE[1] | skip]} if by_stage else skip))
    w.run(w.now + hours(24))

    assert inside(w) == {}
    assert w.memory.items[-1].skipped == ("prod/p-2",)
    push(w, "v3", stages=ONE, onRegionUnreachable="Hold")
    w.run(w.now + hours(24))
    assert "prod" in inside(w)


def test_a_change_has_not_waited_longer_than_it_is_there() -> None:
    """A Window that closed two days ago holds it since it was made; one that closes later, since then."""
    w = small()
    closed = Held("window", "Window office to open", "time", "kubectl edit window office", w.now - hours(48))
    w.set_gates(lambda _now: (GateAnswer("alpha", closed),))
    push(w, "v2")
    made = w.now
    w.settle()
    w.tick(hours(1))

    assert wait_of(w.settle(), "Window").since == made
    later = dataclasses.replace(closed, since=made + hours(0.5))
    w.set_gates(lambda _now: (GateAnswer("alpha", later),))
    assert wait_of(w.settle(), "Window").since == made + hours(0.5)


def test_before_it_is_passed_over_it_is_told_when() -> None:
    """Skip is set already; whoever reads on must not be told to set it."""
    w = small(onRegionUnreachable="Skip")
    push(w, "v2")
    w.run(w.now + hours(1.5))
    w.silent.add("p-2")
    since = w.now
    w.tick(hours(1 / 60))
    found = wait_of(w.settle(), "Unreachable")

    assert found.expected == since + w.snapshot().skip_after
    assert "after 5m of silence it is passed over" in found.what
    assert found.who == "time (onRegionUnreachable: Skip), or whoever runs that cluster"


def test_a_stage_of_which_nobody_answers_is_not_passed_over() -> None:
    """At least one region must have proven it."""
    w = small(onRegionUnreachable="Skip")
    w.silent |= {"p-1", "p-2"}
    push(w, "v2")
    last = w.run(w.now + hours(24))

    assert inside(w) == {"prod": V2}
    found = [w for w in last.waits if w.reason == "Unreachable"]
    assert [(each.region, each.who) for each in found] == [
        (name, "whoever runs that cluster") for name in ("p-1", "p-2")
    ]
    assert "no other region of stage prod answers" in found[0].what


def test_a_slow_region_does_not_delay_the_others_of_its_stage() -> None:
    """They start at once, unless maxParallel says otherwise."""
    w = small()
    w.silent.add("p-1")
    push(w, "v2")
    w.run(w.now + hours(3))

    assert running(w)["p-2"] == V2


def test_a_new_region_gets_what_its_stage_has_passed() -> None:
    """Registering it is enough (R93): it has the labels, or is left over."""
    w = small([stage("alpha", "a-1"), stage("rest", regions="Unplaced")])
    w.add(region("p-3"))
    w.run(w.now + hours(3))

    assert running(w) == {"a-1": V1, "p-1": V1, "p-2": V1, "p-3": V1}


def test_a_region_added_in_the_middle_of_a_wave_belongs_to_it() -> None:
    """The stages are frozen, who is in them is not."""
    w = small([stage("alpha", "a-1"), stage("rest", regions="Unplaced")])
    push(w, "v2")
    w.run(w.now + hours(1.5))
    assert inside(w) == {"rest": V2}
    w.add(region("p-3"))
    w.run(w.now + hours(0.5))

    assert w.regions["p-3"].rollouts["shop"].wanted == V2


def test_a_region_removed_in_the_middle_of_a_wave_is_left_as_it_is() -> None:
    """The others finish without it."""
    w = small()
    push(w, "v2")
    w.run(w.now + hours(1.5))
    gone = w.regions.pop("p-2")
    last = w.run(w.now + hours(3))

    assert last.reason == "Delivered"
    assert inside(w) == {}
    assert running(w) == {"a-1": V2, "p-1": V2}
    assert "shop" in gone.rollouts


def test_a_bad_region_that_comes_late_does_not_bring_the_others_back() -> None:
    """What is done elsewhere stays; that region says what is wrong, and with which command to go on."""
    w = small([stage("alpha", "a-1"), stage("rest", regions="Unplaced")])
    w.add(region("p-3"))
    w.regions["p-3"].becomes_ill(V1)
    last = w.run(w.now + hours(3))

    assert w.artifacts[V1].rejection is None
    assert running(w) == {"a-1": V1, "p-1": V1, "p-2": V1, "p-3": ""}
    assert wait_of(last, "TakenBack").command.startswith("kubectl --context p-3 -n shop annotate omr front-end")


def test_regions_take_their_turns() -> None:
    """With maxParallel of one the second starts when the first is stable."""
    w = small([stage("alpha", "a-1"), stage("prod", "p-1", "p-2", maxParallel=1)])
    push(w, "v2")
    last = w.run(w.now + hours(1.5))

    assert (w.regions["p-1"].rollouts["shop"].wanted, w.regions["p-2"].rollouts["shop"].wanted) == (V2, V1)
    turn = wait_of(last, "Turn")
    assert (turn.region, turn.who) == ("p-2", "time, as the others finish; or abort it")
    w.run(w.now + hours(6))
    assert set(running(w).values()) == {V2}


def test_nothing_is_written_into_a_namespace_that_is_not_the_teams() -> None:
    """Whoever may write a Pipeline must not get the hub's rights in every region by it."""
    w = small()
    push(w, "v2", stages=[stage("alpha", "a-1", namespace="shop-payments"), stage("prod", "p-1", "p-2")])
    last = w.run(w.now + hours(12))

    assert set(w.regions["a-1"].rollouts) == {"shop"}
    assert running(w)["p-1"] == V1
    assert "shop/shop-payments to its spec.allow.into" in next(wait.what for wait in last.waits)


def test_a_region_that_lets_nobody_in_any_more_holds_only_what_starts_there() -> None:
    """It says so where the change waits for it; the other regions of its stage, and what passed it, go on."""
    stages = [stage("alpha", "a-1", namespace="shop-a"), stage("prod", "p-1", "p-2", namespace="shop-p")]
    w = world(spec("v1", stages), [region(n, into=("shop/shop-*",)) for n in ("a-1", "p-1", "p-2")])
    w.run(w.now + hours(12))
    push(w, "v2")
    w.run(w.now + hours(0.5))
    assert inside(w) == {"alpha": V2}
    w.add(region("a-1"))
    w.add(region("p-2"))
    last = w.run(w.now + hours(12))

    assert (inside(w), running(w)) == ({"prod": V2}, {"a-1": V2, "p-1": V2, "p-2": V1})
    (found,) = (wait for wait in last.waits if wait.region)
    assert (found.region, "shop/shop-p to its spec.allow.into" in found.what) == ("p-2", True)
    w.add(region("p-2", into=("shop/shop-p",)))
    w.run(w.now + hours(12))
    assert running(w)["p-2"] == V2


def test_a_stage_into_which_nothing_may_start_is_not_entered() -> None:
    """No change takes the slot of a stage of which every region lets nobody in any more."""
    stages = [stage("alpha", "a-1"), stage("prod", "p-1", "p-2", namespace="shop-p")]
    w = world(spec("v1", stages), [region("a-1"), *(region(n, into=("shop/shop-*",)) for n in ("p-1", "p-2"))])
    w.run(w.now + hours(12))
    push(w, "v2")
    w.step()
    for name in ("p-1", "p-2"):
        w.add(region(name))
    last = w.run(w.now + hours(12))

    assert (inside(w), running(w)) == ({}, {"a-1": V2, "p-1": V1, "p-2": V1})
    assert "Region p-1 does not let" in wait_of(last, "Placement").what


HELD = Held("window", "Window office-hours to open", "its owner", "kubectl get windows", None, NOW + hours(60))


@pytest.mark.parametrize("where", [pytest.param("", id="stage"), pytest.param("p-2", id="region")])
def test_a_gate_holds_starts_and_nothing_else(where: str) -> None:
    """Of a whole stage, or of one region; it tells when it opens, and then the change goes on."""
    w = small()
    w.set_gates(lambda now: (GateAnswer("prod", HELD, where),) if now < NOW + hours(60) else ())
    push(w, "v2")
    last = w.run(NOW + hours(48))

    assert running(w)["p-2"] == V1
    assert running(w)["p-1"] == (V2 if where else V1)
    found = next(x for x in last.waits if x.what == HELD.what)
    assert (found.command, found.expected) == (HELD.command, HELD.expected)
    assert last.wake_at is not None
    w.run(NOW + hours(72))
    assert set(running(w).values()) == {V2}


def test_a_paused_pipeline_starts_nothing() -> None:
    """What is on its way in a region goes on by itself."""
    w = small()
    push(w, "v2", paused=True)
    last = w.run(w.now + hours(6))

    assert set(running(w).values()) == {V1}
    assert """-p '{"spec":{"paused":false}}'""" in wait_of(last, "Paused").command


def test_replicas_are_written_once_and_then_given_to_the_region() -> None:
    """An autoscaler there is never fought."""
    w = world(spec("v1", [stage("alpha", "a-1", replicas=3)]), [region("a-1")])
    first, second = w.step(), w.step()
    w.run(w.now + hours(3))
    push(w, "v2")

    assert written(first)[0].manifest["spec"]["replicas"] == 3
    assert second.actions == ()
    assert "replicas" not in written(w.step())[0].manifest["spec"]


@pytest.mark.parametrize("policy", ["Report", "PutBack"])
def test_a_hand_edit_in_a_region_is_reported_and_put_back_only_where_asked(policy: str) -> None:
    """What the hub does not write is people's own."""
    w = small(handEdits=policy)
    rollout = w.regions["p-1"].rollouts["shop"]
    rollout.manifest["spec"] |= {"progressDeadline": "1m", "alarms": {"revert": "FALSE"}}
    rollout.version += 1
    made = w.step()

    found = wait_of(made, "Edited")
    assert "spec.alarms" in found.what
    assert "progressDeadline" not in found.what
    assert [a.region for a in written(made)] == ([] if policy == "Report" else ["p-1"])


def test_a_region_that_runs_other_content_is_not_stable() -> None:
    """Its word alone does not count: the digest of what it keeps must be that of the artifact (P5)."""
    w = small()
    push(w, "v2")
    w.run(w.now + hours(1))
    w.tick(hours(1))
    w.look()
    s = w.snapshot()
    other = tuple(dataclasses.replace(f, stable_digest="sha256:other") for f in s.rollouts)

    assert inside(w) == {"alpha": V2}
    assert decide(s, w.now).memory.items[-1].stage == "prod"
    assert decide(dataclasses.replace(s, rollouts=other), w.now).memory.items[-1].stage == "alpha"


def test_of_two_hubs_the_second_touches_nothing_and_both_say_so() -> None:
    """The owner's name is on the Rollout; the other one leaves word."""
    w, other = small(), world(spec("v2", ONE), [region(n) for n in ("a-1", "p-1", "p-2")])
    other.hub = "hub-2"
    other.regions = w.regions
    made = other.step()

    assert [type(a) for a in made.actions if not hasattr(a, "version")] == [Claim]
    assert "belongs to the hub hub-1" in wait_of(made, "Conflict").what
    assert other.step().actions == ()
    assert wait_of(w.step(), "Claimed").what.startswith("the hub hub-2 to stop delivering shop/front-end in Region a-1")
    assert running(w) == {"a-1": V1, "p-1": V1, "p-2": V1}


def test_somebody_elses_rollout_is_not_touched() -> None:
    """The command hands it over."""
    w = small()
    for rollout in w.regions["a-1"].rollouts.values():
        rollout.manifest["metadata"]["annotations"].clear()
    push(w, "v2")
    made = w.run(w.now + hours(1))

    found = wait_of(made, "Conflict")
    assert "belongs to nobody that the hub knows" in found.what
    assert "--overwrite ombak.dev/hub=hub-1 ombak.dev/pipeline=shop/front-end" in found.command
    assert w.regions["a-1"].rollouts["shop"].wanted == V1


def objects(port: int) -> list[dict[str, Any]]:
    """A Service, an Alarm and a ConfigMap that travel along."""
    tracked = {"labels": {"argocd.argoproj.io/instance": "x", "team": "shop"}}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front-end", **tracked}, "spec": {"port": port}},
        {"apiVersion": "ombak.dev/v1alpha1", "kind": "Alarm", "metadata": {"name": "errors"}, "spec": watch(port)},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"port": str(port)}},
    ]


def test_what_watches_travels_first_and_the_rest_follows_when_it_is_stable() -> None:
    """Alarms and configuration before the Rollout, a Service after it; and nobody's tracking labels."""
    w = small([stage("alpha", "a-1")], ("a-1",), objects=objects(80))
    push(w, "v1", objects=objects(81))
    made = w.step()
    w.run(w.now + hours(3))
    first = [a.manifest["kind"] for a in made.actions if isinstance(a, ApplyObject)]

    assert first == ["Alarm", "ConfigMap"]
    found = w.regions["a-1"].objects
    assert found["shop", "Service", "front-end"]["spec"]["port"] == 81
    assert "argocd.argoproj.io/instance" not in found["shop", "Service", "front-end"]["metadata"]["labels"]
    maps = [name for (_, kind, name) in found if kind == "ConfigMap"]
    assert len(maps) == 2
    assert all(found["shop", "ConfigMap", name]["immutable"] for name in maps)


@pytest.mark.parametrize(
    ("refused", "reason", "what", "command"),
    [
        pytest.param(
            Refused("alarms.ombak.dev", "shop", "errors", "hub-2", "shop/front-end"),
            "Conflict",
            "alarms.ombak.dev/errors in the namespace shop of Region a-1 to be given over: it belongs to the hub hub-2",
            "kubectl --context a-1 -n shop annotate alarms.ombak.dev/errors --overwrite ombak.dev/hub=hub-1 "
            "ombak.dev/pipeline=shop/front-end",
            id="another-hub",
        ),
        pytest.param(
            Refused("services", "shop", "front-end", "hub-1", "shop/settings"),
            "Conflict",
            "it belongs to the Pipeline shop/settings",
            "annotate services/front-end",
            id="another-pipeline",
        ),
        pytest.param(
            Refused("services", "shop", "front-end"), "Conflict", "nobody that the hub knows", "annotate", id="nobody"
        ),
        pytest.param(
            Refused("services", "shop", "front-end", "hub-1", "shop/front-end", "somebody took out spec.ports"),
            "Edited",
            "to be as it was delivered: somebody took out spec.ports",
            """kubectl -n shop patch ompl front-end --type merge -p '{"spec":{"handEdits":"PutBack"}}'""",
            id="edited",
        ),
    ],
)
def test_an_object_that_is_left_alone_is_told(refused: Refused, reason: str, what: str, command: str) -> None:
    """At the start as well as when the rest follows: whose it is, or what was edited, and what to do."""
    w = small([stage("alpha", "a-1")], ("a-1",), objects=objects(80))
    push(w, "v1", objects=objects(81))
    starting = dataclasses.replace(w.snapshot(), refused={"a-1": refused}, unwritten={"a-1": str(refused)})
    w.step()
    w.run(w.now + hours(1))
    w.regions["a-1"].rollouts["shop"].manifest["metadata"]["annotations"]["ombak.dev/objects"] = "01d"
    w.look()
    resting = dataclasses.replace(w.snapshot(), refused={"a-1": refused}, unwritten={"a-1": str(refused)})

    for snapshot in (starting, resting):
        found = wait_of(decide(snapshot, w.now), reason)
        assert (what in found.what, command in found.command) == (True, True), found
        assert (found.region, found.stage) == ("a-1", "alpha")


@pytest.mark.parametrize(("hand_edits", "expected"), [("PutBack", ["front-end"]), ("Report", [])])
def test_an_edited_object_is_put_back_only_where_the_pipeline_says_so(hand_edits: str, expected: list[str]) -> None:
    """Only the one that was edited, and people are told."""
    w = small([stage("alpha", "a-1")], ("a-1",), objects=objects(80), handEdits=hand_edits)
    w.regions["a-1"].rollouts["shop"].manifest["metadata"]["annotations"]["ombak.dev/objects"] = "01d"
    w.look()
    refused = Refused("services", "shop", "front-end", "hub-1", "shop/front-end", "spec.ports")
    made = decide(dataclasses.replace(w.snapshot(), refused={"a-1": refused}), w.now)

    brought = [a for a in made.actions if isinstance(a, ApplyObject)]
    assert [a.manifest["metadata"]["name"] for a in brought if a.takes_back] == expected
    assert len(brought) == 3
    assert all(a.is_heir for a in brought)
    assert ["PutBack"] * len(expected) == [n.reason for n in made.notes if n.reason == "PutBack"]


ERRORS = ("shop", "Alarm", "errors")


def meddled(w: World, how: str) -> None:
    """Somebody meddles with the Alarm that travels along."""
    here = w.regions["a-1"].objects
    match how:
        case "deleted":
            del here[ERRORS]
        case "foreign":
            here[ERRORS]["metadata"]["annotations"]["ombak.dev/pipeline"] = "shop/other"
        case "added":
            here[ERRORS]["spec"]["guards"] = {}
        case "forged":
            here[ERRORS]["metadata"]["annotations"] |= {"ombak.dev/content": "f0rged", "ombak.dev/version": "a1forged"}
            here[ERRORS]["spec"] = watch(1)
        case _:
            here[ERRORS]["spec"] = watch(1)


@pytest.mark.parametrize("hand_edits", ["Report", "PutBack"])
@pytest.mark.parametrize(
    ("how", "reason", "told"),
    [
        pytest.param("edited", "Edited", "somebody edited spec.expression", id="edited"),
        pytest.param("forged", "Edited", "somebody edited spec.expression", id="edited-with-its-annotations"),
        pytest.param("deleted", "Edited", "somebody deleted it", id="deleted"),
        pytest.param("foreign", "Conflict", "belongs to the Pipeline shop/other", id="of-another-pipeline"),
    ],
)
def test_an_alarm_that_somebody_edited_is_told_when_it_happens(
    how: str, reason: str, told: str, hand_edits: str
) -> None:
    """Nothing is on its way; it is put right only where the Pipeline says so, and never taken from another one."""
    w = small([stage("alpha", "a-1")], ("a-1",), objects=objects(80), handEdits=hand_edits)
    meddled(w, how)
    made = w.step()

    found = wait_of(made, reason)
    assert (told in found.what, found.region, bool(found.command)) == (True, "a-1", True), found
    assert made.reason == reason
    brought = [a for a in made.actions if isinstance(a, ApplyObject)]
    is_put_back = hand_edits == "PutBack" and reason == "Edited"
    assert [(a.manifest["metadata"]["name"], a.takes_back) for a in brought] == [("errors", True)] * is_put_back
    assert [n.reason for n in made.notes] == ["PutBack"] * is_put_back
    after = w.run(w.now + hours(1))
    assert after.reason == ("Delivered" if is_put_back else reason)


def test_what_somebody_added_to_an_alarm_is_theirs() -> None:
    """The hub says what it says, and no more."""
    w = small([stage("alpha", "a-1")], ("a-1",), objects=objects(80), handEdits="PutBack")
    meddled(w, "added")

    assert (w.step().actions, w.step().reason) == ((), "Delivered")


def test_a_stage_does_not_end_while_one_of_its_alarms_is_edited() -> None:
    """What was proven under an alarm of somebody's own proves nothing."""
    w = small(objects=objects(80))
    push(w, "v2", objects=objects(80))
    w.run(w.now + hours(1))
    meddled(w, "edited")
    last = w.run(w.now + hours(12))

    assert inside(w) == {"alpha": w.memory.items[-1].version}
    assert wait_of(last, "Edited").stage == "alpha"
    w.regions["a-1"].objects[ERRORS]["spec"] = watch(80)
    assert w.run(w.now + hours(12)).reason == "Delivered"


def test_an_alarm_that_an_earlier_write_left_is_put_right_and_nobody_is_blamed() -> None:
    """The hub died between the Alarm and the Rollout, and the change was aborted."""
    w = small([stage("alpha", "a-1")], ("a-1",), objects=objects(80))
    push(w, "v2", objects=objects(81))
    w.step(writes=3)
    assert w.regions["a-1"].objects[ERRORS]["spec"] == watch(81)
    assert w.regions["a-1"].rollouts["shop"].manifest["metadata"]["annotations"]["ombak.dev/sequence"] == "1"
    w.pipeline = dataclasses.replace(w.pipeline, abort=w.memory.items[-1].version)
    last = w.run(w.now + hours(1))

    assert w.regions["a-1"].objects[ERRORS]["spec"] == watch(80)
    assert "PutBack" not in [n.reason for n in last.notes]


def test_what_another_pipeline_of_the_same_name_brings_is_told_apart() -> None:
    """By namespace and name, on every object."""
    w = world(spec("v1", [stage("alpha", "a-1")], objects=objects(80)), [region("a-1")])
    told = [a.manifest["metadata"]["annotations"] for a in w.step().actions if isinstance(a, ApplyObject)]

    assert [t["ombak.dev/pipeline"] for t in told] == ["shop/front-end"] * 3
    assert len({t["ombak.dev/content"] for t in told}) == 3


def migration(image: str, name: str = "migrate", **more: Any) -> list[dict[str, Any]]:
    """A Job that travels along."""
    return [{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"image": image} | more}]


@pytest.mark.parametrize(
    ("before", "wanted", "goes"),
    [
        pytest.param(migration("1"), migration("2"), False, id="another one by the same name"),
        pytest.param(migration("1"), migration("1"), True, id="the same one"),
        pytest.param(migration("1"), migration("2", "migrate-2"), True, id="by another name"),
        pytest.param(migration("1"), [], True, id="none"),
        pytest.param(migration("1", ttlSecondsAfterFinished=9), migration("2"), True, id="the first goes by itself"),
        pytest.param(
            migration("1"), migration("1", ttlSecondsAfterFinished=9, backoffLimit=2), True, id="what may be changed"
        ),
    ],
)
def test_a_job_that_cannot_be_changed_is_told_before_anything_is_done(
    before: list[dict[str, Any]], wanted: list[dict[str, Any]], goes: bool
) -> None:
    """Else the change would run and bake in every region, and stand still at its end for the Job that is refused."""
    w = small([stage("alpha", "a-1")], ("a-1",), objects=before)
    push(w, "v2", objects=wanted)
    last = w.run(w.now + hours(12))

    assert (last.reason == "Delivered") == goes
    if not goes:
        told = wait_of(last, "Invalid")
        assert "a Job of another name in spec.objects: Region a-1 has Job migrate of " in told.what
        assert told.command == "kubectl -n shop edit ompl front-end"
        assert len(w.memory.items) == 1, "what runs stays"
        push(w, "v2", objects=migration("2", "migrate-2"))
        assert w.run(w.now + hours(12)).reason == "Delivered"


def test_a_job_where_nothing_is_delivered_any_more_is_in_nobody_s_way() -> None:
    """A region that was taken out of every stage keeps what it has, and gets nothing that it could refuse."""
    w = small([stage("alpha", "a-1")], ("a-1", "a-2"), objects=migration("1"))
    push(w, "v2", objects=migration("2"), stages=[stage("alpha", "a-2")])

    assert w.run(w.now + hours(12)).reason == "Delivered"


@pytest.mark.parametrize(
    ("there", "told"),
    [
        pytest.param(
            "kubectl -n shop edit omr front-end", "kubectl -n shop edit ompl front-end", id="what the hub writes"
        ),
        pytest.param(
            "kubectl -n shop describe alarms", "kubectl --context a-1 -n shop describe alarms", id="what is there"
        ),
    ],
)
def test_a_region_s_command_is_given_on_unless_it_edits_what_the_hub_writes(there: str, told: str) -> None:
    """Whoever followed it would be reported for an edit; the mistake is in the Pipeline."""
    w = small([stage("alpha", "a-1")], ("a-1",))
    push(w, "v2")
    w.run(w.now + hours(0.1))
    s = w.snapshot()
    waits = RegionWait("a spec that is right: spec.x", w.now, "whoever edits the Rollout", there)
    rollouts = tuple(dataclasses.replace(f, wait=waits) for f in s.rollouts)
    found = decide(dataclasses.replace(s, rollouts=rollouts), w.now).waits

    assert [x.command for x in found if x.region == "a-1"] == [told]


def test_an_object_that_is_not_right_is_for_who_owns_the_pipeline() -> None:
    """Not for whoever runs the cluster; and where the change is to be given up, the command is there."""
    w = small([stage("alpha", "a-1")], ("a-1",), objects=objects(80))
    push(w, "v2", objects=objects(81))
    w.step(writes=2)
    s = dataclasses.replace(
        w.snapshot(),
        unwritten={"a-1": "services/front-end is not taken: spec.ports: Required value"},
        refused={"a-1": Refused("services", "shop", "front-end", flaw="spec.ports: Required value")},
    )
    told = wait_of(decide(s, w.now), "WriteFailed")

    assert told.what == (
        "services/front-end in the namespace shop of Region a-1 to be one that the API server takes: "
        "spec.ports: Required value"
    )
    assert told.who == "whoever owns the Pipeline, by a change that puts spec.objects right; or abort it"
    assert told.command.startswith("kubectl -n shop annotate ompl front-end --overwrite ombak.dev/abort=")


@pytest.mark.parametrize("rest", [slice(1, 2), slice(0, 0)], ids=["some", "none"])
def test_what_is_delivered_no_longer_is_told_with_the_command_that_removes_it(rest: slice) -> None:
    """The hub may delete nothing in a region, so somebody has to know; when nothing needs it there any more."""
    w = small([stage("alpha", "a-1")], ("a-1",), objects=objects(80))
    push(w, "v1", objects=objects(80)[rest])
    notes = []
    for _ in range(200):
        made = w.step()
        notes += [(n.message, w.regions["a-1"].rollouts["shop"].phase) for n in made.notes if n.reason == "LeftBehind"]
        w.tick(hours(0.05))

    alarm = "" if objects(80)[rest] else " alarms.ombak.dev/errors"
    ((told, phase),) = dict.fromkeys(notes)
    assert phase == "Stable"
    assert "Region a-1 keeps" in told
    assert told.endswith(f"Remove it: kubectl --context a-1 -n shop delete services/front-end{alarm}")


def configured(w: World, level: int, image: str = "1") -> None:
    """Ask for a version with a ConfigMap of its own, to which its template refers."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"level": str(level)}}
    container = {"name": "app", "image": image, "envFrom": [{"configMapRef": {"name": "settings"}}]}
    rollout = dict(w.pipeline.spec["rollout"]["spec"])
    template = {"metadata": rollout["template"]["metadata"], "spec": {"containers": [container]}}
    push(w, "v1", rollout={"spec": rollout | {"template": template}}, objects=[config])


def levels(w: World) -> set[str]:
    """What the copies of the ConfigMap in the region hold."""
    return {o["data"]["level"] for (_, kind, _), o in w.regions["a-1"].objects.items() if kind == "ConfigMap"}


def test_copies_of_config_maps_go_with_the_versions_that_a_region_keeps() -> None:
    """What it could go back to keeps its own; the hub's Artifact goes last, for it alone knows the names."""
    w = small([stage("alpha", "a-1")], ("a-1",))
    for level in range(16):
        configured(w, level)
        w.run(w.now + hours(3))
        kept = {name for names in w.regions["a-1"].rollouts["shop"].configs.values() for name in names}
        here = {name for (_, kind, name) in w.regions["a-1"].objects if kind == "ConfigMap"}
        assert kept <= here, "a way back would find no configuration"

    assert levels(w) == {str(n) for n in range(5, 16)}
    assert len(w.artifacts) <= 12


def test_a_copy_that_a_later_version_has_too_stays() -> None:
    """Many versions with one configuration."""
    w = small([stage("alpha", "a-1")], ("a-1",))
    for tag in range(16):
        configured(w, tag % 2 if tag < 12 else 2, str(tag))
        w.run(w.now + hours(3))

    assert levels(w) == {"0", "1", "2"}


def test_a_copy_that_was_deleted_is_made_anew_when_its_version_is_asked_for_again() -> None:
    """And deleted once more when it is old once more."""
    w = small([stage("alpha", "a-1")], ("a-1",))
    for level in (*range(14), 0, *range(14, 27)):
        configured(w, level)
        w.run(w.now + hours(3))
        assert str(level) in levels(w)

    assert "0" not in levels(w)


def test_nothing_is_deleted_while_a_region_is_silent() -> None:
    """Nobody knows what it goes back to."""
    w = small(names=("a-1", "p-1", "p-2"))
    w.silent.add("p-2")
    for level in range(16):
        configured(w, level)
        w.run(w.now + hours(3))

    assert levels(w) == {str(n) for n in range(16)}


def test_a_change_of_configuration_is_a_change_of_every_box() -> None:
    """The template refers to the immutable copy, so a region takes it as a new version, and can take it back."""
    w = small([stage("alpha", "a-1")], ("a-1",), objects=objects(80))
    rollout = dict(w.pipeline.spec["rollout"]["spec"])
    container = {"name": "app", "image": "registry.example/app:1", "envFrom": [{"configMapRef": {"name": "settings"}}]}
    template = {"metadata": rollout["template"]["metadata"], "spec": {"containers": [container]}}
    push(w, "v1", rollout={"spec": rollout | {"template": template}})
    w.run(w.now + hours(3))
    before = running(w)["a-1"]
    push(w, "v1", rollout={"spec": rollout | {"template": template}}, objects=objects(81))
    w.run(w.now + hours(3))

    made = w.regions["a-1"].rollouts["shop"].manifest["spec"]["template"]["spec"]["containers"][0]
    assert made["envFrom"][0]["configMapRef"]["name"].startswith("settings-")
    assert running(w)["a-1"] != before


def test_values_stand_beside_the_artifact() -> None:
    """The artifact has the same id everywhere; what differs is recorded with it, and a change of it is delivered."""
    values = [{"regions": {"matchLabels": {"cloud": "gcp"}}, "env": {"DB": "db.gcp.example"}}]
    regions = [region("a-1", labels={"ombak.dev/cloud": "gcp"}), region("p-1", labels={"ombak.dev/cloud": "aws"})]
    w = world(spec("v1", [stage("alpha", "a-1"), stage("prod", "p-1")], values=values), regions)
    w.run(w.now + hours(6))

    (artifact,) = w.artifacts.values()
    assert (artifact.id, artifact.version != V1, list(artifact.values)) == (V1, True, values)
    told = {n: m.rollouts["shop"].manifest for n, m in w.regions.items()}
    env = {n: m["spec"]["template"]["spec"]["containers"][0].get("env") for n, m in told.items()}
    assert env == {"a-1": [{"name": "DB", "value": "db.gcp.example"}], "p-1": None}
    assert {m["metadata"]["annotations"]["ombak.dev/version"] for m in told.values()} == {artifact.version}


def test_a_regions_floor_wins_over_a_shorter_bake() -> None:
    """`bake: 0` in a manifest is no way round (R76)."""
    made = spec("v1", [stage("alpha", "a-1", bake={"for": "0s"})])
    w = world(made, [region("a-1", floors=Floors(one_box=hours(2), bake=hours(6)))])
    strategy = written(w.step())[0].manifest["spec"]["strategy"]

    assert (strategy["oneBox"]["bake"]["for"], strategy["bake"]["for"]) == ("2h", "6h")
    assert strategy["rolling"]["bake"]["for"] == "1m"


def test_the_same_snapshot_gives_the_same_plan_and_a_second_look_does_nothing() -> None:
    """At rest, in the middle of a wave, and after a rejection."""
    w = small()
    push(w, "v2")
    w.run(w.now + hours(2))
    s = w.snapshot()

    assert decide(s, w.now) == decide(s, w.now)
    assert [a for a in decide(s, w.now).actions if not isinstance(a, RunTest)] == []


def test_who_made_it_is_told_in_every_region() -> None:
    """Author, commit, build and reviewer travel along."""
    w = world(spec("v1", ONE), [region(n) for n in ("a-1", "p-1", "p-2")])
    w.pipeline = dataclasses.replace(w.pipeline, provenance={"ombak.dev/author": "ayu", "ombak.dev/commit": "4f2a"})
    w.run(w.now + hours(6))

    told = w.regions["p-2"].rollouts["shop"].manifest["metadata"]["annotations"]
    assert (told["ombak.dev/author"], told["ombak.dev/commit"]) == ("ayu", "4f2a")
