"""How much one client may ask of an API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests per second (`qps`) after a `burst`, requests at once, and the time one may take."""

    qps: float = 200.0
    burst: int = 400
    in_flight: int = 64
    timeout: timedelta = timedelta(seconds=15)


class Gate:
    """A token bucket and a cap on concurrency, first come first served; the wait counts for no timeout."""

    def __init__(self, limits: Limits) -> None:
        self._interval = 1.0 / limits.qps
        self._slack = (limits.burst - 1) * self._interval
        self._free_at = float("-inf")  # when the bucket would be full again, less the whole burst
        self._slots = asyncio.Semaphore(limits.in_flight)

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Wait for a token and a slot, and hold the slot."""
        async with self._slots:
            await self.token()
            yield

    async def token(self) -> None:
        """Wait for a token only (for streams, which would keep a slot for minutes)."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now - self._slack)
        wait = self._free_at - now
        self._free_at += self._interval
        if wait > 0:
            await asyncio.sleep(wait)
