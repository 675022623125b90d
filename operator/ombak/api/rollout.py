"""`Rollout`: a workload, and how a change to it is delivered inside one region (design 1 and 2).

The strategy is defined in `strategy`, what guards a release in `rollout_alarms`, the status in `rollout_status`; all
are found here too.
"""

import re
from datetime import timedelta
from typing import Annotated, Any, Self

import pydantic

from ombak.api.common import Model, rule, rules
from ombak.api.duration import Duration
from ombak.api.rollout_alarms import Alarms, Expression, OnUnknown, ThenOnUnknown
from ombak.api.rollout_status import (
    AlarmView,
    AlarmViews,
    ArtifactIds,
    Phase,
    Progress,
    RolloutStatus,
    SignalView,
    WaitingFor,
)
from ombak.api.signal import Signal, SignalList
from ombak.api.strategy import (
    MAX_BATCH_PERCENT,
    MIN_AVAILABLE_PERCENT,
    PLAIN,
    Bake,
    KnownGood,
    OneBox,
    OneBoxScope,
    Revert,
    Rolling,
    SampleQuota,
    Strategy,
)

__all__ = [
    "MAX_BATCH_PERCENT",
    "MIN_AVAILABLE_PERCENT",
    "AlarmView",
    "AlarmViews",
    "Alarms",
    "ArtifactIds",
    "Bake",
    "Expression",
    "KnownGood",
    "OnUnknown",
    "OneBox",
    "OneBoxScope",
    "Phase",
    "PodTemplate",
    "Progress",
    "Revert",
    "Rolling",
    "RolloutSpec",
    "RolloutStatus",
    "SampleQuota",
    "Selector",
    "Signal",
    "SignalView",
    "Strategy",
    "ThenOnUnknown",
    "WaitingFor",
    "Zone",
]

UNWATCHED = (
    "a bake that watches nothing is no bake: write alarms.revert (an expression such as 'ALARM(\"errors\")'), "
    "signals, or both, or unwatched (the reason why nothing is watched), one of the two"
)
# A hub writes these by server-side apply, whole: what somebody adds in one must not stay beside what it says.
_WHOLE: dict[str, Any] = {"x-kubernetes-map-type": "atomic"}
_EACH_ONCE = "self.all(a, self.exists_one(b, b == a))"
_EACH_NAME_ONCE = "self.all(a, self.exists_one(b, b.name == a.name))"
_ZONE_TWICE = "a zone is named twice; name each once"
_SIGNAL_TWICE = "two signals have the same name; give each its own"
ZONELESS = "strategy.oneBox.scope Zone needs zones; write zones: [zone-a, zone-b], or scope: Region"
UNSELECTED = "template.metadata.labels must contain every label of selector.matchLabels; add them there"
_OWN_POD_LABELS = "but labels of ombak.dev/ are the operator's own, which it sets on every box; remove it"
_HAS_LABELS = "has(self.template.metadata) && has(self.template.metadata.labels)"
_OWN_LABELS = "labels of ombak.dev are the operator's own; select by a label of yours, such as app"


TOO_SOON = "must be at least 1s; write 10m"
NEVER_READY = (
    "progressDeadline must be longer than minReadySeconds, or no box can be available in time; "
    "write a longer progressDeadline, or a smaller minReadySeconds"
)


LabelKey = Annotated[str, pydantic.Field(min_length=1, max_length=317)]
LabelValue = Annotated[str, pydantic.Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]


class Selector(Model):
    """Labels that every box of the workload carries; they must be in the template too."""

    match_labels: Annotated[
        dict[LabelKey, LabelValue],
        pydantic.Field(
            min_length=1,
            max_length=16,
            json_schema_extra=rules(rule("self.all(k, !k.startsWith('ombak.dev/'))", _OWN_LABELS)),
        ),
    ]
    """The labels, as in a Deployment."""

    @pydantic.field_validator("match_labels")
    @classmethod
    def _labels_are_the_users(cls, value: dict[str, str]) -> dict[str, str]:
        if any(key.startswith("ombak.dev/") for key in value):
            raise ValueError(_OWN_LABELS)
        return value


