"""From the boxes that are there to those that are wanted, never under the floor (P1), one zone at a time (P6).

Arguments about order: boxes that are not ready go first, since they cost nothing; what goes beyond the wanted
number goes next; only then are serving boxes exchanged, at most a batch less what is already down. A shrink comes
before the grow that replaces it: without surge there is no room otherwise, and a crash in between leaves the
capacity at the floor or above, which the next run fills up again.
"""

import dataclasses

from ombak.core import plan
from ombak.core.capacity import Limits
from ombak.core.layout import Part, Want
from ombak.core.snapshot import FleetSet, OneBoxSet, Snapshot


@dataclasses.dataclass(slots=True)
class _Room:
    """What may still be spent in this plan."""

    total: int
    serving: int
    limits: Limits
    forced: int

    @property
    def above_floor(self) -> int:
        return max(0, self.serving - self.limits.floor)

    @property
    def spare(self) -> int:
        """So many serving boxes may go although nothing takes their place just now: no more than a batch is away."""
        return max(0, self.serving - max(self.limits.floor, self.limits.replicas - self.limits.batch))

    @property
    def exchange(self) -> int:
        """So many serving boxes may be exchanged now: a batch less what is down, and never below the floor."""
        down = max(0, self.limits.replicas - self.serving)
        return max(self.forced, min(self.limits.batch - down, self.above_floor))

    @property
    def growth(self) -> int:
        most = self.limits.replicas + min(self.limits.surge, max(1, self.limits.batch))
        return max(0, most - self.total)

    def take(self, count: int, free: int) -> None:
        """Book the removal of `count` boxes, of which `free` did not serve."""
        costly = max(0, count - free)
        self.total -= count
        self.serving -= costly
        self.forced = max(0, self.forced - costly)


@dataclasses.dataclass(frozen=True, slots=True)
class _Cell:
    """One ReplicaSet, there or wished for, and its wanted size."""

    zone: str
    artifact: str
    want: int
    have: FleetSet | None

    @property
    def size(self) -> int:
        return self.have.desired if self.have else 0

    @property
    def surplus(self) -> int:
        return max(0, self.size - self.want)

    @property
    def lack(self) -> int:
        return max(0, self.want - self.size)

    @property
    def free(self) -> int:
        return min(self.surplus, self.have.expendable) if self.have else 0


def _cells(s: Snapshot, wanted: tuple[Want, ...]) -> list[_Cell]:
    sizes = {(w.zone, w.artifact): w.count for w in wanted if w.part is Part.FLEET}
    there = {(f.zone, f.artifact): f for f in s.fleet}
    keys = list(sizes) + [k for k in there if k not in sizes]
    return [
        _Cell(zone, artifact, sizes.get((zone, artifact), 0), there.get((zone, artifact))) for zone, artifact in keys
    ]


def _one_box_wants(wanted: tuple[Want, ...]) -> dict[str, Want]:
    return {w.zone: w for w in wanted if w.part is Part.ONE_BOX}


def is_done(s: Snapshot, wanted: tuple[Want, ...], *, may_lack: bool = False) -> bool:
    """Every box that is wanted is asked for, no other one is, and the controllers have followed.

    With `may_lack` they need not have made every box: a quota, or a policy about pods, may not let them.
    """
    boxes = _one_box_wants(wanted)
    there = {b.zone: b for b in s.one_boxes}
    for zone, want in boxes.items():
        box = there.get(zone)
        if box is None or box.desired != want.count or (want.count and box.artifact != want.artifact):
            return False
        if not (box.is_ours_alone if may_lack else box.is_settled):
            return False
    if any(b.desired or b.replicas for z, b in there.items() if z not in boxes):
        return False
    return all(c.size == c.want and (c.have is None or _has_followed(c, may_lack)) for c in _cells(s, wanted))


def _has_followed(cell: _Cell, may_lack: bool) -> bool:
    assert cell.have is not None
    made = cell.have.replicas
    return cell.have.is_current and (made == cell.want or (may_lack and made < cell.want))


def serving_of(s: Snapshot, artifact: str) -> int:
    """Return how many boxes of an artifact serve."""
    fleet = sum(f.serving for f in s.fleet if f.artifact == artifact)
    return fleet + sum(b.serving for b in s.one_boxes if b.artifact == artifact and b.is_settled)


def asked_of(s: Snapshot, artifact: str) -> int:
    """Return how many boxes of an artifact are asked for."""
    return sum(o.desired for o in (*s.fleet, *s.one_boxes) if o.artifact == artifact)


def serving_all(s: Snapshot) -> int:
    """Return how many boxes serve, of whatever version."""
    return sum(o.serving for o in (*s.fleet, *s.one_boxes) if not o.is_deleting)


def artifacts_with_boxes(s: Snapshot) -> set[str]:
    """Return the ids of all versions of which boxes are asked for or still there."""
    return {o.artifact for o in (*s.fleet, *s.one_boxes) if o.desired or o.replicas}


