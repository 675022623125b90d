"""What people say is done once, and what happens is told to them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ombak.alarms.verdict import State
from ombak.core import naming
from ombak.runtime import kinds
from ombak.runtime.ailments import ASK_EVERY
from ombak.runtime.kube_port import ApiError, Object
from ombak.runtime.putback import AT_ONCE
from ombak.simulation.server import REFUSED
from support.outages import OUTAGES
from support.rig import CONTROLLER, KEY, NAME, NAMESPACE, Rig, in_phase, template

pytestmark = pytest.mark.usefixtures("quiet")

FORBIDDEN = ApiError.of(403, "Forbidden", "exceeded quota: pods")


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
    assert (rig.rollout["spec"]["replicas"], rig.boxes()) == (4, {rig.stable: 4})


@pytest.mark.parametrize("command", [naming.ABORT, naming.RETRY])
async def test_a_command_that_names_nothing_is_cleared(rig: Rig, command: str) -> None:
    """And does nothing else but say so."""
    rig.annotate(command, "a1ffffffffff")
    await rig.reconcile()
    assert rig.rollout["metadata"]["annotations"] == {}
    assert rig.kube.writes == [f"replace Rollout/status {NAME}", f"patch Rollout {NAME}"]


async def test_an_abort_takes_back_and_is_cleared(rig: Rig) -> None:
    """Once, then it is gone; a retry starts again, and is gone too."""
    new, old = await rig.at_first_batch(), rig.stable
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
    assert rig.kube.told.count(f"check Deployment {NAME}-onebox-check") == 1
    assert (rig.phase, rig.boxes()) == ("Invalid", {rig.stable: 4})
    assert "Required value" in rig.status["message"]
    rig.clock.advance(60)
    await rig.reconcile()
    assert rig.kube.told.count(f"check Deployment {NAME}-onebox-check") == 2


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
        rig.clock.advance(ASK_EVERY.total_seconds() / 3)
        await rig.reconcile()
    asked = [r for r in rig.kube.requests if r.verb == "list"]
    assert len(asked) == 2
    assert {r.told for r in asked} == {f"list Pod {naming.ROLLOUT}={NAME},{naming.ARTIFACT}={rig.wanted}"}
    rig.clock.advance(30)
    await rig.reconcile()
    assert "ErrImagePull of container app" in rig.status["waitingFor"]["what"]
    await rig.go_on()
    assert rig.reconciler._ailments.told(KEY) == {}


async def test_what_pods_say_waits_for_no_poll(rig: Rig) -> None:
    """The next look takes it up, and it is told as soon as counts are: whoever waits for boxes wants the cause."""
    rig.change(template=template("2.0.0"))
    waiting = {"waiting": {"reason": "ErrImagePull"}}
    rig.kube.pods = [{"status": {"containerStatuses": [{"name": "app", "state": waiting}]}}]
    again: timedelta | None = None
    while not any(r.verb == "list" for r in rig.kube.requests):
        rig.clock.advance(ASK_EVERY.total_seconds())
        again = await rig.reconcile()
        rig.settle(ready=False)

    assert again == timedelta(0)
    again = await rig.reconcile()
    assert again
    rig.clock.advance(again.total_seconds())
    await rig.reconcile()
    assert "ErrImagePull of container app" in rig.status["waitingFor"]["what"]


async def test_what_keeps_boxes_from_being_made_is_told_at_once_and_once(rig: Rig) -> None:
    """Its controller says it from the first second on, and a short deadline leaves no time for later."""
    rig.change(template=template("2.0.0"))
    await rig.reconcile()
    writes = []
    for words in ("", "exceeded quota: pods", "exceeded quota: other pods", "", "exceeded quota: pods"):
        rig.clock.advance(1)
        _refuse_pods(rig, words)
        rig.kube.take()
        await rig.reconcile()
        writes.append(rig.kube.writes)
    assert writes == [[], [f"replace Rollout/status {NAME}"], [], [], []]
    assert rig.status["waitingFor"]["what"].endswith("(0 of 1): exceeded quota: pods")


def _refuse_pods(rig: Rig, words: str) -> None:
    """Let the controller of the one box say why it makes no box, or that nothing keeps it from that."""
    name = f"{NAME}-onebox"
    box = rig.server.get(kinds.DEPLOYMENTS, NAMESPACE, name)
    failing = [{"type": "ReplicaFailure", "status": "True", "message": words}] if words else []
    status = {"observedGeneration": box["metadata"]["generation"], "conditions": failing}
    body = {"metadata": {}, "status": status}
    rig.server.replace(CONTROLLER, kinds.DEPLOYMENTS, NAMESPACE, name, body, subresource="status")


async def test_pods_that_may_not_be_asked_hold_up_nothing(rig: Rig) -> None:
    """The explanation is missing, the deadline is not."""
    rig.change(template=template("2.0.0"))
    rig.kube.fail("list Pod", FORBIDDEN, times=999)
    while rig.phase != "Reverting":
        await rig.reconcile()
        rig.settle(ready=False)
        rig.clock.advance(15)
    assert any(r.verb == "list" for r in rig.kube.requests)
    assert "progressDeadline" in rig.status["message"]


async def test_an_edit_is_put_back_and_told_once(rig: Rig) -> None:
    """With who made it; afterwards there is nothing to do."""
    name = f"{NAME}-{rig.stable}"
    rig.edit(kinds.REPLICA_SETS, name, {"spec": {"minReadySeconds": 77}})
    await rig.reconcile()
    assert rig.server.get(kinds.REPLICA_SETS, NAMESPACE, name)["spec"]["minReadySeconds"] == 0
    assert rig.recorder.reasons == ["PutBack"]
    assert "kubectl-edit" in rig.recorder.notes[0].message
    rig.kube.take()
    await rig.reconcile()
    assert rig.kube.told == []


async def test_an_edit_that_rests_makes_no_box(rig: Rig) -> None:
    """Whoever keeps editing a pod template is left alone for a while, until boxes are to be made of it (P5)."""
    name, ours = f"{NAME}-{rig.stable}", template()["spec"]["containers"]

    def there() -> Object:
        found: Object = rig.server.get(kinds.REPLICA_SETS, NAMESPACE, name)["spec"]
        return found

    for n in range(AT_ONCE + 1):
        rig.edit(kinds.REPLICA_SETS, name, {"spec": {"template": {"spec": template(f"a-stranger-s-{n}")["spec"]}}})
        await rig.reconcile()
    assert there()["template"]["spec"]["containers"] != ours, "it rests"
    rig.change(replicas=2)
    await rig.pass_by(3, apart=1)
    assert (there()["replicas"], there()["template"]["spec"]["containers"] == ours) == (1, False), "fewer need none"
    rig.change(replicas=7)
    await rig.pass_by(3, apart=1)
    assert (there()["replicas"], there()["template"]["spec"]["containers"]) == (6, ours)


async def test_a_difference_that_the_server_insists_on_is_left(rig: Rig) -> None:
    """An admission policy that changes every write is fought once, not for ever."""
    name = f"{NAME}-{rig.stable}"
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
    await rig.at_first_batch()
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
    waiting = rig.status["waitingFor"]
    assert waiting["what"].startswith("a spec that is right: spec.selector")
    assert waiting["command"] == f"kubectl -n {KEY[0]} edit omr {NAME}"
    rig.server.replace("kubectl", kinds.ROLLOUTS, *KEY, {**rig.rollout, "spec": good})
    await rig.go_on()
    assert "waitingFor" not in rig.status


async def test_a_rollout_that_is_deleted_is_left_alone(rig: Rig) -> None:
    """Its boxes are the garbage collector's business; its alarms are asked no more."""
    rig.server.delete("kubectl", kinds.ROLLOUTS, *KEY)
    assert rig.rollout["metadata"]["deletionTimestamp"]
    assert await rig.reconcile() is None
    assert (rig.kube.told, rig.alarms.forgotten) == ([], [KEY])


