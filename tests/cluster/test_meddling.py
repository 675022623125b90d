"""Others in the namespace: people who edit what Ombak owns, and objects that look like it."""

from __future__ import annotations

from typing import Any

import pytest

import manifests
from harness import Shop
from ombak.core.identity import artifact_id
from ombak.sandbox.client import ApiStatusError
from parallel import side_by_side

pytestmark = [pytest.mark.cluster, pytest.mark.proof]


async def _one_box(shop: Shop) -> dict[str, Any]:
    return await shop.get("Deployment", f"{shop.name}-onebox")


@pytest.mark.parametrize(
    "words",
    [
        ("delete", "deployment", "front-end-onebox"),
        ("delete", "replicaset", "front-end-{artifact}"),
        ("set", "image", "deployment/front-end-onebox", "app=registry.example/evil:1"),
        ("set", "env", "replicaset/front-end-{artifact}", "DEBUG=1"),
        ("scale", "replicaset/front-end-{artifact}", "--replicas=2"),
        ("scale", "deployment/front-end-onebox", "--replicas=3"),
        ("scale", "deployment/front-end-onebox", "--replicas=0"),
        ("label", "replicaset/front-end-{artifact}", "app=front-end"),
        ("label", "deployment/front-end-onebox", "app=front-end"),
    ],
    ids=lambda words: "-".join(words[:2]).replace("/", "-").replace("{artifact}", "set"),
)
@side_by_side
async def test_what_people_change_by_hand_is_put_back_and_reported(shop: Shop, words: tuple[str, ...]) -> None:
    """One command of somebody who means well; afterwards everything is as it was, and an Event says who did what."""
    stable = await shop.installed(manifests.rollout(replicas=6))
    before = await _shape(shop)

    async with shop.watcher.excused("the test takes boxes away by hand"):
        await shop.kubectl(*(word.format(artifact=stable) for word in words))
        await shop.event("PutBack")
        await shop.settled(lambda: _is_as(shop, before), "everything to be as it was")
        await shop.settled(lambda: _one_box_runs(shop, stable), "the one box")
        await shop.sized(6)

    assert await shop.boxes() == {stable: 6}


async def _shape(shop: Shop) -> dict[str, Any]:
    """What matters of the owned objects."""
    found = {}
    for kind in ("Deployment", "ReplicaSet"):
        for item in await shop.items(kind, labelSelector="ombak.dev/box"):
            spec = item["spec"]
            found[item["metadata"]["name"]] = (spec["replicas"], spec["template"]["spec"], item["metadata"]["labels"])
    # The Deployment's own ReplicaSets come and go.
    return {name: shape for name, shape in found.items() if not name.startswith(f"{shop.name}-onebox-")}


async def _is_as(shop: Shop, before: dict[str, Any]) -> bool:
    return await _shape(shop) == before


@side_by_side
async def test_the_one_box_deleted_in_the_middle_of_a_release_comes_back_new(shop: Shop) -> None:
    """The release goes on where it was, and its evidence starts anew."""
    await shop.installed(manifests.rollout(replicas=6))
    new = await shop.release("1.1.0", strategy=manifests.strategy("1h"))
    await shop.phase("OneBoxBake")

    async with shop.watcher.excused("the test deletes the one box"):
        await shop.kubectl("delete", "deployment", f"{shop.name}-onebox")
        await shop.settled(lambda: _one_box_runs(shop, new), "the one box")
    await shop.change(strategy=manifests.strategy())
    stable = await shop.phase("Stable")

    assert stable.artifact("stable") == new
    assert await shop.boxes() == {new: 6}


async def _one_box_runs(shop: Shop, artifact: str) -> bool:
    try:
        live = await _one_box(shop)
    except ApiStatusError:
        return False
    labels: dict[str, str] = live["spec"]["template"]["metadata"]["labels"]
    status = live["status"]
    has_followed = status.get("observedGeneration") == live["metadata"]["generation"]
    sizes = {status.get(key) for key in ("replicas", "updatedReplicas", "availableReplicas")}
    return labels["ombak.dev/artifact"] == artifact and has_followed and sizes == {1}


