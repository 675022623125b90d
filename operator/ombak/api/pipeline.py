"""`Pipeline`: one service's way to production, over many regions (design 1 and 3, R23-R49, R92-R97).

The stages are defined in `stage`, the status in `pipeline_status`.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

import pydantic

from ombak.api.common import Model, rule, rules
from ombak.api.duration import Duration
from ombak.api.pipeline_status import PipelineStatus
from ombak.api.rollout import Alarms, PodTemplate, Selector, Zone
from ombak.api.shapes import OBJECT, POD_TEMPLATE, misshapen
from ombak.api.signal import Signals
from ombak.api.stage import AlarmName, OnUnreachable, RegionSelector, RevertScope, Stage
from ombak.api.strategy import KnownGood, OneBox, Revert, Rolling

__all__ = [
    "Extends",
    "HandEdits",
    "PartialRollout",
    "PartialStrategy",
    "PipelineSpec",
    "PipelineStatus",
    "RegionValues",
    "RolloutTemplate",
]

_UNSTAGED = "a stage needs phase (PreProd or Prod) and regions; write both, or extend a Pipeline that has them"
_TARGETLESS = "objects have apiVersion, kind and metadata.name; write all three"
_CONFIDENTIAL = "a Secret never travels, an artifact is readable by many; put it into each region by other means"
_OWN_KIND = "a Rollout, Pipeline or Artifact does not travel in objects; write the Rollout in rollout"
_PLACED = "the stage says in which namespace an object lands; leave metadata.namespace out"
_OWN_KINDS = ("Rollout", "Pipeline", "Artifact", "Region")
TRAVELLING = ("ombak.dev/v1alpha1 Alarm", "v1 ConfigMap", "v1 Service", "batch/v1 Job")
"""What may be in `objects`: as much as a region lets the hub write there."""
_ROOTED = f"only these travel: {', '.join(TRAVELLING)}; put anything else into each region by other means"


class HandEdits(StrEnum):
    """What follows when somebody edits in a region what the hub wrote there."""

    REPORT = "Report"
    PUT_BACK = "PutBack"


class Extends(Model):
    """The Pipeline of the same namespace of which everything is taken that is not said here (R94)."""

    name: Annotated[str, pydantic.Field(min_length=1, max_length=253)]
    """The base."""


_STAGED_BAKE = "the bake at the end is that of each stage; move bake to spec.stages[].bake"


class PartialStrategy(Model):
    """How a change travels through the boxes of a region; the bake at the end is the stage's."""

    one_box: OneBox | None = None
    rolling: Rolling | None = None
    revert: Revert | None = None
    known_good: Annotated[KnownGood | None, pydantic.WithJsonSchema({"type": "string", "enum": ["Fast", "Full"]})] = (
        None
    )
    """As in a Rollout."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _without_bake(cls, value: object) -> object:
        if isinstance(value, dict) and "bake" in value:
            raise ValueError(_STAGED_BAKE)
        return value


class PartialRollout(Model):
    """The spec of a Rollout, or the part of it that a base says for all of its children."""

    replicas: Annotated[
        Annotated[int, pydantic.Field(ge=0, le=2_147_483_647)] | None,
        pydantic.Field(description="Boxes to begin with in a region where the stage does not say it."),
    ] = None
    selector: Selector | None = None
    template: Annotated[PodTemplate | None, pydantic.Field(description="The pod template.")] = None
    min_ready_seconds: Annotated[int, pydantic.Field(ge=0, le=3600)] | None = None
    """As in a Rollout."""
    progress_deadline: Duration | None = None
    """As in a Rollout."""
    zones: Annotated[
        Annotated[list[Zone], pydantic.Field(min_length=1, max_length=16)] | None,
        pydantic.Field(json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = None
    """As in a Rollout; a stage may say others."""
    strategy: PartialStrategy | None = None
    signals: Signals | None = None
    alarms: Alarms | None = None
    unwatched: Annotated[str, pydantic.Field(min_length=3, max_length=512)] | None = None
    """As in a Rollout: why nothing watches it."""

    @pydantic.field_validator("template")
    @classmethod
    def _is_of_pods(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        fault = misshapen(value or {}, POD_TEMPLATE)
        if fault:
            raise ValueError(f"{fault}, as in every pod template")
        return value


class RolloutTemplate(Model):
    """What the hub writes into every region."""

    spec: PartialRollout


class RegionValues(Model):
    """Environment variables that differ by region; they stand beside the artifact, which is the same everywhere."""

    regions: RegionSelector
    env: Annotated[
        dict[
            Annotated[str, pydantic.Field(min_length=1, max_length=253)],
            Annotated[str, pydantic.Field(max_length=4096)],
        ],
        pydantic.Field(min_length=1, max_length=64),
    ]
    """By name; they replace those of the template."""

    @pydantic.field_validator("env")
    @classmethod
    def _has_names(cls, value: dict[str, str]) -> dict[str, str]:
        odd = next((name for name in value if "=" in name or not (name.isascii() and name.isprintable())), None)
        if odd is not None:
            raise ValueError(f"{odd!r} is no name of a variable: it has to be printable ASCII without =")
        return value

    @pydantic.field_validator("regions")
    @classmethod
    def _selects(cls, value: RegionSelector) -> RegionSelector:
        if value.is_empty:
            raise ValueError("selects nothing; write matchLabels: {cloud: gcp}, names: [eu-1] or matchExpressions")
        return value


_OBJECT_SCHEMA = {
    "type": "object",
    "x-kubernetes-preserve-unknown-fields": True,
    "required": ["apiVersion", "kind", "metadata"],
    "properties": {
        "apiVersion": {"type": "string", "maxLength": 253},
        "kind": {"type": "string", "maxLength": 63},
        "metadata": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "maxLength": 253},
                "namespace": {"type": "string", "maxLength": 63},
            },
        },
    },
    **rules(
        rule("self.kind != 'Secret'", _CONFIDENTIAL, ".kind"),
        rule(f"!(self.kind in {list(_OWN_KINDS)} && self.apiVersion.startsWith('ombak.dev/'))", _OWN_KIND, ".kind"),
        rule(
            f"self.kind == 'Secret' || self.kind in {list(_OWN_KINDS)} && self.apiVersion.startsWith('ombak.dev/')"
            f" || self.apiVersion + ' ' + self.kind in {list(TRAVELLING)}",
            _ROOTED,
            ".kind",
        ),
        rule("!has(self.metadata.__namespace__)", _PLACED, ".metadata"),
    ),
}

TravellingObject = Annotated[dict[str, Any], pydantic.WithJsonSchema(_OBJECT_SCHEMA)]


class PipelineSpec(Model):
    """The way of one service to production; without `rollout` it is a base for others."""

    # CEL cannot see `regions`, which may be a word or an object; the model below asks for it.
    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            rule(
                # `regions` is a word or an object, which CEL cannot see; the operator's condition says when it lacks.
                "has(self.extends) || !has(self.stages) || self.stages.all(s, has(s.phase))",
                _UNSTAGED,
                ".stages",
            ),
        )
    )

    extends: Extends | None = None
    rollout: RolloutTemplate | None = None
    objects: Annotated[
        list[TravellingObject],
        pydantic.Field(max_length=64, description="Services, Alarms, ConfigMaps: part of the artifact."),
    ] = pydantic.Field(default_factory=list)
    values: Annotated[
        list[RegionValues], pydantic.Field(max_length=32, description="What differs by region; the last one wins.")
    ] = pydantic.Field(default_factory=list)
    stages: Annotated[
        list[Stage],
        pydantic.Field(
            max_length=32,
            description="In the order of delivery.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = pydantic.Field(default_factory=list)
    revert_scope: Annotated[
        RevertScope | None,
        pydantic.WithJsonSchema({"type": "string", "enum": [s.value for s in RevertScope]}),
        pydantic.Field(description="How far a revert in one region reaches; Stage where left out."),
    ] = None
    on_region_unreachable: Annotated[
        OnUnreachable | None,
        pydantic.WithJsonSchema({"type": "string", "enum": [s.value for s in OnUnreachable]}),
        pydantic.Field(description="Hold where left out."),
    ] = None
    windows: Annotated[
        list[Annotated[str, pydantic.Field(min_length=1, max_length=253)]] | None,
        pydantic.Field(max_length=16, description="Windows that must all be open before a stage starts."),
    ] = None
    alarms: Annotated[
        list[AlarmName] | None,
        pydantic.Field(
            max_length=16,
            description="Alarms of the regions, such as the team's, that must be OK and certain before a stage starts: "
            "in each region of that stage and of those before it. A name, or namespace/name.",
        ),
    ] = None
    deletion_policy: Annotated[
        Literal["Orphan"], pydantic.Field(description="Deleting the Pipeline leaves what runs in the regions.")
    ] = "Orphan"
    hand_edits: Annotated[
        HandEdits | None,
        pydantic.WithJsonSchema({"type": "string", "enum": ["Report", "PutBack"]}),
        pydantic.Field(description="What follows when somebody edits in a region what was delivered; Report if left."),
    ] = None
    paused: Annotated[bool, pydantic.Field(description="Nothing starts; reverts do not wait.")] = False

    @pydantic.field_validator("objects")
    @classmethod
    def _may_travel(cls, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for found in value:
            metadata = found.get("metadata")
            if not isinstance(metadata, dict) or not (found.get("apiVersion") and found.get("kind")):
                raise ValueError(_TARGETLESS)
            if not metadata.get("name"):
                raise ValueError(_TARGETLESS)
            if found["kind"] == "Secret":
                raise ValueError(_CONFIDENTIAL)
            if found["kind"] in _OWN_KINDS and str(found["apiVersion"]).startswith("ombak.dev/"):
                raise ValueError(_OWN_KIND)
            if f"{found['apiVersion']} {found['kind']}" not in TRAVELLING:
                raise ValueError(f"{found['apiVersion']} {found['kind']} does not travel; {_ROOTED}")
            if "namespace" in metadata:
                raise ValueError(_PLACED)
            fault = misshapen(found, OBJECT)
            if fault:
                raise ValueError(f"{found['kind']} {metadata['name']}: {fault}")
        return value

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [stage.name for stage in self.stages]
        twice = next((name for name in names if names.count(name) > 1), "")
        if twice:
            raise ValueError(f"stages name {twice} twice; name each once")
        if self.extends is None and any(s.phase is None or s.regions is None for s in self.stages):
            raise ValueError(_UNSTAGED)
        return self
