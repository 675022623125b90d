"""The live view and its plain lines say what a scene holds."""

import io
from datetime import timedelta

import pytest
from demo_cases import BAKING, NEW, NOW, PROGRAMME, box, scene
from rich.console import Console

from ombak.cli.demo import view


def rendered(shown: object, width: int = 110) -> list[str]:
    """What a terminal of that width would show, row by row."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=True)
    console.print(shown)
    return console.file.getvalue().splitlines()


def row(rows: list[str], label: str) -> str:
    """The row of a label, without the frame."""
    return next(r for r in rows if r.startswith(f"│ {label} "))[12:].rstrip("│ ")


def test_panel_shows_the_one_box_first_then_the_newest_then_what_is_missing() -> None:
    """The one box leads, boxes that start keep their version, and a missing box leaves a gap."""
    rows = rendered(view.panel(scene(), PROGRAMME))

    assert row(rows, "Boxes") == "1.1.0 1.0.0 1.0.0   ."
    assert "2 of 4 serve, at least 3 must" in "".join(rows)


def test_the_one_box_leads_whatever_its_version() -> None:
    """On the way back it has the old version already while boxes of the fleet still have the new one."""
    boxes = (box("fleet-1", NEW), box("onebox-1", one_box=True), box("fleet-2"), box("fleet-3"))
    rows = rendered(view.panel(scene(boxes=boxes), PROGRAMME))

    assert row(rows, "Boxes").split() == ["1.0.0", "1.1.0", "1.0.0", "1.0.0"]


def test_a_missing_one_box_leaves_the_first_place_free() -> None:
    """While the one box is replaced, no box of the fleet takes its place in the picture."""
    rows = rendered(view.panel(scene(boxes=(box("fleet-1"),)), PROGRAMME))

    assert row(rows, "Boxes").split() == [".", "1.0.0", ".", "."]


def test_panel_tells_phase_bake_alarms_numbers_wait_and_events() -> None:
    """Everything that a person asks is in the picture, with versions in place of ids but not in commands."""
    text = "\n".join(rendered(view.panel(scene(), PROGRAMME)))

    for part in (
        "a good change  1:15",
        "OneBox > OneBoxBake > Rolling > Bake > Stable",
        "5s of 10s proven good",
        "all boxes OK   one box ALARM (uncertain)",
        "0.200  alarms > 0.01",
        "no value",
        "Waits for the bake of 1.1.0, proven good for 3s of 10s by 03:04:03Z",
        "lifted by: time, while every alarm is OK (within 7s)",
        f"ombak.dev/artifact={NEW}",
        "03:04:05 Started 1.1.0 starts in 1 of 4 boxes.",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("phase", "path"),
    [
        pytest.param("Reverting", "Reverting > Reverted", id="back"),
        pytest.param("Rolling", "OneBox > OneBoxBake > Rolling > Bake > Stable", id="forward"),
        pytest.param("Invalid", "Invalid", id="off the path"),
        pytest.param(None, "-", id="not yet known"),
    ],
)
def test_phase_row_shows_the_way_on_which_the_phase_lies(phase: str | None, path: str) -> None:
    """The way forward, the way back, or the phase alone."""
    rows = rendered(view.panel(scene({"phase": phase} if phase else {}), PROGRAMME))

    assert row(rows, "Phase") == path


def test_panel_keeps_its_height() -> None:
    """A scene without bake, alarms, wait or Events is as high as a full one, so that nothing jumps."""
    bare = scene({"phase": "Stable"}, ledger=None, events=())

    assert len(rendered(view.panel(scene(), PROGRAMME))) == len(rendered(view.panel(bare, PROGRAMME)))


def test_plain_line_names_versions_counts_bad_numbers_and_the_wait() -> None:
    """One line says it all to a log."""
    line = view.plain(scene(), PROGRAMME, None)

    assert line is not None
    for part in ("1:15", "OneBoxBake", "1.0.0 x1  1.1.0 x1", "errors 0.200 (> 0.01)", "waits for the bake of 1.1.0"):
        assert part in line


def test_plain_line_comes_only_with_a_change() -> None:
    """Time that passes, and progress within the same wait, are no change; another phase is."""
    later = scene(now=NOW + timedelta(seconds=3))

    assert view.plain(later, PROGRAMME, scene()) is None
    assert view.plain(scene(BAKING | {"phase": "Rolling"}), PROGRAMME, scene()) is not None
