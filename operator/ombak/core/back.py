"""The way back: to the newest good version, in bounded steps, waiting for nothing but boxes to come up (P3)."""

import dataclasses
from datetime import datetime

from ombak.core.converge import artifacts_with_boxes, asked_of, has_others, serving_of
from ombak.core.memory import Reverting
from ombak.core.snapshot import Snapshot


def begin(s: Snapshot, source: str, target: str, replicas: int, now: datetime) -> Reverting:
    """Return the memory of a way back that begins now."""
    return Reverting(source, target, now, replicas, progress_of(s, target), now)


def progress_of(s: Snapshot, target: str) -> int:
    """Return a number that only grows on the way back: boxes that serve the target, less boxes of anything else."""
    others = sum(asked_of(s, artifact) for artifact in artifacts_with_boxes(s) - {target})
    kept = sum(box.keeps_another for box in s.one_boxes if box.artifact == target)
    return serving_of(s, target) - others - kept


def observe(s: Snapshot, reverting: Reverting, target: str, replicas: int, now: datetime) -> Reverting:
    """Return the memory with what has moved, and whether the floor must yield so that the revert ends."""
    progress = progress_of(s, target)
    if reverting.target != target:
        return begin(s, reverting.source, target, replicas, now)
    if reverting.replicas != replicas:
        return dataclasses.replace(reverting, replicas=replicas, high_water=progress)
    if progress > reverting.high_water:
        return dataclasses.replace(reverting, high_water=progress, progress_at=now)
    forced = is_stuck(s, reverting, now) and has_others(s, target)
    return dataclasses.replace(reverting, forced=reverting.forced or forced)


def is_stuck(s: Snapshot, reverting: Reverting, now: datetime) -> bool:
    """Nothing has come up for a whole progressDeadline."""
    return now - reverting.progress_at > s.rollout.spec.progress_deadline


def is_over(s: Snapshot, reverting: Reverting, replicas: int, now: datetime) -> bool:
    """Every box is asked of the target, and serves, or had a whole deadline to do so."""
    if artifacts_with_boxes(s) - {reverting.target} or asked_of(s, reverting.target) != replicas:
        return False
    return serving_of(s, reverting.target) >= replicas or is_stuck(s, reverting, now)
