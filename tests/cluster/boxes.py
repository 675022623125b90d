"""What the cluster itself says of boxes, and boxes that serve when a test lets them."""

from __future__ import annotations

import contextlib
from datetime import datetime

from harness import Shop
from ombak.sandbox.client import ApiStatusError, Json

_BEHAVIOUR = "sandbox.ombak.dev/behaviour"
HELD = {"behaviour": "never-ready"}
"""The behaviour of boxes that wait for `let_serve`."""


async def let_serve(shop: Shop) -> None:
    """Let every box be ready that is held."""
    for pod in await shop.items("Pod", labelSelector=f"ombak.dev/rollout={shop.name}"):
        meta = pod["metadata"]
        if _BEHAVIOUR in meta.get("annotations", {}) and "deletionTimestamp" not in meta:
            with contextlib.suppress(ApiStatusError):  # it may go this very moment
                await shop.patch("Pod", meta["name"], {"metadata": {"annotations": {_BEHAVIOUR: None}}})


async def served(shop: Shop, artifact: str) -> list[tuple[datetime, datetime]]:
    """When each box of a version that runs was made, and when it was ready, in whole seconds; oldest first.

    By the clock of the cluster, so that it does not matter when a test heard of it.
    """
    listed = await shop.items("Pod", labelSelector=f"ombak.dev/artifact={artifact}")
    return sorted((datetime.fromisoformat(pod["metadata"]["creationTimestamp"]), _ready_at(pod)) for pod in listed)


def _ready_at(pod: Json) -> datetime:
    [at] = [c["lastTransitionTime"] for c in pod["status"]["conditions"] if c["type"] == "Ready"]
    return datetime.fromisoformat(at)
