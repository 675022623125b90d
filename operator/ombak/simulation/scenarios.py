"""Scenarios by name: the ones that people should know by heart, and the two that a seed draws."""

import dataclasses
import random
from collections.abc import Callable

from ombak.core import naming
from ombak.core.identity import artifact_id
from ombak.simulation.chaos import chaos
from ombak.simulation.gatekeeping import WINDOW, block, open_window
from ombak.simulation.health import NAMES as ALARMS
from ombak.simulation.health import REVERT
from ombak.simulation.pods import Behaviour
from ombak.simulation.region import template
from ombak.simulation.scenario import Event, Scenario, Stage, act, change, scale, spec, wish
from ombak.simulation.troubles import breach, prometheus_away

GOOD = Behaviour()
CHANGE_AT = 200.0
"""The first version has finished its bake by then."""
OUTAGES_END = 3000.0


def release(
    name: str,
    behaviour: Behaviour = GOOD,
    *,
    replicas: int = 10,
    phase: str = "Stable",
    zones: tuple[str, ...] = (),
) -> Scenario:
    """Return one change of a Rollout that runs, and nothing else."""
    more: dict[str, object] = {"zones": list(zones)} if zones else {}
    return Scenario(
        name,
        spec(replicas, template("v1", GOOD), **more),
        (wish(CHANGE_AT, "v2", behaviour),),
        end=3600.0,
        phase=phase,
    )


def _spoil(stage: Stage) -> None:
    stage.region.kubelets.spoilt.add(artifact_id(template("v1", GOOD)))


def _blink(stage: Stage) -> None:
    pods = [p for p in stage.region.kubelets.pods.values() if p.is_available]
    for pod in stage.rng.sample(pods, min(3, len(pods))):
        stage.region.kubelets.blink(pod, 10.0)


def without_room() -> Scenario:
    """Return a revert to a version whose boxes do not come up any more: it ends all the same, below the floor."""
    made = release("revert-without-room", Behaviour(bad_from=7), phase="Reverted")
    return dataclasses.replace(
        made, events=(*made.events, act(CHANGE_AT + 60, "the image of v1 is gone", _spoil)), end=4000.0
    )


def to_zero_and_back() -> Scenario:
    """Return a good release that loses all replicas for longer than any deadline; that is not its fault."""
    made = release("to-zero-and-back")
    return dataclasses.replace(made, events=(*made.events, scale(300, 0), scale(900, 10)))


def invalid_meanwhile() -> Scenario:
    """Return a release without any bake whose spec is spoilt right after its start: it holds, and scales."""
    made = release("invalid-meanwhile")
    none = {"for": "0s"}
    bakeless = {"strategy": {"oneBox": {"bake": none}, "rolling": {"bake": none}, "bake": none}}
    spoilt = change(CHANGE_AT + 5, "progressDeadline is spoilt", progressDeadline="banana")
    fixed = change(700, "progressDeadline is put right", progressDeadline="60s")
    events = (*made.events, spoilt, scale(400, 12), fixed)
    return dataclasses.replace(made, spec=made.spec | bakeless, events=events)


def zones_meanwhile() -> Scenario:
    """Return a good release in whose middle a zone is given up, and later each zone gets a one box of its own."""
    made = release("zones-meanwhile", replicas=12, zones=("a", "b", "c"))
    each = dict(made.spec["strategy"])
    each["oneBox"] = {**each["oneBox"], "scope": "Zone"}
    fewer = change(CHANGE_AT + 200, "zone c is given up", zones=["a", "b"])
    more = change(CHANGE_AT + 320, "a one box in each zone", strategy=each)
    return dataclasses.replace(made, events=(*made.events, fewer, more))


def held_by_window() -> Scenario:
    """Return a change at a time when nothing may start; a later one overtakes it, and goes when the Window opens."""
    made = release("held-by-window")
    hours = {"days": ["Mon"], "from": "09:10", "to": "17:00"}  # a run begins on a Monday at nine
    events = (
        act(CHANGE_AT - 20, "a Window opens at ten past", open_window(open=[hours])),
        change(CHANGE_AT - 10, "the Window counts", windows=[WINDOW]),
        *made.events,
        wish(CHANGE_AT + 60, "v3", GOOD),
    )
    return dataclasses.replace(made, events=events)


