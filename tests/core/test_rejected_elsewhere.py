"""`spec.rejected`: what was taken back in another region goes back here too, at revert speed."""

import dataclasses
from typing import Any

import pytest

from ombak.api.rollout import Phase
from ombak.core import plan
from ombak.core.decide import decide
from ombak.core.snapshot import Snapshot
from ombak.simulation.pure import carried_out, settled
from support.snapshots import (
    ALARM,
    NOW,
    UNKNOWN,
    artifact,
    changed,
    fleet,
    id_of,
    later,
    one_box,
    rollout,
    snapshot,
    spec,
)

V1, V2 = id_of("v1"), id_of("v2")
BOTH = (artifact("v1", 1, order=1), artifact("v2", 2, order=2))
STABLE = snapshot(spec("v2", rejected=[V2]), artifacts=BOTH, one_boxes=(one_box("v2"),), fleet=(fleet("v2", 9),))


def run(s: Snapshot, passes: int = 30) -> tuple[Snapshot, plan.Plan]:
    """Decide, carry out and settle, again and again."""
    for number in range(passes):
        made = decide(s, later(30 * number))
        s = settled(carried_out(s, made, later(30 * number)))
    return s, made


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="stable"),
        pytest.param({"revert_alarm": ALARM}, id="alarm"),
        pytest.param({"revert_alarm": UNKNOWN}, id="unknown"),
        pytest.param({"rollout": rollout(spec("v2", rejected=[V2], paused=True))}, id="paused"),
        pytest.param({"rollout": rollout(spec("v3", rejected=[V2]))}, id="a newer one is wanted"),
    ],
)
def test_a_stable_version_goes_back_when_it_is_named(fields: dict[str, Any]) -> None:
    """The verdict first, then a third of the boxes at once, waiting for nothing."""
    made = decide(changed(STABLE, **fields), NOW)

    assert isinstance(made.actions[0], plan.RecordRejected)
    assert (made.actions[0].artifact, made.phase, made.stable) == (V2, Phase.REVERTING, V1)
    assert [n.reason for n in made.notes] == ["RejectedElsewhere"]


def test_it_ends_on_the_last_good_version_and_the_spec_is_not_touched() -> None:
    """Every box is back; the verdict is recorded once."""
    s, made = run(STABLE)

    assert (made.phase, made.current, made.rejected) == (Phase.REVERTED, V1, V2)
    assert (made.actions, made.notes) == ((), ())
    assert s.rollout.spec == STABLE.rollout.spec
    assert {f.artifact: f.desired for f in s.fleet if f.desired} == {V1: 9}


def test_a_version_on_its_way_goes_back_when_it_is_named() -> None:
    """In the middle of its batches."""
    s = snapshot(spec("v2"), artifacts=(artifact("v1", 1, order=1), artifact("v2", 2)))
    for number in range(4):
        s = settled(carried_out(s, decide(s, later(30 * number)), later(30 * number)))
    assert s.memory.release is not None
    named = changed(s, rollout=dataclasses.replace(s.rollout, spec=spec("v2", rejected=[V2])))

    _, made = run(named)

    assert (made.phase, made.current) == (Phase.REVERTED, V1)


def test_a_version_that_is_named_does_not_start() -> None:
    """Not even one that was never here, and neither as the first one."""
    second = decide(snapshot(spec("v2", rejected=[V2])), NOW)
    first = decide(snapshot(spec("v2", rejected=[V2]), artifacts=(), fleet=(), one_boxes=()), NOW)

    for made in (second, first):
        assert made.phase is Phase.BLOCKED
        assert made.waiting is not None
        assert made.waiting.key == "rejected"
        assert made.actions == ()


def test_a_retry_does_not_help_what_is_still_named() -> None:
    """Who names it decides; otherwise the two would go round for ever."""
    views = (artifact("v1", 1, order=1), artifact("v2", 2, rejected="AlarmFired"))
    s = changed(STABLE, artifacts=views, rollout=rollout(spec("v2", rejected=[V2]), retry=V2))

    assert [type(a) for a in decide(s, NOW).actions if isinstance(a, plan.RecordRetry)] == []
    freed = changed(s, rollout=rollout(spec("v2"), retry=V2))
    assert [type(a) for a in decide(freed, NOW).actions if isinstance(a, plan.RecordRetry)] == [plan.RecordRetry]


def test_a_retry_is_told_at_once() -> None:
    """No status that is written after it tells the old verdict: a hub would take it for a new one."""
    views = (artifact("v1", 1, order=1), artifact("v2", 2, rejected="AlarmFired"))
    made = decide(snapshot(spec("v2"), artifacts=views, rollout=rollout(spec("v2"), retry=V2)), NOW)

    assert made.phase is not Phase.REVERTED
    assert made.rejected == ""
