"""Artifacts deleted by hand while they are needed come back as they were, verdicts and all (P3)."""

import contextlib

import pytest

from ombak.alarms.verdict import State
from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, Forbidden
from ombak.simulation.client import Request
from support.rig import NAME, NAMESPACE, Rig, template

PATIENT = {"oneBox": {"bake": {"for": "0s"}}, "rolling": {"bake": {"for": "1h"}}, "bake": {"for": "1h"}}


def delete(rig: Rig, artifact: str) -> None:
    """What `kubectl delete artifact` does."""
    rig.server.delete("kubectl", kinds.ARTIFACTS, NAMESPACE, f"{NAME}-{artifact}")


def statuses(rig: Rig) -> dict[str, dict[str, object]]:
    """The verdicts on record by version, without their times."""
    found = rig.server.all("Artifact")
    return {o["spec"]["id"]: {k: v for k, v in (o.get("status") or {}).items() if v} for o in found}


async def in_a_batch() -> tuple[Rig, str, str]:
    """v1 is stable, v2 bakes in half of the boxes."""
    rig = Rig()
    old = await rig.installed()
    rig.change(template=template("2.0.0"), strategy=PATIENT)
    await rig.go_on("Rolling")
    return rig, old, rig.wanted


@pytest.mark.parametrize("lost", ["the stable one", "the one on its way", "both"])
async def test_an_alarm_takes_a_release_back_although_records_were_deleted(lost: str) -> None:
    """The version to go back to is known, whoever deleted its Artifact in the middle of a release."""
    rig, old, new = await in_a_batch()
    for artifact in {"the stable one": [old], "the one on its way": [new], "both": [old, new]}[lost]:
        delete(rig, artifact)
    await rig.reconcile()
    assert set(statuses(rig)) == {old, new}
    assert "RecordRestored" in rig.recorder.reasons
    assert rig.status["memory"]["release"]["artifact"] == new
    rig.alarms.state = State.ALARM
    await rig.go_on("Reverted")
    assert rig.boxes() == {old: 4}


async def test_a_verdict_is_not_lost_with_its_record() -> None:
    """A version that was taken back does not start again because somebody deleted its Artifact."""
    rig, old, new = await in_a_batch()
    rig.alarms.state = State.ALARM
    await rig.go_on("Reverted")
    rig.alarms.state = State.OK
    before = statuses(rig)
    delete(rig, new)
    await rig.go_on("Reverted")
    assert {k: v["rejected"]["reason"] for k, v in statuses(rig).items() if "rejected" in v} == {new: "AlarmFired"}  # type: ignore[index]
    assert set(before) == {old, new}
    assert rig.boxes() == {old: 4}


async def test_what_nobody_needs_stays_deleted() -> None:
    """An old version without boxes, which is neither wanted nor the one to go back to."""
    rig, old, new = await in_a_batch()
    rig.change(strategy={part: {"bake": {"for": "0s"}} for part in ("oneBox", "rolling")} | {"bake": {"for": "0s"}})
    await rig.go_on("Stable")
    await rig.reconcile()
    delete(rig, old)
    await rig.reconcile()
    assert set(statuses(rig)) == {new}


async def test_nothing_is_written_for_a_rollout_that_goes() -> None:
    """The garbage collector deletes Artifacts while the watch of Rollouts may be late."""
    rig = Rig()
    old = await rig.installed()
    rig.server.delete("kubectl", kinds.ARTIFACTS, NAMESPACE, f"{NAME}-{old}")
    rig.is_watching = False
    rig.server.delete("kubectl", kinds.ROLLOUTS, NAMESPACE, NAME)
    with contextlib.suppress(ApiError):
        await rig.reconcile()
    assert "RecordRestored" not in rig.recorder.reasons
    assert statuses(rig).get(old, {}) == {}


async def test_what_goes_while_another_is_written_comes_back_too() -> None:
    """`kubectl delete artifacts --all` takes them one by one, and the first is being written anew meanwhile."""
    rig, old, new = await in_a_batch()

    def others(request: Request) -> None:
        if request.told.startswith("create Artifact") and old in statuses(rig):
            delete(rig, old)

    rig.kube.before = others
    delete(rig, new)
    await rig.reconcile()
    rig.kube.before = lambda _: None
    await rig.reconcile()
    assert set(statuses(rig)) == {old, new}


async def test_a_new_rollout_of_the_same_name_takes_over_no_record_of_the_old_one() -> None:
    """`kubectl delete` and `kubectl apply`: what the garbage collector has not taken yet is no proof of the new one."""
    rig = Rig()
    old = await rig.installed()
    rig.server.delete("kubectl", kinds.ROLLOUTS, NAMESPACE, NAME)
    rig.server.patch("gc", kinds.ROLLOUTS, NAMESPACE, NAME, {"metadata": {"finalizers": []}})
    rig.apply(strategy=PATIENT)
    with contextlib.suppress(ApiError):
        await rig.reconcile()
    for kind in (kinds.ARTIFACTS, kinds.REPLICA_SETS, kinds.DEPLOYMENTS):
        for left in rig.server.all(kind.kind):
            rig.server.delete("gc", kind, NAMESPACE, left["metadata"]["name"])
    await rig.go_on("Bake")
    assert "RecordRestored" not in rig.recorder.reasons
    assert not statuses(rig).get(old)


