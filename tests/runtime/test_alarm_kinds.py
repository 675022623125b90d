"""The kinds of alarms through the service: sample counts, warm-up, alerting rules, other Prometheuses."""

import dataclasses
import random
from collections.abc import Hashable
from datetime import timedelta
from typing import Any

import pytest

from ombak.alarms.alerting import AlertRule, Instance
from ombak.alarms.resolve import AlarmKey
from ombak.alarms.template import Context
from ombak.alarms.verdict import State, Verdict
from ombak.api.alarm import AlarmSpec
from ombak.runtime.alarm_interest import Wanted
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.metrics_port import QueryError, QueryErrorKind
from support.fake_metrics import FakeClock, FakeSource, constant

SAMPLES = "sum(\nincrease(calls[20s])\n)"
RULE = AlertRule("g", "Errors", {"team": "shop"}, "rate(e[1m]) > 1", "ok", "", None, timedelta(seconds=30), timedelta())


def _spec(**changes: Any) -> AlarmSpec:
    metric = {"query": "errors", "comparison": "GreaterThanThreshold", "threshold": 0.1, "period": "10s"}
    return AlarmSpec.model_validate({"metric": {**metric, **changes}})


def _sampled(count: int = 100) -> AlarmSpec:
    return _spec(minSamples={"query": "increase(calls[$(window)])", "count": count})


