"""`ombak pipeline show` tells where everything is, what it waits for, and the command that helps."""

from datetime import UTC, datetime
from typing import Any

from ombak.cli.pipeline_text import pipeline_lines

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
                {"name": "us-1", "state": "Moving", "artifact": "a1one", "phase": "Bake"},
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
        },
        {
            "what": "Region us-1, which waits for its bake",
            "since": "2026-01-05T11:30:00Z",
            "who": "time",
            "command": "kubectl --context us-1 -n shop describe omr front-end",
            "expected": "2026-01-05T14:30:00Z",
            "stage": "wave-1",
            "region": "us-1",
            "artifact": "a1one",
        },
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
        "  ● Stable                   dev-1",
        "wave-1           UnderWay    a1one, 2 changes at once, for 1h",
        "  ? Unknown                  eu-1",
        "  ◐ Moving (Bake)            us-1, 2h30m left",
        "",
        "On their way, oldest first",
        "     3  a1one  in wave-1, 2 changes at once",
        "     4  a1two  before the first stage",
        "",
        "What waits for what",
        "  a1one wave-1 eu-1: Region eu-1 to answer, for 1m",
        "    lifted by whoever runs that cluster",
        "    $ kubectl describe omreg eu-1",
        "  a1one wave-1 us-1: Region us-1, which waits for its bake, for 30m, until 2026-01-05 14:30:00Z",
        "    lifted by time",
        "    $ kubectl --context us-1 -n shop describe omr front-end",
        "could not be written: Region eu-1: no answer",
    ]


def test_regions_that_stand_alike_are_told_together() -> None:
    """A wave of twelve is a line, and so is what they all wait for."""
    names = [f"r-{n:02}" for n in range(12)]
    regions = [{"name": n, "state": "Moving", "artifact": "a1one", "phase": "Bake"} for n in names]
    regions[3] |= {"artifact": "a1old"}
    stage = {"name": "wave-4", "state": "UnderWay", "artifact": "a1one", "regions": regions}
    bake = STATUS["waitingFor"][1] | {"stage": "wave-4"}
    waits = [bake | {"region": n, "what": f"Region {n}, which waits for its bake"} for n in names]
    lines = told({"observedGeneration": 2, "stages": [stage], "waitingFor": waits})

    assert lines[3:6] == [
        "  ◐ Moving (Bake)            r-00, r-01, r-02, r-04, r-05, r-06, r-07, r-08, r-09, r-10, r-11, 2h30m left",
        "  ◐ Moving (Bake)            r-03, asked for a1old, 2h30m left",
        "",
    ]
    assert [line for line in lines if "which waits" in line] == [
        "  a1one wave-4 r-00: Region r-00, which waits for its bake, for 30m, until 2026-01-05 14:30:00Z"
    ]
    assert "    the same for r-01, r-02, r-03, r-04, r-05, r-06, r-07, r-08, r-09, r-10, r-11" in lines


def test_a_command_that_named_nothing_is_told() -> None:
    """It was typed in an incident, and its annotation is gone: without a word it would look obeyed."""
    unheard = {"type": "CommandHeard", "status": "False", "message": "abort=a1nil names nothing that is on its way"}
    found = {"metadata": {"name": "front-end"}, "status": STATUS | {"conditions": [unheard]}}

    assert list(pipeline_lines(found, NOW))[-1] == (
        "the last command had no effect: abort=a1nil names nothing that is on its way"
    )


def test_what_is_done_everywhere_is_no_longer_on_its_way() -> None:
    """The hub remembers the last change; people need not read of it."""
    done = {"sequence": 3, "artifact": "a1one", "stage": "wave-1", "state": "Waiting", "batch": 1}

    assert not any("On their way" in line for line in told(STATUS | {"travelling": [done]}))


def test_who_made_a_change_and_when_is_told() -> None:
    """Of the newest one, delivered or not, at the top; of each on its way in its line (R97)."""
    ada = {"provenance": {"author": "ada", "commit": "4f2c9d1", "reviewer": "budi"}, "began": "2026-01-05T08:00:00Z"}
    bob = {"provenance": {"author": "bob"}, "began": "2026-01-05T09:30:00Z"}
    first, second = STATUS["travelling"]
    lines = told(STATUS | {"travelling": [first | ada, second | bob]})

    assert lines[2] == "  a1two is change 4, of 2026-01-05 09:30Z, by bob"
    assert "     3  a1one  in wave-1, 2 changes at once, by ada, commit 4f2c9d1, reviewed by budi" in lines
    done = first | ada | {"state": "Waiting"}
    alone = told(STATUS | {"travelling": [done]})
    assert alone[2] == "  a1one is change 3, of 2026-01-05 08:00Z, by ada, commit 4f2c9d1, reviewed by budi"


def test_each_of_several_commands_has_its_context() -> None:
    """The second one would run wherever the terminal happens to be, and delete somebody else's Blocker."""
    both = "kubectl -n shop delete blocker one && kubectl -n shop delete blocker two"
    mixed = "kubectl delete clusterblocker all && kubectl --context us-1 -n shop delete blocker two"
    waits = [STATUS["waitingFor"][0] | {"command": command, "what": command} for command in (both, mixed)]
    found = {"metadata": {"name": "front-end", "generation": 2}, "status": STATUS | {"waitingFor": waits}}

    assert [line for line in pipeline_lines(found, NOW, "the hub") if "$" in line] == [
        "    $ kubectl --context 'the hub' -n shop delete blocker one"
        " && kubectl --context 'the hub' -n shop delete blocker two",
        "    $ kubectl --context 'the hub' delete clusterblocker all"
        " && kubectl --context us-1 -n shop delete blocker two",
    ]


def test_commands_for_the_hub_have_the_context_by_which_it_was_reached() -> None:
    """Those for a region have that of the region already."""
    found = {"metadata": {"name": "front-end", "generation": 2}, "status": STATUS}
    commands = [line for line in pipeline_lines(found, NOW, "hub") if "$" in line]

    assert commands == [
        "    $ kubectl --context hub describe omreg eu-1",
        "    $ kubectl --context us-1 -n shop describe omr front-end",
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
        "  the Pipeline: another version: the test smoke failed; its log ends, for 1m",
        "    | 2 of 3 passed",
        "    | 3 of 3 failed",
        "    lifted by whoever owns it",
    ]


def test_an_override_that_counts_is_told_with_the_way_to_end_it() -> None:
    """Whoever wonders why everything else waits, and bakes are short, reads it here."""
    override = {
        "name": "fix",
        "artifact": "a1two",
        "requestedBy": "alice",
        "approvedBy": ["bob"],
        "reason": "CVE-2026-1",
        "until": "2026-01-05T20:00:00Z",
    }
    found = {"metadata": {"name": "front-end", "namespace": "shop", "generation": 2}}
    lines = list(pipeline_lines(found | {"status": STATUS | {"override": override}}, NOW, context="hub"))

    assert lines[-6:-1] == [
        "",
        "Override fix for a1two, of alice, approved by bob, until 2026-01-05T20:00:00Z",
        "  CVE-2026-1",
        "  every other change waits until that one is everywhere, or was taken back; to end the Override:",
        "    $ kubectl --context hub -n shop delete override fix",
    ]
