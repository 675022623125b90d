"""What a decision about a Pipeline is made from: one frozen picture of it, its regions, and what runs there."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from ombak.api.region import lets_into
from ombak.api.rollout import Phase
from ombak.core.conveyor.memory import HubMemory
from ombak.core.floors import NO_FLOORS, Floors
from ombak.core.gates.gate import Held
from ombak.core.overrides.facts import NO_OVERRIDES, OverrideFacts

ZERO = timedelta(0)
SKIP_AFTER = timedelta(minutes=5)
"""Without a word for so long, a region is passed over where that is asked for."""
Raw = Mapping[str, Any]
"""Part of a manifest, as the user wrote it."""


@dataclasses.dataclass(frozen=True, slots=True)
class RegionFacts:
    """A Region as the hub knows it now."""

    name: str
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Its own, and `ombak.dev/cloud|region|tier|name`."""
    zones: tuple[str, ...] = ()
    floors: Floors = NO_FLOORS
    allow: tuple[str, ...] | None = None
    """Namespaces of the hub whose Pipelines may deploy there; None for every one, as `*` is."""
    into: tuple[str, ...] = ()
    """Namespaces there into which they may write besides their own, as `spec.allow.into` has them."""
    reachable: bool | None = None
    last_contact: datetime | None = None
    """By the hub's own clock."""
    silent_for: timedelta | None = None
    """How long this hub has seen it give no answer, by a clock that never jumps; None where that is not known."""
    refusal: str = ""
    """In one word why it is closed to the hub, where that is certain; empty where it only does not answer."""
    silence: str = ""
    """Why nobody works there, as far as the hub can tell; empty while its operator gives signs of life."""
    cluster: str = ""
    """What tells its cluster from all others, as it was told last; empty where nobody can tell."""
    time_zone: str = ""
    """For Windows in the time of the Region; empty where it says none."""

    @property
    def is_reached(self) -> bool:
        """It answers. Unknown is no: silence is never success."""
        return self.reachable is True

    def is_given_up(self, now: datetime, after: timedelta) -> bool:
        """It has been silent for so long that one may go on without it."""
        moment = self.given_up_at(now, after)
        return self.reachable is False and (moment is None or moment <= now)

    def given_up_at(self, now: datetime, after: timedelta) -> datetime | None:
        """When it will have been silent for so long, if it stays so; None where nobody knows."""
        if self.reachable is not False:
            return None
        # A machine that slept, or whose clock was set, has heard no silence by it: so by both.
        told = [] if self.last_contact is None else [self.last_contact + after]
        heard = [] if self.silent_for is None else [now + after - self.silent_for]
        return max([*told, *heard], default=None)

    def admits(self, namespace: str) -> bool:
        """Whether Pipelines of that namespace of the hub may deploy there."""
        return self.allow is None or "*" in self.allow or namespace in self.allow

    def takes(self, namespace: str, into: str) -> bool:
        """Whether Pipelines of that namespace of the hub may write into this one of the region.

        The hub's own rights reach every namespace there; without this rule they would be those of every Pipeline.
        """
        return lets_into(self.into, namespace, into)


@dataclasses.dataclass(frozen=True, slots=True)
class RegionWait:
    """What a Rollout in a region says that it waits for."""

    what: str
    since: datetime | None = None
    who: str = ""
    command: str = ""
    expected: datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class RolloutFacts:
    """The Rollout of the Pipeline's name in one namespace of a region, as last seen."""

    region: str
    namespace: str
    resource_version: str
    generation: int
    observed_generation: int
    spec: Raw
    artifact: str
    """The id of its `spec.template`, as the region counts it."""
    hub: str = ""
    """The hub that it says it belongs to, empty if nobody."""
    pipeline: str = ""
    """`namespace/name` of the Pipeline that it says it belongs to."""
    claimed_by: str = ""
    """Another hub that found it taken."""
    sequence: int = 0
    """What the hub delivered last: its place in the queue, the version, the stage, the hash of its objects."""
    version: str = ""
    stage: str = ""
    objects: str = ""
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """All that the hub wrote beside the spec."""
    has_retry: bool = False
    """A retry is written and not yet carried out."""
    phase: Phase | None = None
    stable: str = ""
    stable_digest: str = ""
    """The digest of the content that the region keeps of it, empty if that is not genuine."""
    current: str = ""
    rejected: str = ""
    message: str = ""
    wait: RegionWait | None = None
    replicas: int | None = None
    configs: frozenset[str] = frozenset()
    """The ConfigMaps to which its template and the versions that the region keeps of it refer."""
    good: frozenset[str] = frozenset()
    """The ids of the versions that were stable there, and were not taken back since."""
    others: frozenset[str] = frozenset()
    """Fields of its spec of which somebody else than a hub and the region's operator wrote something."""

    @property
    def is_told(self) -> bool:
        """Its status is about its spec as it is."""
        return self.phase is not None and self.observed_generation >= self.generation

    @property
    def is_moving(self) -> bool:
        """Something is on its way there, or nobody can tell yet that nothing is."""
        return not self.is_told or self.phase not in (Phase.STABLE, Phase.REVERTED, Phase.FAILED, Phase.INVALID)


