"""The way back: bounded, whatever the boxes do; and what is left when it has ended."""

import dataclasses
from typing import Any

import pytest

from ombak.api.rollout import Phase
from ombak.core import back
from ombak.core.decide import decide
from ombak.core.memory import Memory, Reverting
from ombak.core.plan import ClearCommand, RecordRejected, RecordRetry, ScaleFleet, WriteOneBox
from ombak.core.snapshot import Snapshot
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
REJECTED = (artifact("v1", 1, order=1), artifact("v2", 2, rejected="AlarmFired"))


def reverting(**more: Any) -> Memory:
    """A way back from v2 to v1."""
    fields: dict[str, Any] = {
        "source": V2,
        "target": V1,
        "began_at": later(-60),
        "replicas": 10,
        "high_water": 0,
        "progress_at": later(-60),
    }
    return Memory(reverting=Reverting(**fields | more))


HALF = snapshot(
    spec("v2"),
    memory=reverting(),
    artifacts=REJECTED,
    one_boxes=(one_box("v1"),),
    fleet=(fleet("v1", 4), fleet("v2", 5)),
)


STRANGER = dataclasses.replace(fleet("v9", 3), name="copied", is_ours=False, owner="Deployment/copied")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="nothing in the way"),
        pytest.param({"revert_alarm": ALARM}, id="the alarm still fires"),
        pytest.param({"revert_alarm": UNKNOWN}, id="Prometheus is down"),
        pytest.param({"rollout": rollout(spec("v2", paused=True))}, id="paused"),
        pytest.param({"rollout": rollout(spec("v2"), problem="spec.x is no field")}, id="invalid"),
        pytest.param({"rollout": rollout(spec("v3"))}, id="a newer version is wanted"),
        pytest.param({"memory": Memory()}, id="status erased"),
        pytest.param({"fleet": (*HALF.fleet, STRANGER)}, id="a stranger's object under our label"),
    ],
)
def test_a_revert_waits_for_nothing(fields: dict[str, Any]) -> None:
    """P3: the next batch goes back in every case."""
    found = decide(changed(HALF, **fields), NOW)

    assert found.phase is Phase.REVERTING
    assert [a.after for a in found.actions if isinstance(a, ScaleFleet)] == [2, 7]


def test_an_alarm_takes_a_release_back_in_spite_of_a_stranger() -> None:
    """An object that somebody else made under our label holds what goes forward, and nothing else."""
    flying = changed(HALF, memory=Memory(), artifacts=(artifact("v1", 1, order=1), artifact("v2", 2)))
    flying = changed(flying, fleet=(*HALF.fleet, STRANGER))

    forward, back_again = decide(flying, NOW), decide(changed(flying, revert_alarm=ALARM), NOW)
    assert (forward.phase, forward.waiting and forward.waiting.key) == (Phase.INVALID, "conflict")
    assert back_again.phase is Phase.REVERTING
    assert any(isinstance(a, RecordRejected) for a in back_again.actions)


def test_the_verdict_is_recorded_before_anything_moves() -> None:
    """A crash in between must not deliver it again."""
    s = changed(HALF, memory=Memory(), artifacts=(artifact("v1", 1, order=1), artifact("v2", 2)), revert_alarm=ALARM)

    found = decide(s, NOW)

    assert isinstance(found.actions[0], RecordRejected)
    assert (found.actions[0].artifact, found.rejected, found.queued) == (V2, V2, "")


STUCK = changed(HALF, fleet=(fleet("v1", 4, ready=0, available=0), fleet("v2", 5)))


@pytest.mark.parametrize(
    ("seconds", "is_forced"), [pytest.param(600, False, id="in time"), pytest.param(601, True, id="too late")]
)
def test_the_floor_yields_after_a_deadline_without_progress(seconds: int, is_forced: bool) -> None:
    """P1 yields to P3 by one box, and says so."""
    s = changed(STUCK, memory=reverting(high_water=99, progress_at=later(-seconds)))

    found = decide(s, NOW)

    assert is_forced == bool(found.memory.reverting and found.memory.reverting.forced)
    assert is_forced == any(n.reason == "FloorYields" for n in found.notes)
    assert ([4, 5] if is_forced else []) == [a.after for a in found.actions if isinstance(a, ScaleFleet)]


