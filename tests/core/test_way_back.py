"""Going back to a version that was stable here while an alarm is on: a person's revert, which nothing holds (R88)."""

import dataclasses
from typing import Any

import pytest

from ombak.api.rollout import Phase
from ombak.core import layout
from ombak.core.decide import decide
from ombak.core.gates.facts import GateFacts
from ombak.core.gates.windows import WindowView
from ombak.core.memory import Memory, Mode
from ombak.core.plan import Plan, RecordRejected, RecordStable, ScaleFleet
from ombak.core.snapshot import Snapshot
from support.snapshots import ALARM, UNKNOWN, artifact, changed, fleet, id_of, later, one_box, rollout, snapshot, spec

V1, V2 = id_of("v1"), id_of("v2")
BURNING = snapshot(
    spec("v1"),
    artifacts=(artifact("v1", 1, order=1), artifact("v2", 2, order=2)),
    one_boxes=(one_box("v2"),),
    fleet=(fleet("v2", 9),),
    revert_alarm=ALARM,
)
"""v2 finished its bake, its alarm fires now, and somebody asks for v1 again."""


def half_way(s: Snapshot, made: Plan) -> Snapshot:
    """The same after a while: half of the boxes are exchanged."""
    return changed(s, one_boxes=(one_box("v1"),), fleet=(fleet("v1", 4), fleet("v2", 5)), memory=made.memory)


def there(s: Snapshot, made: Plan) -> Snapshot:
    """The same when every box runs v1."""
    return changed(s, one_boxes=(one_box("v1"),), fleet=(fleet("v1", 9),), memory=made.memory)


def shrinks(made: Plan, artifact_id: str) -> bool:
    """The plan takes boxes from the fleet of a version."""
    return any(a.is_shrink for a in made.actions if isinstance(a, ScaleFleet) and artifact_id in a.name)


def test_the_way_back_begins_at_once_in_all_boxes() -> None:
    """No step by step: it is allowed everywhere, and limited by the capacity that has to stay alone."""
    made = decide(BURNING, later(0))
    assert made.phase is Phase.ROLLING
    assert made.memory.release is not None
    assert made.memory.release.mode is Mode.BACK
    assert made.memory.release.step.goal == 10
    assert "as a revert does" in made.notes[0].message
    assert "as a revert does" in made.message


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"revert_alarm": ALARM}, id="the alarm goes on"),
        pytest.param({"one_box_alarm": ALARM}, id="the one box's alarm comes on too"),
        pytest.param({"revert_alarm": UNKNOWN}, id="nobody knows any more"),
        pytest.param({"revert_alarm": dataclasses.replace(ALARM, causes=())}, id="for another reason"),
    ],
)
def test_no_alarm_takes_it_back_or_holds_it(fields: dict[str, Any]) -> None:
    """What is on may well be the doing of the version that is left, so it says nothing about this one."""
    going = changed(half_way(BURNING, decide(BURNING, later(0))), **fields)
    made = decide(going, later(60))
    assert not [a for a in made.actions if isinstance(a, RecordRejected)]
    assert shrinks(made, V2)
    ended = decide(changed(there(going, made), **fields), later(120))
    assert [a for a in ended.actions if isinstance(a, RecordStable)] == [RecordStable(V1, 3)]
    assert ended.phase is Phase.STABLE


def test_no_gate_holds_it() -> None:
    """A Window that is closed stops starts; a way back is none."""
    closed = GateFacts(windows=(WindowView("office-hours", None, "there is none"),))
    assert decide(changed(BURNING, gates=closed), later(0)).phase is Phase.ROLLING
    calm = changed(BURNING, gates=closed, revert_alarm=None)
    assert decide(calm, later(0)).phase is Phase.BLOCKED


def test_a_person_may_still_pause_it() -> None:
    """Who asks for v1 and for a pause in one spec gets both."""
    paused = changed(BURNING, rollout=rollout(spec("v1", paused=True)))
    made = decide(paused, later(0))
    assert made.phase is Phase.BLOCKED
    assert made.waiting is not None
    assert made.waiting.key == "paused"


def test_an_erased_status_does_not_take_it_back() -> None:
    """Without memory it is still a version that was good here, with an alarm on that was there before."""
    going = changed(half_way(BURNING, decide(BURNING, later(0))), memory=Memory())
    made = decide(going, later(60))
    assert not [a for a in made.actions if isinstance(a, RecordRejected)]
    assert made.memory.release is not None
    assert made.memory.release.mode is Mode.BACK
    assert made.memory.release.position == layout.last_position(layout.segments(going.rollout.spec, 10))


def test_boxes_of_it_that_never_serve_take_it_back_all_the_same() -> None:
    """Then what was left is all that serves."""
    began = decide(BURNING, later(0))
    broken = (fleet("v1", 4, ready=0, available=0), fleet("v2", 5))
    stuck = changed(BURNING, one_boxes=(one_box("v1", ready=0, available=0),), fleet=broken, memory=began.memory)
    made = began
    for seconds in range(15, 700, 15):  # only time that was seen counts against boxes
        made = decide(changed(stuck, memory=made.memory), later(seconds))
        rejected = [a for a in made.actions if isinstance(a, RecordRejected)]
        if rejected:
            break
    assert [(a.artifact, a.reason) for a in rejected] == [(V1, "ProgressDeadlineExceeded")]
    assert made.phase is Phase.REVERTING


def test_without_an_alarm_a_known_good_version_goes_step_by_step() -> None:
    """The ordinary way: no bakes, but every step under alarms."""
    made = decide(changed(BURNING, revert_alarm=dataclasses.replace(ALARM, state=UNKNOWN.state)), later(0))
    assert made.phase is Phase.BLOCKED
    calm = snapshot(spec("v1"), artifacts=BURNING.artifacts, one_boxes=BURNING.one_boxes, fleet=BURNING.fleet)
    made = decide(calm, later(0))
    assert made.memory.release is not None
    assert made.memory.release.mode is Mode.FAST
    assert made.memory.release.step.goal == 1


def test_where_known_good_versions_go_the_whole_way_an_alarm_holds_them() -> None:
    """`knownGood: Full` asks for that; the wait tells how what runs is taken back all the same."""
    full = spec("v1", strategy={"knownGood": "Full"})
    made = decide(changed(BURNING, rollout=rollout(full)), later(0))
    assert made.phase is Phase.BLOCKED
    assert made.waiting is not None
    assert f"spec.rejected: [{V2}] takes it back to {V1} at once" in made.waiting.who


def test_a_fix_waits_and_is_told_how_what_runs_is_taken_back() -> None:
    """A version that was never stable here must prove itself, which nothing can under an alarm that is on."""
    made = decide(changed(BURNING, rollout=rollout(spec("v3"))), later(0))
    assert made.waiting is not None
    assert made.waiting.key in ("alarm", "template")
