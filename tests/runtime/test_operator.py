"""The parts together: events become work once, work that fails is tried again, and alarms wake who rests on them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from ombak.api.common import API_VERSION
from ombak.core import naming
from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, Kind, Object, TooManyRequests, Unreachable
from ombak.runtime.operator import PASS_WITHIN, Operator, Work
from ombak.simulation.agenda import Agenda, run_virtual
from ombak.simulation.server import Server
from support.fake_kube import FakeKube
from support.fake_metrics import FakeSource, LoopClock, constant
from support.rig import KEY, NAME, NAMESPACE, follow, spec, template

ALARM = {
    "apiVersion": API_VERSION,
    "kind": "Alarm",
    "metadata": {"name": "errors"},
    "spec": {
        "metric": {
            "query": "errors",
            "comparison": "GreaterThanThreshold",
            "threshold": 0.1,
            "period": "10s",
            "evaluationPeriods": 1,
        }
    },
}
Body = Callable[["World"], Awaitable[None]]


class World:
    """An operator on a server in memory, fed by its events; boxes follow a second later."""

    def __init__(self, source: FakeSource | None = None) -> None:
        self.server = Server(Agenda())
        self.kube = FakeKube(self.server)
        self.source = source or FakeSource({"errors": {"front-1": constant(0.0)}})
        self.operator = Operator(self.kube, {"": self.source}, LoopClock(), random.Random(1))
        self.synced = asyncio.Event()
        self.passes: list[tuple[float, Work]] = []
        self.server.listeners.append(self._see)

    def _see(self, kind: str, event: str, obj: Object) -> None:
        stores: dict[str, Any] = {k.kind: store for k, store in self.operator.custom().items()}
        stores |= {"Deployment": self.operator.stores.deployments, "ReplicaSet": self.operator.stores.replica_sets}
        if kind not in stores:
            return
        if event == "DELETED":
            stores[kind].remove(obj)
        else:
            stores[kind].observe(obj)
        if kind in ("Deployment", "ReplicaSet") and obj["metadata"]["generation"] != self._followed(obj):
            asyncio.get_running_loop().call_later(1.0, self._follow, kinds.BY_NAME[kind], obj["metadata"]["name"])

    def _followed(self, obj: Object) -> object:
        return (obj.get("status") or {}).get("observedGeneration")

    def _follow(self, kind: Kind, name: str) -> None:
        follow(self.server, kind, self.server.get(kind, NAMESPACE, name))

    def create(self, kind: Kind, name: str, namespace: str = NAMESPACE, **fields: Any) -> None:
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}, **fields}
        self.server.create("kubectl", kind, namespace, body)

    def stub(self, reconcile: Callable[[Work], Awaitable[timedelta | None]]) -> None:
        """Put something else in the place of what is done with work; passes are kept in any case."""

        async def kept(work: Work) -> timedelta | None:
            self.passes.append((asyncio.get_running_loop().time(), work))
            return await reconcile(work)

        self.operator._reconcile = kept  # type: ignore[method-assign]

    @property
    def turns(self) -> list[str]:
        """What was worked on, in order."""
        return [f"{work.kind} {work.key[1]}" for _, work in self.passes]

    @property
    def times(self) -> list[float]:
        """When."""
        return [round(at, 3) for at, _ in self.passes]

    @property
    def rollout(self) -> Object:
        return self.server.get(kinds.ROLLOUTS, *KEY)

    @property
    def phase(self) -> str:
        return str((self.rollout.get("status") or {}).get("phase"))


async def nothing(_: Work) -> timedelta | None:
    return None


def run(body: Body, source: FakeSource | None = None) -> list[Any]:
    """Run an operator beside a test, in virtual time; returns the log."""

    async def scenario() -> None:
        world = World(source)
        running = asyncio.create_task(world.operator.run([world.synced]))
        try:
            await body(world)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    with capture_logs() as logged:
        run_virtual(scenario())
    return logged


def test_nothing_is_done_before_everything_is_known() -> None:
    """What is not seen yet must not be taken for gone; then it says when it has looked at all."""

    async def body(world: World) -> None:
        world.stub(nothing)
        world.create(kinds.ROLLOUTS, NAME, spec=spec())
        await asyncio.sleep(60)
        assert world.turns == []
        world.synced.set()
        await asyncio.sleep(1)
        assert world.turns == [f"Rollout {NAME}"]

    logged = [line for line in run(body) if line["event"] in ("synced", "looked at everything")]
    assert [(line["event"], line["rollouts"]) for line in logged] == [("synced", 1), ("looked at everything", 1)]


def test_many_events_are_one_turn() -> None:
    """Of the object and of its children alike."""

    async def body(world: World) -> None:
        world.stub(nothing)
        labels = {naming.ROLLOUT: NAME}
        world.create(kinds.ROLLOUTS, NAME, spec=spec())
        for number in range(5):
            meta: Object = {"metadata": {"name": f"{NAME}-{number}", "labels": labels}}
            fields: Object = {"spec": {"replicas": 1, "template": template()}}
            world.server.create("kubectl", kinds.REPLICA_SETS, NAMESPACE, {**meta, **fields})
            world.server.create("kubectl", kinds.ARTIFACTS, NAMESPACE, {**meta, "spec": {}})
        world.synced.set()
        await asyncio.sleep(0.5)
        assert world.turns == [f"Rollout {NAME}"]
        await asyncio.sleep(5)
        assert len(world.turns) <= 3

    run(body)


def test_each_kind_goes_its_way() -> None:
    """Children wake their owner, Alarms are worked on by themselves, strangers wake nobody."""

    async def body(world: World) -> None:
        world.stub(nothing)
        world.synced.set()
        await asyncio.sleep(1)
        world.create(kinds.ALARMS, "errors", spec=ALARM["spec"])
        fields: Object = {"spec": {"replicas": 1, "template": template()}}
        owned: Object = {"metadata": {"name": "box", "labels": {naming.ROLLOUT: NAME}}}
        world.server.create("kubectl", kinds.DEPLOYMENTS, NAMESPACE, {**owned, **fields})
        world.server.create("kubectl", kinds.DEPLOYMENTS, NAMESPACE, {"metadata": {"name": "stray"}, **fields})
        await asyncio.sleep(0.5)
        assert sorted(world.turns) == ["Alarm errors", f"Rollout {NAME}"]

    run(body)


def test_a_plan_is_looked_at_again_when_it_said() -> None:
    """Exactly then, and a success ends the back-off."""

    async def body(world: World) -> None:
        async def later(_: Work) -> timedelta | None:
            return timedelta(seconds=90) if len(world.passes) == 1 else None

        world.stub(later)
        world.create(kinds.ROLLOUTS, NAME, spec=spec())
        world.synced.set()
        await asyncio.sleep(600)
        assert world.times == [0.0, 90.0]

    run(body)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Unreachable("cut"), id="no answer"),
        pytest.param(ApiError.of(500), id="500"),
        pytest.param(ApiError.of(409, "Conflict"), id="conflict"),
        pytest.param(ZeroDivisionError("a defect of ours"), id="a defect"),
    ],
)
def test_a_pass_that_fails_is_tried_again_later_and_later(error: Exception) -> None:
    """Up to half a minute; others go on meanwhile, and a success begins anew."""

    async def body(world: World) -> None:
        async def failing(work: Work) -> timedelta | None:
            if work.key == KEY and len([w for w in world.turns if w == f"Rollout {NAME}"]) <= 9:
                raise error
            return None

        world.stub(failing)
        world.create(kinds.ROLLOUTS, NAME, spec=spec())
        world.create(kinds.ROLLOUTS, "other", spec=spec())
        world.synced.set()
        await asyncio.sleep(600)
        mine = [at for at, work in world.passes if work.key == KEY]
        pauses = [after - before for before, after in itertools.pairwise(mine)]
        assert len(mine) == 10
        assert pauses[0] <= 0.5
        assert pauses[1] > pauses[0]
        assert 15 <= pauses[-1] <= 30
        assert world.turns.count("Rollout other") == 1
        assert world.operator.queue.failures(Work("Rollout", KEY)) == 0

    logged = run(body)
    told = [line for line in logged if line["event"] in ("will try again", "a pass failed")]
    assert len(told) == 9
    assert {line["log_level"] for line in told} == {"error" if isinstance(error, ZeroDivisionError) else "info"}


def test_a_server_that_asks_for_less_gets_less() -> None:
    """Its Retry-After is the least pause."""

    async def body(world: World) -> None:
        async def limited(_: Work) -> timedelta | None:
            if len(world.passes) == 1:
                raise TooManyRequests(429, "TooManyRequests", "slow down", timedelta(seconds=40))
            return None

        world.stub(limited)
        world.create(kinds.ROLLOUTS, NAME, spec=spec())
        world.synced.set()
        await asyncio.sleep(100)
        assert world.times == [0.0, 40.0]

    run(body)


def test_a_pass_that_hangs_is_given_up() -> None:
    """And tried again; the log says why."""

    async def body(world: World) -> None:
        async def hanging(_: Work) -> timedelta | None:
            if len(world.passes) == 1:
                await asyncio.sleep(1e6)
            return None

        world.stub(hanging)
        world.create(kinds.ROLLOUTS, NAME, spec=spec())
        world.synced.set()
        await asyncio.sleep(PASS_WITHIN.total_seconds() + 5)
        assert len(world.passes) == 2
        assert PASS_WITHIN.total_seconds() <= world.times[1] <= PASS_WITHIN.total_seconds() + 1

    [line] = [line for line in run(body) if line["event"] == "will try again"]
    assert line["error"] == "it took too long"


def test_a_good_version_is_delivered_and_a_bad_one_reverted() -> None:
    """The whole way, with real alarms: installed, released, and taken back by the metric within a period or so."""

    async def body(world: World) -> None:
        world.create(kinds.ALARMS, "errors", spec=ALARM["spec"])
        world.create(kinds.ROLLOUTS, NAME, spec=spec())
        world.synced.set()
        await asyncio.sleep(120)
        assert world.phase == "Stable"
        good = world.rollout["status"]["artifacts"]["stable"]
        _wish(world, "2.0.0")
        await asyncio.sleep(4)
        assert world.phase in ("OneBox", "OneBoxBake")
        world.source.values["errors"] = {"front-1": constant(0.9)}
        await asyncio.sleep(12)
        assert world.phase in ("Reverting", "Reverted")
        await asyncio.sleep(60)
        assert (world.phase, world.rollout["status"]["artifacts"]["current"]) == ("Reverted", good)
        assert [event["reason"] for event in world.server.all("Event")] == [
            "Started",
            "Stable",
            "Started",
            "AlarmFired",
            "Reverted",
        ]
        alarm = world.server.get(kinds.ALARMS, NAMESPACE, "errors")
        assert alarm["status"]["state"] == "ALARM"

    run(body)


def _wish(world: World, version: str) -> None:
    body = {**world.rollout, "spec": {**world.rollout["spec"], "template": template(version)}}
    world.server.replace("kubectl", kinds.ROLLOUTS, NAMESPACE, NAME, body)


def test_a_rollout_hears_of_its_alarms_and_no_more_when_it_is_gone() -> None:
    """What it rested on is asked no more."""

    async def body(world: World) -> None:
        world.create(kinds.ALARMS, "errors", spec=ALARM["spec"])
        world.create(kinds.ROLLOUTS, NAME, spec=spec())
        world.synced.set()
        await asyncio.sleep(60)
        assert world.operator.service.distinct_queries == 1
        world.server.patch("kubectl", kinds.ROLLOUTS, *KEY, {"metadata": {"finalizers": None}})
        world.server.delete("kubectl", kinds.ROLLOUTS, *KEY)
        world.server.delete("kubectl", kinds.ALARMS, NAMESPACE, "errors")
        await asyncio.sleep(5)
        asked = len(world.source.asked)
        assert world.operator.service.distinct_queries == 0
        await asyncio.sleep(300)
        assert len(world.source.asked) == asked

    run(body)
