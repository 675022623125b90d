"""Reading specs that slipped through: the problem names field and fix, and scaling goes on."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
import yaml
from api_manifests import ABSENT, alarm, rollout, with_field
from hypothesis import given
from hypothesis import strategies as st

from ombak.api.parse import (
    INVALID_REASON,
    ParsedSpec,
    parse_alarm_spec,
    parse_override_spec,
    parse_pipeline_spec,
    parse_region_spec,
    parse_rollout_spec,
    parse_window_spec,
    salvage_rollout_spec,
)

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def paths(value: Any, path: str = "") -> list[str]:
    """Every dotted path in a document, but the empty one."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, part in parts:
        found += [f"{path}{key}", *paths(part, f"{path}{key}.")]
    return found


FIELDS = [path for path in paths(rollout()["spec"]) if not path.split(".")[-1].isdigit()]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param("replicas", -1, ["spec.replicas must be greater than or equal to 0"], id="replicas"),
        pytest.param("strategy.rolling.batch", "50%", ["spec.strategy.rolling.batch:", "33% or less"], id="batch"),
        pytest.param("strategy.rolling.batch", 3.5, ["spec.strategy.rolling.batch must be"], id="batch-float"),
        pytest.param("strategy.bake.atMost", "1h", ["spec.strategy.bake:", "write a longer atMost"], id="at-most"),
        pytest.param(
            "strategy.bake.atLeast",
            [{"name": "a", "query": "q", "count": 0}],
            ["spec.strategy.bake.atLeast[0].count must be greater than or equal to 1"],
            id="list",
        ),
        pytest.param("strategy.rollin", {}, ["spec.strategy.rollin is no field", "mean rolling?"], id="typo"),
        pytest.param("alarms.revert", ABSENT, ["spec.alarms.revert is missing; write it"], id="missing"),
        pytest.param("unwatched", "no reason", ["spec:", "one of the two"], id="watched-and-unwatched"),
        pytest.param("zones", ABSENT, ["spec:", "write zones:"], id="zoneless"),
        pytest.param(
            "strategy.bake.atLeast",
            [{"name": "a", "query": "p", "count": 1}, {"name": "a", "query": "q", "count": 1}],
            ["spec.strategy.bake.atLeast:", "give each its own"],
            id="quotas-of-one-name",
        ),
        pytest.param(
            "strategy.oneBox.bake",
            {"for": "1h", "atMost": "2h", "atLeast": [{"name": "calls", "query": "other", "count": 1}]},
            ["spec.strategy:", "give atLeast.name another value"],
            id="quotas-of-one-name-in-two-bakes",
        ),
        pytest.param("progressDeadline", "0s", ["spec.progressDeadline:", "write 10m"], id="deadline"),
        pytest.param("progressDeadline", "1ms", ["spec.progressDeadline:", "at least 1s"], id="deadline-1ms"),
        pytest.param("progressDeadline", "5s", ["progressDeadline must be longer than minReadySeconds"], id="too-soon"),
        pytest.param("alarms.revert", "not (TRUE or FALSE)", ["spec.alarms.revert:", "names no alarm"], id="no-alarm"),
        pytest.param(
            "alarms.onUnknown",
            {"holdFor": "29s", "then": "Revert"},
            ["spec.alarms.onUnknown", "holdFor", "at least 30s"],
            id="hold",
        ),
        pytest.param(
            "template.metadata.labels",
            {"app": "front-end", "ombak.dev/zone": "a"},
            ["template.metadata.labels has ombak.dev/zone, but", "; remove it"],
            id="own-pod-label",
        ),
        pytest.param("template", [], ["spec.template must be a mapping"], id="template"),
        pytest.param("template.metadata", ABSENT, ["spec: template.metadata.labels", "add them"], id="labels"),
    ],
)
def test_a_problem_names_the_field_and_the_fix(path: str, value: object, expected: list[str]) -> None:
    """The path is the one that the user wrote."""
    parsed = parse_rollout_spec(with_field(rollout()["spec"], path, value))

    assert parsed.spec is None
    assert [part for part in expected if part not in parsed.problem] == []


RATIO = {"name": "errors", "ratio": {"bad": "a", "total": "b"}, "above": "1%"}
BAD_SIGNALS = [
    pytest.param({"above": 1}, ["write a share such as 1%"], id="ratio-above-1"),
    pytest.param({"above": "a lot"}, ["500ms"], id="threshold"),
    pytest.param({"below": "1%"}, ["write above", "one of the two"], id="two-limits"),
    pytest.param({"above": ABSENT}, ["write above", "one of the two"], id="no-limit"),
    pytest.param({"query": "up"}, ["exactly one of ratio"], id="two-kinds"),
    pytest.param({"ratio": ABSENT}, ["exactly one of ratio"], id="no-kind"),
    pytest.param({"ratio": ABSENT, "query": "up", "minSamples": 5}, ["leave minSamples out"], id="query-samples"),
    pytest.param({"datapointsToAlarm": 4}, ["write M of at most N"], id="m-of-n"),
    pytest.param({"period": "2h"}, ["from 1s to 1h"], id="period"),
    pytest.param({"name": "a b"}, ["spec.signals[0].name"], id="name"),
]


