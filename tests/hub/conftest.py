"""The hub and the regions that all tests of the hub on control planes share."""

from collections.abc import Iterator

import pytest

from support.hub_planes import World, running


@pytest.fixture(scope="session")
def planes_and_operators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A hub and three regions, which take about half a minute to start."""
    with running(tmp_path_factory.mktemp("operators")) as world:
        yield world


@pytest.fixture
def world(planes_and_operators: World) -> Iterator[World]:
    """All of it, every operator alive before and after."""
    for process in planes_and_operators.processes:
        process.start()
    yield planes_and_operators
    for process in planes_and_operators.processes:
        process.check()
