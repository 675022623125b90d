"""What is read of the API server itself before a decision: dry runs of templates, and siblings one by one."""

from __future__ import annotations

import pytest

from ombak.api.rollout import Phase
from ombak.core import plan
from ombak.core.advance import new_step
from ombak.core.memory import Memory, Mode, Position, Release, Reverting
from ombak.core.snapshot import TemplateCheck
from ombak.runtime import kinds
from ombak.runtime.dry_run import dry_run
from ombak.runtime.kube_port import ApiError, NotFound, Unreachable
from ombak.runtime.siblings import read_live, to_read
from ombak.simulation.server import REFUSED
from support.bench import Bench
from support.rig import NAME, NAMESPACE, Rig, template


@pytest.fixture
async def bench() -> Bench:
    """Four boxes of one version, stable."""
    rig = Rig()
    return Bench(rig, await rig.installed())


async def test_the_template_is_checked_by_a_dry_run(bench: Bench) -> None:
    """A Deployment and a ReplicaSet of no boxes, under names that nobody has."""
    assert await dry_run(bench.rig.kube, bench.s, "a1c0ffee0000") == TemplateCheck("a1c0ffee0000")
    requests = bench.rig.kube.take()
    assert [(request.told, request.dry_run) for request in requests] == [
        (f"check Deployment {NAME}-onebox-check", True),
        (f"check ReplicaSet {NAME}-a1c0ffee0000-check", True),
    ]
    for request in requests:
        assert request.body["spec"]["replicas"] == 0
        assert request.body["spec"]["template"]["spec"] == template()["spec"]


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet"])
async def test_a_policy_about_either_kind_refuses_the_template(bench: Bench, kind: str) -> None:
    """A version of which only the one box or only the fleet may run would get stuck."""
    bench.rig.kube.fail(f"check {kind}", ApiError.of(403, "Forbidden", "denied: images must be signed"))
    assert await dry_run(bench.rig.kube, bench.s, "a1") == TemplateCheck("a1", "denied: images must be signed")


@pytest.mark.parametrize(
    ("said", "who"),
    [
        ('User "ombak" cannot create resource "deployments"', "whoever gives Ombak its rights (charts/rbac.yaml)"),
        ("exceeded quota: few", "whoever owns the ResourceQuota of the namespace"),
        ("namespace shop because it is being terminated", "whoever deleted the namespace"),
    ],
)
async def test_nobody_is_sent_to_edit_a_template_that_is_not_at_fault(bench: Bench, said: str, who: str) -> None:
    """Rights, a quota, a namespace that goes: others can lift that, and the phase is not Invalid."""
    rig = bench.rig
    rig.change(template=template("2.0.0"))
    rig.kube.fail("check", ApiError.of(403, "Forbidden", said))
    await rig.reconcile()
    assert (rig.phase, rig.status["waitingFor"]["who"]) == ("Blocked", who)
    assert said in rig.status["waitingFor"]["what"]
    assert (rig.condition("Stalled")["status"], rig.condition("Stalled")["reason"]) == ("True", "ApplyFailed")
    await rig.go_on()
    assert rig.stable == rig.wanted


@pytest.mark.parametrize("code", [400, 403, 422])
async def test_what_the_dry_run_refuses_is_quoted(bench: Bench, code: int) -> None:
    """In the server's own words, which name the field."""
    bench.rig.kube.fail("check", ApiError.of(code, "Invalid", "spec.containers[0].image: Required value"))
    assert (await dry_run(bench.rig.kube, bench.s, "a1")).problem == "spec.containers[0].image: Required value"


async def test_an_admission_of_the_server_refuses_the_template_too(bench: Bench) -> None:
    """The check is a whole creation but for the storing."""
    bench.rig.change(template=template("2.0.0", **{REFUSED: "no such class"}))
    bench.again()
    assert (await dry_run(bench.rig.kube, bench.s, "a1")).problem == "no such class"


@pytest.mark.parametrize("error", [Unreachable("cut"), ApiError.of(500), ApiError.of(404)], ids=["cut", "500", "404"])
async def test_a_dry_run_without_an_answer_says_nothing(bench: Bench, error: ApiError) -> None:
    """It is tried again; a template is not blamed for an outage."""
    bench.rig.kube.fail("check", error)
    with pytest.raises(ApiError):
        await dry_run(bench.rig.kube, bench.s, "a1")


