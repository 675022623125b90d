"""A hub and three regions, all real, with the shipped rights and an operator in each: changes travel hands-off."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ombak.core.identity import artifact_id
from ombak.sandbox import KubectlError, Process, Region, start_regions
from support.region_planes import USER, kubeconfig_of, token_of, write_region, write_secret

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
NAME = "front-end"
PATIENCE_S = 180.0
PLACES = (
    ("region-2", "shop-alpha"),
    ("region-3", "shop-beta"),
    ("region-2", "shop"),
    ("region-3", "shop"),
    ("region-4", "shop"),
)
"""Where it runs: alpha, beta, the first wave, and the second wave of two regions."""


def template(version: str) -> dict[str, Any]:
    """The boxes of a version; they are ready at once."""
    return {
        "metadata": {"labels": {"app": NAME}, "annotations": {"sandbox.ombak.dev/ready-after": "200ms"}},
        "spec": {"containers": [{"name": "app", "image": f"registry.example/{NAME}:{version}"}]},
    }


def pipeline(version: str, **more: Any) -> dict[str, Any]:
    """Alpha, beta and two waves over three regions, with bakes of a second."""
    bake = {"bake": {"for": "1s"}}
    rollout = {
        "replicas": 2,
        "selector": {"matchLabels": {"app": NAME}},
        "template": template(version),
        "strategy": {"oneBox": bake, "rolling": bake},
        "unwatched": "what it proves needs no alarm",
    }
    stages = [
        {"name": "alpha", "phase": "PreProd", "regions": {"names": ["region-2"]}, "namespace": "shop-alpha", **bake},
        {"name": "beta", "phase": "PreProd", "regions": {"names": ["region-3"]}, "namespace": "shop-beta", **bake},
        {"name": "wave-1", "phase": "Prod", "regions": {"matchLabels": {"cloud": "aws", "tier": "small"}}, **bake},
        {"name": "wave-2", "phase": "Prod", "regions": {"names": ["region-3", "region-4"]}, **bake},
    ]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/instance": "argo"}},
        "spec": {"selector": {"app": NAME}, "ports": [{"port": 80}]},
    }
    spec = {"rollout": {"spec": rollout}, "objects": [service], "stages": stages, "revertScope": "Everywhere", **more}
    annotations = {"ombak.dev/author": "ada", "ombak.dev/commit": version}
    metadata = {"name": NAME, "namespace": "shop", "annotations": annotations}
    return {"apiVersion": "ombak.dev/v1alpha1", "kind": "Pipeline", "metadata": metadata, "spec": spec}


class World:
    """The control planes, an operator in each, and what a test does to them."""

    def __init__(self, planes: list[Region], logs: Path) -> None:
        self.hub, *self.regions = planes
        self.by_name = {plane.name: plane for plane in planes}
        self.logs = logs
        self.hub_process = self._operator(self.hub, "--hub")
        self.processes = [self.hub_process, *(self._operator(region) for region in self.regions)]

    def _operator(self, plane: Region, *options: str) -> Process:
        command = [sys.executable, "-m", "ombak", "run", "--prometheus", plane.prometheus_url, *options]
        command += ["--kubeconfig", str(plane.kubeconfig_for(USER))]
        return Process(f"operator-{plane.name}", command, self.logs / f"{plane.name}.log")

    def push(self, version: str, **more: Any) -> None:
        """Ask for a version."""
        self.hub.kubectl("apply", "-f", "-", input=json.dumps(pipeline(version, **more)))

    def status(self) -> dict[str, Any]:
        """The Pipeline's status."""
        found = json.loads(self.hub.kubectl("get", "ompl", NAME, "-n", "shop", "-o", "json"))
        return dict(found.get("status") or {})

    def runs(self, region: str, namespace: str) -> str:
        """The version that is stable in a place, by its image tag; empty where there is none."""
        try:
            plane = self.by_name[region]
            found = json.loads(plane.kubectl("get", "omr", NAME, "-n", namespace, "-o", "json"))
        except KubectlError:
            return ""
        status = found.get("status") or {}
        is_told = status.get("observedGeneration") == found["metadata"]["generation"]
        is_stable = status.get("phase") == "Stable" and is_told
        return found["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2] if is_stable else ""

    def everywhere(self) -> list[str]:
        """What is stable in each place."""
        return [self.runs(*place) for place in PLACES]

    def entered(self) -> list[str]:
        """Which version entered which stage, in order, as the Events tell."""
        events = json.loads(self.hub.kubectl("get", "events", "-n", "shop", "-o", "json"))["items"]
        told = [e for e in events if e["reason"] == "StageEntered"]
        return [e["message"] for e in sorted(told, key=lambda e: e["metadata"]["name"])]

    async def until(self, what: str, claim: Callable[[], bool]) -> None:
        """Wait until a claim holds; fail with what the Pipeline says."""
        ends = time.monotonic() + PATIENCE_S
        while not await asyncio.to_thread(claim):
            if time.monotonic() > ends:
                pytest.fail(f"never: {what}\n{json.dumps(self.status(), indent=1)}\n{self.everywhere()}")
            await asyncio.sleep(0.3)

    async def delivered(self, version: str) -> None:
        """Wait until a version is stable in every place, and the Pipeline says so."""
        await self.until(f"{version} everywhere", lambda: self.status().get("reason") == "Delivered")
        assert await asyncio.to_thread(self.everywhere) == [version] * len(PLACES)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everything as a user installs it."""
    with ExitStack() as stack:
        planes = stack.enter_context(start_regions(4, zones=("a",), nodes=1, traffic=False))
        hub, *regions = planes
        for plane in planes:
            plane.kubectl("apply", "-f", str(ROOT / "crds"))
            plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "-l", "!none")
            plane.grant(USER, ROOT / "charts" / "rbac.yaml")
            for namespace in ("shop", "shop-alpha", "shop-beta"):
                plane.kubectl("create", "namespace", namespace)
        hub.kubectl("create", "namespace", "ombak-regions")
        hub.grant(USER, ROOT / "charts" / "hub-rbac.yaml")
        for region, tier in zip(regions, ("small", "large", "large"), strict=True):
            region.kubectl("apply", "-f", str(ROOT / "charts" / "region-rbac.yaml"))
            write_secret(hub, region.name, kubeconfig_of(region, token_of(region)))
            write_region(hub, region.name, cloud="aws", tier=tier)
        made = World(planes, tmp_path_factory.mktemp("operators"))
        for process in made.processes:
            process.start()
            stack.callback(process.stop, timedelta(seconds=10))
        yield made


async def test_changes_travel_hands_off_one_behind_the_other(world: World) -> None:
    """Alpha, beta and two waves, in this order; the second follows while the first is on its way."""
    world.push("v1")
    await world.delivered("v1")
    world.push("v2")
    await world.until("v2 in beta", lambda: world.status().get("stage") == "beta")
    world.push("v3")
    await world.until("two on their way", lambda: len(world.status().get("travelling") or ()) >= 2)
    await world.delivered("v3")

    first = [told.partition(" enters stage ")[2] for told in world.entered()][:4]
    assert first == ["alpha.", "beta.", "wave-1.", "wave-2."]
    one = json.loads(world.by_name["region-4"].kubectl("get", "omr,service", NAME, "-n", "shop", "-o", "json"))
    rollout, service = one["items"]
    assert rollout["metadata"]["annotations"]["ombak.dev/author"] == "ada"
    assert rollout["spec"]["replicas"] == 2
    assert "app.kubernetes.io/instance" not in service["metadata"]["labels"]
    for process in world.processes:
        process.check()


async def test_a_settled_hub_writes_nothing(world: World) -> None:
    """Delivered is delivered: no status, no region is written while nothing happens."""
    await world.delivered("v3")
    await asyncio.sleep(3)

    def versions() -> list[str]:
        found = [
            ("hub", world.hub.kubectl("get", "ompl", NAME, "-n", "shop", "-o", "jsonpath={.metadata.resourceVersion}"))
        ]
        for region, namespace in PLACES:
            path = "jsonpath={.metadata.generation} {.metadata.annotations}"
            found.append((region, world.by_name[region].kubectl("get", "omr", NAME, "-n", namespace, "-o", path)))
        return [f"{where}: {what}" for where, what in found]

    before = await asyncio.to_thread(versions)
    await asyncio.sleep(5)

    assert await asyncio.to_thread(versions) == before


async def test_a_bad_one_is_stopped_in_its_first_wave_and_gone_everywhere(world: World) -> None:
    """Taken back in one region, it goes no further, and is gone inside revertScope, here in every stage."""
    world.push("bad")
    bad = artifact_id(template("bad"))

    def is_in_the_wave() -> bool:
        found = json.loads(world.by_name["region-2"].kubectl("get", "omr", NAME, "-n", "shop", "-o", "json"))
        return found.get("status", {}).get("artifacts", {}).get("current") == bad

    await world.until("bad in wave-1", is_in_the_wave)
    world.by_name["region-2"].kubectl("annotate", "omr", NAME, "-n", "shop", f"ombak.dev/abort={bad}")
    await world.until("v3 everywhere again", lambda: world.everywhere() == ["v3"] * len(PLACES))
    await world.until("the reason", lambda: world.status().get("reason") == "Rejected")

    status = world.status()
    wait = next(w for w in status["waitingFor"] if "taken back" in w["what"])
    assert "region-2" in wait["what"]
    assert "ombak.dev/retry=" in wait["command"]
    assert not any("bad" in told and "wave-2" in told for told in world.entered())
    for region in ("region-3", "region-4"):
        artifacts = json.loads(world.by_name[region].kubectl("get", "artifacts", "-n", "shop", "-o", "json"))["items"]
        assert bad not in [a["spec"]["id"] for a in artifacts]


async def test_a_hub_that_is_killed_again_and_again_comes_to_the_same_end(world: World) -> None:
    """SIGKILL in every stage: what was written goes on by itself, and nothing is delivered twice."""
    world.push("v4")
    for stage in ("alpha", "beta", "wave-1", "wave-2"):
        await world.until(f"v4 in {stage}", lambda stage=stage: stage in (world.status().get("stage"), "wave-2"))  # type: ignore[misc]
        await asyncio.to_thread(world.hub_process.kill)
        await asyncio.to_thread(world.hub_process.start)
    await world.delivered("v4")

    for region, namespace in PLACES:
        path = "jsonpath={.items[*].spec.sequence}"
        known = world.by_name[region].kubectl("get", "artifacts", "-n", namespace, "-o", path).split()
        assert len(known) == len(set(known))


async def test_a_region_that_is_away_in_the_middle_of_a_wave(world: World) -> None:
    """The others go on, the wave waits with a reason and a command, and ends when the region is back."""
    away = world.by_name["region-4"]
    world.push("v5")
    await world.until("v5 in wave-2", lambda: world.status().get("stage") == "wave-2")
    await asyncio.to_thread(away.plane.kill_apiserver)
    await world.until("v5 in region-3", lambda: world.runs("region-3", "shop") == "v5")
    await world.until(
        "the wait is told", lambda: any("cannot be reached" in w["what"] for w in world.status().get("waitingFor", ()))
    )
    wait = next(w for w in world.status()["waitingFor"] if "cannot be reached" in w["what"])
    assert (wait["stage"], wait["region"], wait["command"]) == ("wave-2", "region-4", "kubectl describe omreg region-4")
    assert next(c for c in world.status()["conditions"] if c["type"] == "Ready")["status"] == "Unknown"

    await asyncio.to_thread(away.plane.restart_apiserver)
    await world.delivered("v5")