def has_others(s: Snapshot, artifact: str) -> bool:
    """Boxes of another version are asked for, or still there: a one box that surges keeps its old one as long."""
    return bool(artifacts_with_boxes(s) - {artifact}) or any(b.is_current and b.keeps_another for b in s.one_boxes)


def converge(
    s: Snapshot, wanted: tuple[Want, ...], limits: Limits, zones: tuple[str, ...], forced: bool = False
) -> tuple[plan.Action, ...]:
    """Return the next actions towards `wanted`; none if it is reached, or if nothing may be done just now.

    `zones` is the order in which zones are taken. With `forced` one serving box may be exchanged below the floor:
    only a revert that could not surge for a whole deadline does that (P3 over P1).
    """
    room = _Room(
        total=sum(o.desired for o in (*s.fleet, *s.one_boxes)),
        serving=sum(o.sure for o in (*s.fleet, *s.one_boxes) if not o.is_deleting),
        limits=limits,
        forced=1 if forced else 0,
    )
    cells = _cells(s, wanted)
    zone = _active_zone(s, cells, wanted, zones)
    active = {c.zone for c in cells} if forced else ({zone} if zone is not None else set())
    if plan.WriteOneBox in s.refused:  # it must not use up, again and again, what the fleet can go on with
        fleet = _fleet_actions(s, cells, _grow(cells, _shrink(cells, room, active), room, active))
        return (*fleet, *_one_box_actions(s, wanted, room, active))
    boxes = _one_box_actions(s, wanted, room, active)
    sizes = _grow(cells, _shrink(cells, room, active), room, active)
    return (*boxes, *_fleet_actions(s, cells, sizes))


def _active_zone(s: Snapshot, cells: list[_Cell], wanted: tuple[Want, ...], zones: tuple[str, ...]) -> str | None:
    """Return the zone whose boxes may be exchanged now: the first that differs, if no other one is under way."""
    order = [*zones, *sorted({c.zone for c in cells} - set(zones))]
    boxes, there = _one_box_wants(wanted), {b.zone: b for b in s.one_boxes}
    coming = wanted[0].artifact
    changing = [z for z in order if _differs(z, cells, boxes.get(z), there.get(z))]
    busy = [
        z
        for z in order
        if _is_under_way(z, coming, cells, there.get(z)) or _is_short(z, cells, boxes.get(z), there.get(z))
    ]
    if not busy:
        # Turned round in the middle of an exchange, a zone has boxes away already: it comes first (P6).
        lacking = [z for z in changing if _lacks(z, cells, boxes.get(z), there.get(z))]
        return next(iter(lacking or changing), None)
    return busy[0] if len(busy) == 1 and busy[0] in changing else None


def _is_under_way(zone: str, coming: str, cells: list[_Cell], box: OneBoxSet | None) -> bool:
    """Boxes of the version that is brought to the zone do not serve yet (or any more).

    Those of other versions do not count: where what runs is ill, that must not keep out its cure.
    """
    if box is not None and box.artifact == coming and box.desired and not (box.is_settled and box.serving):
        return True
    mine = [c.have for c in cells if c.zone == zone and c.artifact == coming and c.want]
    return any(have is not None and have.serving < have.desired for have in mine)


def _is_short(zone: str, cells: list[_Cell], want: Want | None, box: OneBoxSet | None) -> bool:
    """Fewer boxes of the zone are asked for than are wanted there: they were taken, and a crash came in between."""
    mine = [c for c in cells if c.zone == zone]
    asked = sum(c.size for c in mine) + (box.desired if box else 0)
    return asked < sum(c.want for c in mine) + (want.count if want else 0)


def _lacks(zone: str, cells: list[_Cell], want: Want | None, box: OneBoxSet | None) -> bool:
    """Fewer boxes of the zone serve, of whatever version, than are wanted there."""
    mine = [c for c in cells if c.zone == zone]
    wanted = sum(c.want for c in mine) + (want.count if want else 0)
    return sum(c.have.serving for c in mine if c.have) + (box.serving if box else 0) < wanted


def _differs(zone: str, cells: list[_Cell], want: Want | None, box: OneBoxSet | None) -> bool:
    if want and want.count and box is not None and box.artifact != want.artifact:
        return True
    mine = [c for c in cells if c.zone == zone]
    return any(c.surplus for c in mine) and any(c.lack for c in mine)


def _one_box_actions(s: Snapshot, wanted: tuple[Want, ...], room: _Room, active: set[str]) -> list[plan.Action]:
    wants = _one_box_wants(wanted)
    actions: list[plan.Action] = []
    for box in s.one_boxes:
        if box.zone not in wants and not box.is_deleting:
            actions += _retire_box(box, room)
    there = {b.zone: b for b in s.one_boxes}
    for zone, want in wants.items():
        actions += _one_box_action(there.get(zone), want, room, zone in active)
    return actions


def _retire_box(box: OneBoxSet, room: _Room) -> list[plan.Action]:
    if not box.desired:
        if box.replicas:
            return []
        return [plan.Delete("Deployment", box.name, box.uid, box.resource_version)]
    if max(room.spare, room.forced) < box.serving:
        return []
    room.take(box.desired, box.desired - box.serving)
    return [plan.WriteOneBox(box.zone, box.artifact, 0, surge=False, resource_version=box.resource_version)]


