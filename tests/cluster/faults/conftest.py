"""Regions of their own for the fault scenarios: what is done to them must not disturb other tests."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from lab import Lab
from stale import StaleRuns
from start import CASES

from harness import OperatorProcess


@pytest.fixture(scope="session")
def apart() -> Iterator[Lab]:
    """A region for modules in which every operator has namespaces of its own, so that many may run at once."""
    with Lab.running("apart", users=("ombak", "poor")) as running:
        yield running


@pytest.fixture(scope="session")
def stale_runs(apart: Lab) -> StaleRuns:
    """The scenarios of stale reads: they mostly wait, so they are begun first and asked for last."""
    return StaleRuns(apart)


@pytest.fixture(scope="session")
def start_runs(apart: Lab) -> dict[str, Future[None]]:
    """The scenarios of operators that lack something, which mostly wait too."""
    return {name: apart.start(begin(apart)) for name, begin in CASES.items()}


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """One region for all other modules, one after another, each with an operator of the whole region.

    Namespaces are left to the end of the region: one that is deleted while the API server starts again can be gone
    before the Rollouts in it, and then their CRD can never be deleted.
    """
    with Lab.running("faults", traffic=True) as running:
        yield running


@pytest.fixture(scope="module")
def operator(lab: Lab, request: pytest.FixtureRequest) -> Iterator[OperatorProcess]:
    """An operator of the whole region, for modules that do not start their own."""
    running = lab.run_operator(request.module.__name__.replace("_", "-"))
    yield running
    running.stop()
