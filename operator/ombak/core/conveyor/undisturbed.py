"""A world of a hub in which nobody else has a hand: thousands of regions, of which only those are asked that move."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from ombak.core.conveyor import plan
from ombak.core.conveyor.snapshot import PipelineView, RegionFacts, RolloutFacts
from ombak.core.conveyor.world import World


class Undisturbed(World):
    """Every region answers, and changes by what the hub writes and as its own time comes, by nothing else."""

    def __init__(self, pipeline: PipelineView, regions: Sequence[RegionFacts], now: datetime) -> None:
        self._stirred: set[str] = set()
        """Regions in which another look of their operator may change something at this moment."""
        self._fresh: dict[str, tuple[RolloutFacts, ...]] = {}
        """What regions say by now, that the hub has not looked at yet."""
        super().__init__(pipeline, regions, now)
        self._facts = super().facts()

    def facts(self) -> tuple[RegionFacts, ...]:
        """Return the same ones at all times: when one was heard last matters only where it is silent."""
        return self._facts

    def look(self, stale: frozenset[str] = frozenset()) -> None:
        """See what has changed; no view is late here."""
        assert not stale
        self.views |= self._fresh
        self._fresh.clear()

    def tick(self, by: timedelta = timedelta(0)) -> None:
        """Let time pass, and the operators look of the regions that were written to, or whose time has come."""
        self.now += by
        for name, region in self.regions.items():
            if name in self._stirred or ((due := region.next_at()) is not None and due <= self.now):
                region.tick(self.now)
                self._hear(name)

    def _hear(self, name: str) -> None:
        """Take what a region says; one in which a look changed nothing needs none before it is written to."""
        before, said = self._fresh.get(name, self.views[name]), self.regions[name].seen()
        if said == before:
            self._stirred.discard(name)
        else:
            self._stirred.add(name)
            self._fresh[name] = said

    def _in_region(self, action: plan.ApplyObject | plan.ApplyRollout | plan.Claim | plan.DropConfig) -> None:
        super()._in_region(action)
        self._stirred.add(action.region)