async def test_one_created_again_under_the_name_starts_anew(rig: Rig) -> None:
    """What was left behind is adopted; nothing is redeployed."""
    stable = rig.stable
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
    rig = await in_phase(phase)
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
    assert rig.alarms.reads[-1] == (rig.wanted, True)


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


async def test_a_copy_that_serves_stays_until_the_right_boxes_do(rig: Rig) -> None:
    """The original was deleted, its copy is all that serves: a name is no reason to go under the floor (P1)."""
    name = f"{NAME}-{rig.stable}"
    copied = rig.server.get(kinds.REPLICA_SETS, NAMESPACE, name)
    status = copied.pop("status")
    kept = {k: v for k, v in copied["metadata"].items() if k not in ("uid", "resourceVersion", "generation")}
    rig.server.create(
        "kubectl", kinds.REPLICA_SETS, NAMESPACE, {**copied, "metadata": {**kept, "name": f"{name}-copy"}}
    )
    rig.server.delete("kubectl", kinds.REPLICA_SETS, NAMESPACE, name)
    rig.settle()
    await rig.reconcile()
    assert status["availableReplicas"] == 3
    assert rig.server.find("ReplicaSet", NAMESPACE, f"{name}-copy") is not None, "it serves, and nothing else does yet"
    for _ in range(4):
        rig.settle()
        rig.clock.advance(15)
        await rig.reconcile()
    assert rig.server.find("ReplicaSet", NAMESPACE, f"{name}-copy") is None
    assert rig.boxes() == {rig.stable: 4}
    assert "Surplus" in rig.recorder.reasons
