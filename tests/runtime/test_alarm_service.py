"""The alarm service: one query for all who ask the same, fresh where a release waits, unknown where in doubt."""

import asyncio
import random
from collections.abc import Hashable
from datetime import timedelta
from typing import Any

import pytest

from ombak.alarms.freshness import oldest_query
from ombak.alarms.resolve import AlarmKey
from ombak.alarms.template import Context
from ombak.api.alarm import AlarmSpec
from ombak.runtime.alarm_interest import Wanted, bind
from ombak.runtime.alarm_polling import PollSettings
from ombak.runtime.alarm_queries import oldest_age
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.metrics_port import QueryError, QueryErrorKind, QueryResult, Series, Store
from ombak.simulation.agenda import run_virtual
from support.fake_metrics import FakeClock, FakeSource, LoopClock, constant

QUERY = 'errors{pod=~"$(pods)"}'
RENDERED = 'errors{pod=~"front-.*"}'
DOWN = QueryError(QueryErrorKind.UNREACHABLE, "prometheus cannot be reached")


def _metric(query: str = QUERY, **changes: Any) -> AlarmSpec:
    metric = {"query": query, "comparison": "GreaterThanThreshold", "threshold": 0.1, "period": "10s"}
    return AlarmSpec.model_validate({"metric": {**metric, "evaluationPeriods": 1, **changes}})


def _expression(text: str) -> AlarmSpec:
    return AlarmSpec.model_validate({"expression": text})


def _wanted(expression: str = "ALARM(errors)", pods: str = "front-.*") -> dict[str, Wanted]:
    return {"revert": Wanted(expression, "shop", Context("shop", "front", pods))}


class World:
    """A service with a clock and a Prometheus that do as they are told."""

    def __init__(self, settings: PollSettings | None = None) -> None:
        self.clock = FakeClock()
        self.source = FakeSource({RENDERED: {"front-1": constant(0.0)}})
        self.told: list[frozenset[Hashable]] = []
        self.service = AlarmService({"": self.source}, self.clock, self.told.append, settings, random.Random(1))
        self.service.set_alarm(AlarmKey("shop", "errors"), _metric())

    async def pass_time(self, seconds: float, step: float = 0.5) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            await self.service.poll_due()

    def says(self, value: float | None, query: str = RENDERED) -> None:
        self.source.values[query] = {"front-1": constant(value)}

    @property
    def verdict(self) -> Any:
        return self.service.verdict("r1", "revert")


@pytest.fixture
def world() -> World:
    """With the Alarm `shop/errors` in OK."""
    return World()


async def test_the_first_poll_gives_a_verdict(world: World) -> None:
    """Unknown before, certain after one query; so a restart is warm at once."""
    world.service.watch("r1", _wanted(), is_active=True)
    assert world.verdict.is_unknown
    await world.service.poll_due()
    assert world.verdict.is_ok
    assert (world.clock.now(), timedelta(seconds=10)) == (world.verdict.evaluated_at, world.verdict.window)
    assert (
        world.verdict.message
        == 'errors: 0 for {pod="front-1"} (alarms when > 0.1; 0 of 1 points breach, 1 of 1 needed)'
    )


async def test_the_window_has_the_lookback_of_the_query(world: World) -> None:
    """N x period, and what the query itself reads back."""
    world.service.set_alarm(AlarmKey("shop", "errors"), _metric("rate(x[1m] offset 5s)", evaluationPeriods=3))
    world.says(0.0, "rate(x[1m] offset 5s)")
    world.service.watch("r1", _wanted(), is_active=True)
    await world.service.poll_due()
    assert timedelta(seconds=30 + 65) == world.verdict.window


async def test_equal_queries_are_asked_once_for_all(world: World) -> None:
    """A hundred Rollouts, three thresholds, one query."""
    world.service.set_alarm(AlarmKey("shop", "worse"), _metric(threshold=0.5))
    for i in range(100):
        world.service.watch(i, _wanted("ALARM(errors) OR ALARM(worse)"), is_active=False)
    world.service.watch("r1", _wanted("ALARM(worse)"), is_active=True)
    await world.service.poll_due()
    assert (world.service.distinct_queries, world.source.asked) == (1, [RENDERED])


async def test_different_contexts_are_different_queries(world: World) -> None:
    """The one box and the fleet."""
    both = {"all": _wanted()["revert"], "box": _wanted(pods="front-onebox-.*")["revert"]}
    world.service.watch("r1", both, is_active=True)
    await world.service.poll_due()
    assert sorted(world.source.asked) == [RENDERED, 'errors{pod=~"front-onebox-.*"}']


