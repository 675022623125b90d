"""The stages of a `Pipeline`: which regions, how carefully, and what is tested there (design 3, R23-R47)."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

import pydantic

from ombak.api.common import Model, rule, rules
from ombak.api.duration import Duration
from ombak.api.rollout import LabelKey, LabelValue, Zone
from ombak.api.shapes import JOB_TEMPLATE, misshapen
from ombak.api.strategy import Bake

UNPLACED = "Unplaced"
ALL_ZONES = "*"
_DNS = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
AlarmName = Annotated[str, pydantic.Field(min_length=1, max_length=317, pattern=rf"^({_DNS}/)?{_DNS}([.]{_DNS})*$")]
"""An Alarm of the Rollout's namespace in a region, or `namespace/name`."""
Name = Annotated[str, pydantic.Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
_CHOICE = "write names: [eu-1], or matchLabels and matchExpressions, or Unplaced, exactly one of the three"
_VALUED = "In and NotIn need values, Exists and DoesNotExist have none; write values: [a], or leave them out"


class Operator(StrEnum):
    """How a label is compared, as in every selector of Kubernetes."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Requirement(Model):
    """One condition on a label of a Region."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            rule("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)", _VALUED)
        )
    )

    key: LabelKey
    """The label."""
    operator: Annotated[Operator, pydantic.WithJsonSchema({"type": "string", "enum": [o.value for o in Operator]})]
    """How it is compared."""
    values: Annotated[list[LabelValue], pydantic.Field(max_length=32)] = pydantic.Field(default_factory=list)
    """With what."""

    @pydantic.model_validator(mode="after")
    def _values_fit(self) -> Self:
        if (self.operator in (Operator.IN, Operator.NOT_IN)) != bool(self.values):
            raise ValueError(_VALUED)
        return self


class RegionSelector(Model):
    """Regions by name or by label; `cloud`, `region`, `tier` and `name` are labels of every Region."""

    names: Annotated[list[Name], pydantic.Field(max_length=256)] = pydantic.Field(default_factory=list)
    """Regions by name."""
    match_labels: Annotated[dict[LabelKey, LabelValue], pydantic.Field(max_length=16)] = pydantic.Field(
        default_factory=dict
    )
    """Labels that a Region must have, all of them."""
    match_expressions: Annotated[list[Requirement], pydantic.Field(max_length=16)] = pydantic.Field(
        default_factory=list
    )
    """Conditions that must hold, all of them."""

    @property
    def is_empty(self) -> bool:
        """It says nothing about which regions."""
        return not (self.names or self.match_labels or self.match_expressions)


class ChosenRegions(RegionSelector):
    """The regions of a stage: named, selected, or all that no other stage has."""

    unplaced: bool = False

    @pydantic.model_validator(mode="before")
    @classmethod
    def _word(cls, value: object) -> object:
        if isinstance(value, list) or (isinstance(value, str) and value != UNPLACED):
            raise ValueError(f"{value} is no choice of regions; {_CHOICE}")
        return {"unplaced": True} if value == UNPLACED else value

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = (bool(self.names), bool(self.match_labels or self.match_expressions), self.unplaced)
        if sum(ways) != 1:
            raise ValueError(_CHOICE)
        return self


# A word or an object: no structural schema can say that, so the operator's condition does.
_CHOSEN_SCHEMA = {"x-kubernetes-preserve-unknown-fields": True}


class Phase(StrEnum):
    """Whether a stage comes before production, or is a wave of it."""

    PRE_PROD = "PreProd"
    PROD = "Prod"


class RevertScope(StrEnum):
    """How far a revert in one region reaches: itself, its stage, or every region that has the artifact."""

    REGION = "Region"
    STAGE = "Stage"
    EVERYWHERE = "Everywhere"


class OnUnreachable(StrEnum):
    """What follows when a region cannot be reached: the stage waits, or goes on without it and records that."""

    HOLD = "Hold"
    SKIP = "Skip"


class JobPlace(StrEnum):
    """Where the Job of a test runs."""

    REGION = "Region"
    HUB = "Hub"


class JobMoment(StrEnum):
    """When the Job of a test runs: on the finished region, or while its one box is beside the old version."""

    AFTER_STABLE = "AfterStable"
    DURING_ONE_BOX = "DuringOneBox"


_JOB_SCHEMA: dict[str, Any] = {
    "type": "object",
    "x-kubernetes-preserve-unknown-fields": True,
    "x-kubernetes-map-type": "atomic",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "required": ["template"],
            "properties": {"template": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        }
    },
}

_JOBLESS = (
    "spec.template.spec is missing; write a Job's: spec: {template: {spec: {containers: [{name: test, image: ...}]}}}"
)


