"""A mistake of ours in a pass is told in the status, once, and taken back by the next pass that ends well."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from test_operator import World, run

from ombak.runtime import acting, kinds
from ombak.runtime.kube_port import ApiError, Forbidden, NotFound, Unreachable
from support.rig import KEY, NAME, Rig, spec, template

pytestmark = pytest.mark.usefixtures("quiet")
PAUSE = "30s"


async def _fail(rig: Rig) -> None:
    """One pass as the operator does it."""
    with pytest.raises(ArithmeticError) as caught:
        await rig.reconcile()
    await rig.reconciler.tell_defect(KEY, caught.value, PAUSE)


def _break(
    monkeypatch: pytest.MonkeyPatch,
    where: str = "ombak.runtime.reconcile.decide",
    kind: type[Exception] = ZeroDivisionError,
) -> None:
    def broken(*_: Any, **__: Any) -> NoReturn:
        raise kind(f"something else each time: {object()}")

    monkeypatch.setattr(where, broken)


async def test_a_defect_is_told_once_and_what_is_known_stays(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence that says whose fault it is, what became of the boxes, and when it goes on."""
    before = rig.status
    with monkeypatch.context() as patched:
        _break(patched)
        await _fail(rig)
        stalled, waiting = rig.condition("Stalled"), rig.status["waitingFor"]
        assert (stalled["status"], stalled["reason"]) == ("True", "Defect")
        for words in ("a defect of ombak", "ZeroDivisionError", "nothing was changed", "tried again", PAUSE):
            assert words.lower() in stalled["message"].lower()
        assert waiting["what"] == stalled["message"] == rig.status["message"]
        assert "something else" not in stalled["message"]
        kept = ("phase", "artifacts", "replicas", "availableReplicas", "memory")
        assert [rig.status.get(name) for name in kept] == [before.get(name) for name in kept]
        rig.kube.take()
        for _ in range(20):
            rig.clock.advance(30)
            await _fail(rig)
        assert rig.kube.writes == []
    await rig.reconcile()
    assert rig.kube.writes == [f"replace Rollout/status {NAME}"]
    assert (rig.condition("Stalled")["status"], rig.status["message"]) == ("False", before["message"])
    assert "waitingFor" not in rig.status


async def test_each_distinct_defect_is_told_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them in turn are two writes, however long it goes on."""
    rig.kube.take()
    for kind in (ZeroDivisionError, OverflowError) * 5:
        _break(monkeypatch, kind=kind)
        await _fail(rig)
        rig.clock.advance(30)
    assert rig.kube.writes == [f"replace Rollout/status {NAME}"] * 2


async def test_a_defect_after_the_status_write_is_not_taken_back_by_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status is written before what fails, in every pass anew: it must not tell the two in turn."""
    rig.change(template=template("2.0.0"))
    for _ in range(3):  # so long that the pods are asked why, which is done after all writes
        await rig.reconcile()
        rig.settle(ready=False)
        rig.clock.advance(15)
    with monkeypatch.context() as patched:
        _break(patched, "ombak.runtime.ailments.Ailments.ask")
        await _fail(rig)
        assert rig.condition("Stalled")["reason"] == "Defect"
        rig.kube.take()
        for _ in range(3):  # not so long that the deadline of the box is stored once more
            rig.clock.advance(10)
            await _fail(rig)
        assert rig.kube.writes == []
    rig.clock.advance(20)
    await rig.reconcile()
    assert rig.condition("Stalled")["status"] == "False"


