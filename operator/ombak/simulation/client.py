"""The operator's way to the simulated API server: slow, refused, cut off in the middle, or its last call ever."""

import asyncio
import dataclasses
import random
from collections.abc import Callable
from datetime import timedelta

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


class SimulatedClient:
    """A `KubeClient` on a server in memory."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Read one object as it is now."""
        return await self._call(f"GET {kind.kind} {name}", False, lambda s: s.get(kind, namespace, name))

    async def create(self, kind: Kind, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object."""
        size = (body.get("spec") or {}).get("replicas")
        told = f"{'CHECK' if dry_run else 'CREATE'} {kind.kind} {body['metadata']['name']}{_sized(size)}"
        return await self._call(told, not dry_run, lambda s: s.create(OPERATOR, kind, namespace, body, dry_run=dry_run))

    async def replace(self, kind: Kind, namespace: str, name: str, body: Object, *, subresource: str = "") -> Object:
        """Write an object whole, or its status."""
        status = body.get("status") or {}
        told = f"STATUS {kind.kind} {name}: {status.get('phase')}" if subresource else f"REPLACE {kind.kind} {name}"
        told += "" if subresource else _sized(body["spec"].get("replicas"))
        return await self._call(
            told, True, lambda s: s.replace(OPERATOR, kind, namespace, name, body, subresource=subresource)
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
        told = f"PATCH {kind.kind} {name}{_sized((patch.get('spec') or {}).get('replicas'))}"
        for verdict in patch.get("status") or {}:
            told += f" {verdict}"
        return await self._call(
            told, True, lambda s: s.patch(OPERATOR, kind, namespace, name, patch, subresource=subresource)
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
            server.delete(
                OPERATOR, kind, namespace, name, uid=uid, resource_version=resource_version, propagation=propagation
            )
            return {}

        await self._call(f"DELETE {kind.kind} {name}", True, effect)

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
        assert resource_version in ("", "0")
        return await self._call(
            f"LIST {kind.kind} {label_selector}", False, lambda _: {"items": self._wire.pods(label_selector)[:limit]}
        )

    async def _call(self, told: str, is_write: bool, effect: Callable[[Server], Object]) -> Object:
        """Travel there, take effect, travel back; each part may fail."""
        wire, faults, rng = self._wire, self._wire.faults, self._wire.rng
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
