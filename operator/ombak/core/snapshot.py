"""What a decision is made from: one frozen picture of a Rollout and of everything around it."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from ombak.alarms.verdict import Verdict
from ombak.api.rollout import RolloutSpec
from ombak.core.config import copy_names, rewritten
from ombak.core.floors import NO_FLOORS, Floors
from ombak.core.gates.facts import GateFacts
from ombak.core.memory import Memory


@dataclasses.dataclass(frozen=True, slots=True)
class Rejection:
    """Why an artifact was taken back."""

    reason: str
    message: str
    at: datetime
    is_recorded: bool = True
    """It stands on the Artifact, or in `spec.rejected`; else in the Rollout's memory alone."""


class CopyState(StrEnum):
    """How it stands with a version's copy of a ConfigMap."""

    UNCHECKED = "Unchecked"
    """It is taken to be there; its content is checked before any box of the version is made."""
    KEPT = "Kept"
    MISSING = "Missing"
    """It is not there, and can be put back."""
    LOST = "Lost"
    """It is not there, and nobody has its content."""
    REFUSED = "Refused"
    """It is not there, and the API server does not let it be put back now."""
    FORGED = "Forged"
    """What is there under its name is not what the version was made with."""


@dataclasses.dataclass(frozen=True, slots=True)
class ConfigCopy:
    """A version's own immutable copy of a ConfigMap."""

    name: str
    """Of the ConfigMap that was copied."""
    digest: str
    snapshot: str
    """The name of the copy."""
    state: CopyState = CopyState.UNCHECKED
    resource_version: str = ""
    owners: frozenset[str] = frozenset()
    """The uids of what it lives for."""


@dataclasses.dataclass(frozen=True, slots=True)
class ArtifactView:
    """One version that was seen here."""

    id: str
    name: str
    resource_version: str
    uid: str
    sequence: int
    template: Mapping[str, Any]
    is_genuine: bool = True
    """Its content still has the hash that its name says."""
    is_ours: bool = True
    """This Rollout owns it, or nobody does."""
    has_owner: bool = True
    owner: str = ""
    """Kind and name of its controlling owner, for people."""
    stable_order: int = 0
    """0: never finished a bake here; of several the highest is the latest."""
    rejection: Rejection | None = None
    retried: str = ""
    copies: tuple[ConfigCopy, ...] = ()
    """The configuration that travels with it."""

    @property
    def config(self) -> dict[str, str]:
        """The digests of its configuration by the names of the ConfigMaps."""
        return {c.name: c.digest for c in self.copies}

    @property
    def pods(self) -> Mapping[str, Any]:
        """The template as its boxes get it: what refers to listed ConfigMaps refers to the version's copies."""
        return rewritten(self.template, {c.name: c.snapshot for c in self.copies}) if self.copies else self.template

    @property
    def is_good(self) -> bool:
        """It finished its bake here and was not taken back."""
        return self.stable_order > 0 and self.rejection is None and self.is_genuine


@dataclasses.dataclass(frozen=True, slots=True)
class Owned:
    """What all our child objects have."""

    name: str
    uid: str
    resource_version: str
    artifact: str
    zone: str
    desired: int
    """`spec.replicas`."""
    replicas: int
    """`status.replicas`: pods that exist and are not being deleted."""
    ready: int
    available: int
    is_current: bool
    """Its controller has seen the latest spec (`observedGeneration`)."""
    is_ours: bool = True
    has_owner: bool = True
    owner: str = ""
    """Kind and name of its controlling owner, for people."""
    is_deleting: bool = False
    drift: str = ""
    """What somebody else changed in it, empty when nothing."""
    scaled_by: str = ""
    """Who set its size last, if that was somebody else."""
    failure: str = ""
    """Why its controller could not make boxes when it last tried, such as a quota."""

    @property
    def made(self) -> int:
        """So many boxes of its version exist."""
        return self.replicas

    @property
    def unmade(self) -> str:
        """Why boxes of its version are not made; its controller may well tell of another one's that it made before."""
        return self.failure if self.is_current and self.made < self.desired else ""

    @property
    def serving(self) -> int:
        """So many of its boxes are sure to serve, even if the controller has not yet followed a shrink."""
        return min(self.available, self.desired)

    @property
    def sure(self) -> int:
        """So many of its boxes serve beyond doubt.

        None as long as its controller has not seen the latest size: after a shrink and a grow in short order the
        counts are of boxes that the shrink has taken since.
        """
        return self.serving if self.is_current else 0

    @property
    def expendable(self) -> int:
        """So many of its boxes are not even ready: a shrink takes those first, so they cost nothing."""
        return max(0, self.desired - self.ready) if self.is_current else 0


