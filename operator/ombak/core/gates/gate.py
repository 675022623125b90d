"""What a gate is: it is asked about one delivery at one moment, and says nothing, or why it holds.

Deciding whether something is a delivery at all (a revert, scaling and repairs are none, and are never asked about)
is the caller's part.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

ZERO = timedelta(0)


class Moment(StrEnum):
    """Where a delivery stands: it has not begun, or it is about to reach more boxes."""

    START = "Start"
    STEP = "Step"


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """The delivery that wants to go on: of a Rollout, or of a Pipeline's stage."""

    namespace: str
    name: str
    moment: Moment
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    region_labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Of the Region that it goes to, on a hub. Whoever writes a delivery's own labels can not hide these (R87)."""
    horizon: timedelta = ZERO
    """How long it is expected to take from now until its last bake is over."""
    resource: str = "omr"
    """What `kubectl` calls it."""
    artifact: str = ""
    """Which version wants to go on."""
    behind: str = ""
    """Which version waits for its end, if another one than it."""
    ended: frozenset[str] = frozenset()
    """Versions that have come to their end here: stable, or taken back."""


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """Why a delivery does not go on, in the words of P10."""

    kind: str
    """The word under which logs and documentation know this wait."""
    what: str
    """What it waits for: `Window office-hours to open (...)`."""
    who: str
    """Who can lift it."""
    command: str = ""
    """With which command."""
    since: datetime | None = None
    """Since when the gate holds whoever asks, where that is known."""
    expected: datetime | None = None
    """When it opens by itself; None where nobody knows."""
    names: tuple[str, ...] = ()
    """The objects that hold."""

    @property
    def key(self) -> str:
        """What stays the same as long as the same objects hold."""
        return " ".join((self.kind, *self.names))


class Gate(Protocol):
    """One reason for which a delivery may have to wait. Pure: the same questions get the same answers."""

    def holds(self, context: Context, now: datetime) -> Held | None:
        """Return why the delivery has to wait, None if it may go on as far as this gate is concerned."""
        ...


def what_holds(gates: Iterable[Gate], context: Context, now: datetime) -> Held | None:
    """Return everything that holds a delivery as one wait, None if it may go on."""
    return together([held for held in (gate.holds(context, now) for gate in gates) if held is not None])


def together(found: list[Held]) -> Held | None:
    """Return several waits as one: it ends with the last of them, and nobody knows when if that holds for one."""
    if len(found) < 2:
        return found[0] if found else None
    ends = [held.expected for held in found if held.expected is not None]
    starts = [held.since for held in found if held.since is not None]
    return Held(
        kind=found[0].kind,
        what="; and ".join(held.what for held in found),
        who="; ".join(dict.fromkeys(held.who for held in found)),
        command=" && ".join(held.command for held in found if held.command),
        since=min(starts, default=None),
        expected=max(ends) if len(ends) == len(found) else None,
        names=tuple(f"{held.kind}/{name}" for held in found for name in held.names),
    )
