"""The bake ledger: only time that was proven good counts (design 2, R73-R79)."""

import dataclasses
from datetime import datetime, timedelta

from ombak.api.duration import format_duration
from ombak.api.rollout import Bake, RolloutSpec
from ombak.core.layout import Part, Segment, is_everywhere
from ombak.core.memory import ZERO, Ledger, Mode, Position, Release
from ombak.core.snapshot import Snapshot

NO_BAKE = Bake.model_validate({"for": ZERO})


def bake_of(spec: RolloutSpec, release: Release, parts: tuple[Segment, ...]) -> Bake:
    """Return the bake of the step that a release is at; the last step's is the bake of the whole region."""
    if release.mode in (Mode.FAST, Mode.BACK):
        return NO_BAKE
    is_one_box = parts[release.position.segment].part is Part.ONE_BOX
    if release.mode is Mode.INSTALL or not is_one_box:
        return spec.strategy.bake if is_everywhere(parts, release.position) else spec.strategy.rolling.bake
    return _longer(spec, parts, release.position)


def _longer(spec: RolloutSpec, parts: tuple[Segment, ...], position: Position) -> Bake:
    """The one box's bake; where the one box is all there is, the longer of it and the region's."""
    one_box = spec.strategy.one_box.bake
    if not is_everywhere(parts, position) or spec.strategy.bake.for_ <= one_box.for_:
        return one_box
    return one_box.model_copy(
        update={
            "for_": spec.strategy.bake.for_,
            "at_most": one_box.at_most and max(one_box.at_most, spec.strategy.bake.for_),
        }
    )


def tick(ledger: Ledger, s: Snapshot, is_good: bool, now: datetime) -> Ledger:
    """Return the ledger after the time since the last look: it counts only if everything was good.

    A tick adds at most what the wall clock, the monotonic clock and two polls agree on, so that neither a clock
    that jumps nor an operator that slept invents bake time. It must have been good at both ends: the first look
    of a process, and the first good one after a bad one, begin a stretch and count nothing.
    """
    counted = ZERO
    if is_good and ledger.proven_until is not None and s.elapsed is not None:
        counted = max(ZERO, min(now - ledger.proven_until, s.elapsed, 2 * s.poll))
    return dataclasses.replace(
        ledger,
        accrued=ledger.accrued + counted,
        proven_until=now if is_good else None,
        began_at=ledger.began_at or (now if is_good else None),
    )


def backfilled(ledger: Ledger, s: Snapshot, release: Release) -> Ledger:
    """Return the ledger with the time of a gap that was proven good afterwards, if it was the time of this step."""
    proof = s.proof
    if proof is None or (proof.artifact, proof.approved_at) != (release.artifact, release.step.approved_at):
        return ledger
    return dataclasses.replace(ledger, accrued=ledger.accrued + proof.length)


def set_back(ledger: Ledger, by: timedelta) -> Ledger:
    """Return the ledger with so much less that counts, though never less than nothing."""
    return dataclasses.replace(ledger, accrued=max(ZERO, ledger.accrued - by))


def missing_samples(bake: Bake, s: Snapshot) -> tuple[str, ...]:
    """Return what the sample quotas still lack, for people; empty when all are met (R78)."""
    lacking = []
    for quota in bake.at_least:
        count = s.samples.get(quota.name, "not asked yet")
        if isinstance(count, str):
            lacking.append(f"{quota.name}: unknown of {quota.count}, {count}")
        elif not count >= quota.count:
            lacking.append(f"{quota.name}: {count:g} of {quota.count}")
    return tuple(lacking)


def remaining(bake: Bake, ledger: Ledger) -> timedelta:
    """Return the bake time that is still to be proven."""
    return max(ZERO, bake.for_ - ledger.accrued)


def told(bake: Bake, ledger: Ledger, now: datetime) -> str:
    """Return how far a bake is, for people, such as `5m of 1h by 10:05:12Z`.

    It is written now and then only, so it says of which moment it speaks; whole seconds. Of a bake that is over it
    tells the length: what goes beyond it is waited for by something else.
    """
    accrued = timedelta(seconds=int(min(ledger.accrued, bake.for_).total_seconds()))
    return f"{format_duration(accrued)} of {format_duration(bake.for_)} by {now:%H:%M:%S}Z"


def ends_at(bake: Bake, ledger: Ledger, now: datetime) -> datetime | None:
    """Return when a bake is over if all stays well, None while it stands still, and once it is over."""
    left = remaining(bake, ledger)
    return now + left if left and ledger.proven_until is not None else None
