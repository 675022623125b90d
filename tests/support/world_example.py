"""`examples/world` on real control planes, reduced: five of its stages, a Region or two each, and seconds for hours."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import yaml

from ombak.core.conveyor import content
from support.hub_planes import BAKE, OMBAK, ROOT, Json, World
from support.region_planes import USER, kubeconfig_of, token_of, write_secret

STAGES = ("alpha", "beta", "gamma", "wave-1", "wave-2")
CLUSTERS = {
    "dev-1": "region-2",
    "dev-2": "region-3",
    "gamma-eu": "region-2",
    "gamma-id": "",
    "za-1": "region-3",
    "id-1": "region-4",
}
"""The cluster that each Region of the example is here; empty for that of the hub itself."""
NAMESPACES = {"dev-1": "shop-alpha", "dev-2": "shop-beta"}
ALWAYS = [{"days": ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], "from": "00:00", "to": "24:00"}]


def example(name: str) -> list[Json]:
    """The objects of a file of the example."""
    return list(yaml.safe_load_all((ROOT / "examples" / "world" / f"{name}.yaml").read_text()))


def enter_the_regions(world: World) -> None:
    """Enter the Regions, by their own labels and `allow`, and open its Windows: nobody knows when this runs."""
    world.hub.grant(USER, ROOT / "charts" / "region-rbac.yaml")
    for manifest in example("regions"):
        name, spec = manifest["metadata"]["name"], manifest["spec"]
        if name in CLUSTERS:
            manifest["spec"] = {k: v for k, v in spec.items() if k != "floors"} | {"zones": ["a"]}
            manifest["spec"]["access"] = _access(world, spec["access"], CLUSTERS[name])
            world.hub.kubectl("apply", "-f", "-", input=json.dumps(manifest))
    for window in example("windows"):
        window["spec"] = {"timeZone": window["spec"]["timeZone"], "owner": window["spec"]["owner"], "open": ALWAYS}
        world.hub.kubectl("apply", "-f", "-", input=json.dumps(window))


def _access(world: World, written: Json, cluster: str) -> Json:
    if not cluster:
        return {"inCluster": {}}
    region, secret = world.by_name[cluster], written["kubeconfig"]["secretRef"]["name"]
    write_secret(world.hub, secret, kubeconfig_of(region, token_of(region)))
    return written


class Example:
    """Its front end, and what became of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        base, self._own = _in_seconds(example("storefront")[0]), _in_seconds(example("front-end")[0])
        world.hub.kubectl("apply", "-f", "-", input=json.dumps(base))
        self.places = tuple((r, NAMESPACES.get(r, "shop")) for r in CLUSTERS)
        self._tags: dict[str, str] = {}

    def push(self, tag: str, **annotations: str) -> None:
        """Ask for a version, as whoever edits the file would."""
        made = self._own
        template = made["spec"]["rollout"]["spec"]["template"]
        template["metadata"]["annotations"] = {"sandbox.ombak.dev/requests-per-second": "200", **annotations}
        template["spec"]["containers"][0]["image"] = f"registry.example/front-end:{tag}"
        self._tags[content.content_id(template, made["spec"]["objects"])] = tag
        self.world.hub.kubectl("apply", "-f", "-", input=json.dumps(made))

    def status(self) -> Json:
        """What the Pipeline says."""
        path = f"{OMBAK}/namespaces/shop/pipelines/front-end"
        return dict(self.world.hub.plane.client.call("GET", path).get("status") or {})

    def rollout(self, region: str, namespace: str) -> Json:
        """The Rollout in a Region."""
        plane = self.world.by_name.get(CLUSTERS[region], self.world.hub)
        return plane.plane.client.call("GET", f"{OMBAK}/namespaces/{namespace}/rollouts/front-end")

    def service(self, region: str, namespace: str) -> str:
        """The Service that travels along, as kubectl calls it."""
        plane = self.world.by_name.get(CLUSTERS[region], self.world.hub)
        return plane.kubectl("get", "service", "front-end", "-n", namespace, "-o", "name").strip()

    def runs(self, region: str, namespace: str) -> str:
        """The version that is stable in a Region and asked for there, empty if there is none."""
        found = self.rollout(region, namespace)
        if (found.get("status") or {}).get("phase") != "Stable":
            return ""
        return str(found["spec"]["template"]["spec"]["containers"][0]["image"]).rpartition(":")[2]

    def entered(self, tag: str) -> list[str]:
        """The stages that a version entered, in order, as the Events tell."""
        found = self.world.hub.plane.client.call("GET", "/api/v1/namespaces/shop/events")["items"]
        own = [e for e in found if e["reason"] == "StageEntered" and e["involvedObject"]["name"] == "front-end"]
        told = [e["message"].rstrip(".").split() for e in sorted(own, key=lambda e: str(e["metadata"]["name"]))]
        return [words[-1] for words in told if self._tags[words[0]] == tag]

    async def until(self, what: str, claim: Callable[[], bool]) -> None:
        """Wait until a claim holds; what the hub did meanwhile is in the failure."""
        await self.world.until(f"the example: {what}", claim)


def _in_seconds(pipeline: Json) -> Json:
    """Its first stages only, and short times; all else as it is written."""
    spec: dict[str, Any] = pipeline["spec"]
    spec["stages"] = [stage for stage in spec["stages"] if stage["name"] in STAGES]
    if "rollout" not in spec:
        for stage in spec["stages"]:
            stage["bake"] = BAKE["bake"]
        return pipeline
    rollout = spec["rollout"]["spec"]
    rollout["strategy"] = {"oneBox": BAKE, "rolling": BAKE}
    for signal in rollout["signals"]:
        signal["period"] = "1s"
    return pipeline
