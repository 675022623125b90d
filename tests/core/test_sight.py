"""Only time that was seen counts against boxes, forward and on the way back."""

import dataclasses
from datetime import timedelta

import pytest

from ombak.api.rollout import Phase
from ombak.core import sight
from ombak.core.advance import new_step
from ombak.core.decide import decide
from ombak.core.memory import ZERO, Memory, Mode, Position, Release, Reverting, Step
from ombak.core.news import is_stale
from ombak.core.report import report
from ombak.core.snapshot import Snapshot
from ombak.runtime.reconcile import RECHECK_AFTER
from support.snapshots import NOW, POLL, artifact, changed, fleet, id_of, later, one_box, snapshot, spec

V1, V2 = id_of("v1"), id_of("v2")
STEP = Step(number=1, approved_at=later(-700), goal=1, high_water=0, progress_at=later(-700), down_since=later(-700))
AWAY = snapshot(
    spec("v2"),
    artifacts=(artifact("v1", 1, order=1), artifact("v2", 2)),
    one_boxes=(one_box("v2", ready=0, available=0),),
    fleet=(fleet("v1", 9),),
    memory=Memory(release=Release(V2, Mode.FORWARD, later(-700), Position(0, 1, 1), STEP), seen_at=later(-15)),
)


def seen(at: float, **more: object) -> Snapshot:
    """The release, of which the boxes were last looked at then."""
    return changed(AWAY, memory=dataclasses.replace(AWAY.memory, seen_at=later(at)), **more)


@pytest.mark.parametrize(
    ("s", "phase"),
    [
        pytest.param(AWAY, "Reverting", id="seen all the while"),
        pytest.param(seen(-400), "OneBox", id="passes failed for a while"),
        pytest.param(seen(-400, elapsed=None), "OneBox", id="the operator was away"),
        pytest.param(seen(-115, elapsed=None), "OneBox", id="the operator was away for as long as it lacks"),
        pytest.param(seen(-90, elapsed=None), "Reverting", id="the operator was away for less than that"),
        pytest.param(seen(-200, cut_off=timedelta(seconds=180)), "OneBox", id="nobody asked, and none would answer"),
    ],
)
def test_time_that_nobody_saw_is_no_fault_of_the_boxes(s: Snapshot, phase: str) -> None:
    """A deadline of 10 minutes that began 11 minutes and 40 seconds ago."""
    assert decide(s, NOW).phase == phase


def test_what_was_used_of_a_deadline_stays_used() -> None:
    """An outage begins no new one: what comes and goes with the API server cannot move it for ever."""
    s = seen(-400, elapsed=None)
    release = decide(s, NOW).memory.release
    assert release is not None
    assert NOW - release.step.progress_at == timedelta(seconds=300)
    assert release.step.down_since == release.step.progress_at


@pytest.mark.parametrize(("cut_off", "counted"), [(ZERO, 65), (timedelta(seconds=20), 65), (timedelta(seconds=50), 40)])
def test_boxes_that_come_and_go_are_away_only_where_somebody_looked(cut_off: timedelta, counted: int) -> None:
    """One pass counts no more than lies between two looks, and nothing of the time without an answer."""
    s = changed(AWAY, elapsed=timedelta(seconds=90), cut_off=cut_off)
    assert sight.counted(s) == timedelta(seconds=counted)


@pytest.mark.parametrize("poll", [0.25, 2.5, 15, 60])
def test_a_deadline_runs_as_fast_however_often_alarms_are_asked(poll: float) -> None:
    """What is refused is tried every 30 s; a poll of a second must not stretch ten minutes to hours."""
    taken = 0
    refused = changed(AWAY, refusal="a policy says no", poll=timedelta(seconds=poll), elapsed=RECHECK_AFTER)
    release = dataclasses.replace(AWAY.memory.release, step=new_step(1, 1, NOW))  # type: ignore[type-var]
    made = Memory(release=release, seen_at=NOW)
    for taken in range(30, 1200, 30):
        plan = decide(changed(refused, memory=made), later(taken))
        made = plan.memory
        if plan.phase is Phase.REVERTING:
            break
    assert taken in range(600, 661)


def test_the_floor_does_not_yield_to_an_outage() -> None:
    """A way back whose boxes nobody could bring up is not stuck."""
    back = Reverting(V2, V1, later(-700), 10, 99, later(-650))
    memory = Memory(reverting=back, seen_at=later(-500))
    s = changed(AWAY, memory=memory)
    was_seen = changed(s, memory=dataclasses.replace(memory, seen_at=later(-15)))

    assert [decide(x, NOW).memory.reverting.forced for x in (s, was_seen)] == [False, True]  # type: ignore[union-attr]


def test_a_deadline_that_runs_is_stored_now_and_then() -> None:
    """A new process must not take what the one before it saw for unseen; nothing else is written for that."""
    first = decide(AWAY, later(-60))
    status = report(AWAY, first, {}, later(-60))
    for seconds, is_news in ((-45, False), (-1, False), (0, True)):
        s = changed(AWAY, memory=first.memory, elapsed=POLL)
        at = later(seconds)
        waiting = decide(
            dataclasses.replace(s, memory=dataclasses.replace(first.memory, seen_at=later(seconds - 15))), at
        )
        assert is_stale(status, report(s, waiting, status, at)) is is_news


def test_where_no_deadline_runs_nothing_is_remembered() -> None:
    """Boxes that serve are not looked at against a clock."""
    s = changed(AWAY, one_boxes=(one_box("v2"),))
    assert decide(s, NOW).memory.seen_at is None
