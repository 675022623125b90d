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


_Name = Annotated[str, pydantic.Field(min_length=1, max_length=253)]
_Digest = Annotated[str, pydantic.Field(min_length=1, max_length=80)]


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

    rollout: Annotated[
        Annotated[str, pydantic.Field(min_length=1, max_length=63)] | None,
        pydantic.Field(description="The Rollout that it is a version of."),
    ] = None
    pipeline: Annotated[
        Annotated[str, pydantic.Field(min_length=1, max_length=63)] | None,
        pydantic.Field(description="Or the Pipeline, on a hub."),
    ] = None
    id: Annotated[str, pydantic.Field(min_length=1, max_length=40)]
    """The name of its content, such as `a1c0ffee0123`; the label `ombak.dev/artifact` of its boxes."""
    digest: Annotated[str, pydantic.Field(min_length=1, max_length=80)]
    """`sha256:` and the hash of the template, from which the id is made."""
    sequence: Annotated[int, pydantic.Field(ge=1)]
    """The order in which versions of this Rollout were first seen."""
    template: Annotated[dict[str, Any], pydantic.WithJsonSchema(_STORED_TEMPLATE)]
    """The pod template as the user wrote it."""
    config: Annotated[
        Annotated[dict[_Name, _Digest], pydantic.Field(min_length=1, max_length=16)] | None,
        pydantic.Field(description="The ConfigMaps that travel with it, by name, each with the hash of its content."),
    ] = None
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
    """The highest one is the version to go back to."""
    at: datetime
    """When its last bake here was over."""


class Rejected(StatusModel):
    """It was taken back, and is not tried again until the user changes it or says retry."""

    at: datetime
    """When it was taken back."""
    reason: str
    """Why, in one word, such as `AlarmFired`."""
    message: str = ""
    """Why, in a sentence, with the numbers."""
    stage: Annotated[str, pydantic.Field(description="Of a Pipeline: where it was taken back.")] = ""
    region: str = ""
    """Of a Pipeline: the Region in which it was taken back."""
    scope: str = ""
    """Of a Pipeline: how far that reached."""


class ArtifactStatus(StatusModel):
    """The verdict; it lives here so that erasing a Rollout's status loses nothing."""

    stable: Stable | None = None
    rejected: Rejected | None = None
    retried: str = ""
    """The last `ombak.dev/retry` that was carried out; the same words again change nothing."""
    retried_at: Annotated[int, pydantic.Field(description="The last sequence number when it was retried.")] = 0
