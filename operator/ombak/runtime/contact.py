"""Whether the API server answers: how long it did not, over all that one process asks about boxes.

A deadline of boxes stands still meanwhile, so only what it rests on counts. That a webhook fails for ConfigMaps, or
their encryption does, says nothing of boxes.

A pass in which nothing is new asks nothing, so by itself it would not know that what it sees is old. The sign of life
(`runtime.pulse`) goes through the same client every 15 seconds, so an outage does not stay unknown for long.
"""

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, TypeVar

from ombak.runtime import kinds
from ombak.runtime.clock import Clock
from ombak.runtime.kube_port import ApiError, Kind, KubeClient, Object

T = TypeVar("T")

TELLING = (kinds.ROLLOUTS, kinds.DEPLOYMENTS, kinds.REPLICA_SETS, kinds.LEASES)
"""What boxes are told by and told in, and the sign of life."""
MOST = 45.0
"""When a call fails, no more seconds before it count as lost: a beat, and the time until it was given up."""


class Contact:
    """A `KubeClient` that hands everything on, and remembers how long no answer came. For one event loop only."""

    def __init__(self, client: KubeClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._lost = 0.0
        self._mark = clock.monotonic()
        """Up to here it is known whether answers came."""
        self._is_lost = False

    @property
    def lost(self) -> timedelta:
        """How long no answer came in the life of this process, in all; it never shrinks."""
        running = self._clock.monotonic() - self._mark if self._is_lost else 0.0
        return timedelta(seconds=self._lost + running)

    async def _asked(self, kind: Kind, call: Awaitable[T]) -> T:
        if kind not in TELLING:
            return await call
        try:
            answer = await call
        except ApiError as error:
            self._note(is_lost=error.status == 0 or error.status >= 500)
            raise
        self._note(is_lost=False)
        return answer

    def _note(self, *, is_lost: bool) -> None:
        mono = self._clock.monotonic()
        since = mono - self._mark
        if self._is_lost:
            self._lost += since
        elif is_lost:
            self._lost += min(since, MOST)
        self._mark, self._is_lost = mono, is_lost

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """See `KubeClient.get`."""
        return await self._asked(kind, self._client.get(kind, namespace, name))

    async def create(self, kind: Kind, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        """See `KubeClient.create`."""
        call = self._client.create(kind, namespace, body, dry_run=dry_run)
        return await (call if dry_run else self._asked(kind, call))  # a dry run is about no box that there is

    async def replace(self, kind: Kind, namespace: str, name: str, body: Object, **more: Any) -> Object:
        """See `KubeClient.replace`."""
        return await self._asked(kind, self._client.replace(kind, namespace, name, body, **more))

    async def patch(self, kind: Kind, namespace: str, name: str, patch: Object | list[Object], **more: Any) -> Object:
        """See `KubeClient.patch`."""
        return await self._asked(kind, self._client.patch(kind, namespace, name, patch, **more))

    async def delete(self, kind: Kind, namespace: str, name: str, **more: Any) -> None:
        """See `KubeClient.delete`."""
        await self._asked(kind, self._client.delete(kind, namespace, name, **more))

    async def list(self, kind: Kind, namespace: str | None = None, label_selector: str = "", **more: Any) -> Object:
        """See `KubeClient.list`."""
        return await self._asked(kind, self._client.list(kind, namespace, label_selector, **more))
