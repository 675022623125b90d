"""What fails is tried again or told, and nothing is claimed that was not done."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from ombak.alarms.verdict import State
from ombak.core import naming
from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, Conflict, Kind, NotFound, Object, TooManyRequests, Unreachable
from ombak.runtime.reconcile import RECHECK_AFTER
from ombak.simulation.client import Died
from support.outages import OUTAGES
from support.rig import KEY, NAME, NAMESPACE, Rig, baking, spec, template

pytestmark = pytest.mark.usefixtures("quiet")

FORBIDDEN = ApiError.of(403, "Forbidden", "exceeded quota: pods")
REFUSALS = [pytest.param(ApiError.of(code, "No", "exceeded quota: pods"), id=str(code)) for code in (400, 403, 422)]


@pytest.mark.breadth
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
    assert rig.boxes() == {rig.wanted: 4}
    assert (rig.recorder.reasons[-1], rig.recorder.reasons.count("Stable")) == ("Stable", 1)


async def test_a_failed_status_write_leaves_the_memory_as_it_was(rig: Rig) -> None:
    """What is not on record was not decided: no box moves."""
    rig.change(template=template("2.0.0"))
    rig.kube.fail("replace Rollout/status", Unreachable("cut"))
    with pytest.raises(Unreachable):
        await rig.reconcile()
    assert rig.boxes() == {rig.stable: 4}
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
    assert rig.boxes() == {rig.stable: 4}


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
async def test_a_refused_fact_is_told_and_nothing_new_is_done(rig: Rig, error: ApiError) -> None:
    """The status does not claim what did not happen; it is tried again, and vanishes when allowed."""
    old = rig.stable
    rig.change(template=template("2.0.0"))
    rig.kube.fail("create Artifact", error, times=3)
    assert await rig.reconcile() == RECHECK_AFTER
    assert (rig.phase, rig.status["memory"]["wait"]["key"], rig.boxes()) == ("Blocked", "template", {old: 4})
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
    old = rig.stable
    rig.change(template=template("2.0.0"))
    rig.kube.fail("patch Artifact/status", FORBIDDEN, times=5)
    await rig.go_on("Bake")
    for _ in range(3):
        await rig.reconcile()
        rig.clock.advance(60)
    assert (rig.phase, rig.status["artifacts"]["stable"]) == ("Bake", old)
    assert rig.condition("Delivered")["status"] == "False"
    await rig.go_on()
    assert rig.stable == rig.wanted


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
    assert rig.status["message"] == "A set of boxes was refused by the API server: exceeded quota: pods"
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


@pytest.mark.parametrize("kind", [kinds.REPLICA_SETS, kinds.DEPLOYMENTS, kinds.ARTIFACTS], ids=lambda k: k.kind)
async def test_a_strangers_name_is_a_conflict_and_goes_on_when_it_is_free(kind: Kind) -> None:
    """Though the watch does not see it: nothing of the stranger is touched, and the status says what to do."""
    rig = Rig()
    rig.apply()
    names = {"Deployment": f"{NAME}-onebox"}
    name = names.get(kind.kind, f"{NAME}-{rig.wanted}")
    owner = {"kind": "Helper", "name": "tool", "uid": "u9", "controller": True}
    stranger: Object = {"metadata": {"name": name, "ownerReferences": [owner]}, "spec": {"replicas": 1, "template": {}}}
    rig.server.create("kubectl", kind, NAMESPACE, stranger)
    before = rig.server.get(kind, NAMESPACE, name)
    for _ in range(3):
        await rig.reconcile()
        rig.clock.advance(15)
    assert rig.server.get(kind, NAMESPACE, name) == before
    stalled, waiting = rig.condition("Stalled"), rig.status["waitingFor"]
    assert (stalled["status"], stalled["reason"]) == ("True", "Conflict")
    assert stalled["message"] == waiting["what"] == rig.status["message"]
    assert waiting["what"].startswith(f"{kind.kind} {name} to be out of the way: it belongs to Helper tool")
    assert waiting["command"] == f"kubectl -n {NAMESPACE} delete {kind.kind.lower()} {name}"
    rig.kube.take()
    assert await rig.reconcile() == RECHECK_AFTER
    assert rig.kube.writes == [f"create {kind.kind} {name}"]
    rig.server.delete("kubectl", kind, NAMESPACE, name)
    await rig.go_on()
    assert rig.condition("Stalled")["status"] == "False"


async def test_a_labelled_stranger_is_a_conflict_too(rig: Rig) -> None:
    """The same words, whichever way it was found."""
    name = f"{NAME}-{rig.stable}"
    owner = {"kind": "Helper", "name": "tool", "uid": "u9", "controller": True}
    rig.edit(kinds.REPLICA_SETS, name, {"metadata": {"ownerReferences": [owner]}})
    await rig.reconcile()
    assert (rig.phase, rig.condition("Stalled")["reason"]) == ("Invalid", "Conflict")
    assert "belongs to Helper tool" in rig.status["message"]
    assert rig.status["waitingFor"]["command"].endswith(f"delete replicaset {name}")


async def test_a_child_that_lost_its_label_is_found_again(rig: Rig) -> None:
    """Although the watch does not see it any more; no box is made in its place."""
    name = f"{NAME}-{rig.stable}"
    rig.edit(kinds.REPLICA_SETS, name, {"metadata": {"labels": {naming.ROLLOUT: None}}})
    await rig.go_on("Stable")
    await rig.reconcile()
    live = rig.server.get(kinds.REPLICA_SETS, NAMESPACE, name)
    assert (live["metadata"]["labels"][naming.ROLLOUT], live["spec"]["replicas"]) == (NAME, 3)
    assert rig.condition("Stalled")["status"] == "False"


@pytest.mark.breadth
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
    await rig.installed(strategy=baking("30s"))
    rig.change(template=template("2.0.0"))
    if crash is not None:
        _crash_after(rig, crash)
    for _ in range(60):
        if bad:
            rig.alarms.state = State.ALARM if rig.boxes().get(rig.wanted, 0) > 1 else State.OK
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

    async def counted(request: Any, effect: Any) -> Any:
        nonlocal left
        answer = await call(request, effect)
        left -= 1
        if left == -1:
            raise Died
        return answer

    rig.kube._call = counted  # type: ignore[method-assign]


async def test_a_way_back_goes_on_around_what_is_refused(rig: Rig) -> None:
    """A policy that came later refuses the old one box: every other box goes back all the same, and it is told (P3)."""
    old = rig.stable
    rig.change(template=template("2.0.0"), strategy=baking())
    await rig.go_on("Bake")
    rig.alarms.state = State.ALARM
    rig.kube.fail("replace Deployment", ApiError.of(403, "Forbidden", "images must be signed"), times=1000)
    for _ in range(40):
        await rig.reconcile()
        rig.settle()
        rig.clock.advance(60)
    assert rig.boxes() == {old: 3, rig.wanted: 1}
    assert (rig.phase, rig.condition("Stalled")["reason"]) == ("Reverting", "ApplyFailed")
    assert "images must be signed" in rig.status["message"]
    rig.kube.heal()
    await rig.go_on("Reverted")
    assert rig.boxes() == {old: 4}


async def test_a_way_back_goes_on_around_a_webhook_that_is_down(rig: Rig) -> None:
    """The same for what the API server cannot answer."""
    old = rig.stable
    rig.change(template=template("2.0.0"), strategy=baking())
    await rig.go_on("Bake")
    rig.alarms.state = State.ALARM
    rig.kube.fail("replace Deployment", ApiError.of(500, "InternalError", "failed calling webhook"), times=1000)
    for _ in range(40):
        with pytest.raises(ApiError) if rig.boxes().get(rig.wanted) == 1 else contextlib.suppress(ApiError):
            await rig.reconcile()
        rig.settle()
        rig.clock.advance(60)
    assert rig.boxes() == {old: 3, rig.wanted: 1}


async def test_a_version_that_the_api_server_does_not_let_in_goes_back_and_lets_its_fix_in(rig: Rig) -> None:
    """A release none of whose boxes may exist misses its deadline like one whose boxes never come up."""
    rig.change(template=template("2.0.0"))
    bad = rig.wanted
    rig.kube.fail("replace Deployment", ApiError.of(403, "Forbidden", "images must be signed"), times=1000)
    for _ in range(8):
        await rig.reconcile()
        rig.settle()
        rig.clock.advance(30)
    assert (rig.phase, rig.status["artifacts"]["current"]) == ("OneBox", bad)
    rig.change(template=template("3.0.0"))
    for _ in range(24):
        await rig.reconcile()
        rig.settle()
        rig.clock.advance(30)
    assert rig.recorder.reasons.count("ProgressDeadlineExceeded") == 1
    assert any("images must be signed" in note.message for note in rig.recorder.notes)
    rig.kube.heal()
    await rig.go_on()
    assert rig.stable == rig.wanted != bad


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Unreachable("POST: TimeoutError()"), id="a webhook that hangs"),
        pytest.param(TooManyRequests(429, "TooManyRequests", "slow down"), id="429"),
    ],
)
async def test_a_way_back_goes_on_around_what_is_not_answered(rig: Rig, error: ApiError) -> None:
    """A webhook that hangs longer than we wait looks like nobody there, for the one box alone (P3)."""
    old = rig.stable
    rig.change(template=template("2.0.0"), strategy=baking())
    await rig.go_on("Bake")
    rig.alarms.state = State.ALARM
    rig.kube.fail("replace Deployment", error, times=1000)
    await rig.pass_by(40, apart=60)
    assert rig.boxes() == {old: 3, rig.wanted: 1}
    rig.kube.heal()
    await rig.go_on("Reverted")
    assert rig.boxes() == {old: 4}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        pytest.param("create Artifact", FORBIDDEN, id="the record is refused"),
        pytest.param("create Artifact", Unreachable("POST: TimeoutError()"), id="a webhook for records hangs"),
        pytest.param("check Deployment", ApiError.of(500, "InternalError", "failed calling webhook"), id="no dry run"),
    ],
)
async def test_what_runs_is_scaled_while_a_new_version_is_not_let_in(rig: Rig, words: str, error: ApiError) -> None:
    """An autoscaler does not wait for a quota of records, or for a webhook that is down."""
    old = rig.stable
    rig.change(template=template("2.0.0"))
    rig.kube.fail(words, error, times=1000)
    with contextlib.suppress(ApiError):
        await rig.reconcile()
    rig.change(replicas=7)
    await rig.pass_by(4, apart=30)
    assert rig.boxes() == {old: 7}
    rig.kube.heal()
    await rig.go_on()
    assert rig.boxes() == {rig.wanted: 7}
    assert rig.wanted != old


async def test_a_rollout_made_anew_under_its_name_begins_with_nothing(rig: Rig) -> None:
    """Deleted and made again between two looks: no box of it was taken away by anybody."""
    rig.is_watching = False
    rig.server.patch("kubectl", kinds.ROLLOUTS, *KEY, {"metadata": {"finalizers": None}})
    for kind in (kinds.REPLICA_SETS, kinds.DEPLOYMENTS, kinds.ARTIFACTS):
        for obj in list(rig.server.all(kind.kind)):
            rig.server.delete("kubectl", kind, NAMESPACE, obj["metadata"]["name"])
    rig.server.delete("kubectl", kinds.ROLLOUTS, *KEY)
    rig.apply(template=template("2.0.0"))
    rig.is_watching = True
    rig.relist()
    await rig.go_on()
    assert set(rig.recorder.reasons) == {"Started", "Stable"}


@pytest.mark.parametrize("code", [403, 422, 429, 500])
async def test_a_way_back_does_not_wait_for_a_status_that_is_refused(rig: Rig, code: int) -> None:
    """A CRD older than the operator may refuse it; the verdict is on record all the same, and tells of the way (P3)."""
    old = rig.stable
    rig.change(template=template("2.0.0"), strategy=baking())
    await rig.go_on("Bake")
    bad = rig.wanted
    rig.alarms.state = State.ALARM
    for restarts in (False, True, False):
        if restarts:
            rig.restart()
            rig.alarms.state = State.ALARM
        rig.kube.fail("replace Rollout/status", ApiError.of(code, "No", "not so"), times=1000)
        await rig.pass_by(4)
    assert rig.boxes() == {old: 4}
    assert rig.recorder.reasons.count("AlarmFired") == 1
    rig.kube.heal()
    await rig.go_on("Reverted")
    assert (rig.boxes(), rig.status["artifacts"]["rejected"]) == ({old: 4}, bad)
