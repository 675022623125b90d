"""An approved Override lets the fix of an incident go ahead in spite of the alarm that it is to end (R88, B4.5)."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from ombak.alarms.signals import OF_THE_ONE_BOX, alarm_name
from ombak.alarms.verdict import Contributor, State, Verdict
from ombak.api.rollout import Phase
from ombak.core import advance, baseline, layout, naming
from ombak.core.decide import decide
from ombak.core.gates.facts import GateFacts
from ombak.core.memory import Ledger, Memory, Mode, Release, dump_memory
from ombak.core.plan import Plan, RecordRejected, RecordStable
from ombak.core.snapshot import Snapshot, TemplateCheck
from ombak.simulation import pure
from support.overrides import gates, override
from support.snapshots import (
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
    verdict,
)

V1, V2 = id_of("v1"), id_of("v2")


def alarm(*series: str, name: str = "errors", at: float = 0) -> Verdict:
    """In ALARM because of these series, by data of the last 30 s."""
    found = tuple(Contributor(name, one) for one in series or ("{}",))
    return dataclasses.replace(verdict(State.ALARM, at=later(at)), causes=found)


def passing(*names: str, kind: str = "Alarm", **more: Any) -> GateFacts:
    """An active Override for v2 that passes these, and changes no bake unless that is said."""
    passes = [{"kind": kind, "name": name} for name in names]
    return gates(override(**{"bake": None, "passes": passes} | more))


def wanting(**more: Any) -> Snapshot:
    """v1 is stable and its alarm is on; v2 is the fix."""
    return snapshot(spec("v2"), **{"template_check": TemplateCheck(V2), "revert_alarm": alarm()} | more)


def in_one_box(**more: Any) -> Snapshot:
    """The fix went ahead and baked half a minute of a minute in its one box; the alarm is still on."""
    ledger = Ledger(timedelta(seconds=30), later(-15), later(-500))
    step = dataclasses.replace(
        advance.new_step(1, 1, later(-600)),
        high_water=1,
        arrived_at=later(-500),
        available_since=later(-500),
        ledger=ledger,
    )
    known = (baseline.identity("revert", "errors", "{}"), baseline.identity("oneBox", "errors", "{}"))
    position = layout.first_position(layout.segments(spec(), 10))
    release = Release(V2, Mode.FORWARD, later(-600), position, step, baseline=known)
    made: dict[str, Any] = {
        "artifacts": (artifact("v1", 1, order=1), artifact("v2", 2)),
        "one_boxes": (one_box("v2"),),
        "memory": Memory(release=release),
        "revert_alarm": alarm(),
        "gates": passing("errors"),
    }
    return snapshot(spec("v2"), **made | more)


def accrued(made: Plan) -> float:
    """The seconds of bake that are proven."""
    assert made.memory.release is not None
    return made.memory.release.step.ledger.accrued.total_seconds()


def verdicts(made: Plan) -> list[str]:
    """Why a version is taken back, empty if none is."""
    return [a.reason for a in made.actions if isinstance(a, RecordRejected)]


@pytest.mark.parametrize(
    ("passed", "found", "starts"),
    [
        pytest.param(passing("errors"), alarm(), True, id="by its name"),
        pytest.param(passing("latency"), alarm(), False, id="another one"),
        pytest.param(passing("errors"), alarm(name="payments/errors"), False, id="of another namespace"),
        pytest.param(passing("payments/errors"), alarm(name="payments/errors"), True, id="a team's that guards"),
        pytest.param(passing("errors", kind="Signal"), alarm(name="signal errors of all boxes"), True, id="a signal"),
        pytest.param(passing("errors", kind="Signal"), alarm(), False, id="an Alarm is no signal"),
        pytest.param(passing("errors"), UNKNOWN, False, id="unknown is never passed"),
        pytest.param(passing("errors"), verdict(State.ALARM), False, id="an alarm that names no cause"),
        pytest.param(passing("errors", artifact=V1), alarm(), False, id="for another version"),
        pytest.param(GateFacts(), alarm(), False, id="no Override"),
    ],
)
def test_only_alarms_that_are_named_are_passed(passed: GateFacts, found: Verdict, starts: bool) -> None:
    """Each by its name; one more that is on and was not named holds it."""
    made = decide(wanting(gates=passed, revert_alarm=found), later(0))
    assert (made.phase is Phase.ONE_BOX) is starts
    if starts:
        assert made.memory.release is not None
        assert made.memory.release.baseline
        told = next(n.message for n in made.notes if n.reason == "Overridden")
        assert "in spite of an alarm: errors breaches" in told
        assert "approved by bob" in told


def test_one_more_alarm_that_is_on_holds_it() -> None:
    """The one box's alarm counts too."""
    made = decide(wanting(gates=passing("errors"), one_box_alarm=alarm(name="latency")), later(0))
    assert made.phase is Phase.BLOCKED
    assert "latency" not in str(made.waiting and made.waiting.command)


