"""`Artifact`: one immutable version of a Rollout or a Pipeline, and the verdict on it (design 2, R61, R97)."""

from datetime import datetime
from typing import Annotated, Any

import pydantic

from ombak.api.common import Model, StatusModel, rule, rules

_STORED_TEMPLATE = {
    "type": "object",
    "x-kubernetes-preserve-unknown-fields": True,
    "x-kubernetes-map-type": "atomic",
}
"""Without the properties that `PodTemplate` declares: beside declared ones, the API server's equality in CEL
takes an unknown field that was renamed for an unchanged one."""


class ArtifactSpec(Model):
    """Content that never changes: the id in the name is a hash of it, checked at every read."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            rule(
                "self == oldSelf",
                "an Artifact never changes; change the Rollout, and a new Artifact is made",
            ),
            rule("has(self.rollout) != has(self.pipeline)", "whose it is; write rollout or pipeline, one of the two"),
        )
    )

    rollout: Annotated[str, pydantic.Field(min_length=1, max_length=63)] | None = None
    pipeline: Annotated[str, pydantic.Field(min_length=1, max_length=63)] | None = None
    id: Annotated[str, pydantic.Field(min_length=1, max_length=40)]
    digest: Annotated[str, pydantic.Field(min_length=1, max_length=80)]
    sequence: Annotated[int, pydantic.Field(ge=1)]
    template: Annotated[dict[str, Any], pydantic.WithJsonSchema(_STORED_TEMPLATE)]
    objects: Annotated[
        list[Annotated[dict[str, Any], pydantic.WithJsonSchema(_STORED_TEMPLATE)]] | None,
        pydantic.Field(max_length=64, description="What travels with it."),
    ] = None
    values: Annotated[
        list[Annotated[dict[str, Any], pydantic.WithJsonSchema(_STORED_TEMPLATE)]] | None,
        pydantic.Field(max_length=32, description="What differs by region, recorded beside it."),
    ] = None


class Stable(StatusModel):
    """It finished its bake here. `order` grows with every such moment; a revert goes to the highest one."""

    order: int
    at: datetime


class Rejected(StatusModel):
    """It was taken back, and is not tried again until the user changes it or says retry."""

    at: datetime
    reason: str
    message: str = ""
    stage: Annotated[str, pydantic.Field(description="Of a Pipeline: where it was taken back.")] = ""
    region: str = ""
    scope: str = ""


class ArtifactStatus(StatusModel):
    """The verdict; it lives here so that erasing a Rollout's status loses nothing."""

    stable: Stable | None = None
    rejected: Rejected | None = None
    retried: str = ""
    retried_at: Annotated[int, pydantic.Field(description="The last sequence number when it was retried.")] = 0