def blocked_revert() -> Scenario:
    """Return a bad release that somebody blocks in the middle, steps and all: it goes back nevertheless."""
    made = release("blocked-revert", Behaviour(bad_from=4, burns_after=150.0), phase="Reverted")
    events = (
        *made.events,
        change(CHANGE_AT + 30, "a Window counts that there is not", windows=["nowhere"]),
        act(CHANGE_AT + 70, "steps are blocked", block("freeze", "Steps")),
        act(CHANGE_AT + 71, "the whole cluster is blocked", block("event", "Steps", cluster=True)),
    )
    return dataclasses.replace(made, events=events)


def emergency() -> Scenario:
    """Return a version that burns long after it was stable: somebody goes back, and nothing holds that."""
    made = release("emergency", Behaviour(bad_from=6, burns_after=900.0))
    events = (
        *made.events,
        change(CHANGE_AT + 850, "a Window counts that there is not", windows=["nowhere"]),
        wish(CHANGE_AT + 1200, "v1", GOOD),
    )
    return dataclasses.replace(made, events=events)


def stale_watch(seed: int) -> Scenario:
    """Return a release while boxes come and go, and the watch tells of it up to half a minute late."""

    def slow(stage: Stage) -> None:
        stage.faults.watch_lag = 30.0

    def quick(stage: Stage) -> None:
        stage.faults.watch_lag = 0.05

    made = release("stale-watch", replicas=10)
    blinks = (act(at, "three boxes stop serving for 10 s", _blink) for at in range(210 + seed % 7, 900, 23))
    events = (act(CHANGE_AT - 5, "the watch is slow", slow), *blinks, act(900, "the watch is quick again", quick))
    return dataclasses.replace(made, events=(*made.events, *events), lag=45.0, phase="")


def _outside(stage: Stage, is_bad: bool) -> None:
    (stage.region.health.ambient.add if is_bad else stage.region.health.ambient.discard)(REVERT)
    stage.region.health.look()


def old_alarm(name: str, phase: str, behaviour: Behaviour = GOOD, *events: Event, until: float = 0.0) -> Scenario:
    """Return a first install while an alarm is in ALARM already; `until` is when that ends (0: never)."""
    began = act(0.0, "an alarm is in ALARM before anything runs", lambda stage: _outside(stage, True))
    ended = act(until, "the old alarm ends", lambda stage: _outside(stage, False))
    found = (began, *events, *((ended,) if until else ()))
    return Scenario(name, spec(10, template("v1", behaviour)), found, end=3600.0, phase=phase)


def _abort_first(stage: Stage) -> None:
    stage.region.annotate(naming.ABORT, artifact_id(template("v1", GOOD)))


def outages(seed: int) -> Scenario:
    """Return a release with long bakes in which nobody sees everything: what it missed is proven, or baked again.

    Prometheus cannot be asked, or loses what it should store; the operator is down, its clock is put right or wrong;
    boxes blink and alarms fire, also while nobody looks.
    """
    rng = random.Random(f"outages-{seed}")  # noqa: S311 - chance of a simulation, guards nothing
    made = release("outages", replicas=rng.choice((1, 4, 10)))
    bakes = {"oneBox": {"bake": {"for": "4m"}}, "rolling": {"bake": {"for": "90s"}}, "bake": {"for": "15m"}}
    skews = rng.choice(((), (), (-60.0, 9.0, 0.0, 3600.0, -3600.0)))
    events, at = [change(CHANGE_AT - 1, "bakes are long", strategy=bakes), *made.events], CHANGE_AT
    events += [wish(CHANGE_AT + n * 700, f"v{2 + n}", GOOD) for n in range(1, 4)]  # the one before may be taken back
    while at < OUTAGES_END:
        at += rng.uniform(5.0, 240.0)
        until = at + rng.choice((10.0, 40.0, 90.0, 300.0))
        events += rng.choice((_blind, _blind, _dead, _both))(rng, at, until - at)
        if rng.random() < 0.4:
            events += breach(rng.uniform(at, until), rng.choice((15.0, 30.0, 100.0)), rng.choice(ALARMS))
        if rng.random() < 0.4:
            events.append(act(rng.uniform(at, until), "boxes stop serving for 10 s", _blink))
        if skews and rng.random() < 0.5:
            events.append(_set_clock(rng.uniform(at, until), rng.choice(skews)))
        at = until
    events.append(_set_clock(at + 200, 0.0))
    return dataclasses.replace(made, events=tuple(sorted(events, key=lambda e: e.at)), end=12000.0, phase="")


