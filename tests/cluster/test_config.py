"""Configuration that travels with a version, on the real control plane: delivered, baked and taken back like code."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import manifests
from harness import Shop
from ombak.core import config
from ombak.sandbox.client import Json
from parallel import side_by_side

pytestmark = pytest.mark.cluster

SETTLES_S = 4
"""Long enough for the garbage collector to take what it means to take."""


async def configure(shop: Shop, **data: str) -> None:
    """Change the ConfigMap, and nothing else."""
    await shop.patch("ConfigMap", "settings", {"data": data})


async def copies(shop: Shop) -> dict[str, Json]:
    """The copies that the operator made, by name."""
    return {item["metadata"]["name"]: item for item in await shop.items("ConfigMap", labelSelector="ombak.dev/rollout")}


async def read_by(shop: Shop, artifact: str) -> set[str]:
    """The data that the boxes of a version read, wherever they read it."""
    listed = await shop.items("Pod", labelSelector=f"ombak.dev/rollout={shop.name},ombak.dev/artifact={artifact}")
    names = {name for pod in listed for name in config.references({"spec": pod["spec"]})}
    found = [await shop.get("ConfigMap", name) for name in names - {"live", "kube-root-ca.crt"}]
    assert all(each["immutable"] for each in found)
    return {each["data"]["flag"] for each in found}


async def on_its_way(shop: Shop, old: str) -> str:
    """Wait until another version is on its way, and return its id."""
    now = await shop.until(lambda now: now.artifact("current") not in ("", old), "another version on its way")
    return now.artifact("current")


async def deleted(shop: Shop, kind: str, name: str, **query: Any) -> None:
    await shop.call("DELETE", shop.path(kind, name), **query)


@side_by_side
async def test_a_change_of_a_config_map_alone_is_delivered(shop: Shop) -> None:
    """One box first, then batches, each baked; the boxes of each version read the copy of their version."""
    held = manifests.strategy("1h")
    old = await shop.installed(manifests.config_map(flag="off"), manifests.configured(replicas=5, strategy=held))
    assert await read_by(shop, old) == {"off"}

    await configure(shop, flag="on")
    new = await on_its_way(shop, old)
    assert await read_by(shop, old) == {"off"}
    await shop.change(strategy=manifests.strategy())
    stable = await shop.until(lambda now: now.phase == "Stable" and now.artifact("stable") == new, "the new config")

    assert await shop.boxes() == {new: 5}
    assert await read_by(shop, new) == {"on"}
    assert shop.watcher.goals(new) == [1, 2, 3, 4, 5]
    assert stable.condition("ConfigReady")["status"] == "True"

    async def are_owned() -> bool:
        made = [copy["metadata"]["ownerReferences"] for copy in (await copies(shop)).values()]
        return all({"Artifact", "ReplicaSet"} <= {owner["kind"] for owner in owners} for owners in made)

    await shop.settled(are_owned, "copies that belong to their version and to its boxes")


@side_by_side
async def test_a_bad_config_is_taken_back_and_stays_away(shop: Shop) -> None:
    """R8: by its alarm, to boxes that read the old copy; and the ConfigMap that is still bad changes nothing."""
    strategy = manifests.strategy(bake="1h")
    alarms = manifests.alarms()
    old = await shop.installed(
        manifests.switch(), manifests.config_map(flag="off"), manifests.configured(replicas=3, alarms=alarms)
    )
    await shop.change(strategy=strategy)
    await configure(shop, flag="broken")
    bad = await on_its_way(shop, old)
    await shop.until(lambda now: now.phase == "Bake", "the bake of the bad config")
    assert await read_by(shop, bad) == {"broken"}

    await shop.switch(manifests.FIRING)
    reverted = await shop.phase("Reverted")

    assert reverted.artifact("rejected") == bad
    assert await shop.boxes() == {old: 3}
    assert await read_by(shop, old) == {"off"}
    await shop.switch(manifests.OK)
    await configure(shop, flag="off")
    await shop.until(lambda now: now.phase == "Stable" and now.artifact("stable") == old, "peace")
    assert await shop.boxes() == {old: 3}


@side_by_side
async def test_the_only_copy_of_a_good_config_is_put_back(shop: Shop) -> None:
    """Deleted by hand while the ConfigMap is bad: its deletion itself tells the operator what it held."""
    alarms = manifests.alarms()
    old = await shop.installed(
        manifests.switch(), manifests.config_map(flag="off"), manifests.configured(replicas=3, alarms=alarms)
    )
    await shop.change(strategy=manifests.strategy(bake="1h"))
    await configure(shop, flag="broken")
    await shop.until(lambda now: now.phase == "Bake", "the bake of the bad config")
    await shop.switch(manifests.FIRING)
    await shop.phase("Reverted")
    name = config.copy_name(shop.name, old, "settings")
    before = (await shop.get("ConfigMap", name))["metadata"]["uid"]

    await deleted(shop, "ConfigMap", name)

    async def is_back() -> bool:
        found = (await copies(shop)).get(name)
        return found is not None and found["metadata"]["uid"] != before

    await shop.settled(is_back, "the copy again")
    assert await read_by(shop, old) == {"off"}
    await shop.event("PutBack", name)


@side_by_side
async def test_a_config_map_deleted_in_the_middle_holds_what_comes_next(shop: Shop) -> None:
    """What is on its way has its copy and becomes stable; then it waits, by name, until the ConfigMap is there."""
    old = await shop.installed(manifests.config_map(flag="off"), manifests.configured(replicas=3))
    await configure(shop, flag="on")
    new = await on_its_way(shop, old)
    await deleted(shop, "ConfigMap", "settings")

    waiting = await shop.until(lambda now: now.phase == "Blocked" and now.artifact("stable") == new, "the wait")

    assert "ConfigMap settings" in waiting.waits_for
    assert waiting.condition("ConfigReady")["reason"] == "Missing"
    assert await shop.boxes() == {new: 3}
    await shop.create(manifests.config_map(flag="off"))
    await shop.until(lambda now: now.phase == "Stable" and now.artifact("stable") == old, "the first config again")


@side_by_side
async def test_a_new_rollout_waits_for_its_config_map(shop: Shop) -> None:
    """Applied in the wrong order, or misspelt: nothing is installed, and the status names it."""
    await shop.create(manifests.configured(replicas=2))
    waiting = await shop.phase("Blocked")
    assert "ConfigMap settings" in waiting.waits_for

    await shop.create(manifests.config_map(flag="on"))

    await shop.phase("Stable")


@side_by_side
async def test_copies_go_with_the_rollout(shop: Shop) -> None:
    """Through the Artifact; the user's own ConfigMap stays."""
    await shop.installed(manifests.config_map(flag="on"), manifests.configured(replicas=2))
    assert await copies(shop)

    await shop.kubectl("delete", "omr", shop.name)

    async def is_gone() -> bool:
        return not await copies(shop)

    await shop.settled(is_gone, "no copies")
    assert (await shop.get("ConfigMap", "settings"))["data"] == {"flag": "on"}
    await shop.sized(0)


