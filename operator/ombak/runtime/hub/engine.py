"""The hub's engine, assembled: stores and regions feed a queue of Pipelines, workers take them one decision further."""

import asyncio
import random
from collections.abc import Iterable
from datetime import timedelta

import structlog

from ombak.api.duration import format_duration
from ombak.core.conveyor.snapshot import RegionFacts
from ombak.runtime.backoff import Backoff
from ombak.runtime.clock import Clock
from ombak.runtime.events import EventRecorder
from ombak.runtime.gate_book import GateBook
from ombak.runtime.hub.hub_writer import HubWriter
from ombak.runtime.hub.index import AlarmIndex, PipelineIndex
from ombak.runtime.hub.jobs import JobBook
from ombak.runtime.hub.observe import HubStores, Observer, region_facts
from ombak.runtime.hub.reconcile import Hands, PipelineReconciler
from ombak.runtime.hub.records import artifact_owner, decode_hub_artifact, decode_pipeline
from ombak.runtime.hub.region_writer import RegionWriter
from ombak.runtime.kube_port import ApiError, LogReader, TooManyRequests
from ombak.runtime.region_records import RegionRecord
from ombak.runtime.regions import Regions
from ombak.runtime.store import Key, Store
from ombak.runtime.workqueue import WorkQueue

log = structlog.get_logger(__name__)

PATIENCE = Backoff(cap=timedelta(seconds=30))
PASS_WITHIN = timedelta(minutes=2)
_NOBODY: Key = ("", "")


class HubEngine:
    """All Pipelines of a hub. To be used from one event loop; `run` once."""

    def __init__(
        self, client: LogReader, records: Store[RegionRecord], gates: GateBook, clock: Clock, rng: random.Random
    ) -> None:
        """Nothing is asked before `run`."""
        self._client, self._clock, self._rng, self._gates = client, clock, rng, gates
        self._queue: WorkQueue[Key] = WorkQueue(rng, PATIENCE)
        self.stores = HubStores(
            pipelines=Store(decode_pipeline, on_event=self._pipeline_changed),
            artifacts=Store(decode_hub_artifact, owner=artifact_owner, on_event=self._queue_add),
            regions=records,
        )
        self._recorder = EventRecorder(client, clock)
        self._reach: dict[str, tuple[object, ...]] = {}
        self._index, self._alarms = PipelineIndex(), AlarmIndex()
        self._told: dict[str, RegionFacts] = {}
        """What each Region said of itself: its status is the hub's own word, and no news."""
        self._specs: dict[Key, tuple[str, int]] = {}
        """Uid and generation of each Pipeline: those that extend it look again only when these change."""
        gates.listeners.append(self.wake_all)

    def _queue_add(self, key: Key) -> None:
        self._queue.add(key)

    def _pipeline_changed(self, key: Key) -> None:
        stored = self.stores.pipelines.get(key)
        self._queue.add(key)
        before = self._specs.pop(key, None)
        if stored is not None:
            self._specs[key] = stored.value.view.uid, stored.value.view.generation
        else:
            self._alarms.put(key, frozenset())
        self._index.put(key, stored.value.base if stored is not None else None)
        if self._specs.get(key) != before:
            for heir in self._index.heirs(key):
                self._queue.add(heir)

    def wake_all(self) -> None:
        """Something changed that may concern every Pipeline."""
        for key in self.stores.pipelines:
            self._queue.add(key)

    def rollout_changed(self, _region: str, key: Key) -> None:
        """A Rollout of a region is another one now: those Pipelines look that deliver it, whatever their namespace."""
        for pipeline in self._index.named(key[1]):
            self._queue.add(pipeline)

    def region_changed(self, name: str) -> None:
        """A Region object is another one now: if it says something else, that may concern every Pipeline."""
        stored = self.stores.regions.get(("", name))
        before, after = self._told.pop(name, None), region_facts(stored.value) if stored is not None else None
        if after is not None:
            self._told[name] = after
        if before != after:
            self.wake_all()

    def alarm_changed(self, _region: str, alarm: Key) -> None:
        """An Alarm of a region says something else: those Pipelines look that asked for it when they looked last."""
        for key in self._alarms.asking(alarm):
            self._queue.add(key)

    def brought_changed(self, pipeline: str) -> None:
        """An Alarm that a Pipeline (`namespace/name`) brought along is another one now, or is gone."""
        namespace, _, name = pipeline.partition("/")
        if (namespace, name) in self._specs:
            self._queue.add((namespace, name))

    def contact_changed(self, name: str, regions: Regions) -> None:
        """A Region was looked at: only if it stands otherwise than before there is something to decide."""
        contact, view = regions.contact(name), regions.view(name, _NOBODY)
        told = contact and (contact.reach, contact.operator.reason, contact.cluster)
        found = (told, view and view.is_known)
        if self._reach.get(name) != found:
            self._reach[name] = found
            self.wake_all()

    async def run(self, hub: str, regions: Regions, synced: Iterable[asyncio.Event], workers: int = 8) -> None:
        """Work until cancelled, once everything was listed; `hub` tells this hub from all others."""
        writer = RegionWriter(regions, self._rng, self._queue.add_after)
        jobs = JobBook(self._client, regions, self._queue.add)
        hands = Hands(HubWriter(self._client, self.stores), writer, jobs)
        observer = Observer(hub, self.stores, regions, self._gates, self._clock, self._alarms)
        passes = PipelineReconciler(self._client, self.stores, observer, hands, self._clock, self._recorder)

        async def handle(key: Key) -> None:
            await self._handle(passes, key)

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._recorder.run(), name="events of pipelines")
                for event in synced:
                    await event.wait()
                log.info("hub synced", hub=hub, pipelines=len(self.stores.pipelines))
                group.create_task(jobs.run(), name="tests")
                group.create_task(self._queue.run(handle, workers), name="pipelines")
        finally:
            await writer.close()

    async def _handle(self, passes: PipelineReconciler, key: Key) -> None:
        with structlog.contextvars.bound_contextvars(namespace=key[0], pipeline=key[1]):
            try:
                async with asyncio.timeout(PASS_WITHIN.total_seconds()):
                    wake = await passes.reconcile(key)
            except (ApiError, TimeoutError) as error:
                least = error.retry_after if isinstance(error, TooManyRequests) and error.retry_after else timedelta(0)
                delay = self._queue.retry(key, least)
                log.info("will try again", error=str(error) or "it took too long", after=str(delay))
                return
            except Exception as error:
                # A mistake of ours about one Pipeline must not end the hub for all others.
                log.exception("a pass failed", after=str(self._queue.retry(key)))
                await self._tell_defect(passes, key, error)
                return
        self._queue.forget(key)
        if wake is not None:
            self._queue.add_after(key, wake)

    async def _tell_defect(self, passes: PipelineReconciler, key: Key, error: Exception) -> None:
        """Put it into the Pipeline's status, as well as that goes: the log has it in any case."""
        try:
            async with asyncio.timeout(PASS_WITHIN.total_seconds()):
                await passes.tell_defect(key, error, format_duration(PATIENCE.cap))
        except Exception as why:
            log.warning("the defect is not in the status", error=repr(why))
