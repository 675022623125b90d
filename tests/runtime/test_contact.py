"""An outage of the API server or of the operator takes no good release back; what was seen to fail still does."""

import contextlib
from collections.abc import Callable
from datetime import timedelta

import pytest

from ombak.runtime import kinds
from ombak.runtime.contact import Contact
from ombak.runtime.kube_port import ApiError, Kind, NotFound, Object, Unreachable
from ombak.simulation.client import Request
from ombak.simulation.server import Server
from support.fake_kube import FakeKube
from support.fake_metrics import FakeClock
from support.rig import KEY, NAMESPACE, Rig, template

MINUTES = 4
"""So many polls of a rig are a minute."""


async def _dead(request: Request, effect: Callable[[Server], Object]) -> Object:
    raise Unreachable("connection refused")


async def _passes(rig: Rig, count: int) -> None:
    for _ in range(count):
        try:
            await rig.reconcile()
        except ApiError:
            assert rig.kube._call is _dead
        rig.clock.advance(15)


async def _at_a_batch(deadline: str = "2m") -> Rig:
    rig = Rig()
    await rig.installed(progressDeadline=deadline)
    rig.change(template=template("2.0.0"))
    while rig.phase != "Rolling":
        rig.settle()
        rig.clock.advance(15)
        await rig.reconcile()
    return rig


async def test_an_outage_longer_than_the_deadline_takes_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could have made a box in it; the controllers come back after us, and the release goes on."""
    rig = await _at_a_batch()
    with monkeypatch.context() as patched:
        patched.setattr(rig.kube, "_call", _dead)
        await _passes(rig, 20 * MINUTES)
    await _passes(rig, 2)
    assert rig.phase == "Rolling"
    await rig.go_on()
    assert rig.status["artifacts"]["stable"] == rig.wanted


async def test_a_dead_operator_is_no_fault_of_the_boxes() -> None:
    """A new process finds boxes that do not serve, and the deadline long over by the clock."""
    rig = await _at_a_batch()
    rig.clock.advance(3600)
    rig.restart()
    await _passes(rig, 2)
    assert rig.phase == "Rolling"
    await rig.go_on()


@pytest.mark.parametrize("restarts", [False, True])
async def test_boxes_that_stay_away_are_taken_back_all_the_same(restarts: bool) -> None:
    """However often the operator dies: what it saw before is stored."""
    rig = await _at_a_batch("6m")
    for _ in range(4):
        await _passes(rig, 2 * MINUTES + 2)
        if restarts:
            rig.clock.advance(3600)
            rig.restart()
    assert "ProgressDeadlineExceeded" in rig.recorder.reasons


class _Calls:
    """A contact whose calls are answered, or not."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.rig = Rig()
        self.rig.apply()
        self.kube: FakeKube = self.rig.kube
        self.contact = Contact(self.kube, self.clock)

    async def ask(self, after: float, error: ApiError | None = None, kind: Kind = kinds.ROLLOUTS) -> float:
        """Ask so many seconds later; returns how many were lost by then."""
        self.clock.advance(after)
        if error is not None:
            self.kube.fail("get", error)
        try:
            await self.contact.get(kind, NAMESPACE, KEY[1])
        except ApiError:
            assert error is not None
        return self.contact.lost.total_seconds()


async def test_what_is_lost_ends_with_the_first_answer() -> None:
    """It begins with the last answer before, but not longer ago than the next call could have been."""
    calls, cut = _Calls(), Unreachable("cut")
    assert await calls.ask(600) == 0
    assert await calls.ask(20, cut) == 20
    calls.clock.advance(100)
    assert calls.contact.lost == timedelta(seconds=120)
    assert await calls.ask(5, cut) == 125
    assert await calls.ask(5) == 130
    assert await calls.ask(1000) == 130
    assert await calls.ask(1000, cut) == 175


@pytest.mark.parametrize(
    ("error", "lost"),
    [(NotFound(404, "NotFound", "gone"), 0), (ApiError.of(503, "ServiceUnavailable", "starting"), 10)],
    ids=["an answer", "none that counts"],
)
async def test_an_error_that_says_something_is_an_answer(error: ApiError, lost: float) -> None:
    """Only what a server says that cannot work, and silence, are an outage."""
    calls = _Calls()
    await calls.ask(1)
    assert await calls.ask(10, error) == lost


BROKEN = ApiError.of(500, "InternalError", "unable to transform key")


@pytest.mark.parametrize(
    ("kind", "lost"),
    [
        (kinds.DEPLOYMENTS, 10),
        (kinds.REPLICA_SETS, 10),
        (kinds.LEASES, 10),
        (kinds.CONFIG_MAPS, 0),
        (kinds.ARTIFACTS, 0),
    ],
    ids=lambda found: getattr(found, "kind", str(found)),
)
async def test_only_what_tells_of_boxes_can_be_lost(kind: Kind, lost: float) -> None:
    """That one kind of object cannot be read, or a webhook for it is down, says nothing of all others."""
    calls = _Calls()
    await calls.ask(1)
    assert await calls.ask(10, BROKEN, kind) == lost


async def test_a_dry_run_that_fails_is_no_outage() -> None:
    """A webhook may be down for a version that has not started."""
    calls = _Calls()
    await calls.ask(1)
    calls.clock.advance(10)
    calls.kube.fail("check", BROKEN)
    with pytest.raises(ApiError):
        await calls.contact.create(kinds.DEPLOYMENTS, NAMESPACE, {"metadata": {"name": "x"}}, dry_run=True)
    assert calls.contact.lost == timedelta(0)


async def test_a_deadline_runs_on_while_config_maps_cannot_be_read() -> None:
    """Boxes that do not come up are taken back as soon as ever."""
    rig = Rig()
    rig.configure("app-config", flag="off")
    first, second = template(), template("2.0.0")
    for made in (first, second):
        made["spec"]["volumes"] = [{"name": "config", "configMap": {"name": "app-config"}}]
    await rig.installed(template=first, config=["app-config"], progressDeadline="2m")
    rig.change(template=second)
    await rig.reconcile()
    rig.configure("app-config", flag="on")
    rig.kube.fail("get ConfigMap app-config", BROKEN, times=1000)
    for _ in range(3 * MINUTES):
        with contextlib.suppress(ApiError):
            await rig.reconcile()
        rig.settle(ready=False)
        rig.clock.advance(15)
    assert "ProgressDeadlineExceeded" in rig.recorder.reasons
