"""The conditions, latency and warm-up of Alarm objects, and that no secret gets into their status or the logs."""

import asyncio
import copy
import http.server
import json
import pathlib
import random
import threading
from datetime import timedelta
from typing import Any

import pytest
import structlog

from ombak.adapters.prometheus import PrometheusSource
from ombak.adapters.prometheus_access import PrometheusAccess
from ombak.alarms.resolve import AlarmKey
from ombak.api.alarm import AlarmStatus
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.alarm_status import AlarmReporter
from ombak.runtime.alarm_traps import TrapInspector
from ombak.runtime.decode_alarm import AlarmRecord, decode_alarm
from ombak.runtime.logs import configure_logging
from ombak.runtime.metrics_port import MetricsSource, QueryError, QueryErrorKind
from ombak.runtime.store import Store
from support.fake_metrics import FakeClock, FakeSource, constant

METRIC = {"query": "errors", "comparison": "GreaterThanThreshold", "threshold": 0.1, "period": "10s"}


class FakeClient:
    """Takes status writes as an API server does, and keeps them."""

    def __init__(self, objects: dict[tuple[str, str], dict[str, Any]]) -> None:
        self.objects = objects
        self.written: list[dict[str, Any]] = []

    async def replace(self, kind: Any, namespace: str, name: str, body: Any, *, subresource: str = "") -> Any:
        assert subresource == "status"
        AlarmStatus.model_validate(body["status"])
        self.written.append(copy.deepcopy(body["status"]))
        stored = self.objects[namespace, name]
        stored["metadata"]["resourceVersion"] = str(int(stored["metadata"]["resourceVersion"]) + 1)
        return {**stored, "status": body["status"]}


class World:
    """Alarm objects, the service behind them, and a Prometheus that says what it is told."""

    def __init__(self, source: MetricsSource | None = None) -> None:
        self.clock = FakeClock()
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.client = FakeClient(self.objects)
        self.source = FakeSource({"errors": {"": constant(0.0)}}, scraped=timedelta(seconds=5))
        self.alarms: Store[AlarmRecord] = Store(decode_alarm)
        sources = {"": source or self.source}
        self.service = AlarmService(sources, self.clock, lambda _: None, None, random.Random(1))
        inspector = TrapInspector(sources, self.clock, lambda _: None)
        self.reporter = AlarmReporter(self.client, self.alarms, self.service, inspector, self.clock)  # type: ignore[arg-type]

    def put(
        self,
        name: str,
        spec: Any,
        status: Any = None,
        generation: int = 1,
        version: int = 1,
        ahead: timedelta = timedelta(0),
    ) -> None:
        """Write an Alarm; the API server's clock is so far `ahead` of ours."""
        meta = {"namespace": "shop", "name": name, "uid": name, "generation": generation}
        made = self.clock.now() + ahead
        meta |= {"resourceVersion": str(version), "creationTimestamp": made.isoformat()}
        self.objects["shop", name] = {"metadata": meta, "spec": spec, "status": status or {}}
        self.alarms.observe(self.objects["shop", name])
        record = self.alarms.get(("shop", name))
        assert record is not None
        self.service.set_alarm(AlarmKey("shop", name), record.value.spec, self.reporter.warm_at(record.value))

    async def look(self, *names: str) -> dict[str, Any]:
        """Reconcile until nothing is open; returns the status that was last written for the first one."""
        for _ in range(3):
            for name in names:
                await self.reporter.reconcile(("shop", name), name)
            await self.service.poll_due()
            await asyncio.sleep(0)
        return self.client.written[-1] if self.client.written else {}

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.clock.advance(1)
            await self.service.poll_due()


@pytest.fixture
def world() -> World:
    """No Alarm yet."""
    return World()


def _conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}


def _message(status: dict[str, Any], kind: str) -> str:
    return next(each["message"] for each in status["conditions"] if each["type"] == kind)


async def test_a_metric_alarm_says_all_there_is(world: World) -> None:
    """State, since, latency with the scrape, conditions; all of this generation."""
    world.put("errors", {"metric": {**METRIC, "query": "rate(errors[1m])", "pendingPeriod": "30s"}}, generation=4)
    world.source.values["rate(errors[1m])"] = {"": constant(0.0)}
    status = await world.look("errors")
    assert (status["observedGeneration"], status["state"], status["certainty"]) == (4, "OK", "Certain")
    assert status["since"] == "2026-01-01T00:00:00Z"
    assert status["detectionLatency"] == "47s500ms"
    assert _conditions(status) == {"Evaluable": ("True", "Evaluated"), "QuerySound": ("True", "NoTrapFound")}


