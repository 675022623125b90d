"""What was in ALARM before a release went ahead holds it; only what is new takes it back (alarms-and-judge.md B4.5)."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from ombak.alarms.verdict import Contributor, State, Verdict
from ombak.api.rollout import Phase
from ombak.core import baseline
from ombak.core.decide import decide
from ombak.core.memory import Ledger, Memory, Mode, Position, Release, Step, dump_memory, load_memory
from ombak.core.news import is_urgent
from ombak.core.plan import Plan, RecordRejected
from ombak.core.report import report
from ombak.core.snapshot import Snapshot, TemplateCheck
from ombak.simulation import pure
from support.snapshots import (
    NOW,
    OK,
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
    verdict,
)

V1, V2 = id_of("v1"), id_of("v2")


def alarm(*series: str, name: str = "errors", unclear: tuple[str, ...] = ()) -> Verdict:
    """In ALARM because of some series of an alarm."""
    causes = tuple(Contributor(name, one) for one in series)
    return dataclasses.replace(verdict(State.ALARM), causes=causes, unclear=unclear)


def names(*series: str, part: str = "revert", name: str = "errors") -> tuple[str, ...]:
    """The same, as they are remembered."""
    return tuple(sorted(baseline.identity(part, name, one) for one in series))


STEP = Step(
    1, later(-600), 10, 10, later(-500), later(-500), later(-500), ledger=Ledger(proven_until=None, began_at=None)
)
BAKING = snapshot(
    spec("v1"),
    artifacts=(artifact("v1", 1),),
    memory=Memory(release=Release(V1, Mode.INSTALL, later(-600), Position(1, 9, 9), STEP)),
    template_check=TemplateCheck(V1),
)
"""A first version that serves and bakes."""
NOTHING = changed(BAKING, artifacts=(), fleet=(), one_boxes=(), memory=Memory())


def with_baseline(s: Snapshot, *found: str, is_open: bool = False) -> Snapshot:
    """The snapshot, whose release went ahead in spite of these."""
    assert s.memory.release
    release = dataclasses.replace(s.memory.release, baseline=found, baseline_is_open=is_open)
    return changed(s, memory=Memory(release=release))


def kept(made: Plan) -> tuple[str, ...]:
    """The baseline after a decision."""
    assert made.memory.release
    return made.memory.release.baseline


# --- what is noted ---------------------------------------------------------------------------------------


def test_a_first_install_notes_what_is_in_alarm_and_goes_ahead() -> None:
    """Each series by itself, and the same alarm in another part is another one."""
    s = changed(NOTHING, revert_alarm=alarm("{a}", "{b}"), one_box_alarm=alarm("{a}"))

    found = decide(s, NOW)

    assert found.phase is Phase.INSTALLING
    assert set(kept(found)) == {*names("{a}", "{b}"), *names("{a}", part="oneBox")}
    assert found.memory.release
    assert not found.memory.release.baseline_is_open


def test_a_later_release_has_no_baseline() -> None:
    """It does not go ahead in spite of an alarm: it waits for its end."""
    s = snapshot(spec("v2"), template_check=TemplateCheck(V2))

    assert kept(decide(s, NOW)) == ()
    assert decide(changed(s, revert_alarm=alarm("{a}")), NOW).phase is Phase.BLOCKED


@pytest.mark.parametrize(
    ("ready", "expected"),
    [
        pytest.param(0, names("{a}"), id="no box is ready: it cannot be its doing"),
        pytest.param(1, (), id="a box is ready"),
    ],
)
def test_what_was_unknown_at_the_start_is_noted_before_the_first_box(ready: int, expected: tuple[str, ...]) -> None:
    """A fresh Rollout's alarms are evaluated a moment after it went ahead."""
    started = decide(changed(NOTHING, revert_alarm=UNKNOWN), NOW)
    assert started.memory.release
    assert (started.memory.release.baseline, started.memory.release.baseline_is_open) == ((), True)
    boxes = fleet("v1", 9, ready=ready, available=0)
    s = changed(BAKING, memory=started.memory, fleet=(boxes,), one_boxes=(one_box("v1", ready=0, available=0),))

    found = decide(changed(s, revert_alarm=alarm("{a}")), later(15))

    if expected:
        assert kept(found) == expected
    else:
        assert [type(a) for a in found.actions][:1] == [RecordRejected]


