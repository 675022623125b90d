"""Pipelines and regions for tests of the conveyor, in few words."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ombak.api.override import OverrideSpec
from ombak.core.conveyor import content
from ombak.core.conveyor.snapshot import PipelineView, RegionFacts
from ombak.core.conveyor.world import World
from ombak.core.overrides.view import OverrideView

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
NAME = "front-end"
Spec = dict[str, Any]


def template(version: str) -> Spec:
    """The pod template of a version."""
    return {
        "metadata": {"labels": {"app": NAME}},
        "spec": {"containers": [{"name": "app", "image": f"registry.example/app:{version}"}]},
    }


def version_of(version: str) -> str:
    """What a version without objects and values is called."""
    return content.content_id(template(version), ())


def watch(number: int) -> Spec:
    """The spec of an Alarm that travels along, one of many."""
    return {"expression": f'ALARM("errors-{number}")'}


def stage(name: str, *regions: str, **more: Any) -> Spec:
    """A stage of these regions, by name, with a bake of an hour."""
    made = {"name": name, "phase": "Prod", "regions": {"names": list(regions)}, "bake": {"for": "1h"}}
    return {k: v for k, v in (made | more).items() if v is not None}


FIVE = ("alpha", "beta", "gamma", "wave-1", "wave-2")


def five_stages(**more: Any) -> list[Spec]:
    """Five stages of one region each, but for the last one, which has two."""
    regions = {name: (f"r-{name}",) for name in FIVE} | {"wave-2": ("r-wave-2", "r-wave-3")}
    return [stage(name, *regions[name], **more) for name in FIVE]


def spec(version: str = "v1", stages: list[Spec] | None = None, **more: Any) -> Spec:
    """A Pipeline that asks for a version."""
    rollout = {
        "replicas": 10,
        "selector": {"matchLabels": {"app": NAME}},
        "template": template(version),
        "alarms": {"revert": 'ALARM("errors")'},
        "strategy": {"oneBox": {"bake": {"for": "10m"}}, "rolling": {"bake": {"for": "1m"}}},
    }
    made = {"rollout": {"spec": rollout}, "stages": five_stages() if stages is None else stages}
    return {k: v for k, v in (made | more).items() if v is not None}


def view(made: Mapping[str, Any], **more: Any) -> PipelineView:
    """A Pipeline as the hub reads it."""
    fields: dict[str, Any] = {"namespace": "shop", "name": NAME, "uid": "uid-1", "generation": 1, "spec": made}
    return PipelineView(**fields | more)


def region(name: str, **more: Any) -> RegionFacts:
    """A Region that answers."""
    labels = {"ombak.dev/name": name} | dict(more.pop("labels", {}))
    fields: dict[str, Any] = {"name": name, "labels": labels, "reachable": True, "last_contact": NOW}
    return RegionFacts(**fields | more)


def five_regions() -> list[RegionFacts]:
    """The regions of `five_stages`."""
    return [region(f"r-{name}") for name in (*FIVE, "wave-3")]


def world(made: Spec | None = None, regions: list[RegionFacts] | None = None, **more: Any) -> World:
    """A hub with this Pipeline and these regions."""
    return World(view(made or spec()), five_regions() if regions is None else regions, NOW, **more)


def push(w: World, version: str, **more: Any) -> None:
    """Ask for another version of the same Pipeline."""
    made = dict(w.pipeline.spec)
    rollout = dict(made["rollout"]["spec"]) | {"template": template(version)}
    made |= {"rollout": {"spec": rollout}} | more
    w.pipeline = dataclasses.replace(w.pipeline, spec=made, generation=w.pipeline.generation + 1)


def override(version: str, *, until: datetime = NOW + timedelta(days=3), **more: Any) -> OverrideView:
    """An Override for the Pipeline that was approved; a long one where the test takes days."""
    fields: dict[str, Any] = {
        "target": {"kind": "Pipeline", "name": NAME},
        "artifact": version_of(version),
        "requestedBy": "alice",
        "reason": "CVE-2026-1",
        "urgency": "it is exploited",
        "expires": until.isoformat(),
        "bake": {"oneBox": "1m", "batch": "30s", "bake": "2m"},
        "approvals": [{"by": "bob", "uid": "u"}],
    }
    made = OverrideSpec.model_validate({k: v for k, v in (fields | more).items() if v is not None})
    return OverrideView("shop", "fix", "u", until - timedelta(hours=20), made, flaw="")


def hours(count: float) -> timedelta:
    """So many hours."""
    return timedelta(hours=count)


def running(w: World) -> dict[str, str]:
    """What runs in each region as its good version, by name of the image tag."""
    found = {}
    for name, model in w.regions.items():
        for r in model.rollouts.values():
            found[name] = r.stable
    return found


def inside(w: World) -> dict[str, str]:
    """Which version is in the slot of each stage."""
    return {i.stage: i.version for i in w.memory.items if i.is_inside}
