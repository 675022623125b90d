"""The sign of life of a cluster's operator, so that a hub can tell what is true there from what was true.

What an Alarm or a Rollout says is written when it changes, and stays as it is when nobody works on it any more: an
`OK` of an operator that died is no `OK`. So the operator renews a Lease, and whoever follows the cluster from outside
believes it for as long as the Lease goes on changing. The silence is measured by who listens: clocks of two machines
are compared just once, with a margin, to spare a process that has begun to listen the wait for the next beat.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn

import structlog

from ombak.core.conditions import stamp
from ombak.runtime.clock import Clock
from ombak.runtime.decode_alarm import moment_of
from ombak.runtime.kinds import LEASES
from ombak.runtime.kube_port import ApiError, Forbidden, KubeClient, NotFound, Object, mapping
from ombak.runtime.workqueue import WorkQueue

log = structlog.get_logger(__name__)

NAMESPACE, NAME = "ombak-system", "ombak"
"""Where the Lease is, in every cluster; `charts/rbac.yaml` brings the namespace and the right."""
BEAT_EVERY = timedelta(seconds=15)
SILENT_AFTER = timedelta(seconds=60)
"""Without a beat for so long, nothing that the operator said counts."""
CLOCKS_DIFFER = timedelta(seconds=30)
"""A Lease that was renewed by so much off our own clock is taken to be fresh when it is read for the first time."""
HANGS_AFTER = timedelta(minutes=5)
"""An operator whose work has waited, or taken, longer than this gives no sign of life: it does not do its work."""


class Pulse:
    """Renews the Lease while the work goes on; where it may not, it says so once, and everything else goes on."""

    def __init__(self, client: KubeClient, clock: Clock, queue: WorkQueue[Any], holder: str) -> None:
        """`holder` tells this process from others, for people who read the Lease."""
        self._client = client
        self._clock = clock
        self._queue = queue
        self._holder = holder
        self._refused = ""

    async def run(self) -> NoReturn:
        """Beat until cancelled."""
        while True:
            if max(self._queue.oldest_age, self._queue.longest_turn) < HANGS_AFTER:
                await self._beat()
            await asyncio.sleep(BEAT_EVERY.total_seconds())

    async def _beat(self) -> None:
        renewed = self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": int(SILENT_AFTER.total_seconds()),
            "renewTime": renewed,
        }
        refused = ""
        try:
            try:
                await self._client.patch(LEASES, NAMESPACE, NAME, {"spec": spec})
            except NotFound:
                body: Object = {"metadata": {"name": NAME, "namespace": NAMESPACE}, "spec": spec}
                await self._client.create(LEASES, NAMESPACE, body)
        except (Forbidden, NotFound) as error:
            refused = str(error)
        except ApiError as error:
            log.info("no sign of life could be given", error=str(error))
            return
        if refused and refused != self._refused:
            fix = "kubectl apply -f charts/rbac.yaml, and bind its Role"
            log.warning("a hub will not see that this operator lives", error=refused, fix=fix)
        self._refused = refused


@dataclass(frozen=True, slots=True)
class Sign:
    """Whether the operator of a cluster lives, as told from outside: None while nobody can tell."""

    lives: bool | None
    reason: str
    message: str


UNASKED = Sign(None, "NotLookedAtYet", "nobody has looked for a sign of life of the operator there yet")
ALIVE = Sign(True, "Alive", "the operator there gives signs of life")


class PulseListener:
    """Tells from the Lease of a cluster, read again and again, whether its operator lives."""

    def __init__(self) -> None:
        self._heard = ""
        self._at = 0.0
        """When it changed last, by our own monotonic clock; before the first beat when we began to listen."""
        self._has_heard = False

    async def listen(self, client: KubeClient, mono: float, now: datetime) -> Sign:
        """Read the Lease once. An error that says nothing about the Lease lets the silence go on."""
        try:
            lease = await client.get(LEASES, NAMESPACE, NAME)
        except NotFound:
            message = f"no operator has given a sign of life there yet (there is no Lease {NAMESPACE}/{NAME})"
            return Sign(False, "NeverHeard", message)
        except Forbidden as error:
            fix = "apply charts/region-rbac.yaml there"
            message = (
                f"the hub may not read the Lease by which the operator gives signs of life; {fix} ({error.message})"
            )
            return Sign(None, "Forbidden", message[:400])
        except ApiError:
            return self._told(mono, now)
        spec = mapping(lease.get("spec"))
        self._hear(f"{spec.get('holderIdentity')} {spec.get('renewTime')}", spec.get("renewTime"), mono, now)
        return self._told(mono, now)

    def _hear(self, beat: str, renewed: object, mono: float, now: datetime) -> None:
        if beat == self._heard:
            return
        moment = moment_of(renewed)
        is_fresh = moment is not None and abs(now - moment) <= CLOCKS_DIFFER
        self._has_heard = bool(self._heard) or is_fresh
        self._heard, self._at = beat, mono

    def _told(self, mono: float, now: datetime) -> Sign:
        if not self._heard:
            return UNASKED
        silent = timedelta(seconds=mono - self._at)
        if silent > SILENT_AFTER:
            since = stamp(now - silent)
            message = f"the operator there has given no sign of life since {since} (by the clock of the hub)"
            return Sign(False, "Silent", message)
        waiting = "the operator there gave no fresh sign of life yet; the hub has just begun to listen"
        return ALIVE if self._has_heard else Sign(None, "Listening", waiting)