@dataclasses.dataclass(frozen=True, slots=True)
class FleetSet(Owned):
    """The ReplicaSet of one artifact (and zone)."""

    makes_others: bool = False
    """Somebody edited its pod template: a box that is made of it now is none of that artifact, `drift` told or not."""


@dataclasses.dataclass(frozen=True, slots=True)
class OneBoxSet(Owned):
    """The permanent Deployment of the one box (of a zone)."""

    updated: int = 0
    surges: bool = False
    """It brings the new box up before the old one goes."""

    @property
    def made(self) -> int:
        """The others are of the version before."""
        return self.updated

    @property
    def is_settled(self) -> bool:
        """Its only boxes are those of `artifact`."""
        return self.is_current and self.updated == self.desired == self.replicas

    @property
    def is_ours_alone(self) -> bool:
        """It has no box of another version, though it may lack its own: nobody lets it be made."""
        return self.is_current and self.updated == self.replicas <= self.desired

    @property
    def keeps_another(self) -> bool:
        """It surges, and a box of another version stays in it until its own serves.

        So may it be for all that is known, as long as its controller has not looked.
        """
        return self.surges and not (self.is_current and self.updated >= self.replicas)

    @property
    def serving(self) -> int:
        """While it replaces its box without surge, nothing of it is sure to serve."""
        if self.surges or self.is_settled:
            return min(self.available, self.desired)
        return 0

    @property
    def sure(self) -> int:
        """A box that surges stays until the new one serves, seen or not."""
        return self.serving

    @property
    def expendable(self) -> int:
        """The box is not ready, so replacing it costs nothing."""
        return max(0, self.desired - self.ready) if self.is_current else 0


@dataclasses.dataclass(frozen=True, slots=True)
class TemplateCheck:
    """What a server-side dry run said about the wanted template."""

    artifact: str
    problem: str = ""
    who: str = ""
    """Who can lift it, where it is not about the template: rights, a quota. Empty: whoever edits the template."""
    is_stale: bool = False
    """It is old enough to ask again."""


@dataclasses.dataclass(frozen=True, slots=True)
class RolloutView:
    """The Rollout as the user wrote it, read once."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    spec: RolloutSpec
    artifact: str
    """The id of `spec.template` and the config that goes with it; empty where that cannot be told (see `lacks`)."""
    problem: str = ""
    """What is wrong with the spec, with the field and the fix; `spec` then holds what could be read."""
    is_deleting: bool = False
    has_finalizer: bool = True
    abort: str = ""
    retry: str = ""
    permit: str = ""
    """The artifact that may leave its one box."""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """By which team alarms select it."""
    config: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The digests of the ConfigMaps in `spec.config` as they are now, by name."""
    lacks: str = ""
    """A ConfigMap that `spec.config` lists and that is not there, or cannot be read: nothing new starts."""
    who_lacks: str = "whoever deleted it, or edits spec.config"
    """Who can lift that."""

    @property
    def pods(self) -> Mapping[str, Any]:
        """The wanted template as its boxes get it (see `ArtifactView.pods`)."""
        return rewritten(self.spec.template, copy_names(self.name, self.artifact, self.config))


