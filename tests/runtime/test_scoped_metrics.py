"""A Prometheus of several regions answers for one of them only."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ombak.alarms import alerting
from ombak.alarms.alerting import AlertRule, Instance, Selector
from ombak.alarms.verdict import State
from ombak.runtime.metrics_port import QueryError, QueryErrorKind, QueryResult, RulesResult
from ombak.runtime.scoped_metrics import ScopedSource

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Asked:
    """Remembers what it was asked."""

    limit = timedelta(seconds=12)

    def __init__(self, *rules: AlertRule) -> None:
        self.queries: list[str] = []
        self.rules = rules

    async def query(self, query: str, at: datetime) -> QueryResult:
        self.queries.append(query)
        return QueryResult(())

    async def query_range(self, query: str, start: datetime, end: datetime, step: timedelta) -> QueryResult:
        return await self.query(query, end)

    async def has_series(self, selector: str, start: datetime, end: datetime) -> bool:
        self.queries.append(selector)
        return True

    async def scrape_interval(self) -> timedelta | None:
        return timedelta(seconds=15)

    async def alert_rules(self) -> RulesResult:
        return RulesResult(self.rules)


def scoped(source: Asked) -> ScopedSource:
    return ScopedSource(source, {"region": "eu"})


def rule(*instances: Instance, **labels: str) -> AlertRule:
    return AlertRule("g", "Errors", labels, "up", "ok", "", NOW, timedelta(minutes=1), timedelta(0), instances)


async def test_every_way_of_asking_is_scoped() -> None:
    """Queries over time, at a moment, and the search for series; the interval is that of all."""
    source = Asked()
    own = scoped(source)
    await own.query("up", NOW)
    await own.query_range("rate(up[1m])", NOW, NOW, timedelta(seconds=1))
    await own.has_series('up{job="a"}', NOW, NOW)

    assert source.queries == ['up{region="eu"}', 'rate(up{region="eu"}[60s])', 'up{job="a", region="eu"}']
    assert await own.scrape_interval() == timedelta(seconds=15)


async def test_what_cannot_be_scoped_is_not_asked() -> None:
    """A query with a fixed moment is no answer for anybody."""
    source = Asked()
    with pytest.raises(QueryError) as refused:
        await scoped(source).query("up @ 5", NOW)

    assert (refused.value.kind, source.queries) == (QueryErrorKind.BAD_QUERY, [])


async def test_another_source_is_asked_from_the_next_question_on() -> None:
    """With its own matchers."""
    first, second = Asked(), Asked()
    own = scoped(first)
    await own.query("up", NOW)
    own.use(second, {"cluster": "c"})
    await own.query("up", NOW)

    assert (first.queries, second.queries) == (['up{region="eu"}'], ['up{cluster="c"}'])


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param([rule(Instance({"region": "eu"}, "firing"))], State.ALARM, id="ours"),
        pytest.param([rule(Instance({"region": "us"}, "firing"))], State.OK, id="theirs"),
        pytest.param([rule(Instance({}, "firing"), region="eu")], State.ALARM, id="rule-of-ours"),
        pytest.param([rule(Instance({}, "firing"), region="us"), rule(region="eu")], State.OK, id="rule-of-theirs"),
        pytest.param([rule(Instance({}, "firing"), region="us")], State.INSUFFICIENT_DATA, id="no-rule-of-ours"),
        pytest.param([rule(Instance({}, "firing"))], State.INSUFFICIENT_DATA, id="nobody-knows-where"),
        pytest.param([rule(Instance({}, "inactive"))], State.OK, id="nothing-fires"),
        pytest.param([rule()], State.OK, id="no-alerts"),
    ],
)
async def test_alerts_of_other_regions_are_not_ours(rules: list[AlertRule], expected: State) -> None:
    """One that fires without saying where is unknown: neither ours to revert for, nor to be ignored."""
    found = await scoped(Asked(*rules)).alert_rules()
    judged: Any = alerting.judge(Selector("Errors"), found.rules, NOW)

    assert judged.state is expected