def _blind(rng: random.Random, at: float, seconds: float) -> list[Event]:
    return prometheus_away(at, seconds, stores=rng.random() < 0.7)


def _dead(_rng: random.Random, at: float, seconds: float) -> list[Event]:
    return [act(at, f"the operator is killed, for {seconds:g} s", lambda stage: stage.kill(seconds))]


def _both(rng: random.Random, at: float, seconds: float) -> list[Event]:
    late = rng.uniform(0, seconds)
    return [*_blind(rng, at, seconds), *_dead(rng, at + late, rng.choice((5.0, seconds)))]


def _set_clock(at: float, seconds: float) -> Event:
    return act(at, f"the clock is {seconds:+g} s wrong", lambda stage: stage.skew(seconds))


NAMED: dict[str, Scenario] = {
    s.name: s
    for s in (
        release("good-release"),
        release("bad-in-one-box", Behaviour(bad_one_box=True), phase="Reverted"),
        release("bad-in-third-batch", Behaviour(bad_from=10), phase="Reverted"),
        release("slow-burn-in-bake", Behaviour(bad_from=10, burns_after=190.0), phase="Reverted"),
        release("never-ready", Behaviour(never_ready=True), phase="Reverted"),
        release("crash-loop", Behaviour(up_for=15.0, down_for=5.0), phase="Reverted"),
        dataclasses.replace(
            release("flapping", Behaviour(up_for=20.0, down_for=1.5), phase="Reverted"), end=6000.0, lag=3.0
        ),
        release("good-release-in-zones", replicas=9, zones=("a", "b", "c")),
        release("bad-in-second-zone", Behaviour(bad_from=5), replicas=9, zones=("a", "b", "c"), phase="Reverted"),
        release("one-replica", replicas=1),
        release("one-replica-bad", Behaviour(bad_from=1, burns_after=30.0), replicas=1, phase="Reverted"),
        release("two-replicas", replicas=2),
        release("two-replicas-bad", Behaviour(bad_from=2), replicas=2, phase="Reverted"),
        without_room(),
        to_zero_and_back(),
        invalid_meanwhile(),
        old_alarm("old-alarm-ends", "Stable", until=400.0),
        old_alarm("old-alarm-and-a-new-one", "Failed", Behaviour(bad_from=1, burns_after=300.0), until=900.0),
        old_alarm(
            "old-alarm-comes-back",
            "Failed",
            GOOD,
            act(200, "the old alarm ends", lambda stage: _outside(stage, False)),
            act(260, "and comes back", lambda stage: _outside(stage, True)),
        ),
        old_alarm(
            "old-alarm-and-an-abort",
            "Stable",
            GOOD,
            wish(CHANGE_AT, "v2", GOOD),
            act(400, "the first version is aborted", _abort_first),
            until=900.0,
        ),
        zones_meanwhile(),
        held_by_window(),
        blocked_revert(),
        emergency(),
    )
}

DRAWN: dict[str, Callable[[int], Scenario]] = {
    "chaos": lambda seed: chaos(seed),
    "people": lambda seed: chaos(seed, faults=False),
    "stale-watch": stale_watch,
    "outages": outages,
}
"""By seed: everything may happen, everything but faults of the machinery, or one thing in particular."""


def scenario(name: str, seed: int) -> Scenario:
    """Return a scenario; raises `KeyError` for a name that there is not."""
    return NAMED[name] if name in NAMED else DRAWN[name](seed)


def names() -> list[str]:
    """Return the names of all scenarios."""
    return [*DRAWN, *NAMED]
