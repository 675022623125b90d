"""A keyed work queue for asyncio with the semantics of client-go's.

- A key that is added many times before its turn is worked on once (`_dirty`).
- A key is worked on by one worker at a time; added meanwhile, it gets another turn (`_processing`).
- `add_after` wakes a key later; of several wishes the earliest stays, for an early wake-up is harmless (the
  reconcile looks at the world and finds nothing to do) and a late one is not. Only a pause that the server asked
  for (`retry` with `at_least`) puts off what was planned before; news (`add`) gets its turn even then.
- Failures back off per key, with jitter: one broken object costs little, and a crowd does not return at once.

Time is the event loop's own clock: timers have to run on it anyway, and tests give the loop a virtual one.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from datetime import timedelta
from typing import Generic, TypeVar

from ombak.runtime.backoff import Backoff

K = TypeVar("K", bound=Hashable)


class ShutDown(Exception):  # noqa: N818 - a state of the queue, not a fault
    """Raised to whoever waits for a key of a queue that was shut down."""


class WorkQueue(Generic[K]):
    """Keys to work on. To be used from one event loop only; not thread safe."""

    def __init__(self, rng: random.Random, backoff: Backoff | None = None) -> None:
        self._rng = rng
        self._backoff = backoff or Backoff()
        self._ready: deque[K] = deque()
        self._dirty: dict[K, float] = {}  # key -> when it was first added since its last turn began
        self._processing: dict[K, float] = {}  # key -> when its turn began
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._available = asyncio.Semaphore(0)  # its value is len(_ready), plus one for ever once shut down
        self._closed = False

    def add(self, key: K) -> None:
        """Give `key` a turn as soon as possible; nothing happens if one is already due, or after shutdown."""
        if self._closed or key in self._dirty:
            return
        self._dirty[key] = asyncio.get_running_loop().time()
        if key not in self._processing:
            self._enqueue(key)

    def add_after(self, key: K, delay: timedelta) -> None:
        """Give `key` a turn in `delay`, or at the earlier time that is already planned for it."""
        if self._closed:
            return
        if delay <= timedelta(0):
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + delay.total_seconds()
        planned = self._timers.get(key)
        if planned is not None:
            if planned.when() <= due:
                return
            planned.cancel()
        self._timers[key] = loop.call_at(due, self._fire, key)

    def retry(self, key: K, at_least: timedelta = timedelta(0)) -> timedelta:
        """Give a failed key another turn after its back-off, or `at_least` if longer; returns the pause.

        A wake-up planned for before `at_least` is put off: whoever asked for that pause is to have it.
        """
        self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(at_least, self._backoff.delay(self._failures[key], self._rng))
        planned = self._timers.get(key)
        if planned is not None and planned.when() < asyncio.get_running_loop().time() + at_least.total_seconds():
            self._timers.pop(key).cancel()
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """End the back-off of a key: it succeeded, or it is gone."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How often the key failed in a row."""
        return self._failures.get(key, 0)

    async def get(self) -> K:
        """Wait for a key and begin its turn; `done` must follow. Raises `ShutDown`."""
        await self._available.acquire()
        if self._closed:
            self._available.release()  # wakes the next one that waits
            raise ShutDown
        key = self._ready.popleft()
        del self._dirty[key]
        self._processing[key] = asyncio.get_running_loop().time()
        return key

    def done(self, key: K) -> None:
        """End the turn of a key; it gets another one if it was added meanwhile."""
        del self._processing[key]
        if key in self._dirty and not self._closed:
            self._enqueue(key)

    def shutdown(self) -> None:
        """Take nothing more and hand out nothing more; turns that have begun go on.

        What waits is dropped: the next process starts from a list of everything.
        """
        if self._closed:
            return
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._ready.clear()
        self._dirty.clear()
        self._available.release()

    async def run(self, handle: Callable[[K], Awaitable[None]], workers: int = 20) -> None:
        """Work until `shutdown`, then end when the last turn has ended.

        An exception of `handle` ends all workers and is raised (as a group): errors of one object are
        `handle`'s to catch and to `retry`; what it lets through is a defect, and a defect must be seen.
        """
        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(self._work(handle), name=f"worker-{number}")

    async def _work(self, handle: Callable[[K], Awaitable[None]]) -> None:
        while True:
            try:
                key = await self.get()
            except ShutDown:
                return
            try:
                await handle(key)
            finally:
                self.done(key)

    @property
    def depth(self) -> int:
        """Keys that wait for a turn (delayed ones not counted)."""
        return len(self._dirty)

    @property
    def delayed(self) -> int:
        """Keys with a planned wake-up."""
        return len(self._timers)

    @property
    def oldest_age(self) -> timedelta:
        """How long the key that waits longest has waited; zero when none waits."""
        return self._age(self._dirty)

    @property
    def longest_turn(self) -> timedelta:
        """How long the longest turn now going on has lasted; zero when none is."""
        return self._age(self._processing)

    def _age(self, since: dict[K, float]) -> timedelta:
        if not since:
            return timedelta(0)
        return timedelta(seconds=asyncio.get_running_loop().time() - min(since.values()))

    def _fire(self, key: K) -> None:
        del self._timers[key]
        self.add(key)

    def _enqueue(self, key: K) -> None:
        self._ready.append(key)
        self._available.release()
