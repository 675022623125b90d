"""The operator's way to the simulated API server: slow, refused, cut off in the middle, or its last call ever."""

import abc
import asyncio
import dataclasses
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from ombak.runtime.kube_port import ApiError, Conflict, Kind, Object, TooManyRequests, Unreachable
from ombak.simulation.faults import Faults
from ombak.simulation.server import Server

OPERATOR = "ombak"


@dataclasses.dataclass(slots=True)
class Wire:
    """What a client needs beside the server."""

    server: Server
    faults: Faults
    rng: random.Random
    is_slow: bool
    """Calls take time; else they are instantaneous, for runs without an event loop."""
    before: Callable[[], None]
    """Told right before a call takes effect."""
    on_call: Callable[[str, bool], None]
    """Told of each call: a text, and whether it wrote."""
    on_crash: Callable[[], None]
    """The process dies."""
    pods: Callable[[str], list[Object]]


class Died(BaseException):
    """The operator was killed in the middle of a pass; nothing of it may catch this."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the API server."""

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


class ServerClient(abc.ABC):
    """A `KubeClient` on a server in memory; what becomes of a request on its way is for others to say."""

    def __init__(self, by: str = OPERATOR) -> None:
        self._by = by

    @abc.abstractmethod
    async def _call(self, request: Request, effect: Callable[[Server], Object]) -> Object:
        """Bring a request to the server, where it has its effect, and return the answer. Raises `ApiError`."""

    @abc.abstractmethod
    def _pods(self, selector: str) -> list[Object]:
        """Return the pods that match."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Read one object as it is now."""
        return await self._call(Request("get", kind.kind, name), lambda s: s.get(kind, namespace, name))

    async def create(self, kind: Kind, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object."""
        request = Request("create", kind.kind, body["metadata"]["name"], body, dry_run=dry_run)
        return await self._call(request, lambda s: s.create(self._by, kind, namespace, body, dry_run=dry_run))

    async def replace(self, kind: Kind, namespace: str, name: str, body: Object, *, subresource: str = "") -> Object:
        """Write an object whole, or its status."""
        version = body["metadata"].get("resourceVersion")
        request = Request("replace", kind.kind, name, body, subresource, version=version)
        return await self._call(
            request, lambda s: s.replace(self._by, kind, namespace, name, body, subresource=subresource)
        )

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
        """Change fields."""
        assert isinstance(patch, dict)
        assert content_type == "application/merge-patch+json"
        version = (patch.get("metadata") or {}).get("resourceVersion")
        request = Request("patch", kind.kind, name, patch, subresource, version=version)
        return await self._call(
            request, lambda s: s.patch(self._by, kind, namespace, name, patch, subresource=subresource)
        )

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
        """Delete an object."""

        def effect(server: Server) -> Object:
            wanted = {"uid": uid, "resource_version": resource_version}
            server.delete(self._by, kind, namespace, name, **wanted, propagation=propagation)
            return {}

        await self._call(Request("delete", kind.kind, name, uid=uid, version=resource_version), effect)

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        label_selector: str = "",
        *,
        limit: int = 500,
        resource_version: str = "0",
    ) -> Object:
        """Read pods, all that match and as they are now, whatever version is asked for."""
        assert kind.kind == "Pod"
        assert namespace
        assert resource_version is not None
        request = Request("list", kind.kind, label_selector)
        return await self._call(request, lambda _: {"items": self._pods(label_selector)[:limit]})


class SimulatedClient(ServerClient):
    """One whose requests are slow, refused, lost, or its last ones ever."""

    def __init__(self, wire: Wire, by: str = OPERATOR) -> None:
        super().__init__(by)
        self._wire = wire

    def _pods(self, selector: str) -> list[Object]:
        return self._wire.pods(selector)

    async def log(self, namespace: str, pod: str, container: str, *, lines: int, most: int) -> str:  # noqa: ARG002 - the port's
        """Return nothing: the containers of a simulation write no log."""
        return ""

    async def _call(self, request: Request, effect: Callable[[Server], Object]) -> Object:
        """Travel there, take effect, travel back; each part may fail."""
        wire, faults, rng = self._wire, self._wire.faults, self._wire.rng
        told, is_write = _told(request), request.is_write
        await self._travel()
        if faults.refused and rng.random() < faults.refused:
            wire.on_call(f"{told} -> refused", False)
            raise _refusal(rng)
        wire.before()
        try:
            answer = effect(wire.server)
        except ApiError as error:
            wire.on_call(f"{told} -> {error.status} {error.reason}", False)
            raise
        wire.on_call(told, is_write)
        if is_write and faults.crash_on:
            faults.crash_on -= 1
            if not faults.crash_on:
                await self._die()
        if faults.crash and rng.random() < faults.crash:
            await self._die()
        if faults.lost_answer and is_write and rng.random() < faults.lost_answer:
            wire.on_call(f"{told} -> the answer is lost", False)
            await self._travel(5.0)
            raise Unreachable("timed out")
        await self._travel()
        return answer

    async def _die(self) -> None:
        self._wire.on_crash()
        if self._wire.is_slow:
            await asyncio.sleep(1e9)
        raise Died

    async def _travel(self, seconds: float | None = None) -> None:
        if self._wire.is_slow:
            latency = self._wire.faults.latency
            await asyncio.sleep(seconds or latency * self._wire.rng.uniform(0.2, 2.0))


def _told(request: Request) -> str:
    """Write a request as traces do."""
    body, name = request.body or {}, f"{request.kind} {request.name}"
    size = _sized((body.get("spec") or {}).get("replicas"))
    match request.verb:
        case "create":
            return f"{'CHECK' if request.dry_run else 'CREATE'} {name}{size}"
        case "replace" if request.subresource:
            return f"STATUS {name}: {(body.get('status') or {}).get('phase')}"
        case "patch":
            return " ".join([f"PATCH {name}{size}", *(body.get("status") or {})])
    return f"{request.verb.upper()} {name}{size}"


def _sized(size: object) -> str:
    return "" if size is None else f" to {size}"


def _refusal(rng: random.Random) -> ApiError:
    return rng.choice(
        (
            Conflict(409, "Conflict", "the object has been modified"),
            TooManyRequests(429, "TooManyRequests", "slow down", timedelta(seconds=rng.choice((1, 3)))),
            ApiError.of(500, "InternalError", "etcdserver: leader changed"),
            Unreachable("connection refused"),
        )
    )