def test_bakes_on_the_way_count_while_nothing_is_new() -> None:
    """Else a fix would never leave its one box: the alarm goes on until the fleet has it."""
    assert accrued(decide(in_one_box(), NOW)) == 35
    done = in_one_box()
    assert done.memory.release is not None
    step = dataclasses.replace(done.memory.release.step, ledger=Ledger(timedelta(minutes=1), later(-15), later(-500)))
    ready = changed(done, memory=Memory(release=dataclasses.replace(done.memory.release, step=step)))
    made = decide(ready, NOW)
    assert made.memory.release is not None
    assert made.memory.release.step.number == 2


def test_when_the_override_ends_the_alarm_holds_the_fix_where_it_is() -> None:
    """It is not taken back for what was on before, and goes no further."""
    made = decide(in_one_box(gates=GateFacts()), NOW)
    assert accrued(made) == 30
    assert made.waiting is not None
    assert made.waiting.key == "alarm"
    assert not verdicts(made)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"revert_alarm": alarm("{}", '{code="503"}')}, id="another series"),
        pytest.param({"revert_alarm": alarm(name="latency")}, id="another alarm"),
        pytest.param({"one_box_alarm": alarm(name="one-box")}, id="the one box's alarm"),
    ],
)
def test_what_is_new_takes_the_fix_back(fields: dict[str, Any]) -> None:
    """Only a contributor that was not there before speaks against it."""
    assert verdicts(decide(in_one_box(**fields), NOW)) == ["AlarmFired"]


def with_signal(**more: Any) -> Snapshot:
    """The fix in its one box, whose signal was on already for what ran in that box before."""
    name = alarm_name("errors", OF_THE_ONE_BOX)
    signals = [{"name": "errors", "query": "sum(errors)", "above": 1}]
    made = in_one_box(**{"one_box_alarm": alarm(name=name, at=0), "gates": passing("errors", kind="Signal")} | more)
    assert made.memory.release is not None
    release = dataclasses.replace(made.memory.release, baseline=(baseline.identity("oneBox", name, "{}"),))
    view = rollout(spec("v2", signals=signals, **SCOPE_ZONE if len(made.one_boxes) > 1 else {}))
    return changed(made, rollout=view, revert_alarm=verdict(at=NOW), memory=Memory(release=release))


SCOPE_ZONE: dict[str, Any] = {
    "zones": ["a", "b"],
    "strategy": {
        "oneBox": {"scope": "Zone", "bake": {"for": "1m"}},
        "rolling": {"bake": {"for": "1m"}},
        "bake": {"for": "1m"},
    },
}


def test_the_one_box_signal_speaks_of_the_fix_once_it_rests_on_the_fix_alone() -> None:
    """It was on for the old version in that box; still on, by data of the new one only, it is the new one's doing."""
    assert verdicts(decide(with_signal(), NOW)) == ["AlarmFired"]
    early = with_signal(one_box_alarm=alarm(name=alarm_name("errors", OF_THE_ONE_BOX), at=-490))
    assert verdicts(decide(early, later(-490))) == []


def test_an_alarm_of_the_one_box_that_may_look_at_every_pod_is_not_the_fix_s_doing() -> None:
    """`alarms.oneBox` may name an Alarm without $(pods), such as the one that is on for the whole service."""
    made = decide(in_one_box(one_box_alarm=alarm(at=0)), NOW)
    assert (accrued(made), verdicts(made)) == (35, [])


