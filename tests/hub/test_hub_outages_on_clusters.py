"""Regions that are away, and a hub that dies after any write, or for long: everything comes to its happy end."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ombak.sandbox import Region
from support.faultproxy import FaultProxy
from support.hub_planes import Line, World, stage
from support.region_planes import kubeconfig_of, token_of, write_secret

pytestmark = pytest.mark.cluster

WAVE = [stage("wave", "region-3", "region-4")]
TWO = [stage("alpha", "region-2", namespace="shop-alpha"), *WAVE]
R3, R4 = ("region-3", "shop"), ("region-4", "shop")


async def test_a_region_that_is_away_at_the_start_in_the_middle_and_at_the_end_of_a_wave(world: World) -> None:
    """The others go on, the wave waits with reason and command, and ends when the region is back."""
    away = world.by_name["region-4"]
    with ExitStack() as stack:
        start, middle, end = (stack.enter_context(world.line(name, WAVE)) for name in ("start", "middle", "end"))
        for line in (start, middle, end):
            line.push("v1")
        for line in (start, middle, end):
            await line.delivered("v1")

        world.hold("region-3")
        end.push("v2")
        await end.until("v2 in region-4", lambda: end.runs(R4) == "v2")
        world.hold("region-4")
        middle.push("v2")
        await middle.begun(R4, "v2")
        await asyncio.to_thread(away.plane.kill_apiserver)
        start.push("v2")
        world.let_go("region-3")
        for line in (start, middle, end):
            await line.until("v2 in region-3", lambda line=line: line.runs(R3) == "v2")  # type: ignore[misc]
        for line in (start, middle, end):
            await says_that_it_waits(line)

        await asyncio.to_thread(away.plane.restart_apiserver)
        world.let_go("region-4")
        for line in (start, middle, end):
            await line.delivered("v2")


async def says_that_it_waits(line: Line) -> None:
    """For the region, in the stage, with the command; nothing is ready while nothing is known."""

    def told() -> bool:
        return any("cannot be reached" in w["what"] for w in line.waits())

    await line.until("the wait is told", told)
    wait = next(w for w in line.waits() if "cannot be reached" in w["what"])
    assert (wait["stage"], wait["region"], wait["command"]) == ("wave", "region-4", "kubectl describe omreg region-4")
    assert line.inside() == {"wave": "v2"}
    assert next(c for c in line.status()["conditions"] if c["type"] == "Ready")["status"] == "Unknown"


async def test_without_a_hub_regions_finish_bake_and_revert_on_their_own(world: World) -> None:
    """What one of them took back is read when the hub is there again, and then it is gone everywhere."""
    with world.line("alone", TWO) as line:
        line.push("v1")
        await line.delivered("v1")
        world.hold("region-3", "region-4")
        line.push("v2")
        await line.begun(R3, "v2")
        await line.begun(R4, "v2")
        await asyncio.to_thread(world.hub_process.kill)
        line.abort_in(R4, "v2")
        world.let_go("region-3", "region-4")
        await line.until("region-3 on v2", lambda: line.runs(R3) == "v2")
        await line.until("region-4 back", lambda: line.rollout(R4)["status"]["phase"] == "Reverted")
        assert line.rollout(R4)["status"]["artifacts"]["stable"] == line.id_in_region("v1")

        await asyncio.to_thread(world.hub_process.start)
        await line.until("v1 everywhere", lambda: set(line.everywhere()) == {"v1"})
        await line.until("the verdict", lambda: line.reason() == "Rejected")
        assert line.rejected("v2")["region"] == "region-4"


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
def proxied(world: World, folder: Path, tally: Tally) -> Iterator[Path]:
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


async def test_a_hub_that_dies_after_each_number_of_writes_delivers_all_the_same(world: World, tmp_path: Path) -> None:
    """After the first write of its life, the second, the third...: nothing is done twice, and nothing forgotten."""
    tally = Tally()
    with world.line("killed", TWO) as line:
        line.push("v1")
        await line.delivered("v1")
        await asyncio.to_thread(world.hub_process.kill)
        with proxied(world, tmp_path, tally) as kubeconfig:
            process = world.operator(world.hub, "mortal", "--hub", kubeconfig=kubeconfig)
            deaths = 0
            line.push("v2")
            while set(line.everywhere()) != {"v2"}:
                deaths += 1
                tally.begin(deaths)
                process.start()
                await line.until("a death or the end", lambda: tally.reached.is_set() or is_over(line))
                await asyncio.to_thread(process.kill)
        await asyncio.to_thread(world.hub_process.start)
        await line.delivered("v2")

        assert deaths >= 4, tally.total
        assert line.status()["travelling"][-1]["sequence"] <= 3, "a number may be lost, nothing is queued again"
        for place in line.places:
            assert line.rollout(place)["metadata"]["generation"] <= 3


def is_over(line: Line) -> bool:
    """It is everywhere."""
    return set(line.everywhere()) == {"v2"}
