"""The store converges to the cluster whatever the server or a proxy does, without a hot loop."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ombak.adapters.kube_client import HttpKubeClient
from ombak.adapters.kubernetes import Access
from ombak.adapters.limits import Limits
from ombak.adapters.reflector import Pace, Reflector, Source
from ombak.runtime.backoff import Backoff
from ombak.runtime.store import Key, Store
from support.clusters import DEPLOYMENTS, SHOP, eventually, write_kubeconfig
from support.fake_apiserver import FakeApiServer, Fault, answer, cut, hang, stream, text

PACE = Pace(
    silence=timedelta(seconds=0.4),
    backoff=Backoff(timedelta(milliseconds=10), timedelta(milliseconds=100)),
)
OFTEN = dataclasses.replace(PACE, relist_earliest=timedelta(seconds=0.3), relist_latest=timedelta(seconds=0.6))


class Follower:
    """A reflector with its store, and what it told."""

    def __init__(self, client: HttpKubeClient, pace: Pace, selector: str = "") -> None:
        self.told: list[Key] = []
        self.store: Store[Any] = Store(lambda obj: obj.get("spec"), on_event=self.told.append)
        source = Source(DEPLOYMENTS, label_selector=selector, cluster="here")
        self.reflector = Reflector(client, source, self.store, random.Random(1), pace)

    def holds(self, **expected: object) -> bool:
        found = {name: self.store.get((space, name)) for space, name in self.store}
        return {name: stored.value for name, stored in found.items() if stored} == expected


Follow = Callable[..., Awaitable[Follower]]


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer().serve() as running:
        yield running


@pytest.fixture
async def follow(server: FakeApiServer, tmp_path: Path) -> AsyncIterator[Follow]:
    access = await Access.open(write_kubeconfig(tmp_path / "config", server.url, "good"))
    async with HttpKubeClient(access, Limits(timeout=timedelta(seconds=0.5))) as client, running() as start:

        async def begin(pace: Pace = PACE, selector: str = "", wait: bool = True) -> Follower:
            follower = Follower(client, pace, selector)
            start(follower.reflector)
            if wait:
                await asyncio.wait_for(follower.reflector.synced.wait(), 20)
            return follower

        yield begin


@asynccontextmanager
async def running() -> AsyncIterator[Callable[[Reflector[Any]], None]]:
    """Runs reflectors; ends them, and shows their defects."""
    tasks: list[asyncio.Task[Any]] = []
    yield lambda reflector: tasks.append(asyncio.create_task(reflector.run()))
    for task in tasks:
        assert not task.done(), task
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_list_and_watch_fill_the_store(server: FakeApiServer, follow: Follow) -> None:
    """What is there, what comes, what changes and what goes."""
    await server.put(SHOP, "a", spec=1)
    await server.put(SHOP, "b", spec=1)
    follower = await follow()
    assert follower.holds(a=1, b=1)

    await server.put(SHOP, "c", spec=1)
    await server.put(SHOP, "a", spec=2)
    await server.drop(SHOP, "b")

    await eventually(lambda: follower.holds(a=2, c=1))
    assert server.queries("list") == [{"limit": "500", "resourceVersion": "0"}]
    assert [name for _, name in follower.told] == ["a", "b", "c", "a", "b"]


async def test_a_long_list_comes_in_pages(server: FakeApiServer, follow: Follow) -> None:
    """1,200 objects are three pages of one list."""
    for number in range(1200):
        await server.put(SHOP, f"d{number:04}", spec=number)

    follower = await follow()

    assert (len(follower.store), server.counts()["list"]) == (1200, 3)


async def test_only_what_is_selected_is_kept(server: FakeApiServer, follow: Follow) -> None:
    """The label selector is the server's work, in list and watch."""
    await server.put(SHOP, "a", spec=1, labels={"ombak": "yes"})
    await server.put(SHOP, "b", spec=1)
    follower = await follow(selector="ombak=yes")
    await server.put(SHOP, "c", spec=1, labels={"ombak": "yes"})
    await server.put(SHOP, "d", spec=1)

    await eventually(lambda: follower.holds(a=1, c=1))


