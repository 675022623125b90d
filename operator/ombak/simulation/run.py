"""One run of a scenario under all monitors, on an event loop or (much faster) without one."""

import asyncio
import dataclasses
import random
from collections.abc import Callable

from ombak.core.identity import artifact_id
from ombak.simulation.agenda import Agenda, run_virtual
from ombak.simulation.baseline_watch import BaselineWatch
from ombak.simulation.capacity_watch import CapacityWatch
from ombak.simulation.delivery_watch import DeliveryWatch, is_good
from ombak.simulation.evidence_watch import EvidenceWatch
from ombak.simulation.faults import CALM
from ombak.simulation.gate_watch import GateWatch
from ombak.simulation.process import LoopProcess, Machine, Process, QuickProcess
from ombak.simulation.region import Region
from ombak.simulation.scenario import Scenario, Stage

RESTS = ("Stable", "Reverted", "Failed", "Blocked", "Invalid")
"""Phases in which a Rollout may stay for ever; a blocked one waits for somebody."""
QUIET = 120.0
REVERT_WITHIN = 1500.0
RESTART_AFTER = 3.0


@dataclasses.dataclass(slots=True)
class Outcome:
    """How a run went."""

    scenario: str
    seed: int | str
    violations: list[str]
    trace: list[str]
    phase: str = ""
    seconds: float = 0.0
    passes: int = 0


class Run:
    """Everything of one run but the passing of time."""

    def __init__(self, scenario: Scenario, seed: int | str, region: Region) -> None:
        self.scenario, self.region = scenario, region
        self.outcome = Outcome(scenario.name, seed, [], [])
        self.rng = random.Random(f"run-{seed}")  # noqa: S311 - chance of a simulation, guards nothing
        self.faults = dataclasses.replace(CALM)
        self.machine = Machine(region.timeline)
        self.processes: list[Process] = []
        self._phase = ""
        self._told: tuple[str, ...] = ()
        self.capacity = CapacityWatch(region, scenario.lag, scenario.delay, self.fail)
        self.evidence = EvidenceWatch(region, scenario.lag, self.fail)
        self.baseline = BaselineWatch(region, scenario.lag, self.fail)
        self.delivery = DeliveryWatch(
            region, scenario.lag, self.fail, lambda: [s.replicas for s in self.capacity.recent()]
        )
        self.gates = GateWatch(region, scenario.lag + scenario.delay, self.machine.now, self.fail)
        region.server.monitors.append(self._note_phase)

    @property
    def now(self) -> float:
        """Seconds into the run."""
        return self.region.timeline.time()

    def tell(self, told: str) -> None:
        """Add a line to the trace."""
        self.outcome.trace.append(f"{self.now:9.2f}  {told}")

    def fail(self, promise: str, told: str) -> None:
        """A promise is broken."""
        line = f"{promise} broken at {self.now:.2f} s: {told}"
        if len(self.outcome.violations) < 10:
            self.outcome.violations.append(line)
        self.tell(f"!!! {line}")

    def _note_phase(self, *_: object) -> None:
        phase = self.region.phase
        if phase != self._phase:
            self._phase = phase
            boxes = " + ".join(f"{n} x {a}" for a, n in sorted(self.region.versions().items())) or "none"
            self.tell(f"== {phase or 'status erased'}: boxes {boxes}, {self.region.available()} available")

    def stage(self, kill: Callable[[float], None], second: Callable[[bool], None]) -> Stage:
        """Return what events may touch."""

        def skew(seconds: float) -> None:
            self.machine.skew = seconds

        return Stage(self.region, self.faults, skew, kill, second, self.rng)

    def plan(self, stage: Stage) -> None:
        """Plan all that the scenario does."""
        self.region.apply(self.scenario.spec)
        for event in self.scenario.events:
            self.region.timeline.call_later(event.at, self._happen, event.told, event.act, stage)

    def _happen(self, told: str, act: Callable[[Stage], None], stage: Stage) -> None:
        self.tell(f"-- {told}")
        self.delivery.disturbed_at = self.now
        act(stage)

    @property
    def last_event(self) -> float:
        """When the scenario has done its last."""
        return max((e.at for e in self.scenario.events), default=0.0)

    def is_at_rest(self) -> bool:
        """It has come to where it may stay, as far as the status tells."""
        is_over = self.now > self.last_event + 1.0 and not self.outcome.violations
        if (self.region.status.get("waitingFor") or {}).get("expected") and self.region.phase == "Blocked":
            return False  # it goes on by itself
        may_stay = self.region.phase in RESTS or self.region.is_held
        return is_over and may_stay and self.region.is_settled()

    def check_end(self) -> None:
        """What every run must come to: all boxes on one version, all of them serving, and the right one (P4)."""
        region, rollout = self.region, self.region.rollout
        if rollout is None:
            return
        if self.scenario.phase and region.phase != self.scenario.phase:
            self.fail("P4", f"it ended {region.phase}: {region.status.get('message')}")
        if region.phase in ("Blocked", "Invalid", "Failed") or region.is_held:
            return
        wanted, boxes = artifact_id(rollout["spec"]["template"]), region.versions()
        replicas = rollout["spec"].get("replicas")
        if sum(boxes.values()) != replicas:
            self.fail("P4", f"it ended with {boxes}, and {replicas} boxes are asked for")
        if len(boxes) > 1:
            self.fail("P4", f"it ended with a mixture: {boxes}")
        runs = next(iter(boxes), wanted)
        good = [a for a in region.server.all("Artifact") if is_good(a)]
        newest = max(good, key=lambda a: a["status"]["stable"]["order"], default=None)
        if newest is None or newest["spec"]["id"] != runs:
            self.fail("P4", f"it ended on {runs}, which is not the newest good version")
        if region.phase == "Stable" and runs != wanted:
            self.fail("P4", f"it ended Stable on {runs}, and {wanted} is wanted")

    def count_writes(self) -> int:
        """Return how many writes all operators made so far."""
        return sum(p.writes for p in self.processes)


