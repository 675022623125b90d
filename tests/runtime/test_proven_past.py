"""Proofs of a past that nobody watched: never time in which an alarm was bad or unknown, never more than passed."""

import asyncio
import random
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ombak.alarms import metric
from ombak.alarms.history import Stretch, length_of
from ombak.alarms.resolve import AlarmKey
from ombak.alarms.template import Context
from ombak.api.alarm import AlarmSpec, Comparison
from ombak.runtime.alarm_interest import Wanted
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.metrics_port import QueryError, QueryErrorKind, QueryResult
from ombak.simulation.agenda import run_virtual
from support.fake_metrics import FakeClock, FakeSource

GAP = timedelta(seconds=120)
PERIODS = {"fast": 1, "slow": 5}


class Past:
    """Two metric alarms (M = N = 2) over values by second; None is no data."""

    def __init__(self, fast: list[float | None], slow: list[float | None] | None = None) -> None:
        self.clock, self.source = FakeClock(), FakeSource()
        self.start, self.clock.wall = self.clock.wall, self.clock.wall + timedelta(hours=1)
        self.until = self.clock.wall
        self.since = self.until - GAP
        self.lines = {"fast": fast, "slow": slow or [0.0]}
        for name, line in self.lines.items():
            self.source.values[name] = {"": lambda moment, line=line: self.value(line, moment)}
        self.service = AlarmService({"": self.source}, self.clock, lambda _: None, rng=random.Random(1))
        for name, period in PERIODS.items():
            rule = {"query": name, "comparison": "GreaterThanThreshold", "threshold": 0.5, "period": f"{period}s"}
            self.service.set_alarm(AlarmKey("shop", name), AlarmSpec.model_validate({"metric": rule}))

    def value(self, line: list[float | None], moment: datetime) -> float | None:
        """The line begins ten seconds before the gap; its last value stays."""
        return line[max(0, min(len(line) - 1, int((moment - self.since).total_seconds()) + 10))]

    def watch(self, expression: str = "ALARM(fast) OR ALARM(slow)") -> None:
        self.service.watch("r1", {"revert": Wanted(expression, "shop", Context("shop"))}, is_active=True)

    async def proven(self) -> tuple[Stretch, ...]:
        return await self.service.ok_stretches("r1", self.since, self.until)

    def seconds(self, stretch: Stretch) -> tuple[float, float]:
        return (stretch[0] - self.since).total_seconds(), (stretch[1] - self.since).total_seconds()


async def test_a_gap_that_was_good_is_proven_whole() -> None:
    """From its first moment to its last, with one question each, and one for when there was something stored."""
    past = Past([0.0])
    past.watch()
    assert await past.proven() == ((past.since, past.until),)
    assert sorted(past.source.asked) == ["fast", "max(timestamp(fast))", "max(timestamp(slow))", "slow"]


@pytest.mark.parametrize("bad", [pytest.param(1.0, id="alarm"), pytest.param(None, id="no-data")])
async def test_what_was_bad_in_between_is_left_out(bad: float | None) -> None:
    """With the moments beside it, and not more than the alarm's own periods."""
    past = Past([0.0] * 50 + [bad] * 20 + [0.0])
    past.watch("ALARM(fast)")
    first, second = (past.seconds(stretch) for stretch in await past.proven())
    assert first[0] == 0
    assert 39 <= first[1] <= 43
    assert 60 <= second[0] <= 64
    assert second[1] == 120


@pytest.mark.parametrize(
    ("expression", "is_proven"),
    [
        pytest.param("ALARM(missing)", False, id="missing"),
        pytest.param("ALARM(fast) AND ALARM(missing)", True, id="missing-does-not-matter"),
        pytest.param("ALARM(rule)", False, id="alerting-rule"),
        pytest.param("NOT ALARM(fast)", False, id="negated"),
        pytest.param("FALSE", True, id="constant"),
        pytest.param("ALARM(", False, id="broken"),
    ],
)
async def test_only_what_can_be_known_is_proven(expression: str, is_proven: bool) -> None:
    """What leaves no past is unknown, and holds wherever it matters."""
    past = Past([0.0])
    past.service.set_alarm(AlarmKey("shop", "rule"), AlarmSpec.model_validate({"alertingRule": {"name": "Bad"}}))
    past.watch(expression)
    assert length_of(await past.proven()) == (GAP if is_proven else timedelta(0))


