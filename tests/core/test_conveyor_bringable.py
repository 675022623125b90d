"""What a region would refuse in the middle of a stage is told before anything is delivered, with field and fix (P9)."""

from typing import Any

import pytest

from ombak.core.conveyor import bringable
from ombak.core.conveyor import merge as merging
from ombak.core.conveyor.merge import merge
from ombak.core.conveyor.world import World
from support.conveyor import hours, inside, push, region, running, spec, stage, watch, world

ALARM = {"apiVersion": "ombak.dev/v1alpha1", "kind": "Alarm", "metadata": {"name": "errors"}, "spec": watch(1)}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"level": "1"}}
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front-end"}, "spec": {"ports": [{"port": 80}]}}


def problem(**more: Any) -> str:
    """What is wrong with a Pipeline that has these fields."""
    return merge("front-end", spec("v1", [stage("alpha", "a-1")], **more), {}).problem


def test_what_is_right_is_taken() -> None:
    """One of each kind; the same name by another kind is another object."""
    twin = CONFIG | {"metadata": {"name": "front-end"}}
    assert problem(objects=[ALARM, CONFIG, SERVICE, twin]) == ""


@pytest.mark.parametrize(
    ("found", "told"),
    [
        pytest.param(
            ALARM | {"spec": {"metrc": {}}}, "(Alarm errors): spec.metrc is no field; remove it", id="a field of Alarm"
        ),
        pytest.param(
            ALARM | {"spec": {"expression": "ALARM(x"}},
            "(Alarm errors): spec.expression: line 1",
            id="an expression of Alarm",
        ),
        pytest.param(
            CONFIG | {"metadata": {"name": "Bad_Name"}},
            "(ConfigMap Bad_Name): metadata.name must be lower case letters, digits, '-' and '.', as settings-1",
            id="a name",
        ),
        pytest.param(SERVICE | {"metadata": {"name": "1a"}}, "(Service 1a): metadata.name must be", id="a host name"),
        pytest.param(
            CONFIG | {"data": {"a": 1}},
            '(ConfigMap settings): data.a must be text; put it in quotes: a: "1"',
            id="data",
        ),
    ],
)
def test_an_object_that_no_region_would_take_is_refused(found: dict[str, Any], told: str) -> None:
    """Which one, which field, and what to write."""
    assert problem(objects=[SERVICE | {"metadata": {"name": "other"}}, found]).startswith(f"spec.objects {told}")


def test_an_object_that_is_there_twice_is_refused() -> None:
    """Nobody could say which of the two would win."""
    again = CONFIG | {"data": {"level": "2"}}
    told = problem(objects=[CONFIG, again])
    assert told == "spec.objects: ConfigMap settings is there twice; take one of them out"


@pytest.mark.parametrize("chosen", [["dev-1"], "everywhere"], ids=["a list", "a word"])
def test_regions_that_are_chosen_in_no_way_are_told_what_to_write(chosen: object) -> None:
    """A list of names is what most people write first."""
    stages = [stage("alpha") | {"regions": chosen}]
    told = merge("front-end", spec("v1", stages), {}).problem

    assert told.startswith(f"spec.stages[0].regions: {chosen} is no choice of regions; write names: [eu-1], or ")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        pytest.param("alarms", {"revert": "ALARM(errors"}, "alarms.revert is no alarm expression", id="expression"),
        pytest.param("signals", [{"name": "e", "query": "up{", "above": 1}], "signals[0].query: ", id="signal"),
    ],
)
def test_what_watches_the_rollout_is_read_on_the_hub(field: str, value: Any, told: str) -> None:
    """The fix is in the Pipeline, and nobody should have to look for it in a region."""
    made = spec("v1", [stage("alpha", "a-1")])
    rollout = {k: v for k, v in made["rollout"]["spec"].items() if k != "alarms"} | {field: value}
    found = problem(rollout={"spec": rollout})

    assert found.startswith(f"spec.rollout.spec.{told}")


WRONG = ALARM | {"spec": {"expression": "ALARM(x"}}
"""An Alarm that regions take, though it never says anything there: an earlier hub delivered it."""


def test_an_object_that_a_base_has_twice_is_told_to_who_delivers_it() -> None:
    """The base by itself delivers nothing; and what was let in before goes on by its plan."""
    base = {"objects": [CONFIG, CONFIG | {"data": {"level": "2"}}], "stages": [stage("alpha", "a-1")]}
    made = merge("front-end", spec("v1", [], extends={"name": "base"}), {"base": base})

    assert made.problem == "spec.objects: ConfigMap settings is there twice; take one of them out"
    assert made.spec is not None, "what is on its way has somewhere to go"
    assert merge("base", base, {}).problem == ""


def of_an_earlier_hub(monkeypatch: pytest.MonkeyPatch) -> World:
    """A change is in its last stage, with an Alarm that today's hub would not let in; the hub is today's now."""
    with monkeypatch.context() as earlier:
        earlier.setattr(bringable, "problem_of", lambda _objects: "")
        merging._merge.cache_clear()
        stages = [stage("alpha", "a-1"), stage("prod", "p-1", "p-2", maxParallel=1)]
        w = world(spec("v1", stages, objects=[WRONG]), [region(name) for name in ("a-1", "p-1", "p-2")])
        w.run(w.now + hours(12))
        push(w, "v2")
        w.run(w.now + hours(3))
    merging._merge.cache_clear()
    assert "prod" in inside(w)
    return w


def test_what_an_earlier_hub_let_in_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade holds nothing that is on its way, and says nothing of what is delivered (P7)."""
    w = of_an_earlier_hub(monkeypatch)
    made = w.run(w.now + hours(24))

    assert (made.reason, made.problem) == ("Delivered", "")


def test_what_an_earlier_hub_let_in_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan by which a change travels is not asked again whether it may: else nothing would go back (P3)."""
    w = of_an_earlier_hub(monkeypatch)
    before = running(w)["p-2"]
    push(w, "v3")  # asked for today, so it is not let in, and what is on its way stays what it is
    made = w.run(w.now + hours(0.1))
    assert made.reason == "Invalid"
    w.regions["p-2"].becomes_ill(w.regions["p-2"].rollouts["shop"].flying)
    w.run(w.now + hours(12))

    assert {running(w)[name] for name in ("p-1", "p-2")} == {before}, "the whole stage, as the plan says"


def test_an_alarm_with_an_empty_field_beside_is_told_like_any_other() -> None:
    """`metric:` with nothing behind it is no second fact."""
    found = ALARM | {"spec": {"metric": None, "expression": "ALARM(x"}}

    assert problem(objects=[found]).startswith("spec.objects (Alarm errors): spec.expression: line 1")


def test_an_empty_value_of_a_config_map_is_taken() -> None:
    """The API server reads `KEY:` as empty text."""
    assert problem(objects=[CONFIG | {"data": {"level": None}}]) == ""
