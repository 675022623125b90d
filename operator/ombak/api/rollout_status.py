"""The status of a `Rollout`: what the operator observed, does and waits for."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import pydantic

from ombak.api.common import Condition, StatusModel


class Phase(StrEnum):
    """Where a Rollout stands (the picture of design 2)."""

    INSTALLING = "Installing"
    BLOCKED = "Blocked"
    ONE_BOX = "OneBox"
    ONE_BOX_BAKE = "OneBoxBake"
    ROLLING = "Rolling"
    BAKE = "Bake"
    STABLE = "Stable"
    REVERTING = "Reverting"
    REVERTED = "Reverted"
    FAILED = "Failed"
    INVALID = "Invalid"


class WaitingFor(StatusModel):
    """What keeps a Rollout from going on (P10)."""

    what: str
    since: datetime
    who: Annotated[str, pydantic.Field(description="Who can lift it.")] = ""
    command: Annotated[str, pydantic.Field(description="The command that lifts it.")] = ""
    expected: Annotated[datetime | None, pydantic.Field(description="When it is expected to move by itself.")] = None


class ArtifactIds(StatusModel):
    """Which versions matter now, by artifact id."""

    stable: str = ""
    current: str = ""
    queued: str = ""
    rejected: str = ""


class AlarmView(StatusModel):
    """The state of one of the Rollout's expressions, for people."""

    state: str
    certainty: str
    message: str = ""
    since: Annotated[datetime | None, pydantic.Field(description="Since when it was seen to be so.")] = None
    contributors: Annotated[
        tuple[str, ...], pydantic.Field(description="What makes it be in ALARM, as `alarm {labels}`; ten at most.")
    ] = ()


class AlarmViews(StatusModel):
    """The states of what guards all boxes, and of what guards the one box; each the worst of its parts."""

    revert: AlarmView | None = None
    one_box: AlarmView | None = None


class SignalView(StatusModel):
    """What a signal says of all boxes, and of the one box."""

    name: str
    service: AlarmView
    one_box: AlarmView


class Progress(StatusModel):
    """How far a release is, for people."""

    boxes: str = ""
    step: str = ""
    bake: str = ""


class Queue(StatusModel):
    """Changes that wait for their turn, of which only the latest will be delivered (R90)."""

    since: datetime
    superseded: Annotated[int, pydantic.Field(description="So many changes were overtaken by later ones.")] = 0


class RolloutStatus(StatusModel):
    """What the operator observed, does and waits for. `memory` is what it needs to go on after a restart."""

    observed_generation: int = 0
    phase: Annotated[Phase | None, pydantic.WithJsonSchema({"type": "string"})] = None
    selector: str = ""
    replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    updated_replicas: int = 0
    artifacts: ArtifactIds = ArtifactIds()
    progress: Progress = Progress()
    waiting_for: WaitingFor | None = None
    queue: Annotated[Queue | None, pydantic.Field(description="While a change waits to start.")] = None
    alarms: Annotated[
        AlarmViews | None, pydantic.Field(description="What a release depends on: expressions, signals and guards.")
    ] = None
    signals: Annotated[
        list[SignalView],
        pydantic.Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ] = pydantic.Field(default_factory=list)
    message: str = ""
    memory: Annotated[dict[str, Any], pydantic.Field(description="For the operator only.")] = pydantic.Field(
        default_factory=dict
    )
    conditions: list[Condition] = pydantic.Field(default_factory=list)
