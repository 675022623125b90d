"""What the alarms of a release say, and which stretch of time they speak of (P2)."""

import dataclasses
from datetime import datetime

from ombak.alarms.verdict import Verdict
from ombak.core.snapshot import Snapshot


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """All alarms that a release depends on, taken together; with none (unwatched) everything holds."""

    verdicts: tuple[Verdict, ...]

    @property
    def alarm(self) -> Verdict | None:
        """The first one that is certainly in ALARM."""
        return next((v for v in self.verdicts if v.is_alarm), None)

    @property
    def unknown(self) -> Verdict | None:
        """The first one of which nothing certain is known."""
        return next((v for v in self.verdicts if v.is_unknown), None)

    @property
    def is_ok(self) -> bool:
        """Every one is OK, and certain."""
        return all(v.is_ok for v in self.verdicts)

    def covers_since(self, moment: datetime, now: datetime) -> bool:
        """Every one rests only on data from after `moment`; none was stamped by a clock that went back since."""
        return all(
            v.window_start is not None
            and v.window_start >= moment
            and v.evaluated_at is not None
            and v.evaluated_at <= now
            for v in self.verdicts
        )

    def ready_at(self, moment: datetime) -> datetime:
        """Return when evidence since `moment` can be complete at the earliest."""
        return max((moment + v.window for v in self.verdicts), default=moment)


def evidence_of(s: Snapshot) -> Evidence:
    """Return the alarms that a release of this Rollout depends on."""
    return Evidence(tuple(v for v in (s.revert_alarm, s.one_box_alarm) if v is not None))
