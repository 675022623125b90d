"""Scenarios of one module that run side by side on `shared_hub`, though pytest asks for them one after another."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

from ombak.sandbox import Region
from support.shared_hub import Exporter, Shared

Scenario = Callable[[Shared], Coroutine[Any, Any, None]]


def beside(scenario: Scenario) -> Callable[..., None]:
    """Make a scenario into a test that runs beside all others of its module; it asks for the fixture `outcomes`."""

    @functools.wraps(scenario)
    def test(outcomes: Outcomes) -> None:
        outcomes.of(scenario)

    parameter = inspect.Parameter("outcomes", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    test.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    test.in_world = scenario  # type: ignore[attr-defined]
    return test


def loses_a_region(name: str) -> Callable[[Scenario], Scenario]:
    """Say of a scenario that it is about the third region's absence.

    It takes this name out of `busy_there` when the region may go, and out of `missing_it` when it may be back.
    """

    def marked(scenario: Scenario) -> Scenario:
        scenario.busy_there = name  # type: ignore[attr-defined]
        return scenario

    return marked


class Outcomes:
    """Every chosen scenario, started at once in a loop of its own thread; each test awaits its own."""

    def __init__(self, planes: list[Region], exporter: Exporter, logs: Path, chosen: Iterable[Scenario]) -> None:
        """Start the operators, and all scenarios."""
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(16))
        self._thread = threading.Thread(target=self._loop.run_forever, name="scenarios", daemon=True)
        self._thread.start()
        self.world = Shared(planes, logs, exporter)
        for process in self.world.processes:
            process.start()
        scenarios = list(chosen)
        self.world.busy_there |= {s.busy_there for s in scenarios if hasattr(s, "busy_there")}
        self.world.missing_it |= self.world.busy_there
        self._away: Future[None] | None = None
        if self.world.busy_there:
            self._away = asyncio.run_coroutine_threadsafe(self.world.take_away(), self._loop)
        self._futures = {s.__name__: asyncio.run_coroutine_threadsafe(self._play(s), self._loop) for s in scenarios}

    async def _play(self, scenario: Scenario) -> None:
        try:
            await scenario(self.world)
        finally:
            for names in (self.world.busy_there, self.world.missing_it):
                names.discard(getattr(scenario, "busy_there", ""))

    def of(self, scenario: Scenario) -> None:
        """Wait for one scenario. Raises what it raised."""
        self._futures[scenario.__name__].result()

    def close(self) -> None:
        """End what is still running; raises SandboxError where an operator has ended by itself."""
        for future in (*self._futures.values(), *((self._away,) if self._away is not None else ())):
            future.cancel()
        try:
            for process in self.world.processes:
                process.check()
        finally:
            for process in self.world.processes:
                process.stop(timedelta(seconds=10))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
