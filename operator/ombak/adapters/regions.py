"""All regions of a hub, each on its own: opened, changed and closed as the Region objects say."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog

from ombak.adapters.kube_client import JSON_PATCH, Entrance, HttpKubeClient
from ombak.adapters.region_entrance import OwnEntrance, RegionEntrance, SecretEntrance
from ombak.adapters.region_link import AnotherServerError, Listeners, RegionLink, RegionPace
from ombak.api.region import RegionAccess
from ombak.runtime import kinds
from ombak.runtime.backoff import Backoff
from ombak.runtime.clock import Clock
from ombak.runtime.kube_port import ApiError, Conflict, Invalid, Kind, KubeClient, Object, metadata
from ombak.runtime.region_fields import taken_over
from ombak.runtime.region_records import RegionAlarm, RegionRecord
from ombak.runtime.regions import (
    HUB_MANAGER,
    Contact,
    NotTravelling,
    Reach,
    RegionView,
    UnknownRegion,
)
from ombak.runtime.store import Key

log = structlog.get_logger(__name__)

AFTER_DEFECT = Backoff(timedelta(seconds=5), timedelta(minutes=5))
"""Pauses after a mistake of ours in one region; the others do not notice."""


@dataclass(frozen=True, slots=True)
class Hub:
    """The hub's own cluster: a client for Secrets, and the way in for a Region that is `inCluster`."""

    client: KubeClient
    access: Entrance


@dataclass(slots=True)
class _Kept:
    """One Region: how it is entered (None: it cannot be), its link while there is one, and the task that keeps it."""

    access: RegionAccess | None
    contact: Contact
    link: RegionLink | None = None
    task: asyncio.Task[None] | None = None


