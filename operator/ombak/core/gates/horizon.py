"""How long a release is expected to take: so far ahead something bad may still be found (the detection horizon)."""

from datetime import timedelta

from ombak.api.rollout import RolloutSpec
from ombak.core.capacity import batch_of
from ombak.core.gates.gate import ZERO
from ombak.core.layout import Part, segments


def detection_horizon(spec: RolloutSpec, replicas: int, *, is_first: bool = False, is_fast: bool = False) -> timedelta:
    """Return the expected time from the start of a release until its last bake is over.

    Bakes and `minReadySeconds` only: how long boxes need to come up, and how long a bake stands still, nobody knows
    before. `is_first` is an install of everything at once, `is_fast` a version that needs no bake.
    """
    strategy, ready = spec.strategy, timedelta(seconds=spec.min_ready_seconds)
    if is_first:
        return strategy.bake.for_ + ready
    batch = batch_of(strategy.rolling.batch, replicas)
    bakes = [
        strategy.one_box.bake.for_ if segment.part is Part.ONE_BOX else strategy.rolling.bake.for_
        for segment in segments(spec, replicas)
        for _ in range(-(-segment.size // (1 if segment.part is Part.ONE_BOX else batch)))
    ]
    if is_fast or not bakes:
        return len(bakes) * ready
    is_one_box_last = [segment.part for segment in segments(spec, replicas) if segment.size][-1] is Part.ONE_BOX
    last = max(bakes[-1], strategy.bake.for_) if is_one_box_last else strategy.bake.for_
    return sum(bakes[:-1], ZERO) + last + len(bakes) * ready
