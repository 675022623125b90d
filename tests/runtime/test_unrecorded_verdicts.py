"""A way back begins although its verdict cannot be written down; what was taken back is not promoted all the same."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest

from ombak.alarms.verdict import State
from ombak.core import naming
from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, Conflict, Object, TooManyRequests, Unreachable
from support.rig import NAME, NAMESPACE, Rig, baking, template

pytestmark = pytest.mark.usefixtures("quiet")

VERDICT, STATUS = "patch Artifact/status", "replace Rollout/status"
REFUSED = ApiError.of(403, "Forbidden", "verdicts must be signed")
ERRORS = [
    pytest.param(REFUSED, id="403"),
    pytest.param(ApiError.of(422, "Invalid", "no such field"), id="422"),
    pytest.param(TooManyRequests(429, "TooManyRequests", "slow down"), id="429"),
    pytest.param(ApiError.of(500, "InternalError", "failed calling webhook"), id="500"),
    pytest.param(Unreachable("PATCH: TimeoutError()"), id="a webhook that hangs"),
]


def verdict(rig: Rig, artifact: str) -> Object:
    """What stands on the Artifact of a version."""
    found: Object = rig.server.get(kinds.ARTIFACTS, NAMESPACE, naming.artifact(NAME, artifact)).get("status") or {}
    return found


async def baked(rig: Rig, passes: int = 0) -> str:
    """A second version runs in every box, and has been watched for so many passes."""
    rig.change(template=template("2.0.0"), strategy=baking())
    await rig.go_on("Bake")
    await rig.pass_by(passes)
    return rig.wanted


@pytest.mark.parametrize("restarts", [False, True], ids=["the same process", "a new one"])
@pytest.mark.parametrize("error", ERRORS)
async def test_a_way_back_does_not_wait_for_its_verdict(rig: Rig, error: ApiError, restarts: bool) -> None:
    """Nor is it forgotten when the alarm has ended, by this process or by the next; it is recorded when it may be."""
    old, bad = rig.stable, await baked(rig)
    rig.alarms.state = State.ALARM
    rig.kube.fail(VERDICT, error, times=1000)
    await rig.pass_by(2)
    assert rig.phase == "Reverting"
    if restarts:
        rig.restart()
        rig.kube.fail(VERDICT, error, times=1000)
    rig.alarms.state = State.OK
    await rig.pass_by(40)
    assert (rig.boxes(), rig.phase) == ({old: 4}, "Reverted")
    assert rig.status["artifacts"] == {"stable": old, "current": old, "rejected": bad}
    assert [reason for reason in rig.recorder.reasons if reason in ("AlarmFired", "Started", "Reverted")] == [
        "Started",
        "AlarmFired",
        "Reverted",
    ]

    rig.kube.heal()
    await rig.pass_by(3, apart=60)
    assert verdict(rig, bad)["rejected"]["reason"] == "AlarmFired"
    assert (rig.boxes(), rig.phase, "unrecorded" in rig.status["memory"]) == ({old: 4}, "Reverted", False)
    assert rig.condition("Stalled")["reason"] == "Reverted"


async def test_a_verdict_that_is_refused_is_told(rig: Rig) -> None:
    """In the API server's words, and for as long as it is not on record: somebody has to let it in."""
    await baked(rig)
    rig.alarms.state = State.ALARM
    rig.kube.fail(VERDICT, REFUSED, times=1000)
    await rig.pass_by(12)
    assert (rig.phase, rig.condition("Stalled")["reason"]) == ("Reverted", "ApplyFailed")
    assert "verdicts must be signed" in rig.status["waitingFor"]["what"]


@pytest.mark.parametrize(("passes", "most"), [(1, 4), (12, 1)], ids=["in the middle", "at its end"])
async def test_after_a_way_back_that_nobody_wrote_down_evidence_begins_anew(rig: Rig, passes: int, most: int) -> None:
    """Neither verdict nor status was let in, then the process died: the next one believes the boxes (P2)."""
    bad = await baked(rig, passes=36)
    rig.alarms.state = State.ALARM
    rig.kube.fail(VERDICT, REFUSED, times=1000)
    rig.kube.fail(STATUS, REFUSED, times=1000)
    await rig.pass_by(passes)
    assert rig.boxes().get(bad, 0) < 4
    rig.restart()
    await rig.reconcile()
    assert rig.boxes()[bad] <= most
    await rig.go_on("Bake")
    again = rig.clock.wall
    await rig.go_on("Stable")
    assert rig.clock.wall - again >= timedelta(minutes=10)


