"""Scenarios drawn by a seed: any strategy, any trouble, at any moment."""

import contextlib
import copy
import random
from collections.abc import Callable
from typing import Any

from ombak.core import naming
from ombak.core.identity import artifact_id
from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, Kind, Object
from ombak.simulation.gatekeeping import drawn_gates
from ombak.simulation.health import NAMES
from ombak.simulation.pods import Behaviour
from ombak.simulation.region import KEY, NAMESPACE, USER, template
from ombak.simulation.scenario import Event, Scenario, Stage, act, change, scale, spec, wish

REPLICAS = (1, 2, 3, 4, 5, 7, 10, 12, 25)
LAST = 2400.0
"""Nothing is done to a run after so many seconds, but for putting everything right."""
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
        lag, delay = _machinery(rng, events)
    events += _put_right(rng, versions)
    gated, people = drawn_gates(seed, LAST, CALM_AT)
    events += people
    return Scenario(
        "chaos" if faults else "people",
        _drawn_spec(rng) | gated,
        tuple(sorted(events, key=lambda e: e.at)),
        lag=lag,
        delay=delay,
        end=CALM_AT + 6000.0,
    )


def _drawn_spec(rng: random.Random) -> Object:
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


def _behaviour(rng: random.Random) -> Behaviour:
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
            made = (f"v{number}", _behaviour(rng))
            versions.append(made)
        refused = "spec.containers[0].image: invalid" if rng.random() < 0.05 else ""
        events.append(wish(at, made[0], made[1], refused))
    return versions


def _moment(rng: random.Random) -> float:
    return rng.uniform(1.0, LAST)


def _autoscaling(rng: random.Random, events: list[Event]) -> None:
    at = _moment(rng)
    for _ in range(rng.randint(1, 6)):
        events.append(scale(at, rng.choice((0, *REPLICAS))))
        at = min(LAST, at + rng.choice((1.0, 10.0, 60.0)) * rng.uniform(0.5, 2.0))


def _pausing(rng: random.Random, events: list[Event]) -> None:
    at = _moment(rng)
    events.append(change(at, "paused", paused=True))
    events.append(change(at + rng.uniform(5, 300), "no longer paused", paused=False))


def _command(rng: random.Random, events: list[Event]) -> None:
    """Abort or retry whatever is wanted, or something that nobody knows."""
    name, at = rng.choice((naming.ABORT, naming.RETRY)), _moment(rng)
    tail = rng.choice(("", "", ".2", ".3"))

    def do(stage: Stage) -> None:
        rollout = stage.region.rollout
        wanted = artifact_id(rollout["spec"]["template"]) if rollout else ""
        stage.region.annotate(name, wanted + (tail if name == naming.RETRY else ""))

    events.append(act(at, f"annotated with {name}", do))


def _invalid(rng: random.Random, events: list[Event]) -> None:
    at = _moment(rng)
    events.append(change(at, "progressDeadline is spoilt", progressDeadline="banana"))
    if rng.random() < 0.5:
        events.append(scale(at + 3, rng.choice(REPLICAS)))
    events.append(change(at + rng.uniform(10, 200), "progressDeadline is put right", progressDeadline="60s"))


def _hand_edit(rng: random.Random, events: list[Event]) -> None:
    kind = rng.choice((kinds.REPLICA_SETS, kinds.DEPLOYMENTS))
    patch = rng.choice(
        (
            {"spec": {"replicas": rng.choice((0, 1, 5))}},
            {"spec": {"template": {"spec": {"priorityClassName": "high"}}}},
            {"metadata": {"labels": {"team": "shop"}}},
            {"spec": {"minReadySeconds": 7}},
        )
    )

    def do(stage: Stage) -> None:
        found = stage.region.server.all(kind.kind)
        if found:
            chosen = stage.rng.choice(found)["metadata"]["name"]
            stage.region.server.patch(USER, kind, NAMESPACE, chosen, patch)

    events.append(act(_moment(rng), f"a {kind.kind} is edited by hand: {patch}", do))


def _hand_delete(rng: random.Random, events: list[Event]) -> None:
    kind = rng.choice((kinds.REPLICA_SETS, kinds.DEPLOYMENTS))

    def do(stage: Stage) -> None:
        found = stage.region.server.all(kind.kind)
        if found:
            chosen = stage.rng.choice(found)["metadata"]["name"]
            stage.region.server.delete(USER, kind, NAMESPACE, chosen, propagation="Background")

    events.append(act(_moment(rng), f"a {kind.kind} is deleted by hand", do))


def _hand_copy(rng: random.Random, events: list[Event]) -> None:
    """Somebody saves an object of ours, gives it another name, and applies it."""
    kind = rng.choice((kinds.REPLICA_SETS, kinds.DEPLOYMENTS))
    size, name = rng.choice((None, 0, 1, 3)), rng.choice(("{}-copy", "a-{}"))

    def do(stage: Stage) -> None:
        found = stage.region.server.all(kind.kind)
        if found:
            copied(stage, kind, stage.rng.choice(found), name, size)

    events.append(act(_moment(rng), f"a {kind.kind} is copied by hand", do))


def copied(stage: Stage, kind: Kind, chosen: Object, name: str, size: int | None) -> None:
    """Create a copy of an object by another name, with our labels and our owner reference."""
    meta, spec = chosen["metadata"], copy.deepcopy(chosen["spec"])
    kept = {field: copy.deepcopy(meta[field]) for field in ("labels", "ownerReferences") if field in meta}
    body = {"metadata": kept | {"name": name.format(meta["name"])}, "spec": spec}
    if size is not None:
        spec["replicas"] = size
    with contextlib.suppress(ApiError):  # there is one of that name already
        stage.region.server.create(USER, kind, NAMESPACE, body)


