"""A Prometheus that kept its store and was away: what its answers say of that time is unknown, and nothing else is."""

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from ombak.alarms.resolve import AlarmKey
from ombak.alarms.template import Context
from ombak.alarms.verdict import Verdict
from ombak.api.alarm import AlarmSpec
from ombak.runtime.alarm_interest import Wanted
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.metrics_port import QueryError, QueryErrorKind, QueryResult, Store
from support.fake_metrics import FakeClock, FakeSource, constant

SCRAPES = "max(timestamp(up))"
RATE, COUNT, ABSENT = "sum(rate(bad[2m])) or vector(0)", "count(up == 1) or vector(0)", "absent(up)"


class Scraping(FakeSource):
    """Scrapes each target every `scrape` seconds, at an offset of its own, while it is not `away`; answers always, as
    one that kept its store.

    `fails` what is asked about scrapes over `failing_from` steps or more; samples come `late` by so many seconds.
    """

    def __init__(self, clock: FakeClock, scrape: float = 15.0, offsets: Sequence[float] = (0.0,)) -> None:
        super().__init__({"x": {"a": constant(0.0)}})
        self.clock, self.scrape, self.offsets, self.late = clock, scrape, offsets, 0.0
        self.away = list[tuple[datetime, datetime]]()
        self.fails: QueryError | None = None
        self.failing_from = 0
        self.about_scrapes = list[int]()
        self.values |= {
            RATE: {"": constant(0.0)},
            COUNT: {"": lambda at: 1.0 if self.newest(at) else 0.0},
            ABSENT: {"": lambda at: None if self.newest(at) else 1.0},
        }

    def newest(self, at: datetime) -> float | None:
        """The last scrape of five minutes."""
        told = min(at, self.clock.now() - timedelta(seconds=self.late)).timestamp()
        found = (self._newest(at.timestamp(), told, offset) for offset in self.offsets)
        return max((tick for tick in found if tick is not None), default=None)

    def _newest(self, at: float, told: float, offset: float) -> float | None:
        tick = (told - offset) // self.scrape * self.scrape + offset
        while at - tick < 300:
            if not any(start.timestamp() <= tick < end.timestamp() for start, end in self.away):
                return tick
            tick -= self.scrape
        return None

    async def query_range(self, query: str, start: datetime, end: datetime, step: timedelta) -> QueryResult:
        if query != SCRAPES:
            return await super().query_range(query, start, end, step)
        self.about_scrapes.append((end - start) // step)
        if self.fails is not None and self.about_scrapes[-1] >= self.failing_from:
            raise self.fails
        self.values[SCRAPES] = {"": self.newest}
        return self._answer(SCRAPES, start, end, step)

    def _stored(self, query: str) -> Any:
        return self.values.get(query, {})


class World:
    """An Alarm over a Prometheus that may go away."""

    def __init__(self, query: str, scrape: float = 15.0, offsets: Sequence[float] = (0.0,), **changes: Any) -> None:
        self.clock = FakeClock()
        self.source = Scraping(self.clock, scrape, offsets)
        self.source.values.setdefault(query, {"": constant(0.0)})
        metric = {"query": query, "comparison": "GreaterThanThreshold", "threshold": 0.5, "period": "30s"}
        self.metric = {**metric, "evaluationPeriods": 1, **changes}
        self.start()

    def start(self) -> None:
        """Our operator, new."""
        self.service = AlarmService({"": self.source}, self.clock, lambda _: None, rng=random.Random(1))
        self.service.set_alarm(AlarmKey("shop", "a"), AlarmSpec.model_validate({"metric": self.metric}))
        self.service.watch("r", {"w": Wanted("ALARM(a)", "shop", Context("shop"))}, is_active=True)

    async def pass_time(self, seconds: float, each: Callable[[Verdict], None] = lambda _: None) -> None:
        for _ in range(round(seconds / 0.5)):
            self.clock.advance(0.5)
            await self.service.poll_due()
            each(self.verdict)

    async def outage(self, seconds: float, *, is_new: bool = True) -> None:
        """Prometheus is away for so long, and back again just now, before its first scrape."""
        start = self.clock.now()
        self.clock.advance(seconds)
        self.source.away.append((start, self.clock.now() + timedelta(seconds=7)))
        if is_new:
            self.start()
        await self.service.poll_due()

    @property
    def verdict(self) -> Verdict:
        return self.service.verdict("r", "w")


@pytest.mark.breadth
@pytest.mark.parametrize("is_new", [pytest.param(True, id="we restarted too"), pytest.param(False, id="we were there")])
@pytest.mark.parametrize(
    ("query", "changes"),
    [
        pytest.param(RATE, {}, id="or vector"),
        pytest.param(COUNT, {"comparison": "LessThanThreshold"}, id="count"),
        pytest.param(ABSENT, {"treatMissingData": "notBreaching"}, id="absent"),
        pytest.param("y", {"treatMissingData": "breaching"}, id="breaching"),
        pytest.param("y", {"treatMissingData": "notBreaching"}, id="not breaching"),
    ],
)
async def test_a_gap_is_neither_ok_nor_alarm(query: str, changes: dict[str, Any], is_new: bool) -> None:
    """An hour away: unknown until two scrapes after it, with the reason; then what is so.

    How often it scrapes is known by its first three minutes.
    """
    world = World(query, **changes)
    await world.pass_time(1200)
    before = world.verdict
    assert not before.is_unknown
    await world.outage(3600, is_new=is_new)
    for _ in range(60):
        assert world.verdict.is_unknown
        assert "no target was scraped" in str(world.verdict.unknown)
        await world.pass_time(0.5)
    await world.pass_time(180)  # where the newest point is missing, two more count
    assert (world.verdict.state, world.verdict.is_unknown) == (before.state, False)


@pytest.mark.parametrize(("told", "knows"), [(timedelta(seconds=5), True), (None, False)], ids=["told", "not told"])
async def test_a_new_prometheus_is_known_as_soon_as_its_targets_were_scraped_twice(
    told: timedelta | None, knows: bool
) -> None:
    """If it tells how often they are; else after two minutes."""
    world = World("count(x)", scrape=5.0, period="5s")
    world.source.away.append((world.clock.now() - timedelta(days=1), world.clock.now() + timedelta(seconds=2)))
    world.source.store = Store(world.clock.now(), told)
    await world.pass_time(4)
    assert world.verdict.is_unknown
    await world.pass_time(26)
    assert world.verdict.is_ok == knows
    await world.pass_time(120)
    assert world.verdict.is_ok


async def test_no_scrape_while_prometheus_answers_is_unknown() -> None:
    """Its list of targets is gone, so nothing is bad, nor anything else."""
    world = World(RATE)
    await world.pass_time(1200)
    world.source.away.append((world.clock.now(), world.clock.now() + timedelta(hours=9)))
    await world.pass_time(120)
    assert "no target was scraped" in str(world.verdict.unknown)


@pytest.mark.breadth
@pytest.mark.parametrize("scrape", [1, 15, 60, 120])
@pytest.mark.parametrize("query", [RATE, COUNT, "x"])
async def test_what_is_well_observed_is_never_unknown(scrape: float, query: str) -> None:
    """Scrapes more seldom than the periods, from the first answer on."""
    world = World(query, scrape)
    known = list[bool]()
    await world.service.poll_due()
    await world.pass_time(600, lambda verdict: known.append(not verdict.is_unknown))
    assert all(known)


TEN = tuple(3.7 * number for number in range(10))


@pytest.mark.breadth
@pytest.mark.parametrize(
    ("scrape", "offsets"), [(15, (0, 2.5)), (30, (0, 4)), (60, (0, 4)), (60, (0, 12, 20)), (60, TEN)]
)
@pytest.mark.parametrize("period", ["5s", "15s", "30s", "60s"])
async def test_what_is_observed_at_uneven_moments_is_never_unknown(
    scrape: float, offsets: tuple[float, ...], period: str
) -> None:
    """Two targets, three, and ten, one after the other, and then none for the rest of the interval."""
    assert not await unknown_moments(World(RATE, scrape, offsets, period=period), 300)


@pytest.mark.breadth
@pytest.mark.parametrize("period", ["5s", "15s", "30s"])
@pytest.mark.parametrize("query", [RATE, COUNT])
async def test_a_fast_job_that_is_removed_makes_nothing_unknown(
    query: str, period: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are still scraped every minute."""
    world = World(query, period=period)
    removed = world.clock.now().timestamp() + 635

    def newest(at: datetime) -> float:
        return max(at.timestamp() // 60 * 60, min(at.timestamp(), removed) // 10 * 10)

    monkeypatch.setattr(world.source, "newest", newest)
    await world.pass_time(630)
    assert not await unknown_moments(world, 500)


@pytest.mark.breadth
@pytest.mark.parametrize(("scrape", "late"), [(5, 60), (15, 30), (15, 60), (30, 45), (60, 30)])
@pytest.mark.parametrize("period", ["5s", "15s", "30s"])
async def test_what_comes_late_is_not_unknown(scrape: float, late: float, period: str) -> None:
    """As by remote write: how late it is turns out in the first minute; but if nothing comes any more, that is told."""
    world = World(RATE, scrape, period=period)
    world.source.late = late
    await world.pass_time(65)
    assert not await unknown_moments(world, 235)
    world.source.away.append((world.clock.now(), world.clock.now() + timedelta(hours=9)))
    await world.pass_time(late + 150)
    assert "no target was scraped" in str(world.verdict.unknown)


async def test_an_outage_from_before_our_start_is_no_delay() -> None:
    """How late samples come is told only by an answer with a new scrape."""
    world = World(COUNT, comparison="LessThanThreshold")
    world.source.away.append((world.clock.now() - timedelta(seconds=150), world.clock.now() + timedelta(hours=9)))
    assert len(await unknown_moments(world, 60)) == 120


async def unknown_moments(world: World, seconds: float) -> list[Verdict]:
    """What was unknown in that time, from the first answer on."""
    found = list[Verdict]()
    await world.service.poll_due()
    await world.pass_time(seconds, lambda verdict: found.extend([verdict] if verdict.is_unknown else []))
    return found


async def test_a_restart_that_takes_a_moment_holds_nothing() -> None:
    """As when it gets a new configuration: half a minute without a scrape is shorter than what is read."""
    world = World(RATE)
    await world.pass_time(600)
    await world.outage(30, is_new=False)
    known = list[bool]()
    await world.pass_time(300, lambda verdict: known.append(not verdict.is_unknown))
    assert all(known)


@pytest.mark.breadth
@pytest.mark.parametrize(("period", "questions"), [("10s", 60), ("30s", 20), ("5m", 20)])
async def test_it_costs_one_question_in_a_period_for_all(period: str, questions: int) -> None:
    """A short one after the first; for fifty Alarms as for one."""
    world = World(RATE, period=period)
    for number in range(50):
        query = f"sum(rate(bad{number}[2m])) or vector(0)"
        world.source.values[query] = {"": constant(0.0)}
        spec = AlarmSpec.model_validate({"metric": {**world.metric, "query": query}})
        world.service.set_alarm(AlarmKey("shop", f"a{number}"), spec)
        world.service.watch(number, {"w": Wanted(f"ALARM(a{number})", "shop", Context("shop"))}, is_active=True)
    await world.pass_time(600)
    assert len(world.source.about_scrapes) <= questions + 2
    assert max(world.source.about_scrapes[2:]) <= 8


@pytest.mark.parametrize("error", [QueryErrorKind.BAD_QUERY, QueryErrorKind.REFUSED, None])
async def test_where_scrapes_are_not_told_nothing_is_concluded(error: QueryErrorKind | None) -> None:
    """A proxy that lets nobody ask for `up`, or a store that is only written to."""
    world = World(RATE)
    world.source.fails = None if error is None else QueryError(error, "not for you")
    world.source.away.append((world.clock.now() - timedelta(days=99), world.clock.now() + timedelta(days=99)))
    await world.pass_time(120)
    assert world.verdict.is_ok
    assert len(world.source.about_scrapes) <= 6


@pytest.mark.parametrize("error", [QueryErrorKind.TIMEOUT, QueryErrorKind.OVERLOADED, QueryErrorKind.PARTIAL])
async def test_a_failure_to_tell_is_unknown(error: QueryErrorKind) -> None:
    """It may hide that nothing was scraped."""
    world = World(RATE)
    world.source.fails = QueryError(error, "too busy")
    await world.pass_time(60)
    assert "too busy" in str(world.verdict.unknown)
    world.source.fails = None
    await world.pass_time(61)
    assert world.verdict.is_ok


@pytest.mark.parametrize(
    ("error", "is_unknown"), [(QueryErrorKind.TIMEOUT, True), (QueryErrorKind.REFUSED, False)], ids=["busy", "too much"]
)
async def test_a_long_question_that_fails_is_asked_once_in_a_period(error: QueryErrorKind, is_unknown: bool) -> None:
    """And what is known of the newest time, and by those of another period, stays so."""
    world = World(RATE, period="15s")
    await world.pass_time(120)
    for name, changes in {"far": {"query": "sum(rate(x[1d]))"}, "slow": {"period": "30s"}}.items():
        world.source.values["sum(rate(x[1d]))"] = {"": constant(0.0)}
        spec = AlarmSpec.model_validate({"metric": {**world.metric, **changes}})
        world.service.set_alarm(AlarmKey("shop", name), spec)
        world.service.watch(name, {"w": Wanted(f"ALARM({name})", "shop", Context("shop"))}, is_active=True)
    world.source.fails, world.source.failing_from = QueryError(error, "too much"), 1000
    world.source.about_scrapes.clear()
    assert not await unknown_moments(world, 300)
    assert world.service.verdict("far", "w").is_unknown == is_unknown
    assert sum(steps >= 1000 for steps in world.source.about_scrapes) <= (22 if is_unknown else 6)
    assert len(world.source.about_scrapes) <= 20 + 10 + 22 + 4
    world.source.away.append((world.clock.now(), world.clock.now() + timedelta(hours=9)))
    await world.pass_time(150)
    assert world.verdict.is_unknown
    assert world.service.verdict("slow", "w").is_unknown


async def test_one_that_was_away_for_days_is_known_by_its_past() -> None:
    """There is no `up` of a quarter of an hour, but there was: so it is no store that is only written to."""
    world = World(RATE)
    await world.outage(5 * 86400)
    assert "no target was scraped" in str(world.verdict.unknown)


async def test_a_question_that_reads_further_back_finds_older_gaps() -> None:
    """Another one had asked for less; and an old point that decides is unknown, one that does not is no matter."""
    world = World(RATE)
    start = world.clock.now()
    world.source.away.append((start + timedelta(seconds=600), start + timedelta(seconds=1500)))
    await world.pass_time(3600, lambda _: None)
    far = {**world.metric, "query": "far", "evaluationPeriods": 120, "treatMissingData": "notBreaching"}
    world.source.values["far"] = {"": constant(0.0)}
    for needed in (1, 100):
        spec = AlarmSpec.model_validate({"metric": {**far, "datapointsToAlarm": needed}})
        world.service.set_alarm(AlarmKey("shop", f"m{needed}"), spec)
        world.service.watch(needed, {"w": Wanted(f"ALARM(m{needed})", "shop", Context("shop"))}, is_active=False)
    await world.service.poll_due()
    assert world.service.verdict(1, "w").is_unknown
    assert world.service.verdict(100, "w").is_ok
