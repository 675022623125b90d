"""What a Pipeline inherits, and with which words a mistake is refused."""

from typing import Any

import pytest

from ombak.core.conveyor.merge import merge
from support.conveyor import NAME, spec, stage, template

Spec = dict[str, Any]
ROOT: Spec = {
    "stages": [stage("alpha", "a-1", phase="PreProd"), stage("wave-1", "p-1"), stage("wave-2", "p-2")],
    "rollout": {
        "spec": {
            "strategy": {"oneBox": {"bake": {"for": "2h"}}},
            "signals": [{"name": "up", "query": "up", "below": 1}],
        }
    },
    "windows": ["office-hours"],
    "revertScope": "Everywhere",
}
MIDDLE: Spec = {"extends": {"name": "root"}, "stages": [{"name": "wave-1", "bake": {"for": "20h"}}]}
CHILD: Spec = {
    "extends": {"name": "middle"},
    "rollout": {
        "spec": {
            "selector": {"matchLabels": {"app": NAME}},
            "template": template("v1"),
            "strategy": {"revert": {"batch": "20%"}},
        }
    },
    "stages": [
        {"name": "wave-2", "maxParallel": 2},
        {"name": "beta", "after": "alpha", "phase": "PreProd", "regions": {"names": ["b-1"]}},
    ],
}
BASES = {"root": ROOT, "middle": MIDDLE}


def test_a_child_has_everything_of_its_bases_and_changes_what_it_names() -> None:
    """Over two levels, stage by stage and field by field (R94)."""
    made = merge("front-end", CHILD, BASES)

    assert made.problem == ""
    stages = {s["name"]: s for s in made.raw["stages"]}
    assert list(stages) == ["alpha", "beta", "wave-1", "wave-2"]
    assert (stages["wave-1"]["bake"], stages["wave-1"]["regions"]) == ({"for": "20h"}, {"names": ["p-1"]})
    assert (stages["wave-2"]["maxParallel"], stages["wave-2"]["bake"]) == (2, {"for": "1h"})
    assert made.rollout["strategy"] == {"oneBox": {"bake": {"for": "2h"}}, "revert": {"batch": "20%"}}
    assert made.raw["windows"] == ["office-hours"]
    assert "extends" not in made.raw


def test_numbers_stay_as_they_were_written() -> None:
    """`1%` goes into a region as `1%`: it is the user's manifest that travels."""
    bases = {
        "root": ROOT,
        "middle": MIDDLE
        | {"rollout": {"spec": {"signals": [{"name": "errors", "ratio": {"bad": "a", "total": "b"}, "above": "1%"}]}}},
    }

    assert merge("front-end", CHILD, bases).rollout["signals"][0]["above"] == "1%"


def test_paused_and_unwatched_are_not_mixed_up_by_inheriting() -> None:
    """A paused base pauses nobody else, and `unwatched` takes the place of signals."""
    child = {**CHILD, "rollout": {"spec": CHILD["rollout"]["spec"] | {"unwatched": "a toy"}}}
    made = merge("front-end", child, {"root": ROOT | {"paused": True}, "middle": MIDDLE})

    assert "paused" not in made.raw
    assert (made.rollout["unwatched"], "signals" in made.rollout) == ("a toy", False)


def test_objects_are_replaced_by_kind_and_name_and_values_are_added() -> None:
    """The child's values come last, and so win."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"n": 1}}
    values = [{"regions": {"names": ["p-1"]}, "env": {"A": "1"}}]
    base = ROOT | {"objects": [service], "values": values}
    child = {**CHILD, "objects": [service | {"spec": {"n": 2}}], "values": [{**values[0], "env": {"A": "2"}}]}
    made = merge("front-end", child, {"root": base, "middle": MIDDLE})

    assert [o["spec"] for o in made.objects] == [{"n": 2}]
    assert [v["env"] for v in made.values] == [{"A": "1"}, {"A": "2"}]


@pytest.mark.parametrize(
    ("child", "bases", "fragments"),
    [
        pytest.param(CHILD, {"root": ROOT | {"extends": {"name": "middle"}}, "middle": MIDDLE},
                     ["circle: middle -> root -> middle", "take one"], id="circle"),
        pytest.param({"extends": {"name": "front-end"}}, {}, ["circle: front-end -> front-end"], id="itself"),
        pytest.param(CHILD, {"midle": MIDDLE}, ["names the Pipeline middle", "did you mean midle?"], id="typo-base"),
        pytest.param(CHILD, {"middle": MIDDLE}, ["of middle names the Pipeline root", "create it"], id="no-root"),
        pytest.param({**CHILD, "stages": [{"name": "wave-3"}]}, BASES,
                     ["middle has no stage wave-3", "did you mean wave-", "says after:"], id="typo-stage"),
        pytest.param({**CHILD, "stages": [{"name": "beta", "after": "alfa"}]}, BASES,
                     ["after names alfa", "did you mean alpha?"], id="after-nothing"),
        pytest.param({**CHILD, "stages": [{"name": "alpha", "after": "wave-1"}]}, BASES,
                     ["alpha is in the base already", "leave after out"], id="after-of-inherited"),
        pytest.param({**CHILD, "stages": [{"name": "beta", "after": "alpha"}]}, BASES,
                     ["spec.stages[beta] needs phase", "write both"], id="new-stage-incomplete"),
        pytest.param({**CHILD, "rollout": {"spec": {}}}, BASES, ["spec.rollout.spec.selector is missing"], id="half"),
        pytest.param(CHILD, {"root": ROOT | {"stagez": []}, "middle": MIDDLE},
                     ["the base root is not valid", "mean stages?"], id="bad-base"),
        pytest.param(spec("v1", [stage("a", regions="Unplaced"), stage("b", regions="Unplaced")]), {},
                     ["a and b are both Unplaced"], id="two-unplaced"),
        pytest.param(spec("v1", []), {}, ["spec.stages is empty"], id="no-stages"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_field_and_fix(child: Spec, bases: dict[str, Spec], fragments: list[str]) -> None:
    """Nothing is delivered by a plan that somebody did not mean."""
    made = merge("front-end", child, bases)

    assert made.spec is None
    assert [f for f in fragments if f not in made.problem] == [], made.problem


def test_a_pipeline_without_a_rollout_is_a_base() -> None:
    """It is valid, and delivers nothing."""
    made = merge("root", ROOT | {"rollout": None} if False else {k: v for k, v in ROOT.items() if k != "rollout"}, {})

    assert (made.problem, made.spec is not None and made.spec.rollout is None) == ("", True)


def test_the_wish_changes_with_everything_that_is_delivered() -> None:
    """And with nothing else: pausing is no change to deliver."""
    made = merge("front-end", CHILD, BASES)

    assert merge("front-end", {**CHILD, "paused": True, "handEdits": "PutBack"}, BASES).wish == made.wish
    assert merge("front-end", CHILD, BASES | {"middle": MIDDLE | {"windows": ["always"]}}).wish != made.wish