async def test_siblings_are_read_one_by_one(bench: Bench) -> None:
    """From the API server itself and never by a list; those without boxes cannot lose any."""
    await bench.applier.apply(plan.CreateFleet(bench.stable, "b", 0))
    bench.rig.settle()
    bench.rig.kube.take()
    bench.again()
    bench.rig.is_watching = False
    bench.rig.edit(kinds.REPLICA_SETS, bench.fleet, {"spec": {"replicas": 1}})
    await read_live(bench.rig.kube, bench.rig.stores, bench.s, {bench.fleet, bench.box})
    assert bench.rig.kube.told == [f"get ReplicaSet {bench.fleet}", f"get Deployment {bench.box}"]
    bench.again()
    assert [f.desired for f in bench.s.fleet] == [1, 0]


async def test_a_sibling_that_is_gone_is_gone_at_once(bench: Bench) -> None:
    """Without waiting for the watch to say so."""
    bench.rig.is_watching = False
    bench.rig.server.delete("kubectl", kinds.REPLICA_SETS, NAMESPACE, bench.fleet)
    await read_live(bench.rig.kube, bench.rig.stores, bench.s, {bench.fleet, bench.box})
    bench.again()
    assert (bench.s.fleet, len(bench.s.one_boxes)) == ((), 1)


async def test_a_read_that_fails_is_not_taken_for_gone(bench: Bench) -> None:
    """Nothing is decided on half of the picture."""
    bench.rig.kube.fail("get Deployment", ApiError.of(500))
    with pytest.raises(ApiError) as caught:
        await read_live(bench.rig.kube, bench.rig.stores, bench.s, {bench.fleet, bench.box})
    assert not isinstance(caught.value, NotFound)
    bench.again()
    assert len(bench.s.one_boxes) == 1


def _plan(*actions: plan.Action, memory: Memory | None = None) -> plan.Plan:
    return plan.Plan(Phase.ROLLING, memory or Memory(), actions)


async def test_what_boxes_are_taken_from_protects_itself_and_no_other(bench: Bench) -> None:
    """Only in a plan of sizes, as its only source of boxes: nothing else may rest on what is known of it."""
    fleet, box = bench.fleet, bench.box
    shrink, grow = plan.ScaleFleet(fleet, "1", 3, 2), plan.ScaleFleet("other", "1", 2, 3)
    written = plan.WriteOneBox("", bench.stable, 1, surge=False, resource_version="1")
    repair = plan.RepairFleet(fleet, "1", bench.stable, "", 3)
    made, both = plan.CreateArtifact("a2", 2), {fleet, box}
    for actions, read in (
        ((), set()),
        ((grow,), set()),
        ((shrink,), {box}),
        ((shrink, plan.CreateFleet("a2", "", 1)), {box}),
        ((shrink, grow), {box}),
        ((shrink, plan.ScaleFleet("other", "1", 3, 2)), both),
        ((written,), both),
        ((written, shrink), both),
        ((shrink, written), both),
        ((grow, shrink), both),
        ((made, shrink), both),
        ((plan.RecordRejected("a2", "ProgressDeadlineExceeded", "it never served"),), both),
        ((repair,), both),
        ((plan.Delete("ReplicaSet", fleet, "u", "1"),), both),
        ((plan.Delete("ReplicaSet", "empty", "u", "1"),), set()),
        ((plan.Delete("Artifact", fleet, "u", "1"),), set()),
        ((plan.Delete("ReplicaSet", fleet, "u", "1"), shrink), both),
    ):
        assert to_read(bench.s, _plan(*actions), met_conflict=False) == read, actions
        assert to_read(bench.s, _plan(*actions), met_conflict=True) == (both if read else set())


async def test_what_is_judged_is_always_read(bench: Bench) -> None:
    """The version that is released, and everything on a way back: verdicts and floors that yield rest on it."""
    shrink, now = plan.ScaleFleet(bench.fleet, "1", 3, 2), bench.rig.clock.now()
    forward = Release(bench.stable, Mode.FORWARD, now, Position(1, 1, 3, "*", 4), new_step(2, 2, now))
    back = Reverting("a2", bench.stable, began_at=now, replicas=4, high_water=2, progress_at=now)
    for memory in (Memory(release=forward), Memory(reverting=back)):
        read = to_read(bench.s, _plan(shrink, memory=memory), met_conflict=False)
        assert read == {bench.fleet, bench.box}
