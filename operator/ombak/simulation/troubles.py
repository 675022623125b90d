"""What people and the world do to a region in a run, drawn by a chance; the operator's machinery is left alone."""

import contextlib
import copy
import random
from collections.abc import Callable

from ombak.core import naming
from ombak.core.identity import artifact_id
from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, Kind, Object
from ombak.simulation.health import NAMES
from ombak.simulation.region import NAMESPACE, USER
from ombak.simulation.scenario import Event, Stage, act, change, scale

REPLICAS = (1, 2, 3, 4, 5, 7, 10, 12, 25)
LAST = 2400.0
"""Nothing is done to a run after so many seconds, but for putting everything right."""
Trouble = Callable[[random.Random, list[Event]], None]
"""Adds what somebody does to the events of a run."""


def moment(rng: random.Random) -> float:
    """Return when something happens."""
    return rng.uniform(1.0, LAST)


def _autoscaling(rng: random.Random, events: list[Event]) -> None:
    at = moment(rng)
    for _ in range(rng.randint(1, 6)):
        events.append(scale(at, rng.choice((0, *REPLICAS))))
        at = min(LAST, at + rng.choice((1.0, 10.0, 60.0)) * rng.uniform(0.5, 2.0))


def _pausing(rng: random.Random, events: list[Event]) -> None:
    at = moment(rng)
    events.append(change(at, "paused", paused=True))
    events.append(change(at + rng.uniform(5, 300), "no longer paused", paused=False))


def _command(rng: random.Random, events: list[Event]) -> None:
    """Abort or retry whatever is wanted, or something that nobody knows."""
    name, at = rng.choice((naming.ABORT, naming.RETRY)), moment(rng)
    tail = rng.choice(("", "", ".2", ".3"))

    def do(stage: Stage) -> None:
        rollout = stage.region.rollout
        wanted = artifact_id(rollout["spec"]["template"]) if rollout else ""
        stage.region.annotate(name, wanted + (tail if name == naming.RETRY else ""))

    events.append(act(at, f"annotated with {name}", do))


def _invalid(rng: random.Random, events: list[Event]) -> None:
    at = moment(rng)
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

    events.append(act(moment(rng), f"a {kind.kind} is edited by hand: {patch}", do))


def _hand_delete(rng: random.Random, events: list[Event]) -> None:
    kind = rng.choice((kinds.REPLICA_SETS, kinds.DEPLOYMENTS))

    def do(stage: Stage) -> None:
        found = stage.region.server.all(kind.kind)
        if found:
            chosen = stage.rng.choice(found)["metadata"]["name"]
            stage.region.server.delete(USER, kind, NAMESPACE, chosen, propagation="Background")

    events.append(act(moment(rng), f"a {kind.kind} is deleted by hand", do))


def _hand_copy(rng: random.Random, events: list[Event]) -> None:
    """Somebody saves an object of ours, gives it another name, and applies it."""
    kind = rng.choice((kinds.REPLICA_SETS, kinds.DEPLOYMENTS))
    size, name = rng.choice((None, 0, 1, 3)), rng.choice(("{}-copy", "a-{}"))

    def do(stage: Stage) -> None:
        found = stage.region.server.all(kind.kind)
        if found:
            copied(stage, kind, stage.rng.choice(found), name, size)

    events.append(act(moment(rng), f"a {kind.kind} is copied by hand", do))


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
        act(moment(rng), "the status is erased", lambda stage: stage.region.erase_status())
        for _ in range(rng.randint(1, 3))
    ]


def _evictions(rng: random.Random, events: list[Event]) -> None:
    count = rng.randint(1, 5)

    def do(stage: Stage) -> None:
        pods = list(stage.region.kubelets.pods.values())
        for pod in stage.rng.sample(pods, min(count, len(pods))):
            stage.region.kubelets.evict(pod)

    events.append(act(moment(rng), f"{count} pods are evicted", do))


def _outage(rng: random.Random, events: list[Event]) -> None:
    at, zone = moment(rng), rng.choice(("", "a", "b"))
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
    at, stores = moment(rng), rng.random() < 0.6
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
    at, name = moment(rng), rng.choice(NAMES)
    for _ in range(rng.choice((1, 1, 6))):
        seconds = rng.choice((5.0, 20.0, 120.0))
        events += breach(at, seconds, name)
        at += seconds + rng.choice((5.0, 20.0))


TROUBLES: tuple[Trouble, ...] = (
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
