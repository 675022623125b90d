"""What makes a release wait, and that it says so: alarms that fire already, alarms nobody can evaluate, people."""

from __future__ import annotations

import asyncio
import time

import pytest

import manifests
from harness import Shop
from parallel import alone, side_by_side

pytestmark = pytest.mark.cluster


@side_by_side
async def test_an_alarm_that_fires_already_blocks_the_start_and_rejects_nothing(shop: Shop) -> None:
    """It must not reject the fix; when it ends the release starts by itself."""
    await shop.installed(manifests.switch(), manifests.rollout(replicas=3, alarms=manifests.alarms()))
    await shop.switch(manifests.FIRING)
    # The alarm is looked at while something is on its way; this is what tells that the change was heard.
    new = await shop.release("1.1.0", paused=True)
    await shop.until(lambda now: "paused" in now.waits_for, "the pause")
    await asyncio.sleep(5)
    await shop.change(paused=False)
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

    new = await shop.release("1.1.0", strategy=manifests.strategy("12s"))
    began = await shop.until(lambda now: now.phase == "OneBoxBake" and "bake" in now.waits_for, "the one box's bake")
    await shop.switch(manifests.NO_DATA)
    switched = time.monotonic()
    held = await shop.until(lambda now: "can be evaluated" in now.waits_for, "to hold")
    assert "service" in held.waits_for
    await asyncio.sleep(10)
    later = shop.now
    assert later is not None
    assert later.phase == "OneBoxBake"

    await shop.switch(manifests.ok_since(time.time()))  # with OK the time that is over would be proven as well
    ended = time.monotonic()
    stable = await shop.phase("Stable")
    assert stable.artifact("stable") == new
    assert shop.watcher.goals(new) == [1, 2, 3]
    went_on = next(seen for seen in shop.watcher.visits() if seen.phase == "Rolling")
    # What was known of the alarm when it was switched may have counted for two more looks.
    assert went_on.at - began.at >= 12 + (ended - switched) - 4


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
    new = await shop.release("1.1.0", strategy=manifests.strategy(bake="12s"))
    began = await shop.until(lambda now: now.phase == "Bake" and "bake" in now.waits_for, "the bake of all boxes")

    prometheus = shop.region.prometheus
    await asyncio.to_thread(prometheus.kill)
    down = time.monotonic()
    try:
        held = await shop.until(lambda now: "can be evaluated" in now.waits_for, "to hold")
        assert held.phase == "Bake"
        assert held.condition("Ready")["status"] == "True"
        await asyncio.sleep(8)
        later = shop.now
        assert later is not None
        assert later.phase == "Bake"
    finally:
        outage_s = time.monotonic() - down
        await asyncio.to_thread(prometheus.restart)
    stable = await shop.phase("Stable")

    assert stable.artifact("stable") == new
    assert "Reverting" not in shop.watcher.phases()
    # Two looks of a second each may have been counted before the outage was known.
    assert stable.at - began.at >= 12 + outage_s - 4
