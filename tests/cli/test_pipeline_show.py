"""`ombak pipeline show` tells where everything is, what it waits for, and the command that helps."""

from datetime import UTC, datetime
from typing import Any

from ombak.cli.pipeline import pipeline_lines

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
STATUS: dict[str, Any] = {
    "observedGeneration": 2,
    "reason": "Unreachable",
    "message": "Region eu-1 to answer",
    "stages": [
        {
            "name": "alpha",
            "state": "Passed",
            "artifact": "a1one",
            "regions": [{"name": "dev-1", "state": "Stable", "artifact": "a1one", "phase": "Stable"}],
        },
        {
            "name": "wave-1",
            "state": "UnderWay",
            "artifact": "a1one",
            "since": "2026-01-05T11:00:00Z",
            "batch": 2,
            "regions": [
                {"name": "eu-1", "state": "Unknown"},
                {"name": "us-1", "state": "Moving", "artifact": "a1one", "phase": "OneBoxBake"},
            ],
        },
    ],
    "travelling": [
        {"sequence": 3, "artifact": "a1one", "stage": "wave-1", "state": "Inside", "batch": 2},
        {"sequence": 4, "artifact": "a1two", "state": "Waiting", "batch": 1},
    ],
    "waitingFor": [
        {
            "what": "Region eu-1 to answer",
            "since": "2026-01-05T11:59:00Z",
            "who": "whoever runs that cluster",
            "command": "kubectl describe omreg eu-1",
            "stage": "wave-1",
            "region": "eu-1",
            "artifact": "a1one",
        }
    ],
    "conditions": [{"type": "Applied", "status": "False", "message": "Region eu-1: no answer"}],
}


def told(status: dict[str, Any]) -> list[str]:
    """What is printed of a Pipeline of this status."""
    return list(pipeline_lines({"metadata": {"name": "front-end", "generation": 2}, "status": status}, NOW))


def test_stages_regions_and_artifacts_are_drawn_with_what_they_wait_for() -> None:
    """Every region with its state, every artifact on its way, and the command with its wait."""
    assert told(STATUS) == [
        "Pipeline front-end: Unreachable",
        "  Region eu-1 to answer",
        "",
        "alpha            Passed      a1one",
        "  ● dev-1                Stable  a1one",
        "wave-1           UnderWay    a1one, 2 changes at once, for 1h",
        "  ? eu-1                 Unknown",
        "  ◐ us-1                 Moving (OneBoxBake)  a1one",
        "",
        "On their way, oldest first",
        "     3  a1one  in wave-1",
        "     4  a1two  before the first stage",
        "",
        "What waits for what",
        "  a1one wave-1 eu-1: Region eu-1 to answer, for 1m",
        "    lifted by whoever runs that cluster",
        "    $ kubectl describe omreg eu-1",
        "could not be written: Region eu-1: no answer",
    ]


def test_a_pipeline_that_no_hub_knows_says_what_to_look_for() -> None:
    """Nothing is drawn where nothing is known."""
    assert told({}) == ["Pipeline front-end: no hub has looked at it yet; is one running with --hub?"]


def test_an_old_status_says_so() -> None:
    """What is shown may be about an earlier spec."""
    assert "  (the hub has not seen the newest spec yet)" in told(STATUS | {"observedGeneration": 1})


def test_the_end_of_a_log_stays_in_its_lines() -> None:
    """Under what it belongs to."""
    what = "another version: the test smoke failed; its log ends:\n2 of 3 passed\n3 of 3 failed"
    wait = {"what": what, "since": "2026-01-05T11:59:00Z", "who": "whoever owns it"}
    lines = told(STATUS | {"message": what, "waitingFor": [wait], "conditions": []})

    assert lines[1:4] == [f"  {line}" for line in what.splitlines()]
    assert lines[-4:] == [
        "  the Pipeline: another version: the test smoke failed; its log ends:, for 1m",
        "    | 2 of 3 passed",
        "    | 3 of 3 failed",
        "    lifted by whoever owns it",
    ]
