"""What happens in a run: a spec, and what people and the world do to it, drawn by a seed or written by hand."""

import dataclasses
import random
from collections.abc import Callable
from typing import Any

from ombak.core.identity import artifact_id
from ombak.runtime.kube_port import Object
from ombak.simulation.faults import Faults
from ombak.simulation.pods import Behaviour
from ombak.simulation.region import Region, template


@dataclasses.dataclass(slots=True)
class Stage:
    """What an event of a scenario may touch."""

    region: Region
    faults: Faults
    skew: Callable[[float], None]
    """Set the wall clock of the operator's machine wrong by so many seconds."""
    kill: Callable[[float], None]
    """Kill the operator; it is started again by itself, after so many seconds at the least."""
    second: Callable[[bool], None]
    """Start, or stop, a second operator."""
    rng: random.Random


Act = Callable[[Stage], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that happens at a moment (seconds into the run)."""

    at: float
    told: str
    act: Act


@dataclasses.dataclass(frozen=True, slots=True)
class Scenario:
    """A whole run, up to the moment from which on nothing more is done to it."""

    name: str
    spec: Object
    events: tuple[Event, ...] = ()
    lag: float = 1.0
    """What the operator knows may be so many seconds old (in the calm: the controllers' own delay)."""
    delay: float = 3.0
    """What it reads live may be so many seconds old when it acts upon it."""
    end: float = 3600.0
    """By then it must have come to rest."""
    phase: str = ""
    """The phase in which it must end; empty: any in which it rests."""


def spec(replicas: int, first: Object, **more: Any) -> Object:
    """Return the spec of a Rollout with short times."""
    return {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "front-end"}},
        "template": first,
        "progressDeadline": "60s",
        "strategy": {
            "oneBox": {"bake": {"for": "60s"}},
            "rolling": {"bake": {"for": "20s"}},
            "bake": {"for": "2m"},
        },
        "alarms": {"revert": 'ALARM("errors")', "oneBox": 'ALARM("onebox")'},
    } | more


def wish(at: float, version: str, behaviour: Behaviour | None = None, refused: str = "") -> Event:
    """The user asks for a version."""
    made = template(version, behaviour or Behaviour(), refused)
    return Event(at, f"the user wants {version} ({artifact_id(made)})", lambda stage: stage.region.wish(made))


def change(at: float, told: str, **fields: Any) -> Event:
    """The user changes other fields of the spec."""
    return Event(at, told, lambda stage: stage.region.change(fields))


def scale(at: float, replicas: int) -> Event:
    """Somebody, or an autoscaler, changes the number of boxes."""
    return change(at, f"scaled to {replicas}", replicas=replicas)


def act(at: float, told: str, do: Act) -> Event:
    """Anything else."""
    return Event(at, told, do)
