"""Many Pipelines x many regions through one hub, all in memory and in virtual time: CPU, memory, passes, writes.

Real are the hub's engine, its stores, queue and decisions. The API servers and the regions' operators are models that
answer at once, so what is measured is the hub alone. No control plane is needed.
"""

import argparse
import asyncio
import cProfile
import gc
import pstats
import time
from typing import Any

import psutil

from ombak.api.common import API_VERSION
from ombak.runtime.hub.engine import HubEngine
from ombak.runtime.hub.reconcile import PipelineReconciler
from ombak.runtime.logs import configure_logging
from ombak.simulation.agenda import run_virtual
from ombak.simulation.hub_world import MemoryKube, MemoryRegions, engine_and_regions

Json = dict[str, Any]
_LONGEST_S = 30 * 86_400
_NAMESPACES = 10
_POLL_S = 60.0
_BAKE = {"bake": {"for": "20m"}}
"""Shorter than in earnest, for which nothing here matters but the hub's own looks from time to time."""


def region(number: int) -> Json:
    """A Region; which wave it is in is said by a label."""
    wave = next(
        name for name, last in (("0", 1), ("1", 2), ("2", 4), ("3", 5), ("4", 11), ("5", 10**6)) if number < last
    )
    meta = {
        "name": f"r-{number:03}",
        "uid": f"r-{number}",
        "resourceVersion": str(number + 1),
        "labels": {"wave": wave},
    }
    return {"metadata": meta, "spec": {"access": {"inCluster": {}}, "zones": ["a", "b", "c"]}}


def base(namespace: str) -> Json:
    """What the Pipelines of a namespace extend: alpha, beta, gamma, and three waves."""
    names = ("alpha", "beta", "gamma", "wave-1", "wave-2")
    stages: list[Json] = [
        {
            "name": name,
            "phase": "PreProd" if number < 3 else "Prod",
            "regions": {"matchLabels": {"wave": str(number)}},
            **_BAKE,
        }
        for number, name in enumerate(names)
    ]
    stages.append({"name": "rest", "phase": "Prod", "regions": "Unplaced", **_BAKE})
    return pipeline(namespace, "base", {"stages": stages})


def child(namespace: str, name: str, version: str) -> Json:
    """A service with a Service, twenty variables and two signals."""
    env = [{"name": f"SETTING_{n}", "value": f"value-{n}"} for n in range(20)]
    container = {"name": "app", "image": f"registry.example/{name}:{version}", "env": env}
    rollout = {
        "replicas": 10,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        "strategy": {"oneBox": {"bake": {"for": "10m"}}},
        "signals": [{"name": "errors", "ratio": {"bad": "bad_total", "total": "all_total"}, "above": "1%"}],
    }
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}
    return pipeline(namespace, name, {"extends": {"name": "base"}, "rollout": {"spec": rollout}, "objects": [service]})


def pipeline(namespace: str, name: str, spec: Json) -> Json:
    """A Pipeline."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Pipeline",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


class Bench:
    """A hub with so many Pipelines and regions."""

    def __init__(self, pipelines: int, regions: int) -> None:
        self.kube = MemoryKube()
        self.engine: HubEngine
        self.regions: MemoryRegions
        self.engine, self.regions = engine_and_regions(self.kube, [region(n) for n in range(regions)])
        self.names = [(f"team-{n % _NAMESPACES}", f"service-{n:04}") for n in range(pipelines)]
        self.passes = 0

    async def travel(self, version: str, *, first: bool = False) -> None:
        """Ask for a version of every Pipeline, and wait until all is delivered."""
        if first:
            for number in range(_NAMESPACES):
                self.kube.edit("Pipeline", base(f"team-{number}"))
        for namespace, name in self.names:
            self.kube.edit("Pipeline", child(namespace, name, version))
        await asyncio.sleep(_POLL_S)
        while not all(self._is_delivered(*key) for key in self.names):
            await asyncio.sleep(_POLL_S)
            assert asyncio.get_running_loop().time() < _LONGEST_S, "it never arrives"

    def _is_delivered(self, namespace: str, name: str) -> bool:
        found = self.kube.objects["Pipeline", namespace, name]
        status = found.get("status") or {}
        is_told = status.get("observedGeneration") == found["metadata"]["generation"]
        return is_told and status.get("reason") == "Delivered"

    def count_passes(self) -> None:
        """Count every pass over a Pipeline."""
        original = PipelineReconciler.reconcile

        async def counted(passes: PipelineReconciler, key: tuple[str, str]) -> object:
            self.passes += 1
            return await original(passes, key)

        PipelineReconciler.reconcile = counted  # type: ignore[assignment,method-assign]


async def measure(options: argparse.Namespace) -> None:
    """Install a version everywhere, then let a change of every Pipeline travel, and tell what that took."""
    me = psutil.Process()
    empty = me.memory_info().rss
    bench = Bench(options.pipelines, options.regions)
    bench.count_passes()
    running = asyncio.create_task(bench.engine.run("hub", bench.regions, ()))
    began = time.process_time()
    await bench.travel("1", first=True)
    print(
        f"{options.pipelines} Pipelines x {options.regions} regions; installed in {time.process_time() - began:.1f} s"
    )
    gc.collect()
    print(
        f"  RSS {me.memory_info().rss / 1e6:.0f} MB, of which the interpreter had {empty / 1e6:.0f} before", flush=True
    )
    bench.passes, bench.kube.writes, bench.kube.events = 0, type(bench.kube.writes)(), type(bench.kube.events)()
    bench.regions.writes.clear()
    profile = cProfile.Profile() if options.profile else None
    if profile is not None:
        profile.enable()
    began, virtual = time.process_time(), asyncio.get_running_loop().time()
    await bench.travel("2")
    took, virtual = time.process_time() - began, asyncio.get_running_loop().time() - virtual
    if profile is not None:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
        pstats.Stats(profile).sort_stats("cumtime").print_stats(45)
    report(bench, took, virtual)
    print(f"  RSS {me.memory_info().rss / 1e6:.0f} MB")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def report(bench: Bench, took: float, virtual: float) -> None:
    """Print what one change of every Pipeline took, as a whole and for each promotion."""
    promotions, count = bench.kube.events["StageEntered"], len(bench.names)
    hub, regions = sum(bench.kube.writes.values()), sum(bench.regions.writes.values())
    events = sum(bench.kube.events.values())
    print(f"  one change of every Pipeline: {took:.1f} s CPU ({virtual / 3600:.0f} h of virtual time)")
    print(f"  {bench.passes} passes ({bench.passes / count:.0f} each), {1000 * took / bench.passes:.2f} ms CPU each")
    print(f"  {promotions} promotions: {1000 * took / promotions:.1f} ms CPU, {bench.passes / promotions:.1f} passes,")
    print(f"    {hub / promotions:.1f} writes and {events / promotions:.1f} Events on the hub,")
    print(f"    {regions / promotions:.1f} writes in regions each")
    print(f"  on the hub: {dict(bench.kube.writes)}; in regions: {dict(bench.regions.writes)}")
    print(f"  Events: {dict(bench.kube.events)}")


def main() -> None:
    """Measure one size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipelines", type=int, default=1000)
    parser.add_argument("--regions", type=int, default=30)
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    options = parser.parse_args()
    configure_logging("warning")
    gc.set_threshold(100_000, 50, 1000)  # as `ombak run` has it
    run_virtual(measure(options))


if __name__ == "__main__":
    main()
