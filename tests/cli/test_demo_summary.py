"""The summary tells what happened, and fails the demonstration when it does not show what it promises."""

import dataclasses
import io
from datetime import timedelta

import pytest
from rich.console import Console

from ombak.cli.demo.summary import Act, Outcome, Requests, sentences, table

GOOD = Act("1.1.0", "a1new", "stable", timedelta(seconds=54), 10, Requests(8000, 0))
BAD = Act("1.2.0", "a1bad", "reverted in OneBoxBake: AlarmFired", timedelta(seconds=6), 1, Requests(60, 12))
OUTCOME = Outcome((GOOD, BAD), fewest=7, floor=7, replicas=10, took=timedelta(seconds=88), planned=2)


def test_a_demonstration_that_went_as_promised_has_no_problem() -> None:
    """The good version is stable, the bad one was taken back, capacity was kept."""
    assert OUTCOME.problem == ""


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param(
            {"acts": (dataclasses.replace(GOOD, problem="ended Reverted, not Stable"),)},
            "1.1.0: ended Reverted",
            id="an act went wrong",
        ),
        pytest.param({"acts": (GOOD,)}, "only 1 of 2 versions", id="ended early"),
        pytest.param({"fewest": 6}, "only 6 boxes served", id="under the floor"),
        pytest.param({"fewest": None}, "only 0 boxes served", id="never looked"),
    ],
)
def test_whatever_went_wrong_is_named(changes: dict[str, object], problem: str) -> None:
    """A reason is given, so that the exit code is not 0."""
    assert problem in dataclasses.replace(OUTCOME, **changes).problem


def test_table_and_sentences_give_the_figures() -> None:
    """How long, how many requests failed, how far the bad version came, and the least capacity."""
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(table(OUTCOME.acts, OUTCOME.replicas))
    text = " ".join([console.file.getvalue(), *sentences(OUTCOME)])

    for part in ("0:54", "1 of 10", "12 (20%)", "1:28 minutes", "Of 8,060 requests 12 failed (0.15%)", "than 7 of 10"):
        assert part in text
