"""Signals: the queries they become, whom these speak of, and what several verdicts are together."""

import itertools
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import promql_parser as promql
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ombak.alarms import scope, traps
from ombak.alarms.errors import AlarmError
from ombak.alarms.signals import define_signal, problem_of, worst
from ombak.alarms.template import Context
from ombak.alarms.verdict import Certainty, State, Verdict
from ombak.api.alarm import Comparison
from ombak.api.signal import Signal

PODS = r"front[.]end-(a1[0-9a-f]{10}|onebox)"
CONTEXT = Context(namespace="shop", name="front.end", pods=PODS)
RATIO = {"ratio": {"bad": 'requests_total{code=~"5.."}', "total": "requests_total"}, "above": "1%"}
QUANTILE = {"quantile": {"of": "latency_bucket", "q": 0.99}, "above": "500ms"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def signal(**fields: Any) -> Signal:
    return Signal.model_validate({"name": "s"} | fields)


def query(text: str, **fields: Any) -> Signal:
    return signal(query=text, **({"above": 1} | fields))


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(signal(**RATIO), id="ratio"),
        pytest.param(signal(**QUANTILE), id="quantile"),
        pytest.param(query('sum(rate(a{pod="x"}[1m] offset 5m)) by (pod) / on (pod) b or vector(0)'), id="query"),
        pytest.param(query("max_over_time(rate(a[1m])[10m:30s]) unless {__name__=~'b.*'}"), id="subquery"),
    ],
)
def test_every_selector_is_scoped_by_namespace_and_pod_alone(made: Signal) -> None:
    """Also in what counts the samples; the values arrive as they are, whatever has to be escaped."""
    alarm = define_signal(made, CONTEXT)
    for text in filter(None, (alarm.query, alarm.samples.query if alarm.samples else "")):
        found = traps.selectors(text)
        assert found
        for each in found:
            matchers = {(m.label, m.operator, m.value) for m in each.matchers}
            assert {("namespace", "=", "shop"), ("pod", "=~", PODS)} <= matchers


def test_scoping_changes_nothing_else_of_a_query() -> None:
    """Taking the conditions out again gives the query as it was."""
    text = 'sum by (code) (rate(a{code!="b\\"c\\\\d",pod="x"}[5m] offset 1m)) / ignoring (x) group_left (y) -b > bool 1'
    without = squeezed(scope.narrowed(text))
    assert without == squeezed(promql.parse(text).prettify())
    scoped = squeezed(scope.narrowed(text, ("namespace", "=", "shop")))
    assert scoped.count('namespace="shop"') == 2
    assert scoped.replace(',namespace="shop"', "").replace('{namespace="shop"}', "") == without


def squeezed(text: str) -> str:
    """Long queries are printed in several lines."""
    return re.sub(r"\s+", "", text)


def test_a_query_that_names_the_pods_is_asked_as_written() -> None:
    """It may join series that carry no pod."""
    text = 'sum(a{pod=~"$(pods)"}) / on() scalar_of_all'
    assert define_signal(query(text), CONTEXT).query == text.replace("$(pods)", PODS)


@pytest.mark.parametrize(
    ("fields", "comparison", "threshold"),
    [
        pytest.param({"above": "1%"}, Comparison.GREATER, 0.01, id="percent"),
        pytest.param({"above": "1500ms"}, Comparison.GREATER, 1.5, id="duration"),
        pytest.param({"below": 100}, Comparison.LESS, 100, id="number"),
        pytest.param({"below": "0.25"}, Comparison.LESS, 0.25, id="decimal"),
        pytest.param({"below": "-2m"}, Comparison.LESS, -120, id="negative"),
    ],
)
def test_limits_are_read_as_people_write_them(fields: dict[str, Any], comparison: Comparison, threshold: float) -> None:
    """Shares of 1, seconds, or as they are."""
    rule = define_signal(signal(query="a", **fields), CONTEXT).rule
    assert (rule.comparison, rule.threshold, rule.n, rule.m) == (comparison, threshold, 3, 2)


