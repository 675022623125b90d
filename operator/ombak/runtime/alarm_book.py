"""The port to the alarms of a region: who watches what, and what is known of it now."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

from ombak.alarms.history import Stretch
from ombak.alarms.verdict import Verdict
from ombak.core.memory import Release
from ombak.core.snapshot import NO_TRAPS, RolloutView, SignalReading, Traps
from ombak.runtime.store import Key


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What the alarms of one Rollout say now: the worst of its expressions, signals and guards; None for none."""

    revert: Verdict | None = None
    one_box: Verdict | None = None
    signals: tuple[SignalReading, ...] = ()
    traps: Traps = NO_TRAPS
    samples: Mapping[str, float | str] = dataclasses.field(default_factory=dict)
    poll: timedelta = timedelta(seconds=15)
    """The longest time between two evaluations of anything that it depends on."""
    has_looked: bool = False
    """This process asked about everything once; before that, unknown only means early."""


UNWATCHED = Reading()


class AlarmBook(Protocol):
    """Verdicts by Rollout. Reading never waits: what is not known yet is unknown."""

    def read(self, rollout: RolloutView, release: Release | None, *, is_active: bool) -> Reading:
        """Return the reading, and keep everything it depends on evaluated from now on.

        `release` is what is on its way; with `is_active` at full rate, because something waits for the answer.
        """
        ...

    def prove(self, rollout: RolloutView, since: datetime, until: datetime) -> tuple[Stretch, ...] | None:
        """Return when in a time that is over all was OK that `read` reads; None while that is being found out.

        Never waits either. To be asked again with the same moments until there is an answer.
        """
        ...

    def forget(self, key: Key) -> None:
        """Stop evaluating for a Rollout that is gone."""
        ...
