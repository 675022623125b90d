"""A client of the simulated API server that remembers what it was asked, and can be made to fail or die anywhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ombak.runtime.kube_port import Kind, Object
from ombak.simulation.server import Server


class Died(BaseException):
    """The process ended in the middle of a call; nothing may catch it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What was asked of the API server."""

    verb: str
    kind: str
    name: str = ""
    body: Any = None
    subresource: str = ""
    dry_run: bool = False
    uid: str | None = None
    version: str | None = None
    """The resource version on which the request depends."""

    @property
    def told(self) -> str:
        """In few words, for comparisons: `patch ReplicaSet front-end-a1b2`, with the subresource."""
        tail = f"/{self.subresource}" if self.subresource else ""
        return f"{'check' if self.dry_run else self.verb} {self.kind}{tail} {self.name}".strip()

    @property
    def is_write(self) -> bool:
        """It changes something."""
        return self.verb not in ("get", "list") and not self.dry_run


@dataclasses.dataclass(slots=True)
class _Fault:
    told: str
    error: BaseException
    times: int
    after: bool


class FakeKube:
    """A `KubeClient` on a server in memory; remembers what it was asked."""

    def __init__(self, server: Server, by: str = "ombak") -> None:
        self.server = server
        self.requests: list[Request] = []
        self.pods: list[Object] = []
        self.before: Callable[[Request], None] = lambda _: None
        """Told right before a request takes effect: what others do in between."""
        self._faults: list[_Fault] = []
        self._by = by

    def fail(self, told: str, error: BaseException, *, times: int = 1, after: bool = False) -> None:
        """Make the next `times` requests whose words begin like this fail; with `after` they happen all the same."""
        self._faults.append(_Fault(told, error, times, after))

    def heal(self) -> None:
        """Let everything succeed from now on."""
        self._faults.clear()

    @property
    def told(self) -> list[str]:
        """All requests so far, in few words."""
        return [request.told for request in self.requests]

    @property
    def writes(self) -> list[str]:
        """The requests that change something, in few words."""
        return [request.told for request in self.requests if request.is_write]

    def take(self) -> list[Request]:
        """The requests since this was called last."""
        taken, self.requests = self.requests, []
        return taken

    def last(self, told: str) -> Request:
        """The latest request whose words begin like this."""
        return next(r for r in reversed(self.requests) if r.told.startswith(told))

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        return self._call(Request("get", kind.kind, name), lambda s: s.get(kind, namespace, name))

    async def create(self, kind: Kind, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        request = Request("create", kind.kind, body["metadata"]["name"], body, dry_run=dry_run)
        return self._call(request, lambda s: s.create(self._by, kind, namespace, body, dry_run=dry_run))

    async def replace(self, kind: Kind, namespace: str, name: str, body: Object, *, subresource: str = "") -> Object:
        version = body["metadata"].get("resourceVersion")
        request = Request("replace", kind.kind, name, body, subresource, version=version)
        return self._call(request, lambda s: s.replace(self._by, kind, namespace, name, body, subresource=subresource))

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Object | list[Object],
        *,
        subresource: str = "",
        content_type: str = "application/merge-patch+json",
    ) -> Object:
        assert isinstance(patch, dict)
        version = (patch.get("metadata") or {}).get("resourceVersion")
        request = Request("patch", kind.kind, name, patch, subresource, version=version)
        return self._call(request, lambda s: s.patch(self._by, kind, namespace, name, patch, subresource=subresource))

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
        def effect(server: Server) -> Object:
            wanted = {"uid": uid, "resource_version": resource_version}
            server.delete(self._by, kind, namespace, name, **wanted, propagation=propagation)
            return {}

        self._call(Request("delete", kind.kind, name, uid=uid, version=resource_version), effect)

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        label_selector: str = "",
        *,
        limit: int = 500,
        resource_version: str = "0",
    ) -> Object:
        return self._call(Request("list", kind.kind, label_selector), lambda _: {"items": self.pods[:limit]})

    def _call(self, request: Request, effect: Callable[[Server], Object]) -> Object:
        self.requests.append(request)
        fault = next((f for f in self._faults if f.times and request.told.startswith(f.told)), None)
        if fault is not None:
            fault.times -= 1
            if not fault.after:
                raise fault.error
        self.before(request)
        answer = effect(self.server)
        if fault is not None:
            raise fault.error
        return answer
