"""An upgrade is silent (P7): a new run of the operator over old state writes nothing.

What a newer version could change in passing, the ids of artifacts and the form of the memory, is pinned by
`tests/core/test_golden.py`.
"""

from __future__ import annotations

import asyncio

import pytest
from lab import Lab

import manifests
from harness import Shop
from timeline import RolloutSeen

pytestmark = [pytest.mark.cluster, pytest.mark.proof, pytest.mark.timeout(600)]

SETTLES_S = 35
"""Counts are written when the last write is half a minute old: if those that are told are true, nothing is left."""
BOXES = 3
LOOK_S = 12
"""Longer than anything in the operator waits before it writes what is not urgent, but for counts."""


async def _settle(stable: Shop, reverted: Shop, baking: Shop, unwatched: Shop) -> None:
    quick = manifests.strategy("0s", "0s", "0s")
    watched = manifests.rollout(replicas=BOXES, alarms=manifests.alarms(), strategy=quick)

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
        to_baking(unwatched, manifests.rollout(replicas=BOXES, strategy=quick)),
    )


async def _all_told(shops: list[Shop]) -> None:
    for shop in shops:
        await shop.told("OK")
        await shop.until(_are_counts_true, "counts that are true")


def _are_counts_true(seen: RolloutSeen) -> bool:
    return {seen.status.get(name) for name in ("replicas", "readyReplicas", "availableReplicas")} == {BOXES}


def test_a_restart_over_old_state_writes_nothing(apart: Lab) -> None:
    """Stable, reverted, and in the middle of a bake with and without alarms: no write, by the audit log."""
    apart.run(_restarted(apart))


async def _restarted(lab: Lab) -> None:
    shops = await asyncio.gather(*map(lab.shop, ("stable", "reverted", "baking", "bare")))
    namespaces = [shop.namespace for shop in shops]
    async with lab.operator("before", namespaces):
        await _settle(*shops)
        await _all_told(shops)
        await asyncio.sleep(SETTLES_S)
    mark = lab.region.audit.mark()
    async with lab.operator("after", namespaces):
        await asyncio.sleep(LOOK_S)
        # Other tests of the region go on beside it, in namespaces of their own.
        counted = lab.region.audit.counts("ombak", mark, without=lab.namespaces - set(namespaces))

    assert counted.writes.total() == 0, counted.writes
    assert counted.events == 0
