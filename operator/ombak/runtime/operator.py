"""One region's operator, assembled from its parts: stores feed a queue, workers reconcile, alarms wake them."""

import asyncio
import dataclasses
import platform
import random
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from datetime import timedelta
from typing import Any

import structlog

from ombak.alarms.resolve import AlarmKey
from ombak.api.duration import format_duration
from ombak.core.floors import NO_FLOORS, Floors
from ombak.runtime import kinds
from ombak.runtime.alarm_interest import DEFAULT_ENDPOINT
from ombak.runtime.alarm_reader import AlarmReader
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.alarm_status import AlarmReporter
from ombak.runtime.alarm_traps import TrapInspector
from ombak.runtime.backoff import Backoff
from ombak.runtime.clock import Clock
from ombak.runtime.config_maps import Copies, LiveConfig
from ombak.runtime.decode_alarm import AlarmRecord, decode_alarm
from ombak.runtime.events import EventRecorder
from ombak.runtime.gate_book import GateBook
from ombak.runtime.gate_status import GateReporter
from ombak.runtime.guards import Guards, NamespaceRecord, decode_namespace, within
from ombak.runtime.kube_port import ApiError, Kind, KubeClient, TooManyRequests
from ombak.runtime.metrics_port import MetricsSource
from ombak.runtime.observe import Stores
from ombak.runtime.override_status import OverrideReporter
from ombak.runtime.pacing import Pacing
from ombak.runtime.pulse import Pulse
from ombak.runtime.reconcile import Reconciler
from ombak.runtime.records import decode_artifact, decode_rollout, decode_workload, owner_of
from ombak.runtime.rollout_traps import RolloutTraps
from ombak.runtime.store import Key, Store
from ombak.runtime.workqueue import WorkQueue

log = structlog.get_logger()

PATIENCE = Backoff(cap=timedelta(seconds=30))
"""Pauses after failed passes; short enough that a revert does not stand still long after an outage."""
_GATES = {kind.kind: kind for kind in (kinds.WINDOWS, kinds.BLOCKERS, kinds.CLUSTER_BLOCKERS)}
TELL_AFTER = 6
"""Failed passes in a row (about fifteen seconds) until the status says so; where that fails too, after as many more."""
PASS_WITHIN = timedelta(minutes=2)
"""A pass that takes longer hangs: it is given up and tried again."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where an operator runs: time zone (IANA), floors and name of the Region, and whether the cluster is its own."""

    time_zone: str = "UTC"
    is_whole_cluster: bool = True
    floors: Callable[[], Floors] = lambda: NO_FLOORS
    region: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """One thing to reconcile: a kind's name and the object's key."""

    kind: str
    key: Key


