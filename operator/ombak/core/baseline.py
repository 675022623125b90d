"""What was in ALARM already when a release went ahead all the same: it holds the release, it does not take it back.

A contributor is a series (or an alert) of one alarm. Only a new one is a reason to take the release back; one that was
OK once is new when it comes back (alarms-and-judge.md B4.5).
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator

from ombak.alarms.verdict import Contributor, Verdict
from ombak.core.memory import Mode, Release
from ombak.core.snapshot import Snapshot

REVERT, ONE_BOX = "revert", "oneBox"
MOST = 64
"""So many contributors are kept, of 30 characters each; those beyond count as new, which takes the release back."""
_NAMELESS = (Contributor("", ""),)
"""Stands for the contributor of an ALARM that names none, such as that of the constant TRUE."""


def parts_of(s: Snapshot) -> tuple[tuple[str, Verdict], ...]:
    """Return the alarms of a Rollout, each with the name of its part; none where it is unwatched."""
    both = ((REVERT, s.revert_alarm), (ONE_BOX, s.one_box_alarm))
    return tuple((part, verdict) for part, verdict in both if verdict is not None)


def identity(part: str, alarm: str, series: str) -> str:
    """Return the short name of a contributor, the same at every look, such as `revert/0c5e1b2a/9f86d081884c`."""
    return f"{part}/{_digest(alarm)[:8]}/{_digest(series)[:12]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _identities(part: str, verdict: Verdict) -> Iterator[tuple[str, Contributor]]:
    for cause in (verdict.causes or _NAMELESS) if verdict.is_alarm else ():
        yield identity(part, cause.alarm, cause.series), cause


def news_in(part: str, verdict: Verdict, old: Iterable[str]) -> tuple[Contributor, ...]:
    """Return the contributors of a verdict that are not among the old ones."""
    known = frozenset(old)
    return tuple(cause for name, cause in _identities(part, verdict) if name not in known)


def taken(s: Snapshot, release: Release) -> Release:
    """Return a release that goes ahead just now, in spite of what is in ALARM.

    What is not known yet is found out later: until one of its boxes is ready, nothing can be its doing.
    """
    found = tuple(_present(s)[:MOST])
    return dataclasses.replace(release, baseline=found, baseline_is_open=_is_unclear(s))


def looked(s: Snapshot, release: Release) -> Release:
    """Return the release after a look: its baseline lost what is OK now, and gains nothing once a box is ready."""
    if not release.baseline and not release.baseline_is_open:
        return release
    is_open = release.baseline_is_open and not _has_boxes(s, release.artifact)
    kept = [name for name in release.baseline if _may_stay(s, name) and not _is_its_own(s, release, name)]
    found = dict.fromkeys([*kept, *(_present(s) if is_open else _of_others(s, release.artifact))])
    return dataclasses.replace(release, baseline=tuple(found)[:MOST], baseline_is_open=is_open and _is_unclear(s))


def _is_its_own(s: Snapshot, release: Release, name: str) -> bool:
    """The one box's alarm rests on nothing but the new box by now, so whatever is on is its doing."""
    since, verdict = release.step.available_since, s.one_box_alarm
    if release.mode is not Mode.FORWARD or not name.startswith(f"{ONE_BOX}/") or since is None or verdict is None:
        return False
    return verdict.window_start is not None and verdict.window_start >= since


def _of_others(s: Snapshot, artifact: str) -> list[str]:
    """Series of pods of another version are not the new one's doing, whenever they came."""
    marks = [f'"{each.name}-' for each in s.fleet if each.artifact != artifact]
    found = ((name, cause) for part, verdict in parts_of(s) for name, cause in _identities(part, verdict))
    return sorted({name for name, cause in found if any(mark in cause.series for mark in marks)})


def _present(s: Snapshot) -> list[str]:
    return sorted({name for part, verdict in parts_of(s) for name, _ in _identities(part, verdict)})


def _is_unclear(s: Snapshot) -> bool:
    return any(verdict.is_unknown or verdict.unclear for _, verdict in parts_of(s))


def _has_boxes(s: Snapshot, artifact: str) -> bool:
    return any(o.ready for o in (*s.fleet, *s.one_boxes) if o.artifact == artifact)


def _may_stay(s: Snapshot, name: str) -> bool:
    """It contributes, or nobody can say that it does not. What is not watched any more goes."""
    own, alarm, _ = name.split("/") if name.count("/") == 2 else ("", "", "")
    verdict = next((v for part, v in parts_of(s) if part == own), None)
    if verdict is None:
        return False
    if verdict.is_unknown or alarm in {_digest(unclear)[:8] for unclear in verdict.unclear}:
        return True
    return any(name == there for there, _ in _identities(own, verdict))