def _one_box_action(box: OneBoxSet | None, want: Want, room: _Room, is_active: bool) -> list[plan.Action]:
    if box is None:
        if want.count > room.growth:
            return []
        room.total += want.count
        return [plan.WriteOneBox(want.zone, want.artifact, want.count, surge=False)]
    is_other = box.artifact != want.artifact or bool(box.drift)
    # What surges in vain for a whole deadline never lets the old box go: a revert that has to end stops that.
    is_in_vain = bool(room.forced) and box.is_current and box.keeps_another
    if box.is_deleting or (not is_other and not is_in_vain and box.desired == want.count):
        return []
    surge = box.surges
    if (is_other or is_in_vain) and box.desired and want.count:
        if (not is_active and not box.drift) or not (_is_clear(box) or room.forced):
            return []
        surge = _pay_for_box(box, room)
    elif box.desired > want.count:
        if max(room.spare, room.forced) < box.serving:
            return []  # it moves to another zone, whose box does not serve yet
        room.take(box.desired - want.count, box.expendable)
    else:
        room.total += want.count - box.desired
    return [plan.WriteOneBox(want.zone, want.artifact, want.count, surge, box.resource_version)]


def _is_clear(box: OneBoxSet) -> bool:
    """Its controller is not in the middle of an exchange of which nobody knows what it leaves; a moment later it is."""
    return box.is_settled or box.surges or box.expendable > 0


def _pay_for_box(box: OneBoxSet, room: _Room) -> bool:
    """Book the exchange of a one box, and tell whether it must surge because there is no budget for it."""
    if box.expendable:
        return False
    if room.exchange >= 1:
        room.serving -= min(1, box.serving)
        room.forced = 0
        return False
    return True


def _shrink(cells: list[_Cell], room: _Room, active: set[str]) -> list[int]:
    """Return the new size of each cell after taking away what may go now."""
    sizes = [c.size for c in cells]
    excess = {zone: _excess(cells, zone) for zone in {c.zone for c in cells}}
    for i in sorted(range(len(cells)), key=lambda i: cells[i].want > 0):
        cell = cells[i]
        if not cell.surplus or cell.have is None or cell.have.is_deleting:
            continue
        count = _shrink_cell(cell, excess[cell.zone], room, cell.zone in active)
        excess[cell.zone] = max(0, excess[cell.zone] - count)
        sizes[i] -= count
    return sizes


def _shrink_cell(cell: _Cell, excess: int, room: _Room, may_exchange: bool) -> int:
    """Book and return how many boxes of one cell go: idle ones, then surplus ones, then an exchange."""
    allowed = cell.surplus if may_exchange else min(cell.surplus, excess)
    free = min(cell.free, allowed)
    room.take(free, free)
    beyond = max(0, min(allowed, excess) - free)
    spare = min(beyond, room.spare)
    room.take(spare, 0)
    exchanged = min(allowed - free - spare, room.exchange) if may_exchange else 0
    room.take(exchanged, 0)
    return free + spare + exchanged


def _excess(cells: list[_Cell], zone: str) -> int:
    mine = [c for c in cells if c.zone == zone]
    return max(0, sum(c.size for c in mine) - sum(c.want for c in mine))


def _grow(cells: list[_Cell], sizes: list[int], room: _Room, active: set[str]) -> list[int]:
    """Return the new sizes after filling up: what is missing in a zone anywhere, an exchange only where allowed."""
    for i, cell in enumerate(cells):
        lack = cell.want - sizes[i]
        if lack <= 0 or (cell.have is not None and cell.have.is_deleting):
            continue
        mine = [j for j, c in enumerate(cells) if c.zone == cell.zone]
        gap = max(0, sum(cells[j].want - sizes[j] for j in mine))
        count = min(lack, room.growth, lack if cell.zone in active else gap)
        sizes[i] += count
        room.total += count
    return sizes


def _fleet_actions(s: Snapshot, cells: list[_Cell], sizes: list[int]) -> list[plan.Action]:
    """Return the writes of the fleet; where an edit may not be put back, no size is kept waiting for that.

    But no box is made of a pod template that somebody edited: it would stay what it is when that is put back (P5).
    """
    shrinks: list[plan.Action] = []
    grows: list[plan.Action] = []
    may_repair = plan.RepairFleet not in s.refused
    for cell, size in zip(cells, sizes, strict=True):
        if cell.have is None:
            if size:
                grows.append(plan.CreateFleet(cell.artifact, cell.zone, size))
        elif not cell.have.is_deleting and (
            (cell.have.drift and (may_repair or size == cell.size)) or (cell.have.makes_others and size > cell.size)
        ):
            shrinks.append(plan.RepairFleet(cell.have.name, cell.have.resource_version, cell.artifact, cell.zone, size))
        elif size != cell.size:
            action = plan.ScaleFleet(cell.have.name, cell.have.resource_version, cell.size, size)
            (shrinks if action.is_shrink else grows).append(action)
    return [*shrinks, *grows]
