"""Virtual time: what was planned happens in order, and the hours in between take no time at all."""

import asyncio
import heapq
import itertools
import selectors
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

R = TypeVar("R")

EPOCH = datetime(2026, 1, 5, 9, tzinfo=UTC)
"""The true time at the start of every run."""


def at(seconds: float) -> datetime:
    """Return the true wall clock time, so many seconds into a run."""
    return EPOCH + timedelta(seconds=seconds)


class Timeline(Protocol):
    """What plans things: an `Agenda`, or an event loop."""

    def time(self) -> float:
        """Return the seconds since the start of the run."""
        ...

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> object:
        """Call back after so many seconds."""
        ...


class Agenda:
    """A timeline without an event loop, for runs in which nobody waits for anybody."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = itertools.count()
        self._planned: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []

    def time(self) -> float:
        """Return the seconds since the start of the run."""
        return self._now

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> object:
        """Call back after so many seconds; of two at the same moment the one that was planned first."""
        entry = (self._now + max(0.0, delay), next(self._order), callback, args)
        heapq.heappush(self._planned, entry)
        return entry

    def run_until(self, moment: float) -> None:
        """Let time pass."""
        while self._planned and self._planned[0][0] <= moment:
            self._now, _, callback, args = heapq.heappop(self._planned)
            callback(*args)
        self._now = max(self._now, moment)


class _Jump(selectors.BaseSelector):
    """Instead of waiting, tells the loop how long it would have waited; what threads and pipes say is heard first."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits and no timer is set: this would hang for ever")
        if not ready and timeout is not None:
            self.elapsed += timeout
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time starts at 0 and jumps to the next timer as soon as nothing can run."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._jump.elapsed


def run_virtual(main: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine to its end on a virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
