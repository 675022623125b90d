"""From expressions to metric alarms: what is reached, and how old the knowledge is."""

from datetime import UTC, datetime, timedelta

import pytest

from ombak.alarms import combine, definition, metric, parser, resolve, syntax
from ombak.alarms.resolve import AlarmKey, Broken
from ombak.alarms.syntax import Ref
from ombak.alarms.verdict import Certainty, State, Verdict, unknown_verdict
from ombak.api.alarm import AlarmSpec, Comparison

NOW = datetime(2026, 1, 1, tzinfo=UTC)
METRIC = definition.MetricAlarm("up", timedelta(seconds=30), metric.Rule(Comparison.GREATER, 0, 1, 1))


def _expression(text: str) -> definition.ExpressionAlarm:
    return definition.ExpressionAlarm(parser.parse(text).expression)


def _verdict(state: State, seconds_ago: float = 0, window: float = 30, message: str = "") -> Verdict:
    at = NOW - timedelta(seconds=seconds_ago)
    return Verdict(state, Certainty.Certain, at, timedelta(seconds=window), message=message)


def test_everything_that_is_reached_is_in_one_of_three() -> None:
    """Metric alarms, nested expressions, and what is unknown with its reason."""
    registry = {
        AlarmKey("shop", "top"): _expression("ALARM(m) OR ALARM(infra/disk) OR OK(gone) OR OK(odd)"),
        AlarmKey("shop", "m"): METRIC,
        AlarmKey("infra", "disk"): _expression("ALARM(full)"),
        AlarmKey("infra", "full"): METRIC,
        AlarmKey("shop", "odd"): Broken("line 1, column 1: nonsense"),
        AlarmKey("shop", "stranger"): METRIC,
    }
    found = resolve.resolve(parser.parse("ALARM(top)").expression, "shop", registry)
    assert {AlarmKey("shop", "m"), AlarmKey("infra", "full")} == set(found.leaves)
    assert [AlarmKey("infra", "disk"), AlarmKey("shop", "top")] == list(found.expressions)
    assert {
        AlarmKey("shop", "gone"): "does not exist",
        AlarmKey("shop", "odd"): "cannot be understood: line 1, column 1: nonsense",
    } == found.unknown


def test_the_name_of_the_own_region_is_as_good_as_none() -> None:
    """In what a Rollout says and in what an Alarm does, also where it closes a cycle; others' alarms are unknown."""
    registry = {
        AlarmKey("shop", "a"): METRIC,
        AlarmKey("shop", "both"): definition.define(
            AlarmSpec.model_validate({"expression": "AT_LEAST(1, ALARM, (eu-1/shop/a, us-1/shop/a))"}), "eu-1"
        ),
        AlarmKey("shop", "self"): definition.define(
            AlarmSpec.model_validate({"expression": "ALARM(eu-1/shop/self)"}), "eu-1"
        ),
    }
    wanted = "ALARM(eu-1/shop/both) OR NOT ALARM(eu-1/shop/self)"
    found = resolve.resolve(syntax.in_region(parser.parse(wanted).expression, "eu-1"), "other", registry)
    assert [AlarmKey("shop", "a")] == list(found.leaves)
    assert found.cyclic == (AlarmKey("shop", "self"),)
    assert "us-1/shop/a: is not in this region" in found.unresolved
    assert not [line for line in found.unresolved if line.startswith("eu-1")]


def test_without_a_name_of_the_own_region_all_are_elsewhere() -> None:
    """A region that does not know its name cannot tell."""
    expression = syntax.in_region(parser.parse("ALARM(eu-1/shop/a) AND ALARM(shop/a)").expression, None)
    found = resolve.resolve(expression, "shop", {AlarmKey("shop", "a"): METRIC})
    assert found.unresolved == ("eu-1/shop/a: is not in this region",)


