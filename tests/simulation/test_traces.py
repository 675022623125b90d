"""The runs that everybody should know by heart are as they were written down."""

import pytest
from golden_traces import FOLDER, NAMES, golden

OFTEN = ("good-release", "bad-in-third-batch", "slow-burn-in-bake", "never-ready", "good-release-in-zones")
"""Those that nearly every mistake changes; `make test-fast` leaves the others out."""


@pytest.mark.parametrize(
    "name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.breadth) for name in NAMES]
)
def test_a_run_is_as_it_was_written_down(name: str) -> None:
    """If the difference is meant, `python tests/simulation/golden_traces.py` writes all of them anew."""
    assert (FOLDER / f"{name}.txt").read_text() == golden(name)


def test_every_written_run_is_tested() -> None:
    """No file is left behind by a scenario that is gone."""
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(NAMES)