@pytest.mark.parametrize(
    ("fields", "seconds", "is_forced"),
    [
        pytest.param({}, 600, False, id="in time"),
        pytest.param({}, 601, True, id="too late"),
        pytest.param({"replicas": 2, "updated": 1, "ready": 1}, 601, True, id="too late, the new one never serves"),
        pytest.param({"is_current": False}, 601, False, id="its controller has not looked"),
        pytest.param({"replicas": 0, "ready": 0, "available": 0}, 601, False, id="the old one is gone"),
    ],
)
def test_a_one_box_that_surges_in_vain_lets_go_of_its_old_box(
    fields: dict[str, Any], seconds: int, is_forced: bool
) -> None:
    """A quota leaves no room for the new box beside the old one, which was taken back and serves on (P3 over P1)."""
    box = one_box("v1", surges=True, **{"updated": 0} | fields)
    alone = {"rollout": rollout(spec("v2", replicas=1)), "one_boxes": (box,), "fleet": ()}
    s = changed(HALF, **alone, memory=reverting(replicas=1, high_water=99, progress_at=later(-seconds)))

    found = decide(s, NOW)

    assert is_forced == bool(found.memory.reverting and found.memory.reverting.forced)
    assert is_forced == any(n.reason == "FloorYields" for n in found.notes)
    assert [(V1, 1, False)] * is_forced == [
        (a.artifact, a.replicas, a.surge) for a in found.actions if isinstance(a, WriteOneBox)
    ]


QUOTA = "exceeded quota: boxes"
LACKING: dict[str, Any] = {"replicas": 0, "updated": 0, "ready": 0, "available": 0, "failure": QUOTA}


@pytest.mark.parametrize(
    ("boxes", "told"),
    [
        pytest.param({"one_boxes": (one_box("v1", **LACKING),)}, True, id="its box cannot be made"),
        pytest.param({"fleet": (fleet("v1", 9, replicas=8, failure=QUOTA),)}, True, id="one of its fleet"),
        pytest.param({"fleet": (fleet("v2", 9, replicas=8, failure=QUOTA),)}, False, id="one of the version that goes"),
        pytest.param({"one_boxes": (one_box("v2", **LACKING),)}, False, id="the box of the version that goes"),
        pytest.param(
            {"one_boxes": (one_box("v1", failure=QUOTA),)}, False, id="its box is there, and its sets say that"
        ),
        pytest.param({"one_boxes": (one_box("v1", is_current=False, **LACKING),)}, False, id="not looked yet"),
        pytest.param({"boxes_trouble": {V2: QUOTA}}, False, id="pods of the version that goes"),
        pytest.param({"boxes_trouble": {V1: QUOTA}}, True, id="its pods"),
    ],
)
def test_only_the_trouble_of_the_version_that_comes_is_told(boxes: dict[str, Any], told: bool) -> None:
    """What keeps boxes of the version that goes is over with it; told of the other one it leads people astray."""
    waiting = decide(changed(HALF, **boxes), NOW).waiting

    assert waiting is not None
    assert told == (QUOTA in waiting.what) == bool(waiting.command)


def test_the_next_one_box_has_a_deadline_of_its_own() -> None:
    """One at a time: that the first one stopped to surge is what has moved."""
    stuck = {"updated": 0, "surges": True}
    boxes = (one_box("v1", zone="a", **stuck), one_box("v1", zone="b", **stuck))
    zoned = rollout(spec("v2", replicas=2, zones=["a", "b"], strategy={"oneBox": {"scope": "Zone"}}))
    s = changed(HALF, rollout=zoned, one_boxes=boxes, fleet=())
    s = changed(s, memory=reverting(replicas=2, high_water=back.progress_of(s, V1), progress_at=later(-601)))

    found = decide(s, NOW)
    [written] = [a for a in found.actions if isinstance(a, WriteOneBox)]
    left = tuple(dataclasses.replace(b, surges=False, is_current=False) if b.zone == written.zone else b for b in boxes)
    after = decide(changed(s, one_boxes=left, memory=found.memory), later(5))

    assert not any(isinstance(a, WriteOneBox) for a in after.actions)
    assert after.memory.reverting is not None
    assert after.memory.reverting.progress_at == later(5)


UNMADE: dict[str, Any] = {"replicas": 0, "ready": 0, "available": 0}


@pytest.mark.parametrize(
    "lacking",
    [
        pytest.param({"one_boxes": (one_box("v1", updated=0, **UNMADE),), "fleet": (fleet("v1", 9),)}, id="one-box"),
        pytest.param({"fleet": (fleet("v1", 9, **UNMADE | {"replicas": 4}),)}, id="fleet"),
    ],
)
@pytest.mark.parametrize(("seconds", "is_over"), [(600, False), (601, True)], ids=["in-time", "too-late"])
def test_boxes_that_nobody_lets_be_made_do_not_keep_a_way_back_from_its_end(
    lacking: dict[str, Any], seconds: int, is_over: bool
) -> None:
    """A quota leaves no pod to wait for: what is asked is right, so the next version may come; nothing is exchanged."""
    s = changed(HALF, **lacking, memory=reverting(high_water=99, progress_at=later(-seconds)))

    found = decide(s, NOW)

    assert (found.phase is Phase.REVERTED) == is_over
    assert [n.reason for n in found.notes] == (["Reverted"] if is_over else [])
    assert all("Every box" not in n.message for n in found.notes)


