"""What others did to objects that we own, told when it is put back, so that nobody wonders where an edit went.

One Event for one edit, however often putting it back has to be tried. Where the same object is changed again and again
(another controller wants it otherwise) it is put back more and more seldom: two programs that answer each other would
load the API server for nothing. Sizes are put back at once, always; a row of them is told more and more seldom.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Set
from datetime import timedelta

from ombak.api.duration import format_duration
from ombak.core import naming, plan
from ombak.core.plan import Action, Note
from ombak.core.snapshot import Owned, Snapshot
from ombak.runtime.clock import Clock
from ombak.runtime.store import Key

REASON = "PutBack"
AT_ONCE = 5
"""So many edits of one object in a row are put back at once. Sizes always are, and so is what was deleted."""
FIRST_REST, LONGEST_REST = timedelta(seconds=10), timedelta(minutes=10)
FORGOTTEN_AFTER = timedelta(minutes=30)
"""An edit after so long begins a new row."""


@dataclasses.dataclass(slots=True)
class _Edited:
    """What was done to one object; times are monotonic seconds."""

    pending: str = ""
    """The edit that was told and is not put back yet."""
    counted: str = ""
    """The last edit that counts for the row."""
    count: int = 0
    at: float = 0.0
    sizes: int = 0
    """Sizes in a row; the last one was set `sized_at`, and the last one that was told `told_at`."""
    sized_at: float = 0.0
    told_at: float = -math.inf

    @property
    def rest(self) -> timedelta:
        """How long after the last edit the next one is left as it is."""
        return _rest_after(self.count)

    def is_told_anew(self, mono: float) -> bool:
        """Whether there is an Event for another size: a row of them is told more and more seldom, and put back."""
        is_row = mono - self.sized_at <= FORGOTTEN_AFTER.total_seconds()
        self.sizes, self.sized_at = self.sizes + 1 if is_row else 1, mono
        if mono - self.told_at < _rest_after(self.sizes - 1).total_seconds():
            return False
        self.told_at = mono
        return True


def _rest_after(count: int) -> timedelta:
    return min(LONGEST_REST, FIRST_REST * 2 ** min(count - AT_ONCE, 16)) if count >= AT_ONCE else _NONE


_NONE = timedelta(0)


class PutBacks:
    """The edits of each Rollout's objects. To be used from one event loop only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._edited: dict[Key, dict[str, _Edited]] = {}

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._edited.pop(key, None)

    def notes(self, key: Key, s: Snapshot, actions: Iterable[Action], seen: Set[str]) -> tuple[Note, ...]:
        """Return a note for each edit that a plan puts back and that was not told yet.

        `seen` are the names of the objects that there were before.
        """
        there: dict[str, Owned] = {o.name: o for o in (*s.fleet, *s.one_boxes)}
        found = []
        for action in actions:
            name = name_of(s, action)
            have = there.get(name)
            why = _why(have, action, is_lost=name in seen) if name else ""
            is_edit = have is not None and bool(have.drift)
            is_often = have is not None and not is_edit
            is_size = is_often and not isinstance(action, plan.RepairFleet)
            is_new = bool(why) and self._is_new(key, name, why, counts=is_edit)
            if is_new and (not is_often or self._edited[key][name].is_told_anew(self._clock.monotonic())):
                fate = self._fate(key, name, why) + (f"; scale Rollout {s.rollout.name} instead" if is_size else "")
                found.append(Note(REASON, f"{name}: {why}; {fate}.", is_warning=True))
        return tuple(found)

    def _is_new(self, key: Key, name: str, why: str, *, counts: bool) -> bool:
        edited = self._edited.setdefault(key, {}).setdefault(name, _Edited())
        if edited.pending == why:
            return False
        edited.pending = why
        if counts:
            mono = self._clock.monotonic()
            is_row = mono - edited.at <= FORGOTTEN_AFTER.total_seconds()
            edited.at, edited.count, edited.counted = mono, edited.count + 1 if is_row else 1, why
        return True

    def _fate(self, key: Key, name: str, why: str) -> str:
        edited = self._edited[key][name]
        rest = edited.rest
        if not rest or edited.counted != why:
            return "it is put back, since Ombak owns it"
        seldom = f"not for {format_duration(rest)}, because somebody keeps changing it"
        return f"it is put back, since Ombak owns it, and the next time {seldom}"

    def done(self, key: Key, names: Iterable[str]) -> None:
        """These objects are as they should be: whatever is found in them from now on is another edit."""
        for name in names:
            if name in self._edited.get(key, {}):
                self._edited[key][name].pending = ""

    def resting(self, key: Key) -> Mapping[str, timedelta]:
        """Return the objects whose edits are left as they are for now, and for how long."""
        mono = self._clock.monotonic()
        left = {
            name: edited.rest - timedelta(seconds=mono - edited.at)
            for name, edited in self._edited.get(key, {}).items()
            if not edited.pending
        }
        return {name: rest for name, rest in left.items() if rest > _NONE}


def children(s: Snapshot) -> frozenset[str]:
    """Return the names of the owned objects that there are."""
    return frozenset(o.name for o in (*s.fleet, *s.one_boxes))


def name_of(s: Snapshot, action: Action) -> str:
    """Return the name of the box set that an action writes, empty if it writes none."""
    rollout = s.rollout.name
    match action:
        case plan.WriteOneBox(zone=zone):
            return naming.one_box(rollout, zone)
        case plan.CreateFleet(artifact=artifact, zone=zone):
            return naming.fleet(rollout, artifact, zone)
        case plan.ScaleFleet(name=name) | plan.RepairFleet(name=name):
            return name
    return ""


def mended(s: Snapshot, actions: Iterable[Action]) -> tuple[str, ...]:
    """Return the names of the box sets that actions have left as they should be: a size alone mends no edit."""
    edited = {fleet.name for fleet in s.fleet if fleet.drift}
    sizes = (a.name for a in actions if isinstance(a, plan.ScaleFleet) and a.name in edited)
    return tuple({name_of(s, action) for action in actions} - set(sizes))


def _why(have: Owned | None, action: Action, *, is_lost: bool) -> str:
    if have is None:
        return "somebody deleted it, or took its labels off" if is_lost else ""
    if have.drift:
        return "" if isinstance(action, plan.ScaleFleet) else have.drift
    if isinstance(action, plan.RepairFleet):
        return "its pod template was edited, and boxes are to be made of it"
    is_same = not isinstance(action, plan.WriteOneBox) or action.artifact == have.artifact
    return f"spec.replicas set by {have.scaled_by}" if have.scaled_by and is_same else ""
