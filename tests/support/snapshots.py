"""Snapshots of the core, written in few words; what is not said is a Rollout of ten boxes that runs well."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ombak.alarms.verdict import Certainty, State, Verdict
from ombak.api.rollout import RolloutSpec
from ombak.core import naming
from ombak.core.identity import artifact_id
from ombak.core.memory import Memory
from ombak.core.snapshot import ArtifactView, FleetSet, OneBoxSet, Rejection, RolloutView, Snapshot

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
NAME = "front-end"
POLL = timedelta(seconds=15)


def template(version: str) -> dict[str, Any]:
    """The pod template of a version."""
    return {
        "metadata": {"labels": {"app": NAME}},
        "spec": {"containers": [{"name": "app", "image": f"registry.example/app:{version}"}]},
    }


def id_of(version: str) -> str:
    """The artifact id of a version."""
    return artifact_id(template(version))


def spec(version: str = "v1", **more: Any) -> RolloutSpec:
    """A spec that asks for a version, with bakes of a minute."""
    raw: dict[str, Any] = {
        "replicas": 10,
        "selector": {"matchLabels": {"app": NAME}},
        "template": template(version),
        "progressDeadline": "10m",
        "strategy": {
            "oneBox": {"bake": {"for": "1m"}},
            "rolling": {"bake": {"for": "1m"}},
            "bake": {"for": "1m"},
        },
        "alarms": {"revert": 'ALARM("errors")'},
    } | more
    return RolloutSpec.model_validate({name: value for name, value in raw.items() if value is not None})


def rollout(made: RolloutSpec, **more: Any) -> RolloutView:
    """A Rollout with this spec."""
    fields: dict[str, Any] = {
        "namespace": "shop",
        "name": NAME,
        "uid": "uid-1",
        "resource_version": "1",
        "generation": 1,
        "spec": made,
        "artifact": artifact_id(made.template),
    }
    return RolloutView(**fields | more)


def artifact(version: str, sequence: int, *, order: int = 0, rejected: str = "", retried: str = "") -> ArtifactView:
    """A version that was seen here; `order` says that it was stable, `rejected` why it was taken back."""
    return ArtifactView(
        id=id_of(version),
        name=naming.artifact(NAME, id_of(version)),
        resource_version="7",
        uid=f"uid-{version}",
        sequence=sequence,
        template=template(version),
        stable_order=order,
        rejection=Rejection(rejected, "said so", NOW) if rejected else None,
        retried=retried,
    )


def fleet(version: str, size: int, *, zone: str = "", **more: Any) -> FleetSet:
    """A ReplicaSet whose boxes all serve, unless said otherwise."""
    name = naming.fleet(NAME, id_of(version), zone)
    fields: dict[str, Any] = {
        "name": name,
        "uid": f"uid-{name}",
        "resource_version": "5",
        "artifact": id_of(version),
        "zone": zone,
        "desired": size,
        "replicas": size,
        "ready": size,
        "available": size,
        "is_current": True,
    }
    return FleetSet(**fields | more)


def one_box(version: str, size: int = 1, *, zone: str = "", **more: Any) -> OneBoxSet:
    """A one box that serves, unless said otherwise."""
    name = naming.one_box(NAME, zone)
    fields: dict[str, Any] = {
        "name": name,
        "uid": f"uid-{name}",
        "resource_version": "6",
        "artifact": id_of(version),
        "zone": zone,
        "desired": size,
        "replicas": size,
        "ready": size,
        "available": size,
        "updated": size,
        "is_current": True,
    }
    return OneBoxSet(**fields | more)


def verdict(
    state: State = State.OK, *, certain: bool = True, at: datetime | None = NOW, window: float = 30.0
) -> Verdict:
    """What an alarm says, by data of the last `window` seconds before `at`."""
    return Verdict(
        state=state,
        certainty=Certainty.Certain if certain else Certainty.Uncertain,
        evaluated_at=at,
        window=timedelta(seconds=window),
        contributors=("errors",) if state is State.ALARM else (),
        message="errors breaches" if state is State.ALARM else "",
    )


OK = verdict()
ALARM = verdict(State.ALARM)
UNKNOWN = verdict(State.INSUFFICIENT_DATA, certain=False)


def snapshot(made: RolloutSpec | None = None, **more: Any) -> Snapshot:
    """A Rollout that is stable on v1 with one box and nine others; fields by name replace what is said here."""
    fields: dict[str, Any] = {
        "rollout": rollout(made or spec()),
        "memory": Memory(),
        "artifacts": (artifact("v1", 1, order=1),),
        "fleet": (fleet("v1", 9),),
        "one_boxes": (one_box("v1"),),
        "revert_alarm": OK,
        "elapsed": timedelta(seconds=5),
        "poll": POLL,
    }
    return Snapshot(**fields | more)


def changed(s: Snapshot, **more: Any) -> Snapshot:
    """A snapshot with some fields replaced."""
    return dataclasses.replace(s, **more)


def later(seconds: float) -> datetime:
    """So many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


Fields = Mapping[str, Any]
