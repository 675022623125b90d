"""Artifacts deleted by somebody, and the verdicts with them: what runs stays as it is, nothing is promoted for it."""

import dataclasses

import pytest

from ombak.api.rollout import Phase, RolloutSpec
from ombak.core import plan
from ombak.core.advance import new_step
from ombak.core.decide import decide
from ombak.core.memory import Memory, Mode, Position, Release
from ombak.core.plan import Action
from ombak.core.snapshot import Snapshot
from support.snapshots import NOW, artifact, changed, fleet, id_of, one_box, snapshot, spec

MOVES = (plan.WriteOneBox, plan.CreateFleet, plan.ScaleFleet, plan.RepairFleet, plan.Delete)
HALFWAY = Memory(release=Release(id_of("v2"), Mode.FORWARD, NOW, Position(1, 3, 9), new_step(2, 4, NOW)))
MIXED = changed(
    snapshot(spec("v2", alarms=None, unwatched="a test")),
    artifacts=(),
    one_boxes=(one_box("v2"),),
    fleet=(fleet("v1", 6), fleet("v2", 3)),
    revert_alarm=None,
)
BACK = changed(MIXED, one_boxes=(one_box("v1"),), fleet=(fleet("v1", 9),))


def moves(s: Snapshot) -> list[Action]:
    """What a decision does to boxes."""
    return [action for action in decide(s, NOW).actions if isinstance(action, MOVES)]


@pytest.mark.parametrize(
    "s",
    [
        pytest.param(changed(MIXED, memory=HALFWAY), id="in the middle of a release"),
        pytest.param(MIXED, id="in the middle, and the status erased too"),
        pytest.param(changed(MIXED, artifacts=(artifact("v2", 2),), memory=HALFWAY), id="only the good one is lost"),
        pytest.param(BACK, id="after a way back: the wanted version was rejected, which nobody knows any more"),
    ],
)
def test_nothing_moves_while_records_of_what_runs_are_lost(s: Snapshot) -> None:
    """P2: the lost version may be the only good one, and what is wanted may be what was taken back."""
    made = decide(s, NOW)

    assert moves(s) == []
    assert made.phase is Phase.BLOCKED
    assert made.waiting is not None
    assert made.waiting.key == "records"
    assert id_of("v1") in made.waiting.what


def test_what_runs_as_wanted_is_taken_up_without_a_move() -> None:
    """All records of a settled Rollout are lost: its version is recorded anew and baked, and no box is touched."""
    s = changed(snapshot(spec(alarms=None, unwatched="a test")), artifacts=(artifact("v1", 1),), revert_alarm=None)

    assert moves(s) == []
    assert decide(s, NOW).phase is not Phase.BLOCKED


@pytest.mark.parametrize(
    ("s", "expected"),
    [
        pytest.param(BACK, 11, id="one version runs"),
        pytest.param(changed(MIXED, memory=HALFWAY), None, id="two run, and nobody knows which is good"),
        pytest.param(changed(BACK, one_boxes=()), None, id="its one box is gone, and its content with the record"),
    ],
)
def test_what_runs_alone_is_scaled_all_the_same(s: Snapshot, expected: int | None) -> None:
    """An autoscaler does not wait for the person who has to say what is good."""
    s = dataclasses.replace(s, rollout=dataclasses.replace(s.rollout, spec=replicated(s, 12)))

    assert [a.after for a in moves(s) if isinstance(a, plan.ScaleFleet)] == ([] if expected is None else [expected])
    assert len(moves(s)) == (expected is not None)


def replicated(s: Snapshot, replicas: int) -> RolloutSpec:
    """The same spec with another size."""
    return s.rollout.spec.model_copy(update={"replicas": replicas})
