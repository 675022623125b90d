"""The compliance suite, run against this implementation (see compliance/README.md)."""

import pathlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from ombak.alarms import definition, metric, parser, resolve, syntax
from ombak.alarms.errors import ExpressionError
from ombak.alarms.verdict import Certainty, State, Verdict, unknown_verdict
from ombak.api.alarm import Comparison, TreatMissingData

SUITE = pathlib.Path(__file__).parent / "compliance"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALARM = definition.MetricAlarm("up", timedelta(seconds=30), metric.Rule(Comparison.GREATER, 0, 1, 1))


def _cases(*names: str) -> list[Any]:
    cases = [case for name in names for case in yaml.safe_load((SUITE / name).read_text())]
    return [pytest.param(case, id=case["id"]) for case in cases]


def _key(name: str) -> resolve.AlarmKey:
    namespace, slash, last = name.partition("/")
    return resolve.AlarmKey(namespace, last) if slash else resolve.AlarmKey("shop", name)


def _verdict(name: str, state: str) -> Verdict:
    if state == "stale":
        return unknown_verdict(name, "was last evaluated too long ago")
    return Verdict(State(state), Certainty.Certain, NOW, timedelta(seconds=30))


def _evaluate(expression: syntax.Expression, given: dict[str, Any]) -> Verdict:
    registry: dict[resolve.AlarmKey, definition.Definition | resolve.Broken] = {}
    verdicts = {}
    for name, told in given.items():
        if isinstance(told, dict):
            registry[_key(name)] = definition.ExpressionAlarm(parser.parse(told["expression"]).expression)
        else:
            registry[_key(name)] = ALARM
            verdicts[_key(name)] = _verdict(name, told)
    return resolve.resolve(expression, "shop", registry).evaluate(verdicts.__getitem__, NOW)


@pytest.mark.parametrize("case", _cases("syntax.yaml", "at-least.yaml", "truth.yaml", "cycles.yaml"))
def test_expression_does_what_the_suite_says(case: dict[str, Any]) -> None:
    """State, certainty, contributors and unknown children; or an error at the right place."""
    if "error" in case:
        with pytest.raises(ExpressionError) as caught:
            parser.parse(case["expression"])
        error, expected = caught.value, case["error"]
        assert (expected["line"], expected["column"]) == (error.line, error.column)
        assert expected.get("found", error.found) == error.found
        assert expected.get("says", "") in str(error)
        return
    parsed, expected = parser.parse(case["expression"]), case["result"]
    verdict = _evaluate(parsed.expression, case.get("given", {}))
    unknown = [line.partition(": ")[0] for line in verdict.unknown]
    assert (expected["state"], expected["certainty"]) == (verdict.state, verdict.certainty)
    assert expected.get("contributors", list(verdict.contributors)) == list(verdict.contributors)
    assert expected.get("unknown", unknown) == unknown
    printed = syntax.print_expression(parsed.expression)
    assert expected.get("printed", printed) == printed
    assert expected.get("warning", bool(parsed.warnings)) == bool(parsed.warnings)


@pytest.mark.parametrize("option", TreatMissingData)
@pytest.mark.parametrize("case", _cases("missing-data.yaml"))
def test_missing_data_does_what_the_suite_says(case: dict[str, Any], option: TreatMissingData) -> None:
    """The tables of AWS, from every state before."""
    points = [{"0": 0.0, "X": 2.0, "-": None}[sign] for sign in case["points"].split()]
    rule = metric.Rule(Comparison.GREATER, 1.0, n=case["n"], m=case["m"], missing=option)
    expected = case["result"][option.value]
    for before in State:
        found = metric.judge_series(rule, points, before)
        assert (before if expected == "keep" else expected) == found.state
        assert (expected == "keep") == found.kept
