"""The status of a `Pipeline`: which artifact is where, and what waits for what."""

from datetime import datetime
from typing import Annotated, Any

import pydantic

from ombak.api.common import Condition, StatusModel
from ombak.api.rollout_status import OverrideInUse, WaitingFor

_BY_NAME = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
_OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


class PipelineWait(WaitingFor):
    """Something that waits, and where."""

    stage: str = ""
    """Where it waits."""
    region: str = ""
    """In which Region; empty for the whole stage."""
    artifact: str = ""
    """What waits."""


class RegionState(StatusModel):
    """One region of a stage."""

    name: str
    """The Region."""
    state: str
    """How it stands to the artifact of the stage, in one word."""
    artifact: str = ""
    """What was delivered there last."""
    sequence: int = 0
    """As which change of the Pipeline."""
    phase: Annotated[str, pydantic.Field(description="The phase of the Rollout there.")] = ""
    message: str = ""
    """What the Rollout there says."""


class StageState(StatusModel):
    """One stage: the artifact in its slot, and its regions."""

    name: str
    """The stage."""
    state: str
    """Empty, UnderWay, Passed or Reverting."""
    artifact: str = ""
    """What is in it, or passed it last."""
    sequence: int = 0
    """As which change of the Pipeline."""
    since: datetime | None = None
    """When it came there; of the stage that it passed last, when it passed it."""
    batch: Annotated[int, pydantic.Field(description="So many changes came at once.")] = 0
    regions: Annotated[list[RegionState], pydantic.Field(json_schema_extra=_BY_NAME)] = pydantic.Field(
        default_factory=list
    )
    """Its Regions, in the order of delivery."""


class Provenance(StatusModel):
    """Where a change comes from, as the annotations of the Pipeline said when it was asked for."""

    author: str = ""
    """Who made it: `ombak.dev/author`."""
    commit: str = ""
    """Of what: `ombak.dev/commit`."""
    build: str = ""
    """By which build: `ombak.dev/build`."""
    reviewer: str = ""
    """Who looked at it: `ombak.dev/reviewer`."""


class Travelling(StatusModel):
    """One artifact on its way."""

    sequence: int
    """It is the n-th change of the Pipeline."""
    artifact: str
    """What travels."""
    stage: str = ""
    """Where it is, or what it passed last."""
    state: str = ""
    """Inside the stage, or waiting for the next."""
    batch: int = 1
    """So many changes came along in it."""
    since: datetime | None = None
    """When it came to where it is."""
    skipped: list[str] = pydantic.Field(default_factory=list)
    """`stage/region` of those that it was passed over in: no answer."""
    began: datetime | None = None
    """When the Pipeline asked for it."""
    provenance: Annotated[Provenance | None, pydantic.Field(description="Who made it, and of what.")] = None


class PipelineStatus(StatusModel):
    """What the hub observed, does and waits for. `memory` is what it needs to go on after a restart."""

    observed_generation: int = 0
    """The spec that all this is about."""
    stage: Annotated[str, pydantic.Field(description="Where the newest artifact is.")] = ""
    artifact: Annotated[str, pydantic.Field(description="The newest artifact.")] = ""
    reason: Annotated[str, pydantic.Field(description="What it does there, in one word.")] = ""
    travelling: list[Travelling] = pydantic.Field(default_factory=list)
    """The artifacts on their way, oldest first."""
    stages: Annotated[list[StageState], pydantic.Field(json_schema_extra=_BY_NAME)] = pydantic.Field(
        default_factory=list
    )
    """Every stage, in the order of delivery."""
    waiting_for: list[PipelineWait] = pydantic.Field(default_factory=list)
    """What waits for what, who can lift it, and with which command."""
    override: Annotated[OverrideInUse | None, pydantic.Field(description="While an approved Override is active.")] = (
        None
    )
    merged: Annotated[
        dict[str, Any],
        pydantic.WithJsonSchema(_OPEN),
        pydantic.Field(description="What holds, with all that is inherited."),
    ] = pydantic.Field(default_factory=dict)
    message: str = ""
    """What happens, in a sentence."""
    memory: Annotated[dict[str, Any], pydantic.Field(description="For the operator only.")] = pydantic.Field(
        default_factory=dict
    )
    conditions: list[Condition] = pydantic.Field(default_factory=list)
    """For kubectl wait, Argo CD and Flux."""
