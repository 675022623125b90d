"""The gate of the team's alarms: no stage starts while one is on, or unknown, where the change goes or has been (R86).

Each region judges its own boxes by its own alarms; this gate looks over the regions, so that a change does not move
on while something is wrong where it is already.
"""

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from ombak.api.health import State
from ombak.api.wording import clause
from ombak.core.gates.gate import Context, Held, Moment

ALARM = "alarm"
UNKNOWN = "alarms"
_SHOWN = 3


@dataclasses.dataclass(frozen=True, slots=True)
class PlacedAlarm:
    """An Alarm in a region, as the region's operator tells it."""

    region: str
    namespace: str
    name: str
    state: State | None
    """None: nothing valid is known."""
    is_certain: bool
    told: str = ""
    """What it says, or why nothing is known."""
    since: datetime | None = None

    @property
    def is_ok(self) -> bool:
        """OK, and certain."""
        return self.state is State.OK and self.is_certain

    @property
    def is_alarm(self) -> bool:
        """In ALARM, and certain."""
        return self.state is State.ALARM and self.is_certain

    @property
    def called(self) -> str:
        """How people find it."""
        return f"Alarm {self.namespace}/{self.name} in Region {self.region}"

    @property
    def command(self) -> str:
        """What shows it."""
        return f"kubectl --context {self.region} -n {self.namespace} describe alarm {self.name}"


@dataclasses.dataclass(frozen=True, slots=True)
class TeamAlarmGate:
    """Holds starts until every one of these alarms is OK and certain; it never takes anything back."""

    alarms: tuple[PlacedAlarm, ...]
    passed: frozenset[str] = frozenset()
    """Alarms that an Override lets a version pass while they are on, as `name` of its namespace or `namespace/name`."""

    def holds(self, context: Context, now: datetime) -> Held | None:  # noqa: ARG002 - alarms were evaluated before
        """See `Gate`."""
        if context.moment is not Moment.START:
            return None
        firing = [each for each in self.alarms if each.is_alarm and not self._is_passed(each, context)]
        if firing:
            return _held(ALARM, "to end", "the alarm's owner", firing)
        unknown = [each for each in self.alarms if not (each.is_ok or each.is_alarm)]
        return _held(UNKNOWN, "to be known", "whoever runs that region or owns the alarm", unknown) if unknown else None

    def _is_passed(self, alarm: PlacedAlarm, context: Context) -> bool:
        names = {f"{alarm.namespace}/{alarm.name}"} | ({alarm.name} if alarm.namespace == context.namespace else set())
        return bool(names & self.passed)


def _held(kind: str, awaited: str, who: str, found: Sequence[PlacedAlarm]) -> Held:
    told = [f"{each.called} {awaited}{f': {clause(each.told)}' if each.told else ''}" for each in found[:_SHOWN]]
    more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    starts = [each.since for each in found if each.since is not None]
    return Held(
        kind=kind,
        what="; and ".join([*told, *more]),
        who=who,
        command=found[0].command,
        since=min(starts, default=None),
        names=tuple(f"{each.region}/{each.namespace}/{each.name}" for each in found),
    )
