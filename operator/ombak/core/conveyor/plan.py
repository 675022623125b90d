"""What a decision about a Pipeline is: intents in order, the new memory, and what to tell people.

Order of carrying out: the `EARLY` ones, then the memory is stored, then the others, each only if the one before
succeeded. Every intent may be repeated. Writes to regions are server-side applies by the manager `ombak-hub`.
"""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ombak.core.conveyor.memory import HubMemory
from ombak.core.overrides.view import Permit
from ombak.core.plan import Note

Manifest = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class EnsureArtifact:
    """Keep a version as an immutable object on the hub."""

    version: str
    manifest: Manifest


@dataclasses.dataclass(frozen=True, slots=True)
class RetryArtifact:
    """Try to keep a version that the hub's API server did not take; nothing else waits for that."""

    version: str
    manifest: Manifest


@dataclasses.dataclass(frozen=True, slots=True)
class RecordRejected:
    """Write on the hub's Artifact why it is taken back; always before anything else is done about it."""

    version: str
    name: str
    reason: str
    message: str
    stage: str
    region: str
    scope: str


@dataclasses.dataclass(frozen=True, slots=True)
class RecordRetry:
    """Take the rejection off the hub's Artifact, because a person said so; `at` is the last sequence number."""

    version: str
    name: str
    command: str
    at: int


@dataclasses.dataclass(frozen=True, slots=True)
class ClearCommand:
    """Take a person's command off the Pipeline: it was carried out, or it makes no sense (any more)."""

    annotation: str


@dataclasses.dataclass(frozen=True, slots=True)
class ApplyObject:
    """Apply an object that travels with the artifact, unless it is somebody else's or was edited by hand."""

    region: str
    namespace: str
    manifest: Manifest
    is_heir: bool = False
    """The Rollout there is ours, and so is what another hub brought along with it."""
    takes_back: bool = False
    """What was edited is put back."""


@dataclasses.dataclass(frozen=True, slots=True)
class ApplyRollout:
    """Apply a region's Rollout, provided it is still as it was seen (no resource version: that it is not there).

    Only where it is not there the manifest has `spec.replicas`.
    """

    region: str
    namespace: str
    name: str
    manifest: Manifest
    resource_version: str
    why: str
    is_way_back: bool = False
    """It names what was rejected and changes nothing else, which does no harm whatever was decided meanwhile."""


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """Write on a Rollout that another hub owns that this one was told to deliver it too, so that both say so."""

    region: str
    namespace: str
    name: str
    hub: str
    resource_version: str


@dataclasses.dataclass(frozen=True, slots=True)
class RunTest:
    """Create the Job of a test, unless it is there; `region` is empty for the hub."""

    region: str
    namespace: str
    manifest: Manifest


@dataclasses.dataclass(frozen=True, slots=True)
class DropConfig:
    """Delete a version's copy of a ConfigMap in a region, if it is ours and nothing there refers to it any more."""

    region: str
    namespace: str
    name: str
    hub: str
    pipeline: str

    @property
    def place(self) -> tuple[str, str, str]:
        """What tells it from all others."""
        return self.region, self.namespace, self.name


@dataclasses.dataclass(frozen=True, slots=True)
class DeleteArtifact:
    """Delete an old version that nobody needs any more; only ever on the hub."""

    version: str
    name: str
    resource_version: str


Action = (
    EnsureArtifact
    | RetryArtifact
    | RecordRejected
    | RecordRetry
    | ClearCommand
    | ApplyObject
    | ApplyRollout
    | Claim
    | RunTest
    | DropConfig
    | DeleteArtifact
)
EARLY = (EnsureArtifact, RecordRejected, RecordRetry)


@dataclasses.dataclass(frozen=True, slots=True)
class HubWait:
    """What waits for what, since when, who can lift it and how, and when it is expected to move (P10)."""

    key: str
    """Stays the same while the same thing is waited for."""
    reason: str
    """One word for `kubectl get`."""
    what: str
    since: datetime
    who: str
    command: str = ""
    expected: datetime | None = None
    stage: str = ""
    region: str = ""
    artifact: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class RegionReport:
    """How one region of a stage stands."""

    name: str
    state: str
    version: str = ""
    sequence: int = 0
    phase: str = ""
    message: str = ""
    has_good: bool = False
    """Some version finished its bake there, and was not taken back there since."""


@dataclasses.dataclass(frozen=True, slots=True)
class StageReport:
    """How one stage stands."""

    name: str
    state: str
    regions: tuple[RegionReport, ...] = ()
    sequence: int = 0
    version: str = ""
    since: datetime | None = None
    batch: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class HubPlan:
    """The whole outcome of one decision about a Pipeline."""

    memory: HubMemory
    actions: tuple[Action, ...] = ()
    notes: tuple[Note, ...] = ()
    waits: tuple[HubWait, ...] = ()
    stages: tuple[StageReport, ...] = ()
    stage: str = ""
    version: str = ""
    reason: str = ""
    message: str = ""
    problem: str = ""
    """What is wrong with the Pipeline or its bases; nothing new starts then."""
    merged: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    override: Permit | None = None
    """The Override that counts now, for whatever version."""
    unheard: str = ""
    """What is wrong with a person's command that named nothing."""
    wake_at: datetime | None = None
