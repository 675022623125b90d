"""The arithmetic of batches and floors (design 2 "Arithmetic", R52-R56), exact at every number of replicas."""

import dataclasses
from fractions import Fraction

from ombak.api.common import percent_of
from ombak.api.rollout import MAX_BATCH_PERCENT, MIN_AVAILABLE_PERCENT


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What holds for a fleet of `replicas` boxes at this moment."""

    replicas: int
    floor: int
    """So many boxes must be available at every moment."""
    batch: int
    """At most so many boxes are replaced at once."""
    surge: int
    """So many boxes may run beyond `replicas` while some are replaced."""

    @property
    def budget(self) -> int:
        """So many boxes may be away at once (u in the design)."""
        return self.replicas - self.floor


def ceil_share(percent: int, count: int) -> int:
    """Return ceil(percent/100 x count) without floating point."""
    return -(-percent * count // 100)


def floor_share(share: Fraction, count: int) -> int:
    """Return floor(share x count)."""
    return share.numerator * count // share.denominator


def _count(value: int | str, replicas: int, *, round_up: bool) -> int:
    percent = percent_of(value)
    if percent is None:
        return int(value)
    return ceil_share(percent, replicas) if round_up else percent * replicas // 100


def floor_of(min_available: int | str, replicas: int) -> int:
    """Return F = ceil(minAvailable x N), never under 66 % (R53) and never over N."""
    wanted = _count(min_available, replicas, round_up=True)
    return min(replicas, max(wanted, ceil_share(MIN_AVAILABLE_PERCENT, replicas)))


def batch_of(batch: int | str, replicas: int) -> int:
    """Return B = max(1, floor(batch x N)), never over 33 % where that is at least one box (R52)."""
    most = MAX_BATCH_PERCENT * replicas // 100
    return max(1, min(_count(batch, replicas, round_up=False), most))


def limits(batch: int | str, min_available: int | str, max_surge: int | str, replicas: int) -> Limits:
    """Return the limits for `replicas` boxes; with no budget one box may surge despite `maxSurge: 0`."""
    floor = floor_of(min_available, replicas)
    surge = _count(max_surge, replicas, round_up=True)
    if floor >= replicas:
        surge = max(1, surge)
    return Limits(replicas=replicas, floor=floor, batch=batch_of(batch, replicas), surge=surge)
