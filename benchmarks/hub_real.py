"""Many Pipelines over four regions, all on real control planes: writes, watches, memory, and how fast stages follow."""

import argparse
import json
import math
import statistics
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import psutil

from benchmarks.bench import ROOT
from ombak.api.common import API_VERSION
from ombak.cli.demo.regions_stage import register
from ombak.cli.demo.stage import USER, install, start_operator
from ombak.sandbox import Process, Region, start_regions
from ombak.sandbox.client import ApiClient, ApiStatusError

NAMESPACE = "bench"
APIS = f"/apis/{API_VERSION}"
HUB_IN_REGIONS = "hub"
"""A user of each region with the hub's rights there, so that the audit log counts what it asks."""
STAGES = {"alpha": ("r-1",), "wave-1": ("r-2",), "rest": ("r-3", "r-4")}
REGIONS = [name for names in STAGES.values() for name in names]
_USERS = (USER, HUB_IN_REGIONS)
_LIMIT_S = 1800.0
_SEQUENCE = "ombak.dev/sequence"
Json = dict[str, Any]


def pipeline(name: str, version: str) -> Json:
    """Two boxes in each region, three stages, no bake: what takes time is the machinery."""
    no_bake = {"bake": {"for": "0s"}}
    annotations = {"sandbox.ombak.dev/ready-after": "0s"}
    template = {
        "metadata": {"labels": {"app": name}, "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": f"registry.example/app:{version}"}]},
    }
    rollout = {
        "replicas": 2,
        "selector": {"matchLabels": {"app": name}},
        "template": template,
        "strategy": {"oneBox": no_bake, "rolling": no_bake},
        "unwatched": "only the machinery is measured",
    }
    stages = [
        {"name": stage, "phase": "Prod", "regions": {"names": list(names)}, **no_bake}
        for stage, names in STAGES.items()
    ]
    spec = {"rollout": {"spec": rollout}, "stages": stages}
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": API_VERSION, "kind": "Pipeline", "metadata": metadata, "spec": spec}


class Follower:
    """Notes when each Rollout of a region was told to run a change, and when it was stable on it."""

    def __init__(self, region: Region) -> None:
        self.started: dict[tuple[str, int], float] = {}
        self.stable: dict[tuple[str, int], float] = {}
        self._client: ApiClient = region.plane.client
        self._path = f"{APIS}/namespaces/{NAMESPACE}/rollouts"
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        while True:
            with suppress(OSError, ValueError, ApiStatusError):
                listed = self._client.call("GET", self._path)
                for item in listed["items"]:
                    self._note(item)
                version = listed["metadata"]["resourceVersion"]
                for event in self._client.watch(self._path, resourceVersion=version):
                    self._note(event["object"])
            time.sleep(0.1)

    def _note(self, rollout: Json) -> None:
        now, meta, status = time.monotonic(), rollout["metadata"], rollout.get("status") or {}
        key = meta["name"], int(meta.get("annotations", {}).get(_SEQUENCE, 0))
        self.started.setdefault(key, now)
        if status.get("phase") == "Stable" and status.get("observedGeneration") == meta["generation"]:
            self.stable.setdefault(key, now)


class World:
    """The planes, an operator in each, and the hub."""

    def __init__(self, stack: ExitStack) -> None:
        names = ("hub", *REGIONS)
        planes = stack.enter_context(start_regions(names, users=_USERS, zones=("a",), nodes=4, traffic=False))
        self.hub, *others = planes
        self.regions = {region.name: region for region in others}
        self.operators: dict[str, Process] = {}
        for plane in planes:
            install(plane)
            plane.kubectl("create", "namespace", NAMESPACE)
        for region in others:
            region.grant(HUB_IN_REGIONS, ROOT / "charts" / "region-rbac.yaml")
        register(self.hub, self.regions, {name: {} for name in self.regions}, _token)
        for plane in planes:
            options = ("--hub",) if plane is self.hub else ()
            operator = self.operators[plane.name] = start_operator(plane, *options)
            stack.callback(operator.stop)
        self.followers = {name: Follower(region) for name, region in self.regions.items()}

    def push(self, names: Sequence[str], version: str) -> None:
        """Ask for a version of each Pipeline."""
        client, path = self.hub.plane.client, f"{APIS}/namespaces/{NAMESPACE}/pipelines"

        def one(name: str) -> None:
            made = pipeline(name, version)
            try:
                client.call("POST", path, made)
            except ApiStatusError as error:
                if error.status != 409:
                    raise
                found = client.call("GET", f"{path}/{name}")
                client.call("PUT", f"{path}/{name}", {**found, "spec": made["spec"]})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, names))

    def wait(self, names: Sequence[str]) -> None:
        """Wait until all of them are delivered."""
        client, end = self.hub.plane.client, time.monotonic() + _LIMIT_S
        while time.monotonic() < end:
            items = client.call("GET", f"{APIS}/namespaces/{NAMESPACE}/pipelines", resourceVersion="0")["items"]
            done = {item["metadata"]["name"] for item in items if _is_delivered(item)}
            if done >= set(names):
                return
            for operator in self.operators.values():
                operator.check()
            time.sleep(0.5)
        raise TimeoutError(f"{len(done)} of {len(names)} Pipelines were delivered within {_LIMIT_S:.0f} s")

    def hub_usage(self) -> tuple[float, float]:
        """CPU seconds so far, and memory in MB, of the hub's process."""
        pid = self.operators["hub"].pid
        assert pid is not None
        usage = psutil.Process(pid)
        times = usage.cpu_times()
        return times.user + times.system, usage.memory_info().rss / 1e6

    def gaps(self, names: Sequence[str], sequence: int) -> list[float]:
        """Seconds from the last region of a stage being stable to the first write into the next stage."""
        found = []
        for before, after in zip(list(STAGES), list(STAGES)[1:], strict=False):
            for name in names:
                key = name, sequence
                stable = [self.followers[region].stable.get(key) for region in STAGES[before]]
                started = [self.followers[region].started.get(key) for region in STAGES[after]]
                if None not in (*stable, *started):  # else a watch was away just then
                    found.append(min(filter(None, started)) - max(filter(None, stable)))
        return found


