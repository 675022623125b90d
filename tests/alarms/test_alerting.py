"""Alerting rules of a Prometheus: what they say, and when they say nothing."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ombak.alarms.alerting import AlertRule, Instance, Selector, Uptime, judge
from ombak.api.health import State

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULE = AlertRule(
    group="shop",
    name="HighErrors",
    labels={"severity": "page", "team": "shop"},
    query="rate(errors[2m]) > 1",
    health="ok",
    last_error="",
    last_evaluation=NOW - timedelta(seconds=20),
    interval=MINUTE,
    holds=5 * MINUTE,
)
BY_NAME, BY_TEAM = Selector("HighErrors"), Selector("", (("team", "shop"),))


def _rule(*states: str, **changes: Any) -> AlertRule:
    instances = tuple(
        Instance({"alertname": "HighErrors", "team": "shop", "pod": f"p{i}"}, each) for i, each in enumerate(states)
    )
    return dataclasses.replace(RULE, instances=instances, **changes)


@pytest.mark.parametrize(
    ("instances", "state", "window"),
    [
        pytest.param((), State.OK, 2 * MINUTE, id="inactive"),
        pytest.param(("pending",), State.OK, 8 * MINUTE, id="pending"),
        pytest.param(("pending", "firing"), State.ALARM, 8 * MINUTE, id="one of two fires"),
        pytest.param(("inactive",), State.OK, 2 * MINUTE, id="inactive instance"),
    ],
)
@pytest.mark.parametrize("selector", [pytest.param(BY_NAME, id="name"), pytest.param(BY_TEAM, id="labels")])
def test_firing_is_alarm_and_the_rest_is_ok(
    selector: Selector, instances: tuple[str, ...], state: State, window: timedelta
) -> None:
    """As of the rule's own evaluation; while one is pending the evidence needs the time that it takes to fire."""
    verdict = judge(selector, [_rule(*instances)], NOW).verdict("a")
    assert (verdict.state, verdict.evaluated_at, verdict.window) == (state, RULE.last_evaluation, window)
    assert not verdict.is_unknown


@given(st.integers(5, 300), st.integers(0, 1800), st.integers(1, 300), st.floats(0, 1), st.floats(0, 1))
def test_no_step_passes_an_alert_that_is_on_its_way(
    interval: int, holds: int, reach: int, share: float, off: float
) -> None:
    """What is bad since a step, and shows after a share of the range, fires before there is evidence of OK (B4.7)."""
    second, active = timedelta(seconds=1), None
    changes = {"interval": interval * second, "holds": holds * second, "query": f"rate(errors[{reach}s]) > 1"}
    for index in range((reach + holds) // interval + 4):
        at = NOW + (index + off) * interval * second
        active = at if active is None and at >= NOW + share * reach * second else active
        state = "inactive" if active is None else "firing" if at - active >= holds * second else "pending"
        found = judge(BY_NAME, [_rule(state, **changes, last_evaluation=at)], at).verdict("a")
        assert found.is_alarm or (found.window_start or at) < NOW
    assert found.is_alarm


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        pytest.param([], "no alerting rule HighErrors is loaded", id="missing"),
        pytest.param([_rule(name="Other")], "no alerting rule HighErrors", id="another name"),
        pytest.param([_rule(health="err", last_error="many-to-many")], "is broken (many-to-many)", id="broken"),
        pytest.param(
            [_rule("firing", health="err", last_error="exceeded limit of 1 with 2 alerts")],
            "exceeded limit",
            id="limit exceeded",
        ),
        pytest.param([_rule(health="unknown")], "health unknown", id="health unknown"),
        pytest.param([_rule(last_evaluation=None)], "was never evaluated", id="never evaluated"),
        pytest.param([_rule("firing", last_evaluation=NOW - 4 * MINUTE)], "240 s ago", id="late"),
        pytest.param([_rule(), _rule(health="err")], "is broken", id="one of two broken"),
    ],
)
def test_a_rule_that_says_nothing_is_unknown(rules: list[AlertRule], says: str) -> None:
    """Never OK, and never ALARM either."""
    verdict = judge(BY_NAME, rules, NOW).verdict("a")
    assert verdict.is_unknown
    assert verdict.evaluated_at is None
    assert says in verdict.message


def test_one_that_fires_is_certain_beside_a_broken_one() -> None:
    """The OR is true however the broken one turns out; that it is broken is told."""
    verdict = judge(BY_NAME, [_rule("firing"), _rule(health="err", last_error="no")], NOW).verdict("a")
    assert verdict.is_alarm
    assert verdict.unknown == ("a: rule 'HighErrors' is broken (no)",)


def test_three_intervals_late_is_not_late_yet() -> None:
    """A busy Prometheus skips one now and then."""
    assert judge(BY_NAME, [_rule(last_evaluation=NOW - 3 * MINUTE)], NOW).verdict("a").is_ok


def test_contributors_are_named_by_what_makes_them_different() -> None:
    """Not by the labels that every alert of the rule has."""
    result = judge(BY_NAME, [_rule("firing", "pending", "firing")], NOW)
    assert result.contributors == ('HighErrors{pod="p0"}', 'HighErrors{pod="p2"}')
    assert result.message == 'HighErrors{pod="p0"}, HighErrors{pod="p2"} firing'
    assert result.time_to_alarm == 6 * MINUTE


def test_a_selector_means_all_of_its_labels() -> None:
    """And the name, if there is one."""
    both = Selector("HighErrors", (("severity", "page"), ("team", "shop")))
    assert both.matches(RULE)
    assert not Selector("HighErrors", (("team", "other"),)).matches(RULE)
    assert str(both) == 'HighErrors{severity="page", team="shop"}'


@pytest.mark.parametrize("states", [pytest.param((), id="inactive"), pytest.param(("firing",), id="firing")])
@pytest.mark.parametrize(
    ("minutes", "is_known"),
    [
        pytest.param(6, False, id="its window is not full"),
        pytest.param(8, True, id="it saw a whole window"),
        pytest.param(None, True, id="not told"),
    ],
)
def test_a_prometheus_that_just_came_is_not_relied_upon(
    states: tuple[str, ...], minutes: int | None, is_known: bool
) -> None:
    """Its store may be empty: then inactive is no health, and firing may be `absent()`."""
    since = None if minutes is None else NOW - minutes * MINUTE
    verdict = judge(BY_NAME, [_rule(*states)], NOW, Uptime(since, 2 * MINUTE)).verdict("a")
    assert is_known is not verdict.is_unknown
    assert is_known or "after Prometheus started" in verdict.message
