"""A way back whose one box surges where a quota leaves room for one box only: it ends all the same (P3)."""

from __future__ import annotations

import pytest

from ombak.core import naming
from ombak.runtime import kinds
from support.rig import CONTROLLER, NAME, NAMESPACE, Rig, baking, follow

pytestmark = pytest.mark.usefixtures("quiet")
BOX = f"{NAME}-onebox"


def under_quota(rig: Rig) -> None:
    """Do the controller's work where no second pod may be made: one that surges waits for ever."""
    box = rig.server.get(kinds.DEPLOYMENTS, NAMESPACE, BOX)
    if not box["spec"]["strategy"]["rollingUpdate"]["maxSurge"]:
        follow(rig.server, kinds.DEPLOYMENTS, box)
        return
    status = {"observedGeneration": box["metadata"]["generation"]} | dict.fromkeys(
        ("replicas", "readyReplicas", "availableReplicas"), 1
    )
    body = {"metadata": {}, "status": status}
    rig.server.replace(CONTROLLER, kinds.DEPLOYMENTS, NAMESPACE, BOX, body, subresource="status")


@pytest.mark.parametrize("restarts", [False, True], ids=["the same process", "a new one"])
async def test_it_ends_where_the_surging_box_cannot_be_made(restarts: bool) -> None:
    """After a progressDeadline the box that was taken back goes first, and people are told that P1 has yielded."""
    rig = Rig()
    old = await rig.installed(replicas=1, strategy=baking(), progressDeadline="1m")
    rig.change(template={**rig.rollout["spec"]["template"], "metadata": {"labels": {"app": NAME, "new": "yes"}}})
    await rig.go_on("Bake")
    rig.annotate(naming.ABORT, rig.wanted)
    seen = []
    for number in range(9):
        if restarts and number == 3:
            rig.restart()
        await rig.reconcile()
        under_quota(rig)
        seen.append(rig.phase)
        rig.clock.advance(15)
    assert seen[:4] == ["Reverting"] * 4, "it has its whole deadline"
    assert seen[-1] == "Reverted"
    assert rig.boxes() == {old: 1}
    assert rig.recorder.reasons.count("FloorYields") == 1