@pytest.mark.parametrize(("fields", "expected"), BAD_SIGNALS)
def test_a_problem_of_a_signal_names_it_and_the_fix(fields: dict[str, object], expected: list[str]) -> None:
    """By its place in the list."""
    signal = {name: value for name, value in (RATIO | fields).items() if value is not ABSENT}
    parsed = parse_rollout_spec(rollout()["spec"] | {"signals": [signal]})

    assert "spec.signals[0]" in parsed.problem
    assert [part for part in expected if part not in parsed.problem] == []


def test_signals_need_no_alarms_and_differ_in_name() -> None:
    """They are watched instead of `alarms`, or beside them."""
    raw = with_field(rollout()["spec"], "alarms", ABSENT)
    alone, twice = raw | {"signals": [RATIO]}, raw | {"signals": [RATIO, RATIO]}

    assert parse_rollout_spec(alone).problem == ""
    assert "two signals have the same name" in parse_rollout_spec(twice).problem
    assert "one of the two" in parse_rollout_spec(alone | {"unwatched": "both"}).problem


def test_several_problems_are_told_in_one_sentence() -> None:
    """The first with its fix, the others by name."""
    raw = with_field(with_field(rollout()["spec"], "replicas", -1), "paused", "perhaps")

    assert parse_rollout_spec(raw).problem == (
        "spec.replicas must be greater than or equal to 0 (see also spec.paused)"
    )


@pytest.mark.parametrize(
    ("parse", "raw"),
    [
        pytest.param(parse_rollout_spec, rollout()["spec"], id="rollout"),
        pytest.param(parse_alarm_spec, alarm()["spec"], id="alarm"),
    ],
)
def test_a_right_spec_has_no_problem(parse: Callable[[object], ParsedSpec[Any]], raw: object) -> None:
    """It is read as it stands."""
    parsed = parse(raw)

    assert (parsed.spec is not None, parsed.problem) == (True, "")


@pytest.mark.parametrize(
    ("api_version", "kind", "fragment"),
    [
        pytest.param("apps/v1", "Deployment", "apps/v1 Deployment does not travel; only these travel", id="workload"),
        pytest.param("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "does not travel", id="rights"),
        pytest.param("v2", "Service", "v1 Service", id="version"),
        pytest.param("v1", "Secret", "a Secret never travels", id="secret"),
        pytest.param("v1", "Service", "", id="service"),
    ],
)
def test_what_no_region_takes_is_refused_before_anything_is_delivered(
    api_version: str, kind: str, fragment: str
) -> None:
    """Not after the first region has baked it for half a day."""
    travels = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}}
    problem = parse_pipeline_spec({"objects": [travels]}).problem

    assert (fragment in problem, bool(problem)) == (True, bool(fragment))


def test_the_examples_are_right() -> None:
    """What a user copies first has no problem."""
    parsers: dict[str, Callable[[object], ParsedSpec[Any]]] = {
        "Rollout": parse_rollout_spec,
        "Alarm": parse_alarm_spec,
        "Override": parse_override_spec,
        "Pipeline": parse_pipeline_spec,
        "Region": parse_region_spec,
        "Window": parse_window_spec,
    }
    documents = [document for file in EXAMPLES.glob("**/*.yaml") for document in yaml.safe_load_all(file.read_text())]
    ours = [document for document in documents if document["kind"] in parsers]

    assert ours
    assert {parsers[document["kind"]](document["spec"]).problem for document in ours} == {""}


