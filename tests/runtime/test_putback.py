"""What others did to what we own is told when it is put back, and nothing else is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ombak.core import naming, plan
from ombak.runtime.drift import MANAGER, scaled_by
from ombak.runtime.putback import AT_ONCE, FORGOTTEN_AFTER, LONGEST_REST, PutBacks, children, name_of
from support import snapshots
from support.fake_metrics import FakeClock
from support.snapshots import NAME, id_of

VERSION = id_of("v1")
FLEET = naming.fleet(NAME, VERSION)
KEY = ("shop", NAME)
BOX = naming.one_box(NAME)


def _managed(*entries: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"metadata": {"managedFields": [{"manager": who, "fieldsV1": {"f:spec": what}} for who, what in entries]}}


@pytest.mark.parametrize(
    ("obj", "who"),
    [
        ({}, ""),
        (_managed((MANAGER, {"f:replicas": {}, "f:selector": {}})), ""),
        (_managed((MANAGER, {"f:selector": {}}), ("kubectl", {"f:replicas": {}})), "kubectl"),
        (_managed((MANAGER, {"f:selector": {}})), "somebody"),
    ],
    ids=["no-record", "ours", "theirs", "to-zero"],
)
def test_who_set_a_size_is_read_from_the_managed_fields(obj: dict[str, Any], who: str) -> None:
    """A size of 0 through `/scale` leaves no record of anybody."""
    assert scaled_by(obj) == who


def test_a_lost_object_is_told_and_a_new_one_is_not() -> None:
    """Created because it is not there: only what there was before was deleted by somebody."""
    s = snapshots.snapshot(fleet=(), one_boxes=())
    actions = (plan.WriteOneBox("", VERSION, 1, surge=False), plan.CreateFleet(VERSION, "", 9))

    assert PutBacks(FakeClock()).notes(KEY, s, actions, frozenset()) == ()
    told = PutBacks(FakeClock()).notes(KEY, s, actions, frozenset({BOX, FLEET}))
    assert [note.message.partition(";")[0] for note in told] == [
        f"{BOX}: somebody deleted it, or took its labels off",
        f"{FLEET}: somebody deleted it, or took its labels off",
    ]


def test_a_size_that_somebody_set_is_told_and_our_own_scaling_is_not() -> None:
    """The same action, once for an edit and once for a release."""
    action = plan.ScaleFleet(FLEET, "1", 2, 9)
    for who, count in (("kubectl", 1), ("", 0)):
        s = snapshots.snapshot(fleet=(snapshots.fleet("v1", 2, scaled_by=who),))
        assert len(PutBacks(FakeClock()).notes(KEY, s, (action,), children(s))) == count


def test_an_autoscaler_on_what_is_ours_is_told_seldom_and_what_to_scale_instead() -> None:
    """It sets its size every few seconds for ever: each is put back, but a day of it is no thousand Events."""
    clock = FakeClock()
    putbacks = PutBacks(clock)
    s = snapshots.snapshot(fleet=(snapshots.fleet("v1", 2, scaled_by="kube-controller-manager"),))
    told = []
    for _ in range(4 * 60):
        told += putbacks.notes(KEY, s, (plan.ScaleFleet(FLEET, "1", 2, 9),), children(s))
        putbacks.done(KEY, [FLEET])
        clock.advance(15)

    assert AT_ONCE < len(told) <= AT_ONCE + 12
    assert told[0].message.endswith(f"it is put back, since Ombak owns it; scale Rollout {NAME} instead.")
    clock.advance(FORGOTTEN_AFTER.total_seconds() + 1)
    assert putbacks.notes(KEY, s, (plan.ScaleFleet(FLEET, "1", 2, 9),), children(s))


def test_an_edit_is_told_with_its_field() -> None:
    """As the drift says it."""
    edited = snapshots.fleet("v1", 9, drift="spec.template.spec.containers set by kubectl")
    s = snapshots.snapshot(fleet=(edited,))

    told = PutBacks(FakeClock()).notes(KEY, s, (plan.RepairFleet(FLEET, "1", VERSION, "", 9),), children(s))

    assert [note.is_warning for note in told] == [True]
    assert "spec.template.spec.containers set by kubectl" in told[0].message


def test_a_release_of_the_one_box_is_no_repair() -> None:
    """Its size was set by hand, but what is written now is another version."""
    s = snapshots.snapshot(one_boxes=(snapshots.one_box("v1", 1, scaled_by="kubectl"),))

    assert (
        PutBacks(FakeClock()).notes(KEY, s, (plan.WriteOneBox("", "a1other00000", 1, surge=False),), children(s)) == ()
    )


def _edited(why: str = "spec.x set by kubectl") -> tuple[snapshots.Snapshot, tuple[plan.Action, ...]]:
    s = snapshots.snapshot(fleet=(snapshots.fleet("v1", 9, drift=why),))
    return s, (plan.RepairFleet(FLEET, "1", VERSION, "", 9),)


def test_one_edit_is_told_once_however_often_it_is_tried() -> None:
    """A conflict, or a quota that forbids the repair, is no other edit; what comes after the repair is."""
    putbacks = PutBacks(FakeClock())
    s, actions = _edited()
    counts = [len(putbacks.notes(KEY, s, actions, children(s))) for _ in range(5)]
    assert counts == [1, 0, 0, 0, 0]
    other, _ = _edited("spec.y set by kubectl")
    assert len(putbacks.notes(KEY, other, actions, children(s))) == 1
    putbacks.done(KEY, [name_of(s, action) for action in actions])
    assert len(putbacks.notes(KEY, other, actions, children(s))) == 1


def test_who_edits_again_and_again_is_answered_more_and_more_seldom() -> None:
    """The first ones at once; then with pauses up to a limit, which the Event says; a long peace ends it."""
    clock = FakeClock()
    putbacks = PutBacks(clock)
    s, actions = _edited()
    rests, told = [], []
    for _ in range(12):
        told += putbacks.notes(KEY, s, actions, children(s))
        assert putbacks.resting(KEY) == {}, "what is not put back yet must be"
        putbacks.done(KEY, [FLEET])
        rest = putbacks.resting(KEY).get(FLEET, timedelta(0))
        rests.append(rest)
        clock.advance(rest.total_seconds())
        assert putbacks.resting(KEY) == {}
    assert rests[: AT_ONCE - 1] == [timedelta(0)] * (AT_ONCE - 1)
    assert rests == sorted(rests)
    assert rests[-1] == LONGEST_REST
    assert ["keeps changing" in note.message for note in told] == [rest > timedelta(0) for rest in rests]
    clock.advance(FORGOTTEN_AFTER.total_seconds() + 1)
    putbacks.notes(KEY, s, actions, children(s))
    putbacks.done(KEY, [FLEET])
    assert putbacks.resting(KEY) == {}
    putbacks.forget(KEY)
    assert len(putbacks.notes(KEY, s, actions, children(s))) == 1
