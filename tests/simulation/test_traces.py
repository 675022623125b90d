"""The runs that everybody should know by heart are as they were written down."""

import pytest
from golden_traces import FOLDER, NAMES, golden


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_as_it_was_written_down(name: str) -> None:
    """If the difference is meant, `python tests/simulation/golden_traces.py` writes all of them anew."""
    assert (FOLDER / f"{name}.txt").read_text() == golden(name)


def test_every_written_run_is_tested() -> None:
    """No file is left behind by a scenario that is gone."""
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(NAMES)