class World:
    """A service with a clock and two Prometheuses that do as they are told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.source, self.other = (FakeSource({"errors": {"": constant(0.0)}}) for _ in range(2))
        self.told: list[frozenset[Hashable]] = []
        sources = {"": self.source, "other": self.other}
        self.service = AlarmService(sources, self.clock, self.told.append, None, random.Random(1))

    def watch(self, spec: AlarmSpec, name: str = "a", **more: Any) -> None:
        assert self.service.set_alarm(AlarmKey("shop", name), spec, **more) == ""
        self.service.watch("r1", {"revert": Wanted("ALARM(a)", "shop", Context())}, is_active=True)

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.5)):
            self.clock.advance(0.5)
            await self.service.poll_due()

    def load_rule(self, *states: str, **changes: Any) -> None:
        instances = tuple(Instance({"pod": f"p{i}"}, state) for i, state in enumerate(states))
        rule = dataclasses.replace(RULE, last_evaluation=self.clock.now(), instances=instances, **changes)
        self.source.rules = (rule,)

    @property
    def verdict(self) -> Verdict:
        return self.service.verdict("r1", "revert")

    @property
    def leaf(self) -> Verdict:
        return self.service.leaves("r1", "revert")[AlarmKey("shop", "a")]


@pytest.fixture
def world() -> World:
    """Nobody watches anything yet."""
    return World()


@pytest.mark.parametrize(
    ("value", "samples", "state"),
    [
        pytest.param(0.0, 100.0, State.OK, id="enough and well"),
        pytest.param(1.0, 100.0, State.ALARM, id="enough and bad"),
        pytest.param(0.0, 99.0, State.INSUFFICIENT_DATA, id="too few and well"),
        pytest.param(1.0, 99.0, State.INSUFFICIENT_DATA, id="too few and bad"),
        pytest.param(1.0, None, State.INSUFFICIENT_DATA, id="none at all"),
    ],
)
async def test_too_few_samples_are_insufficient_data(
    world: World, value: float, samples: float | None, state: State
) -> None:
    """Whatever the value: one failure of three calls is no error rate."""
    world.source.values = {"errors": {"": constant(value)}, SAMPLES: {"": constant(samples)}}
    world.watch(_sampled())
    await world.service.poll_due()
    assert state == world.leaf.state
    assert world.verdict.is_unknown == (state is State.INSUFFICIENT_DATA)
    if samples == 99:
        assert world.verdict.unknown == ("a: has 99 samples, 100 are needed",)


async def test_samples_are_told_of_when_they_become_enough(world: World) -> None:
    """To whoever waits for it, although the value is the same."""
    world.source.values[SAMPLES] = {"": constant(5.0)}
    world.watch(_sampled())
    await world.service.poll_due()
    world.source.values[SAMPLES] = {"": constant(500.0)}
    world.told.clear()
    await world.pass_time(11)
    assert world.verdict.is_ok
    assert frozenset({"r1"}) in world.told


async def test_samples_that_cannot_be_counted_are_unknown(world: World) -> None:
    """Two alarms share the query itself; only the one that needs samples suffers."""
    world.watch(_sampled())
    world.service.set_alarm(AlarmKey("shop", "b"), _spec())
    world.service.watch("r2", {"revert": Wanted("ALARM(b)", "shop", Context())}, is_active=False)
    await world.service.poll_due()
    assert world.service.distinct_queries == 2
    assert world.verdict.is_unknown
    assert world.service.verdict("r2", "revert").is_ok
    world.service.unwatch("r2")
    assert world.service.distinct_queries == 2
    world.service.unwatch("r1")
    assert world.service.distinct_queries == 0


async def test_an_alarm_warms_up(world: World) -> None:
    """INSUFFICIENT_DATA until then, whatever the value, and told of when it is over."""
    world.source.values["errors"] = {"": constant(1.0)}
    until = world.clock.now() + timedelta(seconds=60)
    world.watch(_spec(warmUp="60s"), warm_at=until)
    await world.pass_time(30)
    assert world.leaf.state is State.INSUFFICIENT_DATA
    assert world.verdict.unknown == ("a: is warming up until 2026-01-01 00:01:00 UTC",)
    world.service.watch("r1", {"revert": Wanted("ALARM(a)", "shop", Context())}, is_active=False)
    world.told.clear()
    await world.pass_time(32)
    assert frozenset({"r1"}) in world.told
    assert world.verdict.is_alarm


async def test_pending_needs_no_memory(world: World) -> None:
    """A process that just came sees at its first poll that it has been bad for long enough."""
    start = world.clock.now()
    world.source.values["errors"] = {"": lambda at: float((start - at).total_seconds() <= 60)}
    world.watch(_spec(pendingPeriod="45s", evaluationPeriods=1))
    await world.service.poll_due()
    assert world.verdict.is_alarm
    assert world.service.detection_latency("r1", "revert") == timedelta(seconds=50 + 2.5)


@pytest.mark.parametrize(
    ("states", "changes", "outcome"),
    [
        pytest.param(("firing",), {}, "is_alarm", id="firing"),
        pytest.param(("pending",), {}, "is_ok", id="pending"),
        pytest.param((), {}, "is_ok", id="inactive"),
        pytest.param(("firing",), {"health": "err"}, "is_unknown", id="broken"),
        pytest.param((), {"name": "Other"}, "is_unknown", id="missing"),
    ],
)
async def test_an_alerting_rule_is_an_alarm(
    world: World, states: tuple[str, ...], changes: dict[str, Any], outcome: str
) -> None:
    """By its name, at the moment of its own evaluation."""
    world.load_rule(*states, **changes)
    world.watch(AlarmSpec.model_validate({"alertingRule": {"name": "Errors"}}))
    await world.service.poll_due()
    assert getattr(world.verdict, outcome)


async def test_one_read_of_the_rules_serves_all(world: World) -> None:
    """A hundred Alarms, one request; and its rhythm is that of a question like others."""
    world.load_rule()
    for i in range(100):
        spec = AlarmSpec.model_validate({"alertingRule": {"name": "Errors", "matchLabels": {"n": str(i)}}})
        world.service.set_alarm(AlarmKey("shop", f"a{i}"), spec)
        world.service.watch(i, {"x": Wanted(f"ALARM(a{i})", "shop", Context())}, is_active=False)
    await world.service.poll_due()
    assert (world.source.rules_read, world.service.distinct_queries) == (1, 1)


@pytest.mark.parametrize("is_active", [pytest.param(True, id="a release"), pytest.param(False, id="at rest")])
async def test_the_evidence_of_a_rule_is_no_newer_than_its_samples(world: World, is_active: bool) -> None:
    """A plain selector answers from the last sample: its age at the evaluation is asked once, while a release waits."""
    world.load_rule(query="errors > 1")
    world.source.age = 40.0
    asked, answer = list[str](), world.source.query

    async def ask(query: str, *rest: Any) -> Any:
        asked.append(query)
        return await answer(query, *rest)

    world.source.query = ask  # type: ignore[method-assign]
    world.service.set_alarm(AlarmKey("shop", "a"), AlarmSpec.model_validate({"alertingRule": {"name": "Errors"}}))
    world.service.watch("r1", {"revert": Wanted("ALARM(a)", "shop", Context())}, is_active=is_active)
    await world.service.poll_due()
    await world.pass_time(20)
    assert world.verdict.window == timedelta(seconds=40 if is_active else 0)
    assert asked == (["min(timestamp(errors))"] if is_active else [])


async def test_samples_of_a_rule_that_are_not_told_count_as_old(world: World) -> None:
    """As old as they can be; it is known all the same."""
    world.load_rule(query="errors > 1")

    async def refuse(*_: Any) -> Any:
        raise QueryError(QueryErrorKind.OVERLOADED, "not now")

    world.source.query = refuse  # type: ignore[method-assign]
    world.watch(AlarmSpec.model_validate({"alertingRule": {"name": "Errors"}}))
    await world.service.poll_due()
    assert (world.verdict.is_ok, world.verdict.window) == (True, timedelta(minutes=5))


async def test_a_rule_that_is_evaluated_slowly_makes_a_slow_watch(world: World) -> None:
    """A bake may count no more than what was looked at."""
    world.load_rule(interval=timedelta(minutes=2), holds=timedelta(minutes=5))
    world.watch(AlarmSpec.model_validate({"alertingRule": {"name": "Errors"}}))
    assert world.service.slowest("r1") == timedelta(seconds=3.75)
    await world.service.poll_due()
    assert world.service.slowest("r1") == timedelta(minutes=2)
    assert world.service.detection_latency("r1", "revert") == timedelta(minutes=7, seconds=3.75)


async def test_rules_that_are_evaluated_no_more_turn_unknown(world: World) -> None:
    """Prometheus answers, but its rule manager is stuck; then it does not answer at all."""
    world.load_rule()
    world.watch(AlarmSpec.model_validate({"alertingRule": {"name": "Errors"}}))
    await world.service.poll_due()
    assert world.verdict.is_ok
    await world.pass_time(110)
    assert "was last evaluated" in str(world.verdict.unknown)
    world.load_rule()
    await world.pass_time(5)
    assert world.verdict.is_ok
    world.source.error = QueryError(QueryErrorKind.UNREACHABLE, "gone")
    await world.pass_time(5)
    assert "unreachable: gone" in str(world.verdict.unknown)


async def test_an_alarm_may_name_another_prometheus(world: World) -> None:
    """The same query there is another question; one that is not configured is unknown."""
    world.other.values["errors"] = {"": constant(1.0)}
    world.watch(AlarmSpec.model_validate({**_spec().model_dump(by_alias=True), "source": {"name": "other"}}))
    await world.service.poll_due()
    assert world.verdict.is_alarm
    assert (world.source.asked, world.other.asked) == ([], ["errors"])
    world.watch(AlarmSpec.model_validate({"alertingRule": {"name": "x"}, "source": {"name": "nowhere"}}))
    await world.service.poll_due()
    assert "no Prometheus is configured as 'nowhere'" in str(world.verdict.unknown)
