"""The expressions of a Rollout are asked in its own context, its sample quotas over the bake so far."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest

from ombak.alarms.resolve import AlarmKey
from ombak.api.alarm import AlarmSpec
from ombak.core import naming
from ombak.core.memory import Ledger, Mode, Position, Release, Step
from ombak.core.snapshot import RolloutView
from ombak.runtime.alarm_book import UNWATCHED, Reading
from ombak.runtime.alarm_reader import QUOTA_EVERY, AlarmReader
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.guards import Guards
from ombak.runtime.metrics_port import QueryError, QueryErrorKind
from ombak.runtime.observe import view_of
from ombak.runtime.records import decode_rollout
from ombak.runtime.store import Key
from support.fake_metrics import FakeClock, FakeSource, constant
from support.rig import KEY, NAME, NAMESPACE, spec

QUERY = 'errors{ns="$(namespace)", name="$(name)", pod=~"$(pods)", version="$(artifact)"}'
CALLS = 'sum(increase(calls{pod=~"$(pods)"}[$(window)]))'


def _view(**changes: Any) -> RolloutView:
    return view_of(decode_rollout({"metadata": {"name": NAME, "namespace": NAMESPACE}, "spec": spec(**changes)}))


def _quota(name: str = "calls", query: str = CALLS) -> dict[str, Any]:
    return {"for": "1h", "atMost": "6h", "atLeast": [{"name": name, "query": query, "count": 100}]}


def _rendered(view: RolloutView, pods: str, artifact: str) -> str:
    quoted = pods.replace("\\", "\\\\")
    return f'errors{{ns="shop", name="front-end", pod=~"{quoted}", version="{artifact}"}}'


class World:
    """A reader on a service with one alarm, and a Prometheus that does as it is told."""

    def __init__(self) -> None:
        self.clock, self.source, self.told = FakeClock(), FakeSource(), list[Key]()
        self.service = AlarmService({"": self.source}, self.clock, lambda _: None, rng=random.Random(1))
        metric = {"query": QUERY, "comparison": "GreaterThanThreshold", "threshold": 0.1, "period": "20s"}
        self.service.set_alarm(AlarmKey(NAMESPACE, "errors"), AlarmSpec.model_validate({"metric": metric}))
        self.reader = AlarmReader(self.service, self.source, self.clock, self.told.append)

    def release(self, artifact: str = "a1new", bakes_for: float | None = None) -> Release:
        now = self.clock.now()
        began = None if bakes_for is None else now - timedelta(seconds=bakes_for)
        step = Step(1, now, 1, 1, now, ledger=Ledger(began_at=began))
        return Release(artifact, Mode.FORWARD, now, Position(0, 1, 1), step)

    async def read(self, view: RolloutView, release: Release | None = None, *, is_active: bool = True) -> Reading:
        """The reading after everything that was due has been asked."""
        self.reader.read(view, release, is_active=is_active)
        await self.service.poll_due()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self.reader.read(view, release, is_active=is_active)

    async def samples(self, view: RolloutView, release: Release | None) -> dict[str, float | str]:
        return dict((await self.read(view, release)).samples)


@pytest.fixture
def world() -> World:
    return World()


async def test_an_unwatched_rollout_has_no_verdicts(world: World) -> None:
    """And asks nothing, also where it was watched before."""
    await world.read(_view())
    world.source.asked.clear()
    assert await world.read(_view(alarms=None, unwatched="a batch job")) == UNWATCHED
    assert (world.source.asked, world.service.distinct_queries) == ([], 0)


async def test_what_is_not_known_yet_is_unknown(world: World) -> None:
    """Reading never waits."""
    reading = world.reader.read(_view(), None, is_active=True)
    assert reading.revert is not None
    assert reading.revert.is_unknown
    assert reading.one_box is None


@pytest.mark.parametrize(
    ("release", "artifact"),
    [pytest.param(True, "a1new", id="the version under way"), pytest.param(False, "", id="the wanted version")],
)
async def test_each_expression_has_its_own_context(world: World, release: bool, artifact: str) -> None:
    """The service's alarms see all its pods, the one box's only those of the one box."""
    view = _view(alarms={"revert": 'ALARM("errors")', "oneBox": 'ALARM("errors")'})
    fleet = _rendered(view, naming.all_pods(NAME), artifact or view.artifact)
    box = _rendered(view, naming.one_box_pods(NAME), artifact or view.artifact)
    world.source.values = {fleet: {"x": constant(0.0)}, box: {"x": constant(9.0)}}
    reading = await world.read(view, world.release() if release else None)
    assert sorted(world.source.asked) == sorted([fleet, box])
    assert reading.revert is not None
    assert reading.one_box is not None
    assert (reading.revert.is_ok, reading.one_box.is_alarm) == (True, True)


@pytest.mark.parametrize(
    ("guard", "says"),
    [
        pytest.param({"expression": 'ALARM("own")'}, "red/high: red/own: 9 (", id="an expression"),
        pytest.param({"expression": 'ALARM("gone")'}, "red/high: not certain, because red/gone", id="an unknown one"),
        pytest.param({"metric": {"query": "x"}}, "red/high: 9 (", id="a metric"),
    ],
)
async def test_a_guard_is_named_with_what_it_says(world: World, guard: dict[str, Any], says: str) -> None:
    """It stands nowhere in the Rollout that it takes back."""
    metric = {"query": "x", "comparison": "GreaterThanThreshold", "threshold": 1}
    guard = {"metric": metric} if "metric" in guard else guard
    world.service.set_alarm(AlarmKey("red", "own"), AlarmSpec.model_validate({"metric": metric}))
    world.service.set_alarm(AlarmKey("red", "high"), AlarmSpec.model_validate(guard))
    world.source.values = {"x": {"": constant(9.0)}}
    guards = Guards()
    for namespace in ("red", NAMESPACE):
        guards.set_team(namespace, "red")
    guards.set_alarm(("red", "high"), {})
    world.reader = AlarmReader(world.service, world.source, world.clock, world.told.append, guards)
    reading = await world.read(_view(alarms=None, unwatched="its team does"))
    assert reading.revert is not None
    assert reading.revert.message.startswith(says)


async def test_the_region_is_the_one_that_the_operator_was_told(world: World) -> None:
    """In an expression, for whichever boxes."""
    regional = AlarmReader(world.service, world.source, world.clock, lambda _: None, region="eu-1")
    spec = {"query": 'x{region="$(region)"}', "comparison": "GreaterThanThreshold", "threshold": 1}
    world.service.set_alarm(AlarmKey("shop", "errors"), AlarmSpec.model_validate({"metric": spec}))
    regional.read(_view(), None, is_active=True)
    await world.service.poll_due()
    assert world.source.asked == ['x{region="eu-1"}']


@pytest.mark.parametrize(
    ("is_active", "poll"), [pytest.param(True, 5, id="active"), pytest.param(False, 20, id="idle")]
)
async def test_the_reading_says_how_often_it_is_made(world: World, is_active: bool, poll: int) -> None:
    """The longest time between two evaluations, for the bake ledger."""
    assert (await world.read(_view(), is_active=is_active)).poll == timedelta(seconds=poll)


async def test_a_rollout_that_rests_on_nothing_has_a_rhythm_all_the_same(world: World) -> None:
    """Its Alarm does not exist."""
    reading = await world.read(_view(alarms={"revert": 'ALARM("missing")'}))
    assert reading.poll == timedelta(seconds=15)
    assert reading.revert is not None
    assert reading.revert.is_unknown


# --- sample quotas -------------------------------------------------------------------------------------


def _counting(view: RolloutView, window: str) -> str:
    return CALLS.replace("$(pods)", naming.all_pods(NAME)).replace("$(window)", window)


@pytest.mark.parametrize("place", ["oneBox", "rolling", "bake"])
async def test_quotas_are_counted_since_the_bake_began(world: World, place: str) -> None:
    """Wherever in the strategy they stand; series are added up, and the Rollout is looked at again."""
    strategy: dict[str, Any] = spec()["strategy"]
    strategy = strategy | ({"bake": _quota()} if place == "bake" else {place: {"bake": _quota()}})
    view = _view(strategy=strategy)
    world.source.values[_counting(view, "90s")] = {"x": constant(30.0), "y": constant(12.0)}
    assert await world.samples(view, world.release(bakes_for=90)) == {"calls": 42.0}
    assert world.told == [KEY]


async def test_quotas_of_an_unwatched_rollout_are_counted_too(world: World) -> None:
    """Else it would wait for ever for samples of which nobody asks, and say that they were not asked for yet."""
    view = _view(strategy={"bake": _quota()}, alarms=None, unwatched="a batch job")
    world.source.values[_counting(view, "90s")] = {"x": constant(42.0)}
    assert await world.samples(view, world.release(bakes_for=90)) == {"calls": 42.0}
    world.reader.forget(KEY)


@pytest.mark.parametrize(
    "bakes_for", [pytest.param(None, id="no bake yet"), pytest.param(-30.0, id="a clock that went back")]
)
async def test_a_bake_without_length_counts_nothing_or_a_second(world: World, bakes_for: float | None) -> None:
    """The window of a query is never zero or negative."""
    view = _view(strategy={"bake": _quota()})
    world.source.values[_counting(view, "1s")] = {"x": constant(1.0)}
    found = await world.samples(view, world.release(bakes_for=bakes_for))
    assert found == ({} if bakes_for is None else {"calls": 1.0})


async def test_without_quotas_nothing_is_counted(world: World) -> None:
    """Also when nothing is released."""
    assert await world.samples(_view(), world.release(bakes_for=90)) == {}
    assert await world.samples(_view(strategy={"bake": _quota()}), None) == {}
    assert not [query for query in world.source.asked if "calls" in query]


async def test_quotas_are_asked_now_and_then(world: World) -> None:
    """Not at every pass; each name once, although several bakes list it."""
    view = _view(strategy={"oneBox": {"bake": _quota()}, "bake": _quota()})
    release = world.release(bakes_for=90)
    for _ in range(4):
        await world.read(view, release)
    assert len([query for query in world.source.asked if "calls" in query]) == 1
    world.clock.advance(QUOTA_EVERY.total_seconds())
    await world.read(view, release)
    assert [query for query in world.source.asked if "calls" in query] == [
        _counting(view, "90s"),
        _counting(view, "105s"),
    ]


@pytest.mark.parametrize(
    ("query", "error", "says"),
    [
        pytest.param(CALLS, QueryError(QueryErrorKind.UNREACHABLE, "down"), "unreachable: down", id="down"),
        pytest.param(CALLS, None, "its query gives no series", id="no series"),
        pytest.param("calls{$(zone)}", None, "$(zone)", id="a variable without a value"),
        pytest.param("calls{$(bogus)}", None, "$(bogus) is no variable", id="a variable that does not exist"),
        pytest.param("sum(calls", None, "its query 'sum(calls' is wrong, line 1", id="no PromQL"),
        pytest.param("calls[5m]", None, "gives a range of values", id="a range"),
    ],
)
async def test_a_quota_that_cannot_be_counted_says_why(
    world: World, query: str, error: QueryError | None, says: str
) -> None:
    """Which is not zero; and what is no query is not asked."""
    world.source.error = error
    view = _view(strategy={"bake": _quota(query=query)})
    assert says in str((await world.samples(view, world.release(bakes_for=90)))["calls"])
    assert query == CALLS or query not in world.source.asked


async def test_a_quota_is_not_counted_by_another_clock(world: World) -> None:
    """As no alarm is."""
    view = _view(strategy={"bake": _quota()})
    world.source.values[_counting(view, "90s")] = {"x": constant(7.0)}
    world.source.server_time = world.clock.now() - timedelta(minutes=2)
    assert "120 s behind ours" in str(await world.samples(view, world.release(bakes_for=90)))


async def test_counts_of_one_step_are_not_those_of_the_next(world: World) -> None:
    """A new bake begins with nothing known."""
    view = _view(strategy={"bake": _quota()})
    world.source.values[_counting(view, "90s")] = {"x": constant(7.0)}
    assert await world.samples(view, world.release(bakes_for=90)) == {"calls": 7.0}
    assert world.reader.read(view, world.release(bakes_for=1), is_active=True).samples == {}


async def test_a_slow_count_is_not_asked_twice(world: World) -> None:
    """The next one waits for the answer."""
    view, release = _view(strategy={"bake": _quota()}), world.release(bakes_for=90)
    world.source.delay = 3600
    world.reader.read(view, release, is_active=True)
    await asyncio.sleep(0)
    world.clock.advance(QUOTA_EVERY.total_seconds())
    world.reader.read(view, release, is_active=True)
    await asyncio.sleep(0)
    assert len([query for query in world.source.asked if "calls" in query]) == 1
    world.reader.forget(KEY)


async def test_what_is_forgotten_is_asked_no_more(world: World) -> None:
    """Neither its alarms nor its quotas; a count under way is given up. Forgetting twice is harmless."""
    view, release = _view(strategy={"bake": _quota()}), world.release(bakes_for=90)
    world.source.delay = 3600
    world.reader.read(view, release, is_active=True)
    await asyncio.sleep(0)
    assert world.source.running == 1
    world.reader.forget(KEY)
    world.reader.forget(KEY)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (world.source.running, world.service.distinct_queries, world.told) == (0, 0, [])
