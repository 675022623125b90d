"""Alarms of the regions of `shared_hub`, which all ask one Prometheus, and what they say."""

from __future__ import annotations

import asyncio
import time

from support.shared_hub import API, Json, Shared

RULES = "groups: [{name: shop, rules: [{alert: ShopErrors, expr: 'max by (region) (shop_errors) > 0.5'}]}]"
METRIC = {"query": "max(shop_errors)", "comparison": "GreaterThanThreshold", "threshold": 0.5}
SPECS: dict[str, Json] = {
    "errors": {"metric": {**METRIC, "period": "1s", "evaluationPeriods": 2}},
    "rule": {"alertingRule": {"name": "ShopErrors"}},
}
ALARMS: list[Json] = [
    {"apiVersion": API, "kind": "Alarm", "metadata": {"name": name}, "spec": spec} for name, spec in SPECS.items()
]


def states(world: Shared) -> list[str]:
    """What the Alarms say: of both in the first region, then of both in the second."""
    paths = [f"/apis/{API}/namespaces/scoped/alarms/{name}" for name in ("errors", "rule")]
    found = [world.call(region, "GET", path) for region in ("region-1", "region-2") for path in paths]
    return [str((alarm.get("status") or {}).get("state")) for alarm in found]


async def seen_for(world: Shared, seconds: float) -> set[tuple[str, ...]]:
    """Everything that they said in so much time."""
    ends, seen = time.monotonic() + seconds, set()
    while time.monotonic() < ends:
        seen.add(tuple(await asyncio.to_thread(states, world)))
        await asyncio.sleep(0.2)
    return seen
