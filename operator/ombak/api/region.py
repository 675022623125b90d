"""`Region`: one cluster of the central list: where it is, how the hub gets in, who may use it (design 1, R93, R96)."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Self
from urllib.parse import urlsplit

import pydantic

from ombak.api.common import GROUP, Condition, Model, StatusModel, rule, rules
from ombak.api.duration import Duration

REACHABLE = "Reachable"
"""The condition of a Region: True while it answers, False when it or its credentials are refused, else Unknown."""
OPERATED = "Operated"
"""The condition of a Region: True while the operator there gives signs of life, False when it is silent."""
DISTINCT = "Distinct"
"""The condition of a Region: there, and False, while another Region leads to the same cluster."""
ANY_NAMESPACE = "*"
GUARDED = ("kube-", "ombak-")
"""Namespaces that begin so hold what a cluster, or Ombak itself, runs by: only their whole name opens them."""

_LABEL = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_ONE_ACCESS = (
    "a Region is entered in exactly one way: write inCluster: {} (the hub's own cluster) or kubeconfig "
    "(a Secret that holds one)"
)
_ONE_PROMETHEUS = (
    "a Prometheus has one address; write either url, or name (an endpoint of the operator's --prometheus-config)"
)
_URL = "must begin with http:// or https:// and hold no user and no password; credentials belong to --prometheus-config"
_LABEL_NAMES = "not a label name of Prometheus; write keys such as region or cluster, and not __name__"
_TIME_ZONE = "must be a time zone of the IANA list; write for example Europe/Berlin, Asia/Jakarta or UTC"

LabelText = Annotated[str, pydantic.Field(min_length=1, max_length=63, pattern=_LABEL)]
"""What can be the value of a label, so that selectors can ask for it."""
Zone = Annotated[str, pydantic.Field(min_length=1, max_length=63, pattern=_LABEL)]
ObjectName = Annotated[str, pydantic.Field(min_length=1, max_length=253)]


class SecretRef(Model):
    """A key of a Secret in the hub's cluster."""

    namespace: Annotated[str, pydantic.Field(min_length=1, max_length=63, pattern=f"^{_DNS_LABEL}$")]
    """Where the Secret is."""
    name: ObjectName
    """The name of the Secret."""
    key: Annotated[str, pydantic.Field(min_length=1, max_length=253)] = "kubeconfig"
    """Which of its keys holds the kubeconfig."""


class KubeconfigAccess(Model):
    """A kubeconfig in a Secret, with its token or certificates inline; `context` where not its current one."""

    secret_ref: SecretRef
    context: Annotated[str, pydantic.Field(min_length=1, max_length=253)] | None = None
    """The context of the kubeconfig to use, where that is not its current one."""


class InCluster(Model):
    """The hub's own cluster, entered as the hub itself."""


class RegionAccess(Model):
    """How the hub gets in: exactly one of `inCluster` and `kubeconfig`."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(rule("has(self.inCluster) != has(self.kubeconfig)", _ONE_ACCESS))
    )

    in_cluster: InCluster | None = None
    kubeconfig: KubeconfigAccess | None = None

    @pydantic.model_validator(mode="after")
    def _is_one_way(self) -> Self:
        if (self.in_cluster is None) == (self.kubeconfig is None):
            raise ValueError(_ONE_ACCESS)
        return self


class RegionPrometheus(Model):
    """The Prometheus that the region's operator asks: by `url`, or by the `name` that its configuration gives it.

    With `matchers` every selector of every query gets these labels too: that keeps regions apart where one Thanos
    or Mimir serves them all.
    """

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(rule("has(self.url) != has(self.name)", _ONE_PROMETHEUS))
    )

    url: (
        Annotated[
            str,
            pydantic.Field(
                max_length=2048,
                json_schema_extra=rules(rule("self.matches('^https?://[^@/]+(/[^@]*)?$')", _URL)),
            ),
        ]
        | None
    ) = None
    """The base URL of its HTTP API."""
    name: Annotated[str, pydantic.Field(min_length=1, max_length=63)] | None = None
    """An endpoint of the operator's --prometheus-config."""
    matchers: Annotated[
        dict[
            Annotated[str, pydantic.Field(min_length=1, max_length=128)],
            Annotated[str, pydantic.Field(min_length=1, max_length=253)],
        ],
        pydantic.Field(
            max_length=16,
            json_schema_extra=rules(
                rule("self.all(k, k.matches('^[a-zA-Z_][a-zA-Z0-9_]*$') && k != '__name__')", _LABEL_NAMES)
            ),
        ),
    ] = pydantic.Field(default_factory=dict)
    """Labels that every selector of every query gets as well."""

    @pydantic.model_validator(mode="after")
    def _is_one_place(self) -> Self:
        if (self.url is None) == (self.name is None):
            raise ValueError(_ONE_PROMETHEUS)
        if self.url is not None and (urlsplit(self.url).scheme not in ("http", "https") or "@" in self.url):
            raise ValueError(f"url {_URL}")
        if not all(is_label_name(name) for name in self.matchers):
            raise ValueError(f"matchers: {_LABEL_NAMES}")
        return self


