"""Regions of a hub for tests: Region objects, Secrets with kubeconfigs, and a hub's client that holds them."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from ombak.adapters.clock import SystemClock
from ombak.adapters.limits import Limits
from ombak.adapters.reflector import Pace
from ombak.adapters.region_link import Listeners, RegionPace
from ombak.adapters.regions import Hub, RegionClients
from ombak.runtime.backoff import Backoff
from ombak.runtime.kube_port import ApiError, Kind, NotFound, Object
from ombak.runtime.region_records import RegionRecord, decode_region
from ombak.runtime.regions import Contact, Reach

QUICK = RegionPace(
    every=timedelta(milliseconds=50),
    within=timedelta(milliseconds=700),
    secret=timedelta(milliseconds=50),
    again=Backoff(timedelta(milliseconds=20), timedelta(milliseconds=50)),
    watch=Pace(backoff=Backoff(timedelta(milliseconds=10), timedelta(milliseconds=50))),
    limits=Limits(timeout=timedelta(seconds=5)),
)
"""Everything often: looks are cheap here, and tests wait for states, not for times."""


def kubeconfig(server: str, token: str = "good", **user: Any) -> Object:
    """A kubeconfig of one context."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": server}}],
        "users": [{"name": "it", "user": {"token": token, **user}}],
    }


def region(name: str, secret: str | None = None, **spec: Any) -> RegionRecord:
    """A Region entered by the kubeconfig in a Secret of `regions`, its own name if no other is said."""
    access = {"kubeconfig": {"secretRef": {"namespace": "regions", "name": secret or name}}}
    meta = {"name": name, "uid": f"uid-{name}", "resourceVersion": "1", "generation": 1}
    return decode_region({"metadata": meta, "spec": {"access": access, **spec}})


class Secrets:
    """The hub's client, as far as it reads Secrets."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.error: ApiError | None = None
        self.reads = 0

    def write(self, name: str, content: Object | str) -> None:
        """Create or replace a Secret."""
        self.texts[name] = content if isinstance(content, str) else json.dumps(content)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """As a client does."""
        self.reads += 1
        if self.error is not None:
            raise self.error
        if namespace != "regions" or name not in self.texts:
            raise NotFound(404, "NotFound", f'{kind.plural} "{name}" not found')
        return {"metadata": {}, "data": {"kubeconfig": base64.b64encode(self.texts[name].encode()).decode()}}


class Followed:
    """Regions that are followed, and what was told of them."""

    def __init__(self, pace: RegionPace = QUICK) -> None:
        self.secrets = Secrets()
        self.rollouts: list[tuple[str, tuple[str, str]]] = []
        self.contacts: list[tuple[str, str]] = []
        self.clusters: list[tuple[Reach, str]] = []
        self.alarms: list[tuple[str, tuple[str, str]]] = []
        self.brought: list[str] = []
        listeners = Listeners(
            lambda region, key: self.rollouts.append((region, key)),
            self._contact,
            lambda region, key: self.alarms.append((region, key)),
            self.brought.append,
        )
        hub: Any = self.secrets
        self.regions = RegionClients(Hub(hub, hub), SystemClock(), random.Random(1), listeners, pace)

    def _contact(self, name: str) -> None:
        contact = self.regions.contact(name)
        if contact is not None:
            self.contacts.append((name, contact.reason))
            self.clusters.append((contact.reach, contact.cluster))

    def contact(self, name: str) -> Contact:
        """How it stands."""
        found = self.regions.contact(name)
        assert found is not None
        return found

    def reason(self, name: str) -> str:
        """Why it stands so."""
        return self.contact(name).reason

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Followed]:
        """Follow for a while."""
        task = asyncio.create_task(self.regions.run())
        try:
            yield self
            assert not task.done()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
