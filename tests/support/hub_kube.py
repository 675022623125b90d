"""The API server of a hub's own cluster, at the end of a wire that may be bad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ombak.runtime.kube_port import Object
from ombak.simulation.client import Request
from ombak.simulation.server import Server
from support.fake_kube import FakeKube
from support.hub_regions import job_status
from support.hub_wire import Wire, at_once


class HubKube(FakeKube):
    """The hub's own API server, on the same bad wire as the regions."""

    def __init__(self, server: Server, wire: Wire) -> None:
        super().__init__(server)
        self._wire = wire
        self.jobs: Callable[[Object], Any] = lambda _job: None

    async def _call(self, request: Request, effect: Callable[[Server], Object]) -> Object:
        def arrive() -> Object:
            answer: Object = at_once(FakeKube._call(self, request, effect))
            is_job = request.kind == "Job" and request.verb == "get"
            return answer | {"status": job_status(self.jobs(answer))} if is_job else answer

        # An Event is posted beside the plan, in no order with it.
        is_write = request.is_write and request.kind != "Event"
        answer: Object = await self._wire.carry(arrive, is_write=is_write)
        return answer
