"""From the boxes that are there to those that are wanted."""

import dataclasses
from typing import Any

import pytest

from ombak.core import layout, plan
from ombak.core.capacity import limits
from ombak.core.converge import converge, is_done, serving_all
from ombak.core.layout import Want
from ombak.core.memory import Position
from ombak.core.plan import Action, CreateFleet, RepairFleet, ScaleFleet, WriteOneBox
from ombak.core.snapshot import FleetSet, Snapshot
from support.snapshots import changed, fleet, id_of, one_box, snapshot, spec

V1, V2 = id_of("v1"), id_of("v2")


def wants(replicas: int, boxes: int, segment: int = 1) -> tuple[Want, ...]:
    """Version 2 in the one box and so many boxes of the fleet, version 1 in the rest."""
    parts = layout.segments(spec(), replicas)
    return layout.wants(parts, Position(segment, boxes, max(1, parts[segment].size)), V2, V1)


def all_on(version: str, replicas: int) -> tuple[Want, ...]:
    """Every box on one version."""
    return layout.wants_only(layout.segments(spec(), replicas), version)


def sizes(actions: tuple[Action, ...]) -> list[int]:
    """The new sizes that actions write, in order."""
    found = []
    for action in actions:
        match action:
            case ScaleFleet(after=size) | CreateFleet(replicas=size) | WriteOneBox(replicas=size):
                found.append(size)
            case RepairFleet(replicas=size):
                found.append(size)
    return found


def steps(
    s: Snapshot, wanted: tuple[Want, ...], replicas: int, *, surge: int | str = 0, forced: bool = False
) -> tuple[Action, ...]:
    """The next actions under the default limits."""
    return converge(s, wanted, limits("33%", "66%", surge, replicas), ("",), forced)


def test_a_settled_wish_needs_nothing() -> None:
    """What is reached is left alone."""
    assert steps(snapshot(), all_on(V1, 10), 10) == ()
    assert is_done(snapshot(), all_on(V1, 10))


def test_a_batch_shrinks_and_grows_in_one_plan() -> None:
    """There is no wait between the two, and the shrink comes first for there is no room otherwise."""
    s = snapshot(one_boxes=(one_box("v2"),))

    found = steps(s, wants(10, 3), 10)

    assert [ScaleFleet, CreateFleet] == [type(a) for a in found]
    assert sizes(found) == [6, 3]


@pytest.mark.parametrize(
    ("ready", "old_size"),
    [
        pytest.param(9, 6, id="all serve: a batch"),
        pytest.param(8, 6, id="one is down already: it and two more"),
        pytest.param(6, 6, id="three are down: these three"),
        pytest.param(4, 6, id="even more are down: only idle ones"),
    ],
)
def test_boxes_that_do_not_serve_are_exchanged_free(ready: int, old_size: int) -> None:
    """What is down counts against the batch, and costs nothing itself."""
    s = snapshot(one_boxes=(one_box("v2"),), fleet=(fleet("v1", 9, ready=ready, available=ready),))

    assert old_size == sizes(steps(s, wants(10, 3), 10))[0]


def test_a_sick_version_does_not_keep_out_its_cure() -> None:
    """With no box serving all approved ones are exchanged at once."""
    s = snapshot(one_boxes=(one_box("v1", ready=0, available=0),), fleet=(fleet("v1", 9, ready=0, available=0),))

    found = steps(s, all_on(V2, 10), 10)

    assert sizes(found) == [1, 0, 9]


def test_counts_of_an_old_generation_do_not_make_boxes_expendable() -> None:
    """A controller that has not seen the latest size may count boxes that it never made."""
    s = snapshot(one_boxes=(one_box("v2"),), fleet=(fleet("v1", 9, ready=6, available=6, is_current=False),))

    assert steps(s, wants(10, 3), 10) == ()


def test_boxes_taken_and_asked_for_again_do_not_serve_yet() -> None:
    """A shrink and a grow in short order: the counts are still those of the boxes that are gone."""
    back = fleet("v1", 4, is_current=False)
    s = snapshot(one_boxes=(one_box("v1"),), fleet=(back, fleet("v2", 5)))

    assert steps(s, all_on(V1, 10), 10) == ()
    assert sizes(steps(changed(s, fleet=(fleet("v1", 4), fleet("v2", 5))), all_on(V1, 10), 10)) == [2, 7]


@pytest.mark.parametrize(
    ("replicas", "surges"),
    [pytest.param(1, True, id="one"), pytest.param(2, True, id="two"), pytest.param(3, False, id="three")],
)
def test_a_one_box_without_budget_surges(replicas: int, surges: bool) -> None:
    """u = 0: the new box comes up before the old one goes, although maxSurge is 0."""
    s = snapshot(fleet=(fleet("v1", replicas - 1),))

    found = steps(s, wants(replicas, 1, segment=0), replicas)

    assert [surges] == [a.surge for a in found if isinstance(a, WriteOneBox)]


