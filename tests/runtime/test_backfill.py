"""The ledger after a gap: exactly what was proven of it, once, and nothing that nobody can know."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from ombak.core.memory import Ledger
from ombak.runtime.kube_port import Unreachable
from support.rig import KEY, Rig, spec, template

DOWN = timedelta(minutes=20)


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """The lines of the log, which would make up most of the time of these tests."""
    with capture_logs() as lines:
        yield lines


def ledger(rig: Rig) -> Ledger:
    """As the process has it."""
    release = rig.reconciler._known[KEY].memory.release
    assert release is not None
    return release.step.ledger


def pod(since: datetime | None, **meta: Any) -> dict[str, Any]:
    """A box that is ready since then, or not."""
    stamp = since.strftime("%Y-%m-%dT%H:%M:%SZ") if since else "2026-01-01T00:00:00Z"
    ready = {"type": "Ready", "status": "True" if since else "False", "lastTransitionTime": stamp}
    return {"metadata": meta, "status": {"phase": "Running", "conditions": [ready]}}


class Night:
    """A bake of six hours, an operator that dies in it, and the next one twenty minutes later."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        rig.restart()
        rig.clock.advance(DOWN.total_seconds())
        self.until = rig.clock.now()
        self.down = self.until - DOWN
        rig.kube.pods = [pod(self.down - timedelta(hours=1))] * 4
        rig.alarms.proven = ((self.down, self.until),)

    async def base(self) -> timedelta:
        """What the status had; the passes count the gap then."""
        await self.rig.reconcile()
        found = ledger(self.rig).accrued
        await self.passes()
        return found

    async def passes(self, number: int = 2) -> None:
        """At one moment, so that nothing accrues by itself."""
        for _ in range(number):
            await self.rig.reconcile()


@pytest.fixture
async def night() -> Night:
    rig = Rig()
    await rig.installed()
    long = spec()["strategy"] | {"bake": {"for": "6h"}}
    rig.change(template=template("2.0.0"), strategy=long)
    await rig.go_on("Bake")
    for _ in range(40):
        rig.clock.advance(14)
        await rig.reconcile()
    return Night(rig)


async def test_a_gap_that_is_proven_counts_once(night: Night) -> None:
    """From where the status ends to the first look, in the pass after the one that found it out."""
    night.rig.alarms.proven = ((night.down - timedelta(days=1), night.until + timedelta(days=1)),)
    base = await night.base()
    await night.passes()
    ((since, until),) = night.rig.alarms.asked_to_prove
    assert since <= night.down
    assert until == night.until
    assert ledger(night.rig).accrued == base + (until - since)
    night.rig.clock.advance(10)
    await night.passes()
    assert ledger(night.rig).accrued == base + (until - since) + timedelta(seconds=10)


@pytest.mark.parametrize(
    ("ready_after", "expected"),
    [
        pytest.param(timedelta(minutes=-5), DOWN, id="before"),
        pytest.param(timedelta(minutes=15), timedelta(minutes=5, seconds=-1), id="in-the-gap"),
        pytest.param(DOWN, timedelta(0), id="just-now"),
    ],
)
async def test_only_time_with_all_boxes_counts(night: Night, ready_after: timedelta, expected: timedelta) -> None:
    """From the last one's becoming ready on, and the second that the API cuts off."""
    night.rig.kube.pods[0] = pod(night.down + ready_after)
    base = await night.base()
    assert base + expected == ledger(night.rig).accrued


@pytest.mark.parametrize(
    "pods",
    [
        pytest.param([], id="none"),
        pytest.param([pod(None)], id="one-that-is-not-ready"),
    ],
)
async def test_without_all_boxes_nothing_counts(night: Night, pods: list[dict[str, Any]]) -> None:
    """Nobody knows since when they are there."""
    night.rig.kube.pods = [*night.rig.kube.pods[1:], *pods] if pods else []
    assert await night.base() == ledger(night.rig).accrued


async def test_boxes_beyond_those_of_the_step_do_not_matter(night: Night) -> None:
    """An autoscaler asked for more of them meanwhile."""
    night.rig.kube.pods += [pod(night.until), pod(None)]
    assert await night.base() + DOWN == ledger(night.rig).accrued


async def test_pods_that_cannot_be_asked_are_asked_again(night: Night) -> None:
    """What Prometheus proved stays proven."""
    night.rig.kube.fail("list", Unreachable("cut"), times=9)
    base = await night.base()
    assert base == ledger(night.rig).accrued
    night.rig.kube.heal()
    await night.passes()
    assert base + DOWN == ledger(night.rig).accrued


async def test_a_clock_that_was_wrong_invents_no_bake(night: Night) -> None:
    """What the last process counted and what is proven are together no longer than the boxes are ready."""
    status = copy.deepcopy(night.rig.status)
    status["memory"]["release"]["step"]["ledger"]["accrued"] = "PT10M"
    night.rig.write_status(status)
    night.rig.kube.pods = [pod(night.down - timedelta(minutes=5))] * 4
    assert await night.base() == timedelta(minutes=10)
    assert ledger(night.rig).accrued == DOWN + timedelta(minutes=5, seconds=-1)


async def test_boxes_that_go_say_nothing(night: Night) -> None:
    """They are no boxes of the step any more."""
    gone = pod(None, deletionTimestamp="2026-01-01T00:00:00Z")
    night.rig.kube.pods.append(gone)
    assert await night.base() + DOWN == ledger(night.rig).accrued


async def test_an_answer_may_come_later(night: Night) -> None:
    """Until then nothing counts, and the same is asked again."""
    night.rig.alarms.proven = None
    base = await night.base()
    assert ledger(night.rig).accrued == base
    assert len(set(night.rig.alarms.asked_to_prove)) == 1
    night.rig.alarms.proven = ((night.down, night.until),)
    await night.passes()
    assert ledger(night.rig).accrued == base + DOWN


async def test_a_spec_that_changed_in_the_gap_proves_nothing(night: Night) -> None:
    """Which alarms would it have been?"""
    night.rig.change(progressDeadline="9m")
    base = await night.base()
    assert ledger(night.rig).accrued == base
    assert night.rig.alarms.asked_to_prove == []


async def test_what_somebody_wrote_into_the_status_wins(night: Night) -> None:
    """It may hold the time already."""
    await night.rig.reconcile()
    status = copy.deepcopy(night.rig.status)
    status["memory"]["release"]["step"]["ledger"]["accrued"] = "PT3H"
    night.rig.write_status(status)
    await night.passes()
    assert ledger(night.rig).accrued == timedelta(hours=3)
