"""What a release comes to at each look: evidence, bake, deadlines, unknown alarms, and what people say."""

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest

from ombak.core import advance, bake, layout
from ombak.core.evidence import Evidence
from ombak.core.memory import Ledger, Mode, Position, Release, Step
from ombak.core.snapshot import Snapshot
from support.snapshots import (
    ALARM,
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

V2 = id_of("v2")
ONE_BOX_OUT = snapshot(
    spec("v2"),
    artifacts=(artifact("v1", 1, order=1), artifact("v2", 2)),
    one_boxes=(one_box("v2"),),
)
MINUTE = timedelta(minutes=1)


def step(**more: Any) -> Step:
    """A first step whose box has been there for a while, and whose bake is over."""
    fields: dict[str, Any] = {
        "number": 1,
        "approved_at": later(-600),
        "goal": 1,
        "high_water": 1,
        "progress_at": later(-500),
        "arrived_at": later(-500),
        "available_since": later(-500),
        "ledger": Ledger(accrued=MINUTE, proven_until=later(-5), began_at=later(-500)),
    }
    return Step(**fields | more)


def release(**more: Any) -> Release:
    """A release with that step, at the one box."""
    return Release(V2, Mode.FORWARD, later(-600), Position(0, 1, 1), step(**more))


def parts(s: Snapshot) -> tuple[layout.Segment, ...]:
    """The parts of the snapshot's Rollout."""
    return layout.segments(s.rollout.spec, s.rollout.spec.replicas or 0)


def look(s: Snapshot, made: Release, now: datetime = NOW) -> Release:
    """The release after a look."""
    wanted = layout.wants(parts(s), made.position, V2, id_of("v1"))
    return advance.observe(s, made, wanted, parts(s), evidence(s), now)


def evidence(s: Snapshot) -> Evidence:
    """The alarms of a snapshot."""
    return Evidence(tuple(v for v in (s.revert_alarm, s.one_box_alarm) if v))


def judged(s: Snapshot, made: Release, now: datetime = NOW) -> str:
    """What a look leads to, in a word: the reason, or the key of what is waited for."""
    found = advance.judge(s, look(s, made, now), parts(s), evidence(s), now)
    match found:
        case advance.Reject(reason=reason):
            return reason
        case advance.Hold(waiting=waiting):
            return waiting.key
    return "Proceed"


def test_a_step_goes_on_when_all_is_there() -> None:
    """Boxes, evidence since then, and the bake."""
    assert judged(ONE_BOX_OUT, release()) == "Proceed"


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        pytest.param({"revert_alarm": ALARM}, "AlarmFired", id="alarm"),
        pytest.param({"one_box_alarm": ALARM}, "AlarmFired", id="the one box's alarm"),
        pytest.param({"revert_alarm": UNKNOWN}, "alarms", id="unknown is not OK"),
        pytest.param({"revert_alarm": dataclasses.replace(ALARM, certainty=UNKNOWN.certainty)}, "alarms", id="unsure"),
        pytest.param({"one_boxes": (one_box("v2", ready=0, available=0),)}, "boxes", id="the box is away"),
        pytest.param({"rollout": rollout(spec("v2", paused=True))}, "paused", id="paused"),
        pytest.param({"rollout": rollout(spec("v2"), problem="spec.x is no field")}, "spec", id="invalid"),
        pytest.param(
            {"rollout": rollout(spec("v2"), problem="spec.alarms.revert is none"), "revert_alarm": UNKNOWN},
            "spec",
            id="invalid, and so unknown",
        ),
        pytest.param({"rollout": rollout(spec("v2"), abort=V2)}, "Aborted", id="aborted"),
        pytest.param({"rollout": rollout(spec("v2"), abort=id_of("v1"))}, "Proceed", id="another one aborted"),
        pytest.param({"rollout": rollout(spec("v2", replicas=0))}, "replicas", id="no replicas"),
    ],
)
def test_whatever_is_missing_holds_and_whatever_is_bad_rejects(fields: dict[str, Any], outcome: str) -> None:
    """P2: nothing goes on without everything."""
    assert outcome == judged(changed(ONE_BOX_OUT, **fields), release())


