"""A small API server over real HTTP, whose faults are chosen by the test.

It keeps revisions, pages lists, replays watches from a revision, sends bookmarks, checks resource
versions - and on request answers 410, 5xx, HTML or rubbish, hangs, falls silent, or doubles events.
Namespaced objects of any kind; no validation, no admission. It is for faults that a real server cannot
be made to show on demand; whether the client fits a real server is for the tests on a real one.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Object = dict[str, Any]
Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


def status(code: int, reason: str, message: str = "", **headers: str) -> web.Response:
    """A Kubernetes Status answer."""
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return web.json_response(body | {"code": code, "reason": reason, "message": message}, status=code, headers=headers)


class FakeApiServer:
    """Objects by (collection path, name), and the history of all changes."""

    def __init__(self) -> None:
        self.url = ""
        self.revision = 100
        self.objects: dict[tuple[str, str], Object] = {}
        self.history: list[tuple[int, str, str, Object]] = []  # revision, collection, type, object
        self.oldest = 0  # watches from before this revision are 410
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[Any] = []
        self.faults: list[tuple[str, Fault, int]] = []  # "list", "watch" or a verb; what; how often
        self.repeat_events = 1
        self.bookmark_every = 0.05
        self.token = "good"
        self.version = "v1.36.3"
        self.cluster = ""
        """The uid of its namespace kube-system; empty where nobody may read it."""
        self._uids = itertools.count(1)
        self._changed = asyncio.Condition()

    # --- what a test does from outside -------------------------------------------------------------

    async def put(self, collection: str, name: str, **fields: Any) -> Object:
        """Create or change an object behind the client's back."""
        old = self.objects.get((collection, name))
        uid = old["metadata"]["uid"] if old else f"uid-{next(self._uids)}"
        parts = collection.split("/")
        namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts else ""
        labels = fields.pop("labels", (old or {}).get("metadata", {}).get("labels", {}))
        annotations = fields.pop("annotations", (old or {}).get("metadata", {}).get("annotations", {}))
        meta = {"name": name, "namespace": namespace, "uid": uid, "labels": labels, "annotations": annotations}
        return await self._store(collection, "MODIFIED" if old else "ADDED", {"metadata": meta, **fields})

    async def drop(self, collection: str, name: str) -> None:
        """Delete an object behind the client's back."""
        await self._store(collection, "DELETED", self.objects[collection, name])

    def fail(self, what: str, fault: Fault, times: int = 1) -> None:
        """Answer the next `times` requests of a sort ("list", "watch", or an HTTP verb) with a fault."""
        self.faults.append((what, fault, times))

    def forget_history(self) -> None:
        """Make every older revision too old to watch from."""
        self.oldest = self.revision

    def counts(self) -> Counter[str]:
        """Requests so far, by sort."""
        return Counter(what for what, _, _ in self.requests)

    def queries(self, what: str) -> list[dict[str, str]]:
        """The queries of the requests of a sort, in order."""
        return [query for sort, _, query in self.requests if sort == what]

    # --- the server --------------------------------------------------------------------------------

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[FakeApiServer]:
        """Run on a free port of the loopback interface."""
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        after = parts[parts.index("namespaces") + 2 :] if "namespaces" in parts else parts[3:]
        name = after[1] if len(after) > 1 else ""
        what = request.method
        if request.path == "/version":
            what = "version"
        elif request.path == "/api/v1/namespaces/kube-system":
            what = "cluster"
        elif what == "GET" and not name:
            what = "watch" if request.query.get("watch") == "true" else "list"
        self.requests.append((what, request.path, dict(request.query)))
        for position, (sort, fault, times) in enumerate(self.faults):
            if sort == what:
                self.faults[position : position + 1] = [(sort, fault, times - 1)] if times > 1 else []
                return await fault(request)
        if request.headers.get("Authorization", "Bearer good") != f"Bearer {self.token}":
            return status(401, "Unauthorized")
        if what == "version":
            return web.json_response({"gitVersion": self.version})
        if what == "cluster":
            found = {"metadata": {"name": "kube-system", "uid": self.cluster}}
            return web.json_response(found) if self.cluster else status(403, "Forbidden", "no right to read it")
        collection = "/" + "/".join(parts[: len(parts) - len(after[1:])])
        if what == "list":
            return self._list(request, collection)
        if what == "watch":
            return await self._watch(request, collection)
        return await self._single(request, collection, name)

    def _list(self, request: web.Request, collection: str) -> web.Response:
        token = request.query.get("continue", "")
        at, start = (int(part) for part in token.split(":")) if token else (self.revision, 0)
        asked = request.query.get("resourceVersion") or "0"
        if int(asked) > self.revision:
            return status(504, "Timeout", f"Too large resource version: {asked}, current: {self.revision}")
        if at < self.oldest:
            return status(410, "Expired", "The provided continue parameter is too old")
        limit = int(request.query.get("limit") or 500)
        found = [obj for key, obj in sorted(self.objects.items()) if self._selects(request, key[0], collection, obj)]
        meta: Object = {"resourceVersion": str(at)}
        if start + limit < len(found):
            meta["continue"] = f"{at}:{start + limit}"
        return web.json_response({"kind": "List", "metadata": meta, "items": found[start : start + limit]})

    async def _watch(self, request: web.Request, collection: str) -> web.StreamResponse:
        seen = int(request.query["resourceVersion"])
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if seen < self.oldest:
            error = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            await send(response, {"type": "ERROR", "object": error})
            return response
        end = asyncio.get_running_loop().time() + float(request.query.get("timeoutSeconds", "300"))
        while asyncio.get_running_loop().time() < end:
            for revision, where, event_type, obj in list(self.history):
                if revision > seen and self._selects(request, where, collection, obj):
                    for _ in range(self.repeat_events):
                        await send(response, {"type": event_type, "object": obj})
            seen = max(seen, self.revision)
            await self._wait_for_change(seen)
            if self.revision == seen:
                mark = {"kind": "Any", "metadata": {"resourceVersion": str(seen)}}
                await send(response, {"type": "BOOKMARK", "object": mark})
        return response

    async def _wait_for_change(self, seen: int) -> None:
        async with self._changed:
            try:
                async with asyncio.timeout(self.bookmark_every):
                    await self._changed.wait_for(lambda: self.revision > seen)
            except TimeoutError:
                return

    async def _single(self, request: web.Request, collection: str, name: str) -> web.Response:
        body = json.loads(await request.text() or "{}")
        self.bodies.append(body)
        if request.method == "POST":
            name = body["metadata"]["name"]
            if (collection, name) in self.objects:
                return status(409, "AlreadyExists", f'"{name}" already exists')
            uid = f"uid-{next(self._uids)}"
            body["metadata"] = body["metadata"] | {"uid": uid}
            if request.query.get("dryRun"):
                return web.json_response(body, status=201)
            return web.json_response(await self._store(collection, "ADDED", body), status=201)
        old = self.objects.get((collection, name))
        if old is None:
            return status(404, "NotFound", f'"{name}" not found')
        if request.method == "GET":
            return web.json_response(old)
        wanted = (body.get("preconditions") or body.get("metadata") or {}) if isinstance(body, dict) else {}
        for field in ("uid", "resourceVersion"):
            if wanted.get(field) and wanted[field] != old["metadata"][field]:
                return status(409, "Conflict", "the object has been modified")
        if request.method == "DELETE":
            await self._store(collection, "DELETED", old)
            return web.json_response({"kind": "Status", "metadata": {}, "status": "Success"})
        meta = old["metadata"] | body.pop("metadata", {})
        new = (old if request.method == "PATCH" else {}) | body | {"metadata": meta}
        return web.json_response(await self._store(collection, "MODIFIED", new))

    async def _store(self, collection: str, event_type: str, obj: Object) -> Object:
        async with self._changed:
            self.revision += 1
            obj = obj | {"metadata": obj["metadata"] | {"resourceVersion": str(self.revision)}}
            key = (collection, obj["metadata"]["name"])
            if event_type == "DELETED":
                del self.objects[key]
            else:
                self.objects[key] = obj
            self.history.append((self.revision, collection, event_type, obj))
            self._changed.notify_all()
        return obj

    def _selects(self, request: web.Request, where: str, collection: str, obj: Object) -> bool:
        same = where == collection or (
            where.split("/")[-1] == collection.split("/")[-1] and ("/namespaces/" not in collection)
        )
        wanted = [pair.partition("=") for pair in request.query.get("labelSelector", "").split(",") if pair]
        labels = obj["metadata"].get("labels") or {}
        return same and all(key in labels and (not equals or labels[key] == value) for key, equals, value in wanted)


async def send(response: web.StreamResponse, event: Object) -> None:
    """One watch event."""
    await response.write(json.dumps(event).encode() + b"\n")


# --- faults --------------------------------------------------------------------------------------------


def answer(code: int, reason: str = "", message: str = "", **headers: str) -> Fault:
    """A Status."""

    async def fault(_: web.Request) -> web.StreamResponse:
        return status(code, reason, message, **headers)

    return fault


def text(code: int, body: str, content_type: str = "text/html") -> Fault:
    """A page of some proxy."""

    async def fault(_: web.Request) -> web.StreamResponse:
        return web.Response(status=code, text=body, content_type=content_type)

    return fault


async def hang(_: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.sleep(3600)
    raise AssertionError


async def cut(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def stream(*lines: str, then_hang: bool = False) -> Fault:
    """A watch that brings these lines, then ends or falls silent."""

    async def fault(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for line in lines:
            await response.write(line.encode() + b"\n")
        if then_hang:
            await asyncio.sleep(3600)
        return response

    return fault
