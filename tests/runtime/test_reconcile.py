"""A pass: facts first, then the status, then boxes; live reads before anything goes; and no write without news."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from ombak.alarms.verdict import Certainty, State
from ombak.core import naming
from ombak.core.memory import load_memory
from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, Conflict, NotFound, TooManyRequests, Unreachable
from ombak.runtime.reconcile import ASK_PODS_EVERY, COUNTS_AFTER, FIRST_WORDS_AFTER, RECHECK_AFTER
from ombak.simulation.server import REFUSED
from support.fake_kube import KEY, NAME, NAMESPACE, Died, Rig, follow, spec, template

FORBIDDEN = ApiError.of(403, "Forbidden", "exceeded quota: pods")
OUTAGES = [
    pytest.param(Unreachable("cut"), id="no answer"),
    pytest.param(ApiError.of(500, "InternalError"), id="500"),
    pytest.param(TooManyRequests(429, "TooManyRequests", "slow down", timedelta(seconds=9)), id="429"),
    pytest.param(Conflict(409, "Conflict", "modified"), id="conflict"),
]
REFUSALS = [pytest.param(ApiError.of(code, "No", "exceeded quota: pods"), id=str(code)) for code in (400, 403, 422)]


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """The lines of the log, which would make up most of the time of these tests."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
async def rig() -> Rig:
    """Four boxes of the first version, stable; nothing asked since."""
    made = Rig()
    await made.installed()
    return made


def _stable(rig: Rig) -> str:
    return str(rig.status["artifacts"]["stable"])


def _wanted(rig: Rig) -> str:
    stored = rig.stores.rollouts.get(KEY)
    assert stored is not None
    return stored.value.artifact


async def _at_first_batch(rig: Rig) -> str:
    """Release a second version until its first batch is allowed; returns its id."""
    rig.change(template=template("2.0.0"))
    await rig.go_on("Rolling")
    rig.kube.take()
    return _wanted(rig)


# --- order ---------------------------------------------------------------------------------------------


async def test_facts_come_first_then_the_status_then_boxes() -> None:
    """An install: what is meant is on record before anything runs."""
    rig = Rig()
    rig.apply()
    await rig.reconcile()
    artifact = _wanted(rig)
    assert rig.kube.told == [
        f"check ReplicaSet {NAME}-{artifact}-check",
        f"patch Rollout {NAME}",
        f"create Artifact {NAME}-{artifact}",
        f"replace Rollout/status {NAME}",
        f"create Deployment {NAME}-onebox",
        f"create ReplicaSet {NAME}-{artifact}",
    ]


async def test_a_verdict_is_on_record_before_anything_is_taken_back(rig: Rig) -> None:
    """If the process dies in between, the next one knows."""
    new = await _at_first_batch(rig)
    rig.clock.advance(15)
    rig.alarms.state = State.ALARM
    await rig.reconcile()
    facts, boxes = rig.kube.writes[:2], rig.kube.writes[2:]
    assert facts == [f"patch Artifact/status {NAME}-{new}", f"replace Rollout/status {NAME}"]
    assert boxes
    assert all(words.startswith(("replace Deployment", "patch ReplicaSet")) for words in boxes)
    assert rig.phase == "Reverting"


async def test_a_release_costs_few_requests() -> None:
    """The budget at ten boxes and zero bakes, with nothing to wait for: 14 writes, 10 single reads, no list."""
    rig = Rig()
    await rig.installed(replicas=10, alarms=None, unwatched="only its cost is looked at")
    rig.change(template=template("2.0.0"))
    await rig.go_on()
    verbs = [r.verb for r in rig.kube.requests]
    assert len(rig.kube.writes) <= 14
    assert verbs.count("get") <= 10
    assert "list" not in verbs
    assert len(rig.recorder.notes) <= 6
    assert rig.boxes() == {_wanted(rig): 10}


# --- live reads ----------------------------------------------------------------------------------------


async def test_siblings_are_read_live_before_boxes_go(rig: Rig) -> None:
    """Each one that has boxes, right before, whatever the watch says."""
    rig.change(template=template("2.0.0"))
    await rig.reconcile()
    told = rig.kube.told
    shrink = told.index(f"replace Deployment {NAME}-onebox")
    assert f"get ReplicaSet {NAME}-{_stable(rig)}" in told[:shrink]
    assert f"get Deployment {NAME}-onebox" in told[:shrink]
    assert not any(words.startswith("list") for words in told)


