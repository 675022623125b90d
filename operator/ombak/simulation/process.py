"""One operator process: the real reconciler, stores and work queue on simulated surroundings; it can be killed."""

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from ombak.core.plan import Note
from ombak.core.snapshot import RolloutView
from ombak.runtime.gate_book import GateBook
from ombak.runtime.kube_port import ApiError, TooManyRequests
from ombak.runtime.observe import Stores
from ombak.runtime.reconcile import Reconciler
from ombak.runtime.records import decode_artifact, decode_rollout, decode_workload, owner_of
from ombak.runtime.store import Key, Store
from ombak.runtime.workqueue import WorkQueue
from ombak.simulation import agenda
from ombak.simulation.agenda import Timeline
from ombak.simulation.client import Died, SimulatedClient, Wire
from ombak.simulation.faults import Faults
from ombak.simulation.feed import Feed
from ombak.simulation.health import SimulatedAlarms
from ombak.simulation.region import Region

Tell = Callable[[str], None]


@dataclasses.dataclass(slots=True)
class Machine:
    """The machine that a process runs on: its wall clock may be wrong."""

    timeline: Timeline
    skew: float = 0.0

    def now(self) -> datetime:
        """Return the wall clock, as this machine believes."""
        return agenda.at(self.timeline.time() + self.skew)


class MachineClock:
    """The clocks of one process: the wall clock of its machine, and one that began with it."""

    def __init__(self, machine: Machine, boot: float) -> None:
        self._machine, self._boot = machine, boot

    def now(self) -> datetime:
        return self._machine.now()

    def monotonic(self) -> float:
        return self._machine.timeline.time() + self._boot


class _Recorder:
    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def record(self, rollout: RolloutView, note: Note) -> None:
        self._tell(f"EVENT for {rollout.name} {note.reason}: {note.message}")


class Process:
    """One life of an operator."""

    def __init__(self, region: Region, machine: Machine, faults: Faults, rng: random.Random, tell: Tell) -> None:
        self._region, self._rng, self._tell = region, rng, tell
        self.is_alive = True
        self.writes = 0
        self.passes = 0
        self.on_pass: Callable[[Process], None] = lambda _: None
        stores = Stores(
            rollouts=Store(decode_rollout, on_event=self._add),
            artifacts=Store(decode_artifact, owner=owner_of, on_event=self._add),
            deployments=Store(decode_workload, owner=owner_of, on_event=self._add),
            replica_sets=Store(decode_workload, owner=owner_of, on_event=self._add),
        )
        clock = MachineClock(machine, rng.uniform(0, 1e6))
        self.alarms = SimulatedAlarms(region.health, region.rule, clock, region.timeline, self._add)
        self._wire = Wire(
            server=region.server,
            faults=faults,
            rng=rng,
            is_slow=True,
            before=self._act,
            on_call=self._called,
            on_crash=self.end,
            pods=region.kubelets.as_objects,
        )
        gates = GateBook(stores.rollouts, self._add)
        self._reconciler = Reconciler(SimulatedClient(self._wire), stores, self.alarms, clock, _Recorder(tell), gates)
        self._by_kind: dict[str, Store[Any]] = {
            "Rollout": stores.rollouts,
            "Artifact": stores.artifacts,
            "Deployment": stores.deployments,
            "ReplicaSet": stores.replica_sets,
            **{kind.kind: store for kind, store in gates.stores().items()},
        }
        self._feed: Feed | None = None
        self._faults = faults

    def _act(self) -> None:
        self._region.health.read_at = self.alarms.read_at

    def _called(self, told: str, is_write: bool) -> None:
        self.writes += is_write
        self._tell(told)

    def _add(self, key: Key) -> None:
        raise NotImplementedError

    def _watch(self) -> None:
        region = self._region
        self._feed = Feed(region.server, self._by_kind, region.timeline, self._faults, self._rng)

    def check(self) -> None:
        """Raise what made it fail, for a defect must be seen."""

    async def stop(self) -> None:
        """End it, and wait until it has ended."""
        self.end()

    def end(self) -> None:
        """Kill it, wherever it is."""
        if self.is_alive:
            self.is_alive = False
            self._tell("the operator dies")
            self.alarms.stop()
            if self._feed is not None:
                self._feed.stop()


class LoopProcess(Process):
    """A process on an event loop, with the real work queue; calls take time."""

    def __init__(self, region: Region, machine: Machine, faults: Faults, rng: random.Random, tell: Tell) -> None:
        super().__init__(region, machine, faults, rng, tell)
        self._queue: WorkQueue[Key] = WorkQueue(rng)
        self._watch()
        self._task = asyncio.get_running_loop().create_task(self._queue.run(self._handle, workers=2))

    def _add(self, key: Key) -> None:
        if self.is_alive:
            self._queue.add(key)

    def end(self) -> None:
        """Kill it, wherever it is."""
        super().end()
        self._queue.shutdown()
        self._task.cancel()

    async def stop(self) -> None:
        """End it, and wait until it has ended."""
        self.end()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def check(self) -> None:
        """Raise what made it fail, for a defect must be seen."""
        if self._task.done() and not self._task.cancelled():
            self._task.result()

    async def _handle(self, key: Key) -> None:
        self.passes += 1
        self.on_pass(self)
        try:
            wake = await self._reconciler.reconcile(key)
        except ApiError as error:
            least = error.retry_after if isinstance(error, TooManyRequests) and error.retry_after else timedelta(0)
            self._queue.retry(key, least)
            return
        self._queue.forget(key)
        if wake is not None:
            self._queue.add_after(key, wake)


class QuickProcess(Process):
    """A process without an event loop: calls take no time, so that hundreds of thousands of passes are cheap."""

    def __init__(self, region: Region, machine: Machine, faults: Faults, rng: random.Random, tell: Tell) -> None:
        super().__init__(region, machine, faults, rng, tell)
        self._wire.is_slow = False
        self._due: float | None = None
        self._failures = 0
        self._watch()

    def _add(self, key: Key) -> None:
        self._plan(key, 0.01)

    def _plan(self, key: Key, delay: float) -> None:
        due = self._region.timeline.time() + delay
        if self.is_alive and (self._due is None or due < self._due):
            self._due = due
            self._region.timeline.call_later(delay, self._pass, key, due)

    def _pass(self, key: Key, due: float) -> None:
        if not self.is_alive or self._due != due:
            return
        self._due = None
        self.passes += 1
        self.on_pass(self)
        try:
            self._reconciler.reconcile(key).send(None)
        except StopIteration as ended:
            self._failures = 0
            if ended.value is not None:
                self._plan(key, max(0.01, ended.value.total_seconds()))
        except ApiError as error:
            self._failures += 1
            least = error.retry_after.total_seconds() if error.retry_after else 0.0
            self._plan(key, max(least, min(30.0, 0.25 * 2**self._failures)))
        except Died:
            return
