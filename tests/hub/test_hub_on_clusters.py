"""Changes travel over real control planes: several at a time, good and bad ones, and then it is quiet."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.hub_planes import OMBAK, Line, World, stage

pytestmark = pytest.mark.cluster

FIVE = [
    stage("alpha", "region-3", namespace="shop-alpha", phase="PreProd"),
    stage("beta", "region-4", namespace="shop-beta", phase="PreProd"),
    stage("gamma", "region-3", namespace="shop-gamma", phase="PreProd"),
    stage("wave-1", regions={"matchLabels": {"cloud": "aws", "tier": "small"}}),
    stage("wave-2", "region-3", "region-4"),
]
ALPHA, BETA, GAMMA = ("region-3", "shop-alpha"), ("region-4", "shop-beta"), ("region-3", "shop-gamma")
WAVE_1 = ("region-2", "shop")
SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "five", "labels": {"app.kubernetes.io/instance": "argo"}},
    "spec": {"selector": {"app": "five"}, "ports": [{"port": 80}]},
}


async def test_three_changes_travel_at_once_and_a_bad_one_disturbs_no_other(world: World) -> None:
    """Over five stages: one is rejected behind an older one, one before a newer one, and an old one comes again."""
    with world.line("five", FIVE, objects=[SERVICE]) as line:
        line.places = (ALPHA, BETA, GAMMA, WAVE_1, ("region-3", "shop"), ("region-4", "shop"))
        await is_installed(line)
        await three_at_once(world, line)
        await one_is_rejected_in_stage_2_behind_an_older_one(world, line)
        await one_is_rejected_in_stage_4_before_a_newer_one(world, line)
        await the_newer_one_arrives(line)
        line.push("v1")
        await line.delivered("v1")
        assert line.status()["travelling"][-1]["sequence"] == 5
        await nothing_is_written_any_more(line)


async def is_installed(line: Line) -> None:
    """The first version is everywhere, with what travels along, in the order of the stages."""
    line.push("v1")
    await line.delivered("v1")
    assert line.entered() == ["v1 alpha", "v1 beta", "v1 gamma", "v1 wave-1", "v1 wave-2"]
    rollout = line.rollout(WAVE_1)
    assert rollout["metadata"]["annotations"]["ombak.dev/author"] == "ada"
    assert rollout["spec"]["replicas"] == 2
    service = line.world.by_name["region-4"].plane.client.call("GET", "/api/v1/namespaces/shop/services/five")
    assert "app.kubernetes.io/instance" not in service["metadata"]["labels"]


async def three_at_once(world: World, line: Line) -> None:
    """Each is held in a stage of its own: the first in stage 4, the second in stage 2, the third in stage 1."""
    world.hold("region-2")
    line.push("v2")
    await line.begun(WAVE_1, "v2")
    world.hold("region-4")
    line.push("v3")
    await line.begun(BETA, "v3")
    world.hold("region-3")
    line.push("v4")
    await line.begun(ALPHA, "v4")
    assert line.inside() == {"wave-1": "v2", "beta": "v3", "alpha": "v4"}


async def one_is_rejected_in_stage_2_behind_an_older_one(world: World, line: Line) -> None:
    """It goes back to what the stage ran before; the older one and the newer one stay where they are."""
    line.abort_in(BETA, "v3")
    await line.until("v3 rejected", lambda: bool(line.rejected("v3")))
    await line.until("the others stay", lambda: line.inside() == {"wave-1": "v2", "alpha": "v4"})
    world.let_go("region-4")
    await line.until("beta back on v2", lambda: line.runs(BETA) == "v2")
    assert not any(told.startswith("v3") and told != "v3 alpha" and told != "v3 beta" for told in line.entered())


async def one_is_rejected_in_stage_4_before_a_newer_one(world: World, line: Line) -> None:
    """It is gone in every stage, and the newer one goes on where it is."""
    world.hold("region-4")
    world.let_go("region-3")
    await line.begun(BETA, "v4")
    line.abort_in(WAVE_1, "v2")
    await line.until("v2 rejected", lambda: bool(line.rejected("v2")))
    await line.until("the newer one stays", lambda: line.inside() == {"beta": "v4"})
    assert (line.rejected("v2")["stage"], line.rejected("v2")["region"]) == ("wave-1", "region-2")
    world.let_go("region-2")
    await line.until("wave-1 and gamma back on v1", lambda: line.runs(WAVE_1) == line.runs(GAMMA) == "v1")
    world.let_go("region-4")


async def the_newer_one_arrives(line: Line) -> None:
    """What was rejected never entered another stage."""
    await line.delivered("v4")
    entered = line.entered()
    assert [told for told in entered if told.startswith("v4")] == [f"v4 {s['name']}" for s in FIVE]
    assert "v2 wave-2" not in entered


async def nothing_is_written_any_more(line: Line) -> None:
    """Delivered is delivered: no status, no region is written while nothing happens."""

    def versions() -> list[Any]:
        rollouts = [line.rollout(place)["metadata"] for place in line.places]
        hub = line.hub.plane.client.call("GET", f"{OMBAK}/namespaces/shop/pipelines/{line.name}")["metadata"]
        return [hub["resourceVersion"], *((m["generation"], m["annotations"]) for m in rollouts)]

    await line.until("it is quiet", lambda: not line.waits())
    await asyncio.sleep(2)
    before = versions()
    await asyncio.sleep(4)
    assert versions() == before