@side_by_side
async def test_strays_with_the_same_selector_disturb_nobody(shop: Shop) -> None:
    """A Deployment and a ReplicaSet of a user select the same pods; nobody adopts anybody's."""
    old = await shop.installed(manifests.rollout(replicas=6))
    for kind, name in (("Deployment", "stray"), ("ReplicaSet", "stray-set")):
        await shop.create(_stray(kind, name))

    new = await shop.release("1.1.0")
    stable = await shop.phase("Stable")

    assert stable.artifact("stable") == new
    assert await shop.boxes() == {new: 6}
    assert shop.watcher.judgement().most(old) == 6
    uid = stable.uid
    for item in await shop.items("ReplicaSet", labelSelector="ombak.dev/box=fleet"):
        assert [owner["uid"] for owner in item["metadata"]["ownerReferences"]] == [uid]

    async def are_four() -> bool:
        return len(await shop.items("Pod", labelSelector="!ombak.dev/rollout")) == 4

    await shop.settled(are_four, "four boxes of the strangers")


def _stray(kind: str, name: str, replicas: int = 2) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": manifests.NAME}},
            "template": manifests.template("0.0.1"),
        },
    }


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet"])
@side_by_side
async def test_a_name_that_somebody_else_has_stalls_and_theirs_is_not_touched(shop: Shop, kind: str) -> None:
    """The user's object is called as ours would be: the boxes beside it are made, and when it is gone the rest."""
    wanted = manifests.rollout(replicas=3)
    name = f"{shop.name}-onebox"
    if kind == "ReplicaSet":
        name = f"{shop.name}-{artifact_id(wanted['spec']['template'])}"
    await shop.create(_stray(kind, name, replicas=1))
    before = await shop.get(kind, name)

    await shop.create(wanted)
    stalled = await shop.until(lambda now: now.condition("Stalled").get("status") == "True", "to be stalled")

    assert name in stalled.status["message"]
    assert stalled.status["waitingFor"]["what"]
    after = await shop.get(kind, name)
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
    beside = {"Deployment": 2, "ReplicaSet": 1}[kind]
    await shop.settled(lambda: _has(shop, beside), f"{beside} of its boxes")
    await shop.kubectl("delete", kind.lower(), name)
    await shop.phase("Stable")


@side_by_side
async def test_deleted_artifacts_are_recorded_again_and_nothing_is_redeployed(shop: Shop) -> None:
    """What runs is what the spec asks for, so it only has to prove itself again; every box stays."""
    stable = await shop.installed(manifests.rollout(replicas=3))
    boxes = await _pods(shop)

    await shop.kubectl("delete", "artifacts.ombak.dev", "--all")
    await shop.settled(lambda: _is_recorded(shop, stable), "the verdict to be on record again")

    assert await _pods(shop) == boxes


async def _has(shop: Shop, boxes: int) -> bool:
    return sum((await shop.boxes()).values()) == boxes


async def _pods(shop: Shop) -> set[str]:
    return {pod["metadata"]["uid"] for pod in await shop.items("Pod")}


async def _is_recorded(shop: Shop, artifact: str) -> bool:
    found = [item for item in await shop.items("Artifact") if item["spec"]["id"] == artifact]
    return any(item.get("status", {}).get("stable") for item in found)


async def _owned(shop: Shop) -> dict[str, tuple[str, int, dict[str, str]]]:
    """Which objects of the operator there are, and what they are asked for; their statuses are the controllers'."""
    found = {}
    for kind in ("Deployment", "ReplicaSet", "Artifact", "Pod"):
        for item in await shop.items(kind, labelSelector="ombak.dev/rollout"):
            meta = item["metadata"]
            found[f"{kind}/{meta['name']}"] = meta["uid"], meta.get("generation", 0), meta["labels"]
    return found


@side_by_side
async def test_a_template_that_the_server_would_refuse_changes_nothing_that_runs(shop: Shop) -> None:
    """The condition quotes the field; the fix is delivered."""
    old = await shop.installed(manifests.rollout(replicas=3))
    made = await _owned(shop)

    wanted = manifests.template("1.1.0")
    wanted["spec"]["containers"][0]["ports"] = [{"containerPort": 99999}]
    await shop.change(template=wanted)
    invalid = await shop.phase("Invalid")

    assert "containerPort" in invalid.condition("Stalled")["message"]
    assert "containerPort" in invalid.waits_for
    assert await shop.boxes() == {old: 3}
    assert await _owned(shop) == made

    new = await shop.release("1.1.1")
    stable = await shop.phase("Stable")
    assert stable.artifact("stable") == new