class _Driver:
    """Lets time pass over a run, and starts operators anew that died."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.main = self.start()
        self.second: Process | None = None
        self._down_until = 0.0

    def start(self) -> Process:
        """Start an operator."""
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        raise NotImplementedError

    def _kill(self, seconds: float) -> None:
        self._down_until = self.run.now + seconds
        self.main.end()

    def _switch_second(self, is_on: bool) -> None:
        if self.second is not None:
            self.second.end()
        self.second = self.start() if is_on else None

    async def go(self) -> Outcome:
        """Do the scenario, wait until it rests, and look at what it came to."""
        run = self.run
        run.plan(run.stage(self._kill, self._switch_second))
        rested = 0.0
        while run.now < run.scenario.end and not run.outcome.violations and rested < 60.0:
            await self._pass_time(5.0)
            run.delivery.check_reverts(REVERT_WITHIN)
            rested = rested + 5.0 if run.is_at_rest() else 0.0
        if not run.outcome.violations:
            await self._check_rest(rested)
        run.outcome.phase, run.outcome.seconds = run.region.phase, run.now
        run.outcome.passes = sum(p.passes for p in run.processes)
        for process in run.processes:
            await process.stop()
        return run.outcome

    async def _pass_time(self, seconds: float) -> None:
        if not self.main.is_alive and self.run.now >= self._down_until:
            await self.sleep(RESTART_AFTER)
            self.main = self.start()
        if self.second is not None and not self.second.is_alive:
            self.second = self.start()
        await self.sleep(seconds)
        self.main.check()

    async def _check_rest(self, rested: float) -> None:
        run = self.run
        if not rested:
            run.fail("P3", f"it never came to rest: {run.region.phase}, {run.region.status.get('message')}")
            return
        run.check_end()
        if any(pod.behaviour.up_for for pod in run.region.kubelets.pods.values()):
            return  # what comes and goes for ever never settles
        await self._stay_quiet("quiescence", "in a settled world")
        self.main.end()
        await self._stay_quiet("P7", "after a restart over old state")

    async def _stay_quiet(self, promise: str, where: str) -> None:
        before = self.run.count_writes()
        await self._pass_time(QUIET)
        count = self.run.count_writes() - before
        if count:
            self.run.fail(promise, f"{count} writes {where}")


class _QuickDriver(_Driver):
    def __init__(self, scenario: Scenario, seed: int | str) -> None:
        self.agenda = Agenda()
        super().__init__(Run(scenario, seed, Region(self.agenda, seed)))

    def start(self) -> Process:
        run = self.run
        run.processes.append(QuickProcess(run.region, run.machine, run.faults, run.rng, run.tell))
        return run.processes[-1]

    async def sleep(self, seconds: float) -> None:
        self.agenda.run_until(self.agenda.time() + seconds)


class _LoopDriver(_Driver):
    def start(self) -> Process:
        run = self.run
        run.processes.append(LoopProcess(run.region, run.machine, run.faults, run.rng, run.tell))
        return run.processes[-1]

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def quick_run(scenario: Scenario, seed: int | str) -> Outcome:
    """Run a scenario without an event loop: calls take no time, passes are never interrupted."""
    try:
        _QuickDriver(scenario, seed).go().send(None)
    except StopIteration as ended:
        outcome: Outcome = ended.value
        return outcome
    raise AssertionError("a quick run waited for something")


def loop_run(scenario: Scenario, seed: int | str) -> Outcome:
    """Run a scenario on an event loop in virtual time, with the real work queue and calls that take time."""

    async def go() -> Outcome:
        return await _LoopDriver(Run(scenario, seed, Region(asyncio.get_running_loop(), seed))).go()

    return run_virtual(go())
