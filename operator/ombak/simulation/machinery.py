"""Faults around the operator, drawn by a chance: of calls, watches and clocks, deaths, and a second operator."""

import random
from collections.abc import Callable

from ombak.simulation.scenario import Event, Stage, act
from ombak.simulation.troubles import LAST, moment


def machinery(rng: random.Random, events: list[Event]) -> tuple[float, float]:
    """Add faults of the operator's own surroundings; return how old what it knows, and what it reads live, may be."""
    lag = delay = 3.0
    for kind in rng.sample(("calls", "watch", "crash", "clock", "second", "kill"), rng.randint(1, 3)):
        at = rng.uniform(0.0, LAST / 2)
        until = rng.uniform(at, LAST)
        if kind == "watch":
            lag = 45.0
        elif kind in ("calls", "crash", "second"):
            lag, delay = max(lag, 15.0), 15.0
        if kind == "clock":
            for _ in range(rng.randint(1, 3)):
                seconds = rng.choice((-3600.0, -60.0, -7.0, 9.0, 60.0, 3600.0, 86400.0))
                events.append(act(moment(rng), f"the clock is {seconds:+g} s wrong", _skewing(seconds)))
            continue
        if kind == "kill":
            for _ in range(rng.randint(1, 4)):
                events += [act(moment(rng), "the operator is killed", lambda stage: stage.kill(0.0))]
            continue
        if kind == "second":
            events.append(act(at, "a second operator starts", lambda stage: stage.second(True)))
            events.append(act(until, "the second operator is gone", lambda stage: stage.second(False)))
            continue
        events.append(act(at, f"faults: {kind}", _faulty(kind, rng.random())))
        events.append(act(until, f"no more faults: {kind}", faultless(kind)))
    return lag, delay


def _skewing(seconds: float) -> Callable[[Stage], None]:
    return lambda stage: stage.skew(seconds)


def _faulty(kind: str, degree: float) -> Callable[[Stage], None]:
    def do(stage: Stage) -> None:
        faults = stage.faults
        if kind == "calls":
            faults.refused, faults.lost_answer = 0.2 * degree, 0.2 * (1 - degree)
            faults.latency = 0.5 * degree
        elif kind == "crash":
            faults.crash = 0.2 * degree
        else:
            faults.watch_lag = 0.1 + 29.0 * degree
            faults.lost_event = faults.doubled_event = 0.2 * degree

    return do


def faultless(kind: str) -> Callable[[Stage], None]:
    def do(stage: Stage) -> None:
        faults = stage.faults
        if kind == "calls":
            faults.refused, faults.lost_answer, faults.latency = 0.0, 0.0, 0.02
        elif kind == "crash":
            faults.crash = 0.0
        else:
            faults.watch_lag, faults.lost_event, faults.doubled_event = 0.05, 0.0, 0.0

    return do
