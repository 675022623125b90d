"""An operator gives signs of life while it works, and who listens believes no longer than they come."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from ombak.runtime.kube_port import ApiError, Forbidden, Kind, NotFound, Object, Unreachable
from ombak.runtime.pulse import BEAT_EVERY, HANGS_AFTER, SILENT_AFTER, Pulse, PulseListener
from ombak.runtime.workqueue import WorkQueue
from ombak.simulation.agenda import run_virtual
from support.fake_metrics import LoopClock

BEAT, SILENT, HANGS = (each.total_seconds() for each in (BEAT_EVERY, SILENT_AFTER, HANGS_AFTER))


class Cluster:
    """One Lease, and what is wrong with asking for it."""

    def __init__(self) -> None:
        self.lease: Object | None = None
        self.error: ApiError | None = None
        self.beats: list[float] = []

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        self._fail()
        assert (kind.kind, namespace, name) == ("Lease", "ombak-system", "ombak")
        if self.lease is None:
            raise NotFound(404, "NotFound", "no such Lease")
        return self.lease

    async def patch(self, kind: Kind, namespace: str, name: str, patch: Object) -> Object:
        self.lease = {**await self.get(kind, namespace, name), **patch}
        return self._beaten()

    async def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        self._fail()
        self.lease = body
        return self._beaten()

    def _beaten(self) -> Object:
        assert self.lease is not None
        self.beats.append(asyncio.get_running_loop().time())
        return self.lease

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


Body = Callable[[Cluster, WorkQueue[str]], Awaitable[None]]


def beside_a_pulse(body: Body) -> list[Any]:
    """Run a test beside an operator's pulse, in virtual time; returns the log."""

    async def scenario() -> None:
        cluster, queue = Cluster(), WorkQueue[str](random.Random(1))
        client: Any = cluster
        beating = asyncio.create_task(Pulse(client, LoopClock(), queue, "here").run())
        try:
            await body(cluster, queue)
        finally:
            beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beating

    with capture_logs() as logs:
        run_virtual(scenario())
    return logs


async def heard(listener: PulseListener, cluster: Cluster) -> tuple[bool | None, str]:
    client: Any = cluster
    sign = await listener.listen(client, asyncio.get_running_loop().time(), LoopClock().now())
    return sign.lives, sign.reason


def test_an_operator_that_works_beats() -> None:
    """The Lease is made by the first beat, and renewed by all others."""

    async def body(cluster: Cluster, _queue: WorkQueue[str]) -> None:
        await asyncio.sleep(3.5 * BEAT)
        assert len(cluster.beats) == 4
        assert cluster.lease is not None
        assert cluster.lease["spec"]["holderIdentity"] == "here"

    beside_a_pulse(body)


def test_an_operator_that_hangs_gives_no_sign_of_life() -> None:
    """What waits for a turn does not get one; as soon as it does the signs come again."""

    async def body(cluster: Cluster, queue: WorkQueue[str]) -> None:
        queue.add("stuck")
        await asyncio.sleep(HANGS + 4 * BEAT)
        assert cluster.beats[-1] < HANGS
        queue.done(await queue.get())
        await asyncio.sleep(BEAT)
        assert cluster.beats[-1] > HANGS

    beside_a_pulse(body)


@pytest.mark.parametrize("error", [Forbidden(403, "Forbidden", "no"), NotFound(404, "NotFound", "no namespace")])
def test_who_may_not_beat_says_so_once(error: ApiError) -> None:
    """With the fix, and everything else goes on."""

    async def body(cluster: Cluster, _queue: WorkQueue[str]) -> None:
        cluster.error = error
        await asyncio.sleep(5 * BEAT)
        cluster.error = None
        await asyncio.sleep(BEAT)
        assert cluster.beats

    warnings = [line for line in beside_a_pulse(body) if line["log_level"] == "warning"]
    assert [line["fix"] for line in warnings] == ["kubectl apply -f charts/rbac.yaml, and bind its Role"]


def test_the_listener_believes_as_long_as_beats_come() -> None:
    """Alive at once, silent a minute after the last beat, and alive again with the next one."""

    async def body(cluster: Cluster, queue: WorkQueue[str]) -> None:
        listener = PulseListener()
        await asyncio.sleep(1)
        assert await heard(listener, cluster) == (True, "Alive")
        queue.add("stuck")  # from now on nobody works
        await asyncio.sleep(HANGS + SILENT + BEAT)
        assert await heard(listener, cluster) == (True, "Alive"), "the last beats came since it listened last"
        await asyncio.sleep(SILENT)
        assert await heard(listener, cluster) == (True, "Alive")
        await asyncio.sleep(1)
        assert await heard(listener, cluster) == (False, "Silent")
        queue.done(await queue.get())
        await asyncio.sleep(BEAT)
        assert await heard(listener, cluster) == (True, "Alive")

    beside_a_pulse(body)


def test_a_lease_of_long_ago_is_no_sign_of_life() -> None:
    """A hub that was restarted after the operator died: unknown while it may be a clock, silent after that."""

    async def scenario() -> None:
        cluster, listener = Cluster(), PulseListener()
        old = LoopClock().now() - timedelta(hours=1)
        cluster.lease = {"spec": {"holderIdentity": "gone", "renewTime": old.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}}
        assert await heard(listener, cluster) == (None, "Listening")
        await asyncio.sleep(SILENT + 1)
        assert await heard(listener, cluster) == (False, "Silent")

    run_virtual(scenario())


def test_a_clock_that_is_an_hour_off_needs_one_beat() -> None:
    """Clocks of two machines are not compared: what changes lives."""

    async def scenario() -> None:
        cluster, listener = Cluster(), PulseListener()
        for beat, expected in ((0, (None, "Listening")), (15, (True, "Alive")), (30, (True, "Alive"))):
            there = LoopClock().now() + timedelta(hours=1, seconds=beat)
            cluster.lease = {"spec": {"holderIdentity": "x", "renewTime": there.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}}
            assert await heard(listener, cluster) == expected

    run_virtual(scenario())


def test_what_cannot_be_read_is_not_believed() -> None:
    """No Lease is silence, no right is unknown, and an outage lets the silence go on."""

    async def scenario() -> None:
        cluster, listener = Cluster(), PulseListener()
        assert await heard(listener, cluster) == (False, "NeverHeard")
        cluster.error = Forbidden(403, "Forbidden", "no")
        assert await heard(listener, cluster) == (None, "Forbidden")
        now = LoopClock().now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        cluster.error, cluster.lease = None, {"spec": {"holderIdentity": "x", "renewTime": now}}
        assert await heard(listener, cluster) == (True, "Alive")
        cluster.error = Unreachable("no answer")
        assert await heard(listener, cluster) == (True, "Alive")
        await asyncio.sleep(SILENT + 1)
        assert await heard(listener, cluster) == (False, "Silent")

    run_virtual(scenario())
