"""The gate of the alarms: nothing starts while an alarm is on, or while nobody knows (R86).

It must not reject the fix for what was bad before, so it holds starts only; during a release the evidence decides.
"""

import dataclasses
from datetime import datetime

from ombak.alarms.verdict import Verdict
from ombak.api.wording import clause
from ombak.core.baseline import MOST
from ombak.core.evidence import Evidence
from ombak.core.gates.gate import Context, Held, Moment


def told_by(verdict: Verdict) -> str:
    """Return what an alarm says, to stand inside a sentence."""
    return clause(verdict.message) or "; ".join(map(clause, verdict.contributors or verdict.unknown))


def unknown_held(unknown: Verdict, command: str) -> Held:
    """Return the wait for alarms of which nothing certain is known."""
    what = f"alarms that can be evaluated: {told_by(unknown)}"
    return Held("alarms", what, "whoever runs Prometheus or owns the alarm", command)


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmGate:
    """Holds starts until every alarm that the release will depend on is OK and certain."""

    evidence: Evidence
    command: str
    """Shows what the alarms say."""
    who: str = "the alarm's owner"
    """Who can end an alarm."""
    passed: frozenset[str] = frozenset()
    """The alarms that an Override lets it pass; what is not known it does not let it pass."""
    to_keep: int = 0
    """How many series are in ALARM that would have to be told from new ones if it passed them."""

    def holds(self, context: Context, now: datetime) -> Held | None:  # noqa: ARG002 - alarms were asked just now
        """See `Gate`."""
        if context.moment is not Moment.START:
            return None
        alarm = self.evidence.unnamed(self.passed)
        if alarm is not None:
            what = f"an alarm to end that was there before the change: {told_by(alarm)}"
            return Held("alarm", what, self.who, self.command)
        if self.to_keep > MOST:
            what = f"at most {MOST} series to be in ALARM ({self.to_keep} are): of more nobody could tell which are new"
            return Held("alarm", what, self.who, self.command)
        return None if self.evidence.unknown is None else unknown_held(self.evidence.unknown, self.command)
