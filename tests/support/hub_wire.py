"""The way from a hub to everything, and the clocks at its ends: what may be late, refused, lost, or minutes wrong."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from ombak.runtime.kube_port import ApiError, Conflict, Unreachable
from ombak.simulation.faults import Faults
from support.fake_metrics import LoopClock

GIVEN_UP_AFTER_S = 15.0
"""How long a request may hang: what a client allows it."""


@dataclasses.dataclass(slots=True)
class SkewedClock:
    """The clocks of one machine: its wall clock is so far off the true time."""

    skew: timedelta = timedelta(0)

    def now(self) -> datetime:
        return LoopClock().now() + self.skew

    def monotonic(self) -> float:
        return LoopClock().monotonic()


def at_once(asked: Coroutine[Any, Any, Any]) -> Any:
    """The answer of something that waits for nothing."""
    try:
        asked.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits")


@dataclasses.dataclass(slots=True)
class Wire:
    """The way to the hub and to all regions: its faults, whom a write tells, and when the hub dies of one."""

    rng: random.Random
    faults: Faults = dataclasses.field(default_factory=Faults)
    writes: int = 0
    dies_after: int = 0
    """The hub is killed right after so many writes; 0 is never."""
    die: Callable[[], None] = lambda: None

    async def carry(self, effect: Callable[[], Any], *, is_write: bool) -> Any:
        """Bring a request there and its answer back; each way may fail."""
        await self.travel()
        if self.faults.refused and self.rng.random() < self.faults.refused:
            raise refusal(self.rng)
        answer = effect()
        if is_write:
            self.writes += 1
            if self.writes == self.dies_after:
                self.die()
                await asyncio.Event().wait()
        if is_write and self.faults.lost_answer and self.rng.random() < self.faults.lost_answer:
            await asyncio.sleep(GIVEN_UP_AFTER_S)
            raise Unreachable("timed out")
        await self.travel()
        return answer

    async def travel(self) -> None:
        """Half a call."""
        await asyncio.sleep(self.faults.latency * self.rng.uniform(0.2, 2.0))


def refusal(rng: random.Random) -> ApiError:
    """Some answer without effect."""
    return rng.choice(
        (
            Conflict(409, "Conflict", "the object has been modified"),
            ApiError.of(429, "TooManyRequests", "slow down"),
            ApiError.of(500, "InternalError", "etcdserver: leader changed"),
            Unreachable("connection refused"),
        )
    )
