"""The start of a hub: whatever answers late, wrongly or not at all is waited out and told, and then the hub begins."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from ombak.adapters.kube_client import HttpKubeClient
from ombak.adapters.kubernetes import Access
from ombak.adapters.limits import Limits
from ombak.adapters.region_link import RegionPace
from ombak.cli import hub as cli_hub
from ombak.cli.hub import HubRegions
from ombak.runtime.backoff import Backoff
from ombak.runtime.gate_book import GateBook
from ombak.runtime.records import decode_rollout
from ombak.runtime.store import Store
from support.clusters import eventually, write_kubeconfig
from support.fake_apiserver import FakeApiServer, Fault, answer, cut, hang, text
from support.own_logs import own_logs
from support.regions import QUICK, Followed, kubeconfig, region

OMBAK = "/apis/ombak.dev/v1alpha1"
PIPELINES = f"{OMBAK}/namespaces/shop/pipelines"
WHICH = "/api/v1/namespaces/kube-system"
IMPATIENT = Limits(timeout=timedelta(milliseconds=300))
SOON = Backoff(timedelta(milliseconds=10), timedelta(milliseconds=30))


class HubServer(FakeApiServer):
    """The hub's API server, on which any path may go wrong for some times."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: dict[str, list[Fault]] = {}

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self.wrong.get(request.path):
            return await self.wrong[request.path].pop()(request)
        if request.path == WHICH:
            return web.json_response({"metadata": {"name": "kube-system", "uid": "hub-uid"}})
        return await super()._handle(request)


@pytest.fixture
async def server() -> AsyncIterator[HubServer]:
    """One Pipeline, which is a base: it is told so as soon as the hub has begun."""
    made = HubServer()
    async with made.serve():
        await made.put(PIPELINES, "base", spec={"stages": []})
        yield made


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is tried again is tried again soon, and loggers keep nothing that another test configured."""
    monkeypatch.setattr(cli_hub, "_PATIENCE", SOON)
    with own_logs():
        yield


@asynccontextmanager
async def hub(server: HubServer, folder: Path, listed: asyncio.Event) -> AsyncIterator[asyncio.Task[None]]:
    """The hub's part of `ombak run --hub`."""
    access = await Access.open(write_kubeconfig(folder / "kubeconfig", server.url, "good"))
    async with HttpKubeClient(access, IMPATIENT) as client:
        gates = GateBook(Store(decode_rollout), lambda _: None)
        running = HubRegions(client, access, random.Random(1), QUICK, gates)
        task = asyncio.create_task(running.run([listed]))
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def has_begun(server: HubServer) -> bool:
    """The status of the Pipeline is written."""
    return bool(server.objects[PIPELINES, "base"].get("status"))


FAULTS = {
    "forbidden": answer(403, "Forbidden", "no right"),
    "not there": answer(404, "NotFound", "the server could not find the requested resource"),
    "slow down": answer(429, "TooManyRequests", "later", **{"Retry-After": "0"}),
    "broken": answer(500, "InternalError", "etcdserver: no leader"),
    "a page": text(200, "<html>log in</html>"),
    "another object": answer(200, "Success"),
    "silent": hang,
    "cut": cut,
}


@pytest.mark.breadth
@pytest.mark.parametrize("fault", list(FAULTS))
@pytest.mark.parametrize("path", [WHICH, f"{OMBAK}/pipelines", f"{OMBAK}/artifacts", f"{OMBAK}/regions"])
async def test_a_hub_begins_once_what_it_needs_answers(
    server: HubServer, tmp_path: Path, path: str, fault: str
) -> None:
    """Whatever goes wrong before is said in the log, and tried again."""
    server.wrong[path] = [FAULTS[fault]] * 3
    listed = asyncio.Event()
    listed.set()
    with capture_logs() as said:
        async with hub(server, tmp_path, listed):
            await eventually(lambda: has_begun(server))

    assert server.wrong[path] == []
    assert any(line["log_level"] == "warning" and line.get("reason") for line in said)
    assert any(line["event"] == "hub synced" and line["hub"] == "hub-uid" for line in said)


@pytest.mark.breadth
async def test_a_hub_that_cannot_begin_says_what_it_waits_for(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, again and again, until it is there; what else is wrong does not end it."""
    monkeypatch.setattr(cli_hub, "TELL_EVERY", timedelta(milliseconds=20))
    server.wrong[f"{OMBAK}/pipelines"] = [hang] * 3
    listed = asyncio.Event()
    with capture_logs() as said:
        async with hub(server, tmp_path, listed):

            def missing() -> list[list[str]]:
                return [line["missing"] for line in said if "cannot begin" in line["event"]]

            await eventually(lambda: ["the kinds of a region", "Pipelines"] in missing())
            await eventually(lambda: missing()[-1] == ["the kinds of a region"])
            assert not has_begun(server)
            listed.set()
            await eventually(lambda: has_begun(server))
            count = len(missing())
            await asyncio.sleep(0.1)
            assert len(missing()) <= count + 1


async def test_a_region_is_known_as_soon_as_it_was_listed() -> None:
    """Not only at the next look, which may be far away."""
    seldom = dataclasses.replace(QUICK, every=timedelta(hours=1))
    async with FakeApiServer().serve() as eu, Followed(seldom).running() as followed:
        followed.secrets.write("eu", kubeconfig(eu.url))
        followed.regions.set("eu", region("eu"))
        known: list[bool] = []

        def told() -> bool:
            found = followed.regions.view("eu", ("shop", "front-end"))
            known.append(found is not None and found.is_known and found.contact.is_reachable)
            return known[-1]

        await eventually(told)
        # Not looked at yet, answering, known; the lists may also have come before the answer.
        await eventually(lambda: len(followed.contacts) >= 3)
        assert eu.counts()["version"] == 1


async def test_of_a_region_that_is_back_everything_is_read_at_once() -> None:
    """Its watches do not wait for the pause that their failures made."""
    slow = Backoff(timedelta(minutes=5), timedelta(minutes=5))
    pace: RegionPace = dataclasses.replace(QUICK, watch=dataclasses.replace(QUICK.watch, backoff=slow))
    async with Followed(pace).running() as followed, FakeApiServer().serve() as eu:
        followed.secrets.write("eu", kubeconfig(eu.url))
        followed.regions.set("eu", region("eu"))
        await eventually(lambda: followed.reason("eu") == "Answering")
        await eventually(lambda: eu.counts()["watch"] >= 2)
        eu.fail("version", answer(500, "InternalError", "down"), times=4)
        eu.fail("watch", answer(500, "InternalError", "down"), times=10**6)
        await eventually(lambda: followed.reason("eu") == "ServerError")
        lists = eu.counts()["list"]
        await eventually(lambda: followed.reason("eu") == "Answering")
        await eventually(lambda: eu.counts()["list"] >= lists + 2)
