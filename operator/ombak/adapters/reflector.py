"""Keeps a store in step with one kind of one cluster: list, watch, resume, and never trust silence.

- The first list is read at resourceVersion "0", from the server's cache: cheap for it, and possibly old,
  which is harmless here because every write is conditional. Later lists ask for "not older than what was
  seen"; only when the server cannot (410, or "too large resource version") the newest state is asked for,
  and if even that is older than what was seen, history was rewound (etcd restored from a backup) and the
  store starts over.
- A watch is resumed from the last version seen, bookmarks included. It counts as broken when it brings anything
  but watch events, or when it ends. Between two watches there is always a pause, and after three in a row that
  brought nothing, a list: a proxy that closes or lies at once makes neither a hot loop nor a blind one.
- A watch that brought nothing for `silence` is left for a list. Bookmarks come about once a minute, but not from
  every server: one whose etcd reports no progress sends none for a kind in which nothing changes. So silence alone
  is no error; a list that fails is one.
- Every 10 to 15 minutes the list is read again, as the net under everything else.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import structlog
from pydantic_core import from_json

from ombak.runtime.backoff import Backoff
from ombak.runtime.kube_port import PAGE_LIMIT, ApiError, Gone, Kind, Object, Silence, Unreachable, metadata
from ombak.runtime.store import Key, NotAnObject, Store, Stored

T = TypeVar("T")

log = structlog.get_logger(__name__)

SMALL_PAGE = 50
"""Objects per page where each may be large: an annotation of kubectl alone may hold 256 KB."""

FRUITLESS_WATCHES = 3
"""After so many watches in a row that brought nothing, the list is read again."""

PATIENCE = Backoff(timedelta(milliseconds=300), timedelta(seconds=30))
"""Pauses between watches; the first is short because a watch ends in health every few minutes."""

TOO_LARGE = "Too large resource version"
"""The server's words when it does not know a revision yet, or no longer."""

EVENT_TYPES = frozenset({"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"})