@pytest.mark.breadth
@pytest.mark.parametrize("days", [1, 3])
async def test_an_outage_of_days_is_proven_in_slices(days: int) -> None:
    """All of it but for the hour that was bad, with no more points in an answer than Prometheus gives."""
    past = Past([0.0])
    gap, hour = timedelta(days=days), timedelta(hours=1)
    past.since = past.until - gap
    bad = past.since + 9 * hour
    past.source.values["fast"] = {"": lambda at: 1.0 if bad < at <= bad + hour else 0.0}
    rule = {"query": "fast", "comparison": "GreaterThanThreshold", "threshold": 0.5, "period": "30s"}
    past.service.set_alarm(AlarmKey("shop", "fast"), AlarmSpec.model_validate({"metric": rule}))
    past.watch("ALARM(fast)")
    points = list[int]()
    answer = past.source.query_range

    async def ask(query: str, start: datetime, end: datetime, step: timedelta) -> QueryResult:
        points.append((end - start) // step + 1)
        return await answer(query, start, end, step)

    past.source.query_range = ask  # type: ignore[method-assign]
    first, second = await past.proven()
    assert (first[0], second[1]) == (past.since, past.until)
    assert timedelta(0) <= first[1] - bad <= timedelta(seconds=60)
    assert timedelta(0) <= second[0] - bad - hour <= timedelta(seconds=60)
    assert max(points) < 2100
    assert len(points) == 2 * 6 * days


@pytest.mark.breadth
async def test_of_an_outage_without_end_the_newest_days_are_proven() -> None:
    """As many as are worth asking for; nothing is counted that was not looked at."""
    past = Past([0.0])
    past.since = past.until - timedelta(days=40)
    past.watch("ALARM(slow)")
    ((start, end),) = await past.proven()
    assert (past.until - start, end) == (24 * 2000 * timedelta(seconds=5), past.until)


async def test_the_past_is_asked_a_few_at_a_time() -> None:
    """Forty releases after an outage leave room for what is asked of now."""
    past = Past([0.0])
    past.source.delay = 0.001
    for number in range(40):
        name = f"x{number}"
        past.source.values[name] = {"": lambda _moment: 0.0}
        rule = {"query": name, "comparison": "GreaterThanThreshold", "threshold": 0.5, "period": "30s"}
        past.service.set_alarm(AlarmKey("shop", name), AlarmSpec.model_validate({"metric": rule}))
        past.service.watch(number, {"w": Wanted(f"ALARM({name})", "shop", Context("shop"))}, is_active=True)
    await asyncio.gather(*(past.service.ok_stretches(n, past.since, past.until) for n in range(40)))
    assert past.source.most_running == 4


async def test_an_alarm_that_warms_up_proves_nothing() -> None:
    """Nobody knows when it began."""
    past = Past([0.0])
    spec = AlarmSpec.model_validate(
        {"metric": {"query": "fast", "comparison": "GreaterThanThreshold", "threshold": 1, "period": "1s"}}
    )
    past.service.set_alarm(AlarmKey("shop", "fast"), spec, past.until + timedelta(minutes=1))
    past.watch()
    assert await past.proven() == ()


async def test_a_prometheus_that_fails_gives_no_answer() -> None:
    """Rather than a wrong one."""
    past = Past([0.0])
    past.watch()
    past.source.error = QueryError(QueryErrorKind.PARTIAL, "a store is gone")
    with pytest.raises(QueryError):
        await past.proven()


LINES = st.lists(st.tuples(st.sampled_from([0.0, 1.0, None]), st.integers(1, 40)), min_size=1, max_size=8).map(
    lambda runs: [value for value, count in runs for _ in range(count)]
)


@pytest.mark.breadth
@settings(max_examples=60, deadline=None)
@given(LINES, LINES)
def test_no_time_is_counted_in_which_an_alarm_was_not_ok(fast: list[float | None], slow: list[float | None]) -> None:
    """At every period inside of what is proven both alarms, judged by themselves, are OK."""
    past = Past(fast, slow)
    past.watch()
    found = run_virtual(past.proven())
    assert length_of(found) <= GAP
    for name, period in PERIODS.items():
        rule = metric.Rule(Comparison.GREATER, 0.5, n=2, m=2)
        for index in range(int(GAP.total_seconds()) // period + 1):
            moment = past.until - index * timedelta(seconds=period)
            points = [
                past.value(past.lines[name], moment - back * timedelta(seconds=period))
                for back in reversed(range(rule.points))
            ]
            series = {"{}": points} if any(value is not None for value in points) else {}
            result = metric.judge(rule, series, metric.Memory())
            if any(start <= moment <= end for start, end in found):
                assert result.state == "OK", (name, moment, points)
