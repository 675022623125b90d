"""Simulated nodes: plain Node objects that kwok keeps alive, spread evenly over zones."""

from collections.abc import Sequence

from ombak.sandbox.client import ApiClient, Json
from ombak.sandbox.components import SIMULATED

_ROOM = {"cpu": "1000", "memory": "4Ti", "pods": "20000"}


def create_nodes(client: ApiClient, zones: Sequence[str], count: int, region: str) -> list[str]:
    """Creates `count` nodes, the first in the first zone and so on round, and returns their names."""
    names = []
    for index in range(count):
        node = _node(f"node-{index}", zones[index % len(zones)], region)
        client.call("POST", "/api/v1/nodes", node)
        names.append(f"node-{index}")
    return names


def all_ready(client: ApiClient, names: Sequence[str]) -> bool:
    """Whether every named node reports Ready."""
    items = client.call("GET", "/api/v1/nodes")["items"]
    ready = {item["metadata"]["name"] for item in items if _is_ready(item)}
    return ready.issuperset(names)


def _is_ready(item: Json) -> bool:
    conditions = item["status"].get("conditions", [])
    tainted = any(taint["key"] == "node.kubernetes.io/not-ready" for taint in item["spec"].get("taints", []))
    return not tainted and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _node(name: str, zone: str, region: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": dict([SIMULATED.split("=")]),
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/zone": zone,
                "topology.kubernetes.io/region": region,
            },
        },
        "status": {"capacity": _ROOM, "allocatable": _ROOM},
    }
