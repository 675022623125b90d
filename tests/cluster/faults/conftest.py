"""Regions of their own for the fault scenarios: what is done to them must not disturb other tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab import Lab
from stale import StaleRuns


@pytest.fixture(scope="session")
def stale_runs() -> Iterator[StaleRuns]:
    """The scenarios of stale reads: they mostly wait, so they are begun first and asked for last."""
    with Lab.running("stale") as lab:
        yield StaleRuns(lab)


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A region for one module, without an operator."""
    with Lab.running(request.module.__name__.removeprefix("test_faults_").replace("_", "-")) as running:
        yield running
