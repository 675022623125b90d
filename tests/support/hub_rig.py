"""A whole hub in virtual time: the real engine between an API server and regions in memory, and its promises held."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, ParamSpec

from structlog.testing import capture_logs

from ombak.api.common import API_VERSION
from ombak.core import naming
from ombak.core.conveyor import manifests
from ombak.runtime import kinds
from ombak.runtime.gate_book import GateBook
from ombak.runtime.hub.engine import HubEngine
from ombak.runtime.kube_port import Kind, Object
from ombak.runtime.records import decode_rollout
from ombak.runtime.region_records import decode_region
from ombak.runtime.region_status import RegionReporter
from ombak.runtime.store import Key, Store
from ombak.simulation.agenda import run_virtual
from ombak.simulation.faults import RESYNC_AFTER, Faults
from ombak.simulation.server import Server
from support import conveyor
from support.hub_kube import HubKube
from support.hub_promises import Promises
from support.hub_regions import LOOK_EVERY_S, RigRegion, RigRegions
from support.hub_wire import SkewedClock, Wire
from support.own_logs import own_logs

NAMESPACE, NAME = "shop", conveyor.NAME
KEY = (NAMESPACE, NAME)
USER = "kubectl"
HUB = "hub-1"
Spec = dict[str, Any]
P = ParamSpec("P")
_WATCHED = ("Pipeline", "Region", "Window", "Blocker", "ClusterBlocker")


def in_virtual_time(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run an asynchronous test on a loop whose time costs nothing."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        with own_logs(), capture_logs():
            run_virtual(main())

    return run


def stage(name: str, *regions: str, **more: Any) -> Spec:
    """A stage with a bake of half a minute."""
    return conveyor.stage(name, *regions, **{"bake": {"for": "30s"}, **more})


NAMES = ("a-1", "b-1", "p-1", "p-2")


def three_stages(**more: Any) -> list[Spec]:
    """Two stages of one region, and one of two."""
    return [stage("alpha", "a-1", **more), stage("beta", "b-1", **more), stage("prod", "p-1", "p-2", **more)]


def spec(version: str = "v1", stages: list[Spec] | None = None, **more: Any) -> Spec:
    """A Pipeline whose stages take about two minutes each."""
    made = conveyor.spec(version, three_stages() if stages is None else stages, **more)
    rollout = made["rollout"]["spec"]
    rollout |= {"replicas": 2, "strategy": {"oneBox": {"bake": {"for": "20s"}}, "rolling": {"bake": {"for": "5s"}}}}
    return made


class HubRig:
    """The cluster of a hub, its regions, and one life of the hub after the other.

    With `skews`, by region, each machine has a clock of its own, which its words carry; each life of the hub then
    begins to look for the regions anew, knowing of what was before it only what stands in their status.
    """

    def __init__(
        self,
        names: tuple[str, ...] = NAMES,
        seed: int | str = 0,
        hub: str = HUB,
        skews: Mapping[str, timedelta] | None = None,
    ) -> None:
        self.hub = hub
        self.clock = SkewedClock()
        self.skews = skews
        self.loop = asyncio.get_running_loop()
        self.rng = random.Random(f"hub-{seed}")
        self.wire = Wire(self.rng)
        self.server = Server(self.loop)
        self.kube = HubKube(self.server, self.wire)
        self.regions = RigRegions(self.wire)
        self.promises = Promises(self.server, self.regions)
        self.kube.jobs = lambda job: self.regions.test(job)
        self.wire.die = self.kill
        self.server.listeners.append(self._watch)
        self.deaths = 0
        self.engine: HubEngine | None = None
        self._stores: dict[str, Store[Any]] = {}
        self._life: asyncio.Task[None] | None = None
        self._reports: asyncio.Task[Any] | None = None
        self._due: dict[str, float] = {}
        for name in names:
            self.add(name)

    # --- the regions -------------------------------------------------------------------------------

    def add(self, name: str, **more: Any) -> RigRegion:
        """Register a region, which lets the team of shop into shop-*."""
        self.regions.by_name[name] = found = RigRegion(name, self._told, self.clock)
        if self.skews is not None:
            found.clock.skew, found.tells_times = self.skews.get(name, timedelta(0)), True
        access = {"kubeconfig": {"secretRef": {"namespace": "regions", "name": name}}}
        meta: Object = {"name": name, "labels": more.pop("labels", {})}
        allow = {"namespaces": ["*"], "into": ["shop/shop-*"]}
        body = {"metadata": meta, "spec": {"access": access, "allow": allow, **more}}
        self.server.create(USER, kinds.REGIONS, "", body)
        return found

    def remove(self, name: str) -> RigRegion:
        """Take a region off the list."""
        self.server.delete(USER, kinds.REGIONS, "", name)
        return self.regions.by_name.pop(name)

    def __getitem__(self, name: str) -> RigRegion:
        return self.regions.by_name[name]

    def _told(self, region: str, key: Key) -> None:
        if self.engine is not None:
            self.engine.rollout_changed(region, key)

    def runs(self, name: str = NAME) -> dict[str, str]:
        """What is stable where, by the version's tag."""
        found = {}
        for region in self.regions.by_name.values():
            for rollout in region.model(name).rollouts.values():
                found[region.name] = TAGS.get(rollout.stable, rollout.stable)
        return found

    def rollouts(self, name: str = NAME) -> list[str]:
        """The versions asked for, with the phases: one each, where all regions are alike."""
        found = set()
        for region in self.regions.by_name.values():
            for rollout in region.model(name).rollouts.values():
                found.add(f"{TAGS.get(rollout.wanted, rollout.wanted)} {rollout.phase}")
        return sorted(found)

    # --- people ------------------------------------------------------------------------------------

    def apply(self, made: Spec, name: str = NAME, **meta: Any) -> None:
        """Create or change a Pipeline."""
        live = self.server.find("Pipeline", NAMESPACE, name)
        if live is None:
            body = {"apiVersion": API_VERSION, "kind": "Pipeline", "metadata": {"name": name, **meta}, "spec": made}
            self.server.create(USER, kinds.PIPELINES, NAMESPACE, body)
        else:
            self.server.replace(USER, kinds.PIPELINES, NAMESPACE, name, {**live, "spec": made})

    def push(self, version: str, **more: Any) -> str:
        """Ask for another version of the same Pipeline; returns its id."""
        made = dict(self.pipeline()["spec"])
        rollout = dict(made["rollout"]["spec"]) | {"template": conveyor.template(version)}
        self.apply(made | {"rollout": {"spec": rollout}} | more)
        return conveyor.version_of(version)

    def annotate(self, name: str, value: str) -> None:
        """Say something on the Pipeline."""
        self.server.patch(USER, kinds.PIPELINES, *KEY, {"metadata": {"annotations": {name: value}}})

    def pipeline(self, name: str = NAME) -> Object:
        """A Pipeline as it is stored."""
        return self.server.get(kinds.PIPELINES, NAMESPACE, name)

    def status(self, name: str = NAME) -> Object:
        """Its status."""
        found: Object = self.pipeline(name).get("status") or {}
        return found

    def condition(self, kind: str, name: str = NAME) -> Object:
        """One condition of it."""
        found: list[Object] = self.status(name).get("conditions") or []
        return next((c for c in found if c["type"] == kind), {})

    def waits(self) -> list[Object]:
        """What it waits for."""
        return list(self.status().get("waitingFor") or ())

    def is_inside(self, stage_name: str, version: str) -> bool:
        """Whether a version is in the slot of a stage."""
        found = self.status().get("travelling") or ()
        return any((t["artifact"], t.get("stage"), t.get("state")) == (version, stage_name, "Inside") for t in found)

    def erase_status(self) -> None:
        """Somebody erases the whole status."""
        self.server.replace(USER, kinds.PIPELINES, *KEY, {"metadata": {}, "status": {}}, subresource="status")

    def events(self) -> list[str]:
        """What Events were posted, in order."""
        return [f"{e['reason']}: {e['message']}" for e in self.server.all("Event")]

    # --- the hub -----------------------------------------------------------------------------------

    def begin(self) -> None:
        """A new process begins with a list of everything."""
        gates = GateBook(Store(decode_rollout), lambda _: None)
        records = Store(decode_region, on_event=lambda key: self.engine.region_changed(key[1]) if self.engine else None)
        engine = self.engine = HubEngine(self.kube, records, gates, self.clock, self.rng)
        self._stores = {"Pipeline": engine.stores.pipelines, "Artifact": engine.stores.artifacts, "Region": records}
        self._stores |= {kind.kind: store for kind, store in gates.stores().items()}
        for kind in self._stores:
            self._list(kind)
        synced = asyncio.Event()
        synced.set()
        self._life = self.loop.create_task(engine.run(self.hub, self.regions, [synced]))
        if self.skews is not None:
            for region in self.regions.by_name.values():
                region.is_forgotten()
            reporter = RegionReporter(self.kube, records, self.regions, self.clock)
            self._reports = self.loop.create_task(reporter.run())

    def kill(self) -> None:
        """End it wherever it is."""
        self.deaths += 1
        self.engine = None
        for task in (self._life, self._reports):
            if task is not None:
                task.cancel()

    def restart(self) -> None:
        """Another life."""
        self.kill()
        self.begin()

    def _list(self, kind: str) -> None:
        store = self._stores[kind]
        found = [obj for obj in self.server.all(kind) if _is_watched(kind, obj)]
        store.replace(dict(map(store.entry, found)), self.server.revision)

    def _watch(self, kind: str, event: str, obj: Object) -> None:
        """Events arrive in order, late, or not before the next list."""
        if kind not in self._stores:
            return
        faults, engine, moment = self.wire.faults, self.engine, self.loop.time()
        if faults.lost_event and self.rng.random() < faults.lost_event:
            self.loop.call_later(self.rng.uniform(1, RESYNC_AFTER), self._relist, engine, kind)
            return
        due = max(self._due.get(kind, 0.0), moment + self.rng.uniform(0.001, faults.watch_lag))
        self._due[kind] = due
        self.loop.call_later(due - moment, self._tell, engine, kind, event, obj)

    def _relist(self, engine: object, kind: str) -> None:
        if engine is self.engine:
            self._list(kind)

    def _tell(self, engine: object, kind: str, event: str, obj: Object) -> None:
        if engine is not self.engine:
            return
        if event == "DELETED" or not _is_watched(kind, obj):
            self._stores[kind].remove(obj)
        else:
            self._stores[kind].observe(obj)

    # --- time --------------------------------------------------------------------------------------

    async def live(self) -> None:
        """The regions work, and the hub looks at them, second by second; a dead hub is started again."""
        for second in range(10**9):
            for region in self.regions.by_name.values():
                region.tick()
                if not self.wire.faults.lost_event or self.rng.random() > self.wire.faults.lost_event:
                    region.show_all()
                if second % LOOK_EVERY_S == 0:
                    region.look()
                    if self.engine is not None:
                        self.engine.contact_changed(region.name, self.regions)
            if self._life is not None and self._life.done():
                if not self._life.cancelled():
                    self._life.result()
                self.begin()
            await asyncio.sleep(1)

    async def until(self, claim: Callable[[], bool], within: timedelta = timedelta(minutes=40)) -> None:
        """Let time pass until a claim holds."""
        ends = self.loop.time() + within.total_seconds()
        while not claim():
            if self.loop.time() > ends:
                raise AssertionError(f"never: {self.runs()} {self.status()} {self.events()[-8:]}")
            if self._living.done():
                self._living.result()
            self.promises.check()
            await asyncio.sleep(0.5)

    async def delivered(self, version: str) -> None:
        """Let time pass until a version runs everywhere, and the Pipeline says so."""
        await self.until(lambda: self.status().get("reason") == "Delivered" and set(self.runs().values()) == {version})

    async def rest(self, seconds: float = 60) -> None:
        """Let time pass."""
        ends = self.loop.time() + seconds
        await self.until(lambda: self.loop.time() >= ends)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[HubRig]:
        """Let all of it live for a while."""
        self.begin()
        self._living = self.loop.create_task(self.live())
        try:
            yield self
        finally:
            self.kill()
            for task in (self._living, self._life, self._reports):
                if task is not None:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task


def _is_watched(kind: str, obj: Object) -> bool:
    return kind in _WATCHED or manifests.PIPELINE in (obj["metadata"].get("labels") or {})


TAGS = {conveyor.version_of(tag): tag for tag in ("v1", "v2", "v3", "v4", "bad")}
CALM = Faults()
ABORT, RETRY = naming.ABORT, naming.RETRY
PIPELINES: Kind = kinds.PIPELINES
