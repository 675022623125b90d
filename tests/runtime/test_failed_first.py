"""A first version that failed stays as it is, scaled as asked; one without any box gets none by itself."""

from __future__ import annotations

import pytest

from ombak.core import naming
from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError
from support.rig import NAME, NAMESPACE, Rig, in_phase

pytestmark = pytest.mark.usefixtures("quiet")

LEFT = "No box of it is left, and none is made until somebody asks for a retry, or for another version."


@pytest.mark.parametrize("restarts", [False, True], ids=["the same process", "a new one"])
async def test_it_is_scaled_to_nothing_and_up_again(restarts: bool) -> None:
    """As an autoscaler does at night: there is nothing better to run, and no box is an outage."""
    rig = await in_phase("Failed")
    rig.change(replicas=0)
    await rig.pass_by(3)
    assert rig.boxes() == {}
    if restarts:
        rig.restart()
    rig.change(replicas=7)
    await rig.pass_by(3)
    assert (rig.boxes(), rig.phase) == ({rig.wanted: 7}, "Failed")
    assert LEFT not in rig.status["message"]


async def test_without_any_box_it_says_what_brings_one() -> None:
    """Somebody deleted the only one: it is not tried again by a scale up, and the status says so."""
    rig = Rig()
    rig.apply(replicas=1)
    await rig.reconcile()
    rig.annotate(naming.ABORT, rig.wanted)
    await rig.go_on("Failed")
    rig.server.delete("kubectl", kinds.DEPLOYMENTS, NAMESPACE, f"{NAME}-onebox")
    rig.change(replicas=3)
    await rig.pass_by(4)
    assert (rig.boxes(), rig.phase) == ({}, "Failed")
    assert rig.status["message"].endswith(LEFT)
    waiting = rig.status["waitingFor"]
    assert waiting["who"] == "whoever owns the Rollout"
    assert waiting["command"].endswith(f"{naming.RETRY}={rig.wanted}")

    rig.annotate(naming.RETRY, rig.wanted)
    await rig.go_on()
    assert rig.boxes() == {rig.wanted: 3}


async def test_one_that_was_never_let_in_gets_no_box_when_the_policy_is_lifted() -> None:
    """Somebody aborted it: that it may run now is no wish that it does."""
    rig = Rig()
    rig.apply()
    for words in ("create Deployment", "create ReplicaSet"):
        rig.kube.fail(words, ApiError.of(403, "Forbidden", "exceeded quota: pods"), times=1000)
    await rig.pass_by(2)
    rig.annotate(naming.ABORT, rig.wanted)
    await rig.pass_by(2)
    rig.kube.heal()
    await rig.pass_by(4)
    assert (rig.boxes(), rig.phase) == ({}, "Failed")