async def test_an_expression_notices_no_sooner_than_what_it_rests_on(world: World) -> None:
    """The scrape is in both latencies; traps are told where the query is."""
    world.put("errors", {"metric": {**METRIC, "query": "rate(errors[5s])"}})
    world.put("all", {"expression": "ALARM(errors)"})
    own, above = await world.look("errors"), await world.look("all")
    assert above["detectionLatency"] == own["detectionLatency"] == "17s500ms"
    assert "QuerySound" not in _conditions(above)


async def test_only_transitions_are_written(world: World) -> None:
    """New numbers are none; a new state is, with its own moment, and `since` of the rest stays."""
    world.put("errors", {"metric": METRIC})
    await world.look("errors")
    written = len(world.client.written)
    for value in (0.01, 0.02, 0.03):
        world.source.values["errors"] = {"": constant(value)}
        await world.pass_time(11)
        await world.look("errors")
    assert len(world.client.written) == written
    world.source.values["errors"] = {"": constant(1.0)}
    await world.pass_time(11)
    status = await world.look("errors")
    assert len(world.client.written) == written + 1
    assert (status["state"], status["contributors"]) == ("ALARM", ["{}"])
    assert status["since"] == "2026-01-01T00:00:44Z"


@pytest.mark.parametrize("query", ["errors", "rate(errors[5s])", "errors > 1", 'errors{code="9"}'])
async def test_a_restart_over_a_status_that_is_still_true_writes_nothing(world: World, query: str) -> None:
    """P7: also not while nobody has looked into the query again."""
    spec = {"metric": {**METRIC, "query": query}}
    world.put("errors", spec)
    status = await world.look("errors")
    fresh = World()
    fresh.put("errors", spec, status)
    await fresh.look("errors")
    assert fresh.client.written == []


async def test_a_trap_is_not_over_because_prometheus_is_away(world: World) -> None:
    """What was found stays, also over a restart, until the query can be looked into again."""
    spec = {"metric": {**METRIC, "query": "rate(errors[5s])"}}
    world.put("errors", spec)
    status = await world.look("errors")
    fresh = World()
    fresh.source.error = QueryError(QueryErrorKind.UNREACHABLE, "gone")
    fresh.put("errors", spec, status)
    found = _conditions(await fresh.look("errors"))
    assert found == {"Evaluable": ("False", "NeverEvaluated"), "QuerySound": ("False", "Trap")}


async def test_another_generation_is_not_spoken_of_before_it_was_evaluated(world: World) -> None:
    """Until then the status says for which generation it is."""
    world.put("errors", {"metric": METRIC})
    await world.look("errors")
    written = len(world.client.written)
    world.put("errors", {"metric": {**METRIC, "query": "other"}}, generation=2, version=50)
    await world.reporter.reconcile(("shop", "errors"), "errors")
    assert len(world.client.written) == written
    assert (await world.look("errors"))["observedGeneration"] == 2


