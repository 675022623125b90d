"""The peer, Argo Rollouts, at the same work on the same kind of region, in the same run: only that can be compared.

Its binary and CRDs are not ours to ship: `--peer rollouts-controller --peer-crds manifests/crds`, as its own build
makes them. Client limits are lifted and the strategy is the same: one box of ten, then batches of a third, no pauses.
"""

import argparse
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import bench
from ombak.sandbox import Region

COLLECTION = f"/apis/argoproj.io/v1alpha1/namespaces/{bench.NAMESPACE}/rollouts"
LIFTED = ("--qps", "1000", "--burst", "2000")
PORTS = ("--metricsPort", "18090", "--healthzPort", "18080")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what names the peer."""
    parser.add_argument("--peer", type=Path, metavar="BINARY", help="Argo Rollouts' controller, to be measured too")
    parser.add_argument("--peer-crds", type=Path, metavar="DIR", help="a kustomization or a file with its CRDs")


@contextlib.contextmanager
def peer_region(crds: Path) -> Iterator[Region]:
    """A region with the peer's CRDs, its rights and the namespace."""
    with Region.start("bench-peer", traffic=False, nodes=6) as region:
        region.kubectl("apply", "--server-side", "-k" if crds.is_dir() else "-f", str(crds))
        region.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
        user = f"--user={region.plane.user('ombak').name}"
        region.kubectl("create", "clusterrolebinding", "peer", "--clusterrole=cluster-admin", user)
        region.kubectl("create", "namespace", bench.NAMESPACE)
        yield region


def start(region: Region, binary: Path, log: Path) -> bench.ProcessUnderTest:
    """Its controller as a child process."""
    options = ("--leader-elect=false", "--loglevel", "warn", "--namespaced", "--namespace", bench.NAMESPACE)
    kubeconfig = ("--kubeconfig", str(region.kubeconfig_for("ombak")))
    return bench.ProcessUnderTest([str(binary), *kubeconfig, *LIFTED, *PORTS, *options], log)


def rollout(name: str, version: str) -> bench.Json:
    """Ours, as the peer spells it."""
    spec = bench.rollout(name, version)["spec"]
    canary = {"maxSurge": 0, "maxUnavailable": "33%", "steps": [{"setWeight": weight} for weight in (10, 40, 70)]}
    kept = {field: spec[field] for field in ("replicas", "selector", "template")}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name},
        "spec": kept | {"strategy": {"canary": canary}},
    }


def create_all(region: Region, count: int) -> None:
    """Create the first version of every Rollout."""
    client = region.plane.client
    bench.for_all(lambda name: client.call("POST", COLLECTION, rollout(name, "1")), bench.names(count))


def release_all(region: Region, count: int, version: str) -> None:
    """Ask for another version of every Rollout."""
    bench.for_all(lambda name: bench.set_version(region, name, version, COLLECTION), bench.names(count))


def wait_settled(region: Region, count: int, limit_s: float = 3000) -> None:
    """Wait until the latest wish of every Rollout runs in all of its boxes."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        items = region.plane.client.call("GET", COLLECTION, resourceVersion="0")["items"]
        done = sum(map(_is_settled, items))
        if done >= count:
            return
        time.sleep(0.2 if count <= 100 else 2.0)
    raise TimeoutError(f"{done} of {count} of the peer's Rollouts were healthy within {limit_s:.0f} s")


def _is_settled(item: bench.Json) -> bool:
    status = item.get("status") or {}
    is_new = str(status.get("observedGeneration")) == str(item["metadata"]["generation"])
    return status.get("phase") == "Healthy" and is_new and status.get("stableRS") == status.get("currentPodHash")
