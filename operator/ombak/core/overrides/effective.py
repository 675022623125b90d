"""The bakes that hold for a version here: as written, not under the Region's floors, and shorter by an Override.

Effective = min(max(written, floor), what the Override that counts says for this version). When an Override ends in
the middle of a bake the longer one holds again, and what was proven good so far counts towards it: that only ever
watches more, and takes nothing back that was gone through already.
"""

import dataclasses
from datetime import datetime, timedelta

from ombak.api.rollout import Strategy
from ombak.core.floors import NO_FLOORS, raised, with_bakes
from ombak.core.overrides.view import Shortened
from ombak.core.snapshot import Snapshot


def effective(s: Snapshot, artifact: str, now: datetime) -> Snapshot:
    """Return the snapshot with the bakes that hold for a version now; the same one where they are as written."""
    permit = s.gates.overrides.permit(artifact, now)
    if permit is None:
        return ordinary(s)
    return _with(s, shortened(raised(s.rollout.spec.strategy, s.floors), permit.bakes))


def ordinary(s: Snapshot) -> Snapshot:
    """Return the snapshot with the bakes that would hold if there were no Override."""
    return s if s.floors == NO_FLOORS else _with(s, raised(s.rollout.spec.strategy, s.floors))


def _with(s: Snapshot, strategy: Strategy) -> Snapshot:
    spec = s.rollout.spec
    if strategy is spec.strategy:
        return s
    return dataclasses.replace(
        s, rollout=dataclasses.replace(s.rollout, spec=spec.model_copy(update={"strategy": strategy}))
    )


def shortened(strategy: Strategy, bakes: Shortened) -> Strategy:
    """Return the strategy with bakes no longer than an Override asks for; sample quotas stay as they are."""
    return with_bakes(
        strategy,
        _at_most(strategy.one_box.bake.for_, bakes.one_box),
        _at_most(strategy.rolling.bake.for_, bakes.batch),
        _at_most(strategy.bake.for_, bakes.bake),
    )


def _at_most(length: timedelta, limit: timedelta | None) -> timedelta:
    return length if limit is None else min(length, limit)
