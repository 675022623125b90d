"""Kubernetes Events for transitions: sent in the background, because people can wait and boxes cannot."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import structlog

from ombak.api.common import API_VERSION
from ombak.core.commands import Named
from ombak.core.conditions import stamp
from ombak.core.plan import Note
from ombak.runtime.clock import Clock
from ombak.runtime.kinds import EVENTS
from ombak.runtime.kube_port import ApiError, KubeClient

log = structlog.get_logger()

_MOST_WAITING = 10_000
_COMPONENT = "ombak"


class Subject(Named, Protocol):
    """What an Event is about."""

    @property
    def uid(self) -> str:
        """Which one of that name."""
        ...


class EventRecorder:
    """Posts Events one after another; when it cannot keep up the newest are dropped, and the log still has them."""

    def __init__(self, client: KubeClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._waiting: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(_MOST_WAITING)
        self._count = 0

    def record(self, subject: Subject, note: Note, kind: str = "Rollout") -> None:
        """Take an Event to be sent; never waits, never fails."""
        told = {"namespace": subject.namespace, kind.lower(): subject.name}
        log.info("event", **told, reason=note.reason, message=note.message)
        self._count += 1
        try:
            self._waiting.put_nowait((subject.namespace, self._body(subject, note, kind)))
        except asyncio.QueueFull:
            log.warning("event dropped", reason=note.reason)

    def _body(self, subject: Subject, note: Note, kind: str) -> dict[str, Any]:
        now = self._clock.now()
        at = stamp(now)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{subject.name}.{int(now.timestamp() * 1e6):x}{self._count % 4096:03x}",
                "namespace": subject.namespace,
            },
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": kind,
                "name": subject.name,
                "namespace": subject.namespace,
                "uid": subject.uid,
            },
            "reason": note.reason,
            "message": note.message[:1024],
            "type": "Warning" if note.is_warning else "Normal",
            "source": {"component": _COMPONENT},
            "reportingComponent": _COMPONENT,
            "reportingInstance": _COMPONENT,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }

    async def run(self) -> None:
        """Send what waits, until cancelled. An Event that cannot be sent is logged and let go."""
        while True:
            namespace, body = await self._waiting.get()
            await self._send(namespace, body)

    async def _send(self, namespace: str, body: Mapping[str, Any]) -> None:
        try:
            await self._client.create(EVENTS, namespace, dict(body))
        except ApiError as error:
            log.warning("event not sent", reason=body["reason"], error=str(error))