@pytest.mark.parametrize(
    ("is_active", "polls"),
    [pytest.param(True, range(40, 47), id="active"), pytest.param(False, range(10, 13), id="idle")],
)
async def test_the_rhythm_follows_the_need(world: World, is_active: bool, polls: range) -> None:
    """Four times per period while a release is under way, once otherwise."""
    world.service.watch("r1", _wanted(), is_active=is_active)
    await world.pass_time(100, step=0.1)
    assert len(world.source.asked) in polls


async def test_becoming_active_asks_at_once(world: World) -> None:
    """A release that begins does not wait for the idle rhythm."""
    world.service.watch("r1", _wanted(), is_active=False)
    await world.pass_time(5)
    asked = len(world.source.asked)
    world.service.watch("r1", _wanted(), is_active=True)
    await world.service.poll_due()
    assert asked + 1 == len(world.source.asked)


async def test_active_watchers_hear_of_every_answer_idle_ones_of_changes(world: World) -> None:
    """Evidence lets a release go on although the verdict is the same."""
    world.service.watch("r1", _wanted(), is_active=True)
    world.service.watch("idle", _wanted(), is_active=False)
    await world.pass_time(10)
    world.told.clear()
    await world.pass_time(10)
    assert {frozenset({"r1"})} == set(world.told)
    world.told.clear()
    world.says(0.5)
    await world.pass_time(3)
    assert frozenset({"r1", "idle"}) == world.told[0]
    assert world.verdict.is_alarm
    assert world.verdict.contributors == ("errors",)


async def test_m_of_n_is_judged_from_the_series_of_one_answer(world: World) -> None:
    """No memory of earlier polls is needed: two of the last three periods breached."""
    world.service.set_alarm(AlarmKey("shop", "errors"), _metric(evaluationPeriods=3, datapointsToAlarm=2))
    start = world.clock.now()
    world.source.values[RENDERED] = {"front-1": lambda at: 0.0 if (start - at).total_seconds() == 10 else 1.0}
    world.service.watch("r1", _wanted(), is_active=True)
    await world.service.poll_due()
    assert world.verdict.is_alarm


@pytest.mark.parametrize(
    ("error", "says"),
    [
        pytest.param(DOWN, "cannot be reached", id="unreachable"),
        pytest.param(QueryError(QueryErrorKind.TIMEOUT, "no answer"), "timeout", id="timeout"),
        pytest.param(QueryError(QueryErrorKind.PARTIAL, "store-2 is down"), "partial data: store-2", id="partial"),
        pytest.param(QueryError(QueryErrorKind.BAD_QUERY, "parse error"), "bad query", id="bad query"),
    ],
)
@pytest.mark.parametrize("value", [pytest.param(0.0, id="was OK"), pytest.param(1.0, id="was ALARM")])
async def test_a_failed_query_is_unknown_at_once(world: World, error: QueryError, says: str, value: float) -> None:
    """Neither OK nor ALARM survives it, everybody hears of it, and the reason is told."""
    world.says(value)
    world.service.watch("r1", _wanted(), is_active=False)
    await world.service.poll_due()
    assert not world.verdict.is_unknown
    world.source.error = error
    world.told.clear()
    await world.pass_time(11)
    assert world.verdict.is_unknown
    assert says in world.verdict.unknown[0]
    assert [frozenset({"r1"})] == world.told


async def test_a_dead_prometheus_is_asked_less_and_less(world: World) -> None:
    """Up to two periods apart; and everything is known again after the first answer."""
    world.source.error = DOWN
    world.service.watch("r1", _wanted(), is_active=True)
    await world.pass_time(300)
    assert 14 <= len(world.source.asked) <= 22
    world.source.error = None
    await world.pass_time(22)
    assert world.verdict.is_ok


async def test_no_answer_in_time_is_a_timeout() -> None:
    """Also if the source itself would wait for ever."""
    world = World(PollSettings(timeout=0.01))
    world.source.delay = 60
    world.service.watch("r1", _wanted(), is_active=True)
    await world.service.poll_due()
    assert "no answer within 0.01 s" in world.verdict.unknown[0]


