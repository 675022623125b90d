"""Scenarios of operators that lack something they need: Prometheus, or a right. They mostly wait."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import yaml
from lab import Lab, eventually

import manifests
from harness import ROOT, OperatorProcess, Shop
from ombak.sandbox.audit import WRITE_VERBS
from timeline import RolloutSeen

Server = Callable[[], AbstractContextManager[str]]
Scenario = Callable[[Lab, Shop, OperatorProcess], Coroutine[Any, Any, None]]

LOOK_S = 8
"""So long it is watched for beating upon something."""
MOST_WRITES = 8
"""In that time; what is refused for good is tried again once in a while only."""


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def closed_port() -> Iterator[str]:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


def writes(lab: Lab, user: str, namespace: str, since: int) -> int:
    """Writes and events of a user in a namespace, refused ones too."""
    entries = lab.region.audit.entries(user, since)
    return sum(
        entry["verb"] in WRITE_VERBS and entry.get("objectRef", {}).get("namespace") == namespace for entry in entries
    )


async def quiet(lab: Lab, user: str, shop: Shop, most: int = MOST_WRITES) -> None:
    """Fail if an operator beats upon the API server."""
    mark = lab.region.audit.mark()
    await asyncio.sleep(LOOK_S)
    assert writes(lab, user, shop.namespace, mark) <= most


async def without_prometheus(lab: Lab, server: Server) -> None:
    shop = await lab.shop("no-prometheus")
    with server() as url:
        async with lab.operator("no-prometheus", [shop.namespace], prometheus=url):
            await shop.create(manifests.switch(), manifests.rollout(replicas=3, alarms=manifests.alarms()))
            await shop.until(
                lambda now: now.phase == "Bake" and "alarms" in now.waits_for and "Prometheus" in _who(now),
                "a held bake",
            )
            await quiet(lab, "ombak", shop)
            now = shop.now
            assert now is not None
            assert now.phase == "Bake"
            await shop.watcher.finish()


def _who(now: RolloutSeen) -> str:
    return str((now.status.get("waitingFor") or {}).get("who", ""))


def rights_without(folder: Path, plural: str, verb: str) -> Path:
    """The chart's rights less one verb on one resource, as a role of its own name."""
    role = next(yaml.safe_load_all((ROOT / "charts" / "rbac.yaml").read_text()))
    role["metadata"]["name"] = f"without-{verb}-{plural.replace('/', '-')}"
    role["rules"] = [
        rule | {"resources": [resource], "verbs": [v for v in rule["verbs"] if (resource, v) != (plural, verb)]}
        for rule in role["rules"]
        for resource in rule["resources"]
    ]
    path = folder / f"{role['metadata']['name']}.yaml"
    path.write_text(yaml.safe_dump(role))
    return path


async def without_right(lab: Lab, plural: str, verb: str, scenario: Scenario, *, waits: bool = False) -> None:
    """Run a scenario with an operator that lacks one right, in its namespace."""
    shop = await lab.shop("poor")
    rights = rights_without(lab.region.workdir.folder("proxies"), plural, verb)
    await asyncio.to_thread(lab.region.grant, "poor", rights, shop.namespace)
    kubeconfig = lab.region.kubeconfig_for("poor")
    async with lab.operator("poor", [shop.namespace], kubeconfig=kubeconfig, waits=waits) as process:
        await shop.create(manifests.rollout(replicas=3))
        await scenario(lab, shop, process)


async def is_told_in_the_status(lab: Lab, shop: Shop, process: OperatorProcess) -> None:
    told = await shop.until(lambda now: now.condition("Stalled").get("reason") == "ApplyFailed", "a refusal")
    assert "deployments.apps is forbidden" in told.condition("Stalled")["message"]
    await quiet(lab, "poor", shop)
    await asyncio.to_thread(lab.region.grant, "poor", ROOT / "charts" / "rbac.yaml", shop.namespace)
    await shop.phase("Stable")


async def is_told_in_the_log(lab: Lab, shop: Shop, process: OperatorProcess) -> None:
    def is_told() -> bool:
        return any("rollouts/status" in str(line) and "forbidden" in str(line) for line in process.lines())

    await eventually(is_told, "a line about the refusal")
    await quiet(lab, "poor", shop)
    assert await shop.boxes() == {}


async def is_told_at_the_start(lab: Lab, shop: Shop, process: OperatorProcess) -> None:
    def is_told() -> bool:
        return any("alarms" in str(line) and "forbidden" in str(line) for line in process.lines())

    await eventually(is_told, "a line about the refusal")
    await quiet(lab, "poor", shop, most=0)


CASES: dict[str, Callable[[Lab], Coroutine[Any, Any, None]]] = {
    "absent": lambda lab: without_prometheus(lab, closed_port),
    "silent": lambda lab: without_prometheus(lab, silent_server),
    "boxes": lambda lab: without_right(lab, "deployments", "create", is_told_in_the_status),
    "status": lambda lab: without_right(lab, "rollouts/status", "update", is_told_in_the_log),
    "reading": lambda lab: without_right(lab, "alarms", "list", is_told_at_the_start, waits=True),
}