@pytest.mark.parametrize(
    ("spec", "expected", "says"),
    [
        pytest.param(
            {"expression": "ALARM(errors) OR ALARM(gone)"},
            {"ChildrenResolved": ("False", "Missing")},
            "gone: does not exist",
            id="missing child",
        ),
        pytest.param(
            {"expression": "ALARM(x) OR ALARM(errors)"},
            {"AcyclicRule": ("False", "Cycle")},
            "take one reference out",
            id="cycle",
        ),
        pytest.param(
            {"expression": "ALARM(errors) OR TRUE AND ALARM(errors)"},
            {"Unambiguous": ("False", "MixedOperators"), "Evaluable": ("True", "Evaluated")},
            "write the parentheses",
            id="mixed",
        ),
        pytest.param(
            {"expression": "ALARM(errors)"},
            {"ChildrenResolved": ("True", "AllFound"), "AcyclicRule": ("True", "NoCycle")},
            "",
            id="good expression",
        ),
        pytest.param(
            {"expression": "ALARM(errors"}, {"Evaluable": ("False", "Invalid")}, "expected ')'", id="bad expression"
        ),
        pytest.param({"metric": {}}, {"Evaluable": ("False", "Invalid")}, "query is missing", id="bad spec"),
        pytest.param(
            {"metric": {**METRIC, "query": "errors > 1"}},
            {"QuerySound": ("False", "Trap"), "Evaluable": ("False", "NotCertain")},
            "`> bool`",
            id="comparison",
        ),
        pytest.param(
            {"metric": {**METRIC, "query": "rate(errors[5s])"}},
            {"QuerySound": ("False", "Trap")},
            "write [20s]",
            id="short window",
        ),
        pytest.param(
            {"metric": {**METRIC, "query": 'errors{code="9"}'}},
            {"QuerySound": ("False", "Trap")},
            "no series of errors has a label code",
            id="a label that nothing has",
        ),
        pytest.param(
            {"metric": {**METRIC, "query": 'errors{pod=~"$(pods)"}'}},
            {"Evaluable": ("Unknown", "Template")},
            "for every Rollout",
            id="template",
        ),
        pytest.param(
            {"alertingRule": {"name": "Nothing"}},
            {"Evaluable": ("False", "NeverEvaluated")},
            "no alerting rule Nothing is loaded",
            id="missing rule",
        ),
    ],
)
async def test_conditions_say_what_to_do(
    world: World, spec: dict[str, Any], expected: dict[str, tuple[str, str]], says: str
) -> None:
    """Each with the fix in its sentence."""
    world.source.existing = {"errors"}
    world.put("errors", {"metric": METRIC})
    world.put("x", spec)
    await world.look("errors")
    status = await world.look("x")
    found = _conditions(status)
    assert expected.items() <= found.items()
    assert says in " ".join(_message(status, kind) for kind in expected)


async def test_a_warm_up_is_not_begun_anew_by_a_restart(world: World) -> None:
    """It counts from the creation, or from when the new generation was seen; the status keeps that."""
    spec = {"metric": {**METRIC, "warmUp": "10m"}}
    world.put("errors", spec)
    status = await world.look("errors")
    assert (status["state"], status["warmUpUntil"]) == ("INSUFFICIENT_DATA", "2026-01-01T00:10:00Z")
    world.clock.advance(60)
    world.put("errors", spec, status, generation=2, version=50)
    status = await world.look("errors")
    assert status["warmUpUntil"] == "2026-01-01T00:11:00Z"
    fresh = World()
    fresh.clock.advance(300)
    fresh.put("errors", spec, status, generation=2)
    record = fresh.alarms.get(("shop", "errors"))
    assert record is not None
    assert fresh.reporter.warm_at(record.value) == world.clock.now() + timedelta(minutes=10)


async def test_a_warm_up_is_no_longer_for_the_clock_of_the_api_server(world: World) -> None:
    """An Alarm that was made an hour from now was made now: as long as it warms up nobody is warned."""
    world.put("errors", {"metric": {**METRIC, "warmUp": "10m"}}, ahead=timedelta(hours=1))
    status = await world.look("errors")
    assert status["warmUpUntil"] == "2026-01-01T00:10:00Z"


TOKEN, HEADER = "t0k3n-of-the-test", "h34d3r-of-the-test"


class Echo(http.server.BaseHTTPRequestHandler):
    """A proxy that refuses, and quotes what it was sent in its refusal."""

    def do_POST(self) -> None:
        raw = json.dumps({"status": "error", "errorType": "bad_data", "error": str(self.headers)}).encode()
        self.send_response(400)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST  # noqa: N815 - the name is the base class's

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
        """Says nothing."""


async def test_no_secret_gets_into_status_or_logs(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Not even from a server that quotes the request; with every log line there can be."""
    configure_logging("debug")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    token = tmp_path / "token"
    token.write_text(TOKEN)
    url = f"http://user:{TOKEN}@127.0.0.1:{server.server_address[1]}"
    source = PrometheusSource(PrometheusAccess(url, {"X-Key": HEADER}, bearer_token_file=token))
    world = World(source)
    try:
        world.put("errors", {"metric": METRIC})
        world.put("rule", {"alertingRule": {"name": "x"}})
        world.put("both", {"expression": "ALARM(errors) OR ALARM(rule)"})
        await world.look("errors", "rule", "both")
        await world.look("errors", "rule", "both")
    finally:
        source.close()
        server.shutdown()
        thread.join()
        server.server_close()
        structlog.reset_defaults()
    written, logged = json.dumps(world.client.written), "".join(capfd.readouterr())
    assert "Authorization: Bearer ***" in json.loads(written)[0]["message"]
    for secret in (TOKEN, HEADER):
        assert secret not in written
        assert secret not in logged