class StageTest(Model):
    """A Job that must succeed before the artifact leaves the stage (R24-R31)."""

    name: Annotated[str, pydantic.Field(min_length=1, max_length=40, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    """What it is called."""
    where: Annotated[JobPlace, pydantic.WithJsonSchema({"type": "string", "enum": ["Region", "Hub"]})] = JobPlace.REGION
    """In the region, or on the hub."""
    when: Annotated[JobMoment, pydantic.WithJsonSchema({"type": "string", "enum": ["AfterStable", "DuringOneBox"]})] = (
        JobMoment.AFTER_STABLE
    )
    """On the finished region, or while its one box is beside the old version."""
    template: Annotated[
        dict[str, Any],
        pydantic.WithJsonSchema(_JOB_SCHEMA),
        pydantic.Field(description="A Job template; the artifact, the region and the stage come in its environment."),
    ]
    deadline: Annotated[Duration, pydantic.Field(description="Longer than this is a failure.")] = timedelta(minutes=30)
    retries: Annotated[int, pydantic.Field(ge=0, le=10, description="So often a failed one is run again.")] = 0

    @pydantic.field_validator("template")
    @classmethod
    def _is_of_a_job(cls, value: dict[str, Any]) -> dict[str, Any]:
        fault = misshapen(value, JOB_TEMPLATE)
        if fault:
            raise ValueError(f"{fault}, as in every Job")
        if not ((value.get("spec") or {}).get("template") or {}).get("spec"):
            raise ValueError(_JOBLESS)
        return value


class Stage(Model):
    """One step of the way: what is left out holds as in the base, or by default."""

    name: Annotated[str, pydantic.Field(min_length=1, max_length=40, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    """What tells it from the others; a child changes the stage of this name."""
    after: Annotated[
        Annotated[str, pydantic.Field(min_length=1, max_length=40)] | None,
        pydantic.Field(description="Of a stage that the base has not: the stage that it comes after."),
    ] = None
    phase: Annotated[Phase | None, pydantic.WithJsonSchema({"type": "string", "enum": ["PreProd", "Prod"]})] = None
    """Whether it comes before production, or is a wave of it."""
    regions: Annotated[
        ChosenRegions | None,
        pydantic.WithJsonSchema(_CHOSEN_SCHEMA),
        pydantic.Field(description="names, matchLabels and matchExpressions, or the word Unplaced."),
    ] = None
    namespace: Annotated[
        Annotated[str, pydantic.Field(min_length=1, max_length=63, pattern=rf"^{_DNS}$")] | None,
        pydantic.Field(
            description="Where it runs in these regions; the Pipeline's own where left out. Any other must be in "
            "spec.allow.into of the Regions."
        ),
    ] = None
    replicas: Annotated[
        Annotated[int, pydantic.Field(ge=0, le=2_147_483_647)] | None,
        pydantic.Field(description="Boxes to begin with in a region; afterwards they are the region's own."),
    ] = None
    max_parallel: Annotated[
        Annotated[int, pydantic.Field(ge=1, le=1000)] | None,
        pydantic.Field(description="So many regions are on their way at once; all of them where left out."),
    ] = None
    zones: Annotated[
        Annotated[list[Zone | Literal["*"]], pydantic.Field(min_length=1, max_length=16)] | None,
        pydantic.WithJsonSchema(
            {"type": "array", "minItems": 1, "maxItems": 16, "items": {"type": "string", "maxLength": 63}}
        ),
        pydantic.Field(description="The zones of each region over which boxes are spread; ['*'] takes all it has."),
    ] = None
    bake: Annotated[
        Bake | None,
        pydantic.Field(description="How long a region is watched before it is stable; 12h in the first Prod stage."),
    ] = None
    tests: Annotated[
        list[StageTest] | None,
        pydantic.Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = None
    """Jobs that must succeed before the artifact leaves the stage."""
    windows: Annotated[
        list[Annotated[str, pydantic.Field(min_length=1, max_length=253)]] | None,
        pydantic.Field(max_length=16, description="Windows that must all be open before it starts here."),
    ] = None
    alarms: Annotated[
        list[AlarmName] | None,
        pydantic.Field(
            max_length=16,
            description="Alarms of each of its regions that must be OK and certain before this stage, or a later one, "
            "starts: a name, or namespace/name. As the Pipeline says where left out.",
        ),
    ] = None
    revert_scope: Annotated[
        RevertScope | None, pydantic.WithJsonSchema({"type": "string", "enum": [s.value for s in RevertScope]})
    ] = None
    """How far a revert in one of its regions reaches; as the Pipeline says where left out."""
    on_region_unreachable: Annotated[
        OnUnreachable | None, pydantic.WithJsonSchema({"type": "string", "enum": [s.value for s in OnUnreachable]})
    ] = None
    """What follows when one of its regions does not answer; as the Pipeline says where left out."""