async def test_an_old_answer_is_unknown_and_everybody_hears_of_it(world: World) -> None:
    """Overload: the next poll never gets its turn."""
    world.service.watch("r1", _wanted(), is_active=False)
    await world.service.poll_due()
    world.source.delay = 3600
    world.told.clear()
    world.clock.advance(11)
    poll = asyncio.create_task(world.service.poll_due())
    await asyncio.sleep(0)
    world.clock.advance(13)
    assert world.verdict.is_ok
    world.clock.advance(2)
    assert world.verdict.is_unknown
    assert "too long ago" in world.verdict.unknown[0]
    poll.cancel()


async def test_another_clock_makes_everything_unknown(world: World) -> None:
    """Its `now` would be our past: evidence would be older than it claims."""
    world.source.server_time = world.clock.now() - timedelta(minutes=2)
    world.service.watch("r1", _wanted(), is_active=True)
    await world.service.poll_due()
    assert world.verdict.is_unknown
    assert "the clock of Prometheus is 120 s behind ours" in world.verdict.unknown[0]


async def test_a_store_that_is_new_makes_its_answers_unknown(world: World) -> None:
    """Until the whole window of the query lies behind the first sample: what `or vector(0)` says before is nothing."""
    world.source.store = Store(world.clock.now(), scrape=timedelta(seconds=5))
    world.service.watch("r1", _wanted(), is_active=True)
    await world.pass_time(25)
    assert "too early: Prometheus has samples since" in str(world.verdict.unknown)
    await world.pass_time(30)
    assert world.verdict.is_ok


async def test_what_nobody_watches_is_not_asked(world: World) -> None:
    """The last watcher leaves, and its query with it."""
    world.service.watch("r1", _wanted(), is_active=True)
    world.service.watch("r2", _wanted(), is_active=True)
    world.service.unwatch("r1")
    assert world.service.distinct_queries == 1
    world.service.unwatch("r2")
    assert world.service.distinct_queries == 0
    await world.pass_time(30)
    assert world.source.asked == []


async def test_watching_the_same_again_changes_nothing(world: World) -> None:
    """It is called at every reconcile, also from within `on_change`."""
    world.service.watch("r1", _wanted(), is_active=True)
    await world.service.poll_due()
    for _ in range(10):
        world.service.watch("r1", _wanted(), is_active=True)
        await world.service.poll_due()
    assert len(world.source.asked) == 1


async def test_an_alarm_that_comes_changes_or_goes_is_heard_of(world: World) -> None:
    """By whoever rests on it, through an expression in between, and only then."""
    world.service.watch("r1", _wanted("ALARM(team)"), is_active=False)
    world.service.watch("other", _wanted("ALARM(errors)"), is_active=False)
    assert "team: does not exist" in world.verdict.unknown
    world.service.set_alarm(AlarmKey("shop", "team"), _expression("ALARM(high)"))
    world.service.set_alarm(AlarmKey("shop", "high"), _metric(threshold=5))
    await world.service.poll_due()
    assert world.verdict.is_ok
    world.told.clear()
    world.service.set_alarm(AlarmKey("shop", "high"), _metric(threshold=5))
    assert world.told == []
    world.service.set_alarm(AlarmKey("shop", "high"), _metric(threshold=-1))
    assert world.told == [frozenset({"r1"})]
    await world.service.poll_due()
    assert world.verdict.is_alarm
    assert world.verdict.contributors == ("high",)
    world.service.remove_alarm(AlarmKey("shop", "high"))
    assert world.verdict.is_unknown
    assert world.verdict.unknown == ("high: does not exist",)


async def test_a_commit_that_changes_many_alarms_resolves_each_watcher_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a team's expression over a hundred of them stops the region: it is resolved for each Alarm and Rollout."""
    names = [f"a{index}" for index in range(20)]
    every = " OR ".join(f"ALARM({name})" for name in names)
    for name in names:
        world.service.set_alarm(AlarmKey("shop", name), _metric())
    for watcher in ("r1", "r2"):
        world.service.watch(watcher, _wanted(every), is_active=False)
    bound = []

    def counted(*wanted: Any) -> Any:
        bound.append(wanted)
        return bind(*wanted)

    monkeypatch.setattr("ombak.runtime.alarm_service.bind", counted)
    for name in names:
        world.service.set_alarm(AlarmKey("shop", name), _metric(threshold=-1))
    assert set(world.told) == {frozenset({"r1", "r2"})}
    assert bound == []
    assert world.service.has_looked("r1") is False
    await world.service.poll_due()
    assert world.verdict.contributors == tuple(names)
    assert len(bound) == 2


