"""What the benchmarks share: a region without traffic, the operator as a process, Rollouts by the hundred."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from ombak.sandbox import Region

ROOT = Path(__file__).parent.parent
NAMESPACE = "bench"
COLLECTION = f"/apis/ombak.dev/v1alpha1/namespaces/{NAMESPACE}/rollouts"
Json = dict[str, Any]


class ProcessUnderTest:
    """A controller as a child process."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._log = log.open("ab")
        self.started = time.monotonic()
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        self._usage = psutil.Process(self._process.pid)

    def cpu_s(self) -> float:
        """CPU seconds used so far, user and system."""
        times = self._usage.cpu_times()
        return times.user + times.system

    def rss_mb(self) -> float:
        """Resident memory in MB."""
        return self._usage.memory_info().rss / 1e6

    def stop(self) -> None:
        """End it and wait."""
        self._process.terminate()
        self._process.wait(30)
        self._log.close()


class OperatorUnderTest(ProcessUnderTest):
    """`ombak run` with the operator's own rights."""

    def __init__(self, region: Region, log: Path) -> None:
        command = [sys.executable, "-m", "ombak", "run", "--prometheus", region.prometheus_url, "--qps", "1000"]
        super().__init__([*command, "--kubeconfig", str(region.kubeconfig_for("ombak"))], log)


@contextlib.contextmanager
def bench_region() -> Iterator[Region]:
    """A region with the CRDs, the operator's rights and the namespace."""
    with Region.start("bench", traffic=False, nodes=6) as region:
        region.kubectl("apply", "-f", str(ROOT / "crds"))
        region.grant("ombak", ROOT / "charts" / "rbac.yaml")
        region.kubectl("create", "namespace", NAMESPACE)
        yield region


def rollout(name: str, version: str, **spec: Any) -> Json:
    """Ten boxes: one box, three batches, no bake, as the peer is measured."""
    no_bake = {"bake": {"for": "0s"}}
    return {
        "apiVersion": "ombak.dev/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name},
        "spec": {
            "replicas": 10,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": {"sandbox.ombak.dev/ready-after": "0s"}},
                "spec": {"containers": [{"name": "app", "image": f"registry.example/app:{version}"}]},
            },
            "strategy": {"oneBox": no_bake, "rolling": no_bake, "bake": {"for": "0s"}},
            "unwatched": "measured against a peer without analysis",
            **spec,
        },
    }


def names(count: int) -> list[str]:
    """The Rollouts of a benchmark."""
    return [f"app-{i:04d}" for i in range(count)]


def for_all(action: Callable[[str], object], found: list[str], threads: int = 16) -> None:
    """Do something with every Rollout, many at a time; an error ends the benchmark."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(action, found))


def create_all(region: Region, count: int) -> None:
    """Create the first version of every Rollout."""
    client = region.plane.client
    for_all(lambda name: client.call("POST", COLLECTION, rollout(name, "1")), names(count))


def release_all(region: Region, count: int, version: str) -> None:
    """Ask for another version of every Rollout."""
    for_all(lambda name: set_version(region, name, version), names(count))


def set_version(region: Region, name: str, version: str, collection: str = COLLECTION) -> None:
    """Ask for another version of one Rollout."""
    path = f"{collection}/{name}"
    pod = region.plane.client.call("GET", path)["spec"]["template"]["spec"]
    pod["containers"][0]["image"] = f"registry.example/app:{version}"
    region.plane.client.call("PATCH", path, {"spec": {"template": {"spec": {"containers": pod["containers"]}}}})


def wait_settled(region: Region, count: int, phase: str = "Stable", limit_s: float = 1800) -> None:
    """Wait until the latest wish of every Rollout was taken up and has come to `phase`."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        items = region.plane.client.call("GET", COLLECTION, resourceVersion="0")["items"]
        done = sum(_is_settled(item, phase) for item in items)
        if done >= count:
            return
        time.sleep(0.2 if count <= 100 else 2.0)
    raise TimeoutError(f"{done} of {count} Rollouts came to {phase} within {limit_s:.0f} s")


def _is_settled(item: Json, phase: str) -> bool:
    status = item.get("status") or {}
    return status.get("phase") == phase and status.get("observedGeneration") == item["metadata"]["generation"]
