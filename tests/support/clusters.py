"""Small conveniences of the adapter tests: a kubeconfig, and waiting for a claim to hold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from ombak.runtime.kube_port import Kind

DEPLOYMENTS = Kind("apps", "v1", "deployments", "Deployment")
CONFIG_MAPS = Kind("", "v1", "configmaps", "ConfigMap")
SHOP = "/apis/apps/v1/namespaces/shop/deployments"


def write_kubeconfig(path: Path, server: str, token: str, ca_file: str | None = None) -> Path:
    """A kubeconfig with one context."""
    ca = {"certificate-authority": ca_file} if ca_file else {}
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "it",
                "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
                "clusters": [{"name": "it", "cluster": {"server": server} | ca}],
                "users": [{"name": "it", "user": {"token": token}}],
            }
        )
    )
    return path


async def eventually(claim: Callable[[], bool], patience_s: float = 20.0) -> None:
    """Wait until a claim holds; fail if it never does."""
    async with asyncio.timeout(patience_s):
        while not claim():  # noqa: ASYNC110 - claims are about state that nobody announces
            await asyncio.sleep(0.005)
