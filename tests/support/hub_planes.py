"""A hub and three regions, all real, with the shipped rights and an operator in each; and Pipelines that travel there.

A region can be *held*: its nodes take no new pods, so that whatever is to start there begins and goes no further until
it is let go. So a test decides what is where, however slow the machine is.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ombak.core.conveyor import content
from ombak.core.identity import artifact_id
from ombak.sandbox import Process, Region, start_regions
from ombak.sandbox.client import ApiStatusError
from support.region_planes import USER, kubeconfig_of, token_of, write_region, write_secret

ROOT = Path(__file__).parents[2]
OMBAK = "/apis/ombak.dev/v1alpha1"
PATIENCE_S = 300.0
"""A change travels through six stages and waits for evidence at each step: two minutes on a machine of its own."""
NAMESPACES = ("shop", "shop-alpha", "shop-beta", "shop-gamma")
TAGS = ("v1", "v2", "v3", "v4", "bad")
BAKE = {"bake": {"for": "1s"}}
Json = dict[str, Any]
Place = tuple[str, str]
"""A region and a namespace there."""


def stage(name: str, *regions: str, **more: Any) -> Json:
    """A stage of these regions, with a bake of a second."""
    made = {"name": name, "phase": "Prod", "regions": {"names": list(regions)}, **BAKE, **more}
    return {k: v for k, v in made.items() if v is not None}


def template(name: str, version: str) -> Json:
    """The boxes of a version; they are ready at once. Of what `bad` is asked a third fails, where there is traffic."""
    annotations = {"sandbox.ombak.dev/ready-after": "200ms"}
    if version == "bad":
        annotations["sandbox.ombak.dev/error-rate"] = "0.3"
    return {
        "metadata": {"labels": {"app": name}, "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": f"registry.example/{name}:{version}"}]},
    }


class World:
    """The control planes, an operator in each, and what tests do to them."""

    def __init__(self, planes: Sequence[Region], logs: Path) -> None:
        self.hub, *self.regions = planes
        self.by_name = {plane.name: plane for plane in planes}
        self.logs = logs
        self.hub_process = self.operator(self.hub, "hub", "--hub")
        # The first region is the hub of somebody else too.
        self.other = self.regions[0]
        others = [self.operator(r, r.name, *(["--hub"] if r is self.other else [])) for r in self.regions]
        self.processes = [self.hub_process, *others]

    def operator(self, plane: Region, name: str, *options: str, kubeconfig: Path | None = None) -> Process:
        """An operator of a cluster, not running yet."""
        command = [sys.executable, "-m", "ombak", "run", "--prometheus", plane.prometheus_url, *options]
        command += ["--kubeconfig", str(kubeconfig or plane.kubeconfig_for(USER))]
        return Process(f"operator-{name}", command, self.logs / f"{name}.log")

    @contextmanager
    def line(self, name: str, stages: list[Json], *, hub: Region | None = None, **spec: Any) -> Iterator[Line]:
        """A Pipeline for one test; afterwards it is gone everywhere, and nothing is held."""
        line = Line(self, name, stages, hub or self.hub, spec)
        try:
            yield line
        finally:
            for region in self.regions:
                self.let_go(region.name)
            line.delete()
            for region, namespace in line.places:
                self.by_name[region].kubectl("delete", "omr", name, "-n", namespace, "--ignore-not-found")

    def hold(self, *names: str) -> None:
        """Let nothing new start in these regions."""
        for name in names:
            self._take_pods(name, takes=False)

    def let_go(self, *names: str) -> None:
        """Let everything start there again."""
        for name in names:
            self._take_pods(name, takes=True)

    def _take_pods(self, name: str, *, takes: bool) -> None:
        client = self.by_name[name].plane.client
        for node in client.call("GET", "/api/v1/nodes")["items"]:
            client.call("PATCH", f"/api/v1/nodes/{node['metadata']['name']}", {"spec": {"unschedulable": not takes}})

    async def until(self, what: str, claim: Callable[[], bool], lines: Sequence[Line] = ()) -> None:
        """Wait until a claim holds; fail with what the Pipelines and the hub say. No answer in time tells nothing."""
        ends = time.monotonic() + PATIENCE_S
        while not await asyncio.to_thread(_holds, claim):
            if time.monotonic() > ends:
                told = [f"{line.name}: {line.everywhere()}\n{json.dumps(line.status(), indent=1)}" for line in lines]
                log = self.hub_process.log.read_text()[-6000:]
                pytest.fail("\n".join((f"never: {what}", *told, log)))
            await asyncio.sleep(0.2)


def _holds(claim: Callable[[], bool]) -> bool:
    try:
        return claim()
    except TimeoutError:
        return False


class Line:
    """One Pipeline, and what became of it."""

    def __init__(self, world: World, name: str, stages: list[Json], hub: Region, spec: Json) -> None:
        self.world, self.name, self.hub = world, name, hub
        self._watched = {"unwatched": "what it proves needs no alarm"}
        if "watched" in spec:
            self._watched = {"alarms": {"revert": spec.pop("watched")}}
        self._spec = {"stages": stages, "revertScope": "Everywhere", **spec}
        self.places: tuple[Place, ...] = tuple(
            (region, made.get("namespace", "shop"))
            for made in stages
            for region in made["regions"].get("names", ("region-2", "region-3", "region-4"))
        )
        objects = spec.get("objects", ())
        self._tags = {content.content_id(template(name, tag), objects): tag for tag in TAGS}
        self._names = {tag: version for version, tag in self._tags.items()}

    # --- people ------------------------------------------------------------------------------------

    def push(self, tag: str, **more: Any) -> None:
        """Ask for a version."""
        rollout = {
            "replicas": 2,
            "selector": {"matchLabels": {"app": self.name}},
            "template": template(self.name, tag),
            "strategy": {"oneBox": BAKE, "rolling": BAKE},
            **self._watched,
        }
        annotations = {"ombak.dev/author": "ada", "ombak.dev/commit": tag}
        body = {
            "apiVersion": "ombak.dev/v1alpha1",
            "kind": "Pipeline",
            "metadata": {"name": self.name, "namespace": "shop", "annotations": annotations},
            "spec": {"rollout": {"spec": rollout}, **self._spec, **more},
        }
        self.hub.kubectl("apply", "-f", "-", input=json.dumps(body))

    def delete(self) -> None:
        """Delete the Pipeline, and nothing else."""
        self.hub.kubectl("delete", "ompl", self.name, "-n", "shop", "--ignore-not-found")

    def abort_in(self, place: Place, tag: str) -> None:
        """Take a version back in one region, by the hand of somebody there."""
        region, namespace = place
        told = f"ombak.dev/abort={self.id_in_region(tag)}"
        self.world.by_name[region].kubectl("annotate", "omr", self.name, "-n", namespace, "--overwrite", told)

    # --- what is -----------------------------------------------------------------------------------

    def id_in_region(self, tag: str) -> str:
        """The id of a version as regions call it."""
        return artifact_id(template(self.name, tag))

    def status(self) -> Json:
        """The Pipeline's status."""
        try:
            found = self.hub.plane.client.call("GET", f"{OMBAK}/namespaces/shop/pipelines/{self.name}")
        except ApiStatusError:
            return {}
        return dict(found.get("status") or {})

    def reason(self) -> str:
        """What the newest change does, in one word."""
        return str(self.status().get("reason", ""))

    def waits(self) -> list[Json]:
        """What it waits for."""
        return list(self.status().get("waitingFor") or ())

    def inside(self) -> dict[str, str]:
        """The version in the slot of each stage."""
        found = [t for t in self.status().get("travelling") or () if t.get("state") == "Inside"]
        return {t["stage"]: self._tags[t["artifact"]] for t in found}

    def rejected(self, tag: str) -> Json:
        """The verdict of the hub on a version; empty if there is none."""
        path = f"{OMBAK}/namespaces/shop/artifacts/{content.object_name(self.name, self._names[tag])}"
        found = self.hub.plane.client.call("GET", path)
        return dict((found.get("status") or {}).get("rejected") or {})

    def rollout(self, place: Place) -> Json:
        """The Rollout of a place; empty if there is none."""
        region, namespace = place
        try:
            client = self.world.by_name[region].plane.client
            return client.call("GET", f"{OMBAK}/namespaces/{namespace}/rollouts/{self.name}")
        except ApiStatusError as error:
            if error.status != 404:
                raise
            return {}

    def runs(self, place: Place) -> str:
        """The version that is stable in a place and asked for there; empty if that is not so, or it does not answer."""
        try:
            found = self.rollout(place)
        except OSError:
            return ""
        status = found.get("status") or {}
        is_told = found and status.get("observedGeneration") == found["metadata"]["generation"]
        if not is_told or status.get("phase") != "Stable":
            return ""
        return str(found["spec"]["template"]["spec"]["containers"][0]["image"]).rpartition(":")[2]

    def everywhere(self) -> list[str]:
        """What is stable in each place."""
        return [self.runs(place) for place in self.places]

    def has_begun(self, place: Place, tag: str) -> bool:
        """Some box of a version was begun in a place."""
        status = self.rollout(place).get("status") or {}
        is_current = (status.get("artifacts") or {}).get("current") == self.id_in_region(tag)
        return is_current and status.get("phase") in ("Installing", "OneBox", "OneBoxBake", "Rolling", "Bake")

    def entered(self) -> list[str]:
        """Which stages changes entered, in order, as the Events tell: `v2 alpha`."""
        found = self.hub.plane.client.call("GET", "/api/v1/namespaces/shop/events")["items"]
        own = [e for e in found if e["reason"] == "StageEntered" and e["involvedObject"]["name"] == self.name]
        told = [e["message"].rstrip(".").split() for e in sorted(own, key=lambda e: str(e["metadata"]["name"]))]
        return [f"{self._tags[words[0]]} {words[-1]}" for words in told]

    # --- waiting -----------------------------------------------------------------------------------

    async def until(self, what: str, claim: Callable[[], bool]) -> None:
        """Wait until a claim holds."""
        await self.world.until(f"{self.name}: {what}", claim, [self])

    async def delivered(self, tag: str) -> None:
        """Wait until a version is stable in every place, and the Pipeline says so."""
        await self.until(f"{tag} delivered", lambda: self.reason() == "Delivered" and set(self.everywhere()) == {tag})

    async def begun(self, place: Place, tag: str) -> None:
        """Wait until a version has begun in a place."""
        await self.until(f"{tag} begun in {place}", lambda: self.has_begun(place, tag))


