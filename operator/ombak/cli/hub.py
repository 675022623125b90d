"""The hub's part of `ombak run`: which regions there are, the way into each, and what is delivered there."""

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog

from ombak.adapters.clock import SystemClock
from ombak.adapters.kube_client import HttpKubeClient
from ombak.adapters.kubernetes import Access
from ombak.adapters.reflector import Reflector, Source
from ombak.adapters.region_link import Listeners, RegionPace
from ombak.adapters.regions import Hub, RegionClients
from ombak.core.conveyor import manifests
from ombak.runtime import kinds
from ombak.runtime.backoff import Backoff
from ombak.runtime.gate_book import GateBook
from ombak.runtime.hub.engine import HubEngine
from ombak.runtime.kube_port import ApiError
from ombak.runtime.region_records import RegionRecord, decode_region
from ombak.runtime.region_status import RegionReporter
from ombak.runtime.regions import OF_A_CLUSTER, ask_cluster
from ombak.runtime.store import Key, Store

log = structlog.get_logger(__name__)

TELL_EVERY = timedelta(seconds=20)
"""How often a hub that cannot begin says what it waits for."""
_PATIENCE = Backoff(cap=timedelta(seconds=15))


class HubRegions:
    """Region objects in, open regions out; with `gates` Pipelines are delivered there."""

    def __init__(
        self,
        client: HttpKubeClient,
        access: Access,
        rng: random.Random,
        pace: RegionPace | None = None,
        gates: GateBook | None = None,
    ) -> None:
        """Nothing is asked before `run`."""
        clock, pace = SystemClock(), pace or RegionPace()
        self._client, self._rng, self._watch = client, rng, pace.watch
        self.records: Store[RegionRecord] = Store(decode_region, on_event=self._changed)
        self.regions = RegionClients(
            Hub(client, access), clock, rng, Listeners(self._rollout, self._contact, self._alarm, self._brought), pace
        )
        self._reporter = RegionReporter(client, self.records, self.regions, clock)
        self._reflector: Reflector[Any] = Reflector(client, Source(kinds.REGIONS), self.records, rng, pace.watch)
        self._engine = HubEngine(client, self.records, gates, clock, rng) if gates is not None else None

    async def run(self, synced: Iterable[asyncio.Event] = ()) -> None:
        """Follow all regions until cancelled; `synced` are the lists that Pipelines wait for besides."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reflector.run(), name="watch regions")
            group.create_task(self.regions.run(), name="regions")
            group.create_task(self._reporter.run(), name="status of regions")
            if self._engine is not None:
                group.create_task(self._deliver(self._engine, tuple(synced)), name="pipelines")

    async def _deliver(self, engine: HubEngine, synced: tuple[asyncio.Event, ...]) -> None:
        artifacts = Source(kinds.ARTIFACTS, None, manifests.PIPELINE)
        own: tuple[Reflector[Any], ...] = (
            Reflector(self._client, Source(kinds.PIPELINES), engine.stores.pipelines, self._rng, self._watch),
            Reflector(self._client, artifacts, engine.stores.artifacts, self._rng, self._watch),
        )
        lists = {"the kinds of a region": synced, "Regions": (self._reflector.synced,)}
        lists |= {f"{each.source.kind.kind}s": (each.synced,) for each in own}
        async with asyncio.TaskGroup() as group:
            for reflector in own:
                group.create_task(reflector.run(), name=f"watch {reflector.source.kind.plural} of the hub")
            group.create_task(_tell_missing(lists), name="what the hub waits for")
            listed = tuple(event for events in lists.values() for event in events)
            group.create_task(engine.run(await self._name(), self.regions, listed), name="hub engine")

    async def _name(self) -> str:
        """What tells this hub from all others; asked until it is told."""
        failures = 0
        while True:
            try:
                if found := await ask_cluster(self._client):
                    return found
                reason = f"the namespace {OF_A_CLUSTER} has no uid"
            except ApiError as error:
                reason = str(error)
            failures += 1
            log.warning("the hub cannot tell which cluster it is in", reason=reason)
            await asyncio.sleep(_PATIENCE.delay(failures, self._rng).total_seconds())

    def _changed(self, key: Key) -> None:
        found = self.records.get(key)
        self.regions.set(key[1], None if found is None else found.value)
        self._reporter.wake()
        if self._engine is not None:
            self._engine.region_changed(key[1])

    def _rollout(self, region: str, key: Key) -> None:
        if self._engine is not None:
            self._engine.rollout_changed(region, key)

    def _alarm(self, region: str, key: Key) -> None:
        if self._engine is not None:
            self._engine.alarm_changed(region, key)

    def _brought(self, pipeline: str) -> None:
        if self._engine is not None:
            self._engine.brought_changed(pipeline)

    def _contact(self, region: str) -> None:
        self._reporter.wake()
        if self._engine is not None:
            self._engine.contact_changed(region, self.regions)


async def _tell_missing(lists: Mapping[str, Sequence[asyncio.Event]]) -> None:
    """Say from time to time which lists a hub that does not begin still waits for; why is said where they fail."""
    while True:
        await asyncio.sleep(TELL_EVERY.total_seconds())
        missing = [name for name, events in lists.items() if not all(event.is_set() for event in events)]
        if not missing:
            return
        log.warning("the hub cannot begin before it has read everything once", missing=missing)