@pytest.mark.parametrize("times", [1, 2])
async def test_a_verdict_that_could_not_be_written_makes_no_unproven_version(times: int) -> None:
    """Created, and then an error: until its verdict is on record too nothing rests on it; the next pass writes it."""
    rig, old, new = await in_a_batch()
    before = rig.boxes()
    rig.kube.fail("patch Artifact/status", ApiError(500, "InternalError", "no"), times=times)
    delete(rig, old)
    for _ in range(times):
        await rig.reconcile()
        assert rig.boxes() == before
    await rig.reconcile()
    assert statuses(rig)[old]["stable"]
    rig.alarms.state = State.ALARM
    await rig.go_on("Reverted")
    assert rig.boxes() == {old: 4}
    assert new in statuses(rig)


async def test_a_process_that_dies_before_the_verdict_leaves_a_wait_and_no_unproven_version() -> None:
    """The next process does not know the verdict; nothing moves, as if the Artifact were still missing."""
    rig, old, _ = await in_a_batch()
    before = rig.boxes()
    rig.kube.fail("patch Artifact/status", ApiError(500, "InternalError", "no"))
    delete(rig, old)
    await rig.reconcile()
    rig.restart()
    await rig.reconcile()
    assert rig.status["waitingFor"]["what"].startswith(f"the Artifact of {old}")
    assert rig.boxes() == before


async def test_a_record_that_is_refused_holds_up_no_revert() -> None:
    """A quota does not let it in; what is on its way goes back all the same."""
    rig, old, new = await in_a_batch()
    rig.kube.fail("create Artifact", Forbidden(403, "Forbidden", "exceeded quota"), times=99)
    delete(rig, new)
    rig.alarms.state = State.ALARM
    for _ in range(20):
        await rig.reconcile()
        rig.settle()
        rig.clock.advance(15)
    assert rig.boxes() == {old: 4}


async def test_a_record_that_only_lost_its_label_gets_it_back() -> None:
    """The watch does not see it any more, and its name is taken by itself."""
    rig, old, new = await in_a_batch()
    rig.edit(kinds.ARTIFACTS, f"{NAME}-{old}", {"metadata": {"labels": {"ombak.dev/rollout": None}}})
    await rig.reconcile()
    rig.alarms.state = State.ALARM
    await rig.go_on("Reverted")
    assert rig.boxes() == {old: 4}
    assert new in statuses(rig)


async def test_a_verdict_deleted_right_after_it_was_recorded_is_not_lost() -> None:
    """Before the next pass looked at it."""
    rig, old, new = await in_a_batch()
    rig.alarms.state = State.ALARM
    await rig.reconcile()
    assert statuses(rig)[new]["rejected"]
    delete(rig, new)
    rig.alarms.state = State.OK
    await rig.go_on("Reverted")
    assert statuses(rig)[new]["rejected"]
    assert rig.boxes() == {old: 4}


@pytest.mark.parametrize("withdrawn", [False, True], ids=["while spec.rejected says so", "and ever since"])
async def test_what_there_is_to_go_back_to_is_told_by_verdicts_that_are_not_on_record_too(withdrawn: bool) -> None:
    """The stable version was taken back elsewhere, which may not be written down: the one before it is needed now."""
    rig = Rig()
    old = await rig.installed()
    rig.change(template=template("2.0.0"))
    await rig.go_on()
    for words in (f"patch Artifact/status {NAME}-{rig.stable}", "replace Deployment", "patch ReplicaSet"):
        rig.kube.fail(words, Forbidden(403, "Forbidden", "not now"), times=1000)
    rig.change(rejected=[rig.stable])
    await rig.pass_by(2)
    if withdrawn:
        rig.change(rejected=[])
    delete(rig, old)
    await rig.pass_by(2)
    rig.kube.heal()
    await rig.pass_by(20)
    assert rig.boxes() == {old: 4}


async def test_a_record_that_only_lost_its_owner_is_not_taken_for_deleted() -> None:
    """It is there, and gets its owner back."""
    rig, old, new = await in_a_batch()
    for artifact in (old, new):
        rig.edit(kinds.ARTIFACTS, f"{NAME}-{artifact}", {"metadata": {"ownerReferences": None}})
    rig.kube.take()
    await rig.reconcile()
    assert [told for told in rig.kube.told if told.startswith("create Artifact")] == []
    assert all(obj["metadata"]["ownerReferences"] for obj in rig.server.all("Artifact"))
