"""Manifests of the cluster tests: small Rollouts with short bakes, and Alarms that a test can switch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]
API = "ombak.dev/v1alpha1"
NAME = "front-end"
IMAGE = "registry.example/front-end:"
OK, FIRING, NO_DATA = "vector(0)", "vector(1)", "absent(vector(1))"
"""Queries of a switch: what its Alarm says of them against the threshold 0.5."""


def template(version: str, behaviour: Mapping[str, str] | None = None, name: str = NAME) -> Manifest:
    """A pod template of some version, its boxes ready after half a second unless `behaviour` says otherwise."""
    told = {"ready-after": "500ms"} | dict(behaviour or {})
    return {
        "metadata": {
            "labels": {"app": name},
            "annotations": {f"sandbox.ombak.dev/{key}": value for key, value in told.items()},
        },
        "spec": {"containers": [{"name": "app", "image": f"{IMAGE}{version}"}]},
    }


def rollout(
    *, replicas: int | None = 10, behaviour: Mapping[str, str] | None = None, name: str = NAME, **spec: Any
) -> Manifest:
    """A Rollout of version 1.0.0 without alarms and with bakes of a second; `spec` adds and replaces fields.

    No test but those of the deadline may depend on how soon a box comes up: after an outage of the API server its
    controllers and the scheduler back off for up to a minute.
    """
    bake = {"bake": {"for": "1s"}}
    content: Manifest = {
        "selector": {"matchLabels": {"app": name}},
        "template": template("1.0.0", behaviour, name),
        "progressDeadline": "10m",
        "strategy": {"oneBox": bake, "rolling": bake, **bake},
        "unwatched": "what it proves needs no alarm",
    }
    if replicas is not None:
        content["replicas"] = replicas
    if "alarms" in spec:
        del content["unwatched"]
    return {"apiVersion": API, "kind": "Rollout", "metadata": {"name": name}, "spec": content | spec}


def config_map(name: str = "settings", **data: str) -> Manifest:
    """A ConfigMap of the user's."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def configured(*, replicas: int = 3, config: str = "settings", name: str = NAME, **spec: Any) -> Manifest:
    """A Rollout whose boxes read a ConfigMap in every way there is, and which says that it travels with them."""
    made = rollout(replicas=replicas, name=name, config=[config], **spec)
    pod = made["spec"]["template"]["spec"]
    pod["containers"][0] |= {
        "envFrom": [{"configMapRef": {"name": config}}],
        "env": [{"name": "FLAG", "valueFrom": {"configMapKeyRef": {"name": config, "key": "flag"}}}],
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}],
    }
    pod["volumes"] = [
        {"name": "settings", "configMap": {"name": config}},
        {"name": "more", "projected": {"sources": [{"configMap": {"name": config}}, {"configMap": {"name": "live"}}]}},
    ]
    return made


def strategy(one_box: str = "1s", rolling: str = "1s", bake: str = "1s", **parts: Any) -> Manifest:
    """A strategy with the bakes given, and fields of `rolling` or whole parts by keyword."""
    made: Manifest = {
        "oneBox": {"bake": {"for": one_box}},
        "rolling": {"bake": {"for": rolling}} | parts.pop("rolling_fields", {}),
        "bake": {"for": bake},
    }
    return made | parts


def alarms(revert: str = "service", one_box: str | None = None, **more: Any) -> Manifest:
    """The `alarms` of a Rollout, by names of Alarms."""
    made: Manifest = {"revert": f'ALARM("{revert}")'}
    if one_box is not None:
        made["oneBox"] = f'ALARM("{one_box}")'
    return made | more


def alarm(name: str, query: str, threshold: float, **metric: Any) -> Manifest:
    """An Alarm that looks every second and fires on two of three."""
    content = {
        "query": query,
        "comparison": "GreaterThanThreshold",
        "threshold": threshold,
        "period": "1s",
        "evaluationPeriods": 3,
        "datapointsToAlarm": 2,
    }
    return {
        "apiVersion": API,
        "kind": "Alarm",
        "metadata": {"name": name},
        "spec": {"description": f"{name} of a test", "metric": content | metric},
    }


def switch(name: str = "service", query: str = OK) -> Manifest:
    """An Alarm that says what the test wants it to say."""
    return alarm(name, query, 0.5)


def ok_since(moment: float) -> str:
    """PromQL that is OK from a moment (seconds since 1970) on, and has no data of what was before."""
    return f"vector(0) and on() (vector(time()) >= {moment:.0f})"


def error_ratio(scope: str) -> str:
    """PromQL: the share of requests that failed of late; `scope` is a label matcher."""
    series = f'http_requests_total{{namespace="$(namespace)", {scope}'
    return f'(sum(rate({series}, code="500"}}[4s])) or vector(0)) / sum(rate({series}}}[4s]))'


def service_errors(threshold: float = 0.02, name: str = "service") -> Manifest:
    """An Alarm on the errors of all boxes."""
    return alarm(name, error_ratio('rollout="$(name)"'), threshold)


def one_box_errors(threshold: float = 0.02, name: str = "onebox") -> Manifest:
    """An Alarm on the errors of the one box."""
    return alarm(name, error_ratio('pod=~"$(pods)"'), threshold)
