"""Runs scenarios side by side, each in its own namespace, though pytest asks for them one after another."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest

AT_ONCE = 8
"""So many scenarios run at a time: enough that waiting costs nothing, and two cores still keep up."""
LIMIT_S = 540.0

Scenario = Callable[..., Coroutine[Any, Any, None]]
Runner = Callable[[str, Scenario, Mapping[str, Any]], Coroutine[Any, Any, str]]
"""Runs one scenario, given its name and arguments; returns its log."""


def side_by_side(scenario: Scenario) -> Callable[..., None]:
    """Make an async function of a `shop` (and parameters) into a test that runs beside all others of its module."""
    return _marked(scenario, is_alone=False)


def alone(scenario: Scenario) -> Callable[..., None]:
    """As `side_by_side`, for what disturbs everybody: it runs when all others of its module are done."""
    return _marked(scenario, is_alone=True)


def _marked(scenario: Scenario, *, is_alone: bool) -> Callable[..., None]:
    @functools.wraps(scenario)
    def test(request: pytest.FixtureRequest, outcomes: Outcomes, **_parameters: Any) -> None:
        print(outcomes.of(request.node.nodeid))  # noqa: T201 - shown with a failure, or by -s

    signature = inspect.signature(scenario)
    own = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in ("request", "outcomes")]
    others = [p for name, p in signature.parameters.items() if name != "shop"]
    test.__signature__ = signature.replace(parameters=[*own, *others], return_annotation=None)  # type: ignore[attr-defined]
    test.scenario = scenario  # type: ignore[attr-defined]
    test.is_alone = is_alone  # type: ignore[attr-defined]
    return test


class Outcomes:
    """Every chosen scenario, started at once in a loop of its own thread; each test awaits its own."""

    def __init__(self, items: list[pytest.Item], run: Runner) -> None:
        """Start them."""
        self._loop = asyncio.new_event_loop()
        # Every call and every kubectl of a scenario takes a thread: none may have to wait for those of the others.
        self._loop.set_default_executor(ThreadPoolExecutor(4 * AT_ONCE))
        self._thread = threading.Thread(target=self._loop.run_forever, name="scenarios", daemon=True)
        self._thread.start()
        self._futures: dict[str, Future[str]] = {}
        chosen = [item for item in items if hasattr(getattr(item, "function", None), "scenario")]
        shared, last = [], []
        for item in chosen:
            (last if item.function.is_alone else shared).append(item)  # type: ignore[attr-defined]
        room = asyncio.Semaphore(AT_ONCE)
        for item in shared:
            self._start(item, run, room, after=())
        for item in last:
            self._start(item, run, room, after=tuple(self._futures.values()))

    def _start(self, item: pytest.Item, run: Runner, room: asyncio.Semaphore, after: tuple[Future[str], ...]) -> None:
        async def guarded() -> str:
            await asyncio.gather(*map(asyncio.wrap_future, after), return_exceptions=True)
            async with room, asyncio.timeout(LIMIT_S):
                return await run(item.name, function.scenario, parameters)

        function = item.function  # type: ignore[attr-defined]
        callspec = getattr(item, "callspec", None)
        parameters = dict(callspec.params) if callspec else {}
        work: Awaitable[str] = guarded()
        self._futures[item.nodeid] = asyncio.run_coroutine_threadsafe(work, self._loop)  # type: ignore[arg-type]

    def of(self, nodeid: str) -> str:
        """The log of one scenario. Raises what it raised."""
        return self._futures[nodeid].result()

    def wait(self) -> None:
        """Return when every scenario has ended, however it did."""
        wait(self._futures.values())

    def close(self) -> None:
        """End what is still running."""
        for future in self._futures.values():
            future.cancel()
        self.wait()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
