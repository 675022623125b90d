"""What was in ALARM already when a release went ahead all the same: it holds the release, it does not take it back.

A contributor is a series (or an alert) of one alarm. Only a new one is a reason to take the release back; one that was
OK once is new when it comes back (alarms-and-judge.md B4.5). The series of all pods of other versions are one
contributor of their alarm: how many of them are ill, and since when, is not the release's doing.
"""

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Iterator

from ombak.alarms.signals import OF_THE_ONE_BOX, alarm_name
from ombak.alarms.verdict import Contributor, Verdict
from ombak.core import naming
from ombak.core.memory import Mode, Release
from ombak.core.snapshot import Snapshot

REVERT, ONE_BOX = "revert", "oneBox"
MOST = 64
"""So many contributors are kept, of 30 characters each; those beyond count as new, which takes the release back."""
_OTHERS = "/others"
"""Ends the name of what all pods of other versions contribute to an alarm; digests hold no such letters."""
_POD = re.compile(r'(?:\{|, )pod="([^"]*)"')
"""The label `pod` of a series, and not one whose name merely ends like it."""
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


def _identities(rollout: str, artifact: str, part: str, verdict: Verdict) -> Iterator[tuple[str, Contributor]]:
    for cause in _causes(verdict):
        pod = _POD.search(cause.series)
        version = naming.version_of_pod(rollout, pod[1]) if pod is not None else ""
        is_of_others = version not in ("", artifact)
        alarm = f"{part}/{_digest(cause.alarm)[:8]}"
        yield (f"{alarm}{_OTHERS}" if is_of_others else identity(part, cause.alarm, cause.series)), cause


def _causes(verdict: Verdict) -> tuple[Contributor, ...]:
    return (verdict.causes or _NAMELESS) if verdict.is_alarm else ()


def news_in(rollout: str, release: Release | None, part: str, verdict: Verdict) -> tuple[Contributor, ...]:
    """Return the contributors of a verdict that are not in the baseline of a release; all where there is none."""
    if release is None:
        return _causes(verdict)
    known = frozenset(release.baseline)
    found = _identities(rollout, release.artifact, part, verdict)
    return tuple(cause for name, cause in found if name not in known)


def taken(s: Snapshot, release: Release) -> Release:
    """Return a release that goes ahead just now, in spite of what is in ALARM.

    What is not known yet is found out later: until one of its boxes is ready, nothing can be its doing.
    """
    found = _bounded(_present(s, release.artifact))
    return dataclasses.replace(release, baseline=found, baseline_is_open=_is_unclear(s))


def looked(s: Snapshot, release: Release, *, is_passing: bool = False) -> Release:
    """Return the release after a look: its baseline lost what is OK now, and gains nothing once a box is ready.

    Pods of other versions are in it whenever they fall ill, as long as it has one or an Override lets it pass alarms.
    """
    if not (release.baseline or release.baseline_is_open or is_passing):
        return release
    is_open = release.baseline_is_open and not _has_boxes(s, release.artifact)
    present = _present(s, release.artifact)
    kept = [n for n in release.baseline if _may_stay(s, present, n) and not _is_its_own(s, release, n)]
    found = _bounded([*kept, *(name for name in present if is_open or name.endswith(_OTHERS))])
    return dataclasses.replace(release, baseline=found, baseline_is_open=is_open and _is_unclear(s))


def to_keep(s: Snapshot, artifact: str) -> int:
    """Return how many contributors would have to be kept for a version that went ahead now; at most `MOST` are."""
    return sum(not name.endswith(_OTHERS) for name in _present(s, artifact))


def _bounded(found: Iterable[str]) -> tuple[str, ...]:
    """There are no more of other versions than there are alarms."""
    names = tuple(dict.fromkeys(found))
    own = [name for name in names if not name.endswith(_OTHERS)]
    return (*own[:MOST], *sorted(name for name in names if name.endswith(_OTHERS)))


def _is_its_own(s: Snapshot, release: Release, name: str) -> bool:
    """A signal's alarm of the one box rests on nothing but new boxes by now, so whatever is on is their doing.

    What an Alarm that `alarms.oneBox` names looks at nobody knows: it may be every pod of the service.
    """
    since, verdict = release.step.available_since, s.one_box_alarm
    if release.mode is not Mode.FORWARD or since is None or verdict is None:
        return False
    if any(box.artifact != release.artifact for box in s.one_boxes):
        return False
    signals = (alarm_name(signal.name, OF_THE_ONE_BOX) for signal in s.rollout.spec.signals or ())
    is_of_a_signal = any(name.startswith(f"{ONE_BOX}/{_digest(signal)[:8]}/") for signal in signals)
    return is_of_a_signal and verdict.window_start is not None and verdict.window_start >= since


def _present(s: Snapshot, artifact: str) -> list[str]:
    found = (_identities(s.rollout.name, artifact, part, verdict) for part, verdict in parts_of(s))
    return sorted({name for each in found for name, _ in each})


def _is_unclear(s: Snapshot) -> bool:
    return any(verdict.is_unknown or verdict.unclear for _, verdict in parts_of(s))


def _has_boxes(s: Snapshot, artifact: str) -> bool:
    return any(o.ready for o in (*s.fleet, *s.one_boxes) if o.artifact == artifact)


def _may_stay(s: Snapshot, present: Iterable[str], name: str) -> bool:
    """It contributes, or nobody can say that it does not. What is not watched any more goes."""
    own, alarm, _ = name.split("/") if name.count("/") == 2 else ("", "", "")
    verdict = next((v for part, v in parts_of(s) if part == own), None)
    if verdict is None:
        return False
    if verdict.is_unknown or alarm in {_digest(unclear)[:8] for unclear in verdict.unclear}:
        return True
    return name in present
