"""What a hub asks and writes for a change, with its own engine, stores and queue over servers in memory."""

import asyncio
from typing import Any

import pytest

from ombak.runtime.hub.reconcile import PipelineReconciler
from ombak.simulation.agenda import run_virtual
from ombak.simulation.hub_world import MemoryKube, engine_and_regions
from support.conveyor import spec, stage

pytestmark = pytest.mark.breadth

NAMES = ("r-1", "r-2", "r-3", "r-4")
STAGES = [stage("alpha", "r-1"), stage("wave-1", "r-2"), stage("rest", regions="Unplaced")]
A_WAY_S = 8 * 3600.0
"""Three stages of the tests take about four hours."""


class Hub:
    """So many Pipelines over four regions, and how often the hub looked at them."""

    def __init__(self, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kube = MemoryKube()
        regions = [
            {"metadata": {"name": n, "uid": n, "resourceVersion": "1"}, "spec": {"access": {"inCluster": {}}}}
            for n in NAMES
        ]
        self.engine, self.regions = engine_and_regions(self.kube, regions)
        self.names = [f"app-{n}" for n in range(count)]
        self.passes = 0
        original = PipelineReconciler.reconcile

        async def counted(passes: PipelineReconciler, key: tuple[str, str]) -> Any:
            self.passes += 1
            return await original(passes, key)

        monkeypatch.setattr(PipelineReconciler, "reconcile", counted)

    def push(self, version: str, names: list[str]) -> None:
        """Ask for a version of some Pipelines."""
        for name in names:
            made = {"kind": "Pipeline", "metadata": {"name": name, "namespace": "shop"}, "spec": spec(version, STAGES)}
            self.kube.edit("Pipeline", made)

    def reasons(self) -> set[str]:
        """What the hub says of them."""
        return {self.kube.objects["Pipeline", "shop", name]["status"]["reason"] for name in self.names}

    def forget(self) -> None:
        """Count from here."""
        self.passes = 0
        for counter in (self.kube.writes, self.kube.events, self.regions.writes):
            counter.clear()


def after_a_change(count: int, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """What a change of one Pipeline of so many took, the first version of all being there."""

    async def play() -> Hub:
        hub = Hub(count, monkeypatch)
        running = asyncio.create_task(hub.engine.run("hub", hub.regions, ()))  # type: ignore[arg-type]  # the part that is used
        hub.push("v1", hub.names)
        await asyncio.sleep(A_WAY_S)
        hub.forget()
        hub.push("v2", hub.names[:1])
        await asyncio.sleep(A_WAY_S)
        assert hub.reasons() == {"Delivered"}
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return hub

    return run_virtual(play())


def test_a_change_is_one_write_in_each_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """And on the hub one Artifact, and a status where something happened."""
    hub = after_a_change(1, monkeypatch)

    assert hub.regions.writes == {"apply Rollout": len(NAMES)}
    assert hub.kube.writes["create Artifact"] == 1
    assert hub.kube.writes["status Pipeline"] <= 6 * len(NAMES)
    assert hub.kube.events["StageEntered"] == len(STAGES)


def test_a_change_costs_the_same_however_many_pipelines_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not concerned does not look."""
    with monkeypatch.context() as patch:
        alone = after_a_change(1, patch)
    with monkeypatch.context() as patch:
        among_many = after_a_change(6, patch)

    assert among_many.passes == alone.passes
    assert among_many.kube.writes == alone.kube.writes


def test_a_settled_hub_does_not_even_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for, so nothing is looked at."""

    async def play() -> Hub:
        hub = Hub(3, monkeypatch)
        running = asyncio.create_task(hub.engine.run("hub", hub.regions, ()))  # type: ignore[arg-type]  # as above
        hub.push("v1", hub.names)
        await asyncio.sleep(A_WAY_S)
        hub.forget()
        await asyncio.sleep(A_WAY_S)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return hub

    hub = run_virtual(play())
    assert (hub.passes, dict(hub.kube.writes)) == (0, {})
