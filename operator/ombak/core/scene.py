"""What every part of a decision about one Rollout needs: the snapshot, and what follows from it at once."""

import dataclasses
from datetime import datetime

from ombak.core import layout, plan
from ombak.core.capacity import Limits, limits
from ombak.core.converge import converge, serving_of
from ombak.core.course import Heading
from ombak.core.layout import Segment
from ombak.core.snapshot import Snapshot


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """What every part of a decision needs: the snapshot and what follows from it at once."""

    s: Snapshot
    heading: Heading
    replicas: int
    parts: tuple[Segment, ...]
    zones: tuple[str, ...]
    now: datetime

    def limits(self, *, is_revert: bool = False) -> Limits:
        """Return what holds for forward batches, or for a revert's."""
        strategy = self.s.rollout.spec.strategy
        batch = strategy.revert.batch if is_revert else strategy.rolling.batch
        return limits(batch, strategy.rolling.min_available, strategy.rolling.max_surge, self.replicas)

    def to(
        self, wanted: tuple[layout.Want, ...], *, is_revert: bool = False, forced: bool = False
    ) -> tuple[plan.Action, ...]:
        """Return the next actions towards what is wanted."""
        # A way back begins in the zone that a release reached last: that one may still be in replacement.
        zones = self.zones[::-1] if is_revert else self.zones
        return converge(self.s, wanted, self.limits(is_revert=is_revert), zones, forced)

    def stay(self, artifact: str) -> tuple[plan.Action, ...]:
        """Keep every box on a version: scaling, repairs and rebuilt boxes; allowed at any time."""
        return self.to(layout.wants_only(self.parts, artifact))

    def delivered(self, artifact: str, where: str = "every box") -> str:
        """Return that a version is stable, in a sentence; a box may well be missing, for a node goes at any time.

        It tells the counts that a status tells, so that it is written whenever it changes.
        """
        have = sum(o.available for o in (*self.s.fleet, *self.s.one_boxes))
        if have < self.replicas:
            return f"{artifact} finished its bake; {have} of {self.replicas} boxes are available."
        return f"{artifact} runs in {where} and finished its bake."

    def boxes(self, artifact: str) -> str:
        """Return how many boxes serve a version, such as `4/10`."""
        return f"{serving_of(self.s, artifact)}/{self.replicas}"