@pytest.mark.parametrize(
    "why",
    [
        pytest.param({"rollout": rollout(spec("v2", paused=True))}, id="paused"),
        pytest.param({"rollout": rollout(spec("v2"), problem="spec.x is no field")}, id="invalid"),
        pytest.param({"one_boxes": (one_box("v2", ready=0, available=0),)}, id="boxes away"),
        pytest.param({"one_box_alarm": UNKNOWN}, id="another alarm unknown"),
    ],
)
def test_an_alarm_wins_over_everything(why: dict[str, Any]) -> None:
    """R50, R79: a revert waits for nobody."""
    assert judged(changed(ONE_BOX_OUT, revert_alarm=ALARM, **why), release()) == "AlarmFired"


@pytest.mark.parametrize(
    ("alarm", "outcome"),
    [
        pytest.param(verdict(at=NOW, window=500.0), "Proceed", id="exactly since then"),
        pytest.param(verdict(at=NOW, window=501.0), "evidence", id="a second too early"),
        pytest.param(verdict(at=later(-480)), "evidence", id="evaluated too early"),
        pytest.param(verdict(at=later(1)), "evidence", id="stamped in the future: the clock went back"),
    ],
)
def test_only_data_from_after_the_step_is_evidence(alarm: Any, outcome: str) -> None:
    """The window begins after the step's boxes were available."""
    assert outcome == judged(changed(ONE_BOX_OUT, revert_alarm=alarm), release())


def test_a_restart_begins_evidence_anew() -> None:
    """Nobody knows what happened in between."""
    s = changed(ONE_BOX_OUT, elapsed=None)

    assert look(s, release()).step.available_since == NOW
    assert judged(s, release()) == "evidence"


DEADLINE = timedelta(minutes=10)
AWAY = changed(ONE_BOX_OUT, one_boxes=(one_box("v2", ready=0, available=0),))


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        pytest.param({"progress_at": later(-600)}, "boxes", id="just in time"),
        pytest.param({"progress_at": later(-601)}, "ProgressDeadlineExceeded", id="never came up"),
        pytest.param(
            {"arrived_at": later(-900), "down_since": later(-601), "progress_at": later(-900)},
            "ProgressDeadlineExceeded",
            id="relapsed, and stayed away",
        ),
        pytest.param(
            {"arrived_at": later(-9000), "down_since": later(-5), "progress_at": later(-9000)},
            "boxes",
            id="relapsed just now",
        ),
        pytest.param({"down_for": 3 * DEADLINE - timedelta(seconds=5)}, "boxes", id="flaps, not yet too long"),
        pytest.param({"down_for": 3 * DEADLINE}, "ProgressDeadlineExceeded", id="flaps for too long"),
        pytest.param(
            {"arrived_at": later(-60), "down_for": 2 * DEADLINE},
            "ProgressDeadlineExceeded",
            id="flaps for too long after it was there once",
        ),
    ],
)
def test_a_step_has_a_deadline_that_flapping_cannot_move(fields: dict[str, Any], outcome: str) -> None:
    """Per batch, and absolute."""
    made = release(**({"arrived_at": None, "available_since": None, "down_since": later(-700)} | fields))

    assert outcome == judged(AWAY, made)


def test_a_ready_count_that_flaps_does_not_count_as_progress() -> None:
    """Only a new high counts."""
    s = changed(ONE_BOX_OUT, fleet=(fleet("v1", 6), fleet("v2", 3, ready=1, available=1)))
    made = release(goal=4, high_water=3, progress_at=later(-300), arrived_at=None, available_since=None)

    assert look(s, made).step.progress_at == later(-300)