async def test_a_stale_picture_takes_nothing_away(rig: Rig) -> None:
    """The watch is asleep, the fleet has lost its boxes: the one box stays."""
    rig.is_watching = False
    name = f"{NAME}-{_stable(rig)}"
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
    rig.server.delete("kubectl", kinds.REPLICA_SETS, NAMESPACE, f"{NAME}-{_stable(rig)}")
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
    assert rig.kube.told == [f"replace Rollout/status {NAME}", f"patch ReplicaSet {NAME}-{_stable(rig)}"]


# --- writes only with news -----------------------------------------------------------------------------


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
    rig = await _in_phase(phase)
    assert rig.phase == phase
    rig.kube.take()
    rig.restart()
    rig.alarms.state = State.ALARM if phase in ("Reverting", "Blocked") else State.OK
    for _ in range(2):
        await rig.reconcile()
    assert (rig.kube.writes, rig.phase) == ([], phase)


async def _in_phase(phase: str) -> Rig:
    rig = Rig()
    if phase == "Failed":
        rig.apply()
        await rig.reconcile()
        rig.alarms.state = State.ALARM
        await rig.go_on("Failed")
        await rig.reconcile()
        return rig
    await rig.installed(strategy=_baking())
    rig.change(template=template("2.0.0"), **({"minReadySeconds": "soon"} if phase == "Invalid" else {}))
    if phase == "Blocked":
        rig.alarms.state = State.ALARM
    if phase in ("Reverting", "Reverted"):
        await rig.go_on("Rolling")
        rig.alarms.state = State.ALARM
        await rig.reconcile()
    if phase == "Reverted":
        await rig.go_on("Reverted")
    elif phase != "Reverting":
        await rig.go_on(phase, ready=phase != "OneBox")
        await rig.reconcile()
    return rig


def _baking(bake: str = "10m") -> dict[str, Any]:
    """No bake but the last one."""
    strategy: dict[str, Any] = spec()["strategy"]
    return strategy | {"bake": {"for": bake}}


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
    await _at_first_batch(rig)
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


# --- memory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["OneBox", "Rolling", "Bake", "Stable", "Reverted", "Blocked"])
async def test_a_status_erased_by_hand_is_told_again(phase: str) -> None:
    """Nothing is redeployed, nothing promoted early: the boxes and the verdicts know."""
    rig = await _in_phase(phase) if phase != "Stable" else Rig()
    if phase == "Stable":
        await rig.installed()
    boxes = rig.boxes()
    rig.kube.take()
    rig.write_status({})
    await rig.reconcile()
    assert (rig.boxes(), rig.phase) == (boxes, phase)
    assert rig.kube.writes == [f"replace Rollout/status {NAME}"]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda m: [], id="a list"),
        pytest.param(lambda m: {"release": "yes"}, id="another type"),
        pytest.param(lambda m: _zoneless(m), id="times without a zone"),
    ],
)
async def test_a_memory_that_cannot_be_read_counts_as_erased(rig: Rig, damage: Callable[[Any], Any]) -> None:
    """Somebody wrote into it; the release goes on where its boxes are."""
    await _at_first_batch(rig)
    rig.write_status({**rig.status, "memory": damage(rig.status["memory"])})
    await rig.reconcile()
    assert load_memory(rig.status["memory"]).release is not None
    await rig.go_on()
    assert rig.boxes() == {_wanted(rig): 4}


def _zoneless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _zoneless(v) for k, v in value.items()}
    return value.removesuffix("Z") if isinstance(value, str) else value


async def test_a_memory_that_somebody_else_wrote_is_taken_up(rig: Rig) -> None:
    """Another operator, or a restored backup: the status wins over what this process remembers."""
    await _at_first_batch(rig)
    theirs = {**rig.status["memory"], "release": {**rig.status["memory"]["release"], "mode": "Fast"}}
    rig.write_status({**rig.status, "memory": theirs})
    await rig.reconcile()
    release = load_memory(rig.status["memory"]).release
    assert release is not None
    assert release.mode == "Fast"


async def test_bake_time_is_counted_across_passes_and_stored_now_and_then() -> None:
    """Every five minutes or so, not at every pass; a new process has lost no more than that."""
    rig = await _in_phase("Bake")
    rig.kube.take()
    for _ in range(40):
        rig.clock.advance(14)
        await rig.reconcile()
    release = load_memory(rig.status["memory"]).release
    assert release is not None
    assert timedelta(minutes=5) <= release.step.ledger.accrued <= timedelta(seconds=40 * 14)
    assert len(rig.kube.writes) <= 2 + 40 * 14 // COUNTS_AFTER.total_seconds()
    assert rig.phase == "Bake"


