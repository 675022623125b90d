"""Many runs, as people start them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ombak.simulation.batches import batch

pytestmark = pytest.mark.breadth

RUNS = ("--scenario", "good-release", "--engine", "quick", "--runs", "6", "--seed", "3")


@pytest.mark.parametrize("jobs", ["2", "0"], ids=["two processes", "all cores"])
def test_the_command_sums_up_the_same_on_several_processes(jobs: str) -> None:
    """`python -m`, whose main module the others import anew, must neither hang nor start itself again."""
    command = [sys.executable, "-m", "ombak.simulation", *RUNS]
    alone, together = (
        subprocess.run([*command, "--jobs", count], capture_output=True, text=True, check=True, env=os.environ)
        for count in ("1", jobs)
    )
    assert alone.stdout.startswith("6 runs (")
    assert (together.stdout, together.stderr) == (alone.stdout, "")


def test_outcomes_come_in_the_order_of_their_seeds() -> None:
    """So that the first thing that broke is the same one every time."""
    outcomes = batch("good-release", range(5, 11), "quick", 2)
    assert [outcome.seed for outcome in outcomes] == list(range(5, 11))
