"""The documentation speaks of everything that is there, and of nothing that is not."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from click import Group, Option

from ombak.api.rollout_status import Phase
from ombak.cli.main import main
from ombak.core.advance import DEADLINE
from ombak.core.report import SOUND, UNAMBIGUOUS
from ombak.core.unheard import HEARD

ROOT = Path(__file__).parents[2]
CORE = "\n".join(path.read_text() for path in sorted((ROOT / "operator" / "ombak" / "core").rglob("*.py")))
CONDITIONS = "\n".join(
    (ROOT / "operator" / "ombak" / "core" / name).read_text() for name in ("report.py", "keeping.py")
)
LOST_RECORDS = (ROOT / "operator" / "ombak" / "runtime" / "lost_records.py").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
PAGES = [path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if "reference" not in path.name]


def rows(heading: str) -> set[str]:
    """The first cells of the table under a heading of operations.md."""
    section = OPERATIONS.split(f"## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))


def test_every_phase_is_explained() -> None:
    """All phases that a status may show, and no others."""
    assert rows("Phases") == {str(phase) for phase in Phase}


def test_every_wait_is_explained() -> None:
    """All keys of what a Rollout may wait for, as the code makes them."""
    found = re.findall(r'(?:Waiting|Held)\(\s*"(\w+)"|^KIND = "(\w+)"', CORE, re.MULTILINE)

    assert rows("What it waits for") == {key or kind for key, kind in found}


def test_every_event_is_explained() -> None:
    """All reasons of Events, those of rejections included."""
    found = re.findall(r'(?:Note|Reject)\(\s*"(\w+)"', CORE + LOST_RECORDS)
    assert rows("Events") == {DEADLINE, *found}


def test_every_condition_is_explained() -> None:
    """All conditions of a Rollout."""
    facts = re.findall(r'^        \("(\w+)", ', CONDITIONS, re.MULTILINE)
    assert rows("Conditions") == {SOUND, UNAMBIGUOUS, HEARD, *facts}


def test_every_flag_of_run_is_explained() -> None:
    """All options of the command that people run for years."""
    assert isinstance(main, Group)
    options = {p.opts[0] for p in main.commands["run"].params if isinstance(p, Option)}

    assert {option for option in options if f"`{option}" not in OPERATIONS} == set()


def test_every_dependency_has_its_reason() -> None:
    """All packages of pyproject.toml, each with a row of its own or shared with its like."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {re.split(r"[\[<>=]", name)[0] for name in wanted} - {"ombak"}
    told = (ROOT / "docs" / "dependencies.md").read_text()

    assert {name for name in names if f"`{name}`" not in told} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """Relative links and pictures exist."""
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_smallest_manifest_in_the_readme_is_the_one_in_the_examples() -> None:
    """What people copy is what is tested."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    example = (ROOT / "examples" / "front-end" / "minimal.yaml").read_text()

    assert [yaml.safe_load(block) for block in blocks] == [yaml.safe_load(example)]
