"""The status of an Alarm tells what it says by itself; it is written on transitions, and never for numbers alone."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ombak.alarms.resolve import AlarmKey
from ombak.api.common import API_VERSION
from ombak.runtime import kinds
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.alarm_status import AlarmReporter
from ombak.runtime.alarm_traps import TrapInspector
from ombak.runtime.decode_alarm import AlarmRecord, decode_alarm
from ombak.runtime.kube_port import Conflict, Object
from ombak.runtime.metrics_port import QueryError, QueryErrorKind
from ombak.runtime.store import Store
from ombak.simulation.agenda import Agenda
from ombak.simulation.server import Server
from support.fake_kube import FakeKube
from support.fake_metrics import FakeClock, FakeSource, constant
from support.rig import NAMESPACE

DOWN = QueryError(QueryErrorKind.UNREACHABLE, "prometheus cannot be reached")
STATUS = "replace Alarm/status errors"


def _metric(query: str = "errors", **changes: Any) -> dict[str, Any]:
    metric = {"query": query, "comparison": "GreaterThanThreshold", "threshold": 0.1, "period": "10s"}
    return {"metric": {**metric, "evaluationPeriods": 1, **changes}}


class World:
    """Alarms in a server in memory, a Prometheus that does as it is told, and the reporter of one process."""

    def __init__(self) -> None:
        self.server, self.clock = Server(Agenda()), FakeClock()
        self.kube = FakeKube(self.server)
        self.source = FakeSource({"errors": {"front-1": constant(0.0)}})
        self.restart()

    def restart(self) -> None:
        """A new process knows nothing but what is in the cluster."""
        self.kube.take()
        self.alarms: Store[AlarmRecord] = Store(decode_alarm)
        sources = {"": self.source}
        self.service = AlarmService(sources, self.clock, lambda _: None, rng=random.Random(1))
        inspector = TrapInspector(sources, self.clock, lambda _: None)
        self.reporter = AlarmReporter(self.kube, self.alarms, self.service, inspector, self.clock)
        for obj in self.server.all("Alarm"):
            self._seen(obj)

    def _seen(self, obj: Object) -> None:
        self.alarms.observe(obj)
        key = AlarmKey(NAMESPACE, obj["metadata"]["name"])
        found = self.alarms.get((key.namespace, key.name))
        assert found is not None
        self.service.set_alarm(key, found.value.spec)

    def apply(self, spec: dict[str, Any], name: str = "errors") -> None:
        body: Object = {"apiVersion": API_VERSION, "kind": "Alarm", "metadata": {"name": name}, "spec": spec}
        old = self.server.find("Alarm", NAMESPACE, name)
        if old is None:
            self._seen(self.server.create("kubectl", kinds.ALARMS, NAMESPACE, body))
        else:
            self._seen(self.server.replace("kubectl", kinds.ALARMS, NAMESPACE, name, {**old, "spec": spec}))

    async def look(self, name: str = "errors", *, after: float = 11) -> Object:
        """Let time pass, and the reporter look; the status then."""
        key = (NAMESPACE, name)
        await self.reporter.reconcile(key, name)
        self.clock.advance(after)
        await self.service.poll_due()
        await self.reporter.reconcile(key, name)
        status: Object = self.server.get(kinds.ALARMS, *key).get("status") or {}
        return status

    def says(self, value: float) -> None:
        self.source.values["errors"] = {"front-1": constant(value)}


@pytest.fixture
def world() -> World:
    return World()


def _evaluable(status: Object) -> Object:
    return next(c for c in status["conditions"] if c["type"] == "Evaluable")


async def test_nothing_is_told_before_it_was_asked(world: World) -> None:
    """A cold start is no transition."""
    world.apply(_metric())
    await world.reporter.reconcile((NAMESPACE, "errors"), "w")
    assert world.kube.told == []


@pytest.mark.parametrize(("value", "state"), [pytest.param(0.0, "OK", id="ok"), pytest.param(0.5, "ALARM", id="alarm")])
async def test_a_metric_gives_its_own_state(world: World, value: float, state: str) -> None:
    """With the numbers, and what made it so."""
    world.says(value)
    world.apply(_metric())
    status = await world.look()
    assert (status["state"], status["certainty"], status["observedGeneration"]) == (state, "Certain", 1)
    assert status["contributors"] == (['{pod="front-1"}'] if value else [])
    assert "0.1" in status["message"]
    assert _evaluable(status)["status"] == "True"


async def test_an_expression_gives_that_of_the_expression(world: World) -> None:
    """What it rests on is evaluated for it."""
    world.apply(_metric())
    world.apply({"expression": 'NOT ALARM("errors")'}, "calm")
    status = await world.look("calm")
    assert status["state"] == "ALARM"
    world.says(0.5)
    assert (await world.look("calm"))["state"] == "OK"


async def test_an_expression_on_nothing_is_unknown_with_the_name(world: World) -> None:
    """The Alarm that it names does not exist."""
    world.apply({"expression": 'ALARM("missing")'})
    status = await world.look()
    assert status["certainty"] == "Uncertain"
    assert "missing" in str(status["unknownChildren"])
    assert _evaluable(status)["status"] == "False"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        pytest.param(_metric("errors{"), "line 1, column 8", id="a query that is none"),
        pytest.param({"expression": "ALARM(errors) AND"}, "line 1, column 18", id="an expression that is none"),
        pytest.param(_metric(period="soon"), "spec.metric.period", id="a spec that is none"),
        pytest.param(_metric('errors{pod=~"$(pods)"}'), "$(pods)", id="a query that needs a Rollout"),
    ],
)
async def test_what_cannot_be_evaluated_by_itself_says_why(world: World, spec: dict[str, Any], told: str) -> None:
    """It is unknown, neither good nor bad, and the fault is named; looked at again it is not written again."""
    world.apply(spec)
    status = await world.look()
    assert (status["state"], status["certainty"]) == ("INSUFFICIENT_DATA", "Uncertain")
    assert told in f"{status['message']} {status['unknownChildren']} {status['conditions']}"
    await world.look()
    assert world.kube.told == [STATUS]


async def test_a_prometheus_that_is_down_is_told_once(world: World) -> None:
    """And its return."""
    world.apply(_metric())
    await world.look()
    world.source.error = DOWN
    for _ in range(4):
        status = await world.look(after=30)
    assert _evaluable(status)["status"] == "False"
    assert "cannot be reached" in _evaluable(status)["message"]
    world.source.error = None
    status = await world.look(after=60)
    assert (_evaluable(status)["status"], status["state"]) == ("True", "OK")
    assert world.kube.told == [STATUS] * 3


async def test_another_reason_is_told_and_other_numbers_are_not(world: World) -> None:
    """Whoever has mended the token must not read on that it is refused."""
    world.apply(_metric())
    reasons = []
    for said in ("HTTP 403, who are you", "no answer within 10 s", "no answer within 12 s"):
        world.source.error = QueryError(QueryErrorKind.FAILED, said)
        status = await world.look(after=30)
        reasons.append(_evaluable(status)["message"].rpartition(": ")[2])
    assert reasons == ["HTTP 403, who are you", "no answer within 10 s", "no answer within 10 s"]


async def test_numbers_alone_are_not_written(world: World) -> None:
    """Only transitions are; `since` and the times of conditions tell of those."""
    world.apply(_metric())
    first = await world.look()
    for value in (0.01, 0.02, 0.03):
        world.says(value)
        assert await world.look() == first
    world.says(0.5)
    second = await world.look()
    assert (second["state"], second["since"] > first["since"]) == ("ALARM", True)
    assert _evaluable(second)["lastTransitionTime"] == _evaluable(first)["lastTransitionTime"]
    assert world.kube.told == [STATUS] * 2


async def test_a_new_process_writes_nothing(world: World) -> None:
    """It finds what the last one told, and agrees."""
    world.apply(_metric())
    world.apply({"expression": 'ALARM("errors")'}, "all")
    before = await world.look(), await world.look("all")
    world.restart()
    assert (await world.look(), await world.look("all")) == before
    assert world.kube.told == []


async def test_a_changed_alarm_is_told_anew(world: World) -> None:
    """With its generation, so that nobody takes the old state for the new one's."""
    world.apply(_metric())
    await world.look()
    world.says(0.2)
    world.apply(_metric(threshold=0.5))
    status = await world.look()
    assert (status["observedGeneration"], status["state"]) == (2, "OK")


async def test_a_write_rests_on_what_was_read(world: World) -> None:
    """A conflict is raised, to be tried again with the newer object."""
    world.apply(_metric())
    world.server.patch("kubectl", kinds.ALARMS, NAMESPACE, "errors", {"metadata": {"annotations": {"x": "y"}}})
    with pytest.raises(Conflict):
        await world.look()
    world.alarms.observe(world.server.get(kinds.ALARMS, NAMESPACE, "errors"))
    assert (await world.look())["state"] == "OK"


async def test_an_alarm_that_is_gone_is_asked_no_more(world: World) -> None:
    """Nor one that is being deleted."""
    world.apply(_metric())
    await world.look()
    world.alarms.remove(world.server.get(kinds.ALARMS, NAMESPACE, "errors"))
    await world.reporter.reconcile((NAMESPACE, "errors"), "errors")
    assert world.service.distinct_queries == 0