def test_progress_begins_the_deadline_anew() -> None:
    """One box more came up."""
    s = changed(ONE_BOX_OUT, fleet=(fleet("v1", 6), fleet("v2", 3, ready=2, available=2)))
    made = dataclasses.replace(
        release(
            goal=4, high_water=2, progress_at=later(-300), arrived_at=None, available_since=None, down_for=DEADLINE
        ),
        position=Position(1, 3, 9),
    )

    found = look(s, made).step

    assert (found.high_water, found.progress_at, found.down_for) == (3, NOW, timedelta(seconds=5))


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"rollout": rollout(spec("v2", replicas=0)), "one_boxes": (one_box("v2", 0),)}, id="no replicas"),
        pytest.param({"one_boxes": (one_box("v1"),)}, id="no room to exchange a box"),
    ],
)
def test_no_deadline_runs_while_nothing_is_asked_for(fields: dict[str, Any]) -> None:
    """Boxes that are not asked for are nobody's fault, however long that lasts."""
    s = changed(ONE_BOX_OUT, **fields)
    made = look(s, release(progress_at=later(-9000), arrived_at=None, available_since=None, down_since=later(-9000)))

    asked = changed(AWAY, elapsed=timedelta(seconds=1))

    assert made.step.progress_at == NOW
    assert judged(asked, made, later(1)) == "boxes"


@pytest.mark.parametrize(
    ("then", "since", "outcome"),
    [
        pytest.param("Hold", -3600, "alarms", id="hold, for ever"),
        pytest.param("Revert", -1799, "alarms", id="revert, not yet"),
        pytest.param("Revert", -1800, "AlarmsUnknown", id="revert"),
    ],
)
def test_unknown_alarms_hold_and_then_do_as_told(then: str, since: float, outcome: str) -> None:
    """Never ignored; by default never a reason to revert."""
    alarms = {"revert": "ALARM(x)", "onUnknown": {"holdFor": "30m", "then": then}}
    s = changed(ONE_BOX_OUT, rollout=rollout(spec("v2", alarms=alarms)), revert_alarm=UNKNOWN)
    made = dataclasses.replace(release(), unknown_since=later(since))

    assert outcome == judged(s, made)


def test_a_restart_counts_unknown_time_anew() -> None:
    """The first look of a process knows no alarm yet; that is not the same outage going on."""
    alarms = {"revert": "ALARM(x)", "onUnknown": {"holdFor": "1m", "then": "Revert"}}
    s = changed(ONE_BOX_OUT, rollout=rollout(spec("v2", alarms=alarms)), revert_alarm=UNKNOWN, elapsed=None)

    assert judged(s, dataclasses.replace(release(), unknown_since=later(-3600))) == "alarms"


def test_time_in_which_all_is_well_is_forgiven_slowly() -> None:
    """A tenth of it: a night of drained nodes takes nothing back, and a crash loop does not hide behind its pauses."""
    well, away = ONE_BOX_OUT, AWAY
    made = release(down_for=timedelta(seconds=60))

    assert ONE_BOX_OUT.elapsed == timedelta(seconds=5)
    assert look(well, made).step.down_for == timedelta(seconds=59.5)
    assert look(away, made).step.down_for == timedelta(seconds=65)
    assert look(well, release()).step.down_for == timedelta(0)


def test_what_serves_for_less_time_than_evidence_takes_is_forgiven_nothing() -> None:
    """A box that flaps faster would neither go on nor be late, for ever."""
    made = release(down_for=timedelta(seconds=60), available_since=later(-25))

    assert [v.window for v in evidence(ONE_BOX_OUT).verdicts] == [timedelta(seconds=30)]
    assert look(ONE_BOX_OUT, made).step.down_for == timedelta(seconds=60)
    made = release(down_for=timedelta(seconds=60), available_since=later(-30))
    assert look(ONE_BOX_OUT, made).step.down_for == timedelta(seconds=59.5)


def test_a_step_waits_for_no_more_boxes_than_there_are() -> None:
    """It was approved before somebody scaled down."""
    s = changed(AWAY, rollout=rollout(spec("v2", replicas=4)))
    told = advance.boxes_wait(s, release(goal=9, available_since=None), NOW)

    assert "(0 of 4)" in told.what


def test_unknown_time_counts_only_from_when_the_alarms_were_asked() -> None:
    """A process that has just begun knows no verdict yet, which is no reason to take a release back."""
    alarms = {"revert": "ALARM(x)", "onUnknown": {"holdFor": "1m", "then": "Revert"}}
    made = dataclasses.replace(release(), unknown_since=later(-3600))
    s = changed(ONE_BOX_OUT, rollout=rollout(spec("v2", alarms=alarms)), revert_alarm=UNKNOWN)
    early = changed(s, has_asked=False)

    assert [judged(x, made) for x in (early, s)] == ["alarms", "AlarmsUnknown"]
    assert look(early, made).unknown_since == NOW


