"""The demonstration of regions: what it says as it happens, when an act is over, and when it fails."""

import dataclasses
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from ombak.api.rollout_status import Phase
from ombak.cli.demo.boxes import Told
from ombak.cli.demo.regions_scene import Picture, Place, Standing, standing_of
from ombak.cli.demo.regions_stage import LABELS, region_alarms, region_manifest
from ombak.cli.demo.regions_story import PLACES, ending, is_over, is_wrong, regions_versions
from ombak.cli.demo.regions_view import (
    Names,
    RegionsAct,
    RegionsOutcome,
    happened,
    outcome_sentences,
    outcome_table,
)
from ombak.cli.demo.summary import Requests
from ombak.core.conveyor.merge import merge
from ombak.core.conveyor.placement import place
from ombak.runtime.hub.observe import region_facts
from ombak.runtime.region_records import decode_region

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
EXAMPLE = Path(__file__).parents[2] / "examples" / "demo-regions" / "pipeline.yaml"
FIRST, GOOD, BAD = regions_versions(yaml.safe_load(EXAMPLE.read_text()))
NAMES = Names({v.artifact: v.name for v in (FIRST, GOOD, BAD)})
ALPHA, WAVE, REST = PLACES


def standing(where: Place, wanted: str, phase: Phase | None = Phase.STABLE, **more: Any) -> Standing:
    """How a place stands; it is stable on what is wanted, unless it is said otherwise."""
    return Standing(where, wanted, phase, **{"stable": wanted, **more})


def picture(*standings: Standing, reason: str = "", at_s: int = 0, **more: Any) -> Picture:
    """A moment, so many seconds after the beginning."""
    return Picture(NOW + timedelta(seconds=at_s), reason, standings=standings, **more)


def everywhere(artifact: str) -> tuple[Standing, ...]:
    """One version in all places."""
    return tuple(standing(each, artifact) for each in PLACES)


def test_the_places_are_those_of_the_example() -> None:
    """The Pipeline and the Regions of the demonstration lead exactly there."""
    made = merge("front-end", BAD.manifest["spec"], {})
    regions = [region_facts(decode_region(region_manifest(each.region, LABELS[each.region]))) for each in PLACES]
    assert made.spec is not None
    placed = place(made.spec, "shop", regions)

    found = [Place(t.stage.name, t.region.name, t.namespace) for ts in placed.targets.values() for t in ts]
    assert (tuple(found), placed.slips) == (PLACES, ())


def test_alpha_alone_takes_the_errors_of_the_bad_version() -> None:
    """So it is found in the one box of the first wave, whatever the machine is doing meanwhile."""
    rate = 0.2
    limits = {
        each.namespace: [a["spec"]["metric"]["threshold"] for a in region_alarms(each.namespace)] for each in PLACES
    }

    assert all(limit > rate for limit in limits["shop-alpha"])
    assert all(limit < rate for limit in limits["shop"])


def test_every_event_and_every_change_of_a_region_is_a_line() -> None:
    """With versions in place of ids, and nothing twice."""
    told = Told(NOW, "StageEntered", f"{GOOD.artifact} enters stage alpha.", is_warning=False)
    first = picture(standing(ALPHA, FIRST.artifact), Standing(WAVE))
    second = picture(standing(ALPHA, GOOD.artifact, Phase.ONE_BOX), Standing(WAVE), at_s=5, events={"a.1": told})
    back = standing(ALPHA, GOOD.artifact, Phase.REVERTING, message=f"{GOOD.artifact} fails")

    assert list(happened(None, first, NOW, NAMES)) == [" 0:00  dev-1  alpha   1.0.0 Stable"]
    assert list(happened(first, second, NOW, NAMES)) == [
        " 0:05  hub            StageEntered: 1.1.0 enters stage alpha.",
        " 0:05  dev-1  alpha   1.1.0 OneBox",
    ]
    assert list(happened(second, second, NOW, NAMES)) == []
    assert list(happened(second, picture(back, at_s=61, events={"a.1": told}), NOW, NAMES)) == [
        " 1:01  dev-1  alpha   1.1.0 Reverting: 1.1.0 fails"
    ]


