"""A real hub and its regions with an operator in each, as a user installs them, and Pipelines by other names."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ombak.sandbox import KubectlError, Process, Region, start_regions
from support.region_planes import USER, kubeconfig_of, token_of, write_region, write_secret

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180.0


class HubPlanes:
    """The first plane is the hub, the others are its regions; each runs its operator with the shipped rights."""

    def __init__(self, planes: Sequence[Region], logs: Path) -> None:
        self.hub, *self.regions = planes
        self.by_name = {plane.name: plane for plane in planes}
        self._logs = logs
        self.hub_process = self._operator(self.hub, "--hub")
        self.processes = [self.hub_process, *(self._operator(region) for region in self.regions)]

    def _operator(self, plane: Region, *options: str) -> Process:
        command = [sys.executable, "-m", "ombak", "run", "--prometheus", plane.prometheus_url, *options]
        command += ["--kubeconfig", str(plane.kubeconfig_for(USER))]
        return Process(f"operator-{plane.name}", command, self._logs / f"{plane.name}.log")

    def apply(self, where: str, *manifests: dict[str, Any]) -> None:
        """Write objects as admin."""
        self.by_name[where].kubectl("apply", "-f", "-", input="\n---\n".join(map(json.dumps, manifests)))

    def read(self, where: str, kind: str, name: str, namespace: str) -> dict[str, Any]:
        """One object, empty where there is none."""
        try:
            found = self.by_name[where].kubectl("get", kind, name, "-n", namespace, "-o", "json")
        except KubectlError:
            return {}
        return dict(json.loads(found))

    def items(self, where: str, kind: str, namespace: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        return list(json.loads(self.by_name[where].kubectl("get", kind, "-n", namespace, "-o", "json"))["items"])

    async def until(self, what: str, claim: Callable[[], bool], told: Callable[[], Any]) -> None:
        """Wait until a claim holds; fail with what is told then."""
        ends = time.monotonic() + PATIENCE_S
        while not await asyncio.to_thread(claim):
            if time.monotonic() > ends:
                pytest.fail(f"never: {what}\n{json.dumps(await asyncio.to_thread(told), indent=1)}")
            await asyncio.sleep(0.3)


@contextmanager
def hub_and_regions(count: int, logs: Path, namespaces: Sequence[str]) -> Iterator[HubPlanes]:
    """A hub and so many regions, `region-2` being the first of them; every one has these namespaces."""
    with ExitStack() as stack:
        planes = stack.enter_context(start_regions(count + 1, zones=("a",), nodes=1, traffic=False))
        hub, *regions = planes
        for plane in planes:
            plane.kubectl("apply", "-f", str(ROOT / "crds"))
            plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "-l", "!none")
            plane.grant(USER, ROOT / "charts" / "rbac.yaml")
            for namespace in namespaces:
                plane.kubectl("create", "namespace", namespace)
        hub.grant(USER, ROOT / "charts" / "hub-rbac.yaml")
        for region in regions:
            region.kubectl("apply", "-f", str(ROOT / "charts" / "region-rbac.yaml"))
            write_secret(hub, region.name, kubeconfig_of(region, token_of(region)))
            write_region(hub, region.name)
        made = HubPlanes(planes, logs)
        for process in made.processes:
            process.start()
            stack.callback(process.stop, timedelta(seconds=10))
        yield made
