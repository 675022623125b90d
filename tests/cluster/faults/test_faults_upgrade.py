"""An upgrade is silent (P7): a new run of the operator over old state writes nothing.

What a newer version could change in passing, the ids of artifacts and the form of the memory, is pinned by
`tests/core/test_golden.py`.
"""

from __future__ import annotations

import asyncio

import pytest
from lab import Lab, reads

import manifests
from harness import OperatorProcess, Shop

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SETTLES_S = 35
"""Counts are written when the last write is half a minute old: then there is nothing left to tell."""
LOOK_S = 12
"""Longer than anything in the operator waits before it writes what is not urgent, but for counts."""


async def _settle(lab: Lab) -> list[Shop]:
    stable, reverted, baking, unwatched = await asyncio.gather(*map(lab.shop, ("stable", "reverted", "baking", "bare")))
    quick = manifests.strategy("0s", "0s", "0s")
    watched = manifests.rollout(replicas=3, alarms=manifests.alarms(), strategy=quick)

    async def to_reverted() -> None:
        await reverted.installed(manifests.switch(), watched)
        await reverted.release("1.1.0", strategy=manifests.strategy("1h", "0s", "0s"))
        await reverted.phase("OneBoxBake")
        await reverted.switch(manifests.FIRING)
        await reverted.phase("Reverted")
        await reverted.switch(manifests.OK)

    async def to_baking(shop: Shop, rollout: manifests.Manifest) -> None:
        await shop.installed(manifests.switch(), rollout)
        await shop.release("1.1.0", strategy=manifests.strategy("0s", "1h", "1h"))
        await shop.until(lambda now: (now.release.get("step") or {}).get("goal") == 2 and "bake" in now.waits_for, "it")

    await asyncio.gather(
        stable.installed(manifests.switch(), watched),
        to_reverted(),
        to_baking(baking, watched),
        to_baking(unwatched, manifests.rollout(replicas=3, strategy=quick)),
    )
    return [stable, reverted, baking, unwatched]


async def _alarms_told(shops: list[Shop]) -> None:
    for shop in shops:
        await reads(
            lambda shop=shop: shop.get("Alarm", "service"),  # type: ignore[misc]
            lambda alarm: (alarm.get("status") or {}).get("state") == "OK",
            "an alarm that is said to be OK",
        )


def test_a_restart_over_old_state_writes_nothing(lab: Lab, operator: OperatorProcess) -> None:
    """Stable, reverted, and in the middle of a bake with and without alarms: no write, by the audit log."""
    shops = lab.run(_settle(lab))
    lab.run(_alarms_told(shops))
    lab.run(asyncio.sleep(SETTLES_S))
    operator.stop()
    mark = lab.region.audit.mark()
    operator.start()
    lab.run(asyncio.sleep(LOOK_S))

    counted = lab.region.audit.counts("ombak", since=mark)
    assert counted.writes.total() == 0, counted.writes
    assert counted.events == 0
    operator.process.check()