class WatchClient(Protocol):
    """What a reflector needs of a client."""

    def pages(
        self,
        kind: Kind,
        namespace: str | None,
        label_selector: str,
        *,
        limit: int,
        resource_version: str,
        metadata_only: bool,
    ) -> AsyncIterator[Object]:
        """See `HttpKubeClient.pages`."""
        ...

    def watch(
        self, kind: Kind, namespace: str | None, query: dict[str, str], silence: timedelta, *, metadata_only: bool
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """See `HttpKubeClient.watch`."""
        ...


class Detail(Enum):
    """How much of each object is brought."""

    WHOLE = "whole"
    CHANGES = "changes"
    """Lists bring metadata only, the watch whole objects: a deletion tells what is lost, and a start costs little."""
    METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class Source:
    """What to follow; `cluster` only names it in logs, `namespace` None means all.

    Where less than the whole is wanted because objects may be large, lists come in small pages, also the first one:
    at resourceVersion "0" a server sends everything at once.
    """

    kind: Kind
    namespace: str | None = None
    label_selector: str = ""
    cluster: str = ""
    detail: Detail = Detail.WHOLE


@dataclass(frozen=True, slots=True)
class Pace:
    """After which silence a watch is left, how long one lasts, and between which times a list follows a list."""

    silence: timedelta = timedelta(seconds=75)
    watch_length: timedelta = timedelta(minutes=5)
    relist_earliest: timedelta = timedelta(minutes=10)
    relist_latest: timedelta = timedelta(minutes=15)
    backoff: Backoff = PATIENCE

    @property
    def doubt(self) -> timedelta:
        """The silence after which what is known may be old: the list that follows a silent watch takes a moment."""
        return self.silence * 1.2


class Reflector(Generic[T]):
    """Runs for ever; whatever the server does is logged, waited out and tried again."""

    def __init__(
        self,
        client: WatchClient,
        source: Source,
        store: Store[T],
        rng: random.Random,
        pace: Pace | None = None,
    ) -> None:
        self.source = source
        self.synced = asyncio.Event()
        self.lists = 0
        self.events = 0  # bookmarks included
        self.error: ApiError | None = None
        """What is wrong since the server last said anything valid."""
        self._client = client
        self._store = store
        self._rng = rng
        self._pace = pace or Pace()
        self._version = 0  # the newest revision seen, in a list or an event
        self._ask_newest = source.detail is not Detail.WHOLE  # the next list must be of the newest state
        self._failures = 0
        self._heard_at: float | None = None
        self._log = log.bind(cluster=source.cluster, kind=source.kind.kind)

    @property
    def silent_for(self) -> timedelta | None:
        """Time since the server last said anything valid; None before the first list."""
        if self._heard_at is None:
            return None
        return timedelta(seconds=asyncio.get_running_loop().time() - self._heard_at)

    async def run(self) -> NoReturn:
        """Follow until cancelled. Only a defect of ours (a decoder or callback that raises) ends it."""
        while True:
            try:
                await self._list()
                await self._follow()
            except ApiError as error:
                self._ask_newest |= isinstance(error, Gone) or TOO_LARGE in error.message
                await self._pause(error)

    async def _list(self) -> None:
        """Read everything and bring the store in line with it."""
        source, version = self.source, 0
        wanted = "" if self._ask_newest else str(self._version)
        entries: dict[Key, Stored[T]] = {}
        is_small = source.detail is Detail.WHOLE
        pages = self._client.pages(
            source.kind,
            source.namespace,
            source.label_selector,
            limit=PAGE_LIMIT if is_small else SMALL_PAGE,
            resource_version=wanted,
            metadata_only=not is_small,
        )
        async for page in pages:
            version = version or _version(page)
            entries |= self._entries(page["items"])
        rewound = self._ask_newest and version < self._version
        if rewound:
            self._log.warning("history rewound", seen=self._version, listed=version)
        self._version = version if rewound else max(version, self._version)
        self._ask_newest = False
        self._store.replace(entries, version, namespace=source.namespace, rewound=rewound)
        self.lists += 1
        self._heard()
        self.synced.set()

    def _entries(self, items: list[Any]) -> dict[Key, Stored[T]]:
        try:
            return dict(map(self._store.entry, items))
        except NotAnObject as error:
            raise Unreachable(f"the list holds something else than objects: {error}") from error

    async def _follow(self) -> None:
        """Watch, again and again, until the next list is due or needed."""
        spread = self._pace.relist_latest - self._pace.relist_earliest
        due = self._pace.relist_earliest + spread * self._rng.random()
        try:
            async with asyncio.timeout(due.total_seconds()) as until_due:
                await self._watch_while_fruitful()
        except TimeoutError:
            if not until_due.expired():
                raise

    async def _watch_while_fruitful(self) -> None:
        fruitless = 0
        while fruitless < FRUITLESS_WATCHES:
            before, error = self.events, None
            try:
                await self._watch()
            except Silence:
                return
            except Gone:
                raise
            except ApiError as broken:
                error = broken
            fruitless = 0 if self.events > before else fruitless + 1
            await self._pause(error)

    async def _watch(self) -> None:
        """One watch, until it ends or breaks."""
        length = self._pace.watch_length * self._rng.uniform(0.8, 1.0)
        query = {
            "resourceVersion": str(self._version),
            "timeoutSeconds": str(max(1, round(length.total_seconds()))),
            "labelSelector": self.source.label_selector,
        }
        source = self.source
        is_metadata = source.detail is Detail.METADATA
        opening = self._client.watch(
            source.kind, source.namespace, query, self._pace.silence, metadata_only=is_metadata
        )
        async with opening as lines:
            self.error = None  # let in, from the version we have: what was wrong is over, though nothing may happen
            async for line in lines:
                self._take(line)
                self.events += 1
                self._failures = 0
                self._heard()

    def _take(self, line: bytes) -> None:
        """Apply one watch event; raises `Gone`, `ApiError`, or `Unreachable` for what is none."""
        event_type, obj = _event(line)
        if event_type == "ERROR":
            code = obj.get("code")
            raise ApiError.of(code if isinstance(code, int) else 500, str(obj.get("reason")), str(obj.get("message")))
        version = _version(obj)
        try:
            if event_type == "DELETED":
                self._store.remove(obj)
            elif event_type != "BOOKMARK":
                self._store.observe(obj)
        except NotAnObject as error:
            raise Unreachable(f"the watch brought something else than objects: {error}") from error
        self._version = max(self._version, version)

    def _heard(self) -> None:
        self._heard_at, self.error = asyncio.get_running_loop().time(), None

    async def _pause(self, error: ApiError | None) -> None:
        self._failures += 1
        delay = self._pace.backoff.delay(self._failures, self._rng)
        if error is not None:
            self.error = error
            if error.retry_after is not None:
                delay = max(delay, min(error.retry_after, self._pace.backoff.cap))
            self._log.warning("watch broken", reason=str(error), failures=self._failures, retry_in=str(delay))
        await asyncio.sleep(delay.total_seconds())


def _event(line: bytes) -> tuple[str, Object]:
    """Type and object of a line of a watch; raises `Unreachable` when it is not one."""
    try:
        event = from_json(line)
    except ValueError as error:
        raise Unreachable(f"the watch brought no JSON: {line[:80]!r}") from error
    obj = event.get("object") if isinstance(event, dict) else None
    if not isinstance(obj, dict) or event.get("type") not in EVENT_TYPES:
        raise Unreachable(f"the watch brought no event: {line[:80]!r}")
    return event["type"], obj


def _version(obj: Object) -> int:
    try:
        return int(metadata(obj)["resourceVersion"])
    except (KeyError, TypeError, ValueError) as error:
        raise Unreachable("the answer has no resource version") from error
