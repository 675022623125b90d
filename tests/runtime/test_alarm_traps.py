"""Traps that only the data give away."""

import asyncio
from collections.abc import Hashable
from datetime import timedelta
from typing import Any

import pytest

from ombak.runtime.alarm_traps import Findings, TrapInspector, inspect
from ombak.runtime.metrics_port import QueryError, QueryErrorKind
from ombak.simulation.agenda import run_virtual
from support.fake_metrics import FakeClock, FakeSource, LoopClock, constant

SELECTOR = 'errors{code=~"5..", app="a"}'
COUNT = "max(count_over_time(errors[300s])) and on() (count(errors offset 300s) > 0)"


CODE, APP = 'errors{code=~"5.."}', 'errors{app="a"}'
LABELLED = {"errors", 'errors{code!=""}', 'errors{app!=""}'}


@pytest.mark.parametrize(
    ("existing", "says"),
    [
        pytest.param(set(), "there is no series errors", id="no such name"),
        pytest.param({"errors"}, "no series of errors has a label code", id="no such label"),
        pytest.param({"errors", 'errors{code!=""}', CODE}, "has a label app", id="the second label"),
        pytest.param(LABELLED, 'no series of errors has code=~"5.."', id="no such value"),
        pytest.param(LABELLED | {CODE}, 'has app="a"', id="the second value"),
        pytest.param(LABELLED | {CODE, APP}, "together", id="never together"),
        pytest.param(LABELLED | {CODE, APP, SELECTOR}, "", id="they are there"),
    ],
)
async def test_why_a_query_is_empty_is_found_out(existing: set[str], says: str) -> None:
    """Down to the label that nothing has."""
    found = await inspect(FakeSource(existing=existing), SELECTOR, FakeClock(), is_empty=True, scrape=None)
    assert (says in " ".join(found.problems)) if says else not found.problems


SCOPED = 'errors{code=~"5..", namespace="shop"}'
OWN = {"errors", 'errors{namespace="shop"}'}


@pytest.mark.parametrize(
    ("query", "existing", "says"),
    [
        pytest.param("sum(rate(eror_total[2m])) or vector(0)", set(), "there is no series eror_total", id="name"),
        pytest.param(f"{SELECTOR} or vector(0)", {"errors"}, "no series of errors has a label code", id="label"),
        pytest.param(f"{SELECTOR} or vector(0)", LABELLED, "", id="no bad ones yet"),
        pytest.param(f"{SCOPED} or vector(0)", OWN | {'errors{code!=""}'}, "a label code", id="a stranger's label"),
        pytest.param(
            f"{SCOPED} or vector(0)", OWN | {'errors{namespace="shop", code!=""}'}, "", id="no bad ones of its own yet"
        ),
        pytest.param(
            f"{SCOPED} or vector(0)", {"errors", 'errors{code!=""}'}, "a label namespace", id="not scraped with it"
        ),
        pytest.param('errors{code=~"5..|"} or vector(0)', {"errors"}, "", id="the label may be missing"),
        pytest.param('errors{code!="200"} or vector(0)', {"errors"}, "", id="another value than one"),
        pytest.param("absent(heartbeat)", set(), "", id="it asks whether it is there"),
    ],
)
async def test_a_name_that_is_wrong_is_found_though_there_is_an_answer(
    query: str, existing: set[str], says: str
) -> None:
    """`or vector(0)` hides it from the verdict, not from people; of values nobody can say that they are wrong."""
    found = await inspect(FakeSource(existing=existing), query, FakeClock(), is_empty=False, scrape=None)
    assert (says in " ".join(found.problems)) if says else not found.problems


@pytest.mark.parametrize(
    ("query", "scraped", "counted", "complains"),
    [
        pytest.param("rate(errors[30s])", 30, None, True, id="told, too short"),
        pytest.param("rate(errors[60s])", 30, None, False, id="told, long enough"),
        pytest.param("rate(errors[30s])", None, 10.0, True, id="counted, too short"),
        pytest.param("rate(errors[60s])", None, 9.0, False, id="counted, one scrape was late"),
        pytest.param("rate(errors[30s])", None, None, False, id="not known"),
        pytest.param("errors", 30, None, False, id="no window"),
    ],
)
async def test_a_window_shorter_than_two_scrapes_is_found(
    query: str, scraped: int | None, counted: float | None, complains: bool
) -> None:
    """By what Prometheus tells, else by how many samples there are; what is not known is no complaint."""
    source = FakeSource({COUNT: {"": constant(counted)}}, existing={"errors"})
    scrape = timedelta(seconds=scraped) if scraped else None
    found = await inspect(source, query, FakeClock(), is_empty=False, scrape=scrape)
    assert complains == any("two are needed" in problem for problem in found.problems)


