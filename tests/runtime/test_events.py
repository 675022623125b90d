"""Events are sent in the background, in order; when that fails or is too much, nobody waits and nothing breaks."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any

import pytest
from structlog.testing import capture_logs

from ombak.core.plan import Note
from ombak.core.snapshot import RolloutView
from ombak.runtime import events
from ombak.runtime.events import EventRecorder
from ombak.runtime.kube_port import ApiError, Unreachable
from ombak.runtime.observe import view_of
from ombak.runtime.records import decode_rollout
from ombak.simulation.agenda import Agenda
from ombak.simulation.server import Server
from support.fake_kube import FakeKube
from support.fake_metrics import FakeClock
from support.rig import NAME, NAMESPACE, spec

STARTED = Note("Started", "a1 starts in 1 of 4 boxes.")


def _view() -> RolloutView:
    return view_of(decode_rollout({"metadata": {"name": NAME, "namespace": NAMESPACE, "uid": "u1"}, "spec": spec()}))


class World:
    """A recorder on a server in memory."""

    def __init__(self) -> None:
        self.kube = FakeKube(Server(Agenda()))
        self.recorder = EventRecorder(self.kube, FakeClock())

    async def send(self) -> list[dict[str, Any]]:
        """Let it send what waits; what was sent."""
        task = asyncio.create_task(self.recorder.run())
        for _ in range(self.recorder._waiting.qsize() + 1):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return self.kube.server.all("Event")


@pytest.fixture
def world() -> World:
    return World()


async def test_an_event_tells_of_its_rollout(world: World) -> None:
    """As `kubectl describe` and `kubectl events` look for it."""
    world.recorder.record(_view(), STARTED)
    [event] = await world.send()
    involved = {"apiVersion": "ombak.dev/v1alpha1", "kind": "Rollout", "name": NAME, "namespace": NAMESPACE}
    assert event["involvedObject"] == involved | {"uid": "u1"}
    assert (event["reason"], event["message"], event["type"]) == ("Started", STARTED.message, "Normal")
    assert (event["metadata"]["namespace"], event["firstTimestamp"]) == (NAMESPACE, "2026-01-01T00:00:00Z")


async def test_a_warning_is_one(world: World) -> None:
    """And a message of any length fits."""
    world.recorder.record(_view(), Note("AlarmFired", "x" * 5000, is_warning=True))
    [event] = await world.send()
    assert (event["type"], len(event["message"])) == ("Warning", 1024)


async def test_names_differ_and_are_names(world: World) -> None:
    """Many at one moment."""
    for _ in range(300):
        world.recorder.record(_view(), STARTED)
    names = {event["metadata"]["name"] for event in await world.send()}
    assert len(names) == 300
    assert all(re.fullmatch(r"front-end\.[0-9a-f]+", name) for name in names)


async def test_recording_sends_nothing_itself(world: World) -> None:
    """People can wait and boxes cannot."""
    world.recorder.record(_view(), STARTED)
    assert world.kube.told == []


@pytest.mark.parametrize("error", [Unreachable("cut"), ApiError.of(403), ApiError.of(404)], ids=["cut", "403", "404"])
async def test_one_that_cannot_be_sent_is_let_go(world: World, error: ApiError) -> None:
    """Once; the next ones are sent, and the log has them all."""
    world.kube.fail("create Event", error)
    with capture_logs() as logged:
        world.recorder.record(_view(), STARTED)
        world.recorder.record(_view(), Note("Stable", "done"))
        sent = await world.send()
    assert [event["reason"] for event in sent] == ["Stable"]
    assert len(world.kube.requests) == 2
    assert [line["event"] for line in logged] == ["event", "event", "event not sent"]
    assert (logged[0]["reason"], logged[0]["message"], logged[0]["rollout"]) == ("Started", STARTED.message, NAME)


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an API server that takes nothing the newest are dropped, and that is said."""
    monkeypatch.setattr(events, "_MOST_WAITING", 3)
    world = World()
    with capture_logs() as logged:
        for number in range(5):
            world.recorder.record(_view(), Note(f"No{number}", ""))
    assert [line["reason"] for line in logged if line["event"] == "event dropped"] == ["No3", "No4"]
    assert [event["reason"] for event in await world.send()] == ["No0", "No1", "No2"]
