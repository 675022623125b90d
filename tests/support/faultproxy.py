"""A proxy between an operator and its API server that makes the way between them bad, chosen by a seed.

    with FaultProxy(region, folder, Faults(seed=7, watch_delay=timedelta(seconds=30), broken=0.1)) as proxy:
        operator --kubeconfig proxy.kubeconfig ...

Plain HTTP towards the operator on 127.0.0.1, TLS and the operator's own token towards the API server. What it did is
counted in `proxy.done`, so that a test can tell that the faults which it is about really came.

A write here is one that persists: dry runs are none. Events are not counted as writes either, since they are sent
beside the plan, in no order with it; errors befall them all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import re
import ssl
import threading
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web

from ombak.sandbox import Region

NO_TIME = timedelta(0)
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_RESOURCE = re.compile(r"^/apis?/(?:[^/]+/)?v[0-9][^/]*/(?:namespaces/[^/]+/)?([a-z]+)")
_REASONS = {409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError", 504: "Timeout"}
_LARGEST = 2**24
"""Bytes of a request, and of a line of a watch."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong: shares are of requests (or of watch events), 0 to 1; the default is nothing."""

    seed: int = 0
    plurals: frozenset[str] = frozenset()
    """Watches of these resources suffer; all when empty."""
    watch_delay: timedelta = NO_TIME
    """So much later every watch event arrives."""
    watch_dropped: float = 0.0
    """Events that are swallowed; what is lost comes back only with the next list."""
    watch_cut_after: timedelta = NO_TIME
    """Streams break after about so long, and the next try is told to list again (410)."""
    conflict: float = 0.0
    """Writes answered 409 and not carried out."""
    throttled: float = 0.0
    """Requests answered 429 with Retry-After: 1."""
    broken: float = 0.0
    """Requests answered 500 and not carried out."""
    lost_answer: float = 0.0
    """Writes that are carried out and then answered 504, or cut without an answer."""
    late: float = 0.0
    """Requests that are held for `late_by` before they go on."""
    late_by: timedelta = timedelta(seconds=3)
    stop_after_write: int = 0
    """After so many writes that succeeded nothing is answered any more, that write included; 0 is never."""


@dataclass(frozen=True, slots=True)
class Write:
    """A write that the API server answered."""

    method: str
    path: str
    status: int


@dataclass(slots=True)
class _Verdict:
    """What shall become of one request: an answer of our own, or the real one, given or lost."""

    answer: int = 0
    lost: str = ""
    late: bool = False