@pytest.mark.breadth
async def test_a_watch_that_ends_is_resumed_without_a_list(server: FakeApiServer, follow: Follow) -> None:
    """The server ends each watch after a while; nothing is lost and nothing is listed again."""
    follower = await follow(Pace(watch_length=timedelta(seconds=1), backoff=PACE.backoff))
    for number in range(4):
        await server.put(SHOP, "a", spec=number)
        await eventually(lambda n=number: server.counts()["watch"] > n)

    await eventually(lambda: follower.holds(a=3))
    versions = [int(query["resourceVersion"]) for query in server.queries("watch")]
    assert server.counts()["list"] == 1
    assert versions == sorted(versions)
    assert versions[-1] > versions[0], "each watch begins where the last one ended"


async def test_doubled_events_tell_once(server: FakeApiServer, follow: Follow) -> None:
    """An event that comes three times is one change."""
    server.repeat_events = 3
    follower = await follow()
    await server.put(SHOP, "a", spec=1)
    await server.put(SHOP, "a", spec=2)
    await server.drop(SHOP, "a")
    await server.put(SHOP, "b", spec=1)

    await eventually(lambda: follower.holds(b=1))
    assert [name for _, name in follower.told] == ["a", "a", "a", "b"]


async def test_a_silent_watch_is_left_for_a_list(server: FakeApiServer, follow: Follow) -> None:
    """A half-open connection brings nothing, not even bookmarks: the list finds what it kept back."""
    server.fail("watch", stream(then_hang=True))
    follower = await follow()
    await server.put(SHOP, "a", spec=1)

    await eventually(lambda: follower.holds(a=1))
    assert server.counts()["list"] == 2
    await eventually(lambda: server.counts()["watch"] == 2)


@pytest.mark.breadth
async def test_a_server_that_sends_no_bookmarks_is_no_broken_one(server: FakeApiServer, follow: Follow) -> None:
    """Nothing changes and nothing comes: never an error, and each list is heard."""
    server.fail("watch", stream(then_hang=True), times=20)
    follower = await follow()
    errors = set()
    while follower.reflector.lists < 4:
        errors.add(follower.reflector.error)
        await asyncio.sleep(0.02)

    assert errors == {None}
    assert follower.reflector.silent_for is not None
    assert follower.reflector.silent_for < PACE.doubt


async def test_an_open_watch_ends_what_was_wrong(server: FakeApiServer, follow: Follow) -> None:
    """A refusal between list and watch is over when the watch is let in, though nothing happens in it."""
    server.fail("watch", answer(429, "TooManyRequests"))
    server.fail("watch", stream(then_hang=True), times=20)
    follower = await follow()

    await eventually(lambda: follower.reflector.error is not None)
    await eventually(lambda: follower.reflector.error is None)
    assert follower.reflector.lists == 1


GONE = '{"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "old"}}'


@pytest.mark.parametrize(
    "fault",
    [pytest.param(stream(GONE), id="event"), pytest.param(answer(410, "Expired"), id="status")],
)
async def test_too_old_means_list_again_and_what_vanished_is_told(
    server: FakeApiServer, follow: Follow, fault: Fault
) -> None:
    """Deletions that happened while the watch was broken are found by the list's difference."""
    await server.put(SHOP, "stays", spec=1)
    await server.put(SHOP, "goes", spec=1)
    server.fail("watch", cut)
    server.fail("watch", fault)
    follower = await follow()
    follower.told.clear()
    await server.drop(SHOP, "goes")
    server.forget_history()

    await eventually(lambda: follower.holds(stays=1))
    assert follower.told == [("shop", "goes")]
    assert server.queries("list")[1]["resourceVersion"] == ""


