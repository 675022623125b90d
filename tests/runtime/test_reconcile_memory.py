"""What a process remembers is in the status too, and may be lost, damaged or overtaken there without harm."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ombak.core.memory import load_memory
from ombak.runtime.telling import COUNTS_AFTER
from support.rig import KEY, NAME, Rig, in_phase, template

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize("phase", ["OneBox", "Rolling", "Bake", "Stable", "Reverted", "Blocked"])
async def test_a_status_erased_by_hand_is_told_again(phase: str) -> None:
    """Nothing is redeployed, nothing promoted early: the boxes and the verdicts know."""
    rig = await in_phase(phase)
    boxes = rig.boxes()
    rig.kube.take()
    rig.write_status({})
    await rig.reconcile()
    assert (rig.boxes(), rig.phase) == (boxes, phase)
    assert rig.kube.writes == [f"replace Rollout/status {NAME}"]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda m: [], id="a list"),
        pytest.param(lambda m: {"release": "yes"}, id="another type"),
        pytest.param(lambda m: _zoneless(m), id="times without a zone"),
    ],
)
async def test_a_memory_that_cannot_be_read_counts_as_erased(rig: Rig, damage: Callable[[Any], Any]) -> None:
    """Somebody wrote into it; the release goes on where its boxes are."""
    await rig.at_first_batch()
    rig.write_status({**rig.status, "memory": damage(rig.status["memory"])})
    rig.restart()
    await rig.reconcile()
    assert load_memory(rig.status["memory"]).release is not None
    await rig.go_on()
    assert rig.boxes() == {rig.wanted: 4}


def _zoneless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _zoneless(v) for k, v in value.items()}
    return value.removesuffix("Z") if isinstance(value, str) else value


async def test_a_memory_that_somebody_else_wrote_is_taken_up(rig: Rig) -> None:
    """Another operator, or a restored backup: the status wins over what this process remembers."""
    await rig.at_first_batch()
    theirs = {**rig.status["memory"], "release": {**rig.status["memory"]["release"], "mode": "Fast"}}
    rig.write_status({**rig.status, "memory": theirs})
    await rig.reconcile()
    release = load_memory(rig.status["memory"]).release
    assert release is not None
    assert release.mode == "Fast"


async def test_bake_time_is_counted_across_passes_and_stored_now_and_then() -> None:
    """Every five minutes or so, not at every pass; a new process has lost no more than that."""
    rig = await in_phase("Bake")
    rig.kube.take()
    for _ in range(40):
        rig.clock.advance(14)
        await rig.reconcile()
    release = load_memory(rig.status["memory"]).release
    assert release is not None
    assert timedelta(minutes=5) <= release.step.ledger.accrued <= timedelta(seconds=40 * 14)
    assert len(rig.kube.writes) <= 2 + 40 * 14 // COUNTS_AFTER.total_seconds()
    assert rig.phase == "Bake"


async def test_a_jump_of_the_wall_clock_invents_no_bake() -> None:
    """An hour forward, an hour back: the memory moves along, and only time that passed counts."""
    rig = await in_phase("Bake")
    for jump in (3600, -3600):
        rig.clock.wall += timedelta(seconds=jump)
        for _ in range(3):
            rig.clock.advance(14)
            await rig.reconcile()
    await rig.reconcile()
    assert rig.phase == "Bake"
    release = rig.reconciler._known[KEY].memory.release
    assert release is not None
    assert release.step.ledger.accrued <= timedelta(seconds=6 * 14)


@pytest.mark.parametrize("jump", [3600, -3600], ids=["forward", "back"])
async def test_a_jump_of_the_wall_clock_stops_nothing(jump: int) -> None:
    """It misses no deadline of boxes that are coming up, and a bake goes on at its pace."""
    rig = await in_phase("OneBox")
    rig.clock.wall += timedelta(seconds=jump)
    await rig.reconcile()
    assert rig.phase == "OneBox"
    await rig.go_on("Bake")
    rig.clock.wall += timedelta(seconds=jump)
    await rig.go_on(most=50)


async def test_zones_taken_out_in_the_middle_of_a_release_do_not_stop_it() -> None:
    """The approved share of parts that are no more is told from the boxes."""
    rig = Rig()
    await rig.installed(zones=["a", "b", "c"], replicas=9)
    rig.change(template=template("2.0.0"))
    while (
        load_memory(rig.status["memory"]).release is None or rig.status["memory"]["release"]["position"]["segment"] < 3
    ):
        await rig.reconcile()
        rig.settle()
        rig.clock.advance(15)
    rig.change(zones=None)
    await rig.go_on()
    assert rig.boxes() == {rig.wanted: 9}
