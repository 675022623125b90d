"""Whose turn it is at each Prometheus: one that hangs takes no place from the others."""

import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from ombak.runtime.alarm_queries import SharedQuery, SharedRules

AnyShared: TypeAlias = SharedQuery | SharedRules


@dataclass(slots=True)
class _Lane:
    """What waits for one Prometheus, and how much is being asked of it."""

    waiting: list[tuple[bool, int, AnyShared]] = field(default_factory=list)
    running: int = 0


class Lanes:
    """A queue for each Prometheus, of which `width` questions are asked at once."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._lanes: defaultdict[str, _Lane] = defaultdict(_Lane)
        self._entries = itertools.count()

    def wait(self, query: AnyShared) -> None:
        """Let a question wait: releases under way go first, then who came first.

        May be called again when it has become more urgent; the later entry then finds it started.
        """
        query.is_waiting = True
        lane = self._lanes[query.poll_key.endpoint]
        heapq.heappush(lane.waiting, (not query.active, next(self._entries), query))

    def start(self, is_wanted: Callable[[AnyShared], bool]) -> Iterator[AnyShared]:
        """Take what may be asked now; each one has to be told to `end` once it is answered."""
        for lane in self._lanes.values():
            while lane.waiting and lane.running < self._width:
                query = heapq.heappop(lane.waiting)[2]
                if query.is_waiting and is_wanted(query):
                    query.is_waiting, query.is_polling = False, True
                    lane.running += 1
                    yield query

    def end(self, endpoint: str) -> None:
        """A question to this Prometheus has its answer, or none."""
        self._lanes[endpoint].running -= 1
