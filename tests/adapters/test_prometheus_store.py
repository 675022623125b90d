"""Since when a Prometheus can know anything: asked once per process, seen again soon after another took its place."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ombak.adapters import prometheus_store
from ombak.adapters.prometheus_store import StoreWatch
from ombak.runtime.metrics_port import QueryError, QueryErrorKind, Store

NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO = NOW - timedelta(days=3)


def just_now() -> datetime:
    """`NOW` is when the tests were collected, which may be too long ago for a process to be young."""
    return datetime.now(UTC).replace(microsecond=0)


MAX = 2**63 - 1


class Told:
    """What the paths of a Prometheus say, and how often each was asked; None is 404."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.bodies: dict[str, Any] = {}
        self.error: QueryError | None = None
        self.process(LONG_AGO, LONG_AGO)

    def process(self, started: datetime, oldest: datetime | None, scrapes: tuple[str, ...] = ("15s", "15s")) -> None:
        milliseconds = MAX if oldest is None else round(oldest.timestamp() * 1000)
        head = {"numSeries": 1, "minTime": milliseconds}
        self.bodies = {
            "status/runtimeinfo": {"data": {"startTime": started.isoformat()}},
            "status/tsdb": {"data": {"headStats": head}},
            "targets": {"data": {"activeTargets": [{"scrapeInterval": every} for every in scrapes]}},
        }

    def __call__(self, what: str, _params: Mapping[str, str]) -> Any:
        self.asked.append(what)
        if self.error is not None:
            raise self.error
        return self.bodies.get(what)


@pytest.fixture
def told() -> Told:
    """One that is old."""
    return Told()


@pytest.fixture
def watch(told: Told, monkeypatch: pytest.MonkeyPatch) -> StoreWatch:
    """Nothing is fresh for long, so that every question is seen."""
    monkeypatch.setattr(prometheus_store, "_FRESH", 0.0)
    monkeypatch.setattr(prometheus_store, "_PATIENCE", 0.0)

    async def run(ask: Callable[[], Store | None]) -> Store | None:
        return await asyncio.to_thread(ask)

    return StoreWatch(told, run)


async def test_an_old_process_is_asked_for_its_store_once(told: Told, watch: StoreWatch) -> None:
    """Which is the dear question; whether it is still the same process is asked each time."""
    assert await watch.known() == await watch.known() == Store(LONG_AGO)
    assert told.asked == ["status/runtimeinfo", "status/tsdb", "status/runtimeinfo"]


async def test_another_process_is_noticed_with_what_it_has(told: Told, watch: StoreWatch) -> None:
    """Nothing at first, then samples and the interval of its targets."""
    now = just_now()
    await watch.known()
    told.process(now, None)
    assert await watch.known() == Store(None)
    told.process(now, now)
    assert await watch.known() == Store(now, timedelta(seconds=15))
    told.process(now, now, ("15s", "1m"))
    assert await watch.known() == Store(now, timedelta(seconds=15))
    assert told.asked[-1] == "status/runtimeinfo"


async def test_of_two_that_take_turns_the_younger_counts(told: Told, watch: StoreWatch) -> None:
    """Nobody knows which one gave the answer."""
    now = just_now()
    told.process(now, now)
    await watch.known()
    told.process(LONG_AGO, LONG_AGO)
    assert await watch.known() == Store(now, timedelta(seconds=15))


async def test_many_answers_at_a_time_share_a_question(
    told: Told, watch: StoreWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand answers in a second do not become two thousand questions."""
    monkeypatch.setattr(prometheus_store, "_FRESH", 30.0)
    for _ in range(3):
        await asyncio.gather(*(watch.known() for _ in range(100)))
    assert told.asked.count("status/runtimeinfo") == 1


@pytest.mark.parametrize("missing", ["status/runtimeinfo", "status/tsdb"])
async def test_what_is_no_prometheus_tells_nothing(told: Told, watch: StoreWatch, missing: str) -> None:
    """As Thanos and Mimir; and it is not asked again and again."""
    del told.bodies[missing]
    assert await watch.known() is None
    asked = len(told.asked)
    assert await watch.known() is None
    assert len(told.asked) == asked


async def test_a_question_that_fails_is_no_leave_to_trust(told: Told, watch: StoreWatch) -> None:
    """The answer before it is unknown then too; the next question may do better."""
    told.error = QueryError(QueryErrorKind.OVERLOADED, "starting")
    with pytest.raises(QueryError, match="starting"):
        await watch.known()
    told.error = None
    assert await watch.known() == Store(LONG_AGO)


@pytest.mark.parametrize(
    ("store", "seconds", "says"),
    [
        pytest.param(Store(None), 0, "stored nothing", id="nothing"),
        pytest.param(Store(NOW, timedelta(seconds=15)), 89, "not relied upon until", id="reach and two scrapes"),
        pytest.param(Store(NOW, timedelta(seconds=15)), 90, "", id="over"),
        pytest.param(Store(NOW), 179, "60 s back", id="targets of different intervals"),
        pytest.param(Store(NOW), 180, "", id="over for them too"),
        pytest.param(Store(NOW, timedelta(hours=2)), 3600, "", id="an hour is enough"),
    ],
)
def test_an_answer_counts_once_all_that_it_reads_was_there(store: Store, seconds: int, says: str) -> None:
    """Its reach of a minute, and the time until every target was scraped twice; at most an hour."""
    found = store.is_too_early(NOW + timedelta(seconds=seconds), timedelta(minutes=1), timedelta(minutes=2))
    assert (says in found) if says else found == ""
