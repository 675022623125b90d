"""The boxes of a Rollout in the order in which a change reaches them: one box, batches, zone by zone (P6)."""

import dataclasses
from enum import StrEnum
from fractions import Fraction

from ombak.api.rollout import OneBoxScope, RolloutSpec
from ombak.core.capacity import floor_share
from ombak.core.memory import Position


class Part(StrEnum):
    """What a segment is made of."""

    ONE_BOX = "onebox"
    FLEET = "fleet"


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """A run of boxes that is finished before the next one is begun."""

    part: Part
    zone: str
    size: int


@dataclasses.dataclass(frozen=True, slots=True)
class Want:
    """So many boxes of an artifact are wanted in a part of a zone."""

    part: Part
    zone: str
    artifact: str
    count: int


def zone_sizes(replicas: int, zones: tuple[str, ...]) -> dict[str, int]:
    """Spread the boxes over the zones, the first ones taking what is left over."""
    whole, rest = divmod(replicas, len(zones))
    return {zone: whole + (index < rest) for index, zone in enumerate(zones)}


def segments(spec: RolloutSpec, replicas: int) -> tuple[Segment, ...]:
    """Return the parts of a Rollout in the order of delivery; the sizes add up to `replicas`."""
    zones = tuple(spec.zones or ("",))
    every_zone = spec.strategy.one_box.scope is OneBoxScope.ZONE
    found: list[Segment] = []
    for index, (zone, size) in enumerate(zone_sizes(replicas, zones).items()):
        has_one_box = index == 0 or every_zone
        first = min(1, size) if has_one_box else 0
        if has_one_box:
            found.append(Segment(Part.ONE_BOX, zone, first))
        found.append(Segment(Part.FLEET, zone, size - first))
    return tuple(found)


def reached(parts: tuple[Segment, ...], position: Position) -> tuple[int, ...]:
    """Return how many boxes of each segment are approved for the new artifact, at today's sizes.

    In the segment under way growth goes to the old version, and a shrink leaves at most the approved share.
    """
    counts = []
    for index, segment in enumerate(parts):
        if index < position.segment or (index == position.segment and position.boxes >= position.of):
            counts.append(segment.size)
        elif index == position.segment:
            share = floor_share(Fraction(position.boxes, position.of), segment.size)
            counts.append(min(position.boxes, share))
        else:
            counts.append(0)
    return tuple(counts)


def is_everywhere(parts: tuple[Segment, ...], position: Position) -> bool:
    """Every box is approved for the new artifact."""
    return reached(parts, position) == tuple(p.size for p in parts)


def first_position(parts: tuple[Segment, ...]) -> Position:
    """Return the first box of all: one box."""
    index = next(i for i, p in enumerate(parts) if p.size)
    return Position(segment=index, boxes=1, of=parts[index].size)


def last_position(parts: tuple[Segment, ...]) -> Position:
    """Return the position at which every box is approved."""
    size = max(1, parts[-1].size)
    return Position(segment=len(parts) - 1, boxes=size, of=size)


def next_position(parts: tuple[Segment, ...], position: Position, batch: int) -> Position:
    """Return the position one batch further; a batch never crosses from one zone into the next."""
    now = reached(parts, position)
    index = next(i for i in range(len(parts)) if i >= position.segment and now[i] < parts[i].size)
    size = parts[index].size
    return Position(segment=index, boxes=min(size, now[index] + batch), of=size)


def observed_position(parts: tuple[Segment, ...], have: dict[tuple[Part, str], int]) -> Position:
    """Rebuild the approved share from the boxes that there are, after somebody erased the status.

    One box at least: there was one, or there would be no release, and with none nothing could be proven ever again.
    """
    index, boxes = 0, 0
    for i, segment in enumerate(parts):
        count = min(segment.size, have.get((segment.part, segment.zone), 0))
        if count:
            index, boxes = i, count
    return Position(segment=index, boxes=max(1, boxes), of=max(1, parts[index].size))


def wants(parts: tuple[Segment, ...], position: Position, new: str, old: str) -> tuple[Want, ...]:
    """Return what should run where: `new` up to the position, `old` in the rest."""
    found: list[Want] = []
    for segment, count in zip(parts, reached(parts, position), strict=True):
        if segment.part is Part.ONE_BOX:
            artifact = new if count or not segment.size else old
            found.append(Want(segment.part, segment.zone, artifact, segment.size))
            continue
        found.append(Want(segment.part, segment.zone, new, count))
        if old != new:
            found.append(Want(segment.part, segment.zone, old, segment.size - count))
    return tuple(found)


def wants_only(parts: tuple[Segment, ...], artifact: str) -> tuple[Want, ...]:
    """Return the wish that every box runs `artifact`."""
    return wants(parts, last_position(parts), artifact, artifact)