def test_what_was_known_at_the_start_is_not_noted_later() -> None:
    """It was OK when the release went ahead, so it is new."""
    started = decide(NOTHING, NOW)
    away = {"fleet": (fleet("v1", 9, ready=0, available=0),), "one_boxes": (one_box("v1", ready=0, available=0),)}

    found = decide(changed(BAKING, memory=started.memory, **away, revert_alarm=alarm("{a}")), later(15))

    assert found.phase is Phase.FAILED


def test_only_so_many_are_kept_and_the_others_take_it_back() -> None:
    """The safe side: what nobody vouched for is no part of what was there before."""
    series = [f"{{pod={n}}}" for n in range(baseline.MOST + 1)]
    started = decide(changed(NOTHING, revert_alarm=alarm(*series)), NOW)
    assert len(kept(started)) == baseline.MOST
    assert len(str(dump_memory(started.memory)["release"])) < 4000

    s = with_baseline(BAKING, *kept(started))
    found = decide(changed(s, revert_alarm=alarm(*series)), later(15))

    assert found.phase is Phase.FAILED
    assert f"in ALARM beside the {baseline.MOST} that are known from before" in found.message


# --- what it means ---------------------------------------------------------------------------------------


def test_what_was_there_before_holds_and_says_how_to_go_on() -> None:
    """No bake accrues, nothing fails; the alarm, since when, and the abort are named."""
    s = with_baseline(BAKING, *names("{a}"))

    found = decide(changed(s, revert_alarm=alarm("{a}")), NOW)

    assert (found.phase, found.waiting and found.waiting.key) == (Phase.BAKE, "alarm")
    assert found.waiting
    assert "errors breaches" in found.waiting.what
    assert "started at 2026-01-05 11:50:00 UTC" in found.waiting.what
    assert "ombak.dev/abort" in found.waiting.who
    assert found.waiting.command == f"kubectl -n shop annotate omr front-end --overwrite ombak.dev/abort={V1}"
    assert found.waiting.expected is None
    assert found.memory.release
    assert found.memory.release.step.ledger == Ledger()


def test_no_deadline_ends_the_hold() -> None:
    """Days later it is as it was."""
    s = with_baseline(BAKING, *names("{a}"))
    now = NOW
    for _ in range(50):
        now += timedelta(hours=2)
        held = dataclasses.replace(alarm("{a}"), evaluated_at=now)
        made = decide(changed(s, revert_alarm=held, elapsed=timedelta(hours=2)), now)
        s = changed(s, memory=made.memory)
        assert (made.phase, made.actions) == (Phase.BAKE, ())


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        pytest.param({"revert_alarm": alarm("{a}", "{b}")}, "errors {b}: new in ALARM", id="another series"),
        pytest.param({"revert_alarm": alarm("{a}", name="p99")}, "errors breaches", id="another alarm"),
        pytest.param(
            {"revert_alarm": alarm("{a}"), "one_box_alarm": alarm("{a}")}, "errors breaches", id="another part"
        ),
        pytest.param({"revert_alarm": verdict(State.ALARM)}, "errors breaches", id="one that names nothing"),
    ],
)
def test_a_new_contributor_takes_it_back(fields: dict[str, Any], told: str) -> None:
    """Beside the old one, or instead of it."""
    found = decide(changed(with_baseline(BAKING, *names("{a}")), **fields), NOW)

    assert found.phase is Phase.FAILED
    assert told in found.message


def test_after_the_end_of_the_old_alarm_the_bake_goes_on() -> None:
    """Up to stable."""
    s, now = with_baseline(BAKING, *names("{a}")), NOW
    for _ in range(10):
        now += timedelta(seconds=15)
        seen = dataclasses.replace(OK, evaluated_at=now)
        made = decide(changed(s, revert_alarm=seen, elapsed=timedelta(seconds=15)), now)
        if made.phase is Phase.STABLE:
            return
        assert kept(made) == ()
        s = changed(s, memory=made.memory)
    raise AssertionError(made)


