"""A client of the simulated API server that remembers what it was asked, and can be made to fail or die anywhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ombak.runtime.kube_port import Object
from ombak.simulation.client import Request, ServerClient
from ombak.simulation.server import Server


@dataclasses.dataclass(slots=True)
class _Fault:
    told: str
    error: BaseException
    times: int
    after: bool


class FakeKube(ServerClient):
    """Remembers what it was asked, and fails as it is told."""

    def __init__(self, server: Server, by: str = "ombak") -> None:
        super().__init__(by)
        self.server = server
        self.requests: list[Request] = []
        self.pods: list[Object] = []
        self.before: Callable[[Request], None] = lambda _: None
        """Told right before a request takes effect: what others do in between."""
        self._faults: list[_Fault] = []

    def fail(self, told: str, error: BaseException, *, times: int = 1, after: bool = False) -> None:
        """Make the next `times` requests whose words begin like this fail; with `after` they happen all the same."""
        self._faults.append(_Fault(told, error, times, after))

    def heal(self) -> None:
        """Let everything succeed from now on."""
        self._faults.clear()

    @property
    def left(self) -> int:
        """How many of the faults that were asked for have not come yet."""
        return sum(fault.times for fault in self._faults)

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

    def _pods(self, selector: str) -> list[Object]:
        return self.pods

    async def _call(self, request: Request, effect: Callable[[Server], Object]) -> Object:
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
