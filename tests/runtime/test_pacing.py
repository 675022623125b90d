"""News of boxes waits the longer the more Rollouts are in motion, and never without an end."""

import asyncio

from ombak.runtime.pacing import EACH, IN_MOTION, LONGEST, PART, Pacing
from ombak.simulation.agenda import run_virtual


def test_news_of_one_release_does_not_wait() -> None:
    """One Rollout in motion: some milliseconds, which is as good as none; and none at all for one that had no turn."""

    async def scenario() -> None:
        pacing: Pacing[str] = Pacing()
        assert not pacing.pause("a")
        pacing.took_turn("a")
        assert pacing.pause("a") == EACH
        assert not pacing.pause("b")
        await asyncio.sleep(EACH.total_seconds())
        assert not pacing.pause("a")

    run_virtual(scenario())


def test_news_of_a_crowd_is_gathered_for_seconds_at_most() -> None:
    """A thousand in motion: each is looked at every five seconds, however much happens to it."""

    async def scenario() -> None:
        pacing: Pacing[int] = Pacing()
        for key in range(1000):
            pacing.took_turn(key)
        assert {pacing.pause(key) for key in range(1000)} == {LONGEST}

    run_virtual(scenario())


def test_parts_of_a_batch_are_gathered_longer() -> None:
    """Nothing follows from them; and its last part may come when others are in motion no more."""

    async def scenario() -> None:
        pacing: Pacing[int] = Pacing()
        for key in range(1000):
            pacing.took_turn(key)
        assert pacing.pause(1, is_part=True) == LONGEST * PART
        await asyncio.sleep(LONGEST.total_seconds())
        assert pacing.pause(1, is_part=True) == LONGEST * (PART - 1)
        assert not pacing.pause(1)
        await asyncio.sleep(IN_MOTION.total_seconds())
        for key in range(500, 1000):  # whoever only looks now and then counts for nobody
            pacing.took_turn(key)
        assert pacing.pause(1, is_part=True) == LONGEST * (PART / 2) - LONGEST - IN_MOTION

    run_virtual(scenario())


def test_who_is_not_in_motion_is_forgotten() -> None:
    """Those of long ago neither count nor take room."""

    async def scenario() -> None:
        pacing: Pacing[int] = Pacing()
        for key in range(1000):
            pacing.took_turn(key)
        await asyncio.sleep(IN_MOTION.total_seconds())
        pacing.took_turn(1)
        assert pacing.pause(1) == EACH
        await asyncio.sleep((LONGEST * PART).total_seconds())
        pacing.took_turn(1)
        assert len(pacing._turns) == len(pacing._moving) == 1

    run_virtual(scenario())
