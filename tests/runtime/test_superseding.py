"""A version that an Override lets take the place of one whose alarm is on, whose verdict may not be written down."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ombak.alarms.verdict import Contributor, State
from ombak.core import naming
from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, Conflict, Unreachable
from support.overrides import override_spec
from support.rig import NAME, NAMESPACE, Rig, baking, template

pytestmark = pytest.mark.usefixtures("quiet")

VERDICT, STATUS = "patch Artifact/status", "replace Rollout/status"
TOLD = ("AlarmFired", "Superseded", "Started", "Returned", "Reverted")


def let_supersede(rig: Rig) -> None:
    """Alice asks that the wanted version may take over although the alarm is on, and bob approves."""
    now, expires = rig.clock.now().isoformat(), (rig.clock.now() + timedelta(hours=1)).isoformat()
    passes = [{"kind": "Alarm", "name": "errors"}]
    spec = override_spec(artifact=rig.wanted, expires=expires, bake=None, supersede=True, passes=passes)
    made = rig.server.create("alice", kinds.OVERRIDES, NAMESPACE, {"metadata": {"name": "fix"}, "spec": spec})
    approvals = [{"by": "bob", "uid": made["metadata"]["uid"]}]
    patch = {"metadata": {"creationTimestamp": now}, "spec": {"approvals": approvals}}
    rig.server.patch("bob", kinds.OVERRIDES, NAMESPACE, "fix", patch)
    stored = rig.gates.overrides.store.get((NAMESPACE, "fix"))
    assert stored is not None
    rig.gates.overrides.judge(stored.value, "")


async def about_to_be_superseded(rig: Rig) -> str:
    """A bad version bakes in every box, its alarm fires, and its fix may take its place now; returns the bad one."""
    rig.change(template=template("2.0.0"), strategy=baking())
    await rig.go_on("Bake")
    bad = rig.wanted
    rig.change(template=template("3.0.0"), paused=True)
    let_supersede(rig)
    await rig.pass_by(1)
    rig.recorder.notes.clear()
    rig.change(paused=False)
    rig.alarms.state, rig.alarms.causes = State.ALARM, (Contributor("errors", "{}"),)
    return bad


def told(rig: Rig) -> list[str]:
    """What Events say of verdicts and of what follows from them."""
    return [reason for reason in rig.recorder.reasons if reason in TOLD]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ApiError.of(403, "Forbidden", "verdicts must be signed"), id="refused"),
        pytest.param(Unreachable("PATCH: TimeoutError()"), id="a webhook that hangs"),
        pytest.param(None, id="written"),
    ],
)
async def test_the_fix_takes_over_though_the_verdict_is_not_on_record(rig: Rig, error: ApiError | None) -> None:
    """At once, and Events say what happens and nothing else; the verdict is remembered, and written when it may be."""
    bad = await about_to_be_superseded(rig)
    if error is not None:
        rig.kube.fail(VERDICT, error, times=1000)
    await rig.pass_by(1)
    assert (rig.phase, rig.boxes()[rig.wanted]) == ("OneBox", 1)
    assert told(rig) == ["AlarmFired", "Superseded", "Started"]
    assert [u["artifact"] for u in rig.status["memory"].get("unrecorded", ())] == ([] if error is None else [bad])

    rig.alarms.state = State.OK
    await rig.pass_by(4)
    rig.kube.heal()
    await rig.go_on()
    assert (rig.boxes(), told(rig)) == ({rig.wanted: 4}, ["AlarmFired", "Superseded", "Started"])
    on_record = rig.server.get(kinds.ARTIFACTS, NAMESPACE, naming.artifact(NAME, bad))["status"]
    assert on_record["rejected"]["reason"] == "AlarmFired"


async def test_a_verdict_is_told_though_nothing_about_versions_may_be_written(rig: Rig) -> None:
    """The fix can not take over then, and what is taken back is told all the same."""
    await about_to_be_superseded(rig)
    for words in (VERDICT, "create Artifact"):
        rig.kube.fail(words, ApiError.of(403, "Forbidden", "no writes today"), times=1000)
    await rig.pass_by(6)
    assert told(rig) == ["AlarmFired"]
    rig.kube.heal()
    rig.alarms.state = State.OK
    await rig.go_on()
    assert told(rig) == ["AlarmFired", "Started"]


async def test_what_was_not_written_down_is_not_told(rig: Rig) -> None:
    """Somebody writes the Rollout in between: the verdict stands, and so it goes back before the fix starts."""
    await about_to_be_superseded(rig)
    rig.kube.fail(STATUS, Conflict(409, "Conflict", "it changed"))
    await rig.pass_by(1)
    assert told(rig) == ["AlarmFired"]
    rig.alarms.state = State.OK
    await rig.go_on()
    assert told(rig).count("AlarmFired") == told(rig).count("Started") == 1
    assert "Superseded" not in told(rig)