def test_a_long_unknown_is_loud() -> None:
    """After holdFor a person should look."""
    s = changed(ONE_BOX_OUT, revert_alarm=UNKNOWN)
    made = dataclasses.replace(release(), unknown_since=later(-1800))

    found = advance.judge(s, look(s, made), parts(s), evidence(s), NOW)

    assert isinstance(found, advance.Hold)
    assert found.is_loud


def test_one_of_many_boxes_may_drain() -> None:
    """R56's fleets always have a node that drains: five per cent of boxes that once served may be away."""
    made = dataclasses.replace(release(goal=40, high_water=40), position=Position(1, 39, 99))
    s = changed(
        ONE_BOX_OUT,
        rollout=rollout(spec("v2", replicas=100)),
        fleet=(fleet("v1", 60), fleet("v2", 39, ready=37, available=37)),
    )

    assert look(s, made).step.available_since is not None
    assert look(changed(s, fleet=(fleet("v1", 60), fleet("v2", 39, available=36))), made).step.available_since is None


LEDGER = Ledger(accrued=timedelta(seconds=10), proven_until=later(-5), began_at=later(-60))


@pytest.mark.parametrize(
    ("fields", "ledger", "accrued"),
    [
        pytest.param({}, LEDGER, 15, id="five good seconds"),
        pytest.param({"elapsed": timedelta(seconds=2)}, LEDGER, 12, id="the monotonic clock says two"),
        pytest.param({"elapsed": timedelta(hours=1)}, LEDGER, 15, id="the wall clock says five"),
        pytest.param(
            {"elapsed": timedelta(hours=1)},
            dataclasses.replace(LEDGER, proven_until=later(-3600)),
            40,
            id="both say an hour: two polls",
        ),
        pytest.param({}, dataclasses.replace(LEDGER, proven_until=later(60)), 10, id="the wall clock went back"),
        pytest.param({"elapsed": None}, LEDGER, 10, id="a new process saw nothing of it"),
        pytest.param({}, dataclasses.replace(LEDGER, proven_until=None), 10, id="it was not good before"),
    ],
)
def test_the_ledger_counts_only_time_that_was_proven(fields: dict[str, Any], ledger: Ledger, accrued: int) -> None:
    """A tick adds at most what wall clock, monotonic clock and two polls agree on."""
    found = bake.tick(ledger, changed(ONE_BOX_OUT, **fields), True, NOW)

    assert found == Ledger(timedelta(seconds=accrued), NOW, later(-60))


def test_time_that_is_not_good_does_not_count() -> None:
    """And the next good look only begins a stretch."""
    found = bake.tick(LEDGER, ONE_BOX_OUT, False, NOW)

    assert found == dataclasses.replace(LEDGER, proven_until=None)


BARE = {"alarms": None, "unwatched": "a trial", "progressDeadline": "20s"}
UNWATCHED = changed(
    ONE_BOX_OUT,
    rollout=rollout(spec("v2", **BARE, strategy={"oneBox": {"bake": {"for": "5s"}}})),
    revert_alarm=None,
    elapsed=timedelta(seconds=1),
)


