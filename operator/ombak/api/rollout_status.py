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
    """What is awaited."""
    since: datetime
    """Since when."""
    who: Annotated[str, pydantic.Field(description="Who can lift it.")] = ""
    command: Annotated[
        str, pydantic.Field(description="The command that lifts it, or shows what stands in its way.")
    ] = ""
    expected: Annotated[datetime | None, pydantic.Field(description="When it is expected to move by itself.")] = None


class ArtifactIds(StatusModel):
    """Which versions matter now, by artifact id."""

    stable: str = ""
    """What a revert goes to: the last one that finished its bake here."""
    current: str = ""
    """What is brought to the boxes, or runs there."""
    queued: str = ""
    """What waits for its turn."""
    rejected: str = ""
    """What was taken back."""


class AlarmView(StatusModel):
    """The state of one of the Rollout's expressions, for people."""

    state: str
    """`OK`, `ALARM` or `INSUFFICIENT_DATA`."""
    certainty: str
    """`Certain` or `Uncertain`; on what is uncertain nobody acts."""
    message: str = ""
    """What it says, with the numbers."""
    since: Annotated[datetime | None, pydantic.Field(description="Since when it was seen to be so.")] = None
    contributors: Annotated[
        tuple[str, ...], pydantic.Field(description="What makes it be in ALARM, as `alarm {labels}`; ten at most.")
    ] = ()


class AlarmViews(StatusModel):
    """The states of what guards all boxes, and of what guards the one box; each the worst of its parts."""

    revert: AlarmView | None = None
    """What guards all boxes, in any phase."""
    one_box: AlarmView | None = None
    """What guards the one box alone."""


class SignalView(StatusModel):
    """What a signal says of all boxes, and of the one box."""

    name: str
    """The signal."""
    service: AlarmView
    """What it says of all boxes."""
    one_box: AlarmView
    """What it says of the one box."""


class Progress(StatusModel):
    """How far a release is, for people."""

    boxes: str = ""
    """How many boxes serve the current version, of how many."""
    step: str = ""
    """The step under way, and how many boxes it approves."""
    bake: str = ""
    """How much time was proven good of how much, by which moment (UTC); written now and then."""
    bake_since: datetime | None = None
    """Since when the bake under way counts."""
    bake_ends: datetime | None = None
    """When it is over at the earliest, if all stays well; absent while it stands still."""


class Queue(StatusModel):
    """Changes that wait for their turn, of which only the latest will be delivered (R90)."""

    since: datetime
    """Since when one waits."""
    superseded: Annotated[int, pydantic.Field(description="So many changes were overtaken by later ones.")] = 0


class OverrideInUse(StatusModel):
    """The Override that counts now: while it does no other artifact starts (R83)."""

    name: str
    """The Override, in the same namespace."""
    artifact: str
    """What it is for."""
    requested_by: str
    """Who asked for it."""
    approved_by: tuple[str, ...] = ()
    """Who approved it."""
    reason: str = ""
    """What it is for, in the words of who asked."""
    until: datetime
    """It allows nothing from then on."""


class RolloutStatus(StatusModel):
    """What the operator observed, does and waits for. `memory` is what it needs to go on after a restart."""

    observed_generation: int = 0
    """The rest speaks of this generation of the spec; it stays behind while no operator runs."""
    phase: Annotated[Phase | None, pydantic.WithJsonSchema({"type": "string"})] = None
    """Where it stands, in a word."""
    selector: str = ""
    """The labels of its boxes, for autoscalers."""
    replicas: int = 0
    """Boxes that there are, of whatever version."""
    ready_replicas: int = 0
    """Boxes that are ready."""
    available_replicas: int = 0
    """Boxes that have been ready for `minReadySeconds`."""
    updated_replicas: int = 0
    """Boxes of the wanted version."""
    artifacts: ArtifactIds = ArtifactIds()
    progress: Progress = Progress()
    waiting_for: WaitingFor | None = None
    queue: Annotated[Queue | None, pydantic.Field(description="While a change waits to start.")] = None
    override: Annotated[OverrideInUse | None, pydantic.Field(description="While an approved Override is active.")] = (
        None
    )
    alarms: Annotated[
        AlarmViews | None, pydantic.Field(description="What a release depends on: expressions, signals and guards.")
    ] = None
    signals: Annotated[
        list[SignalView],
        pydantic.Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ] = pydantic.Field(default_factory=list)
    """What each signal says, while a release is on its way."""
    message: str = ""
    """Where it stands and why, in a sentence."""
    memory: Annotated[dict[str, Any], pydantic.Field(description="For the operator only.")] = pydantic.Field(
        default_factory=dict
    )
    conditions: list[Condition] = pydantic.Field(default_factory=list)
    """For tools: `Ready`, `Reconciling` and `Stalled` as kstatus has them, `Delivered` and `SpecValid`."""