@dataclasses.dataclass(frozen=True, slots=True)
class BroughtFacts:
    """An object that travels along, as it stands in a region, and who it says brought it with which version."""

    spec: Raw
    hub: str = ""
    pipeline: str = ""
    version: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class HubRejection:
    """Why an artifact was taken back, and how far that reaches."""

    reason: str
    message: str
    at: datetime
    stage: str = ""
    region: str = ""
    scope: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class HubArtifact:
    """One version of the Pipeline: the content, the values beside it, and the verdict."""

    version: str
    """The artifact's id, and where there are values their hash: what is delivered, and judged, as one."""
    id: str
    name: str
    sequence: int
    template: Raw
    objects: tuple[Raw, ...] = ()
    values: tuple[Raw, ...] = ()
    is_genuine: bool = True
    is_ours: bool = True
    rejection: HubRejection | None = None
    retried: str = ""
    retried_at: int = 0
    """The last sequence number when it was retried: what was delivered up to there says nothing any more."""
    resource_version: str = ""
    provenance: Mapping[str, str] = dataclasses.field(default_factory=dict)


class JobState(StrEnum):
    """How the Job of a test fares."""

    REFUSED = "Refused"
    """The API server does not take it; it is tried again."""
    RUNNING = "Running"
    PASSED = "Passed"
    FAILED = "Failed"


@dataclasses.dataclass(frozen=True, slots=True)
class JobFacts:
    """The Job of a test, as last seen."""

    name: str
    state: JobState
    message: str = ""
    """Why it failed, with the tail of its log; why it does not begin, or go on."""
    made_of: str = ""
    """What was refused, as a hash of the Job's spec: a corrected one is tried in its place."""


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """An object that travels along and was not written: it is somebody else's, was edited, or is not a right one."""

    kind: str
    """As `kubectl` knows it."""
    namespace: str
    name: str
    hub: str = ""
    pipeline: str = ""
    """Whose it says it is, empty if nobody's."""
    edits: str = ""
    """What was edited, and by whom if that is known; empty where it is somebody else's."""
    flaw: str = ""
    """What the API server has against the object itself: no time mends it."""

    @property
    def place(self) -> tuple[str, str, str]:
        """What tells it from all others of a region."""
        return self.kind, self.namespace, self.name

    @property
    def what(self) -> str:
        """The object in words."""
        return f"{self.kind}/{self.name} in the namespace {self.namespace}"

    def __str__(self) -> str:
        """Why it was not written."""
        if self.flaw:
            return f"{self.what} is not taken: {self.flaw}"
        return f"{self.what} {f'was edited: {self.edits}' if self.edits else 'is not of this Pipeline'}"


@dataclasses.dataclass(frozen=True, slots=True)
class GateAnswer:
    """A gate that is closed for a stage, or only for one region of it."""

    stage: str
    held: Held
    region: str = ""
    spared: str = ""
    """The version that an Override lets pass some of it."""
    left: Held | None = None
    """What still holds that version; None if nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class PipelineView:
    """The Pipeline as the user wrote it, read once."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: Raw
    problem: str = ""
    """What is wrong with the spec, with the field and the fix."""
    is_deleting: bool = False
    abort: str = ""
    retry: str = ""
    provenance: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Annotations that travel along: author, commit, build, reviewer."""

    @property
    def key(self) -> str:
        """How it is called on what it owns in regions."""
        return f"{self.namespace}/{self.name}"


@dataclasses.dataclass(frozen=True, slots=True)
class HubSnapshot:
    """Everything that the conveyor's `decide` may look at."""

    hub: str
    """What tells this hub from all others."""
    pipeline: PipelineView
    memory: HubMemory
    bases: Mapping[str, Raw] = dataclasses.field(default_factory=dict)
    """The specs of the Pipelines of its namespace that it extends, over any depth; who is not here is not there."""
    regions: tuple[RegionFacts, ...] = ()
    rollouts: tuple[RolloutFacts, ...] = ()
    artifacts: tuple[HubArtifact, ...] = ()
    alarms: Mapping[tuple[str, str, str], BroughtFacts] = dataclasses.field(default_factory=dict)
    """By region, namespace and name: the Alarms of names that travel along; who is not here is not there."""
    jobs: Mapping[str, JobFacts] = dataclasses.field(default_factory=dict)
    """By name, of the hub and of the regions alike: a name says the region too."""
    gates: tuple[GateAnswer, ...] = ()
    unmade: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Versions whose Artifact the hub's own API server did not take, with its words."""
    unwritten: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Regions that did not take the last write, with their words."""
    dropped: frozenset[tuple[str, str, str]] = frozenset()
    """Region, namespace and name of the copies of ConfigMaps that are gone, as far as this process knows."""
    refused: Mapping[str, Refused] = dataclasses.field(default_factory=dict)
    """By region: the object for which the last write was given up."""
    overrides: OverrideFacts = NO_OVERRIDES
    """Those for this Pipeline."""
    skip_after: timedelta = SKIP_AFTER
    """A region is passed over only after so long without a word."""
    poll: timedelta = timedelta(minutes=5)
    """To look again while something is waited for, though all that ends a wait is told or known before."""
