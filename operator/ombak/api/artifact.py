"""`Artifact`: one immutable version of a Rollout, and the verdict on it (design 2, R61, R97)."""

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


_Name = Annotated[str, pydantic.Field(min_length=1, max_length=253)]
_Digest = Annotated[str, pydantic.Field(min_length=1, max_length=80)]


class ArtifactSpec(Model):
    """Content that never changes: the id in the name is a hash of it, checked at every read."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            rule(
                "self == oldSelf",
                "an Artifact never changes; change the Rollout, and a new Artifact is made",
            )
        )
    )

    rollout: Annotated[str, pydantic.Field(min_length=1, max_length=63)]
    id: Annotated[str, pydantic.Field(min_length=1, max_length=40)]
    digest: Annotated[str, pydantic.Field(min_length=1, max_length=80)]
    sequence: Annotated[int, pydantic.Field(ge=1)]
    template: Annotated[dict[str, Any], pydantic.WithJsonSchema(_STORED_TEMPLATE)]
    config: Annotated[
        Annotated[dict[_Name, _Digest], pydantic.Field(min_length=1, max_length=16)] | None,
        pydantic.Field(description="The ConfigMaps that travel with it, by name, each with the hash of its content."),
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


class ArtifactStatus(StatusModel):
    """The verdict; it lives here so that erasing a Rollout's status loses nothing."""

    stable: Stable | None = None
    rejected: Rejected | None = None
    retried: str = ""
