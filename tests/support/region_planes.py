"""A real hub and its regions: credentials, Region objects, and what kubectl shows of them."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from ombak.runtime.kube_port import Object
from ombak.sandbox import Region

USER = "ombak"
SECRETS = "ombak-regions"
PATIENCE_S = 120.0


def token_of(region: Region, account: str = "hub") -> str:
    """A token of the hub's ServiceAccount in a region."""
    return region.kubectl("create", "token", account, "-n", "ombak-hub", "--duration=1h").strip()


def kubeconfig_of(region: Region, token: str, *, ca: str | None = None) -> str:
    """A kubeconfig as docs/regions.md makes it."""
    found = base64.b64encode(region.plane.ca_file.read_bytes()).decode() if ca is None else ca
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "hub",
            "contexts": [{"name": "hub", "context": {"cluster": "region", "user": "hub"}}],
            "clusters": [
                {"name": "region", "cluster": {"server": region.plane.url, "certificate-authority-data": found}}
            ],
            "users": [{"name": "hub", "user": {"token": token}}],
        }
    )


def write_secret(hub: Region, name: str, text: str) -> None:
    """Create or replace the Secret of a region."""
    data = {"kubeconfig": base64.b64encode(text.encode()).decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": SECRETS}, "data": data}
    hub.kubectl("apply", "-f", "-", input=json.dumps(secret))


def write_region(hub: Region, name: str, **spec: Any) -> None:
    """Create or replace a Region that is entered by the Secret of its name, and lets the team of shop into shop-*."""
    access = {"kubeconfig": {"secretRef": {"namespace": SECRETS, "name": name}}}
    spec = {"allow": {"namespaces": ["*"], "into": ["shop/shop-*"]}} | spec
    manifest = {"apiVersion": "ombak.dev/v1alpha1", "kind": "Region", "metadata": {"name": name}}
    hub.kubectl("apply", "-f", "-", input=json.dumps(manifest | {"spec": {"access": access, **spec}}))


def condition(plane: Region, name: str) -> dict[str, Any]:
    """What `kubectl` shows of a Region."""
    status = json.loads(plane.kubectl("get", "region", name, "-o", "json")).get("status", {})
    return dict(status["conditions"][0]) if status.get("conditions") else {}


async def shown(plane: Region, name: str, reason: str) -> dict[str, Any]:
    """The condition, once it has this reason."""
    async with asyncio.timeout(PATIENCE_S):
        while (found := await asyncio.to_thread(condition, plane, name)).get("reason") != reason:  # noqa: ASYNC110 - kubectl is asked
            await asyncio.sleep(0.2)
    return found


def requests(plane: Region, verb: str) -> list[dict[str, Any]]:
    """What the hub asked of its own cluster, of this verb."""
    return [entry for entry in plane.audit.entries(USER) if entry["verb"] == verb]


def rollout(name: str = "front-end", image: str = "registry.example/front-end:1", **spec: Any) -> Object:
    """A Rollout as a hub writes it."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}}
    return {
        "apiVersion": "ombak.dev/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": "shop", "annotations": {"ombak.dev/hub": "it"}},
        "spec": {"selector": {"matchLabels": labels}, "template": template, "unwatched": "a test", **spec},
    }
