"""Tests of a stage as Jobs: when they run, what counts as passed, and what a failure does (R24-R31, R33).

A region itself keeps a change in its one box until the hub permits more (`needsPermit`), which it does when the tests
of coexistence have passed there. So a hub that is late, or dead, never lets an untested version reach the fleet.
"""

import dataclasses

from ombak.api.rollout import Phase
from ombak.api.stage import JobMoment, JobPlace, StageTest
from ombak.api.wording import clause
from ombak.core import naming
from ombak.core.conveyor import back, content, manifests, plan, waits
from ombak.core.conveyor.memory import Item
from ombak.core.conveyor.placement import Target
from ombak.core.conveyor.scene import Scene
from ombak.core.conveyor.snapshot import JobFacts, JobState, RolloutFacts
from ombak.core.gates.gate import Held

_MIXED = (Phase.ONE_BOX_BAKE, Phase.ROLLING)


def while_mixed(scene: Scene, item: Item, target: Target, facts: RolloutFacts, *, with_tests: bool) -> None:
    """Run the tests of coexistence while boxes of both versions serve, and let those that passed leave the one box.

    Without tests, in a region that came late to what its stage has passed, there is nothing to wait for.
    """
    if facts.phase not in _MIXED:
        return
    mixed = [test for test in target.stage.tests or () if test.when is JobMoment.DURING_ONE_BOX]
    found = [_look(scene, item, target, test) for test in mixed] if with_tests else []
    if mixed and all(found) and facts.phase is Phase.ONE_BOX_BAKE:
        _permit(scene, item, target, facts)


def _permit(scene: Scene, item: Item, target: Target, facts: RolloutFacts) -> None:
    """Write into the region that the version may leave its one box; nothing else of its Rollout changes."""
    if facts.annotations.get(naming.PERMIT) == facts.artifact or target.key in scene.touched:
        return
    made = manifests.amended(scene.s, target, facts, {}, {naming.PERMIT: facts.artifact})
    back.apply(scene, target, facts, made, (), f"{item.version} may leave its one box")
    scene.note("Permitted", f"{item.version} may leave its one box in Region {target.region.name}.")


def is_lacking(item: Item, target: Target) -> bool:
    """Whether a test of a region has not passed yet, so that the region is not done though it is stable."""
    return any(manifests.test_key(target, test) not in item.passed for test in target.stage.tests or ())


def passed(scene: Scene, item: Item, target: Target) -> bool:
    """Whether all tests of a region that is stable passed; those that did not run yet are run.

    One of coexistence that could not run while the fleet was mixed, for no hub was there, runs late: it is never
    taken for passed.
    """
    found = [_look(scene, item, target, test) for test in target.stage.tests or ()]
    return all(found)


def _look(scene: Scene, item: Item, target: Target, test: StageTest) -> bool:
    """Return whether a test passed; run it, run it again, or take the version back where it did not."""
    key = manifests.test_key(target, test)
    current = next((i for i in scene.items if i.sequence == item.sequence), None)
    if current is None:
        return False
    if key in current.passed:
        return True
    for attempt in range(1, test.retries + 2):
        job = scene.s.jobs.get(manifests.job_name(scene.s, item, target, test, attempt))
        if job is None:
            _run(scene, item, target, test, attempt)
            return False
        if job.state is JobState.PASSED:
            scene.replace(current, dataclasses.replace(current, passed=(*current.passed, key)))
            scene.note("TestPassed", f"{test.name} passed on {item.version} in Region {target.region.name}.")
            return True
        if job.state is JobState.REFUSED and (today := _corrected(scene, item, target, test, attempt)) is not None:
            _run(scene, item, target, today, attempt)
            return False
        if job.state is not JobState.FAILED:
            told = _going(scene, target, test, job)
            waits.of_item(scene, item, target.stage.name, "Testing", told, target.region.name)
            return False
    return False


def verdicts(scene: Scene) -> None:
    """Take back what failed a test in the stage where it is, before anything starts anywhere."""
    for item in [i for i in scene.items if i.is_inside]:
        for target in scene.targets(item, item.stage):
            for test in target.stage.tests or ():
                if _has_failed(scene, item, target, test):
                    _fail(scene, item, target, test)


def _has_failed(scene: Scene, item: Item, target: Target, test: StageTest) -> bool:
    if manifests.test_key(target, test) in item.passed:
        return False
    names = (manifests.job_name(scene.s, item, target, test, n) for n in range(1, test.retries + 2))
    return all((job := scene.s.jobs.get(name)) is not None and job.state is JobState.FAILED for name in names)


def _corrected(scene: Scene, item: Item, target: Target, test: StageTest, attempt: int) -> StageTest | None:
    """Return a refused test as the Pipeline has it today, if it is another: it was corrected for what waits.

    Only of a refused one, which nobody could run: all others are those that the change was frozen with.
    """
    job = scene.s.jobs[manifests.job_name(scene.s, item, target, test, attempt)]
    stages = scene.merged.spec.stages if scene.merged.spec is not None else ()
    found = (t for s in stages if s.name == target.stage.name for t in s.tests or () if t.name == test.name)
    today = next((t for t in found if t.where is test.where), None)
    if today is None:
        return None
    made_of = content.short_hash(manifests.job(scene.s, item, target, today, attempt))
    return today if job.made_of not in ("", made_of) else None


def _run(scene: Scene, item: Item, target: Target, test: StageTest, attempt: int) -> None:
    made = manifests.job(scene.s, item, target, test, attempt)
    region = "" if test.where is JobPlace.HUB else target.region.name
    scene.late.append(plan.RunTest(region, made["metadata"]["namespace"], made))
    told = waits.held(f"test-{test.name}", f"the test {test.name} to begin", "nobody, it goes by itself")
    waits.of_item(scene, item, target.stage.name, "Testing", told, target.region.name)


def _going(scene: Scene, target: Target, test: StageTest, job: JobFacts) -> Held:
    """Return the wait for a Job that has not ended, or that the API server does not take."""
    told = f": {clause(job.message)}" if job.message else ""
    what = f"the test {test.name} in Region {target.region.name}"
    if job.state is JobState.REFUSED:
        who = "whoever corrects the test's template, its namespace or the quota; it is tried again"
        return waits.held(f"test-{test.name}", f"{what} to begin{told}", who)
    hub = test.where is JobPlace.HUB
    namespace = scene.s.pipeline.namespace if hub else target.namespace
    logs = f"kubectl -n {namespace} logs job/{job.name}"
    command = logs if hub else waits.in_region(target.region, logs)
    return waits.held(f"test-{test.name}", f"{what}{told}", "the test itself; at its deadline it has failed", command)


def _fail(scene: Scene, item: Item, target: Target, test: StageTest) -> None:
    last = scene.s.jobs[manifests.job_name(scene.s, item, target, test, test.retries + 1)]
    tail = f": {last.message}" if last.message else ""
    message = f"the test {test.name} failed in Region {target.region.name}{tail}"
    back.reject(scene, item, "TestFailed", message, target.stage.name, target.region.name)