def _erasure(rng: random.Random, events: list[Event]) -> None:
    events += [
        act(_moment(rng), "the status is erased", lambda stage: stage.region.erase_status())
        for _ in range(rng.randint(1, 3))
    ]


def _evictions(rng: random.Random, events: list[Event]) -> None:
    count = rng.randint(1, 5)

    def do(stage: Stage) -> None:
        pods = list(stage.region.kubelets.pods.values())
        for pod in stage.rng.sample(pods, min(count, len(pods))):
            stage.region.kubelets.evict(pod)

    events.append(act(_moment(rng), f"{count} pods are evicted", do))


def _outage(rng: random.Random, events: list[Event]) -> None:
    at, zone = _moment(rng), rng.choice(("", "a", "b"))
    events.append(act(at, f"zone {zone!r} is down", lambda s: s.region.kubelets.set_down(zone, True)))
    until = at + rng.choice((10.0, 60.0, 300.0))
    events.append(act(until, f"zone {zone!r} is back", lambda s: s.region.kubelets.set_down(zone, False)))


def prometheus_away(at: float, seconds: float, *, stores: bool) -> list[Event]:
    """It does not answer for a while, and has stored what was meanwhile, or was down and has not."""

    def switch(is_on: bool) -> Callable[[Stage], None]:
        def do(stage: Stage) -> None:
            stage.region.health.is_answering = is_on
            stage.region.health.store(is_on or stores)

        return do

    told = "cannot be asked" if stores else "is down"
    return [
        act(at, f"Prometheus {told}", switch(False)),
        act(at + seconds, "Prometheus is back", switch(True)),
    ]


def _prometheus(rng: random.Random, events: list[Event]) -> None:
    at, stores = _moment(rng), rng.random() < 0.6
    for _ in range(rng.choice((1, 1, 3))):
        seconds = rng.choice((15.0, 60.0, 400.0))
        events += prometheus_away(at, seconds, stores=stores)
        at += seconds + rng.choice((5.0, 40.0))


def breach(at: float, seconds: float, name: str) -> list[Event]:
    """The metric of an alarm breaches for a while, and not because of the Rollout."""

    def switch(is_on: bool) -> Callable[[Stage], None]:
        def do(stage: Stage) -> None:
            ambient = stage.region.health.ambient
            (ambient.add if is_on else ambient.discard)(name)
            stage.region.health.look()

        return do

    return [
        act(at, f"{name} breaches for outside reasons", switch(True)),
        act(at + seconds, f"{name} is well again", switch(False)),
    ]


def _ambient(rng: random.Random, events: list[Event]) -> None:
    at, name = _moment(rng), rng.choice(NAMES)
    for _ in range(rng.choice((1, 1, 6))):
        seconds = rng.choice((5.0, 20.0, 120.0))
        events += breach(at, seconds, name)
        at += seconds + rng.choice((5.0, 20.0))


TROUBLES = (
    _autoscaling,
    _autoscaling,
    _pausing,
    _command,
    _command,
    _invalid,
    _hand_edit,
    _hand_delete,
    _hand_copy,
    _erasure,
    _evictions,
    _outage,
    _prometheus,
    _ambient,
)


def _machinery(rng: random.Random, events: list[Event]) -> tuple[float, float]:
    """Faults of the operator's own surroundings; returns how old what it knows, and what it reads live, may be."""
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
                events.append(act(_moment(rng), f"the clock is {seconds:+g} s wrong", _skewing(seconds)))
            continue
        if kind == "kill":
            for _ in range(rng.randint(1, 4)):
                events += [act(_moment(rng), "the operator is killed", lambda stage: stage.kill(0.0))]
            continue
        if kind == "second":
            events.append(act(at, "a second operator starts", lambda stage: stage.second(True)))
            events.append(act(until, "the second operator is gone", lambda stage: stage.second(False)))
            continue
        events.append(act(at, f"faults: {kind}", _faulty(kind, rng.random())))
        events.append(act(until, f"no more faults: {kind}", _faultless(kind)))
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


def _faultless(kind: str) -> Callable[[Stage], None]:
    def do(stage: Stage) -> None:
        faults = stage.faults
        if kind == "calls":
            faults.refused, faults.lost_answer, faults.latency = 0.0, 0.0, 0.02
        elif kind == "crash":
            faults.crash = 0.0
        else:
            faults.watch_lag, faults.lost_event, faults.doubled_event = 0.05, 0.0, 0.0

    return do


def _put_right(rng: random.Random, versions: list[tuple[str, Behaviour]]) -> list[Event]:
    """End every trouble, and sometimes ask for one more good version."""

    def calm(stage: Stage) -> None:
        for kind in ("calls", "crash", "watch"):
            _faultless(kind)(stage)
        stage.second(False)
        stage.region.health.is_answering = True
        stage.region.health.store(True)
        stage.region.health.ambient.clear()
        stage.region.health.look()
        for zone in ("", "a", "b", "c"):
            stage.region.kubelets.set_down(zone, False)

    events = [
        act(CALM_AT, "all is calm", calm),
        change(CALM_AT, "the spec is right", progressDeadline="60s", paused=False, replicas=rng.choice(REPLICAS)),
    ]
    if rng.random() < 0.5:
        events.append(wish(CALM_AT + 1, f"v{len(versions)}-last", Behaviour()))
    return events


__all__ = ["KEY", "chaos"]
