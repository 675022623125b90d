"""Outages in the middle of a release: the API server killed and started again, Prometheus back without its data."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from lab import Lab

import manifests
from harness import OperatorProcess

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator"), pytest.mark.timeout(600)]

BAKE = timedelta(seconds=8)
DOWN_S = 3


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
        shop.watcher.finish(90)

    lab.run(scenario())


def test_a_prometheus_that_lost_its_data_neither_promotes_nor_reverts(lab: Lab, operator: OperatorProcess) -> None:
    """Down in the bake it holds; back and empty it goes on, and the time without evidence is baked again."""

    async def scenario() -> None:
        shop = await lab.shop("prometheus")
        alarms = manifests.service_errors(), manifests.one_box_errors()
        quick = manifests.strategy("0s", "0s", "0s")
        spec = manifests.alarms(one_box="onebox", onUnknown={"holdFor": "10m", "then": "Hold"})
        await shop.installed(*alarms, manifests.rollout(replicas=3, alarms=spec, strategy=quick))
        new = await shop.release("1.1.0", strategy=manifests.strategy("0s", "0s", f"{BAKE.seconds}s"))
        await shop.phase("Bake")
        prometheus = lab.region.prometheus
        await asyncio.to_thread(prometheus.kill)
        await shop.until(lambda now: "alarms" in now.waits_for, "a hold because of unknown alarms")
        held = shop.now
        assert held is not None
        accrued = held.release["step"].get("ledger", {}).get("accrued")
        await asyncio.sleep(BAKE.total_seconds())
        now = shop.now
        assert now is not None
        assert (now.phase, now.release["step"].get("ledger", {}).get("accrued")) == ("Bake", accrued)

        data = lab.region.workdir.folder("prometheus") / "data"
        await asyncio.to_thread(shutil.rmtree, data)
        back = datetime.now(UTC)
        await asyncio.to_thread(prometheus.start)
        await shop.phase("Stable")

        stable = (await shop.get("Artifact", f"{shop.name}-{new}"))["status"]["stable"]["at"]
        assert datetime.fromisoformat(stable) > back
        assert not {"Reverting", "Reverted"} & set(shop.watcher.phases())
        shop.watcher.finish()

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
        shop.watcher.finish(90)

    lab.run(scenario())
