"""What a decision is: actions in order, the new memory, and what to tell people."""

import dataclasses
from datetime import datetime, timedelta

from ombak.api.rollout import Phase
from ombak.core.memory import Memory
from ombak.core.overrides.view import Permit


@dataclasses.dataclass(frozen=True, slots=True)
class Prepare:
    """Put the finalizer on the Rollout, and fill in `replicas` where it is absent (the only write to spec)."""

    finalizer: bool
    replicas: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class ClearCommand:
    """Take a person's command off the Rollout: it was carried out, or it makes no sense (any more)."""

    annotation: str


@dataclasses.dataclass(frozen=True, slots=True)
class CreateArtifact:
    """Keep the wanted template as an immutable version."""

    artifact: str
    sequence: int


@dataclasses.dataclass(frozen=True, slots=True)
class KeepConfig:
    """Put a version's copy of a ConfigMap back, from wherever its content can still be had."""

    artifact: str
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class OwnConfig:
    """Let a version's copy of a ConfigMap live for the version's record and for the boxes that use it."""

    artifact: str
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class RecordStable:
    """Write on the Artifact that it finished its bake here."""

    artifact: str
    order: int


@dataclasses.dataclass(frozen=True, slots=True)
class RecordRejected:
    """Write on the Artifact why it is taken back; always before anything is taken back."""

    artifact: str
    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class RecordRetry:
    """Take the rejection off the Artifact, because a person said so."""

    artifact: str
    command: str


@dataclasses.dataclass(frozen=True, slots=True)
class Adopt:
    """Own an object of ours that nobody owns any more (left behind by a deleted Rollout)."""

    kind: str
    name: str
    resource_version: str


@dataclasses.dataclass(frozen=True, slots=True)
class WriteOneBox:
    """Create (no resource version) or replace whole the Deployment of the one box."""

    zone: str
    artifact: str
    replicas: int
    surge: bool
    resource_version: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class CreateFleet:
    """Create the ReplicaSet of an artifact (in a zone)."""

    artifact: str
    zone: str
    replicas: int


@dataclasses.dataclass(frozen=True, slots=True)
class ScaleFleet:
    """Set the size of a ReplicaSet, provided it is still as it was seen."""

    name: str
    resource_version: str
    before: int
    after: int

    @property
    def is_shrink(self) -> bool:
        """It takes boxes away."""
        return self.after < self.before


@dataclasses.dataclass(frozen=True, slots=True)
class RepairFleet:
    """Put back what somebody else changed in a ReplicaSet, at the size given."""

    name: str
    resource_version: str
    artifact: str
    zone: str
    replicas: int


@dataclasses.dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object of ours that is not needed any more, provided it is still as it was seen."""

    kind: str
    name: str
    uid: str
    resource_version: str


Action = (
    Prepare
    | ClearCommand
    | CreateArtifact
    | KeepConfig
    | OwnConfig
    | RecordStable
    | RecordRejected
    | RecordRetry
    | Adopt
    | WriteOneBox
    | CreateFleet
    | ScaleFleet
    | RepairFleet
    | Delete
)


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """Something that happened, for an Event and the log."""

    reason: str
    message: str
    is_warning: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """What it waits for, who can lift it and with which command, and when it is expected to move (P10)."""

    key: str
    what: str
    who: str
    command: str = ""
    expected: datetime | None = None
    is_unmade: bool = False
    """It is for boxes that cannot even be made: nobody may wait for them without hearing why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """The whole outcome of one decision."""

    phase: Phase
    memory: Memory
    actions: tuple[Action, ...] = ()
    notes: tuple[Note, ...] = ()
    waiting: Waiting | None = None
    message: str = ""
    stable: str = ""
    current: str = ""
    queued: str = ""
    rejected: str = ""
    boxes: str = ""
    step: str = ""
    bake: str = ""
    bake_began_at: datetime | None = None
    bake_ends_at: datetime | None = None
    """At the earliest, if all stays well; None while the bake stands still."""
    bake_length: timedelta = timedelta(0)
    """How long the step under way has to bake in all."""
    wake_at: datetime | None = None
    asks: str = ""
    """An artifact of which the API server must say, by a dry run, whether it takes its boxes; then decide again."""
    is_watched: bool = False
    """A release or a revert is on its way, or only alarms keep one from starting: they are asked at full rate."""
    wants_trouble: bool = False
    """Boxes do not come up: read the pods to say why."""
    is_loud: bool = False
    """It has waited for so long that a person should look."""
    override: Permit | None = None
    """The Override that counts now, for whatever version."""