def test_what_just_moved_has_its_whole_deadline() -> None:
    """The last box was exchanged a moment ago, by force, and its pod is not there yet."""
    moved = {"one_boxes": (one_box("v1"),), "fleet": (fleet("v1", 9, replicas=8, ready=8, available=8),)}
    s = changed(HALF, **moved, memory=reverting(high_water=0, progress_at=later(-601)))

    found = decide(s, NOW)

    assert found.phase is Phase.REVERTING
    assert found.memory.reverting is not None
    assert found.memory.reverting.progress_at == NOW


def test_changing_replicas_do_not_move_the_deadline() -> None:
    """An autoscaler must not keep a stuck revert waiting for ever."""
    before = reverting(high_water=5, replicas=12, progress_at=later(-500)).reverting
    assert before is not None

    found = back.observe(STUCK, before, V1, 10, NOW)

    assert (found.replicas, found.progress_at) == (10, later(-500))


def test_a_revert_is_over_when_every_box_serves() -> None:
    """Or had a whole deadline to do so: then it is over all the same."""
    there = changed(HALF, fleet=(fleet("v1", 9),))
    away = changed(HALF, fleet=(fleet("v1", 9, available=8),))

    assert decide(there, NOW).phase is Phase.REVERTED
    assert decide(away, NOW).phase is Phase.REVERTING
    late = changed(away, memory=reverting(high_water=99, progress_at=later(-601)))
    assert decide(late, NOW).phase is Phase.REVERTED


def test_a_version_called_back_by_the_user_is_not_rejected() -> None:
    """Going back to the stable version in the middle is a revert, and no verdict on the other one."""
    s = changed(
        HALF,
        rollout=rollout(spec("v1")),
        memory=Memory(),
        artifacts=(artifact("v1", 1, order=1), artifact("v2", 2)),
    )

    found = decide(s, NOW)

    assert found.phase is Phase.REVERTING
    assert not any(isinstance(a, RecordRejected) for a in found.actions)


BACK = changed(HALF, memory=Memory(), fleet=(fleet("v1", 9),))


@pytest.mark.parametrize(
    ("command", "retried", "records"),
    [
        pytest.param(V2, "", True, id="said for the first time"),
        pytest.param(V2, V2, False, id="said before: Git keeps saying it"),
        pytest.param(f"{V2}.2", V2, True, id="said again, in other words"),
        pytest.param("a1ffffffffff", "", False, id="names nothing"),
    ],
)
def test_a_retry_takes_effect_once(command: str, retried: str, records: bool) -> None:
    """Commands name an artifact, are idempotent, and are gone when done."""
    artifacts = (REJECTED[0], artifact("v2", 2, rejected="AlarmFired", retried=retried))
    s = changed(BACK, artifacts=artifacts, rollout=rollout(spec("v2"), retry=command))

    found = decide(s, NOW).actions

    assert records == any(isinstance(a, RecordRetry) for a in found)
    assert any(isinstance(a, ClearCommand) for a in found)


def test_the_retry_that_helps_is_told() -> None:
    """P10: who can lift it, and with which command."""
    found = decide(BACK, NOW)

    assert found.waiting
    assert found.waiting.command.endswith(f"ombak.dev/retry={V2}")


def test_a_first_version_that_fails_is_left_running() -> None:
    """There is nothing to go back to, and no alarm scales it down."""
    s: Snapshot = changed(
        BACK, artifacts=(artifact("v2", 1, rejected="AlarmFired"),), fleet=(fleet("v2", 9),), one_boxes=(one_box("v2"),)
    )

    found = decide(s, NOW)

    assert (found.phase, found.actions) == (Phase.FAILED, ())


@pytest.mark.parametrize(
    ("fields", "why", "queued", "rejected"),
    [
        pytest.param({}, "said so.", "", V2, id="taken back"),
        pytest.param({"retry": V2}, f"{V2} takes its turn after that.", V2, "", id="a retry in the middle"),
        pytest.param({"retry": id_of("v9")}, "said so.", "", V2, id="a retry of something else"),
    ],
)
def test_a_way_back_says_what_is_true_of_it(fields: dict[str, str], why: str, queued: str, rejected: str) -> None:
    """A retry takes the verdict off, and not the way back: the version starts again once that has ended."""
    found = decide(changed(HALF, rollout=rollout(spec("v2"), **fields)), NOW)

    assert (found.phase, found.message) == (Phase.REVERTING, f"Going back to {V1}: {why}")
    assert (found.queued, found.rejected) == (queued, rejected)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        pytest.param("v1", "the spec asks for the stable version again.", id="still the stable one"),
        pytest.param("v2", f"{V2} takes its turn after that.", id="the same one after all"),
        pytest.param("v3", f"{id_of('v3')} takes its turn after that.", id="another one by now"),
    ],
)
def test_a_way_back_by_wish_follows_the_wish(wanted: str, why: str) -> None:
    """No verdict is told where there is none."""
    s = changed(HALF, rollout=rollout(spec(wanted)), artifacts=(artifact("v1", 1, order=1), artifact("v2", 2)))

    found = decide(s, NOW)

    assert (found.phase, found.message, found.rejected) == (Phase.REVERTING, f"Going back to {V1}: {why}", "")
