"""Stale reads harm nobody: see `stale.py` for what is done."""

from __future__ import annotations

import pytest
from stale import CASES, StaleRuns

pytestmark = [pytest.mark.cluster, pytest.mark.proof, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("name", CASES)
def test_no_promise_is_broken_by_what_the_operator_does_not_see(stale_runs: StaleRuns, name: str) -> None:
    """A release ends stable and a bad one reverted, never under the floor and never beyond what was approved."""
    done = stale_runs.result(name)

    assert all(done[fault] for fault in CASES[name].must_happen), f"the proxy was too kind: {done}"