def is_label_name(text: str) -> bool:
    """Whether the text can stand as a label in front of a matcher of PromQL."""
    return text.isascii() and text.isidentifier() and text != "__name__"


class Floors(Model):
    """The shortest bakes of this region, whatever a manifest says (R76); effective is the longer one."""

    one_box: Duration | None = None
    """After the one box."""
    batch: Duration | None = None
    """After each batch."""
    bake: Duration | None = None
    """After the last batch."""


_Namespaces = Annotated[
    list[Annotated[str, pydantic.Field(min_length=1, max_length=63, pattern=rf"^(\*|{_DNS_LABEL})$")]],
    pydantic.Field(max_length=1024, json_schema_extra={"x-kubernetes-list-type": "set"}),
]


_Places = Annotated[
    list[
        Annotated[
            str,
            pydantic.Field(min_length=1, max_length=127, pattern=rf"^({_DNS_LABEL}/)?(\*|{_DNS_LABEL}(-\*)?)$"),
        ]
    ],
    pydantic.Field(max_length=1024, json_schema_extra={"x-kubernetes-list-type": "set"}),
]


class Allow(Model):
    """Which namespaces may deploy here (R99); `*` is any. An empty list is none: nothing new comes in."""

    namespaces: _Namespaces
    """Their names on the hub."""
    into: _Places = pydantic.Field(default_factory=list)
    """Namespaces here into which they may write besides their own.

    `payments`, `payments-*` or `*` for all of them, `shop/shop-*` for that one of the hub alone; kube-... and
    ombak-... only by their whole name.
    """


def lets_into(entries: Iterable[str], namespace: str, into: str) -> bool:
    """Whether a Region with these `allow.into` lets Pipelines of a namespace of the hub write into this one of its."""
    own = [place for who, _, place in (entry.rpartition("/") for entry in entries) if who in ("", namespace)]
    if into.startswith(GUARDED):
        return into in own
    return into in (namespace, *own) or any(into.startswith(p.removesuffix("*")) for p in own if p.endswith("*"))


class RegionSpec(Model):
    """One cluster. `cloud`, `region`, `tier` and the name can be asked for by selectors, as can all labels.

    Without `allow` every namespace of the hub may deploy here, each into its own.
    """

    cloud: LabelText | None = None
    """Such as aws or gcp; selectors know it as `ombak.dev/cloud`."""
    region: LabelText | None = None
    """The cloud's name of the region; selectors know it as `ombak.dev/region`."""
    tier: LabelText | None = None
    """Any word that groups regions; selectors know it as `ombak.dev/tier`."""
    time_zone: (
        Annotated[
            str,
            pydantic.Field(
                min_length=1,
                max_length=64,
                pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$",
                # The server's own list decides: an unknown zone is an error of the evaluation.
                json_schema_extra=rules(
                    rule("timestamp('2000-01-01T00:00:00Z').getFullYear(self) >= 1999", _TIME_ZONE)
                ),
            ),
        ]
        | None
    ) = None
    """For Windows in the time of the Region; an IANA name."""
    zones: Annotated[list[Zone], pydantic.Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"})] = (
        pydantic.Field(default_factory=list)
    )
    """Its availability zones, in the order in which they are changed."""
    access: RegionAccess
    prometheus: RegionPrometheus | None = None
    floors: Floors = Floors()
    allow: Allow | None = None

    def allows(self, namespace: str) -> bool:
        """Whether Pipelines of this namespace of the hub may deploy here."""
        return self.allow is None or bool({ANY_NAMESPACE, namespace} & set(self.allow.namespaces))

    def selection_labels(self, name: str, labels: Mapping[str, str]) -> dict[str, str]:
        """The labels that selectors see: the object's own, and what the spec says under `ombak.dev/`, which wins."""
        told = {"cloud": self.cloud, "region": self.region, "tier": self.tier, "name": name}
        return {**labels, **{f"{GROUP}/{key}": value for key, value in told.items() if value is not None}}


class RegionStatus(StatusModel):
    """What the hub knows. `lastContact` is written when `Reachable` changes, and every five minutes.

    Where `lastContact` is more than ten minutes old, no hub is looking: take `Reachable` for Unknown.
    """

    observed_generation: int = 0
    """The rest speaks of this generation of the spec."""
    last_contact: datetime | None = None
    """When it answered last."""
    server_version: str = ""
    """What its API server calls itself."""
    cluster: str = ""
    """The uid of its namespace kube-system, which tells clusters apart; empty where the hub may not read it."""
    conditions: tuple[Condition, ...] = ()
    """`Reachable`, and `Operated`: whether the operator there gives signs of life.

    `Distinct` is there, and False, while another Region leads to the same cluster.
    """
