"""What the page about Pipelines says of the code is true."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = "\n".join(path.read_text() for path in sorted((ROOT / "operator/ombak/core/conveyor").glob("*.py")))
PAGE = (ROOT / "docs" / "pipeline.md").read_text()


def test_every_wait_is_explained() -> None:
    """All kinds of waits that the conveyor makes, and no others; a test's has the test's name."""
    rows = set(re.findall(r"^\| `(\w+)` \|", PAGE.split("## What it waits for")[1], re.MULTILINE))

    assert rows == set(re.findall(r'\b(?:held|wait)\(\s*(?:scene, )?"(\w+)"', CODE))


def test_every_variable_of_a_test_is_named() -> None:
    """Those that the Jobs get."""
    assert set(re.findall(r"OMBAK_[A-Z]+", CODE)) == set(re.findall(r"OMBAK_[A-Z]+", PAGE))
