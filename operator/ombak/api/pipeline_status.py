"""The status of a `Pipeline`: which artifact is where, and what waits for what."""

from datetime import datetime
from typing import Annotated, Any

import pydantic

from ombak.api.common import Condition, StatusModel
from ombak.api.rollout_status import WaitingFor

_BY_NAME = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
_OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


class PipelineWait(WaitingFor):
    """Something that waits, and where."""

    stage: str = ""
    region: str = ""
    artifact: str = ""


class RegionState(StatusModel):
    """One region of a stage."""

    name: str
    state: str
    artifact: str = ""
    sequence: int = 0
    phase: Annotated[str, pydantic.Field(description="The phase of the Rollout there.")] = ""
    message: str = ""


class StageState(StatusModel):
    """One stage: the artifact in its slot, and its regions."""

    name: str
    state: str
    artifact: str = ""
    sequence: int = 0
    since: datetime | None = None
    batch: Annotated[int, pydantic.Field(description="So many changes came at once.")] = 0
    tests: str = ""
    regions: Annotated[list[RegionState], pydantic.Field(json_schema_extra=_BY_NAME)] = pydantic.Field(
        default_factory=list
    )


class Travelling(StatusModel):
    """One artifact on its way."""

    sequence: int
    artifact: str
    stage: str = ""
    state: str = ""
    batch: int = 1
    since: datetime | None = None
    skipped: list[str] = pydantic.Field(default_factory=list)


class PipelineStatus(StatusModel):
    """What the hub observed, does and waits for. `memory` is what it needs to go on after a restart."""

    observed_generation: int = 0
    stage: Annotated[str, pydantic.Field(description="Where the newest artifact is.")] = ""
    artifact: Annotated[str, pydantic.Field(description="The newest artifact.")] = ""
    reason: Annotated[str, pydantic.Field(description="What it does there, in one word.")] = ""
    travelling: list[Travelling] = pydantic.Field(default_factory=list)
    stages: Annotated[list[StageState], pydantic.Field(json_schema_extra=_BY_NAME)] = pydantic.Field(
        default_factory=list
    )
    waiting_for: list[PipelineWait] = pydantic.Field(default_factory=list)
    merged: Annotated[
        dict[str, Any],
        pydantic.WithJsonSchema(_OPEN),
        pydantic.Field(description="What holds, with all that is inherited."),
    ] = pydantic.Field(default_factory=dict)
    message: str = ""
    memory: Annotated[dict[str, Any], pydantic.Field(description="For the operator only.")] = pydantic.Field(
        default_factory=dict
    )
    conditions: list[Condition] = pydantic.Field(default_factory=list)
