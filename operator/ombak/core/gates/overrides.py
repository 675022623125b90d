"""The gate of the Overrides: while one is active only its artifact moves on, the minimal fix and nothing else (R83)."""

import dataclasses
from datetime import datetime

from ombak.api.wording import clause
from ombak.core.gates.gate import Context, Held, Moment
from ombak.core.overrides.facts import OverrideFacts

KIND = "override"


@dataclasses.dataclass(frozen=True, slots=True)
class OverrideGate:
    """Holds every other artifact than the one of the active Override, until that one has come to its end.

    A release under way goes on where that artifact waits behind it: else nothing would ever move.
    """

    overrides: OverrideFacts

    def holds(self, context: Context, now: datetime) -> Held | None:
        """See `Gate`."""
        found = self.overrides.active(now)
        if found is None:
            return self._unseen(context, now)
        if found.artifact in (context.artifact, context.behind) or found.artifact in context.ended:
            return None
        what = (
            f"Override {found.name} to end: only {found.artifact} may go on "
            f"(asked for by {found.requested_by}, approved by {', '.join(found.approved_by)}: {clause(found.reason)})"
        )
        command = f"kubectl -n {found.namespace} delete override {found.name}"
        who = f"time, or whoever may delete it, such as {found.requested_by}"
        return Held(KIND, what, who, command, expected=found.until, names=(found.name,))

    def _unseen(self, context: Context, now: datetime) -> Held | None:
        """A start waits the moment that it takes to see whether an Override forbids it."""
        view = self.overrides.unseen(now)
        if view is None or context.moment is not Moment.START:
            return None
        what = f"Override {view.name} to be looked at: whether it was approved as it must be"
        command = f"kubectl -n {view.namespace} describe override {view.name}"
        return Held(KIND, what, "nobody, it goes by itself", command, names=(view.name,))
