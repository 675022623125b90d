"""`Override`: the governed fast lane for one artifact, asked for by one person and approved by another (R80-R84, R88).

Who asks and who approves cannot be told here: `override_policy` holds both against who is asking the API server.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Self

import pydantic

from ombak.api.common import Condition, Model, StatusModel, rule, rules
from ombak.api.duration import Duration

LONGEST = timedelta(hours=24)
"""No Override lasts longer, counted from its creation."""
VALID = "Valid"
"""The condition of an Override: whether it came about under the policy that guards Overrides."""
ACTIVE = "Active"
"""The condition of an Override: whether it allows anything now."""

_NOTHING = "an Override must allow something; write bake, passes or supersede: true"
_NO_FLOOR = "says no floor; write at least one of oneBox, batch and bake, such as {oneBox: 10m}"
_NO_BAKE = "must be longer than 0s, for every step is still watched; write 10m"
_FROZEN = (
    "an Override cannot be changed once it is there, only approvals can be added; delete it, and create another one"
)
_OWN = "whoever asks for an Override cannot approve it; somebody else must add an approval"
_KEPT = "an approval that was given stays; to take everything back delete the Override"
_PARTS = ("target", "artifact", "requestedBy", "reason", "urgency", "expires")
_OPTIONAL = ("bake", "passes", "supersede")


def _is_frozen() -> str:
    same = [f"self.{part} == oldSelf.{part}" for part in _PARTS]
    same += [
        f"has(self.{part}) == has(oldSelf.{part}) && (!has(self.{part}) || self.{part} == oldSelf.{part})"
        for part in _OPTIONAL
    ]
    return " && ".join(same)


UserName = Annotated[str, pydantic.Field(min_length=1, max_length=512)]
"""As the API server knows somebody (`kubectl auth whoami`); of a service account `system:serviceaccount:ns:name`."""
ObjectName = Annotated[str, pydantic.Field(min_length=1, max_length=253)]


class TargetKind(StrEnum):
    """What an Override may be for."""

    ROLLOUT = "Rollout"
    PIPELINE = "Pipeline"


class Target(Model):
    """The Rollout or the Pipeline of the Override's namespace that it is for."""

    kind: TargetKind
    """A Rollout of this cluster, or on a hub a Pipeline."""
    name: ObjectName
    """Its name; it is in the same namespace."""


_LONGER = rules(rule("self.matches('[1-9]')", _NO_BAKE))


class ShorterBakes(Model):
    """How short bakes may be, whatever the manifest and the Region say; one that is shorter already stays."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(rule("has(self.oneBox) || has(self.batch) || has(self.bake)", _NO_FLOOR))
    )

    one_box: Annotated[Duration | None, pydantic.Field(description="After the one box.", json_schema_extra=_LONGER)] = (
        None
    )
    batch: Annotated[Duration | None, pydantic.Field(description="After each batch.", json_schema_extra=_LONGER)] = None
    bake: Annotated[Duration | None, pydantic.Field(description="After the last batch.", json_schema_extra=_LONGER)] = (
        None
    )

    @pydantic.model_validator(mode="after")
    def _says_something(self) -> Self:
        found = [each for each in (self.one_box, self.batch, self.bake) if each is not None]
        if not found:
            raise ValueError(_NO_FLOOR)
        if min(found) <= timedelta(0):
            raise ValueError(_NO_BAKE)
        return self


class PassKind(StrEnum):
    """What can be passed by name."""

    BLOCKER = "Blocker"
    CLUSTER_BLOCKER = "ClusterBlocker"
    WINDOW = "Window"
    ALARM = "Alarm"
    """An Alarm that is on already; `namespace/name` if it is a team's that guards."""
    SIGNAL = "Signal"
    """The alarm of a signal of the Rollout that is on already."""


