"""Boxes that went back while no status could be written are not made again without evidence."""

from __future__ import annotations

import pytest

from ombak.alarms.verdict import State
from ombak.runtime.kube_port import ApiError, Conflict
from support.rig import Rig, baking, template

pytestmark = pytest.mark.usefixtures("quiet")

VERDICT, STATUS = "patch Artifact/status", "replace Rollout/status"
REFUSED = ApiError.of(403, "Forbidden", "not now")


async def test_a_wish_that_is_back_after_an_unwritten_way_back_starts_anew(rig: Rig) -> None:
    """The status still tells of the last step; no box of it is there any more, so it begins with the one box."""
    old = rig.stable
    rig.change(template=template("2.0.0"), strategy=baking())
    await rig.go_on("Bake")
    new = rig.wanted
    rig.kube.fail(STATUS, REFUSED, times=1000)
    rig.change(template=template("1.0.0"))
    await rig.pass_by(12)
    assert rig.boxes() == {old: 4}
    rig.change(template=template("2.0.0"))
    rig.restart()
    assert rig.phase == "Bake"
    await rig.reconcile()
    assert (rig.boxes(), rig.phase) == ({old: 3, new: 1}, "OneBox")
    await rig.go_on()
    assert rig.stable == new


@pytest.mark.parametrize("phase", ["OneBoxBake", "Bake"])
async def test_a_release_whose_boxes_are_there_goes_on_after_a_crash(rig: Rig, phase: str) -> None:
    """Nothing of its step is lost by that, also where an autoscaler takes boxes away."""
    rig.change(template=template("2.0.0"), strategy=baking() | {"oneBox": {"bake": {"for": f"{phase != 'Bake':d}h"}}})
    await rig.go_on(phase)
    rig.change(replicas=3)
    await rig.pass_by(4)
    before = rig.status["memory"]["release"]["step"]
    rig.restart()
    rig.change(replicas=2)
    await rig.reconcile()
    after = rig.status["memory"]["release"]["step"]
    assert (after["number"], after["approvedAt"]) == (before["number"], before["approvedAt"])
    assert rig.recorder.reasons.count("Started") == 1


@pytest.mark.parametrize("error", [REFUSED, Conflict(409, "Conflict", "it changed")], ids=["refused", "a conflict"])
async def test_what_was_undone_stays_so_though_the_first_status_is_not_written(rig: Rig, error: ApiError) -> None:
    """The second look of a process must not believe the old status again."""
    old = rig.stable
    rig.change(template=template("2.0.0"), strategy=baking())
    await rig.go_on("Bake")
    new = rig.wanted
    rig.alarms.state = State.ALARM
    rig.kube.fail(VERDICT, REFUSED, times=1000)
    rig.kube.fail(STATUS, REFUSED, times=1000)
    await rig.pass_by(12)
    assert rig.boxes() == {old: 4}
    rig.restart()
    rig.kube.fail(STATUS, error)
    await rig.pass_by(1)
    assert rig.boxes() == {old: 4}
    await rig.reconcile()
    assert (rig.boxes(), rig.phase) == ({old: 3, new: 1}, "OneBox")


@pytest.mark.parametrize(("down", "up"), [(2, 4), (2, 8), (0, 4)])
async def test_a_scale_up_that_no_operator_saw_is_no_way_back(rig: Rig, down: int, up: int) -> None:
    """An autoscaler writes whenever it likes; the bake goes on with what it has proven."""
    rig.change(template=template("2.0.0"), strategy=baking())
    await rig.go_on("Bake")
    rig.change(replicas=down)
    await rig.pass_by(4)
    before = rig.status["memory"]["release"]["step"]
    rig.restart()
    rig.change(replicas=up)
    await rig.reconcile()
    after = rig.status["memory"]["release"]["step"]
    assert (after["number"], after["approvedAt"]) == (before["number"], before["approvedAt"])
    assert rig.boxes().get(rig.wanted) == up


async def test_what_served_before_a_step_is_known_to_a_process_that_begins_in_its_middle() -> None:
    """No counts were written since its approval, which tells of them itself: its share is not made in one go (P2)."""
    rig = Rig()
    await rig.installed(replicas=10)
    rig.change(template=template("2.0.0"))
    while rig.status["memory"].get("release", {}).get("step", {}).get("number") != 3:
        await rig.pass_by(1)
    new = rig.wanted
    assert rig.boxes()[new] == 7
    rig.alarms.state = State.ALARM
    rig.kube.fail(VERDICT, REFUSED, times=1000)
    rig.kube.fail(STATUS, REFUSED, times=1000)
    while rig.boxes()[new] > 3:
        await rig.pass_by(1, apart=5)
    left = rig.boxes()[new]
    rig.restart()
    await rig.reconcile()
    assert rig.boxes()[new] <= left + 1, "what is left, and the one box before it"
    assert rig.status["memory"]["release"]["step"]["number"] == 1
    await rig.go_on()
    assert rig.stable == new