@pytest.mark.parametrize(
    ("path", "value", "fragment"),
    [
        pytest.param("metric", ABSENT, "exactly one of metric, alertingRule and expression", id="neither"),
        pytest.param("expression", "ALARM(a)", "exactly one of metric, alertingRule and expression", id="both"),
        pytest.param("metric.datapointsToAlarm", 9, "spec.metric: datapointsToAlarm 9 is more than", id="m-of-n"),
        pytest.param("metric.period", "fast", "spec.metric.period: 'fast' is no duration: write", id="period"),
        pytest.param("metric.comparison", ">", "spec.metric.comparison must be 'Greater", id="comparison"),
    ],
)
def test_a_problem_of_an_alarm_names_field_and_fix(path: str, value: object, fragment: str) -> None:
    """As for a Rollout."""
    assert fragment in parse_alarm_spec(with_field(alarm()["spec"], path, value)).problem


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("strategy.rolling.batch", "50%", id="batch"),
        pytest.param("strategy", "fast", id="strategy"),
        pytest.param("progressDeadline", "soon", id="deadline"),
        pytest.param("progressDeadline", "5s", id="never-ready"),
        pytest.param("minReadySeconds", 600, id="never-ready-by-default"),
        pytest.param("alarms", {}, id="alarms"),
        pytest.param("alarms", ABSENT, id="nothing-watched"),
        pytest.param("template.metadata.labels", {"app": "other"}, id="labels"),
        pytest.param("paused", "perhaps", id="paused"),
        pytest.param("whatever", 1, id="unknown-field"),
    ],
)
def test_scaling_goes_on_with_what_is_valid(path: str, value: object) -> None:
    """Replicas and selector are as written, and everything new is held."""
    raw = with_field(rollout()["spec"], "strategy.oneBox.scope", "Region")
    salvaged = salvage_rollout_spec(with_field(raw, path, value))

    assert salvaged is not None
    assert (salvaged.replicas, salvaged.paused) == (10, True)
    assert salvaged.selector.match_labels == {"app": "front-end"}


def test_quotas_that_contradict_each_other_move_no_box() -> None:
    """The scope of the one box, which says where boxes are, is kept; quotas of one name and query are right."""
    quota = {"name": "calls", "query": "sum(calls)", "count": 1}
    same = with_field(rollout()["spec"], "strategy.oneBox.bake", {"for": "1h", "atMost": "2h", "atLeast": [quota]})
    other = with_field(same, "strategy.oneBox.bake.atLeast", [quota | {"query": "other"}])

    salvaged = salvage_rollout_spec(other)

    assert parse_rollout_spec(same).problem == ""
    assert salvaged is not None
    assert (salvaged.strategy.one_box.scope, salvaged.strategy.bake.at_least) == ("Zone", [])


def test_alarms_that_are_valid_are_kept() -> None:
    """A mistake elsewhere does not switch them off, and `unwatched` beside them does not either."""
    salvaged = salvage_rollout_spec(with_field(rollout()["spec"], "unwatched", "both"))

    assert salvaged is not None
    assert salvaged.alarms is not None
    assert salvaged.alarms.revert == 'ALARM("errors")'


def test_alarms_that_are_invalid_are_said_to_be_missing() -> None:
    """Instead of the reason that the user did not give."""
    salvaged = salvage_rollout_spec(with_field(rollout()["spec"], "alarms", ABSENT) | {"unwatched": None})

    assert salvaged is not None
    assert salvaged.unwatched == INVALID_REASON


def test_unreadable_replicas_are_those_that_run() -> None:
    """None means the observed count."""
    salvaged = salvage_rollout_spec(with_field(rollout()["spec"], "replicas", -1))

    assert salvaged is not None
    assert salvaged.replicas is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("selector", {}, id="selector"),
        pytest.param("selector.matchLabels", {"ombak.dev/box": "x"}, id="own-label"),
        pytest.param("zones", ["a", "a"], id="zones"),
        pytest.param("zones", ABSENT, id="zoneless"),
        pytest.param("strategy.oneBox.scope", "zone", id="scope"),
        pytest.param("template", ABSENT, id="template"),
    ],
)
def test_no_guess_is_made_at_where_the_boxes_are(path: str, value: object) -> None:
    """A wrong guess would move what runs."""
    assert salvage_rollout_spec(with_field(rollout()["spec"], path, value)) is None


@given(path=st.sampled_from(FIELDS), value=JSON)
def test_whatever_a_field_holds_is_read_without_an_error(path: str, value: object) -> None:
    """There is a spec or a problem, never both; what is salvaged is held, and the input stays as it was."""
    raw = with_field(rollout()["spec"], path, value)
    before = json.dumps(raw)

    parsed, salvaged = parse_rollout_spec(raw), salvage_rollout_spec(raw)

    assert (parsed.spec is None) == parsed.problem.startswith("spec")
    assert salvaged is None or salvaged.paused
    assert salvaged is not None or parsed.spec is None
    assert before == json.dumps(raw)


def test_the_schema_is_made_once_for_all_typos(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelled field is read again at every event of the object, and a schema takes as long as many passes."""
    typo = rollout()["spec"] | {"rollin": {}}
    first = parse_rollout_spec(typo)
    monkeypatch.setattr(pydantic.BaseModel, "model_json_schema", None)

    assert parse_rollout_spec(typo) == first
    assert "rollin is no field" in first.problem
