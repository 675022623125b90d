"""People who change regions, Pipelines and Rollouts while something travels, on real control planes."""

from __future__ import annotations

import asyncio
import json

import pytest

from support.hub_planes import World, enter, stage
from support.region_planes import SECRETS

pytestmark = pytest.mark.cluster

R2, R3, R4 = ("region-2", "shop"), ("region-3", "shop"), ("region-4", "shop")
TURNS = [stage("wave", "region-3", "region-4", maxParallel=1)]


async def test_a_region_removed_and_one_added_in_the_middle_of_a_wave(world: World) -> None:
    """The one that is gone goes on by itself, unwatched by the hub; the new one gets the change."""
    hub = world.hub
    added = {
        "apiVersion": "ombak.dev/v1alpha1",
        "kind": "Region",
        "metadata": {"name": "added"},
        "spec": {"tier": "large", "access": {"kubeconfig": {"secretRef": {"namespace": SECRETS, "name": "region-2"}}}},
    }
    with world.line("moving", [stage("wave", regions={"matchLabels": {"tier": "large"}})]) as line:
        line.push("v1")
        await line.until("v1 delivered", lambda: line.reason() == "Delivered")
        world.hold("region-3", "region-4")
        line.push("v2")
        await line.begun(R3, "v2")
        await line.begun(R4, "v2")
        try:
            hub.kubectl("delete", "region", "region-4")
            hub.kubectl("apply", "-f", "-", input=json.dumps(added))
            await line.until("v2 in the new region", lambda: line.runs(R2) == "v2")
            world.let_go("region-3")
            await line.until("v2 delivered", lambda: line.reason() == "Delivered")
            assert (line.runs(R2), line.runs(R3), line.runs(R4)) == ("v2", "v2", "")
            world.let_go("region-4")
            await line.until("region-4 by itself", lambda: line.runs(R4) == "v2")
        finally:
            hub.kubectl("delete", "region", "added")
            enter(hub, world.by_name["region-4"], cloud="aws", tier="large")


async def test_two_hubs_by_mistake_are_refused_and_both_say_so(world: World) -> None:
    """The second one touches nothing but for a word, which the first one hears."""
    with world.line("shared", [stage("wave", "region-3")]) as line:
        line.push("v1")
        await line.delivered("v1")
        enter(world.other, world.by_name["region-3"])
        with world.line("shared", [stage("wave", "region-3")], hub=world.other) as second:
            second.push("v2")
            await second.until("the refusal", lambda: second.reason() == "Conflict")
            first_uid, second_uid = (
                plane.plane.client.call("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
                for plane in (world.hub, world.other)
            )
            assert f"the hub {first_uid}" in second.waits()[0]["what"]
            await line.until("the claim", lambda: any(f"the hub {second_uid}" in w["what"] for w in line.waits()))
            assert "claimed-by-" in line.waits()[0]["command"]
            assert (line.reason(), line.runs(R3)) == ("Delivered", "v1")
            second.places = ()  # the Rollout is the first hub's
        world.other.kubectl("delete", "region", "region-3")


async def test_of_a_pipeline_deleted_in_the_middle_of_a_wave_everything_stays(world: World) -> None:
    """What was written goes on by itself; the region whose turn it was not yet stays as it is."""
    with world.line("gone", TURNS) as line:
        line.push("v1")
        await line.delivered("v1")
        world.hold("region-3")
        line.push("v2")
        await line.begun(R3, "v2")
        line.delete()
        world.let_go("region-3")
        await line.until("region-3 on v2", lambda: line.runs(R3) == "v2")
        await asyncio.sleep(2)
        assert line.runs(R4) == "v1"

        line.push("v2")
        await line.delivered("v2")
        assert line.rollout(R3)["metadata"]["annotations"]["ombak.dev/sequence"] == "2"


async def test_a_hand_edit_is_reported_and_put_back_only_where_asked(world: World) -> None:
    """The fields are named; what an autoscaler says by `/scale` is never fought."""
    with world.line("edited", [stage("wave", "region-3")]) as line:
        line.push("v1")
        await line.delivered("v1")
        region = world.by_name["region-3"]
        region.kubectl("scale", "omr", "edited", "-n", "shop", "--replicas=4")
        region.kubectl(
            "patch", "omr", "edited", "-n", "shop", "--type=merge", "-p", '{"spec":{"unwatched":"my own reason"}}'
        )
        await line.until("the report", lambda: any("spec.unwatched" in w["what"] for w in line.waits()))
        wait = next(w for w in line.waits() if "spec.unwatched" in w["what"])
        assert "PutBack" in wait["command"]
        assert line.rollout(R3)["spec"]["unwatched"] == "my own reason"

        line.push("v1", handEdits="PutBack")
        await line.until("it is put back", lambda: line.rollout(R3)["spec"]["unwatched"] != "my own reason")
        await line.delivered("v1")
        line.push("v2", handEdits="PutBack")
        await line.delivered("v2")
        assert line.rollout(R3)["spec"]["replicas"] == 4
