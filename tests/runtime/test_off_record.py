"""A record that the API server does not take holds what rests on it: boxes are scaled, and a way back goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ombak.alarms.verdict import State
from ombak.core import naming
from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, Kind, Object, Unreachable
from support.rig import KEY, NAME, NAMESPACE, Rig, baking, template

pytestmark = pytest.mark.usefixtures("quiet")

VERDICT, STATUS = "patch Artifact/status", "replace Rollout/status"
REFUSED = ApiError.of(403, "Forbidden", "not in this namespace")
HANGS = Unreachable("PATCH: TimeoutError()")
ERRORS = [
    pytest.param(REFUSED, id="refused"),
    pytest.param(ApiError.of(500, "InternalError", "failed calling webhook"), id="500"),
    pytest.param(HANGS, id="a webhook that hangs"),
]


def without_finalizer(rig: Rig) -> None:
    """Somebody takes the finalizer off the Rollout."""
    rig.server.patch("kubectl", kinds.ROLLOUTS, *KEY, {"metadata": {"finalizers": None}})


def without_owner(*chosen: Kind) -> Callable[[Rig], None]:
    """Somebody takes our owner reference off objects of a kind."""

    def do(rig: Rig) -> None:
        for kind in chosen:
            for obj in list(rig.server.all(kind.kind)):
                rig.edit(kind, obj["metadata"]["name"], {"metadata": {"ownerReferences": None}})

    return do


LACKS = [
    pytest.param(without_finalizer, "patch Rollout", id="a finalizer"),
    pytest.param(without_owner(kinds.ARTIFACTS), "patch Artifact ", id="the owner of Artifacts"),
    pytest.param(without_owner(kinds.DEPLOYMENTS), "patch Deployment", id="the owner of the one box"),
]


def owners(rig: Rig) -> dict[str, list[str]]:
    """The uids of the owners of every child, by kind and name."""
    children = [obj for kind in ("Artifact", "Deployment", "ReplicaSet") for obj in rig.server.all(kind)]
    found: dict[str, list[str]] = {}
    for number, obj in enumerate(children):
        references: list[Object] = obj["metadata"].get("ownerReferences") or []
        found[f"{obj['metadata']['name']} {number}"] = [owner["uid"] for owner in references]
    return found


async def is_in_order(rig: Rig) -> None:
    """Once it is let in nothing is amiss any more."""
    rig.kube.heal()
    await rig.pass_by(4, apart=60)
    assert rig.condition("Stalled")["reason"] != "ApplyFailed"
    assert rig.rollout["metadata"]["finalizers"] == [naming.ORPHAN]
    assert set(map(tuple, owners(rig).values())) == {(rig.rollout["metadata"]["uid"],)}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(("lose", "words"), LACKS)
async def test_what_runs_is_scaled(rig: Rig, lose: Callable[[Rig], None], words: str, error: ApiError) -> None:
    """An autoscaler does not wait for it; what is refused is told."""
    lose(rig)
    rig.kube.fail(words, error, times=1000)
    await rig.pass_by(1)
    rig.change(replicas=7)
    await rig.pass_by(4, apart=30)
    assert (rig.boxes(), rig.phase) == ({rig.stable: 7}, "Stable")
    if error is REFUSED:
        assert (rig.condition("Stalled")["status"], rig.condition("Stalled")["reason"]) == ("True", "ApplyFailed")
        assert "not in this namespace" in rig.status["waitingFor"]["what"]
    await is_in_order(rig)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(("lose", "words"), LACKS)
async def test_a_way_back_goes_on(rig: Rig, lose: Callable[[Rig], None], words: str, error: ApiError) -> None:
    """It begins although it is not on record, and comes to its end (P3); what is written whole is not adopted by it."""
    old = rig.stable
    rig.change(template=template("2.0.0"), strategy=baking())
    await rig.go_on("Bake")
    lose(rig)
    before = owners(rig)
    rig.kube.fail(words, error, times=1000)
    rig.alarms.state = State.ALARM
    await rig.pass_by(24)
    assert (rig.boxes(), rig.phase, owners(rig)) == ({old: 4}, "Reverted", before)
    assert rig.recorder.reasons.count("AlarmFired") == rig.recorder.reasons.count("Reverted") == 1
    await is_in_order(rig)


@pytest.mark.parametrize(("lose", "words"), LACKS)
async def test_nothing_starts(rig: Rig, lose: Callable[[Rig], None], words: str) -> None:
    """A version gets no box before what must be on record is."""
    old = rig.stable
    lose(rig)
    rig.kube.fail(words, REFUSED, times=1000)
    rig.change(template=template("2.0.0"))
    await rig.pass_by(4)
    assert (rig.boxes(), rig.phase, rig.status["artifacts"]["queued"]) == ({old: 4}, "Blocked", rig.wanted)
    rig.kube.take()
    await rig.pass_by(4)
    assert [told for told in rig.kube.writes if not told.startswith(words)] == []
    rig.kube.heal()
    await rig.go_on()
    await is_in_order(rig)


@pytest.mark.parametrize(("lose", "words"), LACKS)
async def test_no_step_is_taken(rig: Rig, lose: Callable[[Rig], None], words: str) -> None:
    """A release stays where it is, its evidence and all, and goes on afterwards."""
    await rig.at_first_batch()
    await rig.pass_by(1)
    before = rig.boxes()
    lose(rig)
    rig.kube.fail(words, REFUSED, times=1000)
    await rig.pass_by(6)
    assert (rig.boxes(), rig.phase) == (before, "Rolling")
    rig.kube.heal()
    await rig.go_on()
    assert rig.recorder.reasons.count("Started") == 1


def edited(rig: Rig) -> None:
    """Somebody edits every set of boxes."""
    for obj in list(rig.server.all("ReplicaSet")):
        rig.edit(kinds.REPLICA_SETS, obj["metadata"]["name"], {"spec": {"minReadySeconds": 7}})


def copied(rig: Rig) -> None:
    """Somebody copies the set of boxes by another name, without boxes."""
    original = rig.server.get(kinds.REPLICA_SETS, NAMESPACE, f"{NAME}-{rig.stable}")
    kept = {field: original["metadata"][field] for field in ("labels", "ownerReferences")}
    body = {"metadata": kept | {"name": f"{NAME}-copy"}, "spec": {**original["spec"], "replicas": 0}}
    rig.server.create("kubectl", kinds.REPLICA_SETS, NAMESPACE, body)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(lambda rig: rig.annotate(naming.RETRY, "a1ffffffffff"), "patch Rollout", id="a command"),
        pytest.param(copied, "delete ReplicaSet", id="a copy"),
        pytest.param(edited, "replace ReplicaSet", id="an edit"),
    ],
)
async def test_what_cannot_be_put_in_order_holds_up_no_scaling(
    rig: Rig, spoil: Callable[[Rig], None], words: str, error: ApiError
) -> None:
    """Whatever it is; it is told, and tried again."""
    spoil(rig)
    rig.kube.fail(words, error, times=1000)
    rig.change(replicas=7)
    await rig.pass_by(8)
    assert rig.boxes() == {rig.stable: 7}
    if error is REFUSED:
        assert rig.condition("Stalled")["reason"] == "ApplyFailed"
    rig.kube.take()
    await rig.pass_by(1)
    assert [told.startswith(words) for told in rig.kube.writes] == [True]
    await is_in_order(rig)


@pytest.mark.parametrize(
    ("spoil", "words", "reason"),
    [
        pytest.param(
            lambda rig: rig.annotate(naming.RETRY, "a1ffffffffff"), "patch Rollout", "NamesNothing", id="a command"
        ),
        pytest.param(copied, "delete ReplicaSet", "Surplus", id="a copy"),
    ],
)
async def test_what_may_not_be_taken_away_is_told_once(
    rig: Rig, spoil: Callable[[Rig], None], words: str, reason: str
) -> None:
    """Not at each pass, until it is there anew."""
    for count in (1, 2):
        spoil(rig)
        rig.kube.fail(words, REFUSED, times=1000)
        await rig.pass_by(4)
        assert rig.recorder.reasons.count(reason) == count
        await is_in_order(rig)


async def test_an_edit_that_may_not_be_put_back_is_told_once(rig: Rig) -> None:
    """However often its boxes are scaled meanwhile: a size mends no edit."""
    edited(rig)
    rig.kube.fail("replace ReplicaSet", REFUSED, times=1000)
    for replicas in (5, 6, 7, 6):
        rig.change(replicas=replicas)
        await rig.pass_by(3)
    assert rig.recorder.reasons.count("PutBack") == 1
    await is_in_order(rig)
    edited(rig)
    await rig.pass_by(1)
    assert rig.recorder.reasons.count("PutBack") == 2


@pytest.mark.parametrize("error", ERRORS)
async def test_edited_boxes_go_back_though_the_edit_may_not_be_put_back(rig: Rig, error: ApiError) -> None:
    """A policy that came later refuses the template as it was; a size it lets through (P3)."""
    old = rig.stable
    rig.change(template=template("2.0.0"), strategy=baking())
    await rig.go_on("Bake")
    edited(rig)
    rig.kube.fail("replace ReplicaSet", error, times=1000)
    rig.alarms.state = State.ALARM
    await rig.pass_by(24)
    assert rig.boxes() == {old: 4}


@pytest.mark.parametrize(
    ("error", "times"), [pytest.param(REFUSED, 1000, id="refused"), pytest.param(HANGS, 1, id="once")]
)
@pytest.mark.parametrize("is_back", [False, True], ids=["a scale up", "a way back"])
async def test_no_box_is_made_of_an_edited_pod_template(rig: Rig, error: ApiError, times: int, is_back: bool) -> None:
    """It would stay what it is when the edit is put back, under the name of the version (P5)."""
    old = f"{NAME}-{rig.stable}"
    if is_back:
        rig.change(template=template("2.0.0"), strategy=baking())
        await rig.go_on("Bake")
    before, ours = rig.server.get(kinds.REPLICA_SETS, NAMESPACE, old)["spec"]["replicas"], template()["spec"]
    edit: Object = {"minReadySeconds": 7, "template": {"spec": template("a-stranger-s")["spec"]}}
    rig.edit(kinds.REPLICA_SETS, old, {"spec": edit})
    rig.kube.fail("replace ReplicaSet", error, times=times)
    rig.change(replicas=7)
    rig.alarms.state = State.ALARM if is_back else State.OK
    for _ in range(12):
        await rig.pass_by(1)
        there = rig.server.get(kinds.REPLICA_SETS, NAMESPACE, old)["spec"]
        assert there["replicas"] <= before or there["template"]["spec"]["containers"] == ours["containers"]
    await is_in_order(rig)
    await rig.pass_by(16)
    assert rig.boxes() == {old.removeprefix(f"{NAME}-"): 7}


async def test_nothing_is_made_before_the_finalizer_is_there() -> None:
    """Else whoever deletes the CRD deletes its pods (P8)."""
    rig = Rig()
    rig.apply()
    rig.kube.fail("patch Rollout", REFUSED, times=1000)
    await rig.pass_by(3)
    assert (rig.boxes(), rig.server.all("Artifact"), rig.phase) == ({}, [], "Blocked")
    assert "not in this namespace" in rig.status["message"]
    rig.kube.heal()
    await rig.go_on()
    await is_in_order(rig)


@pytest.mark.parametrize("error", ERRORS)
async def test_a_version_that_may_not_be_called_stable_is_scaled_and_watched(rig: Rig, error: ApiError) -> None:
    """It stays in its bake, in which an alarm takes it back."""
    old = rig.stable
    rig.change(template=template("2.0.0"))
    rig.kube.fail(VERDICT, error, times=1000)
    await rig.go_on("Bake")
    rig.change(replicas=7)
    await rig.pass_by(6)
    assert (rig.boxes(), rig.phase, rig.stable) == ({rig.wanted: 7}, "Bake", old)
    assert "Stable" not in rig.recorder.reasons
    rig.kube.heal()
    rig.alarms.state = State.ALARM
    await rig.go_on("Reverted")
    assert rig.boxes() == {old: 7}


def flaps(rig: Rig, name: str) -> None:
    """The boxes of a set are ready, and none for as long as it takes to serve."""
    obj = rig.server.get(kinds.REPLICA_SETS, NAMESPACE, name)
    status = {**obj["status"], "availableReplicas": 0}
    rig.server.replace(
        "kubelet", kinds.REPLICA_SETS, NAMESPACE, name, {"metadata": {}, "status": status}, subresource="status"
    )


async def test_a_version_that_may_not_be_called_stable_keeps_its_alarms_at_full_rate(rig: Rig) -> None:
    """It is in every box, and not proven; and answers of a slower rate would hold it by turns as unknown."""
    rig.change(template=template("2.0.0"))
    rig.kube.fail(VERDICT, REFUSED, times=1000)
    await rig.go_on("Bake")
    rig.alarms.reads.clear()
    await rig.pass_by(6)
    assert {is_active for _, is_active in rig.alarms.reads} == {True}
    rig.kube.heal()
    await rig.go_on()
    assert rig.alarms.reads[-1] == ("", False)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(lambda rig: rig.annotate(naming.RETRY, "a1ffffffffff"), "patch Rollout", id="a command"),
        pytest.param(edited, "replace ReplicaSet", id="an edit"),
    ],
)
async def test_what_cannot_be_put_in_order_is_no_cause_of_boxes_that_do_not_come_up(
    rig: Rig, spoil: Callable[[Rig], None], words: str
) -> None:
    """The verdict stands for good, so it tells what the pods say."""
    spoil(rig)
    rig.kube.fail(words, REFUSED, times=1000)
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m"}}
    rig.kube.pods = [{"status": {"containerStatuses": [{"name": "app", "state": state}]}}]
    rig.change(template=template("2.0.0"))
    await rig.go_on("Reverting", ready=False)
    verdict = rig.server.get(kinds.ARTIFACTS, NAMESPACE, naming.artifact(NAME, rig.wanted))["status"]["rejected"]
    assert verdict["reason"] == "ProgressDeadlineExceeded"
    assert "not in this namespace" not in verdict["message"]
    assert "CrashLoopBackOff" in verdict["message"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(lambda rig: rig.annotate(naming.RETRY, "a1ffffffffff"), "patch Rollout", id="a command"),
        pytest.param(edited, "replace ReplicaSet", id="an edit"),
    ],
)
async def test_what_cannot_be_put_in_order_runs_no_deadline(rig: Rig, spoil: Callable[[Rig], None], words: str) -> None:
    """Every box that is asked for serves; that there is no room for more is not the fault of the new version."""
    await rig.at_first_batch()
    spoil(rig)
    rig.kube.fail(words, REFUSED, times=1000)
    for _ in range(60):
        await rig.reconcile()
        rig.settle()
        flaps(rig, f"{NAME}-{rig.stable}")
        rig.clock.advance(15)
    assert rig.phase == "Rolling"
    assert "ProgressDeadlineExceeded" not in rig.recorder.reasons


@pytest.mark.parametrize(
    ("error", "tries"), [pytest.param(REFUSED, 3, id="refused"), pytest.param(HANGS, 1, id="a webhook that hangs")]
)
async def test_each_object_is_tried_once_in_a_pass(rig: Rig, error: ApiError, tries: int) -> None:
    """One that hangs would hang for all of them, one after another, and a pass must end."""
    without_owner(kinds.ARTIFACTS, kinds.DEPLOYMENTS, kinds.REPLICA_SETS)(rig)
    rig.change(replicas=7)
    for words in ("patch Artifact ", "patch Deployment", "patch ReplicaSet"):
        rig.kube.fail(words, error, times=1000)
    rig.kube.take()
    await rig.pass_by(1)
    adoptions = [r for r in rig.kube.requests if r.verb == "patch" and "ownerReferences" in (r.body or {})["metadata"]]
    assert len(adoptions) == tries
    await is_in_order(rig)
    assert rig.boxes() == {rig.stable: 7}


async def test_what_is_refused_and_what_hangs_do_not_take_turns_in_the_status(rig: Rig) -> None:
    """Both in one pass, and the trouble is told after a while: then it stays, and no write follows another."""
    old = rig.stable
    rig.change(template=template("2.0.0"), strategy=baking())
    await rig.go_on("Bake")
    without_finalizer(rig)
    rig.kube.fail("patch Rollout", REFUSED, times=1000)
    rig.kube.fail(VERDICT, HANGS, times=1000)
    rig.alarms.state = State.ALARM
    await fail_on(rig, 18)
    assert (rig.boxes(), rig.phase, rig.condition("Stalled")["reason"]) == ({old: 4}, "Reverted", "ApiError")
    rig.kube.take()
    await fail_on(rig, 18)
    assert [told for told in rig.kube.writes if told.startswith(STATUS)] == []

    rig.kube.heal()
    rig.kube.fail("patch Rollout", REFUSED, times=1000)
    await rig.pass_by(3)
    assert rig.condition("Stalled")["reason"] == "ApplyFailed"
    await is_in_order(rig)


async def fail_on(rig: Rig, passes: int) -> None:
    """Passes that fail, each sixth of which is told, as the operator does."""
    for number in range(1, passes + 1):
        with pytest.raises(ApiError) as raised:
            await rig.reconcile()
        if number % 6 == 0:
            await rig.reconciler.tell_trouble(KEY, raised.value, "30s")
        rig.settle()
        rig.clock.advance(15)