def test_an_alarm_that_changes_is_asked_soon_though_nobody_reads_it() -> None:
    """The pool is told within about a second, for a question that is not asked has no answer to tell of."""

    async def main() -> list[str]:
        source = FakeSource({RENDERED: {"front-1": constant(0.0)}, "other": {"front-1": constant(0.0)}})
        service = AlarmService({"": source}, LoopClock(), lambda _: None, None, random.Random(1))
        service.set_alarm(AlarmKey("shop", "errors"), _metric())
        service.watch("r1", _wanted(), is_active=False)
        running = asyncio.create_task(service.run())
        await asyncio.sleep(20)
        service.set_alarm(AlarmKey("shop", "errors"), _metric("other"))
        await asyncio.sleep(1.5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return source.asked

    assert "other" in run_virtual(main())


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param(_metric("rate(x)"), "got vector", id="a bad query"),
        pytest.param(_metric('x{a="$(pod)"}'), "$(pod) is no variable", id="an unknown variable"),
        pytest.param(_expression("ALARM("), "expected the name of an alarm", id="a bad expression"),
        pytest.param("spec.metric.period: no duration", "no duration", id="a spec that does not even parse"),
    ],
)
async def test_an_alarm_that_cannot_be_understood_is_unknown(world: World, spec: AlarmSpec | str, says: str) -> None:
    """The reason is returned for its condition, and told to whoever rests on it; nothing is asked."""
    assert says in world.service.set_alarm(AlarmKey("shop", "errors"), spec)
    world.service.watch("r1", _wanted(), is_active=True)
    await world.service.poll_due()
    assert world.verdict.is_unknown
    assert says in world.verdict.unknown[0]
    assert world.source.asked == []


async def test_a_rollout_expression_that_cannot_be_understood_is_unknown(world: World) -> None:
    """With the place of the mistake."""
    world.service.watch("r1", _wanted("ALARM(errors) XOR TRUE"), is_active=True)
    assert world.verdict.is_unknown
    assert "line 1, column 15" in world.verdict.unknown[0]


async def test_the_own_region_may_be_named(world: World) -> None:
    """By whoever watches and in an Alarm; an operator that was not told its name knows none of the kind."""
    for region, is_known in (("eu-1", True), (None, False)):
        service = AlarmService({"": world.source}, world.clock, world.told.append, rng=random.Random(1), region=region)
        service.set_alarm(AlarmKey("shop", "errors"), _metric())
        service.set_alarm(AlarmKey("shop", "all"), _expression("ALARM(eu-1/shop/errors)"))
        service.watch("r1", _wanted("ALARM(eu-1/shop/all)"), is_active=True)
        await service.poll_due()
        assert service.verdict("r1", "revert").is_ok is is_known


async def test_a_variable_without_a_value_is_unknown(world: World) -> None:
    """A template by region, an operator that was not told its own."""
    world.service.set_alarm(AlarmKey("shop", "errors"), _metric('x{region="$(region)"}'))
    world.service.watch("r1", _wanted(), is_active=True)
    assert world.verdict.is_unknown
    assert "$(region) has no value here" in world.verdict.unknown[0]


async def test_the_leaves_of_an_expression_can_be_shown(world: World) -> None:
    """Every metric alarm with its numbers, for people."""
    world.service.watch("r1", _wanted("ALARM(errors) OR ALARM(gone)"), is_active=True)
    await world.service.poll_due()
    leaves = world.service.leaves("r1", "revert")
    assert [AlarmKey("shop", "errors")] == list(leaves)
    assert leaves[AlarmKey("shop", "errors")].is_ok


async def test_the_slowest_poll_is_known(world: World) -> None:
    """What a bake may count between two looks depends on it."""
    assert world.service.slowest("r1") is None
    world.service.watch("r1", _wanted(), is_active=False)
    assert timedelta(seconds=10) == world.service.slowest("r1")
    world.service.watch("r1", _wanted(), is_active=True)
    assert timedelta(seconds=2.5) == world.service.slowest("r1")


def test_concurrency_is_bounded_and_releases_go_first() -> None:
    """Thirty idle queries are due, and then one of a release: it is asked with the next free place."""

    async def main() -> tuple[int, int]:
        source = FakeSource(delay=1.0)
        settings = PollSettings(concurrency=4)
        service = AlarmService({"": source}, LoopClock(), lambda _: None, settings, random.Random(1))
        service.set_alarm(AlarmKey("shop", "errors"), _metric(period="1h"))
        for i in range(30):
            service.watch(i, _wanted(pods=f"idle-{i}"), is_active=False)
        running = asyncio.create_task(service.run())
        await asyncio.sleep(1.5)
        service.watch("r1", _wanted(pods="urgent"), is_active=True)
        await asyncio.sleep(30)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return source.most_running, source.asked.index('errors{pod=~"urgent"}')

    assert run_virtual(main()) == (4, 8)


