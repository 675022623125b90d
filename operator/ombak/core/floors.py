"""A Region's shortest bakes: what a manifest says holds only where it is longer (R76)."""

import dataclasses
from datetime import timedelta

from ombak.api.duration import format_duration
from ombak.api.rollout import Bake, Strategy

ZERO = timedelta(0)


@dataclasses.dataclass(frozen=True, slots=True)
class Floors:
    """The shortest bake after the one box, after each batch, and after the last batch."""

    one_box: timedelta = ZERO
    batch: timedelta = ZERO
    bake: timedelta = ZERO

    @property
    def text(self) -> str:
        """Return them in one word, empty where there are none."""
        parts = self.one_box, self.batch, self.bake
        return "/".join(map(format_duration, parts)) if any(parts) else ""


NO_FLOORS = Floors()


def raised(strategy: Strategy, floors: Floors) -> Strategy:
    """Return the strategy with no bake under the floors; the same object where none is."""
    return with_bakes(
        strategy,
        max(strategy.one_box.bake.for_, floors.one_box),
        max(strategy.rolling.bake.for_, floors.batch),
        max(strategy.bake.for_, floors.bake),
    )


def with_bakes(strategy: Strategy, one_box: timedelta, batch: timedelta, bake: timedelta) -> Strategy:
    """Return the strategy with these bakes; what has to come within `atMost` gets as much longer, never less time."""
    parts = strategy.one_box.bake, strategy.rolling.bake, strategy.bake
    if [part.for_ for part in parts] == [one_box, batch, bake]:
        return strategy
    first, rolling, last = (_lasting(part, length) for part, length in zip(parts, (one_box, batch, bake), strict=True))
    return strategy.model_copy(
        update={
            "one_box": strategy.one_box.model_copy(update={"bake": first}),
            "rolling": strategy.rolling.model_copy(update={"bake": rolling}),
            "bake": last,
        }
    )


def _lasting(bake: Bake, length: timedelta) -> Bake:
    longer = max(ZERO, length - bake.for_)
    return bake.model_copy(update={"for_": length, "at_most": bake.at_most and bake.at_most + longer})
