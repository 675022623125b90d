"""People with Windows and Blockers: what they write in a run, drawn by a seed or by hand."""

import random
from datetime import timedelta
from typing import Any

from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, Object
from ombak.simulation import agenda
from ombak.simulation.region import NAMESPACE, USER
from ombak.simulation.scenario import Act, Event, Stage, act, change

WINDOW = "hours"
GATES = tuple(kind.kind for kind in (kinds.WINDOWS, kinds.BLOCKERS, kinds.CLUSTER_BLOCKERS))


def open_window(**spec: Any) -> Act:
    """Somebody writes the Window of the runs, or writes it anew."""
    body: Object = {"metadata": {"name": WINDOW}, "spec": {"timeZone": "UTC", **spec}}

    def do(stage: Stage) -> None:
        server = stage.region.server
        if server.find("Window", "", WINDOW) is None:
            server.create(USER, kinds.WINDOWS, "", body)
        else:
            server.replace(USER, kinds.WINDOWS, "", WINDOW, body)

    return do


def remove_window(stage: Stage) -> None:
    """Somebody deletes the Window of the runs."""
    if stage.region.server.find("Window", "", WINDOW) is not None:
        stage.region.server.delete(USER, kinds.WINDOWS, "", WINDOW)


def block(name: str, stops: str = "Starts", *, seconds: float | None = None, cluster: bool = False) -> Act:
    """Somebody stops everything, for some seconds or until it is lifted."""
    kind = kinds.CLUSTER_BLOCKERS if cluster else kinds.BLOCKERS

    def do(stage: Stage) -> None:
        spec: Object = {"owner": "sre", "reason": f"{name} of a simulation", "stops": stops}
        if seconds is not None:
            end = agenda.at(stage.region.timeline.time()) + timedelta(seconds=seconds)
            spec["expires"] = end.isoformat()
        place = "" if cluster else NAMESPACE
        if stage.region.server.find(kind.kind, place, name) is None:
            stage.region.server.create(USER, kind, place, {"metadata": {"name": name}, "spec": spec})

    return do


def lift_all(stage: Stage) -> None:
    """Somebody deletes every Blocker."""
    for kind in (kinds.BLOCKERS, kinds.CLUSTER_BLOCKERS):
        for obj in stage.region.server.all(kind.kind):
            try:
                stage.region.server.delete(USER, kind, obj["metadata"]["namespace"], obj["metadata"]["name"])
            except ApiError:
                continue


def drawn_gates(seed: int | str, last: float, calm_at: float) -> tuple[Object, list[Event]]:
    """Return fields of the spec and events of a seed; nothing in half of the runs. All is open from `calm_at` on.

    With a chance of its own, so that everything else of a seed stays as it is without gates.
    """
    rng = random.Random(f"gates-{seed}")  # noqa: S311 - chance of a simulation, guards nothing
    if rng.random() < 0.5:
        return {}, []
    spec: Object = {}
    events = [act(calm_at, "nothing is blocked any more", lift_all)]
    if rng.random() < 0.7:
        spec["windows"] = [WINDOW]
        minutes = rng.choice((15, 20, 30))
        opening = {"cron": f"*/{minutes} * * * *", "for": f"{rng.choice((2, 5, 9))}m"}
        events.append(act(0.5, f"a Window opens every {minutes} minutes", open_window(open=[opening])))
        events.append(change(calm_at, "no Window counts any more", windows=None))
        if rng.random() < 0.3:
            at = rng.uniform(1.0, last)
            events.append(act(at, "the Window is deleted", remove_window))
            events.append(act(at + rng.uniform(5, 200), "there is a Window again", open_window(open=[opening])))
    for number in range(rng.randint(1, 5)):
        stops, seconds = rng.choice(("Starts", "Steps")), rng.choice((None, 60.0, 300.0, 900.0))
        cluster = rng.random() < 0.3
        told = f"{'everything' if cluster else 'the namespace'} is blocked ({stops}, for {seconds or 'ever'})"
        events.append(
            act(rng.uniform(1.0, last / 2), told, block(f"b{number}", stops, seconds=seconds, cluster=cluster))
        )
    if rng.random() < 0.5:
        events.append(act(rng.uniform(1.0, last), "all Blockers are lifted", lift_all))
    return spec, events
