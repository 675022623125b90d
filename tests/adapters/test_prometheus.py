"""The adapter, against a server that does everything a Prometheus should not."""

import asyncio
import contextlib
import http.server
import json
import math
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ombak.adapters.prometheus import PrometheusSource
from ombak.runtime.metrics_port import QueryError, QueryErrorKind, QueryResult, Series

NOW = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
STEP = timedelta(milliseconds=1500)
SECRET = "s3cr3t"


class Server(http.server.ThreadingHTTPServer):
    """Answers every request with `answer`, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: Callable[[_Handler], None] = lambda handler: handler.say(200, _matrix())
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.running = self.most_running = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with self.server.lock:
            self.server.requests.append((self.path, dict(urllib.parse.parse_qsl(body)), self.headers))
            self.server.running += 1
            self.server.most_running = max(self.server.most_running, self.server.running)
        try:
            self.server.answer(self)
        finally:
            with self.server.lock:
                self.server.running -= 1

    def say(self, status: int, body: object, kind: str = "application/json") -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Says nothing."""


def _matrix(*values: tuple[float, str], **more: object) -> dict[str, object]:
    result = [{"metric": {"pod": "a"}, "values": [list(pair) for pair in values]}] if values else []
    return {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on a free port."""
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def source(server: Server) -> Iterator[PrometheusSource]:
    """An adapter to it, with short timeouts and a secret header."""
    made = PrometheusSource(
        server.url + "/base/", {"Authorization": f"Bearer {SECRET}"}, read_timeout=timedelta(seconds=0.3)
    )
    yield made
    made.close()


async def _ask(source: PrometheusSource, query: str = "up") -> QueryResult:
    return await source.query_range(query, NOW - 2 * STEP, NOW, STEP)


async def test_a_range_is_asked_to_the_millisecond_in_the_body(server: Server, source: PrometheusSource) -> None:
    """However long the query, the URL stays short."""
    query = " or ".join(f'errors{{app="a{i}"}}' for i in range(2_000))
    await _ask(source, query)
    path, sent, headers = server.requests[0]
    assert path == "/base/api/v1/query_range"
    assert sent == {
        "query": query,
        "start": f"{NOW.timestamp() - 3:.3f}",
        "end": f"{NOW.timestamp():.3f}",
        "step": "1.500",
        "timeout": "0.300",
    }
    assert headers["Authorization"] == f"Bearer {SECRET}"


async def test_an_answer_keeps_every_kind_of_value(server: Server, source: PrometheusSource) -> None:
    """Numbers, infinities and NaN, and the clock of the server."""
    server.answer = lambda h: h.say(200, _matrix((1.5, "0.25"), (3, "+Inf"), (4.5, "-Inf"), (6, "NaN")))
    found = await _ask(source)
    (series,) = found.series
    assert series.labels == {"pod": "a"}
    assert series.points[:3] == ((1.5, 0.25), (3.0, math.inf), (4.5, -math.inf))
    assert math.isnan(series.points[3][1])
    assert found.server_time is not None
    assert abs(found.server_time - datetime.now(UTC)) < timedelta(minutes=1)


async def test_no_series_is_an_answer_too(source: PrometheusSource) -> None:
    """Empty, and nothing else: what that means is not decided here."""
    assert (await _ask(source)).series == ()


@pytest.mark.parametrize(
    ("data", "series"),
    [
        pytest.param(
            {"resultType": "vector", "result": [{"metric": {"a": "b"}, "value": [5, "7"]}]},
            (Series({"a": "b"}, ((5.0, 7.0),)),),
            id="vector",
        ),
        pytest.param({"resultType": "scalar", "result": [5, "7"]}, (Series({}, ((5.0, 7.0),)),), id="scalar"),
        pytest.param({"resultType": "vector", "result": []}, (), id="nothing"),
    ],
)
async def test_a_moment_is_asked_in_one_form(
    server: Server, source: PrometheusSource, data: object, series: tuple[Series, ...]
) -> None:
    """A scalar looks like a vector without labels."""
    server.answer = lambda h: h.say(200, {"status": "success", "data": data})
    assert (await source.query("up", NOW)).series == series
    assert server.requests[0][1]["time"] == f"{NOW.timestamp():.3f}"


def _hang(handler: _Handler) -> None:
    threading.Event().wait(1.0)
    handler.close_connection = True


def _cut(handler: _Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(b'{"status":"success","da')
    handler.close_connection = True


def _error(status: int, kind: str, text: str) -> Callable[[_Handler], None]:
    return lambda h: h.say(status, {"status": "error", "errorType": kind, "error": text})


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        pytest.param(_error(400, "bad_data", "parse error at 1:3"), QueryErrorKind.BAD_QUERY, "parse error", id="400"),
        pytest.param(_error(422, "execution", "many-to-many"), QueryErrorKind.BAD_QUERY, "many-to-many", id="422"),
        pytest.param(_error(503, "timeout", "query timed out"), QueryErrorKind.TIMEOUT, "timed out", id="timeout"),
        pytest.param(_error(503, "unavailable", "starting"), QueryErrorKind.OVERLOADED, "starting", id="503"),
        pytest.param(_error(429, "too_many", "slow down"), QueryErrorKind.OVERLOADED, "slow down", id="429"),
        pytest.param(lambda h: h.say(401, b"no", "text/plain"), QueryErrorKind.REFUSED, "HTTP 401", id="401"),
        pytest.param(lambda h: h.say(403, b""), QueryErrorKind.REFUSED, "HTTP 403", id="403"),
        pytest.param(lambda h: h.say(500, b"<html>"), QueryErrorKind.FAILED, "HTTP 500", id="500"),
        pytest.param(lambda h: h.say(404, {"a": 1}), QueryErrorKind.FAILED, "HTTP 404", id="404"),
        pytest.param(lambda h: h.say(302, b""), QueryErrorKind.FAILED, "HTTP 302", id="redirect"),
        pytest.param(lambda h: h.say(200, b"<html>"), QueryErrorKind.MALFORMED, "not that of a Prometheus", id="html"),
        pytest.param(lambda h: h.say(200, {"data": 1}), QueryErrorKind.MALFORMED, "not that", id="no result"),
        pytest.param(lambda h: h.say(200, [1]), QueryErrorKind.MALFORMED, "not that", id="a list"),
        pytest.param(
            lambda h: h.say(200, {"data": {"result": [{"metric": {}, "values": [[1, "x"]]}]}}),
            QueryErrorKind.MALFORMED,
            "not that",
            id="no number",
        ),
        pytest.param(
            lambda h: h.say(200, {"data": {"result": [{"metric": {}, "histogram": [1, {}]}]}}),
            QueryErrorKind.MALFORMED,
            "not that",
            id="a histogram",
        ),
        pytest.param(
            lambda h: h.say(200, _matrix((1, "0"), warnings=["store-2 is unreachable"])),
            QueryErrorKind.PARTIAL,
            "store-2 is unreachable",
            id="partial data",
        ),
        pytest.param(
            lambda h: h.say(200, _matrix(warnings=["none of the stores"])),
            QueryErrorKind.PARTIAL,
            "none of the stores",
            id="partial and empty",
        ),
        pytest.param(_hang, QueryErrorKind.TIMEOUT, "did not answer in time", id="hangs"),
        pytest.param(_cut, QueryErrorKind.UNREACHABLE, "cannot be reached", id="cut off"),
    ],
)
async def test_everything_but_a_whole_answer_is_a_query_error(
    server: Server, source: PrometheusSource, answer: Callable[[_Handler], None], kind: QueryErrorKind, says: str
) -> None:
    """One request, one error, and no secret in its text."""
    server.answer = answer
    with pytest.raises(QueryError, match=says) as caught:
        await _ask(source)
    assert (caught.value.kind, len(server.requests)) == (kind, 1)
    assert SECRET not in str(caught.value)


async def test_infos_and_an_empty_list_of_warnings_do_no_harm(server: Server, source: PrometheusSource) -> None:
    """`metric might not be a counter` says nothing about completeness."""
    server.answer = lambda h: h.say(200, _matrix((1, "0"), warnings=[], infos=["might not be a counter"]))
    assert len((await _ask(source)).series) == 1


def _many(series: int) -> dict[str, object]:
    result = [{"metric": {"pod": f"p{i}"}, "values": [[1, "0"]]} for i in range(series)]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


@pytest.mark.parametrize(("limit", "says"), [("_MOST_SERIES", "11 series"), ("_MOST_BYTES", "so it is not read")])
async def test_more_than_anybody_can_look_at_is_refused(
    server: Server, source: PrometheusSource, monkeypatch: pytest.MonkeyPatch, limit: str, says: str
) -> None:
    """One careless query must not cost everybody else their operator; the fix is in the sentence."""
    monkeypatch.setattr(f"ombak.adapters.prometheus.{limit}", {"_MOST_SERIES": 10, "_MOST_BYTES": 500}[limit])
    server.answer = lambda h: h.say(200, _many(10 if limit == "_MOST_SERIES" else 5))
    assert (await _ask(source)).series
    server.answer = lambda h: h.say(200, _many(11))
    for ask in (_ask(source), source.query("up", NOW)):
        with pytest.raises(QueryError, match=f"{says}.*sum up what belongs together") as caught:
            await ask
        assert caught.value.kind is QueryErrorKind.BAD_QUERY


async def test_an_answer_that_trickles_ends_in_time(
    server: Server, source: PrometheusSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something comes all the time, and its thread is free all the same: there are only sixteen."""
    monkeypatch.setattr("ombak.adapters.prometheus._GRACE", timedelta(0))
    said: list[int] = []

    def trickle(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        with contextlib.suppress(OSError):  # it hung up
            for piece in range(50):
                handler.wfile.write(b" " * 5000)
                said.append(piece)
                time.sleep(0.1)
        handler.close_connection = True

    server.answer = trickle
    with pytest.raises(QueryError, match="did not answer in time"):
        await _ask(source)
    assert len(said) < 50, "it was not waited for to its end"


async def test_nobody_at_the_address_is_unreachable(server: Server) -> None:
    """The text names the host, not the URL, which may hold a password."""
    source = PrometheusSource("http://user:s3cr3t@127.0.0.1:9")
    with pytest.raises(QueryError, match=r"127\.0\.0\.1 cannot be reached") as caught:
        await _ask(source)
    source.close()
    assert caught.value.kind is QueryErrorKind.UNREACHABLE
    assert SECRET not in str(caught.value)


async def test_a_connection_that_fails_is_not_tried_again(
    source: PrometheusSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When to ask again is decided elsewhere; a hidden retry would make every time limit a lie."""
    tried = []

    def refuse(*args: object, **_kwargs: object) -> None:
        tried.append(args)
        raise ConnectionRefusedError

    monkeypatch.setattr("urllib3.util.connection.create_connection", refuse)
    with pytest.raises(QueryError):
        await _ask(source)
    assert len(tried) == 1


@pytest.mark.breadth
async def test_queries_run_side_by_side_off_the_event_loop(server: Server, source: PrometheusSource) -> None:
    """Sixteen at once and no more; the loop is free meanwhile."""
    ready = threading.Barrier(17, timeout=5)

    def together(handler: _Handler) -> None:
        if len(server.requests) <= 16:
            ready.wait()
        handler.say(200, _matrix())

    server.answer = together
    source = PrometheusSource(server.url)
    asked = [asyncio.create_task(_ask(source)) for _ in range(20)]
    await asyncio.get_running_loop().run_in_executor(None, ready.wait)
    assert len(await asyncio.gather(*asked)) == 20
    source.close()
    assert server.most_running == 16
