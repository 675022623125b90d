"""One hub and three regions for many scenarios side by side, each in namespaces of its own.

The hub's own cluster is the first region. All of them ask one Prometheus, the hub's, each cut down to its own series by
the matchers of its Region. The second region is the hub of somebody else, too: a scenario may let that one die. The
third one is taken away in the middle of it all.
"""

from __future__ import annotations

import asyncio
import http.server
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ombak.sandbox import Process, Region, start_regions
from ombak.sandbox.client import ApiStatusError
from support import hasty_hub, skewed_hub
from support.region_planes import USER, kubeconfig_of, token_of, write_region, write_secret

ROOT = Path(__file__).parents[2]
API = "ombak.dev/v1alpha1"
PATIENCE_S = 200.0
AWAY = timedelta(minutes=2)
BAKE = {"bake": {"for": "1s"}}
HOUR = {"bake": {"for": "1h"}}
NAMESPACES = (
    *("fix", "fix-alpha", "clouds", "clouds-alpha", "clouds-rest", "conf", "conf-alpha"),
    *("scaled", "expires", "scoped", "ends", "killed", "killed-alpha"),
)
PEOPLE = ("alice", "bob")
Json = dict[str, Any]
Place = tuple[str, str]
"""A region and a namespace there."""


class Exporter:
    """What the one Prometheus scrapes of all regions: `shop_errors`, with the label of the region."""

    def __init__(self) -> None:
        self.errors: dict[str, float] = {}
        told = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                lines = [f'shop_errors{{region="{name}"}} {value}\n' for name, value in dict(told.errors).items()]
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                self.wfile.write("".join(lines).encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
                """Says nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="exporter", daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True, slots=True)
class Second:
    """The hub of somebody else, with the regions that it follows; see `hub_tally.proxied`."""

    hub: Region
    regions: tuple[Region, ...]


class Shared:
    """The control planes, an operator in each, and what scenarios tell each other."""

    def __init__(self, planes: Sequence[Region], logs: Path, exporter: Exporter) -> None:
        self.hub, self.second, self.third = planes
        self.exporter = exporter
        self.logs = logs
        others = {"floored": self.second, "expiring": self.second, "spare": self.second}
        self.planes = {plane.name: plane for plane in planes} | others
        """By the name of a Region: some clusters have several."""
        self.is_away, self.is_coming, self.is_back = asyncio.Event(), asyncio.Event(), asyncio.Event()
        """The third region's API server is away, is started again, or answers."""
        self.busy_there: set[str] = set()
        """Scenarios that want something in the third region before it goes."""
        self.missing_it: set[str] = set()
        """Scenarios that have not seen yet what comes of its absence: before that it is not back."""
        self.hub_process = self.operator("hub", self.hub, "--hub", "--region", "region-1", is_hasty=True)
        own = [self.operator(plane.name, plane, "--region", plane.name) for plane in (self.second, self.third)]
        self.processes = [self.hub_process, *own]

    def operator(
        self,
        name: str,
        plane: Region,
        *options: str,
        kubeconfig: Path | None = None,
        is_hasty: bool = False,
        wrong_by: Path | None = None,
    ) -> Process:
        """An operator of a cluster, not running yet; its clock is `wrong_by` the seconds in a file."""
        program = [hasty_hub.__file__] if is_hasty else ["-m", "ombak"]
        if wrong_by is not None:
            program = [skewed_hub.__file__, str(wrong_by)]
        access = ["--kubeconfig", str(kubeconfig or plane.kubeconfig_for(USER))]
        command = [sys.executable, *program, "run", *options, *access]
        return Process(f"operator-{name}", command, self.logs / f"{name}.log")

    async def take_away(self) -> None:
        """Let the third region's API server be away for AWAY or longer, once nobody is busy there any more."""
        while self.busy_there:  # noqa: ASYNC110 - scenarios take themselves out
            await asyncio.sleep(0.1)
        await asyncio.to_thread(self.third.plane.kill_apiserver)
        self.is_away.set()
        await asyncio.sleep(AWAY.total_seconds())
        while self.missing_it:  # noqa: ASYNC110 - scenarios take themselves out
            await asyncio.sleep(0.1)
        self.is_coming.set()
        await asyncio.to_thread(self.third.plane.restart_apiserver)
        self.is_back.set()

    def call(self, region: str, method: str, path: str, body: Json | None = None) -> Json:
        """One request to a region; empty where there is no such object. OSError while it does not answer."""
        try:
            return self.planes[region].plane.client.call(method, path, body)
        except ApiStatusError as error:
            if error.status == 404:
                return {}
            if error.status == 503:  # it has just begun
                raise ConnectionError(str(error)) from error
            raise

    def items(self, region: str, path: str) -> list[Json]:
        """A list of objects."""
        return list(self.call(region, "GET", path).get("items") or ())

    def apply(self, region: str, *manifests: Json) -> None:
        """Write objects as admin."""
        self.planes[region].kubectl("apply", "-f", "-", input="\n---\n".join(map(json.dumps, manifests)))

    def region(self, name: str) -> Json:
        """The condition `Reachable` of a Region, as the hub has it."""
        found = self.call("region-1", "GET", f"/apis/{API}/regions/{name}").get("status") or {}
        return next((dict(c) for c in found.get("conditions") or () if c["type"] == "Reachable"), {})

    async def until(self, what: str, claim: Callable[[], Any], told: Callable[[], Any] = lambda: "") -> None:
        """Wait until a claim holds; fail with what is told then. What does not answer meanwhile tells nothing."""
        ends = time.monotonic() + PATIENCE_S
        while not await asyncio.to_thread(_holds, claim):
            if time.monotonic() > ends:
                pytest.fail(f"never: {what}\n{json.dumps(await asyncio.to_thread(told), indent=1)}")
            await asyncio.sleep(0.3)


def _holds(claim: Callable[[], Any]) -> bool:
    try:
        return bool(claim())
    except OSError:
        return False


class Service:
    """One Pipeline of a scenario, and its Rollouts."""

    def __init__(self, world: Shared, namespace: str, name: str = "web", *, hub: str = "region-1") -> None:
        self.world, self.namespace, self.name, self.hub = world, namespace, name, hub

    # --- people ------------------------------------------------------------------------------------

    def template(self, version: str, *, env_from: str = "", ready: str = "200ms") -> Json:
        """The boxes of a version."""
        container: Json = {"name": "app", "image": f"registry.example/{self.name}:{version}"}
        if env_from:
            container["envFrom"] = [{"configMapRef": {"name": env_from}}]
        annotations = {"sandbox.ombak.dev/ready-after": ready}
        metadata = {"labels": {"app": self.name}, "annotations": annotations}
        return {"metadata": metadata, "spec": {"containers": [container]}}

    def push(self, version: str, *stages: Json, rollout: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Ask for a version; `rollout` are fields of its Rollout, None for those that it shall not have."""
        made = {
            "replicas": 3,
            "selector": {"matchLabels": {"app": self.name}},
            "template": self.template(version),
            "strategy": {"oneBox": BAKE, "rolling": BAKE},
            "unwatched": "what it proves needs no alarm",
            **(rollout or {}),
        }
        spec = {"rollout": {"spec": {k: v for k, v in made.items() if v is not None}}, "stages": list(stages), **more}
        self.world.apply(self.hub, self._pipeline(spec))

    def write(self, **spec: Any) -> None:
        """Write a Pipeline of this name as it is said."""
        self.world.apply(self.hub, self._pipeline(spec))

    def _pipeline(self, spec: Json) -> Json:
        metadata = {"name": self.name, "namespace": self.namespace}
        return {"apiVersion": API, "kind": "Pipeline", "metadata": metadata, "spec": spec}

    def abort(self, artifact: str) -> None:
        """Take a version back everywhere, on the hub."""
        told = f"ombak.dev/abort={artifact}"
        self.world.planes[self.hub].kubectl("annotate", "ompl", self.name, "-n", self.namespace, "--overwrite", told)

    def abort_in(self, place: Place) -> None:
        """Take back in a region what is on its way there, by the hand of somebody there."""
        told = f"ombak.dev/abort={self.rollout(place)['status']['artifacts']['current']}"
        plane = self.world.planes[place[0]]
        plane.kubectl("annotate", "omr", self.name, "-n", place[1], "--overwrite", told)

    # --- what is -----------------------------------------------------------------------------------

    def status(self) -> Json:
        """What the Pipeline says."""
        path = f"/apis/{API}/namespaces/{self.namespace}/pipelines/{self.name}"
        return dict(self.world.call(self.hub, "GET", path).get("status") or {})

    def reason(self) -> str:
        """What the newest change does, in one word."""
        return str(self.status().get("reason", ""))

    def waits(self) -> str:
        """Everything that it waits for, in one text."""
        return json.dumps(self.status().get("waitingFor", []))

    def ready(self) -> str:
        """Its condition `Ready`."""
        return next(str(c["status"]) for c in self.status()["conditions"] if c["type"] == "Ready")

    def artifacts(self) -> dict[str, Json]:
        """The hub's Artifacts by the tag of their image."""
        found = self.world.items(self.hub, f"/apis/{API}/namespaces/{self.namespace}/artifacts")
        own = (a for a in found if a["spec"].get("pipeline") == self.name)
        return {_tag(a["spec"]["template"]): a for a in own}

    def inside(self) -> dict[str, str]:
        """The version in the slot of each stage, by the tag of its image."""
        tags = {a["spec"]["id"]: tag for tag, a in self.artifacts().items()}
        found = [t for t in self.status().get("travelling") or () if t.get("state") == "Inside"]
        return {t["stage"]: tags[t["artifact"].partition("-")[0]] for t in found}

    def told(self, reason: str) -> list[str]:
        """What Events of this reason say on the hub."""
        found = self.world.items(self.hub, f"/api/v1/namespaces/{self.namespace}/events")
        return [e["message"] for e in found if e["reason"] == reason and e["involvedObject"]["name"] == self.name]

    def rollout(self, place: Place) -> Json:
        """The Rollout of a place; empty if there is none."""
        return self.world.call(place[0], "GET", f"/apis/{API}/namespaces/{place[1]}/rollouts/{self.name}")

    def phase(self, place: Place) -> str:
        """Its phase and the tag that it is asked for, such as `Bake v2`, if its status is about that."""
        found = self.rollout(place)
        status = found.get("status") or {}
        is_told = found and status.get("observedGeneration") == found["metadata"]["generation"]
        return f"{status.get('phase')} {_tag(found['spec']['template'])}" if is_told else ""

    def bakes(self, place: Place) -> tuple[str, ...]:
        """How long the Rollout of a place bakes: after the one box, a batch, and all."""
        strategy = self.rollout(place)["spec"]["strategy"]
        return tuple(str(part["bake"]["for"]) for part in (strategy["oneBox"], strategy["rolling"], strategy))

    # --- waiting -----------------------------------------------------------------------------------

    async def until(self, what: str, claim: Callable[[], Any]) -> None:
        """Wait until a claim holds."""
        await self.world.until(f"{self.namespace}/{self.name}: {what}", claim, self.status)

    async def are(self, phase: str, *places: Place) -> None:
        """Wait until each place is in this phase with this version, such as `Stable v2`."""
        await self.until(f"{phase} in {places}", lambda: {self.phase(place) for place in places} == {phase})

    async def delivered(self, version: str, *places: Place) -> None:
        """Wait until a version is stable in each place, and the Pipeline says that it is delivered."""
        await self.are(f"Stable {version}", *places)
        await self.until(f"{version} delivered", lambda: self.reason() == "Delivered")


def stage(name: str, *regions: str, **more: Any) -> Json:
    """A stage of these regions, with a bake of a second."""
    return {"name": name, "phase": "Prod", "regions": {"names": list(regions)}, **BAKE, **more}


def _tag(template: Mapping[str, Any]) -> str:
    return str(template["spec"]["containers"][0]["image"]).rpartition(":")[2]


@contextmanager
def shared_planes(logs: Path) -> Iterator[tuple[list[Region], Exporter]]:
    """Three control planes with all that a hub and its regions need, but no operators; the policy of Overrides too."""
    with ExitStack() as stack:
        planes = stack.enter_context(start_regions(3, zones=("a", "b"), nodes=2, traffic=False, users=(USER, *PEOPLE)))
        exporter = Exporter()
        stack.callback(exporter.close)
        planes[0].prometheus.add_target("shared", exporter.address)
        for plane in planes[1:]:
            plane.prometheus.kill()
        for plane in planes:
            _furnish(plane)
        for plane in planes[:2]:
            plane.grant(USER, ROOT / "charts" / "hub-rbac.yaml")
        planes[0].grant(USER, ROOT / "charts" / "region-rbac.yaml")  # its own region, entered as the hub itself
        _people(planes[0])
        _regions(planes)
        yield planes, exporter


def _furnish(plane: Region) -> None:
    charts = ROOT / "charts"
    plane.kubectl("apply", "-f", str(ROOT / "crds"), "-f", str(charts / "region-rbac.yaml"))
    plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "-l", "!none")
    made = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in NAMESPACES]
    plane.kubectl("create", "-f", "-", input="\n---\n".join(map(json.dumps, made)))
    plane.grant(USER, charts / "rbac.yaml")