async def test_a_jump_of_the_wall_clock_invents_no_bake() -> None:
    """An hour forward, an hour back: the memory moves along, and only time that passed counts."""
    rig = await _in_phase("Bake")
    for jump in (3600, -3600):
        rig.clock.wall += timedelta(seconds=jump)
        for _ in range(3):
            rig.clock.advance(14)
            await rig.reconcile()
    await rig.reconcile()
    assert rig.phase == "Bake"
    release = rig.reconciler._known[KEY].memory.release
    assert release is not None
    assert release.step.ledger.accrued <= timedelta(seconds=6 * 14)


async def test_zones_taken_out_in_the_middle_of_a_release_do_not_stop_it() -> None:
    """The approved share of parts that are no more is told from the boxes."""
    rig = Rig()
    await rig.installed(zones=["a", "b", "c"], replicas=9)
    rig.change(template=template("2.0.0"))
    while (
        load_memory(rig.status["memory"]).release is None or rig.status["memory"]["release"]["position"]["segment"] < 3
    ):
        await rig.reconcile()
        rig.settle()
        rig.clock.advance(15)
    rig.change(zones=None)
    await rig.go_on()
    assert rig.boxes() == {_wanted(rig): 9}


# --- what fails ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", OUTAGES)
@pytest.mark.parametrize(
    "words", ["check", "get ReplicaSet", "create Artifact", "replace Rollout/status", "replace Deployment"]
)
@pytest.mark.parametrize("after", [False, True], ids=["without effect", "after it happened"])
async def test_what_goes_away_by_itself_is_tried_again(rig: Rig, words: str, error: ApiError, after: bool) -> None:
    """The pass fails, nothing is told to people, and the next one goes on."""
    rig.change(template=template("2.0.0"))
    rig.kube.fail(words, error, after=after)
    with pytest.raises(ApiError):
        await rig.reconcile()
    assert rig.condition("Stalled")["status"] == "False"
    await rig.go_on()
    assert rig.boxes() == {_wanted(rig): 4}
    assert (rig.recorder.reasons[-1], rig.recorder.reasons.count("Stable")) == ("Stable", 1)


async def test_a_failed_status_write_leaves_the_memory_as_it_was(rig: Rig) -> None:
    """What is not on record was not decided: no box moves."""
    rig.change(template=template("2.0.0"))
    rig.kube.fail("replace Rollout/status", Unreachable("cut"))
    with pytest.raises(Unreachable):
        await rig.reconcile()
    assert rig.boxes() == {_stable(rig): 4}
    assert rig.reconciler._known[KEY].memory.release is None


async def test_after_a_conflict_the_rollout_is_read_anew(rig: Rig) -> None:
    """The watch may be late; the next pass sees what is there now."""
    rig.is_watching = False
    rig.change(template=template("2.0.0"))
    rig.change(template=template("3.0.0"), paused=True)
    stale = rig.server.get(kinds.ROLLOUTS, *KEY)
    rig.stores.rollouts.upsert({**stale, "spec": spec("2.0.0"), "metadata": {**stale["metadata"]}})
    rig.annotate("x", "y")
    with pytest.raises(Conflict):
        await rig.reconcile()
    await rig.reconcile()
    assert rig.phase == "Blocked"
    assert rig.boxes() == {_stable(rig): 4}


async def test_a_rollout_found_gone_is_forgotten(rig: Rig) -> None:
    """NotFound on the status write: the next pass has nothing to do."""
    rig.is_watching = False
    rig.change(template=template("2.0.0"))
    rig.stores.rollouts.upsert(rig.rollout)
    rig.server.patch("kubectl", kinds.ROLLOUTS, *KEY, {"metadata": {"finalizers": None}})
    rig.server.delete("kubectl", kinds.ROLLOUTS, *KEY)
    with pytest.raises(NotFound):
        await rig.reconcile()
    assert rig.stores.rollouts.get(KEY) is None
    assert await rig.reconcile() is None
    assert rig.alarms.forgotten == [KEY]


