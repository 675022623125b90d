"""Which series make an expression be in ALARM, and of which alarms nobody can say whether they do."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from ombak.alarms import alerting, combine, metric, parser, signals
from ombak.alarms.syntax import Ref
from ombak.alarms.verdict import Certainty, Contributor, State, Verdict, unknown_verdict
from ombak.api.alarm import Comparison
from ombak.runtime.alarm_interest import held_back
from ombak.runtime.alarm_queries import QueryKey, metric_verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RULE = metric.Rule(Comparison.GREATER, 0.5, n=1, m=1)
KEY = QueryKey("", "up", timedelta(seconds=30))


def measured(name: str, **series: float | None) -> Verdict:
    """A metric alarm with these series, judged now; in ALARM above 0.5, None has no data."""
    points = {f'{{pod="{pod}"}}': [value] for pod, value in series.items()}
    return metric_verdict(name, metric.judge(RULE, points, metric.Memory()), NOW, KEY)


def combined(text: str, is_nested: bool = False, **children: Verdict) -> Verdict:
    """An expression over alarms."""
    parts = {Ref(name): combine.Part(name, one, is_nested) for name, one in children.items()}
    return combine.combine(parser.parse(text).expression, parts, NOW)


def told(verdict: Verdict) -> list[str]:
    """The causes in words."""
    return [str(cause) for cause in verdict.causes]


BAD, FINE = measured("x", a=1.0, b=0.0), measured("x", a=0.0)
A, B = 'x {pod="a"}', 'y {pod="b"}'
Y, SILENT = measured("y", b=1.0), measured("y", b=None)


@pytest.mark.parametrize(
    ("text", "children", "causes"),
    [
        pytest.param("ALARM(x)", {"x": BAD}, [A], id="only the series that breaches"),
        pytest.param("ALARM(x) OR ALARM(y)", {"x": BAD, "y": Y}, [A, B], id="two alarms"),
        pytest.param("ALARM(x) OR ALARM(y)", {"x": FINE, "y": Y}, [B], id="one of them"),
        pytest.param("ALARM(x) AND NOT ALARM(y)", {"x": BAD, "y": measured("y", b=0.0)}, [A, "y OK"], id="and not"),
        pytest.param(
            "INSUFFICIENT_DATA(y) OR ALARM(x)", {"x": BAD, "y": SILENT}, ["y INSUFFICIENT_DATA", A], id="gone"
        ),
        pytest.param("NOT OK(y) OR ALARM(x)", {"x": BAD, "y": SILENT}, [A], id="what is undecided is no cause"),
        pytest.param("AT_LEAST(1, ALARM, (x, y))", {"x": BAD, "y": Y}, [A, B], id="at least"),
        pytest.param("ALARM(x)", {"x": FINE}, [], id="nothing is in ALARM"),
        pytest.param("TRUE", {}, [], id="a constant names nothing"),
    ],
)
def test_causes_are_series(text: str, children: dict[str, Verdict], causes: list[str]) -> None:
    """Those that make the expression be what it is."""
    assert told(combined(text, **children)) == causes


def test_causes_reach_through_nested_expressions() -> None:
    """Down to the metric alarms."""
    inner = combined("ALARM(x) OR ALARM(y)", x=BAD, y=Y)

    assert told(combined("ALARM(inner)", is_nested=True, inner=inner)) == [A, B]


GONE = unknown_verdict("y", "Prometheus is down")


@pytest.mark.parametrize(
    ("text", "children", "unclear"),
    [
        pytest.param("ALARM(x)", {"x": BAD}, set(), id="all is known"),
        pytest.param("ALARM(x) OR ALARM(y)", {"x": BAD, "y": GONE}, {"y"}, id="certain all the same"),
        pytest.param("ALARM(x) AND ALARM(y)", {"x": BAD, "y": GONE}, {"x", "y"}, id="uncertain: what counted too"),
        pytest.param("ALARM(x) AND ALARM(y)", {"x": FINE, "y": GONE}, set(), id="OK for sure"),
        pytest.param("ALARM(y)", {}, {"y"}, id="not known at all"),
        pytest.param("ALARM(x)", {"x": measured("x", a=1.0, b=None)}, {"x"}, id="one series has no data"),
    ],
)
def test_what_is_not_known_is_unclear(text: str, children: dict[str, Verdict], unclear: set[str]) -> None:
    """It may still contribute, or not."""
    assert set(combined(text, **children).unclear) == unclear


def test_the_worst_of_several_has_the_causes_of_those_in_alarm_and_all_that_is_unclear() -> None:
    """A guard that is not known is not OK beside a signal in ALARM."""
    found = signals.worst([FINE, Y, unknown_verdict("z", "is down")])

    assert found is not None
    assert (found.is_alarm, told(found), found.unclear) == (True, [B], ("z",))


def test_a_verdict_that_is_held_back_contributes_nothing() -> None:
    """Too few samples: it has no state, and nobody can say."""
    found = held_back(BAD, "x", "has 3 samples, 10 are needed")

    assert (found.causes, found.unclear) == ((), ("x",))


def test_an_alerting_rules_alerts_are_its_contributors() -> None:
    """Each alert by itself."""
    firing = tuple(alerting.Instance({"pod": pod}, "firing") for pod in "ab")
    rule = alerting.AlertRule("g", "Slow", {}, "up == 0", "ok", "", NOW, timedelta(seconds=15), timedelta(0), firing)

    found = alerting.judge(alerting.Selector("Slow"), [rule], NOW).verdict("slow")

    assert {cause.alarm for cause in found.causes} == {"slow"}
    assert len({cause.series for cause in found.causes}) == 2
    broken = dataclasses.replace(rule, health="err")
    assert alerting.judge(alerting.Selector("Slow"), [broken], NOW).verdict("slow").unclear == ("slow",)


def test_a_contributor_reads_as_people_write_it() -> None:
    """And no two read the same."""
    assert str(Contributor("errors", '{pod="a"}')) == 'errors {pod="a"}'
    assert BAD.state is State.ALARM
    assert BAD.certainty is Certainty.Certain
