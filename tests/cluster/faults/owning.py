"""Scenarios of owning and leaving (design 2 "Owning", P8), and facts of Kubernetes that the design rests on."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest
import yaml
from lab import Lab, eventually, reads

import manifests
from harness import Shop
from ombak.sandbox.client import ApiStatusError

APP = {"app": manifests.NAME}


async def uids(shop: Shop) -> set[str]:
    """The pods that exist, whoever owns them; none of the same uid was ever restarted."""
    return {pod["metadata"]["uid"] for pod in await shop.items("Pod") if "deletionTimestamp" not in pod["metadata"]}


async def owners(shop: Shop, kind: str) -> set[str]:
    """Who controls the objects of a kind, as `Kind/name`."""
    found = [o for item in await shop.items(kind) for o in item["metadata"].get("ownerReferences") or ()]
    return {f"{owner['kind']}/{owner['name']}" for owner in found if owner.get("controller")}


async def gone(shop: Shop, *kinds: str) -> None:
    """Wait until nothing of these kinds is left."""
    for kind in kinds:
        await reads(functools.partial(shop.items, kind), lambda found: not found, f"the end of every {kind}")


async def deleting_takes_the_boxes(lab: Lab) -> None:
    shop = await lab.shop("deleted")
    await shop.installed(manifests.rollout(replicas=3))
    live = await shop.get("Rollout", shop.name)
    assert "orphan" in live["metadata"]["finalizers"]

    await shop.kubectl("delete", "omr", shop.name)

    await gone(shop, "Pod", "ReplicaSet", "Deployment", "Artifact", "Rollout")


async def orphaning_leaves_the_boxes(lab: Lab) -> None:
    shop = await lab.shop("orphaned")
    old = await shop.installed(manifests.rollout(replicas=3))
    before = await uids(shop)

    await shop.kubectl("delete", "omr", shop.name, "--cascade=orphan")
    await gone(shop, "Rollout")
    assert await owners(shop, "Deployment") == set()
    await asyncio.sleep(2)
    assert await uids(shop) == before

    shop.generation = 0
    await shop.create(manifests.rollout(replicas=3))
    again = await shop.phase("Stable")
    assert again.artifact("stable") == old
    assert await uids(shop) == before, "taken up again, no box restarted"
    await eventually_owned(shop)


async def eventually_owned(shop: Shop) -> None:
    """Everything left behind belongs to the Rollout again."""
    ours = {f"Rollout/{shop.name}"}
    for kind in ("Deployment", "Artifact"):
        await reads(functools.partial(owners, shop, kind), lambda found: found == ours, f"an owner of every {kind}")


async def a_stray_deployment_adopts_nothing(lab: Lab) -> None:
    shop = await lab.shop("stray")
    await shop.installed(manifests.rollout(replicas=3))
    before = await uids(shop)

    await shop.create(stray(shop.name, replicas=1))
    await ready(shop, "stray")
    assert before <= await uids(shop)
    ours = await shop.items("ReplicaSet", labelSelector="ombak.dev/box=fleet")
    assert [o["name"] for rs in ours for o in rs["metadata"]["ownerReferences"]] == [shop.name]

    new = await shop.release("1.1.0")
    await shop.phase("Stable")
    assert (await shop.boxes())[new] == 3
    await shop.watcher.finish()


async def a_replica_set_with_the_users_labels_is_adopted(lab: Lab) -> None:
    """The trap itself: why our ReplicaSets carry labels of our own only."""
    shop = await lab.shop("trap")
    deployment = stray(shop.name, replicas=0)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    replica_set = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "bare", "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": deployment["spec"]["template"]["spec"]},
        },
    }
    await shop.create(replica_set, deployment)
    await reads(lambda: owners(shop, "ReplicaSet"), lambda found: found == {"Deployment/stray"}, "an adoption")


def stray(app: str, replicas: int) -> manifests.Manifest:
    """A Deployment of the user's own, of which the selector matches our pods."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "stray", "labels": {"app": app}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": app}},
            "template": {
                "metadata": {"labels": {"app": app}},
                "spec": {"containers": [{"name": "app", "image": "registry.example/stray:1"}]},
            },
        },
    }


async def ready(shop: Shop, deployment: str) -> None:
    """Wait until a Deployment has all it wants."""
    await reads(
        lambda: shop.get("Deployment", deployment),
        lambda found: found.get("status", {}).get("availableReplicas", 0) == found["spec"]["replicas"],
        "all boxes of a Deployment",
    )


async def scale_is_never_blocked(lab: Lab) -> None:
    """An autoscaler may ask for any number, whatever the strategy says: no rule relates `replicas` to anything."""
    shop = await lab.shop("scale")
    tight = manifests.strategy(rolling_fields={"minAvailable": 12, "batch": 3, "maxSurge": 0})
    await shop.installed(manifests.rollout(replicas=2, strategy=tight))
    for replicas in (0, 1, 2, 5, 13, 1000, 2):
        path = shop.path("Rollout", shop.name, "scale")
        answer = await shop.call("PATCH", path, {"spec": {"replicas": replicas}}, dryRun="All")
        assert answer["spec"].get("replicas", 0) == replicas