@pytest.mark.parametrize(("version", "expected"), [("v1", []), ("v2", ["AlarmFired"])])
def test_one_boxes_of_other_zones_speak_of_the_version_that_they_run(version: str, expected: list[str]) -> None:
    """With a one box in each zone the signal is about all of them, and those of later zones are still old."""
    boxes = (one_box("v2", zone="a"), one_box(version, zone="b"))
    fleets = (fleet("v1", 4, zone="a"), fleet("v1", 4, zone="b"))
    s = with_signal(one_boxes=boxes, fleet=fleets)
    assert s.memory.release is not None
    position = layout.first_position(layout.segments(s.rollout.spec, 10))
    s = changed(s, memory=Memory(release=dataclasses.replace(s.memory.release, position=position)))
    assert verdicts(decide(s, NOW)) == expected


def test_pods_of_the_old_version_that_fall_ill_later_are_not_the_fix_s_doing() -> None:
    """With an alarm for each pod the incident spreads while the fix is on its way."""
    old, new = fleet("v1", 9).name, fleet("v2", 9).name
    spreading = alarm("{}", f'{{pod="{old}-x7k2p"}}')
    assert verdicts(decide(in_one_box(revert_alarm=spreading), NOW)) == []
    own = alarm("{}", f'{{pod="{new}-x7k2p"}}')
    assert verdicts(decide(in_one_box(revert_alarm=own), NOW)) == ["AlarmFired"]


def pods(version: str, count: int, label: str = "pod") -> list[str]:
    """Series of so many pods of a version's fleet."""
    return [f'{{job="shop", {label}="{fleet(version, 9).name}-x{n:04d}"}}' for n in range(count)]


def without_baseline(s: Snapshot) -> Snapshot:
    """The same after a look at which nothing was in ALARM."""
    assert s.memory.release is not None
    return changed(s, memory=Memory(release=dataclasses.replace(s.memory.release, baseline=())))


def test_however_many_pods_of_other_versions_are_ill_they_take_no_room() -> None:
    """One outage of all boxes, told pod by pod: the fix starts, and stays after its Override ended too."""
    ill = alarm(*pods("v1", 30), *pods("v0", 60))
    made = decide(wanting(revert_alarm=ill, gates=passing("errors")), later(0))
    assert made.memory.release is not None
    assert len(made.memory.release.baseline) == 1
    assert len(str(dump_memory(made.memory))) < 1000
    going = in_one_box(memory=made.memory, revert_alarm=alarm(*pods("v1", 80)))
    for passed in (passing("errors"), GateFacts()):
        assert verdicts(decide(changed(going, gates=passed), later(5))) == []
    assert verdicts(decide(changed(going, revert_alarm=alarm(*pods("v1", 1), *pods("v2", 1))), later(5)))


def test_more_series_than_can_be_kept_hold_the_start() -> None:
    """Else it would begin, and be taken back at the next look for what was on before."""
    series = [f'{{path="/{n}"}}' for n in range(baseline.MOST + 1)]
    made = decide(wanting(revert_alarm=alarm(*series), gates=passing("errors")), later(0))
    assert made.phase is Phase.BLOCKED
    assert made.waiting is not None
    assert "at most 64 series to be in ALARM (65 are)" in made.waiting.what
    fewer = alarm(*series[1:], *pods("v1", 9))
    begun = decide(wanting(revert_alarm=fewer, gates=passing("errors")), later(0))
    assert begun.phase is Phase.ONE_BOX
    assert verdicts(decide(in_one_box(memory=begun.memory, revert_alarm=fewer), later(5))) == []


def test_an_old_pod_is_old_though_all_was_ok_for_a_moment() -> None:
    """As long as an Override passes alarms; without one nobody vouches for what comes then."""
    ill = without_baseline(in_one_box(revert_alarm=alarm(*pods("v1", 1))))
    assert verdicts(decide(ill, NOW)) == []
    assert verdicts(decide(changed(ill, gates=GateFacts()), NOW)) == ["AlarmFired"]


@pytest.mark.parametrize("label", ["peer", "kubernetes_pod", "pod_name"])
def test_only_the_label_pod_tells_whose_series_it_is(label: str) -> None:
    """A series of the new version that names an old pod elsewhere is the new version's."""
    assert verdicts(decide(in_one_box(revert_alarm=alarm("{}", *pods("v1", 1, label))), NOW)) == ["AlarmFired"]


def test_a_pod_of_another_rollout_is_no_pod_of_another_version() -> None:
    """Its name begins as ours do."""
    other = f'{{pod="{naming.fleet("front-end-a1aaaaaaaaaa", V1)}-x7k2p"}}'
    assert verdicts(decide(in_one_box(revert_alarm=alarm("{}", other)), NOW)) == ["AlarmFired"]