@side_by_side
async def test_orphaning_leaves_the_copies(shop: Shop) -> None:
    """What is left behind runs on, and can start anew."""
    old = await shop.installed(manifests.config_map(flag="on"), manifests.configured(replicas=2))
    before = {name: item["metadata"]["uid"] for name, item in (await copies(shop)).items()}

    await shop.kubectl("delete", "omr", shop.name, "--cascade=orphan")
    await asyncio.sleep(SETTLES_S)

    assert {name: item["metadata"]["uid"] for name, item in (await copies(shop)).items()} == before
    assert await read_by(shop, old) == {"on"}


@side_by_side
async def test_copies_are_kept_as_long_as_versions_are(shop: Shop) -> None:
    """Ten versions and those that matter; the garbage collector takes the copies of the others."""
    none = manifests.strategy("0s", "0s", "0s")
    stable = await shop.installed(manifests.config_map(flag="0"), manifests.configured(replicas=1, strategy=none))
    for number in range(1, 13):
        await configure(shop, flag=str(number))
        before = stable
        found = await shop.until(
            lambda now, before=before: now.phase == "Stable" and now.artifact("stable") != before, "the next config"
        )
        stable = found.artifact("stable")

    async def are_as_many() -> bool:
        artifacts = {item["spec"]["id"] for item in await shop.items("Artifact")}
        found = {item["metadata"]["labels"]["ombak.dev/artifact"] for item in (await copies(shop)).values()}
        return found == artifacts and len(found) == 10

    await shop.settled(are_as_many, "a copy for each version that is kept")
    assert await read_by(shop, stable) == {"12"}
