"""An operator that is dead in the middle of a bake: its successor counts what Prometheus proves, and no more."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from lab import Lab, eventually

import manifests
from harness import OperatorProcess, Shop
from ombak.core.memory import Ledger, load_memory

pytestmark = [pytest.mark.cluster, pytest.mark.proof]
DEAD_S = 12.0
BAD_S = 4.0


def test_a_gap_that_was_good_is_counted(apart: Lab) -> None:
    """The alarm was OK all the time that nobody looked."""

    async def sleep(_shop: Shop) -> None:
        await asyncio.sleep(DEAD_S)

    seen = apart.run(_bake_with_a_gap(apart, "gap-good", sleep))
    assert seen["seconds"] >= DEAD_S
    # The first second of a gap may be the one that the boxes' times are cut by.
    assert seen["seconds"] - 3 <= seen["good"] <= seen["seconds"]
    assert timedelta(seconds=DEAD_S - 3) <= seen["ledger"].accrued <= seen["wall"]


def test_bad_time_in_a_gap_is_not_counted(apart: Lab) -> None:
    """The alarm fired for some seconds, and was silent again when the operator came back: no revert, and no credit."""

    async def fire(shop: Shop) -> None:
        begins, ends = time.time() + 2, time.time() + 2 + BAD_S
        query = f"vector(1) * (time() > bool {begins:.0f}) * (time() < bool {ends:.0f})"
        await shop.patch("Alarm", "service", {"spec": {"metric": {"query": query}}})
        await asyncio.sleep(DEAD_S)

    seen = apart.run(_bake_with_a_gap(apart, "gap-bad", fire))
    assert 0 < seen["good"] <= seen["seconds"] - BAD_S + 1
    assert seen["ledger"].accrued <= seen["wall"] - timedelta(seconds=BAD_S - 1)
    assert seen["phase"] == "Bake"


async def _bake_with_a_gap(lab: Lab, name: str, in_between: Any) -> dict[str, Any]:
    shop = await lab.shop(name)
    log = lab.name(name)
    first = _operator(lab, shop, f"{log}-first")
    second = _operator(lab, shop, f"{log}-second")
    try:
        await asyncio.to_thread(first.start)
        quick = manifests.strategy()
        await shop.installed(manifests.switch(), manifests.rollout(replicas=2, alarms=manifests.alarms()))
        await shop.release("1.1.0", strategy=quick | {"bake": {"for": "1h"}})
        await shop.until(lambda now: now.phase == "Bake" and "bake" in now.waits_for, "the bake of all boxes")
        # What is on record speaks of good time from here on.
        await shop.change(minReadySeconds=0, progressDeadline="61s")
        await shop.until(lambda now: _ledger(now.status).proven_until is not None, "a ledger that runs")
        await asyncio.to_thread(first.kill)
        await in_between(shop)
        await asyncio.to_thread(second.start)
        await eventually(lambda: bool(_proofs(second)), "a proof")
        # Any new generation has the ledger written down.
        await shop.change(progressDeadline="62s")
        now = await shop.until(lambda now: _is_counted(_ledger(now.status)), "a ledger on record")
        ledger = _ledger(now.status)
        assert ledger.proven_until is not None
        assert ledger.began_at is not None
        wall = ledger.proven_until - ledger.began_at
        return {**_proofs(second)[0], "ledger": ledger, "wall": wall, "phase": now.phase}
    finally:
        for process in (first, second):
            await asyncio.to_thread(process.stop)


def _is_counted(ledger: Ledger) -> bool:
    return ledger.accrued > timedelta(0) and ledger.proven_until is not None


def _operator(lab: Lab, shop: Shop, name: str) -> OperatorProcess:
    return OperatorProcess(lab.region, name, options=["--namespace", shop.namespace])


def _proofs(process: OperatorProcess) -> list[dict[str, Any]]:
    return [dict(line) for line in process.lines() if line.get("event") == "proved a gap"]


def _ledger(status: Any) -> Ledger:
    release = load_memory(status.get("memory")).release
    return release.step.ledger if release is not None else Ledger()