def _token(region: Region) -> str:
    found = json.loads(region.kubeconfig_for(HUB_IN_REGIONS).read_text())
    return str(found["users"][0]["user"]["token"])


def _is_delivered(item: Json) -> bool:
    status = item.get("status") or {}
    return status.get("reason") == "Delivered" and status.get("observedGeneration") == item["metadata"]["generation"]


def measure(world: World, names: Sequence[str], version: str, sequence: int) -> None:
    """Let one change of each of these Pipelines travel, and tell what it took."""
    marks = {name: plane.audit.mark() for name, plane in (("hub", world.hub), *world.regions.items())}
    cpu, _ = world.hub_usage()
    began = time.monotonic()
    world.push(names, version)
    world.wait(names)
    took = time.monotonic() - began
    time.sleep(3)
    after, rss = world.hub_usage()
    own = world.hub.audit.counts(USER, since=marks["hub"])
    there = [world.regions[name].audit.counts(HUB_IN_REGIONS, since=marks[name]) for name in REGIONS]
    promotions = len(names) * len(STAGES)
    writes = Counter[Any]()
    for each in there:
        writes.update(each.writes)
    print(f"\n{len(names)} changes at once, {promotions} promotions: {took:.1f} s, {took / len(STAGES):.1f} s a stage")
    print(f"  the hub: {after - cpu:.1f} s CPU, RSS {rss:.0f} MB")
    mine, told = sum(own.writes.values()) / promotions, own.events / promotions
    print(f"  per promotion: {mine:.1f} writes and {told:.1f} Events on the hub,")
    print(f"    {sum(writes.values()) / promotions:.1f} writes in regions")
    print(f"  on the hub {_told(own.writes)}; in regions {_told(writes)}")
    print(f"  refused: {dict(own.failed)} and {[dict(each.failed) for each in there]}")
    gaps = world.gaps(names, sequence)
    ordered = sorted(gaps)
    print(
        f"  region stable -> next stage written: median {statistics.median(gaps):.2f} s, "
        f"95 % {ordered[math.ceil(0.95 * len(ordered)) - 1]:.2f} s, most {ordered[-1]:.2f} s"
    )


def _told(found: Mapping[tuple[str, str], int]) -> str:
    return json.dumps({f"{verb} {resource}": count for (verb, resource), count in sorted(found.items())})


def main() -> None:
    """Install, then measure one change, then one of every Pipeline at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipelines", type=int, default=100)
    count = parser.parse_args().pipelines
    names = [f"app-{n:03}" for n in range(count)]
    with ExitStack() as stack:
        world = World(stack)
        print(f"{count} Pipelines x {len(REGIONS)} regions on {len(REGIONS) + 1} control planes", flush=True)
        began = time.monotonic()
        world.push(names, "1")
        world.wait(names)
        print(f"  installed everywhere in {time.monotonic() - began:.0f} s")
        measure(world, names[:1], "2", 2)
        measure(world, names[1:], "2", 2)
        watches = sum((world.regions[name].audit.counts(HUB_IN_REGIONS).watches for name in REGIONS), Counter[Any]())
        own = world.hub.audit.counts(USER).watches
        print(f"\nwatches of the hub so far: own {_told(own)}, in regions {_told(watches)}")


if __name__ == "__main__":
    main()