async def test_findings_come_later_and_are_kept() -> None:
    """The first question is answered with nothing; whoever asked hears of it; an hour later it is looked at again."""
    told: list[frozenset[Hashable]] = []
    source, clock = FakeSource(scraped=timedelta(seconds=30), existing={"errors"}), FakeClock()
    inspector = TrapInspector({"": source}, clock, told.append)
    assert inspector.known("w", "", "rate(errors[30s])", is_empty=False) is None
    await asyncio.sleep(0)
    assert told == [frozenset({"w"})]
    first = inspector.known("w", "", "rate(errors[30s])", is_empty=False)
    assert first is not None
    assert len(first.problems) == 1
    assert first.scrape == timedelta(seconds=30)
    source.scraped = timedelta(seconds=5)
    clock.advance(3601)
    assert inspector.known("w2", "", "rate(errors[30s])", is_empty=False) == first
    await asyncio.sleep(0)
    assert told[1:] == [frozenset({"w", "w2"})]
    assert inspector.known("w", "", "rate(errors[30s])", is_empty=False) == Findings((), timedelta(seconds=5))


def test_a_finding_that_is_over_is_heard_of_though_nobody_asks() -> None:
    """A service that is new has no series yet; a Prometheus that is away when it is looked at again ends nothing."""
    told: list[frozenset[Hashable]] = []
    source = FakeSource()

    async def main() -> Findings | None:
        inspector = TrapInspector({"": source}, LoopClock(), told.append)
        inspector.known("w", "", "errors", is_empty=False)
        await asyncio.sleep(59)
        source.existing, source.error = {"errors"}, QueryError(QueryErrorKind.UNREACHABLE, "gone")
        await asyncio.sleep(60)
        source.error = None
        await asyncio.sleep(120)
        return inspector.known("w", "", "errors", is_empty=False)

    assert run_virtual(main()) == Findings()
    assert told == [frozenset({"w"}), frozenset({"w"})]


def test_a_first_look_that_fails_is_made_again_though_nobody_asks() -> None:
    """Else nothing would be known for an hour."""
    source = FakeSource(error=QueryError(QueryErrorKind.UNREACHABLE, "gone"), existing={"errors"})

    async def main() -> Findings | None:
        inspector = TrapInspector({"": source}, LoopClock(), lambda _: None)
        inspector.known("w", "", "errors", is_empty=False)
        await asyncio.sleep(59)
        source.error = None
        await asyncio.sleep(2)
        return inspector.known("w", "", "errors", is_empty=False)

    assert run_virtual(main()) == Findings()


def test_a_finding_that_stays_is_not_looked_into_unasked_for_ever() -> None:
    """The query may have been edited since, so that nobody asks any more."""
    source, looks = FakeSource(), list[str]()

    async def main() -> None:
        inspector = TrapInspector({"": source}, LoopClock(), lambda _: None)
        inspector.known("w", "", "errors", is_empty=True)
        original = inspector._look

        async def counted(*arguments: Any) -> None:
            looks.append("again")
            await original(*arguments)

        inspector._look = counted  # type: ignore[method-assign]
        await asyncio.sleep(86_400)

    run_virtual(main())
    assert 3 <= len(looks) <= 8


async def test_a_failure_is_no_finding() -> None:
    """And what was found before stays."""
    told: list[frozenset[Hashable]] = []
    source = FakeSource(error=QueryError(QueryErrorKind.UNREACHABLE, "gone"))
    inspector = TrapInspector({"": source}, FakeClock(), told.append)
    inspector.known("w", "", SELECTOR, is_empty=True)
    inspector.known("w", "nowhere", SELECTOR, is_empty=True)
    await asyncio.sleep(0)
    assert told == []
    inspector.forget("w")
    assert inspector.known("w", "", SELECTOR, is_empty=True) is None


async def test_two_who_ask_differently_of_one_query_do_not_wake_each_other() -> None:
    """An Alarm that its query leaves empty, and the Rollout that rests on it: each has findings of its own."""
    source = FakeSource()
    told: list[frozenset[Hashable]] = []
    inspector = TrapInspector({"": source}, FakeClock(), told.append)
    for _ in range(5):
        for watcher, is_empty in (("alarm", True), ("rollout", False)):
            inspector.known(watcher, "", 'errors{code="5"}', is_empty=is_empty)
            await asyncio.sleep(0.01)
    assert len(told) == 2, "once each"
