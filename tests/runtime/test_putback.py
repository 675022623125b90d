"""What others did to what we own is told when it is put back, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from ombak.core import naming, plan
from ombak.runtime import putback
from ombak.runtime.drift import MANAGER, scaled_by
from support import snapshots
from support.snapshots import NAME, id_of

VERSION = id_of("v1")
FLEET = naming.fleet(NAME, VERSION)
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

    assert putback.notes(s, actions, frozenset()) == ()
    told = putback.notes(s, actions, frozenset({BOX, FLEET}))
    assert [note.message.partition(";")[0] for note in told] == [
        f"{BOX}: somebody deleted it",
        f"{FLEET}: somebody deleted it",
    ]


def test_a_size_that_somebody_set_is_told_and_our_own_scaling_is_not() -> None:
    """The same action, once for an edit and once for a release."""
    action = plan.ScaleFleet(FLEET, "1", 2, 9)
    for who, count in (("kubectl", 1), ("", 0)):
        s = snapshots.snapshot(fleet=(snapshots.fleet("v1", 2, scaled_by=who),))
        assert len(putback.notes(s, (action,), putback.children(s))) == count


def test_an_edit_is_told_with_its_field() -> None:
    """As the drift says it."""
    edited = snapshots.fleet("v1", 9, drift="spec.template.spec.containers set by kubectl")
    s = snapshots.snapshot(fleet=(edited,))

    told = putback.notes(s, (plan.RepairFleet(FLEET, "1", VERSION, "", 9),), putback.children(s))

    assert [note.is_warning for note in told] == [True]
    assert "spec.template.spec.containers set by kubectl" in told[0].message


def test_a_release_of_the_one_box_is_no_repair() -> None:
    """Its size was set by hand, but what is written now is another version."""
    s = snapshots.snapshot(one_boxes=(snapshots.one_box("v1", 1, scaled_by="kubectl"),))

    assert putback.notes(s, (plan.WriteOneBox("", "a1other00000", 1, surge=False),), putback.children(s)) == ()
