"""The client of one API server: raw JSON over aiohttp, with limits, timeouts and telling errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Protocol

import aiohttp

from ombak.adapters.kube_answers import api_object, error_of, explained, json_object, watch_lines
from ombak.adapters.limits import Gate, Limits
from ombak.runtime.kinds import PODS
from ombak.runtime.kube_port import PAGE_LIMIT, Kind, Object, Unreachable

FIELD_MANAGER = "ombak"
JSON = "application/json"
_PARTIAL = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
"""Objects without anything but their metadata; for a list with `List`."""
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
READ_BUFFER = 2**21
"""Bytes; a watch line must fit twice: an object is at most 1.5 MB in etcd, and larger as JSON."""

Query = dict[str, str]
OnRequest = Callable[[str, str, int, float], None]
"""verb, plural, status (0: no answer), seconds"""


class Entrance(Protocol):
    """Where an API server is and who we are there; `Access` is one. Each raises `AccessError`."""

    @property
    def server(self) -> str:
        """Its URL, without a slash at the end; asked for only after `headers`."""
        ...

    async def headers(self) -> dict[str, str]:
        """The Authorization header as it is now."""
        ...

    async def renew(self) -> bool:
        """Load the credentials again; whether that was done."""
        ...

    def transport(self) -> dict[str, Any]:
        """Arguments of an aiohttp request."""
        ...


class HttpKubeClient:
    """Implements `ombak.runtime.kube_port.KubeClient`; use it as an async context manager."""

    def __init__(
        self,
        access: Entrance,
        limits: Limits | None = None,
        on_request: OnRequest | None = None,
        *,
        manager: str = FIELD_MANAGER,
    ) -> None:
        """`manager` is the name under which the API server records what we write."""
        self._access = access
        self._write = {"fieldManager": manager, "fieldValidation": "Strict"}
        self._limits = limits or Limits()
        self._gate = Gate(self._limits)
        self._on_request = on_request or (lambda *_: None)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            read_bufsize=READ_BUFFER,
            headers={"User-Agent": FIELD_MANAGER},
        )

    async def __aenter__(self) -> HttpKubeClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """See `KubeClient.get`."""
        return await self._call("GET", kind, kind.path(namespace, name), {})

    async def create(self, kind: Kind, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        """See `KubeClient.create`."""
        query = self._write | ({"dryRun": "All"} if dry_run else {})
        return await self._call("POST", kind, kind.path(namespace), query, body)

    async def replace(self, kind: Kind, namespace: str, name: str, body: Object, *, subresource: str = "") -> Object:
        """See `KubeClient.replace`."""
        return await self._call("PUT", kind, kind.path(namespace, name, subresource), self._write, body)

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Object | list[Object],
        *,
        subresource: str = "",
        content_type: str = MERGE_PATCH,
    ) -> Object:
        """See `KubeClient.patch`."""
        path = kind.path(namespace, name, subresource)
        return await self._call("PATCH", kind, path, self._write, patch, content_type)

    async def apply(self, kind: Kind, namespace: str, body: Object, *, force: bool = False) -> Object:
        """Server-side apply of a manifest; `Conflict` names who owns a field, unless `force` takes it from them."""
        path = kind.path(namespace, body["metadata"]["name"])
        query = self._write | {"force": "true" if force else "false"}
        return await self._call("PATCH", kind, path, query, body, APPLY_PATCH)

    async def log(self, namespace: str, pod: str, container: str, *, lines: int, most: int) -> str:
        """See `LogReader.log`."""
        query = {"container": container, "tailLines": str(lines), "limitBytes": str(most)}
        return (await self._ask("GET", "pods/log", PODS.path(namespace, pod, "log"), query)).decode(errors="replace")

    async def version(self) -> str:
        """The server's version, such as `v1.36.3`: the cheapest question for which credentials are looked at."""
        raw = await self._ask("GET", "version", "/version", {})
        found = json_object(raw).get("gitVersion")
        if not isinstance(found, str) or not found:
            raise Unreachable(f"the answer is no version of an API server: {raw[:80]!r}")
        return found

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str = "Background",
    ) -> None:
        """See `KubeClient.delete`."""
        wanted = {"uid": uid, "resourceVersion": resource_version}
        options: Object = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": {key: value for key, value in wanted.items() if value},
        }
        await self._call("DELETE", kind, kind.path(namespace, name), {}, options)

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        label_selector: str = "",
        *,
        limit: int = PAGE_LIMIT,
        resource_version: str = "0",
    ) -> Object:
        """See `KubeClient.list`."""
        whole: Object = {}
        pages = self.pages(kind, namespace, label_selector, limit=limit, resource_version=resource_version)
        async for page in pages:
            if whole:
                whole["items"] += page["items"]
            else:
                whole = page
        whole["metadata"].pop("continue", None)
        return whole

    async def pages(
        self,
        kind: Kind,
        namespace: str | None = None,
        label_selector: str = "",
        *,
        limit: int = PAGE_LIMIT,
        resource_version: str = "0",
        metadata_only: bool = False,
    ) -> AsyncIterator[Object]:
        """The same as `list`, page by page, all of one revision; `Gone` when reading them takes too long."""
        accept = _PARTIAL.format("List") if metadata_only else JSON
        query = {"limit": str(limit), "resourceVersion": resource_version}
        if resource_version not in ("", "0"):
            query["resourceVersionMatch"] = "NotOlderThan"
        if label_selector:
            query["labelSelector"] = label_selector
        while True:
            page = await self._call("GET", kind, kind.path(namespace), query, accept=accept)
            meta, items = page["metadata"], page.get("items")
            if not isinstance(items, list) or not meta.get("resourceVersion"):
                raise Unreachable("the answer is not a list of objects")
            yield page
            token = meta.get("continue")
            if not token:
                return
            query = {key: query[key] for key in query if not key.startswith("resourceVersion")}
            query["continue"] = token

    @asynccontextmanager
    async def watch(
        self, kind: Kind, namespace: str | None, query: Query, silence: timedelta, *, metadata_only: bool = False
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a watch and yield its lines; `Unreachable` when it breaks, `Silence` when nothing comes for so long."""
        await self._gate.token()
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._limits.timeout.total_seconds(), sock_read=silence.total_seconds()
        )
        path = kind.path(namespace)
        query = query | {"watch": "true", "allowWatchBookmarks": "true"}
        with explained(f"watch of {path}"):
            accept = _PARTIAL.format("") if metadata_only else JSON
            response = await self._send("GET", path, query, timeout=timeout, accept=accept)
        try:
            if response.status != 200:
                with explained(f"watch of {path}"):
                    raw = await response.content.read(65536)
                raise error_of(response, raw)
            yield watch_lines(response.content)
        finally:
            response.close()

    async def _call(
        self,
        verb: str,
        kind: Kind,
        path: str,
        query: Query,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Object:
        return api_object(await self._ask(verb, kind.plural, path, query, body, content_type, accept))

    async def _ask(
        self,
        verb: str,
        what: str,
        path: str,
        query: Query,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> bytes:
        """One answer that is no refusal, as it came."""
        loop = asyncio.get_running_loop()
        async with self._gate.enter():
            started, status = loop.time(), 0
            try:
                with explained(f"{verb} {path}"):
                    async with asyncio.timeout(self._limits.timeout.total_seconds()):
                        response = await self._send(verb, path, query, body, content_type, accept=accept)
                        async with response:
                            raw, status = await response.read(), response.status
            finally:
                self._on_request(verb, what, status, loop.time() - started)
        if not 200 <= status < 300:
            raise error_of(response, raw)
        return raw

    async def _send(
        self,
        verb: str,
        path: str,
        query: Query,
        body: Any = None,
        content_type: str = JSON,
        timeout: aiohttp.ClientTimeout | None = None,  # noqa: ASYNC109 - aiohttp's own timeouts of a stream
        accept: str = JSON,
    ) -> aiohttp.ClientResponse:
        """One request, and a second one with fresh credentials if the first was not let in (401)."""
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        for renewed in (False, True):
            headers = await self._access.headers() | {"Accept": accept}
            if data is not None:
                headers["Content-Type"] = content_type
            response = await self._session.request(
                verb,
                self._access.server + path,
                params=query,
                data=data,
                headers=headers,
                allow_redirects=False,
                timeout=timeout or aiohttp.ClientTimeout(total=None),
                **self._access.transport(),
            )
            if response.status != 401 or renewed or not await self._access.renew():
                return response
            response.close()
        raise AssertionError("the second round returns")
