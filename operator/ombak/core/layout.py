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
    every_zone = spec.strategy.one_box.scope is OneBoxScope.ZONE
    zones = spec.zones or [""]
    return _segments({zone: index == 0 or every_zone for index, zone in enumerate(zones)}, replicas)


def zones_with_boxes(spec: RolloutSpec, part: Part | None = None) -> tuple[str, ...]:
    """Return the zones in which a Rollout has boxes, or some of one part; all of them while it has none at all."""
    zones = spec.zones or []
    replicas = len(zones) if not spec.replicas else spec.replicas
    parts = [each for each in segments(spec, replicas) if each.size and part in (None, each.part)]
    return tuple(zone for zone in zones if any(each.zone == zone for each in parts))


def _segments(zones: dict[str, bool], replicas: int) -> tuple[Segment, ...]:
    """Return the parts of zones in their order; each says whether it has a one box."""
    found: list[Segment] = []
    for zone, size in zone_sizes(replicas, tuple(zones)).items():
        first = min(1, size) if zones[zone] else 0
        if zones[zone]:
            found.append(Segment(Part.ONE_BOX, zone, first))
        found.append(Segment(Part.FLEET, zone, size - first))
    return tuple(found)


def shape_of(parts: tuple[Segment, ...]) -> str:
    """Return what the parts are, whatever their sizes: zones in their order, `*` before one that has a one box.

    Such as `*a,b,c`, and `*` where there are no zones; no zone's name holds either character.
    """
    has_box = {part.zone for part in parts if part.part is Part.ONE_BOX}
    return ",".join(("*" if zone in has_box else "") + zone for zone in dict.fromkeys(part.zone for part in parts))


def parts_of(shape: str, replicas: int) -> tuple[Segment, ...]:
    """Return the parts of a shape at so many replicas: the inverse of `shape_of`."""
    return _segments({name.removeprefix("*"): name.startswith("*") for name in shape.split(",")}, replicas)


def _position(parts: tuple[Segment, ...], segment: int, boxes: int) -> Position:
    """Return a position that remembers for which parts it was made."""
    return Position(segment, boxes, max(1, parts[segment].size), shape_of(parts), sum(part.size for part in parts))


def _is_whole(parts: tuple[Segment, ...], position: Position) -> bool:
    """All was approved, the last part too: a finished release takes all growth."""
    return position.segment == len(parts) - 1 and position.boxes >= position.of


def reached(parts: tuple[Segment, ...], position: Position) -> tuple[int, ...]:
    """Return how many boxes of each segment are approved for the new artifact, at today's sizes.

    Growth goes to the old version, in the segment under way and in those that are done, and a shrink leaves at most
    the approved share. Only where every segment is done every box is approved, however many there are.
    """
    if _is_whole(parts, position):
        return tuple(part.size for part in parts)
    known = parts_of(shape_of(parts), position.replicas) if position.replicas else parts
    counts = []
    for index, (segment, then) in enumerate(zip(parts, known, strict=True)):
        if index < position.segment or (index == position.segment and position.boxes >= position.of):
            counts.append(min(segment.size, then.size))
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
    return _position(parts, next((i for i, p in enumerate(parts) if p.size), 0), 1)


def last_position(parts: tuple[Segment, ...]) -> Position:
    """Return the position at which every box is approved."""
    return _position(parts, len(parts) - 1, max(1, parts[-1].size))


def next_position(parts: tuple[Segment, ...], position: Position, batch: int) -> Position:
    """Return the position one batch further; a batch never crosses from one zone into the next."""
    now = reached(parts, position)
    index = next(i for i in range(len(parts)) if now[i] < parts[i].size)
    if index < position.segment:
        return _caught_up(parts, position, sum(now) + batch)
    return _position(parts, index, min(parts[index].size, now[index] + batch))


def _caught_up(parts: tuple[Segment, ...], position: Position, most: int) -> Position:
    """Return the position with boxes that came into finished zones since, so that `most` are approved in all."""
    grown = (
        dataclasses.replace(position, replicas=count)
        for count in range(sum(part.size for part in parts), position.replicas, -1)
    )
    return next(found for found in grown if sum(reached(parts, found)) <= most)


def carried_over(parts: tuple[Segment, ...], position: Position) -> Position:
    """Return a position for other zones or one boxes than it was made for: what is approved in each place stays so.

    Only from the front without a gap, for that is the order of delivery; never more than was approved.
    """
    before = parts_of(position.layout, sum(part.size for part in parts))
    if _is_whole(before, position):
        return last_position(parts)
    approved = {(p.part, p.zone): n for p, n in zip(before, reached(before, position), strict=True)}
    return proven_position(parts, approved)


def proven_position(parts: tuple[Segment, ...], have: dict[tuple[Part, str], int]) -> Position:
    """Return the position up to which there are boxes in every place; one box at least, as everywhere."""
    found = first_position(parts)
    for index, segment in enumerate(parts):
        count = min(segment.size, have.get((segment.part, segment.zone), 0))
        if count:
            found = _position(parts, index, count)
        if count < segment.size:
            break
    return found


def observed_position(parts: tuple[Segment, ...], have: dict[tuple[Part, str], int]) -> Position:
    """Rebuild the approved share from the boxes that there are, after somebody erased the status.

    One box at least: there was one, or there would be no release, and with none nothing could be proven ever again.
    """
    index, boxes = 0, 0
    for i, segment in enumerate(parts):
        count = min(segment.size, have.get((segment.part, segment.zone), 0))
        if count:
            index, boxes = i, count
    return _position(parts, index, max(1, boxes))


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