async def test_what_was_begun_is_not_called_unchanged(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one box was written already."""
    rig.change(template=template("2.0.0"))
    monkeypatch.setattr(acting.putback, "children", lambda _: 1 / 0)
    await _fail(rig)
    assert rig.boxes()[rig.wanted] == 1
    assert "Nothing was changed" not in rig.status["message"]
    assert rig.condition("Stalled")["reason"] == "Defect"


async def test_a_defect_survives_a_restart_without_a_write(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new process meets it again, and has nothing new to say."""
    _break(monkeypatch)
    await _fail(rig)
    rig.restart()
    rig.kube.take()
    await _fail(rig)
    assert rig.kube.writes == []


def test_the_operator_tells_and_goes_on() -> None:
    """Through the queue; a status that cannot be written is only logged, and the next failure tells it."""

    async def body(world: World) -> None:
        async def broken(_: Any) -> timedelta | None:
            if len(world.passes) < 4:
                raise ZeroDivisionError
            return None

        world.create(kinds.ROLLOUTS, NAME, spec=spec())
        world.synced.set()
        await asyncio.sleep(61)  # between two looks
        world.stub(broken)
        world.kube.fail("replace Rollout/status", Unreachable("cut"))
        world.server.patch("kubectl", kinds.ROLLOUTS, *KEY, {"metadata": {"labels": {"x": "y"}}})
        await asyncio.sleep(0.1)
        assert "Defect" not in str(world.rollout["status"])
        await asyncio.sleep(60)
        assert "Defect" in str(world.rollout["status"])
        assert len(world.passes) == 4

    run(body)


def test_an_api_server_that_goes_on_failing_is_told_and_taken_back() -> None:
    """A webhook that is down may be so for hours: the status says it, once, and no longer than it lasts."""
    down = ApiError.of(500, "InternalError", "failed calling webhook: no endpoints available")

    async def body(world: World) -> None:
        world.create(kinds.ROLLOUTS, NAME, spec=spec(alarms=None, unwatched="no need"))
        world.synced.set()
        await asyncio.sleep(61)
        assert world.phase == "Stable"
        world.kube.fail("check Deployment", down, times=10_000)
        changed = {**world.rollout, "spec": spec(alarms=None, unwatched="no need", template=template("2.0.0"))}
        world.server.replace("kubectl", kinds.ROLLOUTS, *KEY, changed)
        await asyncio.sleep(120)
        status = world.rollout["status"]
        stalled = next(c for c in status["conditions"] if c["type"] == "Stalled")
        assert (stalled["status"], stalled["reason"]) == ("True", "ApiError")
        assert "no endpoints available" in status["waitingFor"]["what"]
        assert status["waitingFor"]["who"] == "whoever runs the API server, or the webhook that it asks"
        told = world.kube.told.count(f"replace Rollout/status {NAME}")
        await asyncio.sleep(300)
        assert world.kube.told.count(f"replace Rollout/status {NAME}") == told
        world.kube.heal()
        await asyncio.sleep(120)
        status = world.rollout["status"]
        assert next(c for c in status["conditions"] if c["type"] == "Stalled")["status"] == "False"
        assert status["phase"] == "Stable"
        assert status["artifacts"]["stable"] != ""

    run(body)


@pytest.mark.parametrize(
    ("error", "who"),
    [
        pytest.param(
            Forbidden(403, "Forbidden", "cannot get deployments"), "charts/rbac.yaml", id="a right is missing"
        ),
        pytest.param(NotFound(404, "NotFound", "no such resource"), "the API server", id="a kind is gone"),
        pytest.param(Unreachable("GET: TimeoutError()"), "the API server", id="one kind is not answered"),
    ],
)
def test_whatever_ends_every_pass_is_told(error: ApiError, who: str) -> None:
    """Also where the first word about it was lost."""

    async def body(world: World) -> None:
        async def failing(_: Any) -> timedelta | None:
            raise error

        world.create(kinds.ROLLOUTS, NAME, spec=spec())
        world.synced.set()
        await asyncio.sleep(61)
        world.stub(failing)
        told = world.kube.told.count(f"replace Rollout/status {NAME}")
        world.kube.fail("replace Rollout/status", Unreachable("cut"))
        world.server.patch("kubectl", kinds.ROLLOUTS, *KEY, {"metadata": {"labels": {"x": "y"}}})
        await asyncio.sleep(600)
        waiting = world.rollout["status"]["waitingFor"]
        assert error.message in waiting["what"]
        assert who in waiting["who"]
        assert world.kube.told.count(f"replace Rollout/status {NAME}") == told + 2

    run(body)
