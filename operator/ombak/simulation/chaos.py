"""Scenarios drawn by a seed: any strategy, any trouble, at any moment."""

import random
from typing import Any

from ombak.runtime.kube_port import Object
from ombak.simulation.gatekeeping import drawn_gates
from ombak.simulation.machinery import faultless, machinery
from ombak.simulation.pods import Behaviour
from ombak.simulation.region import template
from ombak.simulation.scenario import Event, Scenario, Stage, act, change, spec, wish
from ombak.simulation.troubles import LAST, REPLICAS, TROUBLES

CALM_AT = LAST + 60.0


def chaos(seed: int | str, *, faults: bool = True) -> Scenario:
    """Return the scenario of a seed; without `faults` only people and the world act, never the machinery."""
    rng = random.Random(f"chaos-{seed}")  # noqa: S311 - chance of a simulation, guards nothing
    events: list[Event] = []
    versions = _releases(rng, events)
    for _ in range(rng.choice((0, 1, 2, 4, 8))):
        rng.choice(TROUBLES)(rng, events)
    lag = delay = 3.0
    if faults and rng.random() < 0.7:
        lag, delay = machinery(rng, events)
    events += _put_right(rng, versions)
    gated, people = drawn_gates(seed, LAST, CALM_AT)
    events += people
    return Scenario(
        "chaos" if faults else "people",
        drawn_spec(rng) | gated,
        tuple(sorted(events, key=lambda e: e.at)),
        lag=lag,
        delay=delay,
        end=CALM_AT + 6000.0,
    )


def drawn_spec(rng: random.Random) -> Object:
    """Return the spec of a Rollout of any strategy."""
    replicas = rng.choice(REPLICAS)
    zones = rng.choice((None, None, ["a", "b", "c"], ["a", "b"]))
    scope = rng.choice(("Region", "Zone")) if zones else "Region"
    bake = rng.choice(("0s", "30s", "90s"))
    strategy: dict[str, Any] = {
        "oneBox": {"scope": scope, "bake": {"for": bake}},
        "rolling": {
            "batch": rng.choice(("33%", "33%", "10%", 1, 3)),
            "minAvailable": rng.choice(("66%", "66%", "80%", "100%", 3)),
            "maxSurge": rng.choice((0, 0, 1, "25%")),
            "bake": {"for": rng.choice(("0s", "10s", "30s"))},
        },
        "bake": {"for": rng.choice(("0s", "60s", "3m"))},
        "revert": {"batch": rng.choice(("33%", "33%", 1))},
        "knownGood": rng.choice(("Fast", "Full")),
    }
    more: dict[str, Any] = {"strategy": strategy, "progressDeadline": rng.choice(("40s", "90s", "3m"))}
    more["minReadySeconds"] = rng.choice((0, 0, 5))
    if zones:
        more["zones"] = zones
    kind = rng.random()
    if kind < 0.1:
        more |= {"alarms": None, "unwatched": "a simulation"}
    else:
        then = {"holdFor": rng.choice(("40s", "3m")), "then": rng.choice(("Hold", "Revert"))}
        more["alarms"] = {"revert": 'ALARM("errors")', "onUnknown": then}
        if kind < 0.7:
            more["alarms"]["oneBox"] = 'ALARM("onebox")'
    made = spec(replicas, template("v0", Behaviour(ready_after=rng.choice((1, 3, 10)))))
    return {k: v for k, v in (made | more).items() if v is not None}


def drawn_behaviour(rng: random.Random) -> Behaviour:
    """Return how the boxes of a version fare: half of them well."""
    ready = rng.choice((1.0, 2.0, 5.0, 20.0))
    return rng.choice(
        (
            Behaviour(ready),
            Behaviour(ready),
            Behaviour(ready),
            Behaviour(ready, never_ready=True),
            Behaviour(ready, up_for=rng.choice((3.0, 20.0, 60.0)), down_for=rng.choice((2.0, 10.0))),
            Behaviour(ready, bad_from=rng.choice((1, 2, 4, 8))),
            Behaviour(ready, bad_one_box=True),
            Behaviour(ready, bad_from=1, burns_after=rng.choice((40.0, 120.0))),
        )
    )


def _releases(rng: random.Random, events: list[Event]) -> list[tuple[str, Behaviour]]:
    """The user's versions: new ones, and now and then one that was there before."""
    versions = [("v0", Behaviour())]
    at = 0.0
    for number in range(1, rng.randint(2, 6)):
        at += rng.choice((5.0, 60.0, 200.0, 600.0)) * rng.uniform(0.5, 1.5)
        if at > LAST:
            break
        if len(versions) > 1 and rng.random() < 0.3:
            made = rng.choice(versions[1:])
        else:
            made = (f"v{number}", drawn_behaviour(rng))
            versions.append(made)
        refused = "spec.containers[0].image: invalid" if rng.random() < 0.05 else ""
        events.append(wish(at, made[0], made[1], refused))
    return versions


def calm(stage: Stage) -> None:
    """End every trouble of a region."""
    for kind in ("calls", "crash", "watch"):
        faultless(kind)(stage)
    stage.second(False)
    stage.region.health.is_answering = True
    stage.region.health.store(True)
    stage.region.health.ambient.clear()
    stage.region.health.look()
    for zone in ("", "a", "b", "c"):
        stage.region.kubelets.set_down(zone, False)


def _put_right(rng: random.Random, versions: list[tuple[str, Behaviour]]) -> list[Event]:
    """End every trouble, and sometimes ask for one more good version."""

    events = [
        act(CALM_AT, "all is calm", calm),
        change(CALM_AT, "the spec is right", progressDeadline="60s", paused=False, replicas=rng.choice(REPLICAS)),
    ]
    if rng.random() < 0.5:
        events.append(wish(CALM_AT + 1, f"v{len(versions)}-last", Behaviour()))
    return events
