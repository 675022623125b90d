"""How much time Windows leave together, and for how long changes pile up before them (R90)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ombak.api.window import WindowSpec
from ombak.core.gates.compile import compile_window
from ombak.core.gates.pileup import openness
from ombak.core.gates.schedule import Schedule

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
WEEK = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


def window(days: list[str], begin: str, end: str, **more: Any) -> Schedule:
    """A Window with the same hours on some days, in UTC."""
    spec = {"timeZone": "UTC", "open": [{"days": days, "from": begin, "to": end}], **more}
    return compile_window(WindowSpec.model_validate(spec), "UTC")


OFFICE = window(WEEK[:5], "09:00", "16:00")


def hours(count: float) -> timedelta:
    """So many hours."""
    return timedelta(hours=count)


@pytest.mark.parametrize(
    ("windows", "together", "pause"),
    [
        pytest.param({}, hours(168), hours(0), id="none"),
        pytest.param({"office": OFFICE}, hours(35), hours(65), id="office-hours"),
        pytest.param({"always": window(WEEK, "00:00", "24:00")}, hours(168), hours(0), id="always"),
        pytest.param(
            {"office": OFFICE, "late": window(["Wed"], "14:00", "20:00")}, hours(2), hours(166), id="two-hours-together"
        ),
        pytest.param(
            {"office": OFFICE, "night": window(WEEK, "22:00", "05:00")}, hours(0), hours(4 * 168), id="never-together"
        ),
    ],
)
def test_time_together_and_the_longest_pause(
    windows: dict[str, Schedule], together: timedelta, pause: timedelta
) -> None:
    """A week on average, and how long nothing may start at the longest."""
    found = openness(windows, MONDAY)

    assert (found.together, found.longest_pause) == (together, pause)
    assert found.windows == tuple(windows)


def test_each_window_is_told_alone_too() -> None:
    """So that one sees which of them is the narrow one."""
    found = openness({"office": OFFICE, "late": window(["Wed"], "14:00", "20:00")}, MONDAY)

    assert found.alone == {"office": hours(35), "late": hours(6)}


def test_hours_with_staff_narrow_what_takes_long() -> None:
    """A bake of twelve hours that begins at work does not end there; a short one does."""
    staffed = [{"days": WEEK[:5], "from": "08:00", "to": "18:00"}]
    schedule = window(WEEK[:5], "09:00", "16:00", staffed=staffed)

    assert openness({"office": schedule}, MONDAY, hours(4)).together == hours(25)
    assert openness({"office": schedule}, MONDAY, hours(12)).together == hours(0)
