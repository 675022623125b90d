"""One life of a hub: the real engine and the real reporter of Regions on simulated surroundings; it can be killed."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from typing import Any

from ombak.runtime import kinds
from ombak.runtime.gate_book import GateBook
from ombak.runtime.hub.engine import HubEngine
from ombak.runtime.kube_port import Kind
from ombak.runtime.records import decode_rollout
from ombak.runtime.region_records import RegionRecord, decode_region
from ombak.runtime.region_status import RegionReporter
from ombak.runtime.regions import HUB_MANAGER
from ombak.runtime.store import Key, Store
from ombak.simulation.client import SimulatedClient, Wire
from ombak.simulation.faults import Faults
from ombak.simulation.feed import Feed
from ombak.simulation.hub.link import Link
from ombak.simulation.hub.regions import LinkedRegions
from ombak.simulation.hub.site import Site
from ombak.simulation.process import Machine, MachineClock
from ombak.simulation.server import Server

Tell = Callable[[str], None]
HUB = "hub-1"


class HubProcess:
    """Begins to work at once, and does until it ends."""

    def __init__(
        self,
        server: Server,
        sites: Mapping[str, Site],
        machine: Machine,
        faults: Faults,
        rng: random.Random,
        tell: Tell,
    ) -> None:
        self._server, self._faults, self._rng, self._tell = server, faults, rng, tell
        self.is_alive = True
        self.writes = 0
        clock = MachineClock(machine, rng.uniform(0, 1e6))
        gates = GateBook(Store(decode_rollout), lambda _: None, changed=self._gate_changed)
        self._overrides = gates.overrides
        records: Store[RegionRecord] = Store(decode_region, on_event=lambda key: self._engine.region_changed(key[1]))
        client = SimulatedClient(self._wire(server, faults), HUB_MANAGER)
        self._engine = HubEngine(client, records, gates, clock, rng)
        self._links = {name: self._link(site, clock) for name, site in sites.items()}
        self._regions = LinkedRegions(self._links)
        self._reporter = RegionReporter(client, records, self._regions, clock)
        stores: dict[str, Store[Any]] = {
            "Pipeline": self._engine.stores.pipelines,
            "Artifact": self._engine.stores.artifacts,
            "Region": records,
            **{kind.kind: store for kind, store in gates.stores().items()},
        }
        loop = asyncio.get_running_loop()
        self._feed = Feed(server, stores, loop, faults, rng)
        self._task = loop.create_task(self._run())

    def _wire(self, server: Server, faults: Faults) -> Wire:
        return Wire(
            server=server,
            faults=faults,
            rng=self._rng,
            is_slow=True,
            before=lambda: None,
            on_call=self._called,
            on_crash=self.end,
            pods=lambda _: [],
        )

    def _link(self, site: Site, clock: MachineClock) -> Link:
        def called(told: str, is_write: bool) -> None:
            if not told.startswith("GET Lease"):
                self._called(f"in {site.name}: {told}", is_write)

        wire = self._wire(site.region.server, site.cable.faults)
        wire.on_call, wire.rng = called, site.rng
        return Link(site, clock, site.rng, (self._engine.rollout_changed, self._looked), wire)

    def _looked(self, name: str) -> None:
        if self.is_alive:
            self._engine.contact_changed(name, self._regions)
            self._reporter.wake()

    def _gate_changed(self, kind: Kind, key: Key) -> None:
        """Take every Override to have come about under the policy, which others test."""
        stored = self._overrides.store.get(key) if kind == kinds.OVERRIDES else None
        if stored is not None and (view := self._overrides.view(key)) is not None and view.flaw is None:
            self._overrides.judge(stored.value, "")

    def _called(self, told: str, is_write: bool) -> None:
        self.writes += is_write
        if "Event " not in told:
            self._tell(f"[hub] {told}")

    async def _run(self) -> None:
        synced = asyncio.Event()
        synced.set()
        async with asyncio.TaskGroup() as group:
            for link in self._links.values():
                group.create_task(link.run())
            group.create_task(self._reporter.run())
            group.create_task(self._engine.run(HUB, self._regions, [synced]))

    def check(self) -> None:
        """Raise what made it fail, for a defect must be seen."""
        if self._task.done() and not self._task.cancelled():
            self._task.result()

    def hang(self) -> None:
        """Let it be neither at work nor dead."""
        self._task.cancel()

    def end(self) -> None:
        """Kill it, wherever it is."""
        if self.is_alive:
            self.is_alive = False
            self._tell("[hub] the hub dies")
            self._feed.stop()
            for link in self._links.values():
                link.end()
            self._task.cancel()

    async def stop(self) -> None:
        """End it, and wait until it has ended."""
        self.end()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
