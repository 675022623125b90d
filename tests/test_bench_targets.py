"""A benchmark tells whether its counts are within their targets."""

import pytest
from benchmarks.targets import Count, are_kept


@pytest.mark.parametrize(("found", "kept", "told"), [(14, True, "pass"), (14.05, False, "FAIL")])
def test_a_count_over_its_target_fails(found: float, kept: bool, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """However little, and also if the others are kept."""
    assert are_kept(Count("Events", 5, 6), Count("writes", found, 14)) is kept
    assert f"{told}  writes: {found:.2f}, at most 14" in capsys.readouterr().out
