"""An operator that lacks something it needs says so, waits, and does not beat upon the API server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import manifests
import pytest
import yaml
from harness import ROOT, OperatorProcess, Shop
from lab import Lab, eventually

from ombak.sandbox import AuditLog

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

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


def writes(audit: AuditLog, user: str, since: int) -> int:
    """Persisted writes and events of a user, refused ones too."""
    counted = audit.counts(user, since=since)
    return counted.writes.total() + counted.events


async def quiet(lab: Lab, user: str) -> None:
    """Fail if an operator beats upon the API server."""
    mark = lab.region.audit.mark()
    await asyncio.sleep(LOOK_S)
    assert writes(lab.region.audit, user, mark) <= MOST_WRITES


@pytest.mark.parametrize("prometheus", [closed_port, silent_server], ids=["absent", "silent"])
def test_without_prometheus_nothing_is_promoted(lab: Lab, prometheus: Any) -> None:
    """The first version is brought up all the same; its bake waits, and says for whom."""

    async def scenario(url: str) -> None:
        shop = await lab.shop("no-prometheus")
        process = await asyncio.to_thread(
            lab.run_operator, "no-prometheus", prometheus=url, options=("--namespace", shop.namespace)
        )
        try:
            await shop.create(manifests.switch(), manifests.rollout(replicas=3, alarms=manifests.alarms()))
            held = await shop.until(lambda now: now.phase == "Bake" and "alarms" in now.waits_for, "a held bake")
            assert "Prometheus" in (held.status["waitingFor"].get("who") or "")
            await quiet(lab, "ombak")
            now = shop.now
            assert now is not None
            assert now.phase == "Bake"
            shop.watcher.finish()
        finally:
            await asyncio.to_thread(process.stop)

    with prometheus() as url:
        lab.run(scenario(url))


def rights_without(folder: Path, plural: str, verb: str) -> Path:
    """The chart's rights for the other user, less one verb on one resource."""
    role = yaml.safe_load((ROOT / "charts" / "rbac.yaml").read_text())
    role["metadata"]["name"] = "poor"
    rules = []
    for rule in role["rules"]:
        for resource in rule["resources"]:
            verbs = [v for v in rule["verbs"] if (resource, v) != (plural, verb)]
            rules.append(rule | {"resources": [resource], "verbs": verbs})
    role["rules"] = rules
    path = folder / f"without-{verb}-{plural.replace('/', '-')}.yaml"
    path.write_text(yaml.safe_dump(role))
    return path


def poor_operator(lab: Lab, namespace: str, *, waits: bool = False) -> OperatorProcess:
    """An operator of the user who lacks a right."""
    name = lab.name("poor")
    process = OperatorProcess(
        lab.region, name, kubeconfig=lab.region.kubeconfig_for("poor"), options=("--namespace", namespace)
    )
    process.start(wait=not waits)
    return process


def test_a_missing_right_to_create_boxes_is_told_in_the_status(lab: Lab) -> None:
    """The condition quotes the API server; nothing is hammered; with the right given it goes on by itself."""

    async def scenario(shop: Shop, process: OperatorProcess) -> None:
        await shop.create(manifests.rollout(replicas=3))
        told = await shop.until(lambda now: now.condition("Stalled").get("reason") == "ApplyFailed", "a refusal")
        assert "forbidden" in told.condition("Stalled")["message"]
        assert "replicasets" in told.condition("Stalled")["message"]
        await quiet(lab, "poor")
        await asyncio.to_thread(lab.region.grant, "poor", ROOT / "charts" / "rbac.yaml")
        await shop.phase("Stable")
        process.process.check()

    with_less(lab, "replicasets", "create", scenario)


def test_a_missing_right_to_write_the_status_is_told_in_the_log(lab: Lab) -> None:
    """Where nothing can be written, the log says what is refused, and no box is touched without a record."""

    async def scenario(shop: Shop, process: OperatorProcess) -> None:
        await shop.create(manifests.rollout(replicas=3))

        def is_told() -> bool:
            return any("rollouts/status" in str(line) and "forbidden" in str(line) for line in process.lines())

        await eventually(is_told, "a line about the refusal")
        await quiet(lab, "poor")
        assert await shop.boxes() == {}
        process.process.check()

    with_less(lab, "rollouts/status", "update", scenario)


def test_a_missing_right_to_read_is_told_at_the_start(lab: Lab) -> None:
    """It does not begin with half a view: it waits, and the log names what it may not list."""

    async def scenario(shop: Shop, process: OperatorProcess) -> None:
        await shop.create(manifests.rollout(replicas=3))

        def is_told() -> bool:
            return any("alarms" in str(line) and "forbidden" in str(line) for line in process.lines())

        await eventually(is_told, "a line about the refusal")
        mark = lab.region.audit.mark()
        await asyncio.sleep(LOOK_S)
        assert writes(lab.region.audit, "poor", mark) == 0
        process.process.check()

    with_less(lab, "alarms", "list", scenario, waits=True)


def with_less(lab: Lab, plural: str, verb: str, scenario: Any, *, waits: bool = False) -> None:
    """Run a scenario with an operator that lacks one right."""
    region = lab.region
    region.kubectl("delete", "clusterrolebinding", "--ignore-not-found", "ombak-poor", "poor-poor")
    region.grant("poor", rights_without(region.workdir.folder("proxies"), plural, verb))

    async def whole() -> None:
        shop = await lab.shop("poor")
        process = await asyncio.to_thread(poor_operator, lab, shop.namespace, waits=waits)
        try:
            await scenario(shop, process)
        finally:
            await asyncio.to_thread(process.stop)

    lab.run(whole())
