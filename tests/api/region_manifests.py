"""Regions that are right, and ways in which they are wrong."""

from typing import Any

import pytest
from api_manifests import ABSENT, Manifest


def region() -> Manifest:
    """A Region that says everything once."""
    spec: dict[str, Any] = {
        "cloud": "aws",
        "region": "eu-west-1",
        "tier": "small",
        "timeZone": "Europe/Berlin",
        "zones": ["eu-west-1a", "eu-west-1b"],
        "access": {
            "kubeconfig": {"secretRef": {"namespace": "regions", "name": "eu-1", "key": "config"}, "context": "c"}
        },
        "prometheus": {"url": "https://thanos.example/eu", "matchers": {"region": "eu-west-1"}},
        "floors": {"oneBox": "1h", "batch": "5m", "bake": "12h"},
        "allow": {"namespaces": ["shop", "*"], "into": ["payments", "shop/shop-*", "search/*"]},
    }
    return {"apiVersion": "ombak.dev/v1alpha1", "kind": "Region", "metadata": {"name": "eu-1"}, "spec": spec}


BAD_REGIONS = [
    pytest.param("spec.access", ABSENT, ["spec.access"], id="no-access"),
    pytest.param("spec.access", {}, ["entered in exactly one way"], id="no-way-in"),
    pytest.param("spec.access.inCluster", {}, ["entered in exactly one way"], id="two-ways-in"),
    pytest.param("spec.access.kubeconfig.secretRef.namespace", "A b", ["secretRef.namespace"], id="namespace"),
    pytest.param("spec.access.kubeconfig.secretRef.name", ABSENT, ["secretRef.name"], id="no-secret"),
    pytest.param("spec.cloud", "a/b", ["spec.cloud"], id="cloud"),
    pytest.param("spec.zones", ["a", "b c"], ["spec.zones[1]"], id="zone"),
    pytest.param("spec.prometheus.name", "main", ["write either url, or name"], id="two-prometheuses"),
    pytest.param("spec.prometheus.url", "ftp://a", ["must begin with http://"], id="url"),
    pytest.param("spec.prometheus.url", "https://u:p@a", ["no user and no password"], id="url-with-password"),
    pytest.param("spec.prometheus.matchers", {"a-b": "c"}, ["not a label name of Prometheus"], id="matcher"),
    pytest.param("spec.prometheus.matchers", {"__name__": "up"}, ["not __name__"], id="matcher-on-the-name"),
    pytest.param("spec.floors.bake", "long", ["spec.floors.bake"], id="floor"),
    pytest.param("spec.allow.namespaces", ["Shop"], ["spec.allow.namespaces[0]"], id="allow"),
    pytest.param("spec.allow.into", ["kube_system"], ["spec.allow.into[0]"], id="into"),
    pytest.param("spec.allow.into", ["shop", "sh*"], ["spec.allow.into[1]"], id="into-pattern"),
    pytest.param("spec.allow.into", ["*/shop"], ["spec.allow.into[0]"], id="into-for-whom"),
]
