"""The gate of the alarms: nothing starts while an alarm is on, or while nobody knows (R86).

It must not reject the fix for what was bad before, so it holds starts only; during a release the evidence decides.
"""

import dataclasses
from datetime import datetime

from ombak.core.evidence import Evidence
from ombak.core.gates.gate import Context, Held, Moment


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmGate:
    """Holds starts until every alarm that the release will depend on is OK and certain."""

    evidence: Evidence

    def holds(self, context: Context, now: datetime) -> Held | None:  # noqa: ARG002 - alarms were asked just now
        """See `Gate`."""
        if context.moment is not Moment.START:
            return None
        if self.evidence.alarm is not None:
            told = self.evidence.alarm.message or ", ".join(self.evidence.alarm.contributors)
            return Held("alarm", f"an alarm to end that was there before the change: {told}", "the alarm's owner")
        if self.evidence.unknown is not None:
            told = self.evidence.unknown.message or "; ".join(self.evidence.unknown.unknown)
            who = "whoever runs Prometheus or owns the alarm"
            return Held("alarms", f"alarms that can be evaluated: {told}", who)
        return None
