"""One region of a hub: its client, its watches, and a look from time to time whether it is there.

Nothing of this is shared with another region. A link lives as long as the way into the region is the same one; new
credentials are taken up without losing what is known, another server address makes a new link.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from ombak.adapters.kube_client import HttpKubeClient
from ombak.adapters.limits import Limits
from ombak.adapters.reflector import Pace, Reflector, Source
from ombak.adapters.region_entrance import EntranceClosedError, RegionEntrance
from ombak.adapters.region_findings import Finding, finding_of, no_answer, watch_broken
from ombak.core.conveyor.manifests import configs_of
from ombak.runtime import kinds
from ombak.runtime.backoff import Backoff
from ombak.runtime.clock import Clock
from ombak.runtime.kube_port import ApiError, Forbidden, Kind, NotFound, Unreachable
from ombak.runtime.pulse import UNASKED, PulseListener, Sign
from ombak.runtime.region_records import (
    NOBODYS,
    Brought,
    RegionAlarm,
    RegionArtifact,
    RegionRollout,
    artifact_owner,
    decode_region_alarm,
    decode_region_artifact,
    decode_region_rollout,
)
from ombak.runtime.regions import (
    HUB_MANAGER,
    NOT_LOOKED_AT,
    Contact,
    OnAlarm,
    OnBrought,
    OnContact,
    OnRollout,
    Reach,
    RegionView,
    ask_cluster,
)
from ombak.runtime.store import Key, Store

log = structlog.get_logger(__name__)

DOUBT_AFTER = 2
"""Looks without an answer until a region that answered counts as unknown: one lost packet is no outage."""
LOOK_AGAIN = Backoff(timedelta(seconds=2), timedelta(seconds=15))
_DECISIVE = frozenset({401, 403, 404})


class AnotherServerError(Exception):
    """The Secret now leads to another address: what is known may be of another cluster."""


@dataclass(frozen=True, slots=True)
class RegionPace:
    """How a region is followed: how often it is looked at, within which time, and how often its Secret is read.

    Both are spread by a fifth. After a failed look the next one comes sooner, by `again`. `limits` are those of its
    client alone.
    """

    every: timedelta = timedelta(seconds=15)
    within: timedelta = timedelta(seconds=10)
    secret: timedelta = timedelta(minutes=1)
    again: Backoff = LOOK_AGAIN
    watch: Pace = field(default_factory=Pace)
    limits: Limits = field(default_factory=lambda: Limits(qps=20, burst=40, in_flight=8))


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who hears of a region: of its Rollouts, of each look at it, of its Alarms, and of edits of those that travel."""

    on_rollout: OnRollout
    on_contact: OnContact
    on_alarm: OnAlarm = lambda _region, _key: None
    on_brought: OnBrought = lambda _pipeline: None


