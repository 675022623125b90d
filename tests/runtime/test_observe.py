"""A snapshot holds what is known of one Rollout, and nothing of others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ombak.core import naming
from ombak.core.memory import Memory
from ombak.core.snapshot import ArtifactView, Owned, Snapshot, TemplateCheck
from ombak.runtime import kinds
from ombak.runtime.alarm_book import UNWATCHED
from ombak.runtime.observe import Extras, observe
from support.rig import KEY, NAME, NAMESPACE, Rig


def _observed(rig: Rig, **extras: Any) -> Snapshot:
    stored = rig.stores.rollouts.get(KEY)
    assert stored is not None
    return observe(rig.stores, KEY, stored.value, Extras(Memory(), None, UNWATCHED, **extras))


async def test_everything_of_the_rollout_is_there() -> None:
    """Its versions, its fleet and its one box, with their sizes."""
    rig = Rig()
    stable = await rig.installed()
    s = _observed(rig)
    [version], [fleet], [box] = s.artifacts, s.fleet, s.one_boxes
    assert (version.id, version.stable_order, version.is_genuine) == (stable, 1, True)
    assert (fleet.artifact, fleet.desired, fleet.available, fleet.is_current) == (stable, 3, 3, True)
    assert (box.artifact, box.desired, box.updated, box.is_settled) == (stable, 1, 1, True)
    assert all(o.is_ours and o.has_owner and not o.drift for o in (fleet, box))
    assert (s.rollout.artifact, s.rollout.has_finalizer) == (stable, True)


async def test_what_comes_from_elsewhere_is_handed_on() -> None:
    """The alarms, the dry run, the clock, and what the pods say."""
    rig = Rig()
    await rig.installed()
    check = TemplateCheck("a1", "no such image")
    s = _observed(rig, template_check=check, boxes_trouble={"a1": "1 x ErrImagePull"})
    assert (s.template_check, s.trouble_of("a1"), s.elapsed) == (check, "1 x ErrImagePull", None)
    assert (s.revert_alarm, s.poll) == (None, timedelta(seconds=15))


@pytest.mark.parametrize(
    ("owners", "is_ours", "has_owner"),
    [
        pytest.param([{"uid": "someone", "controller": True}], False, True, id="another owner"),
        pytest.param(None, True, False, id="no owner"),
    ],
)
async def test_an_owner_tells_whose_an_object_is(owners: Any, is_ours: bool, has_owner: bool) -> None:
    """What was left behind by a deleted Rollout is ours to adopt; what belongs to others is not."""
    rig = Rig()
    stable = await rig.installed()
    for kind, name in (
        (kinds.REPLICA_SETS, naming.fleet(NAME, stable)),
        (kinds.DEPLOYMENTS, naming.one_box(NAME)),
        (kinds.ARTIFACTS, naming.artifact(NAME, stable)),
    ):
        rig.edit(kind, name, {"metadata": {"ownerReferences": owners}})
    s = _observed(rig)
    children: list[Owned | ArtifactView] = [*s.fleet, *s.one_boxes, *s.artifacts]
    found = [(o.is_ours, o.has_owner) for o in children]
    assert found == [(is_ours, has_owner)] * 3


async def test_objects_of_another_rollout_are_not_seen() -> None:
    """They are found by the label that names their Rollout, also where one name begins like another."""
    rig = Rig()
    stable = await rig.installed()
    rig.edit(
        kinds.REPLICA_SETS, naming.fleet(NAME, stable), {"metadata": {"labels": {naming.ROLLOUT: f"{NAME}-admin"}}}
    )
    assert _observed(rig).fleet == ()


EDIT = {"spec": {"minReadySeconds": 7}}


async def test_an_edit_is_told_with_who_made_it() -> None:
    """Of the fleet and of the one box alike."""
    rig = Rig()
    stable = await rig.installed()
    rig.edit(kinds.REPLICA_SETS, naming.fleet(NAME, stable), EDIT)
    rig.edit(kinds.DEPLOYMENTS, naming.one_box(NAME), EDIT)
    s = _observed(rig)
    assert [o.drift for o in (*s.fleet, *s.one_boxes)] == ["spec.minReadySeconds set by kubectl-edit"] * 2


async def test_an_edit_of_an_unknown_version_is_not_told() -> None:
    """Nothing could be put back."""
    rig = Rig()
    stable = await rig.installed()
    rig.edit(kinds.REPLICA_SETS, naming.fleet(NAME, stable), EDIT)
    rig.server.delete("kubectl", kinds.ARTIFACTS, NAMESPACE, naming.artifact(NAME, stable))
    [fleet] = _observed(rig).fleet
    assert fleet.drift == ""


async def test_what_still_differs_after_a_repair_is_no_edit() -> None:
    """Else the operator would fight the API server for ever; a later edit is one all the same."""
    rig = Rig()
    stable = await rig.installed()
    name = naming.fleet(NAME, stable)
    rig.edit(kinds.REPLICA_SETS, name, EDIT)
    stored = rig.stores.replica_sets.get((NAMESPACE, name))
    assert stored is not None
    repaired = {name: stored.value.edits}
    [fleet] = _observed(rig, repaired=repaired).fleet
    assert fleet.drift == ""
    rig.edit(kinds.REPLICA_SETS, name, {"spec": {"minReadySeconds": 8}})
    [fleet] = _observed(rig, repaired=repaired).fleet
    assert fleet.drift
