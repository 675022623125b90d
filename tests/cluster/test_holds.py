"""What makes a release wait, and that it says so: alarms that fire already, alarms nobody can evaluate, people."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta

import pytest

import manifests
from harness import Shop
from ombak.core.memory import Ledger, load_memory
from parallel import alone, side_by_side
from timeline import RolloutSeen

pytestmark = [pytest.mark.cluster, pytest.mark.proof]

LACKS = timedelta(seconds=8)
"""So much of a bake is left when it is held."""
ROUNDED = timedelta(seconds=1)
"""Prometheus and statuses tell moments in whole seconds."""


def ledger_of(seen: RolloutSeen) -> Ledger:
    """What a bake has proven so far."""
    release = load_memory(seen.status.get("memory")).release
    assert release is not None
    return release.step.ledger


def ends_after(held: RolloutSeen) -> str:
    """A bake of which so much is left, whenever it was held."""
    return f"{math.ceil((ledger_of(held).accrued + LACKS).total_seconds())}s"


@side_by_side
async def test_an_alarm_that_fires_already_blocks_the_start_and_rejects_nothing(shop: Shop) -> None:
    """It must not reject the fix; when it ends the release starts by itself."""
    await shop.installed(manifests.switch(), manifests.rollout(replicas=3, alarms=manifests.alarms()))
    await shop.switch(manifests.FIRING)
    await shop.told("ALARM")
    new = await shop.release("1.1.0")
    blocked = await shop.until(lambda now: "an alarm to end" in now.waits_for, "to be blocked by the alarm")

    assert blocked.phase == "Blocked"
    assert new not in await shop.boxes()
    await shop.switch(manifests.OK)
    stable = await shop.phase("Stable")
    assert stable.artifact("stable") == new
    assert "Reverting" not in shop.watcher.phases()


@side_by_side
async def test_unknown_alarms_hold_and_neither_promote_nor_revert(shop: Shop) -> None:
    """No data is not good and not bad: the bake stands still, and says what is missing."""
    await shop.installed(manifests.switch(), manifests.rollout(replicas=3, alarms=manifests.alarms()))

    new = await shop.release("1.1.0", strategy=manifests.strategy("1h"))
    await shop.until(lambda now: now.phase == "OneBoxBake" and "bake" in now.waits_for, "the one box's bake")
    await shop.switch(manifests.NO_DATA)
    held = await shop.until(lambda now: "can be evaluated" in now.waits_for, "to hold")
    assert "service" in held.waits_for
    await shop.change(strategy=manifests.strategy(ends_after(held)))
    await asyncio.sleep(LACKS.total_seconds() + 2)
    later = shop.now
    assert later is not None
    assert later.phase == "OneBoxBake"

    ended = datetime.now(UTC)
    await shop.switch(manifests.ok_since(ended.timestamp()))  # with OK the time before would be proven as well
    stable = await shop.phase("Stable")
    assert stable.artifact("stable") == new
    assert shop.watcher.goals(new) == [1, 2, 3]
    steps = [load_memory(seen.status.get("memory")).release for seen in shop.timeline.history(shop.watcher.key)]
    second = next(r.step for r in steps if r is not None and r.artifact == new and r.step.number == 2)
    assert second.approved_at - ended >= LACKS - ROUNDED


@side_by_side
async def test_unknown_for_too_long_reverts_where_the_user_said_so(shop: Shop) -> None:
    """`onUnknown: {holdFor, then: Revert}`."""
    alarms = manifests.alarms(onUnknown={"holdFor": "30s", "then": "Revert"})
    old = await shop.installed(manifests.switch(), manifests.rollout(replicas=3, alarms=alarms))

    new = await shop.release("1.1.0", strategy=manifests.strategy("5m"))
    await shop.phase("OneBoxBake")
    await shop.switch(manifests.NO_DATA)
    at_rest = await shop.phase("Reverted")

    assert at_rest.artifact("rejected") == new
    assert "AlarmsUnknown" in at_rest.status["message"]
    assert await shop.boxes() == {old: 3}


@side_by_side
async def test_an_alarm_that_does_not_exist_holds_until_somebody_makes_it(shop: Shop) -> None:
    """Also the first version is not stable before its alarms could be asked."""
    await shop.create(manifests.rollout(replicas=2, alarms=manifests.alarms("nowhere")))
    held = await shop.until(lambda now: "nowhere" in now.waits_for, "to hold for the alarm")

    assert held.phase in ("Installing", "Bake")
    assert held.status["waitingFor"]["who"]
    await shop.create(manifests.switch("nowhere"))
    await shop.phase("Stable")


@side_by_side
async def test_a_pause_holds_and_still_scales(shop: Shop) -> None:
    """Paused before the start it does not start, paused on its way it stays; boxes come and go as asked."""
    old = await shop.installed(manifests.rollout(replicas=4))
    await shop.change(paused=True)
    new = await shop.release("1.1.0")
    waiting = await shop.until(lambda now: "paused" in now.waits_for, "the pause")
    assert waiting.phase == "Blocked"
    assert '"paused":false' in waiting.status["waitingFor"]["command"]

    await shop.scale(6)
    await shop.sized(6)
    assert await shop.boxes() == {old: 6}

    await shop.change(paused=False)
    stable = await shop.phase("Stable")
    assert stable.artifact("stable") == new


@alone
async def test_without_prometheus_a_bake_holds_and_then_goes_on(shop: Shop) -> None:
    """Killed in the middle of a bake: it says why it waits, counts nothing it cannot prove, and then finishes."""
    await shop.installed(manifests.service_errors(), manifests.rollout(replicas=2, alarms=manifests.alarms()))
    new = await shop.release("1.1.0", strategy=manifests.strategy(bake="1h"))
    await shop.until(lambda now: now.phase == "Bake" and "bake" in now.waits_for, "the bake of all boxes")

    prometheus = shop.region.prometheus
    await asyncio.to_thread(prometheus.kill)
    down = datetime.now(UTC)
    try:
        held = await shop.until(lambda now: now.phase == "Bake" and "can be evaluated" in now.waits_for, "to hold")
        assert held.condition("Ready")["status"] == "True"
        bake = ends_after(held)
        await shop.change(strategy=manifests.strategy(bake=bake))
        await asyncio.sleep(LACKS.total_seconds() + 2)
        later = shop.now
        assert later is not None
        assert later.phase == "Bake"
    finally:
        up = datetime.now(UTC)
        await asyncio.to_thread(prometheus.restart)
    stable = await shop.phase("Stable")

    assert stable.artifact("stable") == new
    assert "Reverting" not in shop.watcher.phases()
    began = ledger_of(held).began_at
    assert began is not None
    told = (await shop.get("Artifact", f"{shop.name}-{new}"))["status"]["stable"]["at"]
    # Only what was before the outage and after it can have been proven.
    assert (down - began) + (datetime.fromisoformat(told) - up) >= timedelta(seconds=int(bake[:-1])) - ROUNDED
