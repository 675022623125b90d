"""What people read of a Pipeline, and what a hub reads back."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ombak.api.pipeline_status import PipelineStatus
from ombak.api.rollout import Phase
from ombak.core.conveyor import content, readback
from ombak.core.conveyor.decide import decide
from ombak.core.conveyor.memory import HubMemory, dump_memory, load_memory
from ombak.core.conveyor.plan import HubPlan
from ombak.core.conveyor.report import status
from ombak.core.conveyor.world import World
from ombak.core.identity import artifact_id, digest_of
from support.conveyor import NOW, hours, push, region, spec, stage, template, version_of, world

V1, V2 = version_of("v1"), version_of("v2")


def conditions(found: dict[str, Any]) -> dict[str, str]:
    """Type -> status."""
    return {c["type"]: c["status"] for c in found["conditions"]}


def test_the_status_is_that_of_the_model_and_tells_who_can_do_what() -> None:
    """Stages, regions, changes on their way, and every wait with its command."""
    w = world()
    w.run(w.now + hours(12))
    push(w, "v2")
    made = w.run(w.now + hours(2))

    found = PipelineStatus.model_validate(status(w.snapshot(), made, {}, w.now))

    assert (found.stage, found.artifact) == ("beta", V2)
    assert [(t.sequence, t.stage, t.state) for t in found.travelling] == [
        (1, "wave-2", "Waiting"),
        (2, "beta", "Inside"),
    ]
    assert {s.name: s.state for s in found.stages}["beta"] == "UnderWay"
    assert [(r.name, r.state) for s in found.stages for r in s.regions][1] == ("r-beta", "Moving")
    assert all(x.who and x.what and x.command and x.since for x in found.waiting_for)
    assert load_memory(found.memory) == w.memory


def test_since_is_told_where_it_is_known() -> None:
    """Of where a change is, and of the stage that it passed last; of those before nobody remembers it."""
    w = world()
    w.run(w.now + hours(2.2))
    made = w.step()
    (item,) = w.memory.items
    assert item.is_inside
    since = {s.name: s.since for s in made.stages}

    assert since[item.stage] == item.since
    assert [name for name, moment in since.items() if moment is not None] == [item.stage]


def test_who_what_and_when_are_told_of_each_change() -> None:
    """As the Pipeline said when it was asked for, not what it says now; A again is another change than the first A."""
    w = world()
    w.pipeline = dataclasses.replace(w.pipeline, provenance={"ombak.dev/author": "ada", "ombak.dev/commit": "4f2"})
    w.run(w.now + hours(12))
    began = w.now
    bob = {"ombak.dev/author": "bob", "ombak.dev/reviewer": "a" * 999}
    w.pipeline = dataclasses.replace(w.pipeline, provenance=bob)
    push(w, "v2")
    queued = [note.message for note in w.step().notes if note.reason == "Queued"]
    made = w.run(w.now + hours(2))

    one, two = PipelineStatus.model_validate(status(w.snapshot(), made, {}, w.now)).travelling
    assert one.provenance is not None
    assert one.provenance.model_dump(exclude_defaults=True) == {"author": "ada", "commit": "4f2"}
    assert two.provenance is not None
    assert two.provenance.model_dump(exclude_defaults=True) == {"author": "bob", "reviewer": "a" * 128}
    assert two.began == began
    assert queued == [f"{V2} is change 2 of this Pipeline, by bob, reviewed by {'a' * 128}."]


def test_what_cannot_be_queued_is_not_delivered_however_well_the_last_change_went() -> None:
    """An Artifact in the way: whoever waits for the condition is not told that all is well."""
    w = world()
    w.run(w.now + hours(24))
    w.artifacts[V2] = dataclasses.replace(w.artifacts[V1], version=V2, is_genuine=False)
    push(w, "v2")
    made = w.step()

    told = conditions(status(w.snapshot(), made, {}, w.now))
    assert (made.reason, told["Delivered"], told["Stalled"]) == ("Conflict", "False", "True")


def broken(w: World) -> None:
    """Somebody writes what is not valid."""
    w.pipeline = dataclasses.replace(w.pipeline, problem="spec.stages: Field required")


def misplaced(w: World) -> None:
    """Somebody names a Region that is none."""
    push(w, "v2", stages=[stage("alpha", "r-nowhere")])


def in_the_way(w: World) -> None:
    """An Artifact of that name is not what it says."""
    push(w, "v2")
    name = content.object_name("front-end", V2)
    w.artifacts[V2] = dataclasses.replace(w.artifacts[V1], version=V2, name=name, is_genuine=False)


@pytest.mark.parametrize(
    ("happens", "key", "command"),
    [
        pytest.param(broken, "spec", "kubectl -n shop edit ompl front-end", id="spec"),
        pytest.param(misplaced, "placement", "kubectl -n shop edit ompl front-end", id="placement"),
        pytest.param(in_the_way, "artifact", f"kubectl -n shop delete artifact front-end.pipeline.{V2}", id="artifact"),
    ],
)
@pytest.mark.parametrize("on_its_way", [False, True])
def test_what_is_wrong_with_the_pipeline_comes_with_the_command_that_helps(
    happens: Callable[[World], None], key: str, command: str, *, on_its_way: bool
) -> None:
    """For the Pipeline as a whole, and for a change that is on its way meanwhile (P10)."""
    w = world()
    w.run(w.now + hours(12))
    if on_its_way:
        push(w, "v3")
        w.step()
    happens(w)
    made = w.run(w.now + hours(4))

    assert next(wait.command for wait in made.waits if wait.key == key) == command
    assert all(wait.command for wait in made.waits)
    assert [wait.command for wait in made.waits if wait.key.endswith("/spec")] in ([], [command])


def test_a_region_that_does_not_take_a_write_is_waited_for_in_its_own_words() -> None:
    """It is no start, so no Event tells of one again and again."""
    w = world()
    w.look()
    s = dataclasses.replace(w.snapshot(), unwritten={"r-alpha": "403 Forbidden: no right"})
    made = decide(s, w.now)

    told = next(x for x in made.waits if x.reason == "WriteFailed")
    assert (told.region, "403 Forbidden" in told.what) == ("r-alpha", True)
    assert "RegionStarted" not in [note.reason for note in made.notes]
    assert made.wake_at is not None


def test_a_condition_keeps_its_time_while_it_is_the_same() -> None:
    """And a region that does not answer makes Ready unknown."""
    w = world()
    made = w.run(w.now + hours(12))
    before = status(w.snapshot(), made, {}, w.now)
    w.silent.add("r-beta")
    later = w.now + timedelta(minutes=1)
    after = status(w.snapshot(), w.step(), before, later)

    assert conditions(before) == {
        "Ready": "True", "Reconciling": "False", "Stalled": "False", "Delivered": "True", "SpecValid": "True"
    }  # fmt: skip
    assert conditions(after)["Ready"] == "Unknown"
    times = {c["type"]: c["lastTransitionTime"] for c in after["conditions"]}
    assert times["Delivered"] == before["conditions"][3]["lastTransitionTime"]
    assert times["Ready"] == later.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_what_belongs_to_somebody_else_is_not_this_pipeline_being_ready() -> None:
    """Its Rollout was given to another hub, or somebody took its name."""
    w = world()
    w.run(w.now + hours(12))
    rollout = w.regions["r-wave-3"].rollouts["shop"]
    rollout.manifest["metadata"]["annotations"]["ombak.dev/hub"] = "another"
    rollout.version += 1

    found = status(w.snapshot(), w.settle(), {}, w.now)
    ready = next(c for c in found["conditions"] if c["type"] == "Ready")
    assert (found["reason"], ready["status"], ready["reason"]) == ("Conflict", "False", "Conflict")


def ready(w: World, made: HubPlan) -> tuple[str, str, str]:
    """Status, reason and message of the condition."""
    found = next(c for c in status(w.snapshot(), made, {}, w.now)["conditions"] if c["type"] == "Ready")
    return found["status"], found["reason"], found["message"]


def in_two_stages(**more: Any) -> World:
    """One region, then two, in which nothing was delivered yet."""
    return world(spec("v1", [stage("one", "a"), stage("two", "b", "c")], **more), [region(n) for n in "abc"])


def standing(made: HubPlan) -> dict[str, str]:
    """The state of each region."""
    return {r.name: r.state for s in made.stages for r in s.regions}


def test_a_first_version_that_failed_serves_nobody() -> None:
    """Neither where it failed, nor where it was on its way meanwhile, nor before its bake is over."""
    w = in_two_stages()
    early = w.run(w.now + timedelta(minutes=5))
    assert ready(w, early)[:2] == ("False", "Missing")
    w.regions["c"].becomes_ill(V1)
    made = w.run(w.now + hours(12))

    assert made.reason == "Rejected"
    state, reason, message = ready(w, made)
    assert (state, reason) == ("False", "TakenBack")
    assert "Region b (stage two): TakenBack, Region c (stage two): TakenBack" in message
    assert "Region a" not in message
    w = world(spec("v1", [stage("one", "a")]), [region("a")])
    assert ready(w, w.run(w.now + timedelta(minutes=5)))[:2] == ("False", "NothingGood")


def test_a_region_that_keeps_a_rejected_version_is_shown_as_that() -> None:
    """It is no later good one; it serves, and everybody can see with what."""
    w = in_two_stages(revertScope="Stage")
    w.run(w.now + hours(12))
    push(w, "v2")
    w.regions["c"].becomes_ill(V2)
    made = w.run(w.now + hours(12))

    assert w.regions["a"].rollouts["shop"].stable == V2
    assert standing(made) == {"a": "Rejected", "b": "Stable", "c": "Stable"}
    assert ready(w, made)[:2] == ("True", "Serving")


def test_a_region_on_its_way_back_is_shown_as_that() -> None:
    """It is not ready before it is back."""
    w = in_two_stages(revertScope="Everywhere")
    w.run(w.now + hours(12))
    push(w, "v2")
    w.run(w.now + hours(1.5))
    w.regions["b"].becomes_ill(V2)
    for _ in range(3):
        w.tick(timedelta(seconds=1))
        made = w.step()

    assert w.artifacts[V2].rejection is not None
    assert standing(made)["a"] == "TakenBack"
    assert ready(w, made)[:2] == ("False", "TakenBack")


@pytest.mark.parametrize("raw", [None, {"items": 3}, {"items": [{"sequence": 1}]}, "x"], ids=str)
def test_a_memory_that_cannot_be_read_counts_as_erased(raw: object) -> None:
    """The regions tell the rest."""
    assert load_memory(raw) == HubMemory()


def test_an_empty_memory_is_written_as_nothing() -> None:
    """So that an upgrade writes nothing where nothing is."""
    assert dump_memory(HubMemory()) == {}


def test_a_region_is_read_for_what_it_says() -> None:
    """The hub's own words beside the spec, the region's in the status."""
    metadata = {
        "namespace": "shop", "generation": 4, "resourceVersion": "9",
        "annotations": {"ombak.dev/hub": "h", "ombak.dev/sequence": "7", "ombak.dev/version": V1, "team": "x"},
    }  # fmt: skip
    told = {"what": "the bake", "since": "2026-01-05T12:00:00Z", "who": "time", "expected": "2026-01-05T13:00:00Z"}
    found = readback.rollout_facts(
        "eu-1",
        {
            "metadata": metadata,
            "spec": {"template": template("v1"), "replicas": 5},
            "status": {"phase": "Bake", "observedGeneration": 4, "artifacts": {"stable": V2}, "waitingFor": told},
        },
        {V2: "sha256:2"},
    )

    assert (found.hub, found.sequence, found.version, found.replicas) == ("h", 7, V1, 5)
    assert (found.artifact, found.phase, found.stable_digest) == (artifact_id(template("v1")), Phase.BAKE, "sha256:2")
    assert found.wait is not None
    assert (found.wait.since, found.wait.expected) == (NOW, NOW + hours(1))
    assert "team" not in found.annotations
    assert found.is_moving


@pytest.mark.parametrize("found", [{}, {"metadata": 3, "spec": None, "status": []}, {"spec": {"template": 1}}], ids=str)
def test_whatever_a_region_holds_is_read_without_an_error(found: dict[str, Any]) -> None:
    """And counts as nothing known: never stable."""
    facts = readback.rollout_facts("eu-1", found, {})

    assert (facts.is_told, facts.is_moving, facts.hub) == (False, True, "")


def test_the_digest_of_a_template_is_the_regions_own() -> None:
    """Without objects and values hub and region count alike."""
    assert (version_of("v1"), artifact_id(template("v1"))) == (V1, V1)
    assert digest_of(template("v1")).startswith("sha256:")