class Pass(Model):
    """One gate that does not hold the artifact; a Blocker is one of the Override's namespace.

    An alarm that is passed must end all the same before the artifact is called stable, and what is new in it reverts.
    """

    kind: PassKind
    """What stands in the way."""
    name: ObjectName
    """Its name; there is none for all of them."""


class Approval(Model):
    """Somebody else's consent; only that person can write it, who needs the verb `approve` on `overrides`."""

    by: UserName
    """Who approves: the one who writes this, never the author."""
    uid: Annotated[
        str,
        pydantic.Field(
            min_length=1,
            max_length=128,
            description="The metadata.uid of what was reviewed: no other Override can be put in its place meanwhile.",
        ),
    ]
    note: Annotated[str, pydantic.Field(max_length=1024, description="What was reviewed, for the record.")] = ""


class OverrideSpec(Model):
    """What one artifact may do faster, for whom, why, and until when. Nothing but `approvals` can be changed."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            rule("has(self.bake) || has(self.passes) || (has(self.supersede) && self.supersede)", _NOTHING),
            rule(_is_frozen(), _FROZEN),
            rule("!has(self.approvals) || self.approvals.all(a, a.by != self.requestedBy)", _OWN, ".approvals"),
            rule(
                "!has(oldSelf.approvals) || (has(self.approvals)"
                " && oldSelf.approvals.all(o, self.approvals.exists(n, n == o)))",
                _KEPT,
                ".approvals",
            ),
        )
    )

    target: Target
    artifact: Annotated[
        str,
        pydantic.Field(
            min_length=1,
            max_length=64,
            pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
            description="The id of the one artifact that it is for, as `status.artifacts` shows it.",
        ),
    ]
    requested_by: Annotated[UserName, pydantic.Field(description="Who asks: the one who creates this.")]
    reason: Annotated[str, pydantic.Field(min_length=3, max_length=1024, description="What the change mends.")]
    urgency: Annotated[
        str, pydantic.Field(min_length=3, max_length=1024, description="Why it cannot wait its ordinary time.")
    ]
    expires: Annotated[
        datetime, pydantic.Field(description="It allows nothing from then on; at most 24h after its creation.")
    ]
    bake: ShorterBakes | None = None
    passes: Annotated[
        Annotated[tuple[Pass, ...], pydantic.Field(min_length=1, max_length=16)] | None,
        pydantic.Field(
            description="Gates that do not hold this artifact, by name.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["kind", "name"]},
        ),
    ] = None
    supersede: Annotated[
        bool, pydantic.Field(description="It takes the place of what is on its way, instead of waiting behind it.")
    ] = False
    approvals: Annotated[
        tuple[Approval, ...],
        pydantic.Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["by"]},
            description="Who approved it; one is needed. They are added later, by others.",
        ),
    ] = ()

    @pydantic.field_validator("expires")
    @classmethod
    def _has_a_zone(cls, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise ValueError("must name its time zone; write for example 2026-12-01T08:00:00Z")
        return value

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.bake is None and self.passes is None and not self.supersede:
            raise ValueError(_NOTHING)
        if any(approval.by == self.requested_by for approval in self.approvals):
            raise ValueError(_OWN)
        return self


class OverrideState(StrEnum):
    """Where an Override stands."""

    PENDING = "Pending"
    """It waits for an approval."""
    ACTIVE = "Active"
    EXPIRED = "Expired"
    OVERTAKEN = "Overtaken"
    """A newer one for the same target is active, and of several only that one counts."""
    VOID = "Void"
    """It did not come about as it must, and allows nothing."""


class OverrideStatus(StatusModel):
    """What it does now; no decision reads this."""

    observed_generation: int = 0
    """The rest speaks of this generation of the spec."""
    state: OverrideState | None = None
    message: str = ""
    """What it allows, or why it does not, in a sentence."""
    approved_by: tuple[str, ...] = ()
    """Whose approvals count."""
    conditions: tuple[Condition, ...] = ()
    """`Valid`: it came about under the policy that guards Overrides; `Active`: it allows something now."""
