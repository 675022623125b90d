"""A first install in spite of an alarm, pass by pass: what is stored, and what a restart makes of it."""

from __future__ import annotations

import pytest

from ombak.alarms.verdict import Certainty, Contributor, State
from ombak.core import naming
from support.rig import Rig, baking, template

pytestmark = pytest.mark.usefixtures("quiet")

OLD, NEW = Contributor("errors", "{}"), Contributor("latency", "{}")


async def held() -> Rig:
    """A first version that serves, and is held by what was in ALARM before."""
    rig = Rig()
    rig.alarms.state, rig.alarms.causes = State.ALARM, (OLD,)
    rig.apply(strategy=baking())
    await rig.go_on("Bake")
    await rig.reconcile()
    rig.kube.take()
    return rig


async def test_the_baseline_is_on_record_before_the_first_box() -> None:
    """A crash right after loses nothing."""
    rig = Rig()
    rig.alarms.state, rig.alarms.causes = State.ALARM, (OLD,)
    rig.apply()
    await rig.reconcile()

    words = rig.kube.writes
    assert words.index("replace Rollout/status front-end") < words.index("create Deployment front-end-onebox")
    assert len(rig.status["memory"]["release"]["baseline"]) == 1


async def test_a_held_install_tells_what_it_waits_for() -> None:
    """And is not failed."""
    rig = await held()

    assert rig.status["waitingFor"]["what"].startswith("an alarm to end that was there before")
    assert naming.ABORT in rig.status["waitingFor"]["command"]
    assert rig.condition("Stalled")["status"] == "False"


async def test_a_restart_keeps_the_baseline_while_nothing_is_known() -> None:
    """Unknown is not OK: the alarm is still the old one afterwards; and nothing is written meanwhile (P7)."""
    rig = await held()
    rig.restart()
    rig.kube.take()
    rig.alarms.state, rig.alarms.certainty, rig.alarms.is_cold = State.INSUFFICIENT_DATA, Certainty.Uncertain, True
    await rig.reconcile()
    rig.alarms.state, rig.alarms.certainty, rig.alarms.is_cold = State.ALARM, Certainty.Certain, False
    rig.alarms.causes = (OLD,)
    rig.clock.advance(15)
    await rig.reconcile()

    assert (rig.phase, rig.kube.writes) == ("Bake", [])


async def test_what_was_ok_before_a_crash_is_new_after_it() -> None:
    """The shrink was stored at once."""
    rig = await held()
    rig.alarms.state = State.OK
    await rig.reconcile()
    rig.restart()
    rig.alarms.state, rig.alarms.causes = State.ALARM, (OLD,)
    await rig.reconcile()

    assert rig.phase == "Failed"


async def test_a_new_contributor_fails_it() -> None:
    """Beside the old one."""
    rig = await held()
    rig.alarms.causes = (OLD, NEW)
    await rig.reconcile()

    assert rig.phase == "Failed"
    assert "latency {}: new in ALARM" in rig.status["message"]


async def test_the_end_of_the_old_alarm_lets_it_finish() -> None:
    """After its whole bake, none of which passed while it was held."""
    rig = await held()
    for _ in range(60):
        rig.clock.advance(15)
        await rig.reconcile()
    assert rig.phase == "Bake"
    assert not rig.status["memory"]["release"]["step"].get("ledger")
    rig.alarms.state = State.OK
    await rig.go_on("Stable")


async def test_an_abort_lets_the_queued_version_in() -> None:
    """Until then it waits behind the first one; the old alarm is its baseline too."""
    rig = await held()
    first = rig.status["artifacts"]["current"]
    rig.change(template=template("2.0.0"))
    for _ in range(5):
        rig.clock.advance(15)
        await rig.reconcile()
    assert rig.status["artifacts"] == {"current": first, "queued": rig.wanted}
    assert rig.wanted in rig.status["waitingFor"]["who"]

    rig.annotate(naming.ABORT, first)
    await rig.go_on("Installing")
    await rig.go_on("Bake")
    assert rig.boxes() == {rig.wanted: 4}
    rig.alarms.state = State.OK
    await rig.go_on("Stable")
    assert rig.stable == rig.wanted
    assert rig.rollout["metadata"]["annotations"] == {}
