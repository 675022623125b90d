"""One run of a world with a hub, under all monitors, to the end that every world must come to."""

import asyncio
from collections.abc import Callable

from ombak.core import naming
from ombak.simulation.agenda import run_virtual
from ombak.simulation.hub.chaos import Plan, drawn
from ombak.simulation.hub.deeds import CALM_AT, Deed, put_right
from ombak.simulation.hub.site import Site
from ombak.simulation.hub.watch import HubWatch
from ombak.simulation.hub.world import World, version_of
from ombak.simulation.pods import Behaviour
from ombak.simulation.region import template
from ombak.simulation.run import Outcome

WORLD = "regions"
"""What its runs are called."""
SETTLES_WITHIN = 3600.0
DELIVERED_WITHIN = 7200.0
QUIET = 180.0
_STEP = 5.0


class WorldRun:
    """Plays a plan, puts everything right, and then asks for one more good version."""

    def __init__(self, plan: Plan, seed: int | str, engine: str) -> None:
        self.outcome = Outcome(WORLD, seed, [], [])
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        out = self.tell, self._broken
        sites = {name: Site(name, str(seed), scenario, engine, out) for name, scenario in plan.regions.items()}
        for name, site in sites.items():
            site.run.machine.skew = plan.skews[name]
        self.world = World(sites, str(seed), self.tell)
        self.world.machine.skew = plan.skews["hub"]
        self._watch = HubWatch(self.world, self.fail)
        self._phase = ""

    def tell(self, told: str) -> None:
        """Add a line to the trace."""
        self.outcome.trace.append(f"{self._loop.time():9.2f}  {told}")

    def fail(self, promise: str, told: str) -> None:
        """A promise of the hub is broken."""
        self._broken(f"{promise} broken at {self._loop.time():.2f} s: {told}")

    def _broken(self, line: str) -> None:
        if len(self.outcome.violations) < 10:
            self.outcome.violations.append(line)
        self.tell(f"!!! {line}")

    def _happen(self, deed: Deed) -> None:
        self.tell(f"-- {deed.told}")
        deed.do(self.world)

    def begin(self) -> None:
        """Ask for the first version, and plan all that happens."""
        self.world.apply(self._plan.spec)
        for site in self.world.sites.values():
            site.plan()
        for deed in self._plan.deeds:
            self._loop.call_later(deed.at, self._happen, deed)

    async def go(self) -> Outcome:
        """Play it all."""
        world = self.world
        self.begin()
        await self.wait(_never, CALM_AT)
        self._happen(Deed(CALM_AT, "all is put right", put_right))
        await self._settle()
        if not self.outcome.violations:
            await self._deliver_the_last()
        self.outcome.phase, self.outcome.seconds = str(world.status.get("reason")), self._loop.time()
        self.outcome.passes = sum(p.passes for site in world.sites.values() for p in site.run.processes)
        await world.stop()
        return self.outcome

    async def wait(self, claim: Callable[[], bool], seconds: float) -> bool:
        """Let time pass until a claim holds, at most so long; whether it does."""
        ends = self._loop.time() + seconds
        while self._loop.time() < ends and not self.outcome.violations:
            await asyncio.sleep(_STEP)
            self.world.look()
            self._watch.look()
            self._note_phase()
            if claim():
                return True
        return False

    def _note_phase(self) -> None:
        status = self.world.status
        phase = f"{status.get('reason')}: {status.get('message')}"
        if phase != self._phase:
            self._phase = phase
            self.tell(f"== {phase}")

    def _is_settled(self) -> bool:
        """Nothing is on its way, or it waits for a person, who has the command."""
        items = (self.world.status.get("memory") or {}).get("items") or []
        return self.world.status.get("reason") in ("Delivered", "Rejected") and not any(
            item.get("isInside") for item in items
        )

    async def _settle(self) -> None:
        """Wait until what was on its way has ended; where that takes a word of a person, say it."""
        if await self.wait(self._is_settled, SETTLES_WITHIN / 2):
            return
        for wait in [w for w in self.world.waits if w["what"].startswith("the Artifact")]:
            self.tell(f"-- the command of a wait is said: {wait['command']}")
            self.world.annotate(naming.ABORT, wait["artifact"])
        await self.wait(self._is_settled, SETTLES_WITHIN / 2)
        if not self.outcome.violations and not self._is_settled():
            self.fail("it ends", f"it never came to rest: {self.world.status}")

    async def _deliver_the_last(self) -> None:
        """A good version after all gets everywhere, and then nobody writes anything any more."""
        made = template("last", Behaviour())
        self.tell(f"-- the user wants {version_of(made)}, which is good")
        self.world.push(made)
        if not await self.wait(lambda: self.is_delivered(version_of(made)), DELIVERED_WITHIN):
            if not self.outcome.violations:
                self.fail("it ends", f"a good version is not delivered: {self.world.status}")
            return
        for site in self.world.sites.values():
            site.run.check_end()
        await self._stay_quiet()

    def is_delivered(self, version: str) -> bool:
        """Every box of every region runs it, and the Pipeline says so."""
        status = self.world.status
        return (status.get("reason"), status.get("artifact")) == ("Delivered", version) and all(
            (site.region.phase, set(site.region.versions())) == ("Stable", {version}) and site.region.is_settled()
            for site in self.world.sites.values()
        )

    async def _stay_quiet(self) -> None:
        """Nobody writes anything in a settled world, but for the statuses of Regions and signs of life."""
        await self.wait(_never, QUIET)
        before = self._written()
        await self.wait(_never, QUIET)
        if self._written() != before:
            self.fail("quiescence", f"somebody writes in a settled world: {before}, then {self._written()}")

    def _written(self) -> tuple[list[int], list[str]]:
        """How much each region's operator wrote so far, and the versions of what the hub writes."""
        ours = (self.world.pipeline, *self.world.server.all("Artifact"))
        counts = [site.run.count_writes() for site in self.world.sites.values()]
        return counts, [obj["metadata"]["resourceVersion"] for obj in ours]


def _never() -> bool:
    return False


def world_run(seed: int | str, engine: str) -> Outcome:
    """Run the world of a seed in virtual time; `engine` is how the operators of its regions run."""

    async def go() -> Outcome:
        return await WorldRun(drawn(seed), seed, engine).go()

    return run_virtual(go())
