"""The status erased by hand: nothing is redeployed, nothing promoted early, and the end is the same."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from erased import BAKE, CASES, Erased, run
from lab import Lab

from harness import OperatorProcess
from ombak.api.rollout import Phase

pytestmark = [pytest.mark.cluster, pytest.mark.proof, pytest.mark.timeout(600)]

Runs = dict[str, Future[Erased]]


@pytest.fixture(scope="module")
def runs(lab: Lab, operator: OperatorProcess) -> Runs:
    """All phases, side by side under one operator."""
    return {phase: lab.start(run(lab, phase, case)) for phase, case in CASES.items()}


def test_no_phase_is_left_out() -> None:
    """A new one needs a way into it here."""
    assert set(CASES) == {phase.value for phase in Phase}


@pytest.mark.parametrize("phase", CASES)
def test_an_erased_status_redeploys_nothing(runs: Runs, phase: str) -> None:
    """The end is the one that the phase leads to, and no box was made twice for it."""
    erased, case = runs[phase].result(), CASES[phase]

    assert erased.end["phase"] == case.ends_in
    assert (erased.boxes_made(erased.old), erased.boxes_made(erased.new)) == (case.old_made, case.new_made)


@pytest.mark.parametrize("phase", [phase for phase, case in CASES.items() if case.then])
def test_an_erased_status_promotes_nothing_early(runs: Runs, phase: str) -> None:
    """The bake whose ledger was erased begins anew before the next step, or before the version counts as stable."""
    erased = runs[phase].result()

    moved = erased.next_step_at() or erased.stable_at
    assert moved is not None
    assert moved - erased.at >= BAKE
