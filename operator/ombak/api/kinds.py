"""The kinds of the API: their names, their models, and what `kubectl get` shows of them."""

import dataclasses

import pydantic

from ombak.api.alarm import AlarmSpec, AlarmStatus
from ombak.api.artifact import ArtifactSpec, ArtifactStatus
from ombak.api.blocker import BlockerSpec, BlockerStatus, ClusterBlockerSpec
from ombak.api.common import GROUP
from ombak.api.override import OverrideSpec, OverrideStatus
from ombak.api.pipeline import PipelineSpec, PipelineStatus
from ombak.api.region import RegionSpec, RegionStatus
from ombak.api.rollout import RolloutSpec, RolloutStatus
from ombak.api.window import WindowSpec, WindowStatus

CATEGORY = "ombak"
"""`kubectl get ombak` lists every kind."""


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`; `wide` ones need `-o wide`. The type `date` is shown as an age."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class CustomKind:
    """One kind of ours; `scalable` gives it `/scale`.

    `name_limit` is the longest name in characters, None where the API server's own limit will do.
    """

    name: str
    plural: str
    short_names: tuple[str, ...]
    description: str
    spec: type[pydantic.BaseModel]
    status: type[pydantic.BaseModel]
    columns: tuple[Column, ...]
    name_limit: int | None = None
    scalable: bool = False
    namespaced: bool = True

    @property
    def crd_name(self) -> str:
        """The name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


AGE = Column("Age", ".metadata.creationTimestamp", "date")

ROLLOUT = CustomKind(
    name="Rollout",
    plural="rollouts",
    short_names=("omr",),
    description="A workload, and how a change to it is delivered: one box, batches, bake, or back by itself.",
    spec=RolloutSpec,
    status=RolloutStatus,
    columns=(
        Column("Phase", ".status.phase"),
        Column("Stable", ".status.artifacts.stable"),
        Column("Current", ".status.artifacts.current"),
        Column("Boxes", ".status.progress.boxes"),
        Column("Bake", ".status.progress.bake"),
        Column("Bake-Ends", ".status.progress.bakeEnds", wide=True),
        Column("Waiting-For", ".status.waitingFor.what", wide=True),
        AGE,
    ),
    name_limit=63,
    scalable=True,
)

ARTIFACT = CustomKind(
    name="Artifact",
    plural="artifacts",
    short_names=("omar",),
    description="One immutable version of a Rollout, and the verdict on it; written by the operator.",
    spec=ArtifactSpec,
    status=ArtifactStatus,
    columns=(
        Column("Rollout", ".spec.rollout"),
        Column("Order", ".status.stable.order", "integer"),
        Column("Stable", ".status.stable.at", "date"),
        Column("Rejected", ".status.rejected.reason"),
        AGE,
    ),
)

ALARM = CustomKind(
    name="Alarm",
    plural="alarms",
    short_names=("oma",),
    description="One named fact about health, from a query or from an expression over other Alarms.",
    spec=AlarmSpec,
    status=AlarmStatus,
    columns=(
        Column("State", ".status.state"),
        Column("Certainty", ".status.certainty"),
        Column("Since", ".status.since", "date"),
        AGE,
    ),
)

REGION = CustomKind(
    name="Region",
    plural="regions",
    short_names=("omreg",),
    description="A cluster to deploy to: where it is, how the hub gets in, and who may use it.",
    spec=RegionSpec,
    status=RegionStatus,
    columns=(
        Column("Cloud", ".spec.cloud"),
        Column("Region", ".spec.region"),
        Column("Tier", ".spec.tier", wide=True),
        Column("Reachable", ".status.conditions[?(@.type=='Reachable')].status"),
        Column("Reason", ".status.conditions[?(@.type=='Reachable')].reason"),
        Column("Last-Contact", ".status.lastContact", "date"),
        Column("Version", ".status.serverVersion", wide=True),
        AGE,
    ),
    name_limit=63,
    namespaced=False,
)

WINDOW = CustomKind(
    name="Window",
    plural="windows",
    short_names=("omw",),
    description="When a deployment may start: openings, holidays, closed times, hours with staff.",
    spec=WindowSpec,
    status=WindowStatus,
    columns=(
        Column("State", ".status.state"),
        Column("Until", ".status.until"),
        Column("Time-Zone", ".status.timeZone"),
        Column("Message", ".status.message", wide=True),
        AGE,
    ),
    namespaced=False,
)

_BLOCKER_COLUMNS = (
    Column("State", ".status.state"),
    Column("Stops", ".spec.stops"),
    Column("Owner", ".spec.owner"),
    Column("Expires", ".spec.expires"),
    Column("Reason", ".spec.reason"),
    AGE,
)

BLOCKER = CustomKind(
    name="Blocker",
    plural="blockers",
    short_names=("omb",),
    description="Stops deliveries in its namespace, with owner, reason and expiry; reverts always pass.",
    spec=BlockerSpec,
    status=BlockerStatus,
    columns=_BLOCKER_COLUMNS,
)

CLUSTER_BLOCKER = CustomKind(
    name="ClusterBlocker",
    plural="clusterblockers",
    short_names=("omcb",),
    description="Stops deliveries in the whole cluster, with owner, reason and expiry; reverts always pass.",
    spec=ClusterBlockerSpec,
    status=BlockerStatus,
    columns=_BLOCKER_COLUMNS,
    namespaced=False,
)

OVERRIDE = CustomKind(
    name="Override",
    plural="overrides",
    short_names=("omo",),
    description="The governed fast lane for one artifact: asked for by one person, approved by another, for a day.",
    spec=OverrideSpec,
    status=OverrideStatus,
    columns=(
        Column("State", ".status.state"),
        Column("For", ".spec.target.name"),
        Column("Artifact", ".spec.artifact"),
        Column("Requested-By", ".spec.requestedBy"),
        Column("Approved-By", ".status.approvedBy[*]"),
        Column("Expires", ".spec.expires"),
        Column("Message", ".status.message", wide=True),
        AGE,
    ),
)

PIPELINE = CustomKind(
    name="Pipeline",
    plural="pipelines",
    short_names=("ompl",),
    description="One service's way to production: a Rollout template and ordered stages of regions.",
    spec=PipelineSpec,
    status=PipelineStatus,
    columns=(
        Column("Stage", ".status.stage"),
        Column("Artifact", ".status.artifact"),
        Column("Reason", ".status.reason"),
        Column("Message", ".status.message", wide=True),
        AGE,
    ),
    name_limit=63,
)

KINDS = (ROLLOUT, ALARM, ARTIFACT, PIPELINE, REGION, WINDOW, BLOCKER, CLUSTER_BLOCKER, OVERRIDE)
