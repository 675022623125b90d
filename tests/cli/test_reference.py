"""The generated parts of the documentation are complete, right, and up to date."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from ombak.cli.main import main
from ombak.cli.picture import release_svg, stops
from ombak.cli.reference import PICTURE, REFERENCE, reference, stale_docs

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            "| `progressDeadline` | duration | `10m` | A batch that is not available after this time is reverted. |",
            id="a duration with its default",
        ),
        pytest.param("| `strategy.oneBox.scope` | `Region` or `Zone` | `Region` |", id="a choice"),
        pytest.param("| `strategy.rolling.batch` | count or percentage | `33%` |", id="a share"),
        pytest.param("| `strategy.bake.atLeast[].query` | text | required |", id="a field in a list"),
        pytest.param(
            "| `waitingFor.command` | text | The command that lifts it, or shows what stands in its way. |",
            id="a field of a status",
        ),
        pytest.param("- `selector`: selector cannot change", id="a rule"),
    ],
)
def test_reference_has_every_sort_of_row(row: str) -> None:
    """Path, type, default and meaning, as a person would look them up."""
    assert row in reference()


def test_pod_templates_are_not_spelled_out() -> None:
    """They are Kubernetes' own, and would drown the rest."""
    assert "`template.spec" not in reference()


def test_the_picture_shows_the_steps_that_the_defaults_make() -> None:
    """One box for an hour, three batches of three, the last one for twelve hours."""
    assert [(stop.name, stop.new, stop.told) for stop in stops()][1:] == [
        ("one box", 1, "bake 1h"),
        ("batch 1", 4, "bake 5m"),
        ("batch 2", 7, "bake 5m"),
        ("batch 3", 10, "bake 12h"),
    ]
    assert ET.fromstring(release_svg()).tag.endswith("svg")


def test_what_is_in_the_repository_is_up_to_date() -> None:
    """What CI checks too: nobody edits it by hand, nobody forgets it."""
    assert stale_docs(DOCS) == []


def test_check_fails_on_stale_files_and_write_mends_them(tmp_path: Path) -> None:
    """The command says what to run, and running that helps."""
    (tmp_path / REFERENCE).write_text("old")
    run = CliRunner().invoke

    stale = run(main, ["docs", "--check", str(tmp_path)])
    run(main, ["docs", "--write", str(tmp_path)])
    fresh = run(main, ["docs", "--check", str(tmp_path)])

    assert (stale.exit_code, fresh.exit_code) == (1, 0)
    assert f"{REFERENCE}, {PICTURE}; run: ombak docs --write" in stale.output
