"""Worlds drawn by a seed: stages and strategies, the troubles of each region, and what people do on the hub."""

import dataclasses
import random

from ombak.runtime.kube_port import Object
from ombak.simulation.chaos import drawn_behaviour, drawn_spec
from ombak.simulation.hub.deeds import DEEDS, SKEWS, Deed, push
from ombak.simulation.machinery import machinery
from ombak.simulation.pods import Behaviour
from ombak.simulation.region import template
from ombak.simulation.scenario import Event, Scenario
from ombak.simulation.troubles import LAST, TROUBLES


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One world: what is delivered where, what happens in each region, and what on the hub."""

    spec: Object
    regions: dict[str, Scenario]
    deeds: tuple[Deed, ...]
    skews: dict[str, float]


def drawn(seed: int | str) -> Plan:
    """Return the world of a seed."""
    rng = random.Random(f"world-{seed}")  # noqa: S311 - chance of a simulation, guards nothing
    stages = _stages(rng)
    names = [name for stage in stages for name in stage["regions"]["names"]]
    versions = [template("v0", Behaviour(ready_after=rng.choice((1, 3, 10))))]
    deeds = list(_pushes(rng, versions))
    for _ in range(rng.choice((1, 2, 4, 8))):
        deeds += rng.choice(DEEDS)(rng, versions, names)
    spec: Object = {
        "rollout": {"spec": _rollout(rng, versions[0])},
        "stages": stages,
        "revertScope": rng.choice(("Region", "Stage", "Everywhere")),
        "handEdits": rng.choice(("Report", "PutBack")),
        "onRegionUnreachable": rng.choice(("Hold", "Skip")),
    }
    skews = {name: rng.choice(SKEWS) for name in ("hub", *names)}
    regions = {name: _region(rng) for name in names}
    return Plan(spec, regions, tuple(sorted(deeds, key=lambda deed: deed.at)), skews)


def _stages(rng: random.Random) -> list[Object]:
    chosen = rng.choice(((("a-1",), ("p-1",)), (("a-1",), ("p-1", "p-2")), (("a-1",), ("b-1",), ("p-1", "p-2"))))
    job = {"spec": {"template": {"spec": {"containers": [{"name": "t", "image": "registry.example/t:1"}]}}}}
    found = []
    for number, names in enumerate(chosen):
        made: Object = {"name": f"stage-{number}", "phase": "Prod", "regions": {"names": list(names)}}
        made["bake"] = {"for": rng.choice(("0s", "30s", "90s", "4m"))}
        if rng.random() < 0.4:
            test = {"name": "smoke", "where": rng.choice(("Region", "Hub")), "template": job, "deadline": "5m"}
            made["tests"] = [test | {"retries": rng.choice((0, 1))}]
        if rng.random() < 0.3:
            made["maxParallel"] = 1
        found.append(made)
    return found


def _rollout(rng: random.Random, first: Object) -> Object:
    made = drawn_spec(rng) | {"template": first, "replicas": rng.choice((1, 2, 3, 4, 7))}
    made["strategy"].pop("bake")  # the stage has it
    return made


def _region(rng: random.Random) -> Scenario:
    """Return what happens in one region, its operator's machinery included; most regions are left alone."""
    events: list[Event] = []
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        rng.choice(TROUBLES)(rng, events)
    lag = delay = 3.0
    if rng.random() < 0.3:
        lag, delay = machinery(rng, events)
    ordered = tuple(sorted(events, key=lambda event: event.at))
    return Scenario("regions", {}, ordered, lag=lag, delay=delay)


def _pushes(rng: random.Random, versions: list[Object]) -> list[Deed]:
    """The user's versions: new ones, and now and then one that was there before."""
    found, at = [], 0.0
    for number in range(1, rng.randint(2, 6)):
        at += rng.choice((20.0, 200.0, 600.0)) * rng.uniform(0.5, 1.5)
        if at > LAST:
            break
        if rng.random() < 0.3:
            made = rng.choice(versions)
        else:
            made = template(f"v{number}", drawn_behaviour(rng))
            versions.append(made)
        found.append(push(at, made))
    return found