class Operator:
    """The engine of one region. To be used from one event loop."""

    def __init__(
        self,
        client: KubeClient,
        sources: Mapping[str, MetricsSource],
        clock: Clock,
        rng: random.Random,
        workers: int = 32,
        place: Place | None = None,
    ) -> None:
        """`sources` by the name that Alarms give them, the region's own Prometheus under ""."""
        self._queue: WorkQueue[Work] = WorkQueue(rng, PATIENCE)
        self._workers = workers
        self._pacing: Pacing[Key] = Pacing()
        self.stores = Stores(
            rollouts=Store(decode_rollout, on_event=self._add_rollout),
            artifacts=Store(decode_artifact, owner=owner_of, on_event=self._add_rollout),
            deployments=Store(decode_workload, owner=owner_of, on_event=self._boxes_changed),
            replica_sets=Store(decode_workload, owner=owner_of, on_event=self._boxes_changed),
            config_maps=LiveConfig(on_event=self._config_changed),
            copies=Copies(on_event=self._add_rollout),
        )
        self.alarms: Store[AlarmRecord] = Store(decode_alarm, on_event=self._alarm_changed)
        place = place or Place()
        self.service = AlarmService(sources, clock, self._wake, region=place.region or None)
        self.recorder = EventRecorder(client, clock)
        self._guards = Guards()
        self.namespaces: Store[NamespaceRecord] = Store(decode_namespace, on_event=self._namespace_changed)
        inspector = TrapInspector(sources, clock, self._wake)
        traps = RolloutTraps(self.service, inspector)
        regional = sources[DEFAULT_ENDPOINT]
        reader = AlarmReader(self.service, regional, clock, self._add_rollout, self._guards, traps, place.region)
        self.gates = GateBook(self.stores.rollouts, self._add_rollout, place.time_zone, self._gate_changed)
        self.gates.region_floors = place.floors
        self._gate_reporter = GateReporter(client, self.gates, clock, writes_cluster=place.is_whole_cluster)
        self._override_reporter = OverrideReporter(client, self.gates.overrides, clock, self.recorder)
        self._rollouts = Reconciler(client, self.stores, reader, clock, self.recorder, self.gates)
        holder = f"{platform.node()}_{rng.getrandbits(32):08x}"
        # By the same contact, so that an outage is noticed while no Rollout needs an answer.
        self._pulse = Pulse(self._rollouts.contact, clock, self._queue, holder)
        self._alarm_reporter = AlarmReporter(client, self.alarms, self.service, inspector, clock)

    @property
    def queue(self) -> WorkQueue[Work]:
        """The work that waits; for metrics and liveness."""
        return self._queue

    def _add_rollout(self, key: Key) -> None:
        self._queue.add(Work(kinds.ROLLOUTS.kind, key))

    def _boxes_changed(self, key: Key) -> None:
        pause = self._pacing.pause(key, is_part=self._rollouts.awaits_more(key))
        self._queue.add_after(Work(kinds.ROLLOUTS.kind, key), pause)

    @property
    def config_needed(self) -> asyncio.Event:
        """Set as soon as some Rollout has configuration, and so ConfigMaps are to be watched."""
        return self._rollouts.config.needed

    def _config_changed(self, key: Key) -> None:
        for rollout in self._rollouts.config.followers(key):
            self._add_rollout(rollout)

    def _alarm_changed(self, key: Key) -> None:
        found, alarm = self.alarms.get(key), AlarmKey(*key)
        if found is None:
            self.service.remove_alarm(alarm)
            self._alarm_reporter.forget(key)
        else:
            self.service.set_alarm(alarm, found.value.spec, self._alarm_reporter.warm_at(found.value))
        self._wake_within(self._guards.set_alarm(key, None if found is None else found.value.guards))
        self._queue.add(Work(kinds.ALARMS.kind, key))

    def _gate_changed(self, kind: Kind, key: Key) -> None:
        self._queue.add(Work(kind.kind, key))

    def _namespace_changed(self, key: Key) -> None:
        found = self.namespaces.get(key)
        self._wake_within(self._guards.set_team(key[1], "" if found is None else found.value.team))

    def _wake_within(self, namespaces: frozenset[str]) -> None:
        for key in within(self.stores.rollouts, namespaces):
            self._add_rollout(key)

    def _wake(self, watchers: Iterable[Hashable]) -> None:
        for watcher in watchers:
            if isinstance(watcher, Work):
                self._queue.add(watcher)
            elif isinstance(watcher, tuple):
                self._add_rollout(watcher)

    def custom(self) -> dict[Kind, Store[Any]]:
        """Return the stores of our own kinds, which the watch of the shell feeds."""
        return {
            kinds.ROLLOUTS: self.stores.rollouts,
            kinds.ARTIFACTS: self.stores.artifacts,
            kinds.ALARMS: self.alarms,
            **self.gates.stores(),
        }

    async def run(self, synced: Iterable[asyncio.Event]) -> None:
        """Work, once everything was listed: what is not seen yet must not be taken for gone."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.service.run(), name="alarms")
            group.create_task(self.recorder.run(), name="events")
            for event in synced:
                await event.wait()
            log.info("synced", rollouts=len(self.stores.rollouts), alarms=len(self.alarms))
            group.create_task(self._queue.run(self._handle, self._workers), name="workers")
            group.create_task(self._first_round(), name="first round")
            group.create_task(self._pulse.run(), name="sign of life")

    async def _first_round(self) -> None:
        """Say when everything that was there at the start was looked at: from then on it is on its own."""
        while self._queue.depth:  # noqa: ASYNC110 - said once in a process' life
            await asyncio.sleep(0.05)
        log.info("looked at everything", rollouts=len(self.stores.rollouts))

    async def _handle(self, work: Work) -> None:
        with structlog.contextvars.bound_contextvars(namespace=work.key[0], **{work.kind.lower(): work.key[1]}):
            try:
                async with asyncio.timeout(PASS_WITHIN.total_seconds()):
                    wake = await self._reconcile(work)
            except (ApiError, TimeoutError) as error:
                least = error.retry_after if isinstance(error, TooManyRequests) and error.retry_after else timedelta(0)
                delay = self._queue.retry(work, least)
                log.info("will try again", error=str(error) or "it took too long", after=str(delay))
                if self._queue.failures(work) % TELL_AFTER == 0:
                    await self._tell(work, error, self._rollouts.tell_trouble)
                return
            except Exception as error:
                # A mistake of ours in one pass must not end the operator for everybody else.
                log.exception("a pass failed", after=str(self._queue.retry(work)))
                await self._tell(work, error, self._rollouts.tell_defect)
                return
        self._queue.forget(work)
        if wake is not None:
            self._queue.add_after(work, wake)

    async def _tell(self, work: Work, error: Exception, tell: Callable[[Key, Exception, str], Awaitable[None]]) -> None:
        """Put it into the Rollout's status, as well as that goes: the log has it in any case."""
        if work.kind != kinds.ROLLOUTS.kind:
            return
        try:
            async with asyncio.timeout(PASS_WITHIN.total_seconds()):
                await tell(work.key, error, format_duration(PATIENCE.cap))
        except Exception as why:
            log.warning("what went wrong is not in the status", error=repr(why))

    async def _reconcile(self, work: Work) -> timedelta | None:
        if work.kind == kinds.ALARMS.kind:
            await self._alarm_reporter.reconcile(work.key, work)
            return None
        if work.kind == kinds.OVERRIDES.kind:
            return await self._override_reporter.reconcile(work.key)
        if work.kind in _GATES:
            return await self._gate_reporter.reconcile(_GATES[work.kind], work.key)
        self._pacing.took_turn(work.key)
        return await self._rollouts.reconcile(work.key)
