"""The hub's part of `ombak run`: which regions there are, the way into each, and their status."""

import asyncio
import random
from typing import Any

from ombak.adapters.clock import SystemClock
from ombak.adapters.kube_client import HttpKubeClient
from ombak.adapters.kubernetes import Access
from ombak.adapters.reflector import Reflector, Source
from ombak.adapters.region_link import Listeners, RegionPace
from ombak.adapters.regions import Hub, RegionClients
from ombak.runtime import kinds
from ombak.runtime.region_records import RegionRecord, decode_region
from ombak.runtime.region_status import RegionReporter
from ombak.runtime.store import Key, Store


class HubRegions:
    """Region objects in, open regions out. `on_rollout` and `on_contact` are for the engine of Pipelines."""

    def __init__(
        self, client: HttpKubeClient, access: Access, rng: random.Random, pace: RegionPace | None = None
    ) -> None:
        """Nothing is asked before `run`."""
        clock = SystemClock()
        self.records: Store[RegionRecord] = Store(decode_region, on_event=self._changed)
        self.regions = RegionClients(Hub(client, access), clock, rng, Listeners(self._rollout, self._contact), pace)
        self._reporter = RegionReporter(client, self.records, self.regions, clock)
        self._reflector: Reflector[Any] = Reflector(client, Source(kinds.REGIONS), self.records, rng)

    async def run(self) -> None:
        """Follow all regions until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reflector.run(), name="watch regions")
            group.create_task(self.regions.run(), name="regions")
            group.create_task(self._reporter.run(), name="status of regions")

    def _changed(self, key: Key) -> None:
        found = self.records.get(key)
        self.regions.set(key[1], None if found is None else found.value)
        self._reporter.wake()

    def _rollout(self, region: str, key: Key) -> None:
        """A Rollout of a region changed: what follows from it is the engine's."""

    def _contact(self, _region: str) -> None:
        self._reporter.wake()