class RegionLink:
    """To be used from one event loop; `run` once."""

    def __init__(
        self,
        name: str,
        entrance: RegionEntrance,
        clock: Clock,
        rng: random.Random,
        listeners: Listeners,
        pace: RegionPace,
    ) -> None:
        """Nothing happens before `run`."""
        self.name = name
        now = clock.now()
        self.contact = Contact(Reach.UNKNOWN, NOT_LOOKED_AT, "the hub has not looked at it yet", now, operator=UNASKED)
        self._pulse = PulseListener()
        self._entrance = entrance
        self._clock = clock
        self._rng = rng
        self._pace = pace
        self._on_contact = listeners.on_contact
        told: Callable[[Key], None] = functools.partial(listeners.on_rollout, name)
        decode = functools.partial(decode_region_rollout, ours=HUB_MANAGER)
        self.rollouts: Store[RegionRollout] = Store(decode, on_event=told)
        self.artifacts: Store[RegionArtifact] = Store(decode_region_artifact, owner=artifact_owner, on_event=told)
        self.alarms: Store[RegionAlarm] = Store(decode_region_alarm, on_event=self._alarm_told)
        self._listeners = listeners
        self._brought: dict[Key, Brought] = {}
        """What was heard last of the Alarms that a hub brought along."""
        self._client: HttpKubeClient | None = None
        self._reflectors: tuple[Reflector[Any], ...] = ()
        self._server = ""
        self._generation = -1
        self._turn = asyncio.Event()  # set when the credentials of now are over
        self._is_open = asyncio.Event()
        self._secret_due = 0.0
        self._failures = 0
        self._cluster = ""
        self._is_cluster_due = True

    # --- what is known -------------------------------------------------------------------------------------

    @property
    def client(self) -> HttpKubeClient:
        """The client, while the region is reachable; raises `Unreachable` with the reason otherwise, at once."""
        if self._client is None or not self.contact.is_reachable:
            raise Unreachable(f"region {self.name} is not reachable ({self.contact.reason}): {self.contact.message}")
        return self._client

    def view(self, key: Key) -> RegionView:
        """What is known of a Rollout there."""
        found = self.rollouts.get(key)
        return RegionView(
            region=self.name,
            contact=self.contact,
            rollout=None if found is None else found.value,
            artifacts=tuple(stored.value for _, stored in self.artifacts.owned_by(key)),
            is_known=bool(self._reflectors) and all(reflector.synced.is_set() for reflector in self._reflectors),
            is_live=self.contact.is_reachable and all(map(self._is_live, self._reflectors)),
            as_of=self._as_of(),
        )

    def names_config(self, namespace: str, name: str) -> bool:
        """Whether any Rollout of a namespace, or a version that is kept of one, refers to a ConfigMap."""
        kept = (self.artifacts.get(key) for key in self.artifacts if key[0] == namespace)
        if any(found is not None and name in found.value.configs for found in kept):
            return True
        asked = (self.rollouts.get(key) for key in self.rollouts if key[0] == namespace)
        return any(found is not None and name in configs_of(found.value.template) for found in asked)

    def _is_live(self, reflector: Reflector[Any]) -> bool:
        silent = reflector.silent_for
        return reflector.error is None and silent is not None and silent <= self._pace.watch.doubt

    def _as_of(self) -> datetime | None:
        """When all watches were heard, by the hub's clock: the silence is measured, not told by the region."""
        silences = [reflector.silent_for for reflector in self._reflectors]
        known = [silence for silence in silences if silence is not None]
        return self._clock.now() - max(known) if known and len(known) == len(silences) else None

    def _stores(self) -> dict[Kind, Store[Any]]:
        return {kinds.ROLLOUTS: self.rollouts, kinds.ARTIFACTS: self.artifacts, kinds.ALARMS: self.alarms}

    def _alarm_told(self, key: Key) -> None:
        """Tell of each change, and of one of its spec whoever brought it along, or had before."""
        found = self.alarms.get(key)
        before, after = self._brought.pop(key, NOBODYS), found.value.brought if found is not None else NOBODYS
        if after != NOBODYS:
            self._brought[key] = after
        self._listeners.on_alarm(self.name, key)
        if before != after:
            for pipeline in sorted({before.pipeline, after.pipeline} - {""}):
                self._listeners.on_brought(pipeline)

    # --- following -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow until cancelled. Raises (as a group) `AnotherServerError`, or what a defect of ours raises."""
        async with HttpKubeClient(self._entrance, self._pace.limits, manager=HUB_MANAGER) as client:
            self._client = client
            self._reflectors = tuple(
                Reflector(client, Source(kind, cluster=self.name), store, self._rng, self._pace.watch)
                for kind, store in self._stores().items()
            )
            try:
                async with asyncio.TaskGroup() as group:
                    for reflector in self._reflectors:
                        group.create_task(self._follow(reflector))
                    group.create_task(self._look_for_ever(client))
                    group.create_task(self._tell_known())
            finally:
                self._client = None

    async def _follow(self, reflector: Reflector[Any]) -> None:
        """Watch while the entrance is open, and begin anew with other credentials; the store stays."""
        while True:
            await self._is_open.wait()
            watching = asyncio.create_task(reflector.run())
            turning = asyncio.create_task(self._turn.wait())
            try:
                await asyncio.wait({watching, turning}, return_when=asyncio.FIRST_COMPLETED)
                if watching.done():
                    watching.result()
            finally:
                watching.cancel()
                turning.cancel()
                await asyncio.gather(watching, turning, return_exceptions=True)

    async def _tell_known(self) -> None:
        """Tell when everything was listed: from then on what is not there is known not to be."""
        for reflector in self._reflectors:
            await reflector.synced.wait()
        self._on_contact(self.name)

    async def _look_for_ever(self, client: HttpKubeClient) -> None:
        while True:
            finding = await self._look(client)
            self._failures = 0 if finding.reach is Reach.YES else self._failures + 1
            sign = self.contact.operator
            if finding.reach is Reach.YES:
                sign = await self._pulse.listen(client, asyncio.get_running_loop().time(), self._clock.now())
            self._take(finding, sign)
            await asyncio.sleep(self._pause().total_seconds())

    def _pause(self) -> timedelta:
        if self._failures:
            return self._pace.again.delay(self._failures, self._rng)
        return self._pace.every * self._rng.uniform(0.8, 1.2)

    def _take(self, finding: Finding, sign: Sign) -> None:
        before, now = self.contact, self._clock.now()
        is_doubt = finding.reach is Reach.UNKNOWN and before.reach is Reach.YES
        if is_doubt and self._failures < DOUBT_AFTER:
            return
        turned = before.turned(finding.reach, finding.reason, finding.message, now)
        self.contact = turned.seen(finding.version or turned.server_version, sign, self._cluster)
        if (before.reach, before.reason) != (finding.reach, finding.reason):
            log.info("region", region=self.name, reachable=finding.reach, reason=finding.reason, why=finding.message)
        if finding.reach is Reach.YES and before.reach is not Reach.YES and before.last is not None:
            self._begin_anew()  # it is back: what happened meanwhile is read now, not after the pause of the watches
        self._on_contact(self.name)

    async def _look(self, client: HttpKubeClient) -> Finding:
        """One look: the Secret if that is due, the version, and how the watches are."""
        try:
            if (closed := await self._look_at_entrance()) is not None:
                return closed
            async with asyncio.timeout(self._pace.within.total_seconds()):
                version = await client.version()
                self._cluster = await self._ask_cluster(client)
        except TimeoutError:
            return no_answer(self._pace.within)
        except ApiError as error:
            self._secret_due = 0.0  # maybe the credentials were exchanged
            return finding_of(error)
        finally:
            self._turn_with_entrance()
        broken = self._broken_watch()
        return broken or Finding(Reach.YES, "Answering", f"the API server answers ({version})", version)

    async def _ask_cluster(self, client: HttpKubeClient) -> str:
        """What tells its cluster from all others; asked before it counts as answering, then when the Secret is read.

        Behind the same address another cluster may stand meanwhile, by other credentials or another route.
        """
        is_answering = self.contact.is_reachable
        if is_answering and not self._is_cluster_due:
            return self._cluster
        self._is_cluster_due = False
        try:
            return await ask_cluster(client)
        except (Forbidden, NotFound):
            return ""  # a region that was set up before: nobody can tell whether another one leads there, too
        except ApiError:
            if not is_answering:
                raise
            return self._cluster  # that it is asked once more makes no region silent

    async def _look_at_entrance(self) -> Finding | None:
        """Read the Secret if it is time; a finding if there is no way in."""
        now = asyncio.get_running_loop().time()
        if now < self._secret_due and self._is_open.is_set():
            return None
        try:
            await self._entrance.look()
        except EntranceClosedError as error:
            return Finding(Reach.NO, error.reason, str(error))
        except ApiError as error:
            log.warning("the hub cannot read the Secret of a region", region=self.name, error=str(error))
            if not self._is_open.is_set():
                message = f"the hub's own API server does not give the Secret: {error}"
                return Finding(Reach.UNKNOWN, "SecretUnread", message)
            return None
        if self._server and self._entrance.server != self._server:
            raise AnotherServerError(self.name)
        self._server = self._entrance.server
        self._secret_due = now + (self._pace.secret * self._rng.uniform(0.8, 1.2)).total_seconds()
        self._is_cluster_due = True
        self._turn_with_entrance()  # before the watches start, or they would start twice
        self._is_open.set()
        return None

    def _turn_with_entrance(self) -> None:
        """Let the watches begin anew where the credentials are others, and end where there is no way in any more."""
        if self._entrance.generation == self._generation:
            return
        self._generation = self._entrance.generation
        try:
            _ = self._entrance.server
        except EntranceClosedError:
            self._is_open.clear()
        self._begin_anew()

    def _begin_anew(self) -> None:
        """End the watches; they begin with a list as soon as the entrance is open."""
        ended, self._turn = self._turn, asyncio.Event()
        ended.set()

    def _broken_watch(self) -> Finding | None:
        for reflector in self._reflectors:
            error, silent = reflector.error, reflector.silent_for
            if error is None:
                continue
            if error.status in _DECISIVE:
                return finding_of(error)
            if silent is None or silent > self._pace.watch.doubt:
                return watch_broken(error, silent)
        return None