def enter(hub: Region, region: Region, **spec: Any) -> None:
    """Register a region at a hub."""
    write_secret(hub, region.name, kubeconfig_of(region, token_of(region)))
    write_region(hub, region.name, **spec)


@contextmanager
def running(logs: Path, *, traffic: bool = False) -> Iterator[World]:
    """Everything as a user installs it; with `traffic` there are requests, and a Prometheus that sees them."""
    with ExitStack() as stack:
        planes = stack.enter_context(start_regions(4, zones=("a",), nodes=1, traffic=traffic))
        hub, *regions = planes
        for plane in planes:
            plane.kubectl("apply", "-f", str(ROOT / "crds"))
            plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "-l", "!none")
            plane.grant(USER, ROOT / "charts" / "rbac.yaml")
            for namespace in NAMESPACES:
                plane.kubectl("create", "namespace", namespace)
        for plane in (hub, regions[0]):
            plane.grant(USER, ROOT / "charts" / "hub-rbac.yaml")
        for region, tier in zip(regions, ("small", "large", "large"), strict=True):
            region.kubectl("apply", "-f", str(ROOT / "charts" / "region-rbac.yaml"))
            enter(hub, region, cloud="aws", tier=tier)
        made = World(planes, logs)
        for process in made.processes:
            process.start()
            stack.callback(process.stop, timedelta(seconds=10))
        yield made