@pytest.mark.parametrize("is_active", [pytest.param(False, id="at rest"), pytest.param(True, id="releases")])
def test_a_prometheus_that_hangs_takes_no_turn_from_another(is_active: bool) -> None:
    """Two hundred questions to one that never answers, one to a healthy one: that is known all the time."""

    async def main() -> int:
        good, hanging = FakeSource({"up": {"x": constant(0.0)}}, delay=0.01), FakeSource(delay=3600)
        service = AlarmService({"": good, "mimir": hanging}, LoopClock(), lambda _: None, rng=random.Random(1))
        service.set_alarm(AlarmKey("shop", "errors"), _metric("up", period="30s"))
        service.watch("r1", _wanted(), is_active=False)
        for i in range(200):
            spec = {
                **_metric(f"x{i}", period="30s").model_dump(by_alias=True, mode="json"),
                "source": {"name": "mimir"},
            }
            service.set_alarm(AlarmKey("shop", f"x{i}"), AlarmSpec.model_validate(spec))
            service.watch(i, _wanted(f"ALARM(x{i})"), is_active=is_active)
        running = asyncio.create_task(service.run())
        await asyncio.sleep(30)
        unknown = 0
        for _ in range(300):
            await asyncio.sleep(1)
            unknown += service.verdict("r1", "revert").is_unknown
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert hanging.most_running <= 16
        return unknown

    assert run_virtual(main()) == 0


@pytest.mark.parametrize(
    ("limit", "is_known"), [pytest.param(40, True, id="patient"), pytest.param(9, False, id="not")]
)
def test_a_question_may_take_as_long_as_its_prometheus_may(limit: int, is_known: bool) -> None:
    """What `timeout` of an endpoint says counts, up or down."""

    async def main() -> bool:
        source = FakeSource({RENDERED: {"front-1": constant(0.0)}}, delay=15, limit=timedelta(seconds=limit))
        service = AlarmService({"": source}, LoopClock(), lambda _: None, rng=random.Random(1))
        service.set_alarm(AlarmKey("shop", "errors"), _metric(period="1m"))
        service.watch("r1", _wanted(), is_active=False)
        running = asyncio.create_task(service.run())
        await asyncio.sleep(50)
        verdict = service.verdict("r1", "revert")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert verdict.is_ok or "no answer within 9 s" in verdict.unknown[0]
        return verdict.is_ok

    assert run_virtual(main()) == is_known


def test_a_change_is_heard_of_within_a_quarter_of_the_period() -> None:
    """From visible in Prometheus to `on_change`, over many changes at any phase: at most an active poll later."""

    async def main() -> list[float]:
        state, heard, delays = {"value": 0.0}, asyncio.Event(), []
        source = FakeSource({RENDERED: {"front-1": lambda _at: state["value"]}}, delay=0.002)
        service = AlarmService({"": source}, LoopClock(), lambda _: heard.set(), None, random.Random(1))
        service.set_alarm(AlarmKey("shop", "errors"), _metric(period="4s"))
        service.watch("r1", _wanted(), is_active=True)
        running = asyncio.create_task(service.run())
        await asyncio.sleep(10)
        chance = random.Random(2)
        for turn in range(1, 101):
            await asyncio.sleep(chance.uniform(3, 5))
            state["value"], changed = float(turn % 2), asyncio.get_running_loop().time()
            while service.verdict("r1", "revert").is_alarm != bool(turn % 2):
                heard.clear()
                await heard.wait()
            delays.append(asyncio.get_running_loop().time() - changed)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return sorted(delays)

    delays = run_virtual(main())
    assert delays[-1] <= 1.0 + 0.005
    assert delays[50] <= 0.6