@pytest.mark.parametrize("error", REFUSALS)
async def test_a_refused_fact_is_told_and_nothing_is_done(rig: Rig, error: ApiError) -> None:
    """The status does not claim what did not happen; it is tried again, and vanishes when allowed."""
    old = _stable(rig)
    rig.change(template=template("2.0.0"))
    rig.kube.fail("create Artifact", error, times=3)
    assert await rig.reconcile() == RECHECK_AFTER
    assert (rig.phase, rig.status["memory"], rig.boxes()) == ("Stable", {}, {old: 4})
    assert (rig.condition("Stalled")["status"], rig.condition("Stalled")["reason"]) == ("True", "ApplyFailed")
    assert (rig.condition("Delivered")["status"], rig.condition("Ready")["status"]) == ("False", "True")
    assert "exceeded quota: pods" in rig.status["message"]
    since = rig.status["waitingFor"]["since"]
    rig.kube.take()
    for _ in range(2):
        rig.clock.advance(60)
        assert await rig.reconcile() == RECHECK_AFTER
    assert [words for words in rig.kube.writes if "status" in words] == []
    assert rig.status["waitingFor"]["since"] == since
    await rig.reconcile()
    assert (rig.condition("Stalled")["status"], rig.phase) == ("False", "OneBox")
    assert rig.recorder.reasons == ["Started"]


async def test_a_refused_verdict_promotes_nothing(rig: Rig) -> None:
    """A version is stable only when that is on record."""
    old = _stable(rig)
    rig.change(template=template("2.0.0"))
    rig.kube.fail("patch Artifact/status", FORBIDDEN, times=5)
    await rig.go_on("Bake")
    for _ in range(3):
        await rig.reconcile()
        rig.clock.advance(60)
    assert (rig.phase, rig.status["artifacts"]["stable"]) == ("Bake", old)
    assert rig.condition("Delivered")["status"] == "False"
    await rig.go_on()
    assert _stable(rig) == _wanted(rig)


@pytest.mark.parametrize("error", REFUSALS)
async def test_a_refused_box_is_told_and_tried_again(rig: Rig, error: ApiError) -> None:
    """The release stands where it is, Stalled, until somebody lifts what is in the way."""
    rig.change(template=template("2.0.0"))
    await rig.go_on("OneBoxBake")
    rig.kube.fail("create ReplicaSet", error, times=4)
    rig.clock.advance(15)
    assert await rig.reconcile() == RECHECK_AFTER
    stalled = rig.condition("Stalled")
    assert (stalled["status"], stalled["reason"], rig.phase) == ("True", "ApplyFailed", "Rolling")
    assert rig.status["message"] == "CreateFleet was refused by the API server: exceeded quota: pods"
    rig.settle()
    await rig.reconcile()
    rig.kube.take()
    assert await rig.reconcile() == RECHECK_AFTER
    assert [words for words in rig.kube.writes if "status" in words] == []
    rig.restart()
    rig.kube.fail("create ReplicaSet", error)
    await rig.reconcile()
    assert [words for words in rig.kube.writes if "status" in words] == []
    await rig.reconcile()
    assert rig.condition("Stalled")["status"] == "False"
    await rig.go_on()


async def test_a_strangers_name_stalls_and_goes_on_when_it_is_free(rig: Rig) -> None:
    """Nothing of the stranger is touched."""
    rig.change(template=template("2.0.0"))
    name = f"{NAME}-{_wanted(rig)}"
    stranger = {"metadata": {"name": name}, "spec": {"replicas": 1, "template": template()}}
    rig.server.create("kubectl", kinds.REPLICA_SETS, NAMESPACE, stranger)
    before = rig.server.get(kinds.REPLICA_SETS, NAMESPACE, name)
    for _ in range(4):
        await rig.reconcile()
        follow(rig.server, kinds.DEPLOYMENTS, rig.server.get(kinds.DEPLOYMENTS, NAMESPACE, f"{NAME}-onebox"))
        rig.clock.advance(15)
    assert rig.server.get(kinds.REPLICA_SETS, NAMESPACE, name) == before
    assert rig.condition("Stalled")["reason"] == "ApplyFailed"
    assert "already exists" in rig.status["message"]
    rig.server.delete("kubectl", kinds.REPLICA_SETS, NAMESPACE, name)
    await rig.go_on()


