"""One region, one operator and one timeline for all scenarios of this folder."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness import OperatorProcess, Shop, install
from ombak.sandbox import Region
from ombak.sandbox.client import ApiStatusError
from parallel import Outcomes, Scenario
from timeline import Timeline

LIMIT_S = 600
"""Of one test, which begins when it is asked for: before that its scenario may have to wait for others."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ask for scenarios that run alone after all that run side by side, and for what is said of all of them at last.

    Whoever is asked for earlier would spend its time limit on the time of the others.
    """
    here = Path(__file__).parent
    places = [n for n, item in enumerate(items) if here in item.path.parents and _is_of_scenarios(item)]
    for n, item in zip(places, sorted((items[n] for n in places), key=_turn), strict=True):
        items[n] = item
        item.add_marker(pytest.mark.timeout(LIMIT_S))


def _is_of_scenarios(item: pytest.Item) -> bool:
    return "outcomes" in getattr(item, "fixturenames", ())


def _turn(item: pytest.Item) -> int:
    function = getattr(item, "function", None)
    return int(function.is_alone) if hasattr(function, "is_alone") else 2


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
        try:
            await scenario(shop, **parameters)
            await shop.watcher.finish()
        finally:  # what failed must not disturb its neighbours
            for each in (shop, *shop.others):
                with contextlib.suppress(ApiStatusError):  # a test may have deleted it
                    await shop.call("DELETE", f"/api/v1/namespaces/{each.namespace}")
        return "\n".join([shop.watcher.story(), *shop.notes])

    started = Outcomes(request.session.items, run)
    yield started
    started.close()


def namespace_for(name: str) -> str:
    """A namespace whose name tells the test."""
    words = re.sub("[^a-z0-9]+", "-", name.removeprefix("test_").lower()).strip("-")
    return f"{words[:48].strip('-')}-{uuid.uuid4().hex[:6]}"