class FaultProxy:
    """Runs in a thread of its own while the `with` block lasts."""

    def __init__(self, region: Region, folder: Path, faults: Faults | None = None, user: str = "ombak") -> None:
        """`folder` is where its kubeconfig goes; `user` is whose token that holds."""
        self.faults = faults or Faults()
        self.done: Counter[str] = Counter()
        """How often each fault came: delayed, dropped, cut, conflict, throttled, broken, lost-504, lost-cut, late."""
        self.writes: list[Write] = []
        self.reached = threading.Event()
        """`stop_after_write` has come: whoever holds the operator may kill it now."""
        self.kubeconfig = folder / f"kubeconfig-{uuid.uuid4().hex[:8]}"
        self._region = region
        self._user = user
        self._rng = random.Random(self.faults.seed)
        self._drawn: defaultdict[str, float] = defaultdict(float)
        self._places: dict[str, float] = {}
        self._losses = itertools.cycle(("lost-504", "lost-cut"))
        self._gone_next: set[str] = set()
        self._started: Future[tuple[asyncio.AbstractEventLoop, int]] = Future()
        self._thread = threading.Thread(target=self._live, name="faultproxy", daemon=True)

    def __enter__(self) -> Self:
        """Serve; the kubeconfig is written."""
        self._thread.start()
        self._loop, port = self._started.result(timeout=30)
        content = json.loads(self._region.kubeconfig_for(self._user).read_text())
        content["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{port}"}
        self.kubeconfig.write_text(json.dumps(content))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut everything and end."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def hold(self) -> None:
        """From now on no request goes on, until `release`."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def release(self) -> None:
        """Let what was held go on."""
        self._loop.call_soon_threadsafe(self._open.set)

    def become(self, faults: Faults) -> None:
        """Other faults from now on; streams that are open keep theirs."""
        self._loop.call_soon_threadsafe(setattr, self, "faults", faults)

    def _live(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(error)
            raise

    async def _serve(self) -> None:
        self._end, self._open = asyncio.Event(), asyncio.Event()
        self._open.set()
        tls = ssl.create_default_context(cafile=str(self._region.plane.ca_file))
        connector = aiohttp.TCPConnector(limit=0, ssl=tls)
        timeout = aiohttp.ClientTimeout(total=None)
        application = web.Application(client_max_size=_LARGEST)
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=_LARGEST) as session:
            self._session = session
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._started.set_result((asyncio.get_running_loop(), runner.addresses[0][1]))
            await self._end.wait()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        await self._open.wait()
        plural = _plural(request.path)
        if request.query.get("watch") in ("true", "1"):
            return await self._watch(request, plural)
        is_write = request.method in WRITES and "dryRun" not in request.query
        verdict = self._judge(is_write)
        if verdict.late:
            await asyncio.sleep(self.faults.late_by.total_seconds())
        if verdict.answer:
            return _status(verdict.answer)
        body = await request.read()
        counts = is_write and plural != "events"
        # It goes through even if the operator dies meanwhile, as it would without us.
        status, headers, raw = await asyncio.shield(asyncio.ensure_future(self._carry_out(request, body, counts)))
        if counts and self.reached.is_set():
            await asyncio.Event().wait()
        if verdict.lost == "lost-504":
            return _status(504)
        if verdict.lost == "lost-cut":
            return _cut(request)
        return web.Response(status=status, headers=headers, body=raw)

    def _judge(self, is_write: bool) -> _Verdict:
        """Draw what becomes of a request."""
        faults, verdict = self.faults, _Verdict()
        if self._happens("late", faults.late):
            verdict.late = True
        if is_write and self._happens("conflict", faults.conflict):
            verdict.answer = 409
        elif self._happens("throttled", faults.throttled):
            verdict.answer = 429
        elif self._happens("broken", faults.broken):
            verdict.answer = 500
        elif is_write and self._is_due("lost", faults.lost_answer):
            verdict.lost = next(self._losses)
            self.done[verdict.lost] += 1
        return verdict

    def _happens(self, what: str, chance: float) -> bool:
        happens = self._is_due(what, chance)
        self.done[what] += happens
        return happens

    def _is_due(self, what: str, chance: float) -> bool:
        """Draw once: of every 1/chance draws one is due, at a place that is drawn, so that a short run has its share.

        Nothing is drawn for what never happens, so that one fault does not move another.
        """
        if not chance:
            return False
        self._drawn[what] += chance
        place = self._places.setdefault(what, self._rng.random())
        if self._drawn[what] <= place:
            return False
        self._places[what] = int(place) + 1 + self._rng.random()
        return True

    async def _carry_out(self, request: web.Request, body: bytes, counts: bool) -> tuple[int, dict[str, str], bytes]:
        answer = await self._forward(request, body)
        if counts:
            self.writes.append(Write(request.method, request.path, answer[0]))
            self.note(answer[0])
            good = sum(w.status < 300 for w in self.writes)
            if self.faults.stop_after_write and good >= self.faults.stop_after_write:
                self._open.clear()
                self.reached.set()
        return answer

    def note(self, status: int) -> None:
        """Told of each write that the API server answered; for who counts those of several proxies."""

    async def _forward(self, request: web.Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        async with self._session.request(
            request.method, self._upstream(request), headers=_headers(request), data=body or None
        ) as answer:
            kept = {k: v for k, v in answer.headers.items() if k in ("Content-Type", "Retry-After")}
            return answer.status, kept, await answer.read()

    def _upstream(self, request: web.Request) -> str:
        return self._region.plane.url + request.raw_path

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        """Pass a watch on, worse than it is."""
        faults = self.faults
        suffers = not faults.plurals or plural in faults.plurals
        if plural in self._gone_next:
            self._gone_next.discard(plural)
            return _expired()
        async with self._session.get(self._upstream(request), headers=_headers(request)) as upstream:
            if upstream.status != 200:
                return web.Response(status=upstream.status, body=await upstream.read(), content_type="application/json")
            stream = web.StreamResponse(headers={"Content-Type": "application/json"})
            stream.enable_chunked_encoding()
            await stream.prepare(request)
            if not suffers:
                faults = Faults()
            cut = (
                faults.watch_cut_after.total_seconds() * self._rng.uniform(0.5, 1.5) if faults.watch_cut_after else None
            )
            try:
                async with asyncio.timeout(cut):
                    await self._pass_on(upstream, stream, faults)
            except TimeoutError:
                self.done["cut"] += 1
                self._gone_next.add(plural)
                return _cut(request, stream)
            return stream

    async def _pass_on(self, upstream: aiohttp.ClientResponse, stream: web.StreamResponse, faults: Faults) -> None:
        """Lines from one side to the other, each `watch_delay` after it came; swallowed ones never."""
        lines: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        reading = asyncio.create_task(self._read(upstream, lines, faults))
        try:
            while True:
                due, line = await lines.get()
                if not line:
                    return
                await asyncio.sleep(due - _now())
                await stream.write(line)
        finally:
            reading.cancel()

    async def _read(
        self, upstream: aiohttp.ClientResponse, lines: asyncio.Queue[tuple[float, bytes]], faults: Faults
    ) -> None:
        delay = faults.watch_delay.total_seconds()
        with contextlib.suppress(aiohttp.ClientError):
            async for line in _lines(upstream.content):
                if self._happens("dropped", faults.watch_dropped):
                    continue
                self.done["delayed"] += delay > 0
                lines.put_nowait((_now() + delay, line))
        lines.put_nowait((0.0, b""))


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    while line := await content.readline():
        yield line


def _now() -> float:
    return asyncio.get_running_loop().time()


def _plural(path: str) -> str:
    found = _RESOURCE.match(path)
    return found[1] if found else ""


def _headers(request: web.Request) -> dict[str, str]:
    kept = ("Authorization", "Content-Type", "Accept", "User-Agent")
    return {k: request.headers[k] for k in kept if k in request.headers}


def _status(code: int) -> web.Response:
    """A refusal as an API server words it, so that it is believed."""
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "code": code,
        "reason": _REASONS[code],
        "message": "the fault proxy says so",
    }
    headers = {}
    if code == 429:
        body["details"] = {"retryAfterSeconds": 1}
        headers["Retry-After"] = "1"
    return web.json_response(body, status=code, headers=headers)


def _expired() -> web.Response:
    """A watch that begins too far back: the API server says so in the stream, not by the HTTP status."""
    event = {"type": "ERROR", "object": json.loads(_status(410).body or b"")}  # type: ignore[arg-type]
    return web.Response(body=json.dumps(event).encode() + b"\n", content_type="application/json")


def _cut(request: web.Request, answer: web.StreamResponse | None = None) -> web.StreamResponse:
    """End the connection in the middle, as a network does."""
    if request.transport is not None:
        request.transport.abort()
    return answer or web.Response()