@pytest.mark.parametrize(
    ("fields", "surges"),
    [
        pytest.param({"ready": 0, "available": 0}, [False], id="known not to be ready: free"),
        pytest.param({"replicas": 2, "surges": True}, [True], id="surging: the box that serves stays"),
        pytest.param({"is_current": False, "drift": "spec.minReadySeconds"}, [], id="its controller has not looked"),
        pytest.param({"updated": 0}, [], id="in the middle of another exchange"),
    ],
)
def test_a_one_box_is_free_only_if_it_is_known_not_to_serve(fields: dict[str, Any], surges: list[bool]) -> None:
    """Not being sure whether it serves is not the same; that is clear a moment later."""
    s = snapshot(one_boxes=(one_box("v1", **fields),), fleet=(fleet("v1", 1),))

    found = steps(s, wants(2, 1, segment=0), 2)

    assert surges == [a.surge for a in found if isinstance(a, WriteOneBox)]


def test_a_fleet_without_budget_surges_one_box() -> None:
    """Two replicas: grow first, and shrink when the new box serves."""
    s = snapshot(one_boxes=(one_box("v2"),), fleet=(fleet("v1", 1),))
    grown = changed(s, fleet=(fleet("v1", 1), fleet("v2", 1)))

    assert sizes(steps(s, all_on(V2, 2), 2)) == [1]
    assert sizes(steps(grown, all_on(V2, 2), 2)) == [0]


def test_a_surged_box_is_not_paid_for_with_a_second_batch() -> None:
    """What goes beyond the wanted number goes only while no more than a batch is away."""
    s = snapshot(
        one_boxes=(one_box("v2", updated=0),),
        fleet=(fleet("v1", 9), fleet("v2", 3, ready=0, available=0)),
    )

    assert steps(s, all_on(V2, 12), 12, surge=1) == ()


@pytest.mark.parametrize(
    ("replicas", "after"),
    [pytest.param(4, 3, id="a few"), pytest.param(1, 0, id="all but the one box"), pytest.param(0, 0, id="to none")],
)
def test_a_shrink_of_replicas_is_followed_at_once(replicas: int, after: int) -> None:
    """Scaling down waits for nothing."""
    assert after == sizes(steps(snapshot(), all_on(V1, replicas), replicas))[-1]


def test_growth_is_followed_at_once() -> None:
    """Scaling up waits for nothing."""
    assert sizes(steps(snapshot(), all_on(V1, 100), 100)) == [99]


def test_a_forced_exchange_takes_one_box_below_the_floor() -> None:
    """P1 yields to P3 by one box at a time, and only when it is said."""
    down = fleet("v1", 4, ready=0, available=0)
    s = snapshot(one_boxes=(one_box("v1"),), fleet=(fleet("v2", 5), down))

    assert steps(s, all_on(V1, 10), 10) == ()
    assert sizes(steps(s, all_on(V1, 10), 10, forced=True)) == [4, 5]


def test_a_box_of_a_former_zone_goes_when_it_can_be_spared() -> None:
    """A one box where none is wanted is emptied first and deleted then."""
    s = snapshot(one_boxes=(one_box("v1"), one_box("v1", zone="gone")))
    empty = changed(s, one_boxes=(one_box("v1"), one_box("v1", 0, zone="gone")))

    assert sizes(steps(s, all_on(V1, 10), 10)) == [0]
    assert [plan.Delete] == [type(a) for a in steps(empty, all_on(V1, 10), 10)]


@pytest.mark.parametrize(
    ("available", "forced", "changed_zones"),
    [
        pytest.param(0, False, [], id="the new one does not serve yet"),
        pytest.param(1, False, ["a"], id="it serves"),
        pytest.param(0, True, ["a"], id="it never will, and a revert has to end"),
    ],
)
def test_a_one_box_moves_to_another_zone_without_a_gap(available: int, forced: bool, changed_zones: list[str]) -> None:
    """P1: the only box there is goes from zone a to zone b, and is not taken before the other serves."""
    parts = layout.segments(spec(zones=["b", "a"], strategy={"oneBox": {"scope": "Zone"}}), 1)
    boxes = (one_box("v1", zone="a"), one_box("v1", zone="b", ready=available, available=available))
    s = snapshot(fleet=(), one_boxes=boxes)

    found = converge(s, layout.wants_only(parts, V1), limits("33%", "66%", 0, 1), ("b", "a"), forced)

    assert changed_zones == [a.zone for a in found if isinstance(a, WriteOneBox)]


