"""Takes what the watch of our own kinds brings, and checks from time to time whether it brings everything.

kopf keeps no cache to compare a new list with, so a deletion that happens while its watch is broken is never told,
and its watcher can die in silence. Therefore all its kinds are listed before it starts (which also waits for the
CRDs to be installed) and every ten minutes afterwards. When such a list brings news and the watch has said nothing
of that kind since the list before, the watch is deaf: the run ends, so that the process can be started anew.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

import structlog

from ombak.runtime.backoff import Backoff
from ombak.runtime.kube_port import ApiError, Forbidden, Kind, KubeClient, Object, Unreachable
from ombak.runtime.store import Key, NotAnObject, Store, Stored

log = structlog.get_logger(__name__)

PATIENCE = Backoff(timedelta(milliseconds=500), timedelta(seconds=15))
"""Pauses between lists that fail; short enough for `kubectl apply -f crds/` after the start."""


class DeafError(Exception):
    """The watch of a kind has died in silence."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """How often everything is listed again (up to a fifth later, at random), and how late an event may be."""

    every: timedelta = timedelta(minutes=10)
    grace: timedelta = timedelta(seconds=60)
    backoff: Backoff = PATIENCE


class Intake:
    """Feeds the stores of the watched kinds; of all namespaces when `namespaces` is empty."""

    def __init__(
        self,
        client: KubeClient,
        stores: Mapping[Kind, Store[Any]],
        namespaces: Sequence[str],
        rng: random.Random,
        rounds: Rounds | None = None,
        optional: Mapping[Kind, Callable[[], None]] | None = None,
    ) -> None:
        """Kinds that are `optional` are left out, and that is told, where we may not read them at the start."""
        self.stores = dict(stores)
        self._optional = optional or {}
        self.namespaces = tuple(namespaces)
        self.synced = asyncio.Event()
        self.missed = 0  # changes that a list brought before the watch
        self._client = client
        self._rng = rng
        self._rounds = rounds or Rounds()
        self._listed: dict[Kind, int] = {}
        self._heard_at: dict[Kind, float] = {}

    def deliver(self, kind: Kind, event_type: str | None, obj: Object) -> None:
        """Take one event of the watch; the type is None for what was there when it began."""
        self._heard_at[kind] = asyncio.get_running_loop().time()
        store = self.stores[kind]
        if event_type == "DELETED":
            store.remove(obj)
        else:
            store.observe(obj)

    @property
    def silent_for(self) -> dict[str, timedelta | None]:
        """Time since the last event of each kind; None when there was none. Quiet is not yet deaf."""
        now = asyncio.get_running_loop().time()
        heard = {kind: self._heard_at.get(kind) for kind in self.stores}
        return {kind.kind: None if at is None else timedelta(seconds=now - at) for kind, at in heard.items()}

    async def sync(self) -> None:
        """List every kind, however long it takes to succeed, and set `synced`."""
        for kind in list(self.stores):
            if kind not in self._optional or await self._may_read(kind):
                await self._list_at_last(kind)
        self.synced.set()

    async def _may_read(self, kind: Kind) -> bool:
        try:
            await self._list(kind)
        except Forbidden as error:
            log.warning("left out, for want of rights", kind=kind.kind, reason=str(error))
            del self.stores[kind]
            self._optional[kind]()
            return False
        except ApiError:
            return True  # whatever else is wrong is waited out with the other kinds
        return True

    async def run(self) -> NoReturn:
        """List everything again and again; raises `DeafError`."""
        loop = asyncio.get_running_loop()
        previous = loop.time()
        while True:
            pause = self._rounds.every * self._rng.uniform(1.0, 1.2)
            await asyncio.sleep(pause.total_seconds())
            started = loop.time()
            news = {kind: await self._list_at_last(kind) for kind in self.stores}
            await self._check_hearing({kind for kind, count in news.items() if count}, since=previous)
            previous = started

    async def _check_hearing(self, kinds: set[Kind], since: float) -> None:
        """Give the watch time to say what the list just said, then see whether it said anything."""
        if not kinds:
            return
        await asyncio.sleep(self._rounds.grace.total_seconds())
        deaf = [kind.kind for kind in kinds if self._heard_at.get(kind, since) <= since]
        if deaf:
            raise DeafError(f"the watch brought nothing of {', '.join(sorted(deaf))} while objects changed")

    async def _list_at_last(self, kind: Kind) -> int:
        failures = 0
        while True:
            try:
                return await self._list(kind)
            except ApiError as error:
                failures += 1
                delay = self._rounds.backoff.delay(failures, self._rng)
                log.warning("list failed", kind=kind.kind, reason=_explain(kind, error), retry_in=str(delay))
                await asyncio.sleep(delay.total_seconds())

    async def _list(self, kind: Kind) -> int:
        """One list into the store; how much of it was news."""
        entries, version = await self._read(kind, "0")
        last, rewound = self._listed.get(kind, 0), False
        if version < last:  # an old cache, or a restored backup: only the newest state can tell
            entries, version = await self._read(kind, "")
            rewound = version < last
        news = self.stores[kind].replace(entries, version, rewound=rewound)
        if last and news:
            self.missed += news
            log.info("list brought news", kind=kind.kind, changes=news, rewound=rewound)
        self._listed[kind] = version
        return news if last else 0

    async def _read(self, kind: Kind, resource_version: str) -> tuple[dict[Key, Stored[Any]], int]:
        """All objects, and the oldest revision at which a part of them was read."""
        entries: dict[Key, Stored[Any]] = {}
        versions = []
        for namespace in self.namespaces or (None,):
            found = await self._client.list(kind, namespace, resource_version=resource_version)
            try:
                versions.append(int(found["metadata"]["resourceVersion"]))
                entries |= map(self.stores[kind].entry, found["items"])
            except (NotAnObject, KeyError, TypeError, ValueError) as error:
                raise Unreachable(f"the answer is not a list of {kind.plural}: {error}") from error
        return entries, min(versions)


def _explain(kind: Kind, error: ApiError) -> str:
    if error.status == 404:
        return f"{kind.plural}.{kind.group} is not installed; `kubectl apply -f crds/` installs it"
    return str(error)