def test_an_alarm_that_nobody_named_holds_though_it_is_old() -> None:
    """An old pod's latency, of which the approver knows nothing, does not take the fix back; it goes no further."""
    both = alarm()
    found = dataclasses.replace(both, causes=(*both.causes, Contributor("latency", pods("v1", 1)[0])))
    made = decide(in_one_box(revert_alarm=found), NOW)
    assert (accrued(made), verdicts(made)) == (30, [])
    assert made.waiting is not None
    assert made.waiting.key == "alarm"
    named = decide(in_one_box(revert_alarm=found, gates=passing("errors", "latency")), NOW)
    assert accrued(named) == 35


@pytest.mark.parametrize(
    ("passed", "expected"),
    [
        pytest.param(passing("errors"), [], id="it is passed"),
        pytest.param(passing("latency"), ["AlarmFired"], id="another one is"),
        pytest.param(GateFacts(), ["AlarmFired"], id="no Override"),
    ],
)
def test_an_erased_status_does_not_make_new_what_an_override_passes(passed: GateFacts, expected: list[str]) -> None:
    """Somebody cleared it while the fix is in its one box: what is on is taken as it was at the start."""
    made = decide(in_one_box(memory=Memory(), gates=passed), NOW)
    assert verdicts(made) == expected
    if not expected:
        assert made.memory.release is not None
        assert made.memory.release.baseline == (baseline.identity("revert", "errors", "{}"),)


SUPERSEDING = {
    "a fix": (
        gates(override("v3", bake=None, supersede=True, passes=[{"kind": "Alarm", "name": "errors"}])),
        (artifact("v1", 1, order=1), artifact("v2", 2)),
        Mode.FORWARD,
    ),
    "one that was good here": (
        gates(override("v3", bake=None, supersede=True)),
        (artifact("v3", 1, order=1), artifact("v1", 2, order=2), artifact("v2", 3)),
        Mode.BACK,
    ),
}


@pytest.mark.parametrize("kind", SUPERSEDING)
@pytest.mark.parametrize(("is_old", "expected"), [(False, [(V2, "AlarmFired")]), (True, [])])
def test_what_is_superseded_does_not_escape_the_verdict_of_its_alarm(
    kind: str, is_old: bool, expected: list[tuple[str, str]]
) -> None:
    """An alarm that came with it is recorded, in the plan that starts the other; one of before is none of its doing."""
    passed, artifacts, mode = SUPERSEDING[kind]
    s = in_one_box(gates=passed, artifacts=artifacts, template_check=TemplateCheck(id_of("v3")))
    assert s.memory.release is not None
    known = s.memory.release.baseline if is_old else ()
    release = dataclasses.replace(s.memory.release, baseline=known)
    s = changed(s, rollout=rollout(spec("v3")), memory=Memory(release=release))
    made = decide(s, NOW)
    assert made.memory.release is not None
    assert (made.memory.release.artifact, made.memory.release.mode) == (id_of("v3"), mode)
    assert [(a.artifact, a.reason) for a in made.actions if isinstance(a, RecordRejected)] == expected
    assert ("AlarmFired" in [n.reason for n in made.notes]) is not is_old
    later_on = decide(pure.carried_out(s, made, NOW), later(5))
    assert later_on.memory.release is not None
    assert later_on.memory.release.artifact == id_of("v3")


def test_nothing_is_called_stable_while_the_alarm_is_on() -> None:
    """At its last step the alarm must end, and the whole bake is proven by OK alone."""
    going = in_one_box()
    assert going.memory.release is not None
    parts = layout.segments(spec(), 10)
    step = dataclasses.replace(going.memory.release.step, number=4, goal=10, high_water=10)
    release = dataclasses.replace(going.memory.release, position=layout.last_position(parts), step=step)
    everywhere = changed(going, fleet=(fleet("v2", 9),), memory=Memory(release=release))
    made = decide(everywhere, NOW)
    assert accrued(made) == 30
    assert made.waiting is not None
    assert made.waiting.key == "alarm"
    ended = changed(everywhere, revert_alarm=verdict(at=NOW))
    over = dataclasses.replace(release, step=dataclasses.replace(step, ledger=Ledger(timedelta(minutes=1), NOW, NOW)))
    made = decide(changed(ended, memory=Memory(release=over)), NOW)
    assert [a.artifact for a in made.actions if isinstance(a, RecordStable)] == [V2]
