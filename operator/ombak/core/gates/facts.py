"""What is known of the gates of one delivery, to be judged at any moment."""

import dataclasses
from datetime import datetime

from ombak.core.gates.blockers import BlockerGate, BlockerView
from ombak.core.gates.gate import Context, Held, what_holds
from ombak.core.gates.overrides import OverrideGate
from ombak.core.gates.windows import WindowGate, WindowView, off_hours
from ombak.core.overrides.facts import NO_OVERRIDES, OverrideFacts


@dataclasses.dataclass(frozen=True, slots=True)
class GateFacts:
    """The Windows that a delivery names, the Blockers that may select it, and the Overrides for it."""

    windows: tuple[WindowView, ...] = ()
    blockers: tuple[BlockerView, ...] = ()
    overrides: OverrideFacts = NO_OVERRIDES

    def __bool__(self) -> bool:
        """Whether there is anything that could hold."""
        return bool(self.windows or self.blockers)

    def hold(self, context: Context, now: datetime) -> Held | None:
        """Return everything here that holds a delivery, as one wait; None if it may go on."""
        permit = self.overrides.permit(context.artifact, now)
        passes = permit.passes if permit is not None else frozenset()
        windows = tuple(w for w in self.windows if ("Window", w.name) not in passes)
        blockers = tuple(b for b in self.blockers if (b.kind, b.name) not in passes)
        gates = OverrideGate(self.overrides), WindowGate(windows), BlockerGate(blockers)
        return what_holds(gates, context, now)

    def passed(self, context: Context, now: datetime) -> Held | None:
        """Return what would hold a delivery if no Override let it pass; None if nothing would."""
        return what_holds((WindowGate(self.windows), BlockerGate(self.blockers)), context, now)

    def off_hours(self, now: datetime) -> tuple[str, ...]:
        """Return the names of the Windows by which nobody is expected at work now (R90)."""
        return off_hours(self.windows, now)