@dataclasses.dataclass(frozen=True, slots=True)
class SignalReading:
    """What one of the Rollout's signals says of all boxes and of the one box."""

    name: str
    service: Verdict
    one_box: Verdict


@dataclasses.dataclass(frozen=True, slots=True)
class Traps:
    """What was found in the queries of a Rollout that cannot mean what their author wanted, each with the fix."""

    problems: tuple[str, ...] = ()
    is_open: bool = False
    """Not all of them were looked into yet."""


NO_TRAPS = Traps()


@dataclasses.dataclass(frozen=True, slots=True)
class Proof:
    """What was found out about a time in which no process looked: when all was good for a step of a release."""

    artifact: str
    approved_at: datetime
    """When that step was approved; another one it says nothing about."""
    length: timedelta


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that `decide` may look at."""

    rollout: RolloutView
    memory: Memory
    artifacts: tuple[ArtifactView, ...] = ()
    fleet: tuple[FleetSet, ...] = ()
    one_boxes: tuple[OneBoxSet, ...] = ()
    revert_alarm: Verdict | None = None
    """The worst of `alarms.revert`, the signals of all boxes and the guards; None only where there is none of them."""
    one_box_alarm: Verdict | None = None
    """The worst of `alarms.oneBox` and the signals of the one box; None where there is neither."""
    signals: tuple[SignalReading, ...] = ()
    """The signals one by one, for people: what they mean is in the two alarms."""
    traps: Traps = NO_TRAPS
    """What people should know of the queries behind all this."""
    samples: Mapping[str, float | str] = dataclasses.field(default_factory=dict)
    """What the sample quotas count so far, by name; why it could not be read, absent where it was not yet."""
    template_check: TemplateCheck | None = None
    refusal: str = ""
    """What the API server had against a write of the last pass, if it says so for good."""
    refused: frozenset[type] = frozenset()
    """Actions of a plan, by their types, that the API server did not carry out when they were asked for last."""
    off_record: str = ""
    """What the API server has against a record that must be there first; nothing starts, goes on or is called stable
    for it, and all else does."""
    elapsed: timedelta | None = None
    """Monotonic time since the decision before this one; None for the first one of a process."""
    is_in_conflict: bool = False
    """An object of somebody else stands in the way: nothing starts or goes on, and all else does."""
    cut_off: timedelta = timedelta(0)
    """So much of the time since the last decision the API server did not answer."""
    has_asked: bool = True
    """This process asked about every alarm once; before that, unknown only means early."""
    proof: Proof | None = None
    """Bake time of before this process that was proven afterwards; told once."""
    poll: timedelta = timedelta(seconds=15)
    """Alarms of a release are evaluated at least this often; a tick adds at most two of these to a bake."""
    boxes_trouble: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What the pods of a version say that do not become available; nothing of those that nobody asked."""
    gates: GateFacts = dataclasses.field(default_factory=GateFacts)
    """The Windows that the Rollout names, the Blockers in whose reach it is, and the Overrides for it."""
    floors: Floors = NO_FLOORS
    """The Region's shortest bakes."""

    def trouble_of(self, artifact: str) -> str:
        """Return why boxes of a version do not come up, empty if nobody knows: their pods say it, or there are none."""
        return self.boxes_trouble.get(artifact, "") or self.unmade_of(artifact)

    def unmade_of(self, artifact: str) -> str:
        """Return why boxes of a version cannot even be made, empty if they can, or nobody knows."""
        owned = (o.unmade for o in (*self.fleet, *self.one_boxes) if o.artifact == artifact)
        return next(filter(None, owned), "")

    def artifact(self, id: str) -> ArtifactView | None:  # noqa: A002 - the field's own name
        """Return the artifact of that id, if it was seen here."""
        return next((a for a in self.artifacts if a.id == id), None)
