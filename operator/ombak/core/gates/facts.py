"""What is known of the gates of one delivery, to be judged at any moment."""

import dataclasses
from datetime import datetime

from ombak.core.gates.blockers import BlockerGate, BlockerView
from ombak.core.gates.gate import Context, Held, what_holds
from ombak.core.gates.windows import WindowGate, WindowView, off_hours


@dataclasses.dataclass(frozen=True, slots=True)
class GateFacts:
    """The Windows that a delivery names, and the Blockers that may select it."""

    windows: tuple[WindowView, ...] = ()
    blockers: tuple[BlockerView, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything that could hold."""
        return bool(self.windows or self.blockers)

    def hold(self, context: Context, now: datetime) -> Held | None:
        """Return everything here that holds a delivery, as one wait; None if it may go on."""
        return what_holds((WindowGate(self.windows), BlockerGate(self.blockers)), context, now)

    def off_hours(self, now: datetime) -> tuple[str, ...]:
        """Return the names of the Windows by which nobody is expected at work now (R90)."""
        return off_hours(self.windows, now)
