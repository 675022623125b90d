"""Of news of a batch that is not complete nothing follows, so it may wait; what may have to be acted upon may not."""

from __future__ import annotations

import pytest

from ombak.alarms.verdict import State
from ombak.runtime import kinds
from support.rig import KEY, NAME, NAMESPACE, Rig, baking, follow, in_phase, template

pytestmark = pytest.mark.usefixtures("quiet")


async def _at_second_batch() -> Rig:
    """A second box in the fleet is asked for, and its controller has not begun."""
    rig = Rig()
    await rig.installed()
    await rig.at_first_batch()
    await rig.pass_by(1)
    await rig.reconcile()
    return rig


async def test_a_batch_is_awaited_until_it_is_complete() -> None:
    """From the moment its boxes are asked for until all of them, and only they, are available."""
    rig = await _at_second_batch()
    assert rig.reconciler.awaits_more(KEY)
    rig.settle(ready=False)
    assert rig.reconciler.awaits_more(KEY)
    rig.settle()
    assert not rig.reconciler.awaits_more(KEY)


async def test_boxes_that_are_still_going_make_it_incomplete() -> None:
    """The new ones serve, and one of the old is not gone yet: it takes the place of the next one."""
    rig = await _at_second_batch()
    rig.settle()
    name = f"{NAME}-{rig.stable}"
    old = rig.server.get(kinds.REPLICA_SETS, NAMESPACE, name)
    follow(rig.server, kinds.REPLICA_SETS, {**old, "spec": {**old["spec"], "replicas": old["spec"]["replicas"] + 1}})
    assert rig.reconciler.awaits_more(KEY)


async def test_a_loss_in_a_bake_is_no_part_of_a_batch() -> None:
    """All of them served once: fewer is news that may end the release."""
    rig = await in_phase("Bake")
    rig.settle(ready=False)
    assert not rig.reconciler.awaits_more(KEY)


async def test_on_a_way_back_every_box_counts() -> None:
    """Nothing that may bring one back sooner waits."""
    rig = await in_phase("Reverting")
    assert not rig.reconciler.awaits_more(KEY)


async def test_while_boxes_are_exchanged_one_for_another_each_counts() -> None:
    """A part of the step is not asked for yet, for want of room: each box that serves makes some."""
    rig = await _at_second_batch()
    rig.edit(kinds.REPLICA_SETS, f"{NAME}-{rig.wanted}", {"spec": {"replicas": 1}}, by="ombak")
    assert not rig.reconciler.awaits_more(KEY)


async def test_a_known_version_goes_back_in_without_gathering() -> None:
    """An alarm is on, and a person asked for the version before: as a way back."""
    rig = await in_phase("Stable")
    first = template("1.0.0")
    rig.change(template=template("2.0.0"), strategy=baking("0s"))
    await rig.go_on()
    rig.alarms.state = State.ALARM
    rig.change(template=first)
    await rig.reconcile()
    assert rig.status["memory"]["release"]["mode"] == "Back"
    assert not rig.reconciler.awaits_more(KEY)


@pytest.mark.parametrize("what", ["scaled", "edited", "deleted"])
async def test_what_others_do_to_a_set_waits_for_no_batch(what: str) -> None:
    """It is put back at once, whatever comes up beside it."""
    rig = await _at_second_batch()
    old = f"{NAME}-{rig.stable}"
    if what == "deleted":
        rig.server.delete("kubectl", kinds.REPLICA_SETS, NAMESPACE, old)
    else:
        edit = {"replicas": 0} if what == "scaled" else {"minReadySeconds": 77}
        rig.edit(kinds.REPLICA_SETS, old, {"spec": edit})
    assert not rig.reconciler.awaits_more(KEY)


@pytest.mark.parametrize("phase", ["Stable", "Reverted", "Failed", "Invalid"])
async def test_without_a_release_nothing_is_awaited(phase: str) -> None:
    """Boxes that are lost while nothing is released are told at once."""
    rig = await in_phase(phase)
    rig.settle(ready=False)
    assert not rig.reconciler.awaits_more(KEY)


async def test_nor_for_one_that_nobody_knows() -> None:
    """A Rollout that has had no pass."""
    rig = Rig()
    assert not rig.reconciler.awaits_more(KEY)