def test_an_edited_replicaset_is_written_whole() -> None:
    """Drift is put back in place, whatever else is to be done."""
    s = snapshot(fleet=(fleet("v1", 9, drift="spec.template"),))

    assert [RepairFleet] == [type(a) for a in steps(s, all_on(V1, 10), 10)]


def test_objects_that_are_being_deleted_are_left_alone() -> None:
    """Nothing is written to what goes away; it is made anew when it is gone."""
    s = snapshot(fleet=(fleet("v1", 9, is_deleting=True),))

    assert steps(s, all_on(V1, 10), 10) == ()


ZONES = ("a", "b", "c")


def zoned(*fleets: FleetSet, one: str = "v1") -> Snapshot:
    """Nine boxes in three zones, the one box in the first."""
    return snapshot(spec(zones=list(ZONES), replicas=9), fleet=fleets, one_boxes=(one_box(one, zone="a"),))


def zone_of(actions: tuple[Action, ...], s: Snapshot) -> set[str]:
    """The zones in which actions change something."""
    names = {f.name: f.zone for f in s.fleet}
    return {names[a.name] if isinstance(a, ScaleFleet) else a.zone for a in actions if hasattr(a, "zone")} | {
        names[a.name] for a in actions if isinstance(a, ScaleFleet)
    }


@pytest.mark.parametrize(
    ("fleets", "zones"),
    [
        pytest.param([("v1", 2, "a"), ("v1", 3, "b"), ("v1", 3, "c")], {"a"}, id="the first that differs"),
        pytest.param([("v2", 2, "a"), ("v1", 3, "b"), ("v1", 3, "c")], {"b"}, id="then the next"),
    ],
)
def test_zones_are_exchanged_one_after_another(fleets: list[tuple[str, int, str]], zones: set[str]) -> None:
    """P6: never two at a time."""
    s = zoned(*(fleet(v, n, zone=z) for v, n, z in fleets), one="v2")
    wanted = layout.wants_only(layout.segments(s.rollout.spec, 9), V2)

    assert zones == zone_of(converge(s, wanted, limits("33%", "66%", 0, 9), ZONES), s)


def test_a_zone_that_is_not_back_keeps_the_others_waiting() -> None:
    """P6: boxes of zone a that were exchanged have to serve before zone b is touched."""
    s = zoned(
        fleet("v2", 2, zone="a", ready=1, available=1), fleet("v1", 3, zone="b"), fleet("v1", 3, zone="c"), one="v2"
    )
    wanted = layout.wants_only(layout.segments(s.rollout.spec, 9), V2)

    assert converge(s, wanted, limits("33%", "66%", 0, 9), ZONES) == ()


def test_a_zone_that_a_crash_left_short_keeps_the_others_waiting() -> None:
    """P6: its boxes were taken, and those that replace them are asked for first."""
    s = zoned(fleet("v2", 1, zone="a"), fleet("v1", 3, zone="b"), fleet("v1", 3, zone="c"), one="v2")
    wanted = layout.wants_only(layout.segments(s.rollout.spec, 9), V2)

    assert zone_of(converge(s, wanted, limits("33%", "66%", 0, 9), ZONES), s) == {"a"}


def test_a_turn_round_begins_in_the_zone_that_is_under_way() -> None:
    """P6: an alarm in the middle of zone b must not open zone a as well."""
    s = zoned(
        fleet("v2", 2, zone="a"),
        fleet("v1", 2, zone="b"),
        fleet("v2", 1, zone="b", ready=0, available=0),
        fleet("v1", 3, zone="c"),
        one="v2",
    )
    wanted = layout.wants_only(layout.segments(s.rollout.spec, 9), V1)

    assert {"b"} == zone_of(converge(s, wanted, limits("33%", "66%", 0, 9), ZONES), s)


def test_zones_that_are_ill_do_not_block_each_other() -> None:
    """Where the old version serves nowhere, its cure comes zone by zone all the same."""
    ill = [dataclasses.replace(fleet("v1", n, zone=z), ready=0, available=0) for n, z in ((2, "a"), (3, "b"), (3, "c"))]
    s = zoned(*ill, one="v2")
    wanted = layout.wants_only(layout.segments(s.rollout.spec, 9), V2)

    assert {"a"} == zone_of(converge(s, wanted, limits("33%", "66%", 0, 9), ZONES), s)


def test_what_may_still_replace_its_box_does_not_count_as_serving() -> None:
    """A one box without surge that is not settled may be away at any moment."""
    s = snapshot(one_boxes=(one_box("v1", updated=0),))

    assert serving_all(s) == 9
