"""A permit to leave the one box: it holds one step, and never a revert, an install or a version known to be good."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from test_properties import snapshots

from ombak.api.rollout import Phase
from ombak.core import advance, layout
from ombak.core.decide import decide
from ombak.core.memory import Ledger, Memory, Mode, Release
from ombak.core.snapshot import Snapshot
from support.snapshots import ALARM, NOW, artifact, changed, id_of, later, one_box, rollout, snapshot, spec, verdict

V1, V2 = id_of("v1"), id_of("v2")
NEEDED: dict[str, Any] = {"strategy": {"oneBox": {"bake": {"for": "1m"}, "needsPermit": True}}}


def baked(permit: str = "", mode: Mode = Mode.FORWARD, needed: dict[str, Any] | None = None, **more: Any) -> Snapshot:
    """The one box of v2 is proven, and the first batch is next."""
    step = dataclasses.replace(
        advance.new_step(1, 1, later(-600)),
        high_water=1,
        arrived_at=later(-500),
        available_since=later(-500),
        ledger=Ledger(timedelta(minutes=1), later(-5), later(-500)),
    )
    made = spec("v2", **(NEEDED if needed is None else needed))
    position = layout.first_position(layout.segments(made, 10))
    fields: dict[str, Any] = {
        "rollout": rollout(made, permit=permit),
        "artifacts": (artifact("v1", 1, order=1), artifact("v2", 2)),
        "one_boxes": (one_box("v2"),),
        "memory": Memory(release=Release(V2, mode, later(-600), position, step)),
        "revert_alarm": verdict(at=later(-1)),
    }
    return snapshot(**fields | more)


@pytest.mark.parametrize(
    ("s", "goes"),
    [
        pytest.param(baked(needed={}), True, id="not needed"),
        pytest.param(baked(), False, id="none"),
        pytest.param(baked(V1), False, id="of another version"),
        pytest.param(baked(V2), True, id="of this version"),
        pytest.param(baked(mode=Mode.FAST), True, id="known to be good"),
    ],
)
def test_the_first_batch_waits_for_the_permit(s: Snapshot, goes: bool) -> None:
    """The one box stays as it is, and is watched."""
    made = decide(s, NOW)

    assert (made.memory.release is not None and made.memory.release.step.number == 2) == goes
    if not goes:
        assert made.waiting is not None
        assert (made.waiting.key, made.phase, made.actions) == ("permit", Phase.ONE_BOX_BAKE, ())
        assert made.is_watched


def test_what_waits_for_its_permit_is_taken_back_and_aborted() -> None:
    """At once, by an alarm, or by whoever says so."""
    fired = decide(baked(revert_alarm=ALARM), NOW)
    s = baked()
    aborted = decide(changed(s, rollout=dataclasses.replace(s.rollout, abort=V2)), NOW)

    assert (fired.phase, aborted.phase) == (Phase.REVERTING, Phase.REVERTING)


def needing(s: Snapshot, permit: str) -> Snapshot:
    """The same world, where a permit is needed."""
    strategy = s.rollout.spec.strategy
    one_boxed = strategy.model_copy(update={"one_box": strategy.one_box.model_copy(update={"needs_permit": True})})
    made = s.rollout.spec.model_copy(update={"strategy": one_boxed})
    return changed(s, rollout=dataclasses.replace(s.rollout, spec=made, permit=permit))


@pytest.mark.breadth
@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(snapshots())
def test_a_permit_only_ever_holds_the_step_out_of_the_one_box(s: Snapshot) -> None:
    """In any world: everything else is decided as if it were there."""
    before = s.memory.release
    free = decide(needing(s, before.artifact if before else ""), NOW)
    held = decide(needing(s, "a1ffffffffff"), NOW)

    if held.waiting is None or held.waiting.key != "permit":
        assert held == free
        return
    assert before is not None
    assert before.mode is Mode.FORWARD
    assert any(note.reason == "StepApproved" for note in free.notes) or (
        free.waiting is not None and free.waiting.key.startswith("blocker")
    )
    assert not any(note.reason == "StepApproved" for note in held.notes)
