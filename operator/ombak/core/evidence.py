"""What the alarms of a release say, and which stretch of time they speak of (P2)."""

import dataclasses
from collections.abc import Collection
from datetime import datetime

from ombak.alarms.verdict import Contributor, Verdict
from ombak.alarms.zoned import object_of
from ombak.core.baseline import MOST, news_in, parts_of
from ombak.core.memory import Release
from ombak.core.snapshot import Snapshot

_SHOWN = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """All alarms that a release depends on, taken together; with none (unwatched) everything holds."""

    verdicts: tuple[Verdict, ...]
    old: frozenset[int] = frozenset()
    """The positions of those that are in ALARM only by what was there before the release went ahead."""
    passed: frozenset[int] = frozenset()
    """Of the old ones those in spite of which an Override lets the release go on, up to its last step."""

    @property
    def alarm(self) -> Verdict | None:
        """The first one that is certainly in ALARM, and speaks against the release."""
        return next((v for i, v in enumerate(self.verdicts) if v.is_alarm and i not in self.old), None)

    @property
    def old_alarm(self) -> Verdict | None:
        """The first one in ALARM that was so before the release: no reason to take it back, nor to go on."""
        return next((v for i, v in enumerate(self.verdicts) if i in self.old and i not in self.passed), None)

    @property
    def unknown(self) -> Verdict | None:
        """The first one of which nothing certain is known."""
        return next((v for v in self.verdicts if v.is_unknown), None)

    @property
    def is_ok(self) -> bool:
        """Every one is OK, and certain, or passed."""
        return all(v.is_ok or i in self.passed for i, v in enumerate(self.verdicts))

    def unnamed(self, names: Collection[str]) -> Verdict | None:
        """Return the first one in ALARM that is so by more than the alarms of these names."""
        return next((v for v in self.verdicts if v.is_alarm and not _is_named(v, names)), None)

    def passing(self, names: Collection[str]) -> "Evidence":
        """Return the same for a release that goes on in spite of what was old, if these names are all of it."""
        passed = frozenset(i for i in self.old if _is_named(self.verdicts[i], names))
        return dataclasses.replace(self, passed=passed)

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


def _is_named(verdict: Verdict, names: Collection[str]) -> bool:
    return bool(verdict.causes) and all(object_of(cause.alarm) in names for cause in verdict.causes)


NO_EVIDENCE = Evidence(())
"""Of a way back, which waits for no alarm and which none takes back."""


def evidence_of(s: Snapshot, release: Release | None = None) -> Evidence:
    """Return the alarms that a release of this Rollout depends on; None before it began."""
    noted = len(release.baseline) if release is not None else 0
    found, old = [], set()
    for position, (part, verdict) in enumerate(parts_of(s)):
        news = news_in(s.rollout.name, release, part, verdict)
        if verdict.is_alarm and not news:
            old.add(position)
        is_mixed = bool(news) and len(news) < len(verdict.causes)
        found.append(_telling(verdict, news, noted) if is_mixed else verdict)
    return Evidence(tuple(found), frozenset(old))


def _telling(verdict: Verdict, news: tuple[Contributor, ...], noted: int) -> Verdict:
    """The same, which tells first what is new in ALARM."""
    named, more = ", ".join(map(str, news[:_SHOWN])), len(news) - _SHOWN
    why = "new in ALARM" if noted < MOST else f"in ALARM beside the {MOST} that are known from before"
    text = f"{named}{f' and {more} more' if more > 0 else ''}: {why}"
    return dataclasses.replace(verdict, message=f"{text}; {verdict.message}")