def _people(hub: Region) -> None:
    """Alice may ask for an Override, bob may approve it."""
    hub.kubectl(
        "apply", "-f", str(ROOT / "charts/override-policy.yaml"), "-f", str(ROOT / "charts/override-roles.yaml")
    )
    for user, role in zip(PEOPLE, ("requester", "approver"), strict=True):
        who = (f"--clusterrole=ombak-override-{role}", f"--user={user}", "-n", "fix")
        hub.kubectl("create", "rolebinding", user, *who)


def allow(namespace: str = "*") -> Json:
    """What a Region says of who may deploy there: one namespace of the hub or all, each into any namespace."""
    return {"namespaces": [namespace], "into": ["*"]}


def _regions(planes: Sequence[Region]) -> None:
    """The hub's list, that of the second hub, and what each operator reads of its own Region."""
    hub, second, third = planes
    tokens = {plane.name: kubeconfig_of(plane, token_of(plane)) for plane in planes}
    own = {name: {"url": hub.prometheus_url, "matchers": {"region": name}} for name in tokens}
    home: Json = {"access": {"inCluster": {}}}
    for name, plane in (("region-2", second), ("region-3", third), ("floored", second), ("spare", second)):
        write_secret(hub, name, tokens[plane.name])
    write_region(hub, "region-1", cloud="aws", zones=["a", "b"], prometheus=own["region-1"], allow=allow(), **home)
    write_region(hub, "region-2", cloud="gcp", zones=["a", "b"], allow=allow())
    write_region(hub, "region-3", cloud="aws", allow=allow())
    write_region(hub, "floored", allow=allow("fix"))
    write_region(hub, "spare", cloud="aws", allow=allow("clouds"))
    for name in ("region-1", "region-2"):
        write_secret(second, name, tokens[name])
        write_region(second, name, prometheus=own["region-2"], allow=allow())
    write_region(third, "region-3", prometheus=own["region-3"], **home)
