"""Counts requests per box exactly: rate times time, shared evenly by the serving boxes. No clock, no chance."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from ombak.sandbox.traffic.boxes import Behaviour, Box

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, float("inf"))
"""Upper bounds of the latency histogram, in seconds."""


@dataclass(slots=True)
class Tally:
    """What one box has answered since it was first seen; fractions of requests accumulate exactly."""

    box: Box
    requests: float = 0.0
    errors: float = 0.0
    latency_sum_s: float = 0.0
    buckets: list[float] = field(default_factory=lambda: [0.0] * len(BUCKETS_S))
    """Cumulative, as Prometheus wants them; one per bound of BUCKETS_S."""
    _binned: float = 0.0
    """How many of `requests` are in `buckets` already."""

    def bin(self) -> None:
        """Puts the requests since the last call into the histogram, with the latencies of `box` as it is now."""
        fresh = self.requests - self._binned
        if fresh <= 0.0:
            return
        self._binned = self.requests
        latency_s = self.box.behaviour.latency.total_seconds()
        self.latency_sum_s += fresh * latency_s
        for index, bound in enumerate(BUCKETS_S):
            self.buckets[index] += fresh * _share_within(bound, latency_s)


class TrafficModel:
    """All boxes of a region. Every method takes `now`, seconds since the epoch, which must not go back."""

    def __init__(self) -> None:
        """Empty: no box, no traffic."""
        self._rollouts: dict[tuple[str, str], dict[tuple[str, str], Tally]] = defaultdict(dict)
        self._counted_until: dict[tuple[str, str], float] = {}

    def put(self, box: Box, now: float) -> None:
        """A box appeared or changed; its counts go on."""
        self._advance(box.rollout, now)
        tally = self._rollouts[box.rollout].setdefault(box.key, Tally(box))
        tally.bin()
        tally.box = box

    def remove(self, rollout: tuple[str, str], key: tuple[str, str], now: float) -> None:
        """A box is gone, with its counts; unknown ones are ignored."""
        self._advance(rollout, now)
        boxes = self._rollouts[rollout]
        boxes.pop(key, None)
        if not boxes:
            del self._rollouts[rollout], self._counted_until[rollout]

    def replace(self, boxes: Collection[Box], now: float) -> None:
        """These and only these boxes exist; counts of those that stay go on."""
        keep = {(box.rollout, box.key) for box in boxes}
        known = [(rollout, key) for rollout, tallies in self._rollouts.items() for key in tallies]
        for rollout, key in known:
            if (rollout, key) not in keep:
                self.remove(rollout, key, now)
        for box in boxes:
            self.put(box, now)

    def tallies(self, now: float) -> Iterator[Tally]:
        """The counts of every box up to `now`."""
        for rollout, tallies in self._rollouts.items():
            self._advance(rollout, now)
            for tally in tallies.values():
                tally.bin()
                yield tally

    def _advance(self, rollout: tuple[str, str], now: float) -> None:
        since = self._counted_until.get(rollout, now)
        self._counted_until[rollout] = now
        serving = [tally for tally in self._rollouts[rollout].values() if tally.box.serving]
        if now <= since or not serving:
            return
        for tally in serving:
            behaviour = tally.box.behaviour
            rate = behaviour.requests_per_second / len(serving)
            tally.requests += rate * (now - since)
            tally.errors += rate * _error_seconds(behaviour, tally.box.ready_since, since, now)


def _error_seconds(behaviour: Behaviour, ready_since: float, since: float, now: float) -> float:
    """Integral of the error rate over the time from `since` to `now`."""
    if behaviour.slow_burn_after is None:
        return behaviour.error_rate * (now - since)
    begins = ready_since + behaviour.slow_burn_after.total_seconds()
    before = max(0.0, min(now, begins) - since)
    return behaviour.error_rate * before + behaviour.slow_burn_error_rate * (now - since - before)


def _share_within(bound_s: float, latency_s: float) -> float:
    """Share of requests answered within `bound_s` when latencies are even from 0.5 to 1.5 `latency_s`."""
    if latency_s <= 0.0:
        return 1.0
    return min(1.0, max(0.0, bound_s / latency_s - 0.5))
