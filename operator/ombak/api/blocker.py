"""`Blocker` and `ClusterBlocker`: somebody stops deliveries, with a reason and an end (design 1; R85-R88, R98)."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

import pydantic

from ombak.api.common import Model, StatusModel, rule, rules

_BACKWARDS = "expires must be later than begins; write when it ends"

LabelKey = Annotated[str, pydantic.Field(min_length=1, max_length=317)]
LabelValue = Annotated[str, pydantic.Field(max_length=63)]


class Stops(StrEnum):
    """What is stopped: new deliveries, or also the next step of those under way. Never a revert, never scaling."""

    STARTS = "Starts"
    STEPS = "Steps"


class BlockerSelector(Model):
    """Rollouts and Pipelines with all of these labels; the label `ombak.dev/name` stands for their name.

    Of a Pipeline, region by region, also the stage as `ombak.dev/stage`, and the labels that the Region has.
    """

    match_labels: Annotated[dict[LabelKey, LabelValue], pydantic.Field(max_length=16)] = pydantic.Field(
        default_factory=dict
    )
    """Each of these labels with this value; left out, any labels."""


class BlockerSpec(Model):
    """Stops what it selects until it is deleted or expires. Reverts and scaling always pass."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            rule("!has(self.begins) || !has(self.expires) || self.begins < self.expires", _BACKWARDS, ".expires"),
        )
    )

    selector: Annotated[
        BlockerSelector, pydantic.Field(description="What it stops; left out, everything in its reach.")
    ] = BlockerSelector()
    stops: Annotated[Stops, pydantic.Field(description="Starts, or Steps: also those of releases under way.")] = (
        Stops.STARTS
    )
    reason: Annotated[str, pydantic.Field(min_length=3, max_length=512, description="Why, for whoever has to wait.")]
    owner: Annotated[
        str, pydantic.Field(min_length=1, max_length=253, description="Who can lift it: a team, a person, an address.")
    ]
    begins: Annotated[datetime | None, pydantic.Field(description="It stops nothing before.")] = None
    expires: Annotated[
        datetime | None, pydantic.Field(description="It stops nothing from then on; left out, until it is deleted.")
    ] = None

    @pydantic.field_validator("begins", "expires")
    @classmethod
    def _has_a_zone(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("must name its time zone; write for example 2026-12-01T08:00:00Z")
        return value

    @pydantic.model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if self.begins is not None and self.expires is not None and self.begins >= self.expires:
            raise ValueError(_BACKWARDS)
        return self


class ClusterBlockerSpec(BlockerSpec):
    """As a Blocker, in every namespace, or in those that are named."""

    namespaces: Annotated[
        tuple[Annotated[str, pydantic.Field(min_length=1, max_length=63)], ...] | None,
        pydantic.Field(
            description="Only in these namespaces; left out, in all.",
            json_schema_extra={"minItems": 1, "maxItems": 256, "x-kubernetes-list-type": "set"},
        ),
    ] = None


class BlockerState(StrEnum):
    """Whether it stops anything now."""

    PENDING = "Pending"
    ACTIVE = "Active"
    EXPIRED = "Expired"


class BlockerStatus(StatusModel):
    """What it does now; no decision reads this."""

    observed_generation: int = 0
    """The rest speaks of this generation of the spec."""
    state: BlockerState | None = None
    message: str = ""
    """What it does, in a sentence."""