class RegionClients:
    """Implements `Regions`. `set` says what there is, `run` follows it; to be used from one event loop."""

    def __init__(
        self,
        hub: Hub,
        clock: Clock,
        rng: random.Random,
        listeners: Listeners,
        pace: RegionPace | None = None,
    ) -> None:
        self._hub = hub
        self._clock = clock
        self._rng = rng
        self._listeners = listeners
        self._pace = pace or RegionPace()
        self._kept: dict[str, _Kept] = {}
        self._tasks: asyncio.TaskGroup | None = None

    # --- which regions there are -----------------------------------------------------------------------------

    def set(self, name: str, record: RegionRecord | None) -> None:
        """Take in a Region as it is now, None when it is gone; nothing happens if its access is the same."""
        before = self._kept.get(name)
        access = None if record is None or record.spec is None else record.spec.access
        if record is None:
            if before is not None:
                self._end(self._kept.pop(name))
            return
        if before is not None and access is not None and before.access == access:
            return
        kept = self._kept[name] = _Kept(access, self._first_contact(record))
        self._begin(name, kept, None if before is None else self._end(before))
        self._listeners.on_contact(name)

    def _first_contact(self, record: RegionRecord) -> Contact:
        now = self._clock.now()
        if record.spec is None:
            return Contact(Reach.NO, "InvalidSpec", record.problem, now)
        return Contact(Reach.UNKNOWN, "NotLookedAtYet", "the hub has not looked at it yet", now)

    async def run(self) -> None:
        """Follow all regions until cancelled; what is wrong with one of them never ends it."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                for name, kept in self._kept.items():
                    self._begin(name, kept, None)
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    def _begin(self, name: str, kept: _Kept, after: asyncio.Task[None] | None) -> None:
        if self._tasks is not None and kept.access is not None:
            kept.task = self._tasks.create_task(self._keep(name, kept, kept.access, after), name=f"region {name}")

    def _end(self, kept: _Kept) -> asyncio.Task[None] | None:
        if kept.task is not None:
            kept.task.cancel()
        return kept.task

    async def _keep(self, name: str, kept: _Kept, access: RegionAccess, after: asyncio.Task[None] | None) -> None:
        """Follow one region for as long as its access is this one."""
        if after is not None:
            await asyncio.wait({after})
        defects = 0
        while True:
            link = RegionLink(name, self._entrance(access), self._clock, self._rng, self._listeners, self._pace)
            kept.link = link
            try:
                await link.run()
            except* AnotherServerError:
                log.warning("a region is at another address now, what was known of it is dropped", region=name)
            except* Exception:
                # A mistake of ours about one region must not end the others.
                defects += 1
                log.exception("following a region failed", region=name)
                now = self._clock.now()
                kept.contact = link.contact.turned(Reach.UNKNOWN, "InternalError", "see the log of the hub", now)
                kept.link = None
                self._listeners.on_contact(name)
                await asyncio.sleep(AFTER_DEFECT.delay(defects, self._rng).total_seconds())

    def _entrance(self, access: RegionAccess) -> RegionEntrance:
        if access.kubeconfig is None:
            return OwnEntrance(self._hub.access)
        return SecretEntrance(self._hub.client, access.kubeconfig)

    # --- what is known ---------------------------------------------------------------------------------------

    def names(self) -> tuple[str, ...]:
        """See `Regions.names`."""
        return tuple(sorted(self._kept))

    def contact(self, region: str) -> Contact | None:
        """See `Regions.contact`."""
        kept = self._kept.get(region)
        if kept is None:
            return None
        return kept.contact if kept.link is None else kept.link.contact

    def view(self, region: str, key: Key) -> RegionView | None:
        """See `Regions.view`."""
        kept = self._kept.get(region)
        if kept is None:
            return None
        return RegionView(region, kept.contact) if kept.link is None else kept.link.view(key)

    def alarm(self, region: str, key: Key) -> RegionAlarm | None:
        """See `Regions.alarm`."""
        kept = self._kept.get(region)
        found = kept.link.alarms.get(key) if kept is not None and kept.link is not None else None
        return None if found is None else found.value

    def client(self, region: str) -> HttpKubeClient:
        """See `Regions.client`."""
        return self._link(region).client

    def _link(self, region: str) -> RegionLink:
        kept = self._kept.get(region)
        if kept is None or kept.link is None:
            raise UnknownRegion(f"there is no usable Region {region}" + (f": {kept.contact.message}" if kept else ""))
        return kept.link

    # --- writing ---------------------------------------------------------------------------------------------

    async def get(self, region: str, kind: Kind, namespace: str, name: str) -> Object:
        """See `Regions.get`."""
        link = self._link(region)
        return _noted(link, kind, await link.client.get(kind, namespace, name))

    async def create(self, region: str, manifest: Object) -> Object:
        """See `Regions.create`."""
        link, (kind, namespace) = self._link(region), _place(manifest)
        made = await link.client.create(kind, namespace, manifest)
        try:
            made = await _take_over(link.client, kind, made) or made
        except ApiError as error:  # the next `apply` does it
            log.info("what was created is taken over later", region=region, error=str(error))
        return _noted(link, kind, made)

    async def apply(self, region: str, manifest: Object, *, force: bool = False) -> Object:
        """See `Regions.apply`.

        A Rollout that is known should carry its `metadata.uid`: one that was deleted meanwhile is then `NotFound`,
        and not made anew without its size.
        """
        link, (kind, namespace) = self._link(region), _place(manifest)
        client = link.client

        async def attempt() -> Object:
            return await client.apply(kind, namespace, manifest, force=force)

        async def after_taking_over(live: Object) -> Object | None:
            return await attempt() if await _take_over(client, kind, live) is not None else None

        try:
            applied = await attempt()
        except (Conflict, Invalid):
            # It may be our own record of the creation that is in the way: it holds on to what we change, and keeps what
            # we take out, such as `unwatched` beside the `alarms` that come in its place.
            live = await client.get(kind, namespace, manifest["metadata"]["name"])
            again = await after_taking_over(live)
            if again is None:
                raise
            return _noted(link, kind, again)
        return _noted(link, kind, await after_taking_over(applied) or applied)

    def names_config(self, region: str, namespace: str, name: str) -> bool:
        """See `Regions.names_config`."""
        return self._link(region).names_config(namespace, name)

    async def delete(self, region: str, kind: Kind, namespace: str, name: str, resource_version: str) -> None:
        """See `Regions.delete`."""
        await self._link(region).client.delete(kind, namespace, name, resource_version=resource_version)

    async def patch(self, region: str, kind: Kind, namespace: str, name: str, patch: Object) -> Object:
        """See `Regions.patch`."""
        link = self._link(region)
        return _noted(link, kind, await link.client.patch(kind, namespace, name, patch))


def _place(manifest: Mapping[str, object]) -> tuple[Kind, str]:
    """Kind and namespace of a manifest; raises `NotTravelling`."""
    kind = kinds.TRAVELLING.get(str(manifest.get("kind")))
    if kind is None or manifest.get("apiVersion") != kind.api_version:
        raise NotTravelling(f"{manifest.get('apiVersion')} {manifest.get('kind')}")
    return kind, str(metadata(manifest).get("namespace") or "")


async def _take_over(client: HttpKubeClient, kind: Kind, live: Object) -> Object | None:
    """Turn our record of a creation into one of applying; None if there is nothing to turn. Raises `ApiError`."""
    managed = taken_over(live, HUB_MANAGER)
    if managed is None:
        return None
    meta = metadata(live)
    patch = [
        {"op": "replace", "path": "/metadata/managedFields", "value": managed},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
    ]
    return await client.patch(kind, str(meta.get("namespace") or ""), meta["name"], patch, content_type=JSON_PATCH)


def _noted(link: RegionLink, kind: Kind, answer: Object) -> Object:
    """Read what we wrote: the answer is news to our own store too."""
    if kind == kinds.ROLLOUTS:
        link.rollouts.upsert(answer)
    elif kind == kinds.ALARMS:
        link.alarms.upsert(answer)
    return answer
