"""`--region`: the shortest bakes of a Region hold for plain Rollouts of its cluster, whatever manifests say (R76)."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from lab import Lab

import manifests
from boxes import served
from harness import OperatorProcess

pytestmark = pytest.mark.cluster
FLOOR_S = 6.0


def test_a_manifest_is_no_way_round_the_floors_of_its_region(lab: Lab) -> None:
    """`bake: 0s` after the one box becomes the floor, is told as such, and is really waited for."""
    lab.run(_floored(lab))


async def _floored(lab: Lab) -> None:
    shop = await lab.shop("floored")
    floors = {"oneBox": f"{FLOOR_S:.0f}s", "bake": f"{FLOOR_S:.0f}s"}
    region = {
        "apiVersion": manifests.API,
        "kind": "Region",
        "metadata": {"name": "floored"},
        "spec": {"access": {"inCluster": {}}, "floors": floors},
    }
    await asyncio.to_thread(lab.region.kubectl, "apply", "-f", "-", input=json.dumps(region))
    options = ["--namespace", shop.namespace, "--region", "floored"]
    operator = OperatorProcess(lab.region, lab.name("floored"), options=options)
    none = {"bake": {"for": "0s"}}
    try:
        await asyncio.to_thread(operator.start)
        await shop.installed(manifests.rollout(replicas=4, strategy={"oneBox": none, "rolling": none, **none}))
        new = await shop.release("1.1.0")
        baking = await shop.until(lambda now: now.phase == "OneBoxBake", "the bake of the one box")
        assert f"of {FLOOR_S:.0f}s" in baking.status["progress"]["bake"]
        await shop.phase("Stable")
        (_, ready), (made, _), *_ = await served(shop, new)
        assert made - ready >= timedelta(seconds=FLOOR_S - 1), "the fleet's turn came too early"
    finally:
        await asyncio.to_thread(operator.stop)
        await asyncio.to_thread(lab.region.kubectl, "delete", "region", "floored")
