"""How a change travels through the boxes of one region: one box, batches, bake, revert (R48-R57, R73-R79)."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

import pydantic

from ombak.api.common import IntOrPercent, Model, Share, rule, rules
from ombak.api.duration import Duration

MAX_BATCH_PERCENT = 33
"""At most this share of the boxes is replaced at once (R52)."""
MIN_AVAILABLE_PERCENT = 66
"""At least this share of the capacity serves at every moment (R53)."""

Batch = Annotated[int | str, Share(1, MAX_BATCH_PERCENT, 1, "write 33% or less, smaller batches are safer")]
MinAvailable = Annotated[
    int | str, Share(MIN_AVAILABLE_PERCENT, 100, 0, "write 66% or more, so many boxes must always serve")
]

PLAIN = "^([0-9]{1,5}([.][0-9]{1,6})?(ms|s|m|h))+$"
"""Durations that CEL can compare itself: it knows no days, and no more than some 290 years."""
_NEEDS_AT_MOST = "atLeast needs atMost, the time after which missing samples count as unknown; write atMost: 6h"
_AT_MOST_TOO_SHORT = "must be at least as long as for; write a longer atMost, or leave it out"


_SAME_NAME = "two quotas of atLeast have the same name; give each its own"
_NAMED_TWICE = (
    "bakes of oneBox, rolling and strategy count a quota of one name by different queries; "
    "give atLeast.name another value, or write the same query"
)


class SampleQuota(Model):
    """A bake also needs this many samples (R78): `query` counts them over `$(window)`, since it began."""

    name: Annotated[str, pydantic.Field(min_length=1, max_length=63)]
    """What is counted, for people; one name always stands for one query."""
    query: Annotated[str, pydantic.Field(min_length=1, max_length=4096, description="PromQL that gives one number.")]
    count: Annotated[int, pydantic.Field(ge=1)]
    """So many must have been seen by `atMost`."""


class Bake(Model):
    """How long a step is watched before the next one (R73-R79)."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            rule("!has(self.atLeast) || size(self.atLeast) == 0 || has(self.atMost)", _NEEDS_AT_MOST),
            rule(
                f"!has(self.atMost) || !self.atMost.matches('{PLAIN}') || !self.__for__.matches('{PLAIN}')"
                " || duration(self.atMost) >= duration(self.__for__)",
                _AT_MOST_TOO_SHORT,
                ".atMost",
            ),
        )
    )

    for_: Annotated[
        Duration,
        pydantic.Field(alias="for", description="Time that must be proven good; time without evidence does not count."),
    ]
    at_least: Annotated[
        list[SampleQuota],
        pydantic.Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
            description="Samples that must have been seen as well, so that an idle hour proves nothing.",
        ),
    ] = pydantic.Field(default_factory=list)
    at_most: Annotated[
        Duration | None,
        pydantic.Field(description="After this time samples that are still missing count as unknown."),
    ] = None

    @pydantic.model_validator(mode="after")
    def _at_most_fits(self) -> Self:
        if self.at_most is not None and self.at_most < self.for_:
            raise ValueError(f"atMost {_AT_MOST_TOO_SHORT}")
        if self.at_least and self.at_most is None:
            raise ValueError(_NEEDS_AT_MOST)
        return self

    @pydantic.field_validator("at_least")
    @classmethod
    def _names_differ(cls, value: list[SampleQuota]) -> list[SampleQuota]:
        if len({quota.name for quota in value}) != len(value):
            raise ValueError(_SAME_NAME)
        return value


class OneBoxScope(StrEnum):
    """One box in the whole region, or one in each zone."""

    REGION = "Region"
    ZONE = "Zone"


class OneBox(Model):
    """The first box to get a change, and its bake (R48-R50, R76: an hour)."""

    scope: OneBoxScope = OneBoxScope.REGION
    bake: Bake = Bake.model_validate({"for": timedelta(hours=1)})
    """How long the one box is watched before the first batch."""
    needs_permit: Annotated[
        bool,
        pydantic.Field(
            description="The first batch also waits until the annotation ombak.dev/permit names the artifact; a hub "
            "writes it when the tests of coexistence have passed. Alarms and reverts wait for nothing."
        ),
    ] = False


class Rolling(Model):
    """The batches after the one box (R51-R56)."""

    batch: Annotated[Batch, pydantic.Field(description="Boxes replaced at once, never more than 33% of them.")] = "33%"
    min_available: Annotated[
        MinAvailable, pydantic.Field(description="Boxes that always serve, never less than 66% of them.")
    ] = "66%"
    max_surge: Annotated[
        IntOrPercent,
        pydantic.Field(
            description="Boxes that may run beyond replicas during a release, where minAvailable forbids a batch to be "
            "away."
        ),
    ] = 0
    bake: Annotated[Bake, pydantic.Field(description="How long each batch is watched before the next.")] = (
        Bake.model_validate({"for": timedelta(minutes=5)})
    )
    zones: Literal["OneAtATime"] = "OneAtATime"
    """Boxes of two zones are never exchanged at the same time."""


class Revert(Model):
    """How fast a revert goes, whatever the forward batch (R57)."""

    batch: Batch = "33%"
    """Boxes replaced at once on the way back, never more than 33% of them."""


class KnownGood(StrEnum):
    """How a version that was stable here before is delivered: batches without bake, or the whole way."""

    FAST = "Fast"
    FULL = "Full"


_QUOTAS = {
    "oneBox": ("has(self.oneBox)", "has(self.oneBox.bake)", "has(self.oneBox.bake.atLeast)"),
    "rolling": ("has(self.rolling)", "has(self.rolling.bake)", "has(self.rolling.bake.atLeast)"),
    "": ("has(self.bake)", "has(self.bake.atLeast)"),
}


def _one_query_a_name(left: str, right: str) -> dict[str, str]:
    """Return the rule that quotas of one name in two bakes have one query: samples are counted by name."""
    absent = " || ".join(f"!{part}" for part in (*_QUOTAS[left], *_QUOTAS[right]))
    one, other = (f"self{'.' if part else ''}{part}.bake.atLeast" for part in (left, right))
    return rule(f"{absent} || {one}.all(a, {other}.all(b, a.name != b.name || a.query == b.query))", _NAMED_TWICE)


class Strategy(Model):
    """How a change travels through the boxes of one region."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            _one_query_a_name("oneBox", "rolling"), _one_query_a_name("oneBox", ""), _one_query_a_name("rolling", "")
        )
    )

    one_box: OneBox = OneBox()
    rolling: Rolling = Rolling()
    bake: Annotated[Bake, pydantic.Field(description="How long all boxes are watched before it is stable.")] = (
        Bake.model_validate({"for": timedelta(hours=12)})
    )
    revert: Revert = Revert()
    known_good: KnownGood = KnownGood.FAST

    @pydantic.model_validator(mode="after")
    def _one_query_for_each_name(self) -> Self:
        queries: dict[str, str] = {}
        for bake in (self.one_box.bake, self.rolling.bake, self.bake):
            for quota in bake.at_least:
                if queries.setdefault(quota.name, quota.query) != quota.query:
                    raise ValueError(_NAMED_TWICE)
        return self