async def scale_needs_replicas(lab: Lab) -> None:
    """`/scale` fails on an object without `replicas`, which is why the operator fills it in."""
    shop = await lab.shop("unscaled")
    await shop.create(manifests.rollout(replicas=None) | {"metadata": {"name": shop.name}})
    live = await shop.until(lambda now: now.spec.get("replicas") is not None, "replicas filled in")
    assert live.spec["replicas"] == 1
    path = shop.path("Rollout", shop.name, "scale")
    assert (await shop.call("GET", path))["spec"]["replicas"] == 1

    # One that is being deleted is left alone by the operator, so nobody fills it in.
    going = manifests.rollout(replicas=0, name="going")
    going["metadata"]["finalizers"] = ["ombak.test/kept"]
    await shop.create(going)
    await shop.call("DELETE", shop.path("Rollout", "going"))
    await shop.patch("Rollout", "going", {"spec": {"replicas": None}})
    with pytest.raises(ApiStatusError, match=r"spec\.replicas.* does not exist"):
        await shop.call("GET", shop.path("Rollout", "going", "scale"))
    await shop.patch("Rollout", "going", {"metadata": {"finalizers": None}})


async def applying_leaves_what_others_wrote(lab: Lab) -> None:
    """Server-side apply keeps fields of strangers in a template; our whole writes do not."""
    shop = await lab.shop("strangers")
    applied = yaml.safe_dump(stray("another", replicas=1))
    await shop.kubectl("apply", "--server-side", "--field-manager=us", "-f", "-", text=applied)
    await shop.patch("Deployment", "stray", {"spec": {"template": {"spec": {"priority": None, "hostname": "theirs"}}}})
    await shop.kubectl("apply", "--server-side", "--field-manager=us", "-f", "-", text=applied)
    kept = await shop.get("Deployment", "stray")
    assert kept["spec"]["template"]["spec"]["hostname"] == "theirs"

    await shop.installed(manifests.rollout(replicas=3))
    box = f"{shop.name}-onebox"
    await shop.patch("Deployment", box, {"spec": {"template": {"spec": {"hostname": "theirs"}}}})
    await reads(
        lambda: shop.get("Deployment", box),
        lambda found: "hostname" not in found["spec"]["template"]["spec"],
        "a template without the stranger's field",
    )


async def a_zone_in_a_selector_orphans_pods(lab: Lab) -> None:
    """The node's zone is written over a pod's own zone label, so a selector with that label loses its pods.

    A quota stops the ReplicaSet, which makes pods without end: none of them ever counts.
    """
    shop = await lab.shop("zones")
    limit, label = 4, "topology.kubernetes.io/zone"
    quota: dict[str, Any] = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": str(limit)}}}
    path = f"/api/v1/namespaces/{shop.namespace}/resourcequotas"
    await shop.call("POST", path, {"apiVersion": "v1", "kind": "ResourceQuota"} | quota)
    await reads(
        lambda: shop.call("GET", f"{path}/few"), lambda found: "hard" in found.get("status", {}), "a quota that counts"
    )
    labels = {"app": "zoned", label: "nowhere"}
    template = {"metadata": {"labels": labels}, "spec": stray("zoned", 1)["spec"]["template"]["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    meta = {"name": "zoned", "labels": {"app": "zoned"}}
    await shop.create({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": spec})
    pods = await reads(lambda: shop.items("Pod"), lambda found: len(found) >= limit, "pods without end")
    assert any(not pod["metadata"].get("ownerReferences") for pod in pods)
    await shop.call("DELETE", shop.path("ReplicaSet", "zoned"))


async def zones_of_ours_keep_their_pods(lab: Lab) -> None:
    """Our selectors hold labels of our own only, so that whatever a node writes on a pod changes nothing."""
    shop = await lab.shop("zoned")
    await shop.installed(manifests.rollout(replicas=3, zones=["a", "b", "c"]))
    for item in [*await shop.items("ReplicaSet", labelSelector="ombak.dev/rollout"), *await shop.items("Deployment")]:
        chosen = item["spec"]["selector"]["matchLabels"]
        assert all(key.startswith("ombak.dev/") or key == "pod-template-hash" for key in chosen)
    assert len(await uids(shop)) == 3


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        deleting_takes_the_boxes,
        orphaning_leaves_the_boxes,
        a_stray_deployment_adopts_nothing,
        a_replica_set_with_the_users_labels_is_adopted,
        scale_is_never_blocked,
        scale_needs_replicas,
        applying_leaves_what_others_wrote,
        a_zone_in_a_selector_orphans_pods,
        zones_of_ours_keep_their_pods,
    )
}


async def install(lab: Lab, name: str) -> Shop:
    """A stable Rollout of three boxes."""
    shop = await lab.shop(name)
    await shop.installed(manifests.rollout(replicas=3))
    return shop


async def said(process: Any, words: str, heard: int) -> None:
    """Wait until an operator has logged something after so many lines."""
    await eventually(lambda: any(words in str(line) for line in process.lines()[heard:]), f"{words!r} in the log")
