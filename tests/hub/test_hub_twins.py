"""Two processes of one hub at once, by mistake or in a rolling update: they break no promise, and all ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from ombak.runtime import kinds
from ombak.runtime.kube_port import Unreachable
from ombak.runtime.store import Key
from ombak.simulation.faults import Faults
from support import conveyor
from support.hub_chaos import Chaos
from support.hub_rig import CALM, NAME, NAMESPACE, USER, HubRig, in_virtual_time, spec, stage

pytestmark = pytest.mark.breadth

V1, V2 = (conveyor.version_of(tag) for tag in ("v1", "v2"))
STAGES = [stage("alpha", "a-1"), stage("prod", "p-1", "p-2", "p-3", maxParallel=1)]
NAMES = ("a-1", "p-1", "p-2", "p-3")
LATE = Faults(latency=0.2, watch_lag=4.0)
"""What one of them wrote the other one hears seconds later."""


class Twins(HubRig):
    """A hub, and a second process of the same name over the same API server and regions."""

    def __init__(self, seed: int) -> None:
        super().__init__(NAMES, seed)
        self.twin = HubRig((), f"twin-{seed}")
        self.twin.wire, self.twin.server, self.twin.kube = self.wire, self.server, self.kube
        self.twin.regions, self.twin.promises = self.regions, self.promises
        self.server.listeners.append(self.twin._watch)

    def _told(self, region: str, key: Key) -> None:
        super()._told(region, key)
        if hasattr(self, "twin"):
            self.twin._told(region, key)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Twins]:
        async with super().running():
            self.twin.begin()
            looking = asyncio.create_task(self._look())
            try:
                yield self
            finally:
                looking.cancel()
                self.twin.kill()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(1)
            for name in NAMES:
                if self.twin.engine is not None:
                    self.twin.engine.contact_changed(name, self.regions)


@pytest.mark.parametrize("seed", range(6))
@in_virtual_time
async def test_a_change_travels_and_a_bad_one_goes_back(seed: int) -> None:
    """Each hears late what the other one did, and writes to no region by what it remembers alone."""
    async with Twins(seed).running() as rig:
        rig.wire.faults = LATE
        rig.apply(spec("v1", STAGES, revertScope="Everywhere"))
        await rig.delivered("v1")
        rig.push("v2")
        await rig.until(lambda: rig.is_inside("prod", V2))
        rig["p-2"].becomes_ill(V2)
        await rig.until(lambda: rig.status().get("reason") == "Rejected" and set(rig.runs().values()) == {"v1"})
        rig.push("v3")
        await rig.delivered("v3")

        numbers = [a["spec"]["sequence"] for a in rig.server.all("Artifact")]
        assert len(numbers) == len(set(numbers)) == 3


@pytest.mark.parametrize("seed", range(6))
@in_virtual_time
async def test_all_ends_whatever_happens_besides(seed: int) -> None:
    """Regions fail, people meddle, one of the two dies now and then."""
    async with Twins(seed).running() as rig:
        rig.apply(spec("v1", STAGES, revertScope="Everywhere"))
        await rig.delivered("v1")
        rig.wire.faults, chaos = LATE, Chaos(rig, seed)
        for _ in range(20):
            chaos.act()
            await rig.rest(chaos.rng.uniform(5, 90))
        rig.wire.faults = CALM
        chaos.mend()
        for region in rig.regions.by_name.values():
            region._harmful.clear()
        await rig.rest(120)
        rig.push("v2", stages=[*STAGES])
        await rig.until(
            lambda: rig.status().get("reason") in ("Delivered", "Rejected") and not rig.status().get("paused"),
            timedelta(hours=3),
        )


@in_virtual_time
async def test_what_another_process_took_back_meanwhile_is_written_nowhere() -> None:
    """A write that failed is tried again only by who has seen what was decided since, though it changes no status."""
    async with HubRig(("a-1", "p-1", "p-2")).running() as rig:
        rig.apply(spec("v1", [stage("alpha", "a-1"), stage("prod", "p-1", "p-2")]))
        await rig.delivered("v1")
        rig.regions.errors["p-2"] = Unreachable("connection refused")
        rig.push("v2")
        await rig.until(lambda: rig.condition("Applied")["status"] == "False")
        await rig.rest(60)
        rig.server.listeners.remove(rig._watch)
        (first, *_) = rig.status()["memory"]["items"]
        memory = {"status": {"memory": {"items": [first]}}}
        rig.server.patch(USER, kinds.PIPELINES, NAMESPACE, NAME, memory, subresource="status")
        rig.regions.errors.clear()
        await rig.rest(120)

        assert rig["p-2"].rollout(NAMESPACE, NAME).wanted == V1


def _cut_off(rig: HubRig) -> None:
    """From here on the process hears nothing of its own API server, and can write nothing there."""

    async def refuse(*_: object, **__: object) -> None:
        raise Unreachable("connection refused")

    rig.server.listeners.remove(rig._watch)
    rig.kube._call = refuse  # type: ignore[method-assign, assignment]


@in_virtual_time
async def test_who_is_cut_off_from_its_own_cluster_starts_nothing() -> None:
    """What is decided meanwhile it cannot know: a version that another process took back enters no region."""
    async with HubRig(("a-1", "p-1", "p-2")).running() as rig:
        rig.apply(spec("v1", [stage("alpha", "a-1"), stage("prod", "p-1", "p-2")], revertScope="Everywhere"))
        await rig.delivered("v1")
        rig.regions.errors["p-2"] = Unreachable("connection refused")
        rig.push("v2")
        await rig.until(lambda: rig.condition("Applied")["status"] == "False")
        await rig.rest(60)
        _cut_off(rig)
        (name,) = (a["metadata"]["name"] for a in rig.server.all("Artifact") if a["spec"]["id"] == V2)
        verdict = {"at": "2026-01-01T00:10:00Z", "reason": "Aborted", "message": "it was", "scope": "Everywhere"}
        patch = {"status": {"rejected": {**verdict, "stage": "prod", "region": ""}}}
        rig.server.patch(USER, kinds.ARTIFACTS, NAMESPACE, name, patch, subresource="status")
        rig.regions.errors.clear()
        await rig.rest(120)

        assert rig["p-2"].rollout(NAMESPACE, NAME).wanted == V1


@in_virtual_time
async def test_who_is_cut_off_from_its_own_cluster_still_takes_back() -> None:
    """A verdict that is recorded holds, whatever is decided meanwhile: the region is told as soon as it can be."""
    async with HubRig(("a-1", "p-1", "p-2")).running() as rig:
        rig.apply(spec("v1", [stage("alpha", "a-1"), stage("prod", "p-1", "p-2")], revertScope="Everywhere"))
        await rig.delivered("v1")
        rig.push("v2")
        await rig.delivered("v2")
        rig.push("v3")
        await rig.until(lambda: rig.is_inside("prod", conveyor.version_of("v3")))
        await rig.until(lambda: rig["p-2"].rollout(NAMESPACE, NAME).phase == "Bake")
        rig.regions.errors["p-2"] = Unreachable("connection refused")
        rig["p-1"].becomes_ill(conveyor.version_of("v3"))
        await rig.until(lambda: rig.condition("Applied")["status"] == "False")
        await rig.rest(60)
        assert rig.runs()["p-2"] == "v3"
        _cut_off(rig)
        rig.regions.errors.clear()
        await rig.rest(120)

        assert rig.runs()["p-2"] == "v2"
