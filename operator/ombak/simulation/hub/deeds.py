"""What somebody does to a hub, to its cables and to clocks, drawn by a chance; and how all of it is put right."""

import dataclasses
import random
from collections.abc import Callable
from datetime import timedelta

from ombak.core import naming
from ombak.runtime import kinds
from ombak.runtime.kube_port import Object
from ombak.simulation import agenda
from ombak.simulation.chaos import calm
from ombak.simulation.faults import CALM, Faults
from ombak.simulation.hub.world import World, version_of
from ombak.simulation.region import NAME, NAMESPACE, USER
from ombak.simulation.troubles import LAST, moment

SKEWS = (0.0, 0.0, -600.0, -60.0, -7.0, 9.0, 40.0, 600.0)
"""How far the clock of a machine may be off, in seconds."""
CALM_AT = LAST + 60.0
Do = Callable[[World], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Deed:
    """What somebody does to the world, at a moment."""

    at: float
    told: str
    do: Do


def push(at: float, made: Object) -> Deed:
    """Somebody asks for a version."""
    return Deed(at, f"the user wants {version_of(made)}", lambda world: world.push(made))


def _partition(rng: random.Random, _: list[Object], names: list[str]) -> list[Deed]:
    at, name = moment(rng), rng.choice(names)
    seconds = rng.choice((15.0, 60.0, 200.0, 700.0))
    cut = Deed(at, f"{name} is cut off", lambda world: world.sites[name].cable.cut(True))
    return [cut, Deed(at + seconds, f"{name} is back", lambda world: world.sites[name].cable.cut(False))]


def _bad_cable(rng: random.Random, _: list[Object], names: list[str]) -> list[Deed]:
    at, name, degree = moment(rng), rng.choice(names), rng.random()
    worse = Deed(at, f"the way to {name} is bad", lambda world: _spoil(world.sites[name].cable.faults, degree))
    better = Deed(at + rng.uniform(60, 900), f"the way to {name} is good", lambda w: _mend(w.sites[name].cable.faults))
    return [worse, better]


def _bad_hub(rng: random.Random, _: list[Object], __: list[str]) -> list[Deed]:
    at, degree = moment(rng), rng.random()
    worse = Deed(at, "the way to the hub's own server is bad", lambda world: _spoil(world.faults, degree))
    return [worse, Deed(at + rng.uniform(60, 900), "it is good again", lambda world: _mend(world.faults))]


def _spoil(faults: Faults, degree: float) -> None:
    faults.refused, faults.lost_answer, faults.latency = 0.2 * degree, 0.2 * (1 - degree), 0.5 * degree
    faults.crash = 0.02 * degree
    faults.watch_lag, faults.lost_event, faults.doubled_event = 0.1 + 20.0 * degree, 0.2 * degree, 0.2 * degree


def _mend(faults: Faults) -> None:
    for field in dataclasses.fields(Faults):
        setattr(faults, field.name, getattr(CALM, field.name))


def _death(rng: random.Random, _: list[Object], __: list[str]) -> list[Deed]:
    seconds, skew = rng.choice((0.0, 30.0, 600.0)), rng.choice((None, *SKEWS))
    told = f"the hub is killed, for {seconds:g} s" + ("" if skew is None else f"; then its clock is {skew:+g} s wrong")
    return [Deed(moment(rng), told, lambda world: world.kill(seconds, skew))]


def _clock(rng: random.Random, _: list[Object], names: list[str]) -> list[Deed]:
    name, seconds = rng.choice(names), rng.choice(SKEWS)

    def do(world: World) -> None:
        world.sites[name].run.machine.skew = seconds

    return [Deed(moment(rng), f"the clock of {name} is {seconds:+g} s wrong", do)]


def _command(rng: random.Random, versions: list[Object], _: list[str]) -> list[Deed]:
    version = version_of(rng.choice(versions))
    name, value = rng.choice(((naming.ABORT, version), (naming.RETRY, f"{version}.{rng.randint(1, 9)}")))
    return [Deed(moment(rng), f"the Pipeline is annotated with {name}={value}", lambda w: w.annotate(name, value))]


def _erasure(rng: random.Random, _: list[Object], __: list[str]) -> list[Deed]:
    def do(world: World) -> None:
        if world.is_whole:
            world.erase_status()

    return [Deed(moment(rng), "the Pipeline's status is erased, if all regions are there", do)]


def _deletion(rng: random.Random, _: list[Object], __: list[str]) -> list[Deed]:
    def do(world: World) -> None:
        kept = [a for a in world.server.all("Artifact") if not (a.get("status") or {}).get("rejected")]
        if kept:
            world.delete(kinds.ARTIFACTS, world.rng.choice(kept)["metadata"]["name"])

    return [Deed(moment(rng), "an Artifact without a verdict is deleted", do)]


def _pause(rng: random.Random, _: list[Object], __: list[str]) -> list[Deed]:
    at = moment(rng)
    lifted = Deed(at + rng.uniform(5, 300), "it is not paused any more", lambda world: world.change(paused=False))
    return [Deed(at, "the Pipeline is paused", lambda world: world.change(paused=True)), lifted]


def _blocker(rng: random.Random, _: list[Object], __: list[str]) -> list[Deed]:
    name, seconds, stops = f"b{rng.randint(1, 99)}", rng.choice((None, 60.0, 600.0)), rng.choice(("Starts", "Steps"))
    kind, where = rng.choice(((kinds.BLOCKERS, NAMESPACE), (kinds.CLUSTER_BLOCKERS, "")))

    def do(world: World) -> None:
        spec: Object = {"owner": "sre", "reason": f"{name} of a simulation", "stops": stops}
        if seconds is not None:
            spec["expires"] = (agenda.at(world.loop.time()) + timedelta(seconds=seconds)).isoformat()
        if world.server.find(kind.kind, where, name) is None:
            world.server.create(USER, kind, where, {"metadata": {"name": name}, "spec": spec})

    return [Deed(moment(rng), f"the hub is blocked by {name}, for {seconds or 'ever'}", do)]


def _override(rng: random.Random, versions: list[Object], _: list[str]) -> list[Deed]:
    """An approved Override for some version, active for a while by the hub's clock."""
    version, at = version_of(rng.choice(versions)), moment(rng)
    seconds, supersede = rng.choice((120.0, 900.0)), rng.random() < 0.5
    bake = {"oneBox": "10s", "batch": "5s", "bake": "20s"}

    def do(world: World) -> None:
        spec: Object = {
            "target": {"kind": "Pipeline", "name": NAME},
            "artifact": version,
            "requestedBy": "alice",
            "reason": "a fix",
            "urgency": "it is exploited",
            "expires": (world.machine.now() + timedelta(seconds=seconds)).isoformat(),
            "bake": bake,
            "supersede": supersede,
        }
        name = f"fix-{int(world.loop.time())}"
        if world.server.find("Override", NAMESPACE, name) is None:
            made = world.server.create(USER, kinds.OVERRIDES, NAMESPACE, {"metadata": {"name": name}, "spec": spec})
            approval = [{"by": "bob", "uid": made["metadata"]["uid"]}]
            world.server.patch(USER, kinds.OVERRIDES, NAMESPACE, name, {"spec": {"approvals": approval}})

    return [Deed(at, f"{version} has an Override for {seconds:g} s", do)]


def _failing_test(rng: random.Random, versions: list[Object], _: list[str]) -> list[Deed]:
    version = version_of(rng.choice(versions))
    return [Deed(moment(rng), f"tests of {version} fail from now on", lambda world: world.failing.add(version))]


DEEDS = (
    *(_partition, _partition, _bad_cable, _bad_hub, _death, _death, _clock),
    *(_command, _command, _erasure, _deletion, _pause, _blocker, _override, _failing_test),
)


def put_right(world: World) -> None:
    """End every trouble, on the hub and in the regions; clocks stay as wrong as they are."""
    _mend(world.faults)
    for kind in (kinds.BLOCKERS, kinds.CLUSTER_BLOCKERS):
        for each in world.server.all(kind.kind):
            world.server.delete(USER, kind, each["metadata"]["namespace"], each["metadata"]["name"])
    world.failing.clear()
    world.change(paused=False, handEdits="PutBack")
    for site in world.sites.values():
        site.run.delivery.disturbed_at = site.now
        site.region.health.is_cured = True  # a bad version that is stable somewhere must not be in the next one's way
        calm(site.stage())
        site.region.change({"paused": False, "replicas": 3})
        _mend(site.cable.faults)
        if site.cable.is_cut:
            site.cable.cut(False)
