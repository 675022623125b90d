"""A pass: facts first, then the status, then boxes; live reads before anything goes; and no write without news."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ombak.alarms.verdict import Certainty, State
from ombak.core.memory import Memory
from ombak.runtime import kinds
from ombak.runtime.known import Known
from ombak.runtime.kube_port import ApiError, Conflict
from ombak.runtime.telling import COUNTS_AFTER, COUNTS_APART, COUNTS_LATEST, FIRST_WORDS_AFTER, StatusWriter
from support.rig import NAME, NAMESPACE, Rig, baking, in_phase, template

pytestmark = pytest.mark.usefixtures("quiet")


async def test_facts_come_first_then_the_status_then_boxes() -> None:
    """An install: what is meant is on record before anything runs."""
    rig = Rig()
    rig.apply()
    await rig.reconcile()
    artifact = rig.wanted
    assert rig.kube.told == [
        f"check Deployment {NAME}-onebox-check",
        f"check ReplicaSet {NAME}-{artifact}-check",
        f"patch Rollout {NAME}",
        f"create Artifact {NAME}-{artifact}",
        f"replace Rollout/status {NAME}",
        f"create Deployment {NAME}-onebox",
        f"create ReplicaSet {NAME}-{artifact}",
    ]


async def test_a_verdict_is_on_record_before_anything_is_taken_back(rig: Rig) -> None:
    """If the process dies in between, the next one knows."""
    new = await rig.at_first_batch()
    rig.clock.advance(15)
    rig.alarms.state = State.ALARM
    await rig.reconcile()
    facts, boxes = rig.kube.writes[:2], rig.kube.writes[2:]
    assert facts == [f"patch Artifact/status {NAME}-{new}", f"replace Rollout/status {NAME}"]
    assert boxes
    assert all(words.startswith(("replace Deployment", "patch ReplicaSet")) for words in boxes)
    assert rig.phase == "Reverting"


async def test_a_release_costs_few_requests() -> None:
    """The budget at ten boxes and zero bakes, with nothing to wait for: 14 writes, 7 single reads, no list."""
    rig = Rig()
    await rig.installed(replicas=10, alarms=None, unwatched="only its cost is looked at")
    rig.change(template=template("2.0.0"))
    await rig.go_on()
    verbs = [r.verb for r in rig.kube.requests]
    assert len(rig.kube.writes) <= 14
    assert verbs.count("get") <= 7
    assert "list" not in verbs
    assert len(rig.recorder.notes) <= 6
    assert rig.boxes() == {rig.wanted: 10}


async def test_siblings_are_read_live_before_boxes_go(rig: Rig) -> None:
    """Each one that has boxes, right before, whatever the watch says."""
    rig.change(template=template("2.0.0"))
    await rig.reconcile()
    told = rig.kube.told
    shrink = told.index(f"replace Deployment {NAME}-onebox")
    assert f"get ReplicaSet {NAME}-{rig.stable}" in told[:shrink]
    assert f"get Deployment {NAME}-onebox" in told[:shrink]
    assert not any(words.startswith("list") for words in told)


async def test_a_set_that_protects_itself_is_read_only_after_a_conflict(rig: Rig) -> None:
    """The watch is asleep, so that trying again would end in the same conflict for ever."""
    fleet = f"{NAME}-{rig.stable}"
    await rig.at_first_batch()
    await rig.pass_by(1)
    rig.is_watching = False
    rig.edit(kinds.REPLICA_SETS, fleet, {"metadata": {"annotations": {"team": "shop"}}})
    rig.is_watching = True
    rig.kube.take()
    with pytest.raises(Conflict):
        await rig.reconcile()
    assert f"get ReplicaSet {fleet}" not in rig.kube.told
    rig.kube.take()
    await rig.reconcile()
    told = rig.kube.told
    assert told.index(f"get ReplicaSet {fleet}") < told.index(f"patch ReplicaSet {fleet}")
    rig.settle()
    rig.kube.take()
    await rig.go_on()
    assert f"patch ReplicaSet {fleet}" in rig.kube.told
    assert f"get ReplicaSet {fleet}" not in rig.kube.told


async def test_a_verdict_rests_on_what_is_there_now(rig: Rig) -> None:
    """The one box serves in time, and the watch is late: nothing is rejected."""
    rig.change(template=template("2.0.0"), progressDeadline="60s", strategy=baking())
    await rig.reconcile()
    rig.is_watching = False
    rig.settle()
    rig.is_watching = True
    for _ in range(5):
        rig.clock.advance(15)
        await rig.reconcile()
    assert rig.phase != "Reverting"
    await rig.go_on("Bake")


async def test_a_stale_picture_takes_nothing_away(rig: Rig) -> None:
    """The watch is asleep, the fleet has lost its boxes: the one box stays."""
    rig.is_watching = False
    name = f"{NAME}-{rig.stable}"
    down = {"metadata": {}, "status": {"observedGeneration": 1, "replicas": 3, "readyReplicas": 0}}
    rig.server.replace("kubelet", kinds.REPLICA_SETS, NAMESPACE, name, down, subresource="status")
    rig.change(template=template("2.0.0"))
    rig.is_watching = True
    rig.stores.rollouts.observe(rig.rollout)
    await rig.reconcile()
    box = rig.server.get(kinds.DEPLOYMENTS, NAMESPACE, f"{NAME}-onebox")
    assert box["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


async def test_a_sibling_found_gone_is_not_counted_on(rig: Rig) -> None:
    """NotFound on a live read: the plan is made anew without it."""
    rig.is_watching = False
    rig.server.delete("kubectl", kinds.REPLICA_SETS, NAMESPACE, f"{NAME}-{rig.stable}")
    rig.change(template=template("2.0.0"))
    rig.is_watching = True
    rig.stores.rollouts.observe(rig.rollout)
    await rig.reconcile()
    box = rig.server.get(kinds.DEPLOYMENTS, NAMESPACE, f"{NAME}-onebox")
    assert box["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


async def test_a_failed_live_read_ends_the_pass(rig: Rig) -> None:
    """Before anything was written."""
    rig.change(template=template("2.0.0"))
    rig.kube.fail("get Deployment", ApiError.of(500))
    with pytest.raises(ApiError):
        await rig.reconcile()
    assert rig.kube.writes == []
    await rig.go_on()


async def test_growing_reads_nothing(rig: Rig) -> None:
    """Nobody can be hurt by a box more."""
    rig.change(replicas=6)
    await rig.reconcile()
    assert rig.kube.told == [f"replace Rollout/status {NAME}", f"patch ReplicaSet {NAME}-{rig.stable}"]


async def test_nothing_is_written_when_nothing_changed(rig: Rig) -> None:
    """Not in the next passes, not by the next process, and no other request either."""
    for _ in range(5):
        rig.clock.advance(60)
        assert await rig.reconcile() is None
    rig.restart()
    await rig.reconcile()
    rig.clock.advance(60)
    await rig.reconcile()
    assert rig.kube.told == []


@pytest.mark.parametrize(
    "phase", ["OneBox", "Rolling", "Bake", "Reverting", "Reverted", "Blocked", "Failed", "Invalid"]
)
async def test_a_new_process_writes_nothing_in_any_phase(phase: str) -> None:
    """Two of its passes at once; what goes on in that phase needs time, boxes or a person (P7)."""
    rig = await in_phase(phase)
    assert rig.phase == phase
    rig.kube.take()
    rig.restart()
    rig.alarms.state = State.ALARM if phase in ("Reverting", "Blocked") else State.OK
    for _ in range(2):
        await rig.reconcile()
    assert (rig.kube.writes, rig.phase) == ([], phase)


async def test_a_transition_is_one_status_write(rig: Rig) -> None:
    """However many things change at once; and the same pass writes it no second time."""
    rig.change(template=template("2.0.0"))
    phases = []
    for _ in range(20):
        await rig.reconcile()
        writes = [words for words in rig.kube.writes if "Rollout/status" in words]
        assert len(writes) <= 1
        phases += [rig.phase] if writes else []
        rig.kube.take()
        rig.settle()
        rig.clock.advance(15)
    assert phases == ["OneBox", "OneBoxBake", *["Rolling"] * 5, "Bake", "Stable"]


async def test_counts_alone_wait(rig: Rig) -> None:
    """A box that comes and goes costs no write until the last one is old enough; then one."""
    rig.change(replicas=5)
    await rig.reconcile()
    rig.settle()
    rig.kube.take()
    waits = [await rig.reconcile()]
    assert rig.kube.writes == []
    rig.clock.advance(COUNTS_AFTER.total_seconds() - 1)
    waits.append(await rig.reconcile())
    assert (rig.kube.writes, waits[1]) == ([], timedelta(seconds=1))
    rig.clock.advance(1)
    assert await rig.reconcile() is None
    assert (rig.kube.writes, rig.status["replicas"]) == ([f"replace Rollout/status {NAME}"], 5)


async def test_counts_of_many_take_turns(rig: Rig) -> None:
    """A thousand releases at once pay for one such write a second, and yet none is older than five minutes."""
    writer = StatusWriter(rig.kube, rig.stores, rig.clock)
    everybody = [Known(Memory(), {}, written_at=rig.clock.monotonic()) for _ in range(1000)]
    assert {writer.counts_wait(each) for each in everybody} == {COUNTS_AFTER}
    rig.clock.advance(COUNTS_AFTER.total_seconds())

    turns = [writer.counts_wait(each) for each in everybody]
    assert turns[:3] == [timedelta(0), COUNTS_APART, 2 * COUNTS_APART]
    assert max(turns) == COUNTS_LATEST - COUNTS_AFTER
    assert [writer.counts_wait(each) for each in everybody] == turns


async def test_a_write_leaves_no_counts_to_wait_for(rig: Rig) -> None:
    """What was just told is not told again half a minute later."""
    rig.change(replicas=7)
    rig.stores.rollouts.observe(rig.rollout)
    await rig.reconcile()
    rig.settle()
    rig.clock.advance(COUNTS_AFTER.total_seconds())
    assert await rig.reconcile() is None


async def test_a_first_look_without_alarms_is_not_told(rig: Rig) -> None:
    """A new process knows nothing of them for a moment; if that lasts, people hear of it."""
    await rig.at_first_batch()
    rig.settle()
    rig.restart()
    rig.alarms.is_cold, rig.alarms.certainty, rig.alarms.state = True, Certainty.Uncertain, State.INSUFFICIENT_DATA
    await rig.reconcile()
    rig.clock.advance(FIRST_WORDS_AFTER.total_seconds() - 1)
    await rig.reconcile()
    assert rig.kube.writes == []
    rig.clock.advance(1)
    await rig.reconcile()
    assert rig.kube.writes == [f"replace Rollout/status {NAME}"]
    assert "alarms" in rig.status["waitingFor"]["what"]


async def test_a_first_look_in_vain_is_told_at_once(rig: Rig) -> None:
    """What the status said before is not true any more: this process asked, and there is no answer."""
    await rig.at_first_batch()
    rig.settle()
    rig.restart()
    rig.alarms.is_cold, rig.alarms.certainty, rig.alarms.state = True, Certainty.Uncertain, State.INSUFFICIENT_DATA
    await rig.reconcile()
    assert rig.kube.writes == []
    rig.alarms.has_looked = True
    await rig.reconcile()
    assert rig.kube.writes == [f"replace Rollout/status {NAME}"]
    assert "alarms that can be evaluated" in rig.status["waitingFor"]["what"]
