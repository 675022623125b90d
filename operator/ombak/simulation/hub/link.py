"""One hub process and one region: a client on a cable, watches, and a look now and then whether it is there."""

import asyncio
import functools
import random
from collections.abc import Callable
from typing import Any

from ombak.runtime import kinds, pulse
from ombak.runtime.clock import Clock
from ombak.runtime.kube_port import ApiError, Kind, NotFound, Object, Unreachable
from ombak.runtime.pulse import UNASKED, PulseListener
from ombak.runtime.region_records import (
    RegionArtifact,
    RegionRollout,
    artifact_owner,
    decode_region_artifact,
    decode_region_rollout,
)
from ombak.runtime.regions import HUB_MANAGER, Contact, Reach, RegionView
from ombak.runtime.store import Key, Store
from ombak.simulation.client import Request, SimulatedClient, Wire
from ombak.simulation.feed import Feed
from ombak.simulation.hub.site import Cable, Site
from ombak.simulation.server import Server

LOOK_EVERY = 15.0
GIVEN_UP_AFTER = 10.0
"""How long a request may hang, in seconds."""
DOUBT_AFTER = 2
"""Looks without an answer until a region that answered counts as unknown."""


class RegionClient(SimulatedClient):
    """The hub's way to a region's API server, which ends where the cable is cut."""

    def __init__(self, wire: Wire, cable: Cable) -> None:
        super().__init__(wire, HUB_MANAGER)
        self._cable = cable

    async def apply(self, kind: Kind, namespace: str, manifest: Object) -> Object:
        """Apply an object on the server's side."""
        meta = manifest["metadata"]
        request = Request("apply", kind.kind, meta["name"], manifest, version=meta.get("resourceVersion"))
        return await self._call(request, lambda s: s.apply(HUB_MANAGER, kind, namespace, manifest))

    async def _call(self, request: Request, effect: Callable[[Server], Object]) -> Object:
        """What was on its way when the cable was cut may have arrived, and its answer is lost."""
        if self._cable.is_cut:
            await asyncio.sleep(GIVEN_UP_AFTER)
            raise Unreachable("timed out")
        answer = await super()._call(request, effect)
        if self._cable.is_cut:
            await asyncio.sleep(GIVEN_UP_AFTER)
            raise Unreachable("timed out")
        return answer


class Link:
    """What one process of the hub knows of a region, and how it writes there."""

    def __init__(
        self,
        site: Site,
        clock: Clock,
        rng: random.Random,
        told: tuple[Callable[[str, Key], None], Callable[[str], None]],
        wire: Wire,
    ) -> None:
        """`told` hears of Rollouts that changed, and of each look."""
        self.name = site.name
        self._site, self._clock, self._rng = site, clock, rng
        on_rollout, self._on_contact = functools.partial(told[0], site.name), told[1]
        decode = functools.partial(decode_region_rollout, ours=HUB_MANAGER)
        self.rollouts: Store[RegionRollout] = Store(decode, on_event=on_rollout)
        self.artifacts: Store[RegionArtifact] = Store(decode_region_artifact, owner=artifact_owner, on_event=on_rollout)
        self.contact = Contact(Reach.UNKNOWN, "NotLookedAtYet", "", clock.now(), operator=UNASKED)
        self._client = RegionClient(wire, site.cable)
        self._pulse = PulseListener()
        self._failures = 0
        self._feed: Feed | None = None
        self._is_known = self._is_over = False
        site.cable.listeners.append(self._turned)
        self._turned()

    @property
    def client(self) -> RegionClient:
        """The client, while the region is reachable; raises `Unreachable` at once otherwise."""
        if not self.contact.is_reachable:
            raise Unreachable(f"region {self.name} is not reachable")
        return self._client

    def view(self, key: Key) -> RegionView:
        """See `Regions.view`."""
        found = self.rollouts.get(key)
        artifacts = tuple(stored.value for _, stored in self.artifacts.owned_by(key))
        return RegionView(self.name, self.contact, found.value if found else None, artifacts, self._is_known)

    def end(self) -> None:
        """The process is gone."""
        self._is_over = True
        self._site.cable.listeners.remove(self._turned)
        self._unfollow()

    def _turned(self) -> None:
        """The cable was cut or mended: the watches end, or begin again a while later."""
        if self._site.cable.is_cut:
            self._unfollow()
        else:
            self._site.region.timeline.call_later(self._rng.uniform(0.2, 8.0), self._follow)

    def _follow(self) -> None:
        if self._is_over or self._site.cable.is_cut or self._feed is not None:
            return
        stores: dict[str, Store[Any]] = {"Rollout": self.rollouts, "Artifact": self.artifacts}
        region, faults = self._site.region, self._site.cable.faults
        self._feed = Feed(region.server, stores, region.timeline, faults, self._rng)
        self._is_known = True
        self._on_contact(self.name)

    def _unfollow(self) -> None:
        if self._feed is not None:
            self._feed.stop()
            self._feed = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._look()
            self._on_contact(self.name)
            await asyncio.sleep(LOOK_EVERY * self._rng.uniform(0.2, 1.2))

    async def _look(self) -> None:
        try:
            lease: Object | None = await self._client.get(kinds.LEASES, pulse.NAMESPACE, pulse.NAME)
        except NotFound:
            lease = None
        except ApiError as error:
            self._failures += 1
            if self._failures >= DOUBT_AFTER or not self.contact.is_reachable:
                self.contact = self.contact.turned(Reach.UNKNOWN, error.reason, str(error), self._clock.now())
            return
        self._failures = 0
        sign = await self._pulse.listen(_Read(lease), self._clock.monotonic(), self._clock.now())
        self.contact = self.contact.turned(Reach.YES, "Answering", "", self._clock.now()).seen("v1", sign)


class _Read(SimulatedClient):
    """A client that gives what was read already."""

    def __init__(self, lease: Object | None) -> None:
        self._lease = lease

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        if self._lease is None:
            raise NotFound(404, "NotFound", f"{kind.plural} {namespace}/{name}")
        return self._lease