def test_expressions_may_be_nested_deeper_than_python_recurses() -> None:
    """Five thousand alarms, each naming the next one."""
    registry: dict[AlarmKey, definition.Definition | Broken] = {
        AlarmKey("shop", f"a{i}"): _expression(f"ALARM(a{i + 1})") for i in range(5_000)
    }
    registry[AlarmKey("shop", "a5000")] = METRIC
    found = resolve.resolve(parser.parse("ALARM(a0)").expression, "shop", registry)
    verdict = found.evaluate(lambda _: _verdict(State.ALARM), NOW)
    assert (State.ALARM, Certainty.Certain, ("a5000",)) == (verdict.state, verdict.certainty, verdict.contributors)


def test_a_combined_verdict_is_as_old_as_its_oldest_and_as_wide_as_its_widest_child() -> None:
    """So that evidence counts from the moment since which all data is."""
    children = {"a": _verdict(State.OK, seconds_ago=5, window=30), "b": _verdict(State.OK, seconds_ago=1, window=90)}
    found = _combine("ALARM(a) OR ALARM(b)", children)
    assert found.is_ok
    assert (NOW - timedelta(seconds=5), timedelta(seconds=90)) == (found.evaluated_at, found.window)
    assert NOW - timedelta(seconds=95) == found.window_start


def test_a_child_that_is_unknown_does_not_age_what_is_certain_without_it() -> None:
    """OR with a true side."""
    found = _combine("ALARM(a) OR ALARM(b)", {"a": _verdict(State.ALARM), "b": unknown_verdict("b", "is gone")})
    assert found.is_alarm
    assert (found.evaluated_at, found.unknown) == (NOW, ("b: is gone",))


@pytest.mark.parametrize("seconds_ago", [pytest.param(61, id="too long ago"), pytest.param(-61, id="in the future")])
def test_a_child_evaluated_at_another_time_is_unknown(seconds_ago: float) -> None:
    """Stale knowledge, or a clock that jumped back."""
    found = _combine("ALARM(a)", {"a": _verdict(State.OK, seconds_ago)}, stale_after=timedelta(minutes=1))
    assert found.is_unknown
    assert found.evaluated_at is None


def test_a_constant_is_evaluated_now() -> None:
    """FALSE never alarms, and is not unknown for want of data."""
    found = _combine("FALSE", {})
    assert (True, NOW, timedelta(0), "always OK") == (found.is_ok, found.evaluated_at, found.window, found.message)


def test_the_message_quotes_who_made_it_alarm() -> None:
    """The numbers of the contributor, not of the others."""
    children = {"a": _verdict(State.OK, message="a: 0"), "b": _verdict(State.ALARM, message="b: 7 (alarms when > 1)")}
    assert _combine("ALARM(a) OR ALARM(b)", children).message == "b: 7 (alarms when > 1)"


def _combine(text: str, children: dict[str, Verdict], stale_after: timedelta | None = None) -> Verdict:
    parts = {Ref(name): combine.Part(name, verdict) for name, verdict in children.items()}
    return combine.combine(parser.parse(text).expression, parts, NOW, stale_after)


def test_a_spec_is_defined_with_its_defaults() -> None:
    """M is N where it is not given."""
    spec = AlarmSpec.model_validate(
        {"metric": {"query": "up", "comparison": "LessThanThreshold", "threshold": 1, "evaluationPeriods": 3}}
    )
    expected = definition.MetricAlarm("up", timedelta(seconds=30), metric.Rule(Comparison.LESS, 1, n=3, m=3))
    assert expected == definition.define(spec)


def test_of_many_unknown_series_some_are_named() -> None:
    """A status is no place for a thousand pods."""
    unknown = tuple(f"a {{pod={i}}}: not enough data" for i in range(1_000))
    child = Verdict(State.OK, Certainty.Uncertain, NOW, timedelta(0), unknown=unknown)
    assert _combine("ALARM(a)", {"a": child}).unknown == (*unknown[:3], "a: 997 more series like this")
