"""One region, one operator and one timeline for all scenarios of this folder."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from harness import OperatorProcess, Shop, install
from ombak.sandbox import Region
from ombak.sandbox.client import ApiStatusError
from parallel import Outcomes, Scenario
from timeline import Timeline


@pytest.fixture(scope="session")
def operator(region: Region) -> Iterator[OperatorProcess]:
    """The operator of the region, with the rights of its chart and no more."""
    install(region)
    running = OperatorProcess(region)
    try:
        running.start()
        yield running
        running.process.check()
    finally:
        running.stop()


@pytest.fixture(scope="session")
def timeline(region: Region, operator: OperatorProcess) -> Iterator[Timeline]:
    """Everything that happens, from before the first test on."""
    following = Timeline(region.plane.client)
    following.start()
    yield following
    following.stop()


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest, region: Region, timeline: Timeline) -> Iterator[Outcomes]:
    """All chosen scenarios, running."""

    async def run(name: str, scenario: Scenario, parameters: Mapping[str, Any]) -> str:
        shop = await Shop(region, timeline, namespace_for(name)).open()
        await scenario(shop, **parameters)
        shop.watcher.finish()
        with contextlib.suppress(ApiStatusError):  # a test may have deleted it
            await shop.call("DELETE", f"/api/v1/namespaces/{shop.namespace}")
        return "\n".join([shop.watcher.story(), *shop.notes])

    started = Outcomes(request.session.items, run)
    yield started
    started.close()


def namespace_for(name: str) -> str:
    """A namespace whose name tells the test."""
    words = re.sub("[^a-z0-9]+", "-", name.removeprefix("test_").lower()).strip("-")
    return f"{words[:48].strip('-')}-{uuid.uuid4().hex[:6]}"