def test_a_status_about_an_older_spec_says_nothing() -> None:
    """The region has not seen what it is asked for."""
    template = GOOD.manifest["spec"]["rollout"]["spec"]["template"]
    status = {"observedGeneration": 1, "phase": "Stable", "artifacts": {"stable": GOOD.artifact}}
    rollout = {"metadata": {"generation": 2}, "spec": {"template": template}, "status": status}

    assert standing_of(WAVE, rollout) == Standing(WAVE, GOOD.artifact, None, GOOD.artifact)
    assert standing_of(WAVE, {**rollout, "metadata": {"generation": 1}}).is_settled


@pytest.mark.parametrize(
    ("version", "made", "over", "wrong"),
    [
        pytest.param(GOOD, picture(*everywhere(GOOD.artifact), reason="Delivered"), True, False, id="good-everywhere"),
        pytest.param(GOOD, picture(*everywhere(FIRST.artifact), reason="Delivered"), False, False, id="old-still"),
        pytest.param(GOOD, picture(*everywhere(GOOD.artifact)), False, False, id="hub-has-not-said-so"),
        pytest.param(GOOD, picture(*everywhere(FIRST.artifact), reason="Rejected"), False, True, id="good-rejected"),
        pytest.param(BAD, picture(*everywhere(GOOD.artifact), reason="Rejected"), True, False, id="bad-gone"),
        pytest.param(
            BAD,
            picture(standing(ALPHA, BAD.artifact), *everywhere(GOOD.artifact)[1:], reason="Rejected"),
            False,
            False,
            id="bad-still-in-alpha",
        ),
        pytest.param(BAD, picture(*everywhere(BAD.artifact), reason="Delivered"), False, True, id="bad-delivered"),
    ],
)
def test_an_act_is_over_only_when_all_regions_say_so(version: Any, made: Picture, over: bool, wrong: bool) -> None:
    """The hub's word alone is not enough, nor that of the regions."""
    assert (is_over(version, GOOD.artifact, made), is_wrong(version, made)) == (over, wrong)


def test_a_bad_version_that_came_too_far_is_a_problem() -> None:
    """Even if it is gone in the end."""
    gone = picture(*everywhere(GOOD.artifact), reason="Rejected")

    assert ending(BAD, gone, [ALPHA, WAVE], over=True) == ("stopped in wave-1, gone everywhere", "")
    assert ending(BAD, gone, PLACES, over=True)[1] == "it came as far as sg-1"
    assert "within 6:00 minutes" in ending(GOOD, gone, [], over=False)[1]


ACTS = (
    RegionsAct("1.1.0", "a1", "stable in all regions", timedelta(seconds=80), PLACES, {"id-1": Requests(9000, 0)}),
    RegionsAct(
        *("1.2.0", "a2", "stopped in wave-1, gone everywhere", timedelta(seconds=40), PLACES[:2]),
        {"id-1": Requests(300, 60)},
    ),
)
OUTCOME = RegionsOutcome(ACTS, timedelta(seconds=130), NOW, 2)


def test_the_summary_tells_where_each_version_came_and_what_failed_there() -> None:
    """One column for each place."""
    console = Console(file=io.StringIO(), width=140, color_system=None)
    console.print(outcome_table(ACTS, PLACES))
    text = " ".join([console.file.getvalue(), *outcome_sentences(OUTCOME)])  # type: ignore[attr-defined]

    for part in ("60 of 300 failed", "never there", "2:10 minutes", "Of 9,300 requests 60 failed (0.65%)"):
        assert part in text


def test_whatever_went_wrong_is_named() -> None:
    """A reason is given, so that the exit code is not 0."""
    wrong = dataclasses.replace(ACTS[1], problem="it came as far as sg-1")

    assert OUTCOME.problem == ""
    assert dataclasses.replace(OUTCOME, acts=(ACTS[0], wrong)).problem == "1.2.0: it came as far as sg-1"
    assert dataclasses.replace(OUTCOME, acts=ACTS[:1]).problem == "only 1 of 2 versions were delivered"