@pytest.mark.breadth
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(answer(500, "InternalError"), id="server error"),
        pytest.param(answer(403, "Forbidden"), id="forbidden"),
        pytest.param(answer(429, "TooManyRequests"), id="too many"),
        pytest.param(text(502, "<html>bad gateway</html>"), id="proxy page"),
        pytest.param(text(200, "<html>\n<body>\nplease log in"), id="login page"),
        pytest.param(text(200, ""), id="nothing"),
        pytest.param(text(200, "{}", "application/json"), id="json without event"),
        pytest.param(stream('{"type": "ADDED", "object": {"metadata": {}}}'), id="no object"),
        pytest.param(stream('{"type": "ADDED", "object": {"metadata": {"resourceVersion": "9999"}}}'), id="no name"),
        pytest.param(stream('{"type": "ODD", "object": {"metadata": {"resourceVersion": "1"}}}'), id="odd"),
        pytest.param(stream('{"type": "ERROR", "object": {"code": 500, "reason": "Internal"}}'), id="error"),
        pytest.param(stream('{"type": "ERROR", "object": {}}'), id="empty error"),
        pytest.param(stream('{"type": "ADDED", "obj'), id="half a line"),
        pytest.param(cut, id="cut"),
        pytest.param(hang, id="no answer"),
    ],
)
async def test_a_lying_watch_is_neither_believed_nor_hammered(
    server: FakeApiServer, follow: Follow, fault: Fault
) -> None:
    """Whatever comes instead of a watch, the store stays true and the requests get rarer."""
    await server.put(SHOP, "a", spec=1)
    server.fail("watch", fault, times=4)
    follower = await follow()
    await server.put(SHOP, "b", spec=1)

    await eventually(lambda: follower.holds(a=1, b=1) and server.counts()["watch"] >= 5)
    assert server.counts()["watch"] <= 7
    assert server.counts()["list"] <= 2


@pytest.mark.breadth
async def test_a_proxy_that_closes_at_once_for_long_costs_few_requests(server: FakeApiServer, follow: Follow) -> None:
    """The pauses between empty watches grow to their cap."""
    server.fail("watch", text(200, ""), times=10_000)
    slow = Pace(silence=PACE.silence, backoff=Backoff(timedelta(milliseconds=50), timedelta(seconds=10)))
    follower = await follow(slow)
    await asyncio.sleep(2)

    assert server.counts()["watch"] <= 8
    assert server.counts()["list"] >= 2, "after three fruitless watches the list is read again"
    assert follower.reflector.silent_for is not None


@pytest.mark.breadth
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(answer(503, "ServiceUnavailable"), id="unavailable"),
        pytest.param(text(200, "<html>"), id="html"),
        pytest.param(text(200, '{"metadata": {"resourceVersion": "5"}}', "application/json"), id="no items"),
        pytest.param(text(200, '{"metadata": {}, "items": []}', "application/json"), id="no version"),
        pytest.param(
            text(200, '{"metadata": {"resourceVersion": "5"}, "items": [7]}', "application/json"), id="no objects"
        ),
        pytest.param(
            text(200, '{"metadata": {"resourceVersion": "x"}, "items": []}', "application/json"), id="odd version"
        ),
        pytest.param(hang, id="hang"),
        pytest.param(cut, id="cut"),
    ],
)
async def test_a_broken_list_is_no_list(server: FakeApiServer, follow: Follow, fault: Fault) -> None:
    """Until a true list came, nothing is synced and nothing is told."""
    await server.put(SHOP, "a", spec=1)
    server.fail("list", fault, times=3)
    follower = await follow(wait=False)
    assert follower.reflector.silent_for is None

    await eventually(lambda: follower.holds(a=1))
    assert follower.reflector.synced.is_set()
    assert follower.reflector.lists == 1


async def test_a_list_that_breaks_between_pages_changes_nothing(server: FakeApiServer, follow: Follow) -> None:
    """Half a list would look like deletions."""
    for number in range(700):
        await server.put(SHOP, f"d{number:03}", spec=1)
    follower = await follow()
    follower.told.clear()

    async def second_page_fails(request: Any) -> Any:
        server.fail("list", answer(500, "InternalError"))
        return server._list(request, SHOP)

    server.fail("list", second_page_fails)
    server.fail("watch", text(200, ""), times=4)
    await eventually(lambda: follower.reflector.lists >= 2)

    assert (len(follower.store), follower.told) == (700, [])


