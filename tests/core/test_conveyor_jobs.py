"""Tests of a stage: what they run as, when, what their end means, and that nothing goes on without it (R24-R33)."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ombak.core.conveyor.decide import decide
from ombak.core.conveyor.plan import HubPlan, HubWait
from ombak.core.conveyor.snapshot import JobFacts, JobState
from ombak.core.conveyor.world import World
from support.conveyor import hours, inside, push, region, running, spec, stage, version_of, world

V1, V2 = (version_of(tag) for tag in ("v1", "v2"))
JOB = {"spec": {"template": {"spec": {"containers": [{"name": "test", "image": "registry.example/test:1"}]}}}}


def with_test(**more: Any) -> World:
    """Two stages, of which the first has a test; v1 runs."""
    test = {"name": "smoke", "template": JOB} | more
    stages = [stage("alpha", "a-1", tests=[test]), stage("prod", "p-1", "p-2")]
    w = world(spec("v1", stages), [region(n) for n in ("a-1", "p-1", "p-2")])
    w.run(w.now + hours(12))
    return w


def smoke_of(pod: dict[str, Any]) -> dict[str, Any]:
    """A test of this pod."""
    return {"name": "smoke", "template": {"spec": {"template": {"spec": {"restartPolicy": "Never", **pod}}}}}


def wait_of(made: HubPlan, reason: str) -> HubWait:
    """The wait with this reason."""
    return next(w for w in made.waits if w.reason == reason)


def phases(w: World, until: timedelta) -> set[str]:
    """Let time pass minute by minute, and return every phase that the first region goes through."""
    seen, ends = set[str](), w.now + until
    while w.now < ends:
        w.settle()
        seen.add(w.regions["a-1"].rollouts["shop"].phase)
        w.tick(timedelta(minutes=1))
        seen.add(w.regions["a-1"].rollouts["shop"].phase)
    return seen


def of(state: JobState) -> Callable[[Any], JobState]:
    """Let the tests of the second change end like this."""
    return lambda job: state if job["metadata"]["annotations"]["ombak.dev/sequence"] == "2" else JobState.PASSED


def test_a_test_must_pass_before_the_next_stage() -> None:
    """It is a Job with the artifact, the region and the stage in its environment."""
    w = with_test(deadline="5m")
    w.test = lambda _job: JobState.RUNNING
    push(w, "v2")
    last = w.run(w.now + hours(6))

    assert inside(w) == {"alpha": V2}
    assert "logs job/" in wait_of(last, "Testing").command
    (job,) = [j for _, j in w.jobs.values() if j["metadata"]["annotations"]["ombak.dev/sequence"] == "2"]
    env = {e["name"]: e["value"] for e in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert (env["OMBAK_ARTIFACT"], env["OMBAK_REGION"], env["OMBAK_STAGE"]) == (V2, "a-1", "alpha")
    assert (job["spec"]["activeDeadlineSeconds"], job["spec"]["backoffLimit"]) == (300, 0)
    w.test = lambda _job: JobState.PASSED
    w.run(w.now + hours(6))
    assert set(running(w).values()) == {V2}


@pytest.mark.parametrize("retries", [0, 2])
def test_a_failed_test_takes_the_version_back(retries: int) -> None:
    """After as many more attempts as the stage allows, and with the region where it failed."""
    w = with_test(retries=retries)
    w.test = lambda job: (
        JobState.FAILED if job["metadata"]["annotations"]["ombak.dev/sequence"] == "2" else JobState.PASSED
    )
    push(w, "v2")
    w.run(w.now + hours(6))

    assert (
        len([j for _, j in w.jobs.values() if j["metadata"]["annotations"]["ombak.dev/sequence"] == "2"]) == retries + 1
    )
    assert w.artifacts[V2].rejection is not None
    assert w.artifacts[V2].rejection.reason == "TestFailed"
    assert set(running(w).values()) == {V1}


@pytest.mark.parametrize(("where", "place"), [("Region", "a-1"), ("Hub", "")])
def test_a_test_of_coexistence_runs_while_the_fleet_is_mixed(where: str, place: str) -> None:
    """In the region or on the hub (R31, R33)."""
    w = with_test(when="DuringOneBox", where=where)
    push(w, "v2")
    w.run(w.now + timedelta(minutes=5))
    found = [r for r, j in w.jobs.values() if j["metadata"]["annotations"]["ombak.dev/sequence"] == "2"]

    assert w.regions["a-1"].rollouts["shop"].phase == "OneBoxBake"
    assert found == [place]


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.REFUSED])
def test_the_fleet_waits_for_the_test_of_coexistence(state: JobState) -> None:
    """However long it takes, and though the one-box bake is long over; then all goes on by itself."""
    w = with_test(when="DuringOneBox")
    w.test = of(state)
    push(w, "v2")
    seen = phases(w, hours(2))

    assert seen == {"OneBoxBake"}
    assert "ombak.dev/permit" not in w.regions["a-1"].rollouts["shop"].manifest["metadata"]["annotations"]
    w.test = of(JobState.PASSED)
    w.run(w.now + hours(6))
    assert set(running(w).values()) == {V2}


def test_a_failed_test_of_coexistence_reverts_before_the_fleet_is_touched() -> None:
    """The one box goes back, and no other box ever had it."""
    w = with_test(when="DuringOneBox")
    w.test = of(JobState.FAILED)
    push(w, "v2")
    seen = phases(w, hours(2))

    assert "Rolling" not in seen
    assert "Reverting" in seen
    assert w.artifacts[V2].rejection is not None
    assert w.artifacts[V2].rejection.reason == "TestFailed"
    assert set(running(w).values()) == {V1}


def test_without_a_hub_an_untested_version_stays_in_its_one_box() -> None:
    """The region holds by itself: the hub dies after it has written the change."""
    w = with_test(when="DuringOneBox")
    push(w, "v2")
    w.step()
    for _ in range(600):
        w.tick(timedelta(minutes=1))

    assert w.regions["a-1"].rollouts["shop"].phase == "OneBoxBake"
    w.run(w.now + hours(6))
    assert set(running(w).values()) == {V2}


def test_a_region_that_comes_late_is_not_held_for_tests_that_its_stage_has_passed() -> None:
    """It was passed over; nothing is tested there any more."""
    test = {"name": "mixed", "template": JOB, "when": "DuringOneBox"}
    made = spec("v1", [stage("alpha", "a-1", "a-2", tests=[test])], onRegionUnreachable="Skip")
    w = world(made, [region("a-1"), region("a-2")])
    w.run(w.now + hours(6))
    w.silent.add("a-2")
    push(w, "v2")
    w.run(w.now + hours(6))
    assert running(w) == {"a-1": V2, "a-2": V1}
    w.silent.clear()
    w.run(w.now + hours(6))

    assert running(w) == {"a-1": V2, "a-2": V2}
    assert {r for r, j in w.jobs.values() if j["metadata"]["annotations"]["ombak.dev/sequence"] == "2"} == {"a-1"}


def test_with_one_region_at_a_time_the_next_one_waits_for_the_tests_of_the_first() -> None:
    """A region whose test runs is still on its way, though it is stable."""
    test = {"name": "smoke", "template": JOB}
    w = world(spec("v1", [stage("alpha", "a-1", "a-2", tests=[test], maxParallel=1)]), [region("a-1"), region("a-2")])
    w.run(w.now + hours(12))
    w.test = of(JobState.RUNNING)
    push(w, "v2")
    last = w.run(w.now + hours(6))

    assert running(w) == {"a-1": V2, "a-2": V1}
    assert wait_of(last, "Turn").region == "a-2"
    w.test = of(JobState.PASSED)
    w.run(w.now + hours(6))
    assert running(w) == {"a-1": V2, "a-2": V2}


def test_a_job_that_the_server_does_not_take_is_told_and_proves_nothing() -> None:
    """It is no failure of the version."""
    w = with_test()
    w.test = of(JobState.RUNNING)
    push(w, "v2")
    w.run(w.now + hours(6))
    (name,) = [n for n, (_, j) in w.jobs.items() if j["metadata"]["annotations"]["ombak.dev/sequence"] == "2"]
    s = dataclasses.replace(w.snapshot(), jobs={name: JobFacts(name, JobState.REFUSED, "exceeded quota: jobs.")})
    told = wait_of(decide(s, w.now), "Testing")

    assert told.what == "the test smoke in Region a-1 to begin: exceeded quota: jobs"
    assert "tried again" in told.who
    assert inside(w) == {"alpha": V2}


def test_a_template_that_is_corrected_counts_for_the_change_that_waits() -> None:
    """The wait says that whoever corrects it helps; the plan of a change is frozen, and to abort it rejects it."""
    w = with_test()
    w.test = lambda job: JobState.REFUSED if "containers" not in job["spec"]["template"]["spec"] else JobState.PASSED
    push(w, "v2", stages=[stage("alpha", "a-1", tests=[smoke_of({"volumes": []})]), stage("prod", "p-1", "p-2")])
    last = w.run(w.now + hours(6))
    assert inside(w) == {"alpha": V2}
    assert "corrects the test's template" in wait_of(last, "Testing").who

    push(w, "v2", stages=[stage("alpha", "a-1", tests=[smoke_of({})]), stage("prod", "p-1", "p-2")])
    w.run(w.now + hours(1))
    assert inside(w) == {"alpha": V2}, "it is as wrong as before"

    push(
        w, "v2", stages=[stage("alpha", "a-1", tests=[{"name": "smoke", "template": JOB}]), stage("prod", "p-1", "p-2")]
    )
    w.run(w.now + hours(24))
    assert set(running(w).values()) == {V2}


def test_a_change_is_tested_as_it_was_frozen() -> None:
    """The next one brings tests of its own, which need what only that one has."""
    w, ran = with_test(), set[tuple[str, str]]()

    def run(job: dict[str, Any]) -> JobState:
        container = job["spec"]["template"]["spec"]["containers"][0]
        change = next(found["value"] for found in container["env"] if found["name"] == "OMBAK_SEQUENCE")
        ran.add((change, container["image"]))
        return JobState.FAILED if (change, container["image"]) == ("2", "new") else JobState.PASSED

    def tested_by(image: str) -> list[dict[str, Any]]:
        tests = [smoke_of({"containers": [{"name": "t", "image": image}]})]
        return [stage("alpha", "a-1", tests=tests), stage("prod", "p-1", "p-2")]

    w.test = run
    push(w, "v2", stages=tested_by("old"))
    w.run(w.now + timedelta(minutes=5))
    assert inside(w) == {"alpha": V2}
    push(w, "v3", stages=tested_by("new"))
    w.run(w.now + hours(30))

    assert ran - {("1", "registry.example/test:1")} == {("2", "old"), ("3", "new")}
    assert not any(found.rejection for found in w.artifacts.values())


def test_the_end_of_the_log_is_in_the_verdict() -> None:
    """With the region, so that nobody has to look for it."""
    w = with_test()
    w.test = of(JobState.RUNNING)
    push(w, "v2")
    w.run(w.now + hours(6))
    (name,) = [n for n, (_, j) in w.jobs.items() if j["metadata"]["annotations"]["ombak.dev/sequence"] == "2"]
    facts = JobFacts(name, JobState.FAILED, "Job has reached the specified backoff limit; its log ends:\n2 of 7 failed")
    made = decide(dataclasses.replace(w.snapshot(), jobs={name: facts}), w.now)

    assert made.reason == "Rejected"
    assert "the test smoke failed in Region a-1: Job has reached" in made.message
    assert made.message.endswith("2 of 7 failed")


def test_a_job_that_somebody_deletes_is_run_again() -> None:
    """Nothing is taken for passed that nobody saw pass."""
    w = with_test()
    w.test = of(JobState.RUNNING)
    push(w, "v2")
    w.run(w.now + hours(6))
    gone = [n for n, (_, j) in w.jobs.items() if j["metadata"]["annotations"]["ombak.dev/sequence"] == "2"]
    for name in gone:
        del w.jobs[name]
    w.step()

    assert gone
    assert set(gone) <= w.jobs.keys()


@pytest.mark.parametrize(("asked", "kept"), [(None, 604800), (0, 3600), (60, 3600), (86400, 86400)])
def test_a_finished_job_stays_until_it_was_read_and_not_for_ever(asked: int | None, kept: int) -> None:
    """A week, or as the template says, but an hour at least."""
    job = {"spec": JOB["spec"] | ({} if asked is None else {"ttlSecondsAfterFinished": asked})}
    w = with_test(template=job)

    assert [j["spec"]["ttlSecondsAfterFinished"] for _, j in w.jobs.values()] == [kept]
