"""One region of many: all of a region that stands alone, its operators under all monitors, and its cable to the hub."""

import asyncio
import dataclasses
import random
from collections.abc import Callable

from ombak.runtime import kinds, pulse
from ombak.runtime.kube_port import Object
from ombak.simulation.client import OPERATOR
from ombak.simulation.faults import CALM
from ombak.simulation.process import LoopProcess, Process, QuickProcess
from ombak.simulation.region import Region
from ombak.simulation.run import RESTART_AFTER, REVERT_WITHIN, Run
from ombak.simulation.scenario import Scenario, Stage

Tell = Callable[[str], None]
ENGINES: dict[str, type[QuickProcess] | type[LoopProcess]] = {"quick": QuickProcess, "loop": LoopProcess}
"""How the operators of regions run; the hub is always on the event loop."""


class Cable:
    """The way between the hub and a region; it outlives the hub."""

    def __init__(self) -> None:
        self.is_cut = False
        self.faults = dataclasses.replace(CALM)
        self.listeners: list[Callable[[], None]] = []
        """Told when it was cut or mended."""

    def cut(self, is_cut: bool) -> None:
        """Cut or mend it."""
        self.is_cut = is_cut
        for listener in list(self.listeners):
            listener()


class _SiteRun(Run):
    """The monitors of a region, which tell the whole world."""

    def __init__(self, name: str, scenario: Scenario, seed: str, region: Region, out: tuple[Tell, Tell]) -> None:
        self._name, (self._out, self._broken) = name, out
        super().__init__(scenario, seed, region)

    def tell(self, told: str) -> None:
        self._out(f"[{self._name}] {told}")

    def fail(self, promise: str, told: str) -> None:
        self._broken(f"{promise} broken in {self._name} at {self.now:.2f} s: {told}")


class Site:
    """A region of the world. Its operator is started again by itself when it died."""

    def __init__(self, name: str, seed: str, scenario: Scenario, engine: str, out: tuple[Tell, Tell]) -> None:
        """`out` is told what happens, and what broke."""
        loop = asyncio.get_running_loop()
        self.name = name
        self.region = Region(loop, f"{seed}-{name}")
        self.run = _SiteRun(name, scenario, f"{seed}-{name}", self.region, out)
        self.rng = random.Random(f"site-{seed}-{name}")  # noqa: S311 - chance of a simulation, guards nothing
        self.cable = Cable()
        self._engine = ENGINES[engine]
        self._down_until = 0.0
        self._second: Process | None = None
        self.main = self._start()
        self._beat()

    @property
    def now(self) -> float:
        """Seconds into the run."""
        return self.region.timeline.time()

    def stage(self) -> Stage:
        """Return what troubles may touch."""
        return self.run.stage(self._kill, self._switch_second)

    def plan(self) -> None:
        """Plan all that the scenario does."""
        stage = self.stage()
        for event in self.run.scenario.events:
            self.region.timeline.call_later(event.at, self._happen, event.told, event.act, stage)

    def _happen(self, told: str, act: Callable[[Stage], None], stage: Stage) -> None:
        self.run.tell(f"-- {told}")
        self.run.delivery.disturbed_at = self.now
        act(stage)

    def _start(self) -> Process:
        run = self.run
        made = self._engine(run.region, run.machine, run.faults, self.rng, run.tell)
        run.processes.append(made)
        return made

    def _kill(self, seconds: float) -> None:
        self._down_until = self.now + max(seconds, RESTART_AFTER)
        self.main.end()

    def _switch_second(self, is_on: bool) -> None:
        if self._second is not None:
            self._second.end()
        self._second = self._start() if is_on else None

    def _beat(self) -> None:
        """Renew the Lease, by the clock of the region's machine, as `runtime.pulse` does."""
        if self.main.is_alive:
            renewed = self.run.machine.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            spec: Object = {"holderIdentity": self.name, "renewTime": renewed}
            place = kinds.LEASES, pulse.NAMESPACE
            if self.region.server.find("Lease", pulse.NAMESPACE, pulse.NAME) is None:
                body: Object = {"metadata": {"name": pulse.NAME}, "spec": spec}
                self.region.server.create(OPERATOR, *place, body)
            else:
                self.region.server.patch(OPERATOR, *place, pulse.NAME, {"spec": spec})
        self.region.timeline.call_later(pulse.BEAT_EVERY.total_seconds(), self._beat)

    def look(self) -> None:
        """Start operators that died, and hold reverts to their time."""
        if not self.main.is_alive and self.now >= self._down_until:
            self.main = self._start()
        if self._second is not None and not self._second.is_alive:
            self._second = self._start()
        self.main.check()
        self.run.delivery.check_reverts(REVERT_WITHIN)

    async def stop(self) -> None:
        """End everything."""
        for process in self.run.processes:
            await process.stop()