@pytest.mark.parametrize(
    ("made", "count"),
    [
        pytest.param(signal(**RATIO), 10, id="ratio"),
        pytest.param(signal(**QUANTILE), 100, id="p99"),
        pytest.param(signal(**QUANTILE, minSamples=7), 7, id="own"),
    ],
)
def test_samples_are_counted_over_all_that_is_looked_at(made: Signal, count: int) -> None:
    """Four periods for a point, and two points before it."""
    samples = define_signal(made, CONTEXT).samples
    assert samples is not None
    assert (samples.count, samples.window) == (count, timedelta(seconds=180))
    assert samples.query.endswith("[180s])")


@pytest.mark.parametrize(
    ("made", "field", "says"),
    [
        pytest.param({**RATIO, "ratio": {"bad": "rate(a[1m])", "total": "a"}}, "ratio.bad", "one selector", id="rate"),
        pytest.param({**RATIO, "ratio": {"bad": "a", "total": "a{"}}, "ratio.total", "cannot be read", id="syntax"),
        pytest.param({**QUANTILE, "quantile": {"of": "a offset 5m", "q": 0.5}}, "quantile.of", "selector", id="offset"),
        pytest.param({"query": "a > 5", "above": 1}, "query", "drops every series that is well", id="comparison"),
        pytest.param({"query": "a{$(pod)}", "above": 1}, "query", "$(pods)", id="variable"),
        pytest.param(
            {**RATIO, "ratio": {"bad": 'a{z="$(zone)"}', "total": "a"}}, "ratio.bad", "an Alarm with it", id="zone"
        ),
    ],
)
def test_a_query_that_cannot_work_is_told_by_its_field(made: dict[str, Any], field: str, says: str) -> None:
    """With what to write instead."""
    found = problem_of([signal(**RATIO), signal(**made)])
    assert found.startswith(f"spec.signals[1].{field}: ")
    assert says in found
    assert problem_of([signal(**RATIO), signal(**QUANTILE)]) == ""


def test_or_between_matchers_is_refused() -> None:
    """The parser reads it, Prometheus does not."""
    with pytest.raises(AlarmError, match="two selectors"):
        define_signal(query('a{b="1" or c="2"}'), CONTEXT)


def verdict(kind: str, seconds: int) -> Verdict:
    state = {"ok": State.OK, "alarm": State.ALARM, "unknown": State.OK, "cold": State.INSUFFICIENT_DATA}[kind]
    certainty = Certainty.Certain if kind in ("ok", "alarm") else Certainty.Uncertain
    at = None if kind == "cold" else NOW - timedelta(seconds=seconds)
    return Verdict(state, certainty, at, timedelta(seconds=seconds), message=f"{kind} {seconds}")


KINDS = st.sampled_from(["ok", "alarm", "unknown", "cold"])


@given(st.lists(st.tuples(KINDS, st.integers(0, 900)), min_size=1, max_size=5))
def test_several_verdicts_are_their_worst(parts: list[tuple[str, int]]) -> None:
    """ALARM beats unknown, unknown beats OK; it claims no younger data than its parts have."""
    verdicts = [verdict(*part) for part in parts]
    found = worst(verdicts)
    assert found is not None
    assert found.is_alarm == any(v.is_alarm for v in verdicts)
    assert found.is_ok == all(v.is_ok for v in verdicts)
    if found.is_ok:
        assert found.window_start is not None
        assert all(v.window_start is not None and found.window_start <= v.window_start for v in verdicts)


def test_the_order_of_verdicts_says_nothing() -> None:
    """For what decides."""
    parts = [verdict("ok", 1), verdict("unknown", 2), verdict("cold", 3)]
    found = {(w.state, w.certainty, w.evaluated_at, w.window) for w in map(worst, itertools.permutations(parts)) if w}
    assert len(found) == 1
    assert worst([]) is None
