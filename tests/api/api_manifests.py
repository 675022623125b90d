"""Manifests that are right, and a way to spoil one field of them."""

import copy
from collections.abc import Sequence
from typing import Any

Manifest = dict[str, Any]
ABSENT = object()
"""Stands for a field that is left out."""


def rollout() -> Manifest:
    """A Rollout that says everything once, so that each of its fields can be spoiled."""
    return {
        "apiVersion": "ombak.dev/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "front-end"},
        "spec": {
            "replicas": 10,
            "selector": {"matchLabels": {"app": "front-end"}},
            "template": {
                "metadata": {"labels": {"app": "front-end"}},
                "spec": {"containers": [{"name": "app", "image": "registry.example/front-end:1.0.0"}]},
            },
            "minReadySeconds": 5,
            "progressDeadline": "10m",
            "zones": ["zone-a", "zone-b"],
            "strategy": {
                "oneBox": {"scope": "Zone", "bake": {"for": "1h"}},
                "rolling": {"batch": "33%", "minAvailable": "66%", "maxSurge": 0, "bake": {"for": "5m"}},
                "bake": {
                    "for": "12h",
                    "atLeast": [{"name": "calls", "query": "sum(calls)", "count": 100}],
                    "atMost": "2d",
                },
                "revert": {"batch": 3},
                "knownGood": "Fast",
            },
            "alarms": {
                "revert": 'ALARM("errors")',
                "oneBox": 'ALARM("onebox-errors")',
                "onUnknown": {"holdFor": "30m", "then": "Hold"},
            },
        },
    }


def alarm() -> Manifest:
    """An Alarm on a metric."""
    return {
        "apiVersion": "ombak.dev/v1alpha1",
        "kind": "Alarm",
        "metadata": {"name": "errors"},
        "spec": {
            "metric": {
                "query": "errors",
                "comparison": "GreaterThanThreshold",
                "threshold": 0.01,
                "period": "30s",
                "evaluationPeriods": 3,
                "datapointsToAlarm": 2,
            }
        },
    }


def artifact() -> Manifest:
    """An Artifact of that Rollout."""
    template = rollout()["spec"]["template"]
    template["spec"]["hostNetwork"] = True
    return {
        "apiVersion": "ombak.dev/v1alpha1",
        "kind": "Artifact",
        "metadata": {"name": "front-end-a1b2c3"},
        "spec": {
            "rollout": "front-end",
            "id": "a1b2c3",
            "digest": "v1:00112233445566778899aabbccddeeff",
            "sequence": 1,
            "template": template,
            "config": {"settings": "c1:sha256:0011"},
        },
    }


def with_field(manifest: Manifest, path: str, value: object) -> Manifest:
    """Return a copy in which the dotted path holds `value`; ABSENT takes the field out."""
    found = copy.deepcopy(manifest)
    *above, last = path.split(".")
    place = _at(found, above)
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    return found


def _at(place: Any, path: Sequence[str]) -> Any:
    for step in path:
        place = place[int(step)] if isinstance(place, list) else place[step]
    return place
