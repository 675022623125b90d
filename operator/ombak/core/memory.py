"""What a Rollout remembers between two decisions; kept in its status, and rebuilt if somebody erases that."""

import dataclasses
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, TypeVar

import pydantic
from pydantic.alias_generators import to_camel

ZERO = timedelta(0)
_WRITTEN = pydantic.ConfigDict(alias_generator=to_camel, populate_by_name=True)
"""In a status it is spelled as everything else there."""
Moment = pydantic.AwareDatetime
"""One without a zone, which only a person can have written, cannot be compared."""


class Mode(StrEnum):
    """How a release goes: the first one here, the careful way, or a version known to be good."""

    INSTALL = "Install"
    FORWARD = "Forward"
    FAST = "Fast"
    BACK = "Back"
    """To a version known to be good while an alarm is on: as a revert goes, for that is what a person asks for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """The approved share: all segments before `segment`, and `boxes` of the `of` boxes it had when approved."""

    __pydantic_config__: ClassVar = _WRITTEN

    segment: int
    boxes: int
    of: int
    layout: str = ""
    """The zones and one boxes that `segment` counts (`layout.shape_of`); empty in what older versions wrote."""
    replicas: int = 0
    """How many boxes there were in all when it was approved; 0 in what older versions wrote."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ledger:
    """Bake time that was proven good (design 2 "Bake is a ledger, not a timer")."""

    __pydantic_config__: ClassVar = _WRITTEN

    accrued: timedelta = ZERO
    proven_until: Moment | None = None
    """The end of the stretch that is good so far; None while it is not good."""
    began_at: Moment | None = None
    """When the boxes of the step first were all there; quotas count from here."""


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One step forward: what was approved when, and how far it came."""

    __pydantic_config__: ClassVar = _WRITTEN

    number: int
    approved_at: Moment
    goal: int
    """So many boxes of the new artifact were approved."""
    high_water: int
    progress_at: Moment
    """When `high_water` last grew: a ready count that flaps cannot move it for ever."""
    arrived_at: Moment | None = None
    available_since: Moment | None = None
    """Since when all of them serve without a break; evidence for the next step counts only from here."""
    down_since: Moment | None = None
    down_for: timedelta = ZERO
    """How long some were missing in all since the last progress: what flaps cannot hide behind its good moments."""
    ledger: Ledger = Ledger()


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """A change on its way."""

    __pydantic_config__: ClassVar = _WRITTEN

    artifact: str
    mode: Mode
    began_at: Moment
    position: Position
    step: Step
    unknown_since: Moment | None = None
    baseline: tuple[str, ...] = ()
    """What was in ALARM when it went ahead, and is since (see `core.baseline`)."""
    baseline_is_open: bool = False
    """What was in ALARM then is not wholly known yet."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reverting:
    """A way back, and how it fares."""

    __pydantic_config__: ClassVar = _WRITTEN

    source: str
    """The artifact that is taken back; empty if the user went back himself."""
    target: str
    began_at: Moment
    replicas: int
    high_water: int
    progress_at: Moment
    forced: bool = False
    """P1 yielded to P3: a box more came up for a whole deadline, so one at a time goes without it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wait:
    """What the Rollout waits for; `since` stays while the key stays."""

    __pydantic_config__: ClassVar = _WRITTEN

    key: str
    since: Moment


@dataclasses.dataclass(frozen=True, slots=True)
class Queued:
    """The change that waits for its turn, and how many it overtook that waited before it (R90)."""

    __pydantic_config__: ClassVar = _WRITTEN

    artifact: str
    since: Moment
    """When the first of them began to wait."""
    superseded: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Unrecorded:
    """A verdict that the API server has not let be written on its Artifact; it counts all the same (P3)."""

    __pydantic_config__: ClassVar = _WRITTEN

    artifact: str
    reason: str
    message: str
    retried: str = ""
    """The retry that the version had had by then: a later one takes the verdict off."""


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """All that is remembered. Verdicts are on the Artifacts, as soon as they can be; sizes are in the cluster."""

    __pydantic_config__: ClassVar = _WRITTEN

    release: Release | None = None
    reverting: Reverting | None = None
    wait: Wait | None = None
    queued: Queued | None = None
    unrecorded: tuple[Unrecorded, ...] = ()
    seen_at: Moment | None = None
    """When the boxes were last looked at while a deadline runs for them (see `core.sight`); None while none does."""


T = TypeVar("T")


def rebased(memory: Memory, by: timedelta, now: datetime) -> Memory:
    """Return the memory after the wall clock jumped `by`; nothing in it may then lie in the future."""
    return _rebased(memory, by, now)


def _rebased(value: T, by: timedelta, now: datetime) -> T:
    if isinstance(value, datetime):
        return min(value + by, now)  # type: ignore[return-value]  # T is datetime here
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {f.name: _rebased(getattr(value, f.name), by, now) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **found)
    return value


_ADAPTER = pydantic.TypeAdapter(Memory)


def dump_memory(memory: Memory) -> dict[str, object]:
    """Return the memory as JSON for the status, without what is empty."""
    dumped: dict[str, object] = _ADAPTER.dump_python(
        memory, mode="json", by_alias=True, exclude_none=True, exclude_defaults=True
    )
    return dumped


def load_memory(raw: object) -> Memory:
    """Return the memory that a status holds; what cannot be read counts as erased, which is always safe."""
    try:
        return _ADAPTER.validate_python(raw or {})
    except pydantic.ValidationError:
        return Memory()