async def test_a_child_that_lost_its_label_is_found_again(rig: Rig) -> None:
    """Although the watch does not see it any more; no box is made in its place."""
    name = f"{NAME}-{_stable(rig)}"
    rig.edit(kinds.REPLICA_SETS, name, {"metadata": {"labels": {naming.ROLLOUT: None}}})
    await rig.go_on("Stable")
    await rig.reconcile()
    live = rig.server.get(kinds.REPLICA_SETS, NAMESPACE, name)
    assert (live["metadata"]["labels"][naming.ROLLOUT], live["spec"]["replicas"]) == (NAME, 3)
    assert rig.condition("Stalled")["status"] == "False"


@pytest.mark.parametrize("bad", [False, True], ids=["release", "revert"])
async def test_a_crash_after_any_request_changes_nothing_in_the_end(bad: bool) -> None:
    """Killed after each request in turn; the next process comes to the same end, and promotes nothing early."""
    baseline = await _delivered(bad, None)
    count = len(baseline.kube.requests)
    assert count > 20
    for number in range(count):
        rig = await _delivered(bad, number)
        assert (rig.boxes(), rig.phase) == (baseline.boxes(), baseline.phase), number
        assert rig.clock.wall >= baseline.clock.wall, number
        assert set(rig.recorder.reasons) <= {*baseline.recorder.reasons, "Returned"}, number


async def _delivered(bad: bool, crash: int | None) -> Rig:
    """Deliver a second version, good or bad in its first batch; with a crash after a request."""
    rig = Rig()
    await rig.installed(strategy=_baking("30s"))
    rig.change(template=template("2.0.0"))
    if crash is not None:
        _crash_after(rig, crash)
    for _ in range(60):
        if bad:
            rig.alarms.state = State.ALARM if rig.boxes().get(_wanted(rig), 0) > 1 else State.OK
        try:
            await rig.reconcile()
        except Died:
            rig.restart()
        except ApiError:
            rig.relist()
        rig.settle()
        if rig.phase == ("Reverted" if bad else "Stable") and rig.status["observedGeneration"] == 2:
            return rig
        rig.clock.advance(15)
    raise AssertionError(f"{rig.phase}: {rig.status.get('message')}")


def _crash_after(rig: Rig, number: int) -> None:
    """Let the process die when that request has had its effect."""
    left, call = number, rig.kube._call

    def counted(request: Any, effect: Any) -> Any:
        nonlocal left
        answer = call(request, effect)
        left -= 1
        if left == -1:
            raise Died
        return answer

    rig.kube._call = counted  # type: ignore[method-assign]


# --- what people see and say ---------------------------------------------------------------------------


async def test_the_finalizer_is_put_on_and_replicas_filled_in() -> None:
    """The only write to spec: `/scale` fails without it; nothing else of it changes."""
    rig = Rig()
    rig.apply(replicas=None)
    before = rig.rollout["spec"]
    await rig.reconcile()
    assert rig.rollout["metadata"]["finalizers"] == [naming.ORPHAN]
    assert rig.rollout["spec"] == {**before, "replicas": 1}
    assert len([words for words in rig.kube.writes if words == f"patch Rollout {NAME}"]) == 1


async def test_replicas_are_filled_in_with_what_is_there(rig: Rig) -> None:
    """Somebody took the field out; the boxes stay."""
    changed = {k: v for k, v in rig.rollout["spec"].items() if k != "replicas"}
    rig.server.replace("kubectl", kinds.ROLLOUTS, *KEY, {**rig.rollout, "spec": changed})
    await rig.reconcile()
    assert (rig.rollout["spec"]["replicas"], rig.boxes()) == (4, {_stable(rig): 4})


@pytest.mark.parametrize("command", [naming.ABORT, naming.RETRY])
async def test_a_command_that_names_nothing_is_cleared(rig: Rig, command: str) -> None:
    """And does nothing else."""
    rig.annotate(command, "a1ffffffffff")
    await rig.reconcile()
    assert rig.rollout["metadata"]["annotations"] == {}
    assert rig.kube.writes == [f"patch Rollout {NAME}"]


async def test_an_abort_takes_back_and_is_cleared(rig: Rig) -> None:
    """Once, then it is gone; a retry starts again, and is gone too."""
    new, old = await _at_first_batch(rig), _stable(rig)
    rig.annotate(naming.ABORT, new)
    await rig.go_on("Reverted")
    await rig.reconcile()
    assert (rig.boxes(), rig.rollout["metadata"]["annotations"]) == ({old: 4}, {})
    rig.annotate(naming.RETRY, new)
    await rig.go_on()
    await rig.reconcile()
    assert (rig.boxes(), rig.rollout["metadata"]["annotations"]) == ({new: 4}, {})