_SUBDOMAIN = "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
NO_CONFIG_MAP = "must be the name of a ConfigMap in the Rollout's namespace; write for example front-end-config"
ConfigMapName = Annotated[
    str,
    pydantic.Field(
        min_length=1, max_length=253, json_schema_extra=rules(rule(f"self.matches('^{_SUBDOMAIN}$')", NO_CONFIG_MAP))
    ),
]

Zone = Annotated[
    str, pydantic.Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
]

_OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_LABELS = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63}, "maxProperties": 64}
_CONTAINERS = {"type": "array", "minItems": 1, "items": _OPEN}
_TEMPLATE_SCHEMA: dict[str, Any] = {
    **_OPEN,
    "x-kubernetes-map-type": "atomic",
    "required": ["spec"],
    "properties": {
        "metadata": {**_OPEN, "properties": {"labels": _LABELS}},
        "spec": {**_OPEN, "required": ["containers"], "properties": {"containers": _CONTAINERS}},
    },
}

PodTemplate = Annotated[dict[str, Any], pydantic.WithJsonSchema(_TEMPLATE_SCHEMA)]


class RolloutSpec(Model):
    """What runs, how many of it, and how a change of `template` is delivered.

    No rule relates `replicas` to another field: it would block the autoscaler's `/scale` (design 1).
    """

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            rule("(has(self.alarms) || has(self.signals)) != has(self.unwatched)", UNWATCHED),
            rule(
                "self.selector == oldSelf.selector",
                "selector cannot change, what runs would be lost; create a Rollout with another name",
                ".selector",
            ),
            rule(
                "!has(self.strategy) || !has(self.strategy.oneBox) || !has(self.strategy.oneBox.scope)"
                " || self.strategy.oneBox.scope != 'Zone' || has(self.zones)",
                ZONELESS,
            ),
            rule(
                "self.selector.matchLabels.all(k, has(self.template.metadata) && "
                "has(self.template.metadata.labels) && k in self.template.metadata.labels && "
                "self.template.metadata.labels[k] == self.selector.matchLabels[k])",
                UNSELECTED,
                ".template",
            ),
            rule(
                "!has(self.minReadySeconds) || (has(self.progressDeadline)"
                f" ? !self.progressDeadline.matches('{PLAIN}')"
                " || duration(self.progressDeadline).getSeconds() > self.minReadySeconds"
                " : self.minReadySeconds < 600)",
                NEVER_READY,
                ".progressDeadline",
            ),
            rule(
                f"!({_HAS_LABELS}) || self.template.metadata.labels.all(k, !k.startsWith('ombak.dev/'))",
                f"template.metadata.labels has a label of ombak.dev/, {_OWN_POD_LABELS}",
                ".template",
                "'template.metadata.labels has ' + "
                "self.template.metadata.labels.filter(k, k.startsWith('ombak.dev/'))[0] + "
                f'", {_OWN_POD_LABELS}"',
            ),
        )
    )

    replicas: Annotated[
        Annotated[int, pydantic.Field(ge=0, le=2_147_483_647)] | None,
        pydantic.Field(description="Boxes wanted, the one box counted in; leave it out where an autoscaler owns it."),
    ] = None
    selector: Selector
    template: Annotated[PodTemplate, pydantic.Field(description="The pod template; a change of it is a new version.")]
    min_ready_seconds: Annotated[
        int,
        pydantic.Field(
            ge=0,
            le=3600,
            description="A box is available after so many seconds of being ready; a change holds for the next version.",
        ),
    ] = 0
    progress_deadline: Annotated[
        Duration,
        pydantic.Field(
            description="A batch that is not available after this time is reverted.",
            json_schema_extra=rules(
                rule(
                    f"self.matches('[1-9]') && (!self.matches('{PLAIN}') || duration(self) >= duration('1s'))",
                    TOO_SOON,
                )
            ),
        ),
    ] = timedelta(minutes=10)
    paused: Annotated[bool, pydantic.Field(description="Releases wait; scaling and reverts do not.")] = False
    config: Annotated[
        Annotated[list[ConfigMapName], pydantic.Field(min_length=1, max_length=16)] | None,
        pydantic.Field(
            description="ConfigMaps of the namespace that travel with the template: a change of one is a new version.",
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ] = None
    rejected: Annotated[
        list[Annotated[str, pydantic.Field(min_length=1, max_length=40)]],
        pydantic.Field(
            max_length=32,
            description="Artifact ids that were taken back elsewhere: they do not start here, and what runs of them "
            "goes back.",
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ] = pydantic.Field(default_factory=list)
    zones: Annotated[
        Annotated[list[Zone], pydantic.Field(min_length=1, max_length=16)] | None,
        pydantic.Field(
            description="The zones over which the boxes are spread; changed one at a time.",
            json_schema_extra={"x-kubernetes-list-type": "atomic"} | rules(rule(_EACH_ONCE, _ZONE_TWICE)),
        ),
    ] = None
    strategy: Annotated[Strategy, pydantic.Field(json_schema_extra=_WHOLE)] = Strategy()
    """How a change travels through the boxes; a change of it holds for the next version, and for the one on its way."""
    signals: Annotated[
        SignalList | None,
        pydantic.Field(
            json_schema_extra={"x-kubernetes-list-type": "atomic"} | rules(rule(_EACH_NAME_ONCE, _SIGNAL_TWICE))
        ),
    ] = None
    alarms: Annotated[Alarms | None, pydantic.Field(json_schema_extra=_WHOLE)] = None
    unwatched: Annotated[
        Annotated[str, pydantic.Field(min_length=3, max_length=512)] | None,
        pydantic.Field(description="Instead of signals and alarms: the reason why nothing is watched."),
    ] = None

    windows: Annotated[
        Annotated[
            tuple[Annotated[str, pydantic.Field(min_length=1, max_length=253)], ...],
            pydantic.Field(min_length=1, max_length=16),
        ]
        | None,
        pydantic.Field(
            description="Names of Windows: a change starts only while all of them are open; a missing one is closed.",
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ] = None

    @property
    def on_unknown(self) -> OnUnknown:
        """What follows when nothing certain is known of health; signals alone have the defaults."""
        return self.alarms.on_unknown if self.alarms is not None else OnUnknown()

    @pydantic.field_validator("progress_deadline")
    @classmethod
    def _deadline_is_positive(cls, value: timedelta) -> timedelta:
        if value < timedelta(seconds=1):
            raise ValueError(TOO_SOON)
        return value

    @pydantic.field_validator("config")
    @classmethod
    def _config_names_differ(cls, value: list[str] | None) -> list[str] | None:
        if any(not re.fullmatch(_SUBDOMAIN, name) for name in value or ()):
            raise ValueError(NO_CONFIG_MAP)
        if value is not None and len(set(value)) != len(value):
            raise ValueError("names a ConfigMap twice; name each once")
        return value

    @pydantic.field_validator("zones")
    @classmethod
    def _zones_differ(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and len(set(value)) != len(value):
            raise ValueError("names a zone twice; name each once")
        return value

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.alarms is None and self.signals is None) == (self.unwatched is None):
            raise ValueError(UNWATCHED)
        if self.min_ready_seconds >= int(self.progress_deadline.total_seconds()):
            raise ValueError(NEVER_READY)
        if self.strategy.one_box.scope is OneBoxScope.ZONE and not self.zones:
            raise ValueError(ZONELESS)
        metadata = self.template.get("metadata")
        labels = metadata.get("labels") if isinstance(metadata, dict) else None
        labels = labels if isinstance(labels, dict) else {}
        if not self.selector.match_labels.items() <= labels.items():
            raise ValueError(UNSELECTED)
        ours = next((key for key in labels if str(key).startswith("ombak.dev/")), "")
        if ours:
            raise ValueError(f"template.metadata.labels has {ours}, {_OWN_POD_LABELS}")
        return self