def test_good_moments_do_not_add_up_to_a_bake_that_nothing_watches() -> None:
    """Up for some seconds, away for as many: it never goes on, and is taken back by its deadline."""
    away = changed(UNWATCHED, one_boxes=(one_box("v2", ready=0, available=0),))
    made, found = release(ledger=Ledger(began_at=later(-5))), []
    for second in range(200):
        seen, now = (UNWATCHED if second // 4 % 2 else away), later(second)
        found.append(judged(seen, made, now))
        if found[-1] == advance.DEADLINE:
            break
        made = look(seen, made, now)

    assert set(found) == {"bake", "boxes", advance.DEADLINE}


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        pytest.param({}, 200, id="ten times as long as it was away"),
        pytest.param({"cut_off": timedelta(seconds=10)}, 300, id="nobody saw it: an outage costs nothing"),
        pytest.param({"elapsed": None}, 300, id="nor does a restart"),
        pytest.param({"revert_alarm": OK}, 300, id="alarms ask for an unbroken stretch themselves"),
    ],
)
def test_a_box_that_was_away_sets_back_a_bake_that_nothing_watches(fields: dict[str, Any], left: int) -> None:
    """By little, as when a node drains in half a day: what is away a tenth of the time only never gets through."""
    s = changed(UNWATCHED, **{"elapsed": timedelta(seconds=10)} | fields)
    made = release(available_since=None, down_since=later(-10), ledger=Ledger(timedelta(seconds=300)))

    assert look(s, made).step.ledger.accrued == timedelta(seconds=left)


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        pytest.param({"revert_alarm": OK}, True, id="all good"),
        pytest.param({"revert_alarm": UNKNOWN}, False, id="unknown"),
        pytest.param({"one_boxes": (one_box("v2", ready=0, available=0),)}, False, id="box away"),
        pytest.param({"rollout": rollout(spec("v2"), problem="spec.x is no field")}, False, id="invalid"),
        pytest.param({"rollout": rollout(spec("v2", paused=True))}, True, id="paused: the bake goes on"),
    ],
)
def test_a_bake_accrues_only_while_all_is_good(fields: dict[str, Any], outcome: bool) -> None:
    """P4: no bake time is invented."""
    before = release()

    after = look(changed(ONE_BOX_OUT, **fields), before)

    assert outcome == (after.step.ledger.accrued > before.step.ledger.accrued)


QUOTA = {"for": "1m", "atMost": "10m", "atLeast": [{"name": "calls", "query": "q", "count": 100}]}


@pytest.mark.parametrize(
    ("samples", "then", "began", "outcome"),
    [
        pytest.param({"calls": 100.0}, "Hold", -60, "Proceed", id="met"),
        pytest.param({"calls": 99.0}, "Hold", -60, "samples", id="one short"),
        pytest.param({"calls": float("nan")}, "Hold", -60, "samples", id="not a number"),
        pytest.param({"calls": "timeout"}, "Hold", -60, "samples", id="unreadable"),
        pytest.param({}, "Hold", -60, "samples", id="not asked yet"),
        pytest.param({"calls": 99.0}, "Hold", -600, "samples", id="too late: hold, loudly"),
        pytest.param({"calls": 99.0}, "Revert", -600, "TooFewSamples", id="too late: revert"),
        pytest.param({}, "Revert", -600, "samples", id="too late, but not asked yet: early, after a restart"),
    ],
)
def test_an_idle_hour_proves_nothing(samples: dict[str, float | str], then: str, began: float, outcome: str) -> None:
    """R78: samples must have been seen as well, by atMost."""
    more = {
        "strategy": {"oneBox": {"bake": QUOTA}},
        "alarms": {"revert": "ALARM(x)", "onUnknown": {"then": then}},
    }
    ledger = Ledger(accrued=MINUTE, proven_until=later(-5), began_at=later(began))

    assert outcome == judged(
        changed(ONE_BOX_OUT, rollout=rollout(spec("v2", **more)), samples=samples), release(ledger=ledger)
    )


@pytest.mark.parametrize(("samples", "is_loud"), [({}, False), ({"calls": 99.0}, True)], ids=["not asked yet", "few"])
def test_nobody_is_called_before_samples_were_asked_for(samples: dict[str, float | str], is_loud: bool) -> None:
    """A new process begins past `atMost`: what it has not asked is not too few."""
    ledger = Ledger(accrued=MINUTE, proven_until=later(-5), began_at=later(-600))
    s = changed(ONE_BOX_OUT, rollout=rollout(spec("v2", strategy={"oneBox": {"bake": QUOTA}})), samples=samples)

    found = advance.judge(s, look(s, release(ledger=ledger)), parts(s), evidence(s), NOW)

    assert isinstance(found, advance.Hold)
    assert (found.waiting.key, found.is_loud) == ("samples", is_loud)