async def test_the_list_is_read_again_from_time_to_time(server: FakeApiServer, follow: Follow) -> None:
    """A change that no event told is found by the periodic list, which is not older than what was seen."""
    await server.put(SHOP, "a", spec=1)
    follower = await follow(OFTEN)
    server.objects.clear()

    await eventually(follower.holds)
    assert server.queries("list")[1] == {
        "limit": "500",
        "resourceVersion": "101",
        "resourceVersionMatch": "NotOlderThan",
    }


async def test_a_restored_backup_starts_the_store_over(server: FakeApiServer, follow: Follow) -> None:
    """Revisions that went backwards are seen, and the old objects are believed again."""
    backup = await server.put(SHOP, "a", spec="old")
    for number in range(20):
        await server.put(SHOP, "a", spec=number)
    await server.put(SHOP, "b", spec=1)
    follower = await follow(OFTEN)

    server.revision, server.history = 102, []
    server.objects = {(SHOP, "a"): backup}

    await eventually(lambda: follower.holds(a="old"))
    await server.put(SHOP, "a", spec="on we go")
    await eventually(lambda: follower.holds(a="on we go"))


async def test_an_answer_to_a_write_is_read_before_its_event(server: FakeApiServer, follow: Follow) -> None:
    """Read your writes; the echo tells nobody."""
    server.fail("watch", hang)
    follower = await follow()
    follower.store.upsert(await server.put(SHOP, "a", spec=1))
    assert follower.holds(a=1)

    await server.put(SHOP, "b", spec=1)
    await eventually(lambda: follower.holds(a=1, b=1))
    assert follower.told == [("shop", "b")]


async def test_a_decoder_that_raises_ends_the_run(server: FakeApiServer, tmp_path: Path) -> None:
    """A defect of ours is not taken for one of the network."""

    def broken(_: object) -> None:
        raise ValueError("defect")

    await server.put(SHOP, "a", spec=1)
    access = await Access.open(write_kubeconfig(tmp_path / "config", server.url, "good"))
    async with HttpKubeClient(access) as client:
        reflector = Reflector(client, Source(DEPLOYMENTS), Store(broken), random.Random(1), PACE)
        with pytest.raises(ValueError, match="defect"):
            await reflector.run()


@pytest.mark.breadth
@pytest.mark.parametrize("seed", range(6))
async def test_any_sequence_of_faults_ends_at_the_truth(server: FakeApiServer, follow: Follow, seed: int) -> None:
    """Random changes under random faults: in the end the store is the cluster, and versions never went back."""
    rng = random.Random(seed)
    faults = [cut, stream(GONE), text(200, "<html>"), text(200, ""), answer(500, "X"), answer(410, "Expired")]
    follower = await follow()
    seen: dict[Key, int] = {}

    def never_back(key: Key) -> None:
        stored = follower.store.get(key)
        if stored is not None:
            assert stored.resource_version > seen.get(key, 0)
            seen[key] = stored.resource_version

    follower.store._on_event = never_back
    for number in range(60):
        name = rng.choice("abcdef")
        if rng.random() < 0.3 and (SHOP, name) in server.objects:
            await server.drop(SHOP, name)
        else:
            answered = await server.put(SHOP, name, spec=number)
            if rng.random() < 0.3:
                follower.store.upsert(answered)
        if rng.random() < 0.2:
            server.fail(rng.choice(["watch", "list"]), rng.choice(faults))
            server.bookmark_every = rng.choice([0.01, 0.1])
        if rng.random() < 0.1:
            server.forget_history()
        await asyncio.sleep(rng.choice([0, 0.01, 0.03]))

    truth = {name: obj["spec"] for (_, name), obj in server.objects.items()}
    await eventually(lambda: follower.holds(**truth))
