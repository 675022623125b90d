"""Overrides of Pipelines on the hub of `shared_hub`: alice asks for one, and bob approves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ombak.core.overrides.guard import SETTLES
from support.shared_hub import API, Json, Service, Shared


async def the_policy_counts(world: Shared) -> None:
    """An Override counts only where the policy is older than it by a margin."""
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
    (found,) = world.items("region-1", path)
    made = datetime.fromisoformat(found["metadata"]["creationTimestamp"])
    await world.until("the policy to be old enough", lambda: datetime.now(UTC) > made + SETTLES + timedelta(seconds=1))


def ask(world: Shared, name: str, lane: Service, version: str, *, expires: timedelta, **allowed: Any) -> Json:
    """Alice asks for an Override."""
    until = (datetime.now(UTC) + expires).strftime("%Y-%m-%dT%H:%M:%SZ")
    words = {"reason": "CVE-2026-1", "urgency": "it is exploited", "requestedBy": "alice", "expires": until}
    target = {"kind": "Pipeline", "name": lane.name}
    spec = {**words, "target": target, "artifact": lane.artifacts()[version]["spec"]["id"], **allowed}
    body = {"apiVersion": API, "kind": "Override", "metadata": {"name": name}, "spec": spec}
    return world.hub.plane.client_for("alice").call("POST", f"/apis/{API}/namespaces/fix/overrides", body)


def approve(world: Shared, made: Json) -> None:
    """Bob approves it."""
    meta = made["metadata"]
    change = {"spec": {"approvals": [{"by": "bob", "uid": meta["uid"]}]}}
    path = f"/apis/{API}/namespaces/fix/overrides/{meta['name']}"
    world.hub.plane.client_for("bob").call("PATCH", path, change)


def override(world: Shared, name: str) -> Json:
    """What an Override says of itself."""
    return dict(world.call("region-1", "GET", f"/apis/{API}/namespaces/fix/overrides/{name}").get("status") or {})