def test_a_stuck_poll_is_announced_while_it_lasts() -> None:
    """Staleness is told by the running service itself, not only found by whoever looks."""

    async def main() -> list[float]:
        told: list[float] = []
        source = FakeSource({RENDERED: {"front-1": constant(0.0)}})
        service = AlarmService(
            {"": source},
            LoopClock(),
            lambda _: told.append(asyncio.get_running_loop().time()),
            PollSettings(timeout=600),
            random.Random(1),
        )
        service.set_alarm(AlarmKey("shop", "errors"), _metric())
        service.watch("r1", _wanted(), is_active=False)
        running = asyncio.create_task(service.run())
        await asyncio.sleep(1)
        source.delay = 300
        await asyncio.sleep(60)
        unknown = service.verdict("r1", "revert").is_unknown
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert unknown
        return told

    first, *later = run_virtual(main())
    assert first < 1
    assert [pytest.approx(25, abs=1.1)] == later


async def test_a_defect_of_a_source_does_not_stay_unseen(world: World) -> None:
    """Anything but a QueryError is a mistake of ours, and ends the service."""
    world.source.error = ZeroDivisionError("a defect")  # type: ignore[assignment]
    world.service.watch("r1", _wanted(), is_active=True)
    with pytest.raises(ZeroDivisionError):
        await world.service.poll_due()


def test_an_answer_without_points_has_no_age() -> None:
    """No Prometheus gives one, but a proxy might; nothing ends because of it."""
    assert oldest_age(QueryResult((Series({}, ()),))) == timedelta(0)


@pytest.mark.parametrize("is_scanned", [pytest.param(False, id="read before the scan"), pytest.param(True, id="after")])
async def test_whoever_read_that_an_answer_is_too_old_hears_of_the_next(is_scanned: bool) -> None:
    """Also if it was read between two scans: else a status would stay unknown until the alarm itself changes."""
    world = World()
    world.service.watch("r1", _wanted(), is_active=False)
    await world.pass_time(12)
    assert world.verdict.is_ok
    world.told.clear()
    world.clock.advance(26)  # a loop that was busy, or a Prometheus that takes long
    if not is_scanned:
        assert world.verdict.is_unknown
    else:
        world.service._pool._announce_stale()
        assert world.told.pop() == {"r1"}
    await world.service.poll_due()
    assert world.verdict.is_ok
    assert world.told == [frozenset({"r1"})]
    await world.pass_time(30)
    assert len(world.told) == 1


async def test_evidence_is_no_newer_than_the_samples_behind_it(world: World) -> None:
    """A plain selector answers from the last sample: the window begins that much earlier, so the step waits."""
    world.source.age = 27.0
    world.source.values.setdefault('errors{pod=~"front-.*"}', {})
    world.service.watch("r1", _wanted(), is_active=True)
    await world.service.poll_due()
    assert world.verdict.is_ok
    assert world.verdict.window == timedelta(seconds=10 + 27)
    world.source.age = 3.0
    await world.pass_time(3)
    assert world.verdict.window == timedelta(seconds=10 + 3)


async def test_the_age_of_samples_is_asked_during_a_release_only(world: World) -> None:
    """At rest nothing waits for evidence; and where it cannot be found out, nothing is known."""
    times = f"min(timestamp({RENDERED}))"
    world.service.watch("r1", _wanted(), is_active=False)
    answer, asked = world.source.query_range, list[str]()

    async def ask(query: str, *rest: Any) -> Any:
        if query in (RENDERED, times):
            asked.append(query)
        if query == times:
            raise DOWN
        return await answer(query, *rest)

    world.source.query_range = ask  # type: ignore[method-assign]
    await world.service.poll_due()
    assert (asked, world.verdict.is_ok) == ([RENDERED], True)
    world.service.watch("r1", _wanted(), is_active=True)
    await world.pass_time(3)
    assert asked[1:3] == [RENDERED, times]
    assert world.verdict.is_unknown


@pytest.mark.parametrize(
    ("query", "times"),
    [
        pytest.param("rate(a[1m])", "", id="a range tells by itself"),
        pytest.param("vector(1)", "", id="nothing"),
        pytest.param("max(a{b='c'} offset 5m)", 'min(timestamp(a{b="c"}))', id="an offset is in the look-back"),
        pytest.param(
            "a / a + max_over_time(b[5m:1m])",
            'min(label_replace(min(timestamp(a)), "of", "0", "", "") '
            'or label_replace(min(timestamp(b)), "of", "1", "", ""))',
            id="several, in a subquery too",
        ),
        pytest.param('{__name__=~"a|b"}', "", id="no name"),
    ],
)
def test_the_times_of_plain_selectors_are_asked_for(query: str, times: str) -> None:
    """The oldest of them counts."""
    assert oldest_query(query) == times
