"""Outages in the middle of a release: the API server killed and started again, Prometheus back without its data."""

from __future__ import annotations

import asyncio
import math
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from lab import Lab

import manifests
from harness import OperatorProcess
from ombak.core.memory import load_memory
from timeline import RolloutSeen

pytestmark = [pytest.mark.cluster, pytest.mark.proof, pytest.mark.usefixtures("operator"), pytest.mark.timeout(600)]

LACKS, ROUNDED = timedelta(seconds=8), timedelta(seconds=1)
"""So much of the bake is left in the outage; the record tells whole seconds."""
DOWN_S = 3


def _accrued(seen: RolloutSeen) -> timedelta:
    release = load_memory(seen.status.get("memory")).release
    assert release is not None
    return release.step.ledger.accrued


def test_a_release_survives_an_outage_of_the_api_server(lab: Lab) -> None:
    """Killed in the middle of a batch and started again: the release goes on to its end, and capacity was kept."""

    async def scenario() -> None:
        shop = await lab.shop("apiserver")
        await shop.installed(manifests.rollout(replicas=6))
        new = await shop.release("1.1.0", {"ready-after": "2s"})
        await shop.until(lambda now: (now.release.get("step") or {}).get("goal", 0) >= 2, "the first batch")
        await asyncio.to_thread(lab.region.plane.kill_apiserver)
        await asyncio.sleep(DOWN_S)
        await asyncio.to_thread(lab.region.plane.restart_apiserver)
        await shop.phase("Stable")

        assert await shop.boxes() == {new: 6}
        assert shop.watcher.goals(new)[0] == 1
        await shop.watcher.finish(90)

    lab.run(scenario())


def test_a_prometheus_that_lost_its_data_neither_promotes_nor_reverts(lab: Lab, operator: OperatorProcess) -> None:
    """Down in the bake it holds; back and empty it goes on, and the time without evidence is baked again."""

    async def scenario() -> None:
        shop = await lab.shop("prometheus")
        alarms = manifests.service_errors(), manifests.one_box_errors()
        quick = manifests.strategy("0s", "0s", "0s")
        spec = manifests.alarms(one_box="onebox", onUnknown={"holdFor": "10m", "then": "Hold"})
        await shop.installed(*alarms, manifests.rollout(replicas=3, alarms=spec, strategy=quick))
        new = await shop.release("1.1.0", strategy=manifests.strategy("0s", "0s", "1h"))
        await shop.until(lambda now: now.phase == "Bake" and "bake" in now.waits_for, "the bake of all boxes")
        prometheus = lab.region.prometheus
        await asyncio.to_thread(prometheus.kill)
        held = await shop.until(lambda now: "alarms" in now.waits_for, "a hold because of unknown alarms")
        accrued = _accrued(held)
        bake = math.ceil((accrued + LACKS).total_seconds())
        await shop.change(strategy=manifests.strategy("0s", "0s", f"{bake}s"))
        await asyncio.sleep(LACKS.total_seconds())
        now = shop.now
        assert now is not None
        assert (now.phase, _accrued(now)) == ("Bake", accrued)

        data = lab.region.workdir.folder("prometheus") / "data"
        await asyncio.to_thread(shutil.rmtree, data)
        back = datetime.now(UTC)
        await asyncio.to_thread(prometheus.start)
        await shop.phase("Stable")

        stable = (await shop.get("Artifact", f"{shop.name}-{new}"))["status"]["stable"]["at"]
        assert datetime.fromisoformat(stable) - back >= LACKS - ROUNDED
        assert not {"Reverting", "Reverted"} & set(shop.watcher.phases())
        await shop.watcher.finish()

    lab.run(scenario())
    operator.process.check()


def test_a_revert_survives_an_outage_of_the_api_server(lab: Lab) -> None:
    """Killed in the middle of a way back: it ends on the last good version."""

    async def scenario() -> None:
        shop = await lab.shop("apiserver-back")
        slow, quick = {"ready-after": "2s"}, manifests.strategy("0s", "0s", "0s")
        rollout = manifests.rollout(replicas=6, behaviour=slow, alarms=manifests.alarms(), strategy=quick)
        old = await shop.installed(manifests.switch(), rollout)
        await shop.release("1.1.0", strategy=manifests.strategy("0s", "1h", "1h"))
        await shop.until(lambda now: (now.release.get("step") or {}).get("goal", 0) >= 2, "the first batch")
        await shop.switch(manifests.FIRING)
        await shop.phase("Reverting")
        await asyncio.to_thread(lab.region.plane.kill_apiserver)
        await asyncio.sleep(DOWN_S)
        await asyncio.to_thread(lab.region.plane.restart_apiserver)
        await shop.phase("Reverted")
        assert await shop.boxes() == {old: 6}
        await shop.watcher.finish(90)

    lab.run(scenario())
