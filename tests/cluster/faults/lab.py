"""A region of its own for faults, and scenarios that run side by side in it, each with the operators it asks for."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar

from harness import USER, OperatorProcess, Shop, install
from ombak.sandbox import Region, wait_for
from ombak.sandbox.client import ApiStatusError
from support.faultproxy import FaultProxy, Faults
from timeline import Timeline

T = TypeVar("T")

PATIENCE = timedelta(seconds=240)
KINDS = ("rollouts", "artifacts", "alarms")


class Lab:
    """One region with the CRDs and no operator, a timeline of it, and an event loop in a thread."""

    def __init__(self, region: Region) -> None:
        """Installs the CRDs and begins to watch."""
        install(region)
        wait_for("the new kinds are served", lambda: _is_served(region), timedelta(seconds=60))
        self.region = region
        self.timeline = Timeline(region.plane.client)
        self.timeline.start()
        self.failed = False
        """The logs are worth keeping."""
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(32))
        self._thread = threading.Thread(target=self.loop.run_forever, name="lab", daemon=True)
        self._thread.start()
        self._names = itertools.count(1)
        self.namespaces: set[str] = set()
        """Those of all shops."""

    @classmethod
    @contextlib.contextmanager
    def running(cls, name: str, *, traffic: bool = False, users: Sequence[str] = (USER,)) -> Iterator[Lab]:
        """A lab that lasts as long as the block."""
        region = Region.start(name, nodes=6, traffic=traffic, users=users)
        lab = None
        try:
            lab = cls(region)
            yield lab
        finally:
            if lab is not None:
                lab.close()
            region.stop(keep_logs=lab is None or lab.failed)

    def close(self) -> None:
        """End what still runs."""
        self.timeline.stop()
        asyncio.run_coroutine_threadsafe(_cancel_all(), self.loop).result(60)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin a scenario; `result()` of what comes back waits for it and raises what it raised."""

        async def watched() -> T:
            try:
                return await work
            except Exception:
                self.failed = True
                raise

        return asyncio.run_coroutine_threadsafe(watched(), self.loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do a scenario."""
        return self.start(work).result()

    async def shop(self, name: str) -> Shop:
        """A Rollout-to-be in a new namespace."""
        namespace = f"{name.lower()}-{uuid.uuid4().hex[:6]}"
        self.namespaces.add(namespace)
        return await Shop(self.region, self.timeline, namespace).open()

    def name(self, name: str) -> str:
        """A name for a process that no other one has: its log is called so."""
        return f"{name}-{next(self._names)}"

    def run_operator(self, name: str, **options: Any) -> OperatorProcess:
        """An operator that runs until whoever asked for it stops it."""
        process = OperatorProcess(self.region, self.name(name), **options)
        process.start()
        return process

    @contextlib.asynccontextmanager
    async def operator(
        self, name: str, namespaces: Sequence[str] = (), *, dies: bool = False, waits: bool = False, **options: Any
    ) -> AsyncIterator[OperatorProcess]:
        """An operator process of these namespaces (all if none), told to stop at the end of the block.

        Fails if it has ended before, unless it `dies` by the test's own hand; one that `waits` for something is not
        waited for. Other options are those of `OperatorProcess`.
        """
        chosen = [part for namespace in namespaces for part in ("--namespace", namespace)]
        process = OperatorProcess(self.region, self.name(name), options=chosen, **options)
        try:
            await asyncio.to_thread(process.start, wait=not waits)
            yield process
            if not dies:
                process.process.check()
            defects = [line for line in process.lines() if line.get("event") == "a pass failed"]
            assert not defects, f"a mistake of ours: {defects[0].get('exception')}"
        finally:
            await asyncio.to_thread(process.stop)

    def proxy(self, faults: Faults | None = None) -> FaultProxy:
        """A proxy to the region's API server, not serving yet."""
        return FaultProxy(self.region, self.region.workdir.folder("proxies"), faults)


def _is_served(region: Region) -> bool:
    """A CRD is established a moment before it can be listed."""
    try:
        return all(region.plane.client.call("GET", f"/apis/ombak.dev/v1alpha1/{kind}") for kind in KINDS)
    except ApiStatusError:
        return False


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def eventually(holds: Callable[[], bool], what: str, patience: timedelta = PATIENCE) -> None:
    """Wait for what nobody announces; fails if it never comes. `holds` may block a little."""
    deadline = time.monotonic() + patience.total_seconds()
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline, f"{what} did not come"
        await asyncio.sleep(0.05)


async def reads(
    read: Callable[[], Awaitable[T]], holds: Callable[[T], bool], what: str, patience: timedelta = PATIENCE
) -> T:
    """Read something until it is as wanted, and return it; fails if it never is."""
    deadline = time.monotonic() + patience.total_seconds()
    while not holds(found := await read()):
        assert time.monotonic() < deadline, f"{what} did not come: {found}"
        await asyncio.sleep(0.1)
    return found


async def end_state(shop: Shop) -> dict[str, Any]:
    """All that an end state is made of, without what differs from run to run (times, names of namespaces)."""
    seen = shop.now
    assert seen is not None
    artifacts = await shop.items("Artifact")
    sets, boxes = await shop.items("ReplicaSet", labelSelector="ombak.dev/box=fleet"), await shop.items("Deployment")
    return {
        "phase": seen.phase,
        "artifacts": seen.status.get("artifacts"),
        "memory": {k: v for k, v in (seen.status.get("memory") or {}).items() if k != "wait"},
        "conditions": [(c["type"], c["status"], c["reason"]) for c in seen.status["conditions"]],
        "boxes": await shop.boxes(),
        "verdicts": {a["spec"]["id"]: _verdict(a.get("status") or {}) for a in artifacts},
        "fleet": {w["metadata"]["labels"]["ombak.dev/artifact"]: w["spec"]["replicas"] for w in sets},
        "one box": {w["metadata"]["labels"]["ombak.dev/artifact"]: w["spec"]["replicas"] for w in boxes},
    }


def _verdict(status: dict[str, Any]) -> tuple[int, str]:
    return (status.get("stable") or {}).get("order", 0), (status.get("rejected") or {}).get("reason", "")