async def test_a_template_is_checked_once(rig: Rig) -> None:
    """Not at every pass; what was refused is asked again after a while, for a policy may have changed."""
    rig.change(template=template("2.0.0", **{REFUSED: "spec.containers[0].image: Required value"}))
    for _ in range(3):
        await rig.reconcile()
    assert rig.kube.told.count(f"check ReplicaSet {NAME}-{_wanted(rig)}-check") == 1
    assert (rig.phase, rig.boxes()) == ("Invalid", {_stable(rig): 4})
    assert "Required value" in rig.status["message"]
    rig.clock.advance(60)
    await rig.reconcile()
    assert rig.kube.told.count(f"check ReplicaSet {NAME}-{_wanted(rig)}-check") == 2


async def test_pods_are_asked_only_when_boxes_stay_down(rig: Rig) -> None:
    """Not while they come up, then now and then; what they say is told, and forgotten when they are up."""
    rig.change(template=template("2.0.0"))
    waiting = {"waiting": {"reason": "ErrImagePull"}}
    rig.kube.pods = [{"status": {"containerStatuses": [{"name": "app", "state": waiting}]}}]
    await rig.reconcile()
    rig.settle(ready=False)
    await rig.reconcile()
    assert not any(r.verb == "list" for r in rig.kube.requests)
    for _ in range(8):
        rig.clock.advance(ASK_PODS_EVERY.total_seconds() / 3)
        await rig.reconcile()
    asked = [r for r in rig.kube.requests if r.verb == "list"]
    assert len(asked) == 2
    assert {r.told for r in asked} == {f"list Pod {naming.ROLLOUT}={NAME},{naming.ARTIFACT}={_wanted(rig)}"}
    rig.clock.advance(30)
    await rig.reconcile()
    assert "ErrImagePull of container app" in rig.status["waitingFor"]["what"]
    await rig.go_on()
    assert rig.reconciler._known[KEY].trouble == ""


async def test_pods_that_may_not_be_asked_hold_up_nothing(rig: Rig) -> None:
    """The explanation is missing, the deadline is not."""
    rig.change(template=template("2.0.0"))
    rig.kube.fail("list Pod", FORBIDDEN, times=999)
    await rig.go_on("Reverting", ready=False)
    assert "progressDeadline" in rig.status["message"]


async def test_an_edit_is_put_back_and_told_once(rig: Rig) -> None:
    """With who made it; afterwards there is nothing to do."""
    name = f"{NAME}-{_stable(rig)}"
    rig.edit(kinds.REPLICA_SETS, name, {"spec": {"minReadySeconds": 77}})
    await rig.reconcile()
    assert rig.server.get(kinds.REPLICA_SETS, NAMESPACE, name)["spec"]["minReadySeconds"] == 0
    assert rig.recorder.reasons == ["PutBack"]
    assert "kubectl-edit" in rig.recorder.notes[0].message
    rig.kube.take()
    await rig.reconcile()
    assert rig.kube.told == []


async def test_a_difference_that_the_server_insists_on_is_left(rig: Rig) -> None:
    """An admission policy that changes every write is fought once, not for ever."""
    name = f"{NAME}-{_stable(rig)}"
    edit = {"spec": {"minReadySeconds": 77}}
    rig.edit(kinds.REPLICA_SETS, name, edit)
    replace = rig.server.replace

    def mutating(by: str, kind: Any, namespace: str, called: str, body: Any, *, subresource: str = "") -> Any:
        answer = replace(by, kind, namespace, called, body, subresource=subresource)
        if kind is kinds.REPLICA_SETS and not subresource:
            return rig.server.patch("policy", kind, namespace, called, edit)
        return answer

    rig.server.replace = mutating  # type: ignore[method-assign,assignment]
    for _ in range(4):
        await rig.reconcile()
        rig.settle()
        rig.clock.advance(60)
    assert rig.kube.writes.count(f"replace ReplicaSet {name}") == 1


