"""How soon after its last turn a Rollout gets another one for news of its boxes.

A batch comes up pod by pod, and each pod is news of a ReplicaSet. One release at a time is to see them all at once.
Of a thousand releases each would then be looked at forty times, for what ten looks tell as well: the more Rollouts
are in motion, the longer news of one is gathered, and longer still while a batch is not complete, for then nothing
can follow from it. News of people and of alarms never waits (see `Operator`).
"""

import asyncio
from collections.abc import Hashable
from datetime import timedelta
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

EACH = timedelta(milliseconds=5)
"""For every Rollout in motion news of one is gathered so long ..."""
LONGEST = timedelta(seconds=5)
"""... and never longer than this: what a release loses by it in each of its steps."""
PART = 6
"""News of a part of a batch is gathered so many times as long."""
IN_MOTION = timedelta(seconds=10)
"""Who had no turn for so long is not in motion, and counts for nobody's news."""


class Pacing(Generic[K]):
    """Remembers who had a turn lately. To be used from one event loop."""

    def __init__(self) -> None:
        self._turns: dict[K, float] = {}
        """When the last turn of each began, the latest at the end, for as long as news can wait."""
        self._moving: dict[K, float] = {}
        """Those of them that are in motion."""

    def took_turn(self, key: K) -> None:
        """A turn of `key` begins."""
        for turns in (self._turns, self._moving):
            turns.pop(key, None)
            turns[key] = self._now()
        self._drop_idle()

    def pause(self, key: K, *, is_part: bool = False) -> timedelta:
        """Return for how long news of `key` is still gathered; zero if it gets its turn at once.

        With `is_part` it is known that more has to happen before anything follows from it.
        """
        self._drop_idle()
        last = (self._turns if is_part else self._moving).get(key)
        if last is None:
            return timedelta(0)
        gathered = min(LONGEST, EACH * len(self._moving)) * (PART if is_part else 1)
        return max(timedelta(0), timedelta(seconds=last - self._now()) + gathered)

    def _drop_idle(self) -> None:
        now = self._now()
        _drop(self._turns, now - (LONGEST * PART).total_seconds())
        _drop(self._moving, now - IN_MOTION.total_seconds())

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _drop(turns: dict[K, float], oldest: float) -> None:
    while turns:
        key, last = next(iter(turns.items()))
        if last > oldest:
            return
        del turns[key]