async def test_a_first_version_fails_though_its_verdict_is_refused() -> None:
    """Nothing is there to go back to; the end of the alarm does not make it good."""
    rig = Rig()
    rig.apply(strategy=baking())
    await rig.go_on("Bake")
    rig.alarms.state = State.ALARM
    rig.kube.fail(VERDICT, REFUSED, times=1000)
    await rig.pass_by(2)
    rig.alarms.state = State.OK
    await rig.pass_by(60)
    assert (rig.phase, rig.status["artifacts"].get("stable")) == ("Failed", None)
    rig.kube.heal()
    await rig.pass_by(2, apart=60)
    assert verdict(rig, rig.wanted)["rejected"]["reason"] == "AlarmFired"


async def test_a_retry_takes_off_what_was_never_recorded(rig: Rig) -> None:
    """It is a retry all the same: the same words again do nothing."""
    old, bad = rig.stable, await baked(rig)
    rig.alarms.state = State.ALARM
    rig.kube.fail(VERDICT, REFUSED, times=1000)
    await rig.pass_by(2)
    rig.alarms.state = State.OK
    rig.annotate(naming.RETRY, bad)
    await rig.pass_by(12)
    assert (rig.boxes(), rig.rollout["metadata"]["annotations"]) == ({old: 4}, {naming.RETRY: bad})

    rig.kube.heal()
    await rig.go_on("Bake")
    assert (verdict(rig, bad).get("rejected"), verdict(rig, bad)["retried"]) == (None, bad)
    rig.alarms.state = State.ALARM
    await rig.go_on("Reverted")
    rig.alarms.state = State.OK
    rig.annotate(naming.RETRY, bad)
    await rig.pass_by(4)
    assert rig.boxes() == {old: 4}


async def test_a_missed_deadline_leads_back_though_a_webhook_hangs(rig: Rig) -> None:
    """For Artifacts alone: the Rollout is answered for, so the time was seen."""
    old = rig.stable
    rig.change(template=template("2.0.0"), progressDeadline="2m")
    rig.kube.fail(VERDICT, Unreachable("PATCH: TimeoutError()"), times=1000)
    for _ in range(24):
        with contextlib.suppress(ApiError):
            await rig.reconcile()
        rig.settle(ready=False)
        rig.clock.advance(15)
    assert rig.boxes() == {old: 4}


async def test_what_was_rejected_elsewhere_goes_back_though_that_is_refused(rig: Rig) -> None:
    """It is told once, however often the record is tried."""
    old = rig.stable
    rig.change(template=template("2.0.0"))
    await rig.go_on()
    rig.kube.fail(VERDICT, REFUSED, times=1000)
    rig.change(rejected=[rig.wanted])
    await rig.pass_by(12)
    assert rig.boxes() == {old: 4}
    assert rig.recorder.reasons.count("RejectedElsewhere") == 1


@pytest.mark.parametrize("error", [REFUSED, Conflict(409, "Conflict", "it changed")], ids=["refused", "a conflict"])
async def test_a_verdict_outlives_a_status_that_is_not_written(error: ApiError) -> None:
    """Even of a first version, from which no way leads back, and though its alarm ends at once; it is told once."""
    rig = Rig()
    rig.apply(strategy=baking())
    await rig.go_on("Bake")
    rig.alarms.state = State.ALARM
    rig.kube.fail(VERDICT, REFUSED, times=1000)
    rig.kube.fail(STATUS, error)
    await rig.pass_by(1)
    assert rig.kube.left == 999
    rig.alarms.state = State.OK
    rig.kube.heal()
    await rig.pass_by(60)
    assert (rig.phase, verdict(rig, rig.wanted)["rejected"]["reason"]) == ("Failed", "AlarmFired")
    assert rig.recorder.reasons.count("AlarmFired") == 1