# --- it only shrinks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(alarm("{a}", "{b}"), names("{a}", "{b}"), id="both still there"),
        pytest.param(alarm("{a}"), names("{a}"), id="one is OK"),
        pytest.param(OK, (), id="all are OK"),
        pytest.param(UNKNOWN, names("{a}", "{b}"), id="unknown is not OK"),
        pytest.param(alarm("{a}", unclear=("errors",)), names("{a}", "{b}"), id="its alarm is not clear"),
        pytest.param(alarm("{a}", unclear=("p99",)), names("{a}"), id="another one is not clear"),
        pytest.param(None, (), id="not watched any more"),
    ],
)
def test_what_was_ok_once_is_old_no_more(seen: Verdict | None, expected: tuple[str, ...]) -> None:
    """It would be new if it came back."""
    s = with_baseline(BAKING, *names("{a}", "{b}"))

    assert kept(decide(changed(s, revert_alarm=seen), NOW)) == expected


def test_the_one_boxs_silence_does_not_keep_the_services_alarm() -> None:
    """One part that is never known must not stop the other from shrinking."""
    s = changed(with_baseline(BAKING, *names("{a}")), revert_alarm=OK, one_box_alarm=UNKNOWN)

    assert kept(decide(s, NOW)) == ()


def test_a_shrink_is_written_at_once() -> None:
    """Else a crash would bring back as old what was OK once."""
    s = with_baseline(BAKING, *names("{a}", "{b}"))
    before = changed(s, revert_alarm=alarm("{a}", "{b}"))
    old = report(before, decide(before, NOW), {}, NOW)
    after = changed(s, revert_alarm=alarm("{a}"))

    assert is_urgent(old, report(after, decide(after, NOW), old, NOW), timedelta(hours=1))


@pytest.mark.parametrize("odd", ["", "revert", "revert/x", "a/b/c/d", "other/11111111/222222222222"])
def test_an_entry_that_nobody_can_read_is_dropped(odd: str) -> None:
    """Somebody wrote into the memory."""
    s = changed(with_baseline(BAKING, odd), revert_alarm=alarm("{a}"))

    assert decide(s, NOW).phase is Phase.FAILED


def test_an_older_memory_without_the_field_is_read_and_nothing_is_written() -> None:
    """P7: it has no baseline, so an alarm is what it was before; and no field appears."""
    dumped = dump_memory(BAKING.memory)
    assert "baseline" not in str(dumped)
    s = changed(BAKING, memory=load_memory(dumped), elapsed=None)
    old = report(s, decide(s, NOW), {}, NOW)

    again = changed(s, memory=load_memory(old["memory"]))
    new = report(again, decide(again, later(1)), old, later(1))

    assert not is_urgent(old, new, timedelta(hours=1))
    assert "baseline" not in str(new["memory"])


# --- an abort lets a newer version in --------------------------------------------------------------------


def settled(s: Snapshot, made: Plan) -> Snapshot:
    """The world after a plan."""
    return pure.settled(pure.carried_out(s, made, NOW))


def test_a_queued_version_enters_after_an_abort() -> None:
    """Before, it waits; after, it is installed with the old alarm as its own baseline."""
    held = changed(
        with_baseline(BAKING, *names("{a}")),
        rollout=rollout(spec("v2")),
        revert_alarm=alarm("{a}"),
        template_check=TemplateCheck(V2),
    )
    waiting = decide(held, NOW)
    assert (waiting.current, waiting.queued) == (V1, V2)
    assert waiting.waiting
    assert f"{V2} may enter only after an abort of this one (ombak.dev/abort)" in waiting.waiting.who

    aborted = changed(held, rollout=rollout(spec("v2"), abort=V1))
    gone = decide(aborted, NOW)
    assert (gone.phase, gone.rejected, gone.queued) == (Phase.FAILED, V1, V2)
    assert f"The first version {V1} failed (Aborted)" in gone.message
    assert gone.wake_at == NOW

    entered = decide(settled(aborted, gone), NOW)
    assert (entered.phase, entered.current, entered.stable) == (Phase.INSTALLING, V2, "")
    assert kept(entered) == names("{a}")
