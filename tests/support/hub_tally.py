"""A hub all of whose ways lead through proxies that count its writes, and end its life after so many of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from ombak.sandbox import Region
from support.faultproxy import FaultProxy
from support.region_planes import kubeconfig_of, token_of, write_secret


class HubAndRegions(Protocol):
    """A hub, and the regions that it has a Secret for, each by its own name."""

    @property
    def hub(self) -> Region: ...

    @property
    def regions(self) -> Sequence[Region]: ...


class Tally:
    """Counts the writes of a hub, wherever they go; after so many of them nothing of it gets through any more."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.proxies: list[CountingProxy] = []
        self.left = 0
        self.total = 0
        self._lock = threading.Lock()

    def count(self) -> None:
        """One more write succeeded."""
        with self._lock:
            self.left -= 1
            self.total += 1
            if self.left == 0:
                self.reached.set()
                for proxy in self.proxies:
                    proxy.hold()

    def begin(self, writes: int) -> None:
        """Another life, of so many writes; 0 is for ever."""
        self.left, self.reached = writes, threading.Event()
        for proxy in self.proxies:
            proxy.reached = self.reached
            proxy.release()


class CountingProxy(FaultProxy):
    """One of the ways of a hub."""

    def __init__(self, region: Region, folder: Path, tally: Tally) -> None:
        super().__init__(region, folder)
        self._tally = tally
        tally.proxies.append(self)

    def note(self, status: int) -> None:
        """See `FaultProxy.note`."""
        if status < 300:
            self._tally.count()


@contextmanager
def proxied(world: HubAndRegions, folder: Path, tally: Tally) -> Iterator[Path]:
    """All ways of the hub lead through proxies; gives the kubeconfig of its own cluster."""
    tokens = {region.name: token_of(region) for region in world.regions}
    with ExitStack() as stack:
        own = stack.enter_context(CountingProxy(world.hub, folder, tally))
        for region in world.regions:
            proxy = stack.enter_context(CountingProxy(region, folder, tally))
            server = json.loads(proxy.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
            text = json.loads(kubeconfig_of(region, tokens[region.name]))
            text["clusters"][0]["cluster"] = {"server": server}
            write_secret(world.hub, region.name, json.dumps(text))
        try:
            yield own.kubeconfig
        finally:
            for region in world.regions:
                write_secret(world.hub, region.name, kubeconfig_of(region, tokens[region.name]))