@pytest.mark.parametrize(
    "words", ["patch Artifact/status", "replace Rollout/status", "patch ReplicaSet"], ids=["fact", "status", "boxes"]
)
@pytest.mark.parametrize("error", OUTAGES)
async def test_a_revert_is_told_whatever_fails(rig: Rig, words: str, error: ApiError) -> None:
    """Exactly once, although the pass that decided it did not end well."""
    await _at_first_batch(rig)
    rig.recorder.notes.clear()
    rig.clock.advance(15)
    rig.alarms.state, rig.alarms.message = State.ALARM, "errors are high"
    rig.kube.fail(words, error)
    await rig.go_on("Reverted")
    assert rig.recorder.reasons == ["AlarmFired", "Reverted"]


async def test_a_spec_that_says_nothing_moves_nothing(rig: Rig) -> None:
    """Stalled, with the field; what was known of it stays, also whether it serves. Once mended it goes on."""
    good = rig.rollout["spec"]
    broken = {k: v for k, v in good.items() if k != "selector"}
    rig.server.replace("kubectl", kinds.ROLLOUTS, *KEY, {**rig.rollout, "spec": broken})
    for _ in range(2):
        assert await rig.reconcile() is None
    assert rig.kube.writes == [f"replace Rollout/status {NAME}"]
    assert (rig.phase, rig.condition("Stalled")["status"]) == ("Invalid", "True")
    assert "spec.selector" in rig.status["message"]
    assert (rig.condition("Ready")["status"], rig.condition("Delivered")["status"]) == ("True", "False")
    assert rig.status["artifacts"]["stable"]
    rig.server.replace("kubectl", kinds.ROLLOUTS, *KEY, {**rig.rollout, "spec": good})
    await rig.go_on()


async def test_a_rollout_that_is_deleted_is_left_alone(rig: Rig) -> None:
    """Its boxes are the garbage collector's business; its alarms are asked no more."""
    rig.server.delete("kubectl", kinds.ROLLOUTS, *KEY)
    assert rig.rollout["metadata"]["deletionTimestamp"]
    assert await rig.reconcile() is None
    assert (rig.kube.told, rig.alarms.forgotten) == ([], [KEY])


async def test_one_created_again_under_the_name_starts_anew(rig: Rig) -> None:
    """What was left behind is adopted; nothing is redeployed."""
    stable = _stable(rig)
    rig.server.patch("kubectl", kinds.ROLLOUTS, *KEY, {"metadata": {"finalizers": None}})
    rig.server.delete("kubectl", kinds.ROLLOUTS, *KEY)
    await rig.reconcile()
    for kind in (kinds.REPLICA_SETS, kinds.DEPLOYMENTS, kinds.ARTIFACTS):
        for obj in rig.server.all(kind.kind):
            rig.edit(kind, obj["metadata"]["name"], {"metadata": {"ownerReferences": None}})
    rig.apply()
    rig.kube.take()
    await rig.reconcile()
    adopted = [words for words in rig.kube.writes if words.startswith("patch") and "Rollout" not in words]
    assert len(adopted) == 3
    assert (rig.phase, rig.boxes()) == ("Stable", {stable: 4})


@pytest.mark.parametrize(
    ("phase", "is_active"),
    [
        pytest.param("Rolling", True, id="a release"),
        pytest.param("Blocked", True, id="a change that waits for them"),
        pytest.param("Reverting", True, id="a revert"),
        pytest.param("Reverted", False, id="reverted"),
        pytest.param("Failed", False, id="failed"),
    ],
)
async def test_alarms_are_asked_at_full_rate_while_something_waits(phase: str, is_active: bool) -> None:
    """And at the slow one else, also where a rejected version is still wished for."""
    rig = await _in_phase(phase)
    await rig.reconcile()
    assert rig.alarms.reads[-1][1] is is_active


async def test_alarms_of_a_stable_rollout_are_asked_slowly_until_it_changes(rig: Rig) -> None:
    """With the pass that sees the change."""
    await rig.reconcile()
    assert rig.alarms.reads[-1] == ("", False)
    rig.change(template=template("2.0.0"))
    await rig.reconcile()
    assert rig.alarms.reads[-1] == ("", True)
    await rig.reconcile()
    assert rig.alarms.reads[-1] == (_wanted(rig), True)


async def test_leftovers_are_cleared_when_a_version_becomes_stable() -> None:
    """Ten are kept; the next process finds nothing to do."""
    rig = Rig()
    await rig.installed(replicas=1)
    for number in range(11):
        rig.change(template=template(f"2.{number}"))
        await rig.go_on()
    assert len(rig.server.all("Artifact")) == 10
    rig.kube.take()
    rig.restart()
    await rig.reconcile()
    assert rig.kube.writes == []
