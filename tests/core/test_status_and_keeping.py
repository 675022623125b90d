"""What is told, when it is worth a write, what is remembered, and what is kept."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from ombak.api.rollout import Phase, RolloutStatus
from ombak.core.decide import decide
from ombak.core.memory import (
    Ledger,
    Memory,
    Mode,
    Position,
    Release,
    Step,
    Unrecorded,
    Wait,
    dump_memory,
    load_memory,
    rebased,
)
from ombak.core.news import is_stale, is_urgent
from ombak.core.plan import Adopt, ClearCommand, Delete, Prepare
from ombak.core.report import report
from ombak.core.retention import KEPT, leftovers
from ombak.core.snapshot import Snapshot
from support.snapshots import (
    ALARM,
    NOW,
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

STEP = Step(3, later(-60), 4, 4, later(-50), later(-50), later(-50), None, timedelta(0), Ledger(timedelta(seconds=7)))
MEMORY = Memory(
    release=Release(id_of("v2"), Mode.FAST, later(-99), Position(1, 3, 9), STEP, later(-3)), wait=Wait("bake", NOW)
)


def told(s: Snapshot, old: dict[str, Any] | None = None, seconds: float = 0.0) -> dict[str, Any]:
    """The status after a decision."""
    return report(s, decide(s, later(seconds)), old or {}, later(seconds))


def test_memory_survives_its_writing() -> None:
    """Nothing is lost in the status, and an empty memory is empty there."""
    assert load_memory(dump_memory(MEMORY)) == MEMORY
    assert dump_memory(Memory()) == {}


@pytest.mark.parametrize(
    ("alarms", "says"),
    [
        pytest.param(
            {"revert": "ALARM(a) AND ALARM(b) OR ALARM(c)"}, "spec.alarms.revert: AND and OR are mixed", id="1"
        ),
        pytest.param(
            {"revert": "ALARM(a)", "oneBox": "ALARM(a) OR ALARM(b) AND ALARM(c)"},
            "spec.alarms.oneBox: AND and OR are mixed",
            id="the one box",
        ),
        pytest.param({"revert": "(ALARM(a) AND ALARM(b)) OR ALARM(c)"}, None, id="clear"),
        pytest.param({"revert": "ALARM(a) AND OR"}, None, id="no expression"),
    ],
)
def test_an_expression_that_could_be_misunderstood_is_told(alarms: dict[str, str], says: str | None) -> None:
    """As of an Alarm, and while it is so only; the times stay while it does (P7)."""
    status = told(snapshot(rollout=rollout(spec("v1", alarms=alarms))))
    found = {c["type"]: c for c in status["conditions"]}.get("Unambiguous")
    if says is None:
        assert found is None
        return
    assert found is not None
    assert (found["status"], found["reason"]) == ("False", "MixedOperators")
    assert found["message"].startswith(says)
    again = told(snapshot(rollout=rollout(spec("v1", alarms=alarms))), status, 60)
    assert again["conditions"] == status["conditions"]


@pytest.mark.parametrize("raw", [None, {}, {"release": {"artifact": 1}}, "nonsense", {"release": {"mode": "Later"}}])
def test_a_memory_that_cannot_be_read_counts_as_erased(raw: object) -> None:
    """Which is always safe."""
    assert load_memory(raw) == Memory()


@pytest.mark.parametrize(
    ("jump", "approved"),
    [
        pytest.param(0, -60, id="no jump"),
        pytest.param(-3600, -3660, id="back"),
        pytest.param(3600, 0, id="forward, and never into the future"),
    ],
)
def test_memory_goes_along_when_the_clock_jumps(jump: float, approved: float) -> None:
    """Deadlines neither pass at once nor wait for an hour more."""
    found = rebased(MEMORY, timedelta(seconds=jump), NOW).release

    assert found
    assert found.step.approved_at == later(approved)
    assert found.step.ledger.accrued == timedelta(seconds=7)


WORLDS = {
    "stable": snapshot(),
    "blocked": snapshot(spec("v2"), artifacts=(artifact("v1", 1, order=1), artifact("v2", 2)), revert_alarm=ALARM),
    "paused": snapshot(spec("v2", paused=True), artifacts=(artifact("v1", 1, order=1), artifact("v2", 2))),
    "one box": snapshot(spec("v2"), artifacts=(artifact("v1", 1, order=1), artifact("v2", 2))),
    "reverted": snapshot(spec("v2"), artifacts=(artifact("v1", 1, order=1), artifact("v2", 2, rejected="Aborted"))),
    "failed": snapshot(artifacts=(artifact("v1", 1, rejected="AlarmFired"),)),
    "conflict": snapshot(fleet=(dataclasses.replace(fleet("v1", 9), is_ours=False),)),
}


@pytest.mark.parametrize(
    ("world", "phase", "conditions"),
    [
        pytest.param("stable", "Stable", {"Ready", "Delivered", "SpecValid"}, id="stable"),
        pytest.param("blocked", "Blocked", {"Ready", "Reconciling", "SpecValid"}, id="blocked by an alarm"),
        pytest.param("paused", "Blocked", {"Ready", "Reconciling", "SpecValid"}, id="paused"),
        pytest.param("one box", "OneBox", {"Ready", "Reconciling", "SpecValid"}, id="in the one box"),
        pytest.param("reverted", "Reverted", {"Ready", "Stalled", "SpecValid"}, id="reverted"),
        pytest.param("failed", "Failed", {"Ready", "Stalled", "SpecValid"}, id="failed"),
        pytest.param("conflict", "Invalid", {"Ready", "Stalled", "SpecValid"}, id="a name of somebody else's"),
    ],
)
def test_conditions_are_those_of_the_phase(world: str, phase: str, conditions: set[str]) -> None:
    """As kstatus reads them, and every one is always there."""
    status = told(WORLDS[world])

    assert status["phase"] == phase
    assert {c["type"] for c in status["conditions"] if c["status"] == "True"} == conditions
    assert {c["type"] for c in status["conditions"]} == {"Ready", "Reconciling", "Stalled", "Delivered", "SpecValid"}
    RolloutStatus.model_validate(status)


@pytest.mark.parametrize("world", [name for name in WORLDS if name != "stable"])
def test_whatever_waits_says_for_what_and_who_can_lift_it(world: str) -> None:
    """P10."""
    status = told(WORLDS[world])

    assert status["message"]
    assert status["waitingFor"]["what"]
    assert status["waitingFor"]["since"]


@pytest.mark.parametrize("world", list(WORLDS))
def test_a_status_that_tells_nothing_new_is_not_written(world: str) -> None:
    """P7: the same world an hour later is worth no write."""
    s = WORLDS[world]
    if world == "one box":
        return
    first = decide(s, NOW)
    old = report(s, first, {}, NOW)
    s = changed(s, memory=load_memory(old["memory"]))

    new = told(s, old, 3600)

    assert not is_urgent(old, new, timedelta(hours=1))
    assert not is_stale(old, new)
    assert old["conditions"] == new["conditions"]


def test_a_transition_is_written_at_once_and_counts_are_not() -> None:
    """Numbers wait for a while, a phase does not."""
    s = snapshot()
    old = told(s)
    fewer = told(changed(s, fleet=(fleet("v1", 9, available=8),)), old)

    assert not is_urgent(old, fewer, timedelta(0))
    assert is_stale(old, fewer)
    assert is_urgent(old, told(WORLDS["reverted"], old), timedelta(0))


def test_what_is_stable_does_not_claim_a_box_that_is_missing() -> None:
    """A node goes at any time; that and its return are written with the counts."""
    s = snapshot()
    whole = told(s)
    fewer = told(changed(s, fleet=(fleet("v1", 9, available=8),)), whole)
    again = told(s, fewer)

    assert whole["message"] == again["message"] == f"{id_of('v1')} runs in every box and finished its bake."
    assert fewer["message"] == f"{id_of('v1')} finished its bake; 9 of 10 boxes are available."
    assert is_stale(whole, fewer)
    assert is_stale(fewer, again)


@pytest.mark.parametrize(
    ("seconds", "bake", "urgent"),
    [
        pytest.param(299, 3600, False, id="under five minutes"),
        pytest.param(300, 3600, True, id="five minutes"),
        pytest.param(300, 43200, False, id="under five per cent of a long bake"),
        pytest.param(2160, 43200, True, id="five per cent of it"),
    ],
)
def test_bake_time_is_stored_now_and_then(seconds: float, bake: float, urgent: bool) -> None:
    """A crash loses no more than that."""
    assert MEMORY.release
    ledger = dataclasses.replace(STEP.ledger, accrued=timedelta(seconds=7 + seconds))
    step = dataclasses.replace(STEP, ledger=ledger)
    after = dataclasses.replace(MEMORY, release=dataclasses.replace(MEMORY.release, step=step))
    old, new = {"memory": dump_memory(MEMORY)}, {"memory": dump_memory(after)}

    assert urgent == is_urgent(old, new, timedelta(seconds=bake))


def test_the_last_ten_versions_are_kept_and_those_that_matter() -> None:
    """Stable, wanted, any with boxes; the empty ReplicaSets of the others go too."""
    artifacts = tuple(artifact(f"v{n}", n, order=n == 1) for n in range(1, 16))
    s = snapshot(
        spec("v3"), artifacts=artifacts, fleet=(fleet("v1", 9), fleet("v2", 1), fleet("v4", 0), fleet("v15", 0))
    )

    found = leftovers(s, id_of("v1"), ("",))

    gone = {a.name.rpartition("-")[2] for a in found if isinstance(a, Delete) and a.kind == "Artifact"}
    assert gone == {id_of("v4"), id_of("v5")}
    assert len(artifacts) - len(gone) == KEPT + 3
    assert [a.name for a in found if a.kind == "ReplicaSet"] == [fleet("v4", 0).name]


def test_a_zone_that_is_gone_leaves_no_replicaset() -> None:
    """Emptied first, deleted then."""
    s = snapshot(fleet=(fleet("v1", 9), fleet("v1", 0, zone="gone"), fleet("v1", 0, zone="later", replicas=1)))

    assert [a.name for a in leftovers(s, id_of("v1"), ("",))] == [fleet("v1", 0, zone="gone").name]


def test_absent_replicas_are_filled_in_with_what_is_there() -> None:
    """The only write to spec: `/scale` fails without it."""
    s = snapshot(spec(replicas=None))

    assert decide(s, NOW).actions == (Prepare(finalizer=False, replicas=10),)


def test_the_finalizer_comes_before_the_first_child() -> None:
    """Deleting the CRD must leave every pod running."""
    s = snapshot(
        rollout=rollout(spec(), has_finalizer=False),
        artifacts=(artifact("v1", 1),),
        fleet=(),
        one_boxes=(),
    )

    assert decide(s, NOW).actions[0] == Prepare(finalizer=True, replicas=None)


def test_what_a_deleted_rollout_left_is_taken_up() -> None:
    """Orphans of the same name are ours again, without a restart of a pod."""
    s = snapshot(fleet=(dataclasses.replace(fleet("v1", 9), has_owner=False),))

    assert [Adopt] == [type(a) for a in decide(s, NOW).actions]


@pytest.mark.parametrize(
    ("abort", "clears"),
    [pytest.param("v2", False, id="what is on its way"), pytest.param("v1", True, id="something else")],
)
def test_an_abort_that_names_nothing_on_its_way_is_cleared(abort: str, clears: bool) -> None:
    """One that names the release stays until that is taken back."""
    s = changed(
        WORLDS["one box"],
        rollout=rollout(spec("v2"), abort=id_of(abort)),
        one_boxes=(one_box("v2"),),
    )

    assert clears == any(isinstance(a, ClearCommand) for a in decide(s, NOW).actions)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        pytest.param({"abort": "a1typo"}, f"on its way is {id_of('v2')}", id="abort-of-nothing"),
        pytest.param({"abort": id_of("v1")}, f"ombak.dev/abort={id_of('v2')}", id="abort-of-what-is-stable"),
        pytest.param({"retry": "a1typo"}, "names no version that was taken back", id="retry-of-nothing"),
        pytest.param({"retry": id_of("v1")}, "names no version that was taken back", id="retry-of-what-is-stable"),
        pytest.param({"abort": id_of("v2")}, "", id="abort"),
        pytest.param({"retry": id_of("v2")}, "", id="a-hubs-retry-of-what-is-asked-for"),
    ],
)
def test_a_command_that_names_nothing_says_so(command: dict[str, str], message: str) -> None:
    """In an incident a typo must not look like success: an Event, and a condition that outlives the annotation."""
    s = changed(WORLDS["one box"], rollout=rollout(spec("v2"), **command), one_boxes=(one_box("v2"),))
    notes = [n for n in decide(s, NOW).notes if n.reason == "NamesNothing"]
    assert [message in n.message for n in notes] == ([True] if message else [])

    status = told(s)
    after = told(changed(s, rollout=rollout(spec("v2"))), status)
    for found in (status, after):
        heard = [c for c in found["conditions"] if c["type"] == "CommandHeard"]
        assert [(c["status"], message in c["message"]) for c in heard] == ([("False", True)] if message else [])
    assert is_urgent({}, status, timedelta(0))
    assert [c for c in told(s, after)["conditions"] if c["type"] == "CommandHeard"] == [
        c for c in after["conditions"] if c["type"] == "CommandHeard"
    ]


def test_a_retry_of_what_is_taken_back_but_not_on_record_is_heard() -> None:
    """Also of a version that is not wanted any more."""
    verdict = Unrecorded(id_of("v2"), "AlarmFired", "errors breaches")
    versions = (artifact("v1", 1, order=1), artifact("v2", 2))
    wanted = rollout(spec("v1"), retry=id_of("v2"))
    s = snapshot(rollout=wanted, artifacts=versions, memory=Memory(unrecorded=(verdict,)))

    assert not [c for c in told(s)["conditions"] if c["type"] == "CommandHeard"]


@pytest.mark.parametrize(
    ("retried", "message"),
    [
        pytest.param(id_of("v2"), f"ombak.dev/retry={id_of('v2')}.2", id="used-up"),
        pytest.param("", "", id="carried-out-now"),
    ],
)
def test_a_retry_that_was_used_up_says_how_to_write_the_next_one(retried: str, message: str) -> None:
    """The same words take effect once."""
    views = (artifact("v1", 1, order=1), artifact("v2", 2, rejected="Alarm", retried=retried))
    s = changed(WORLDS["reverted"], rollout=rollout(spec("v2"), retry=id_of("v2")), artifacts=views)
    notes = [n.message for n in decide(s, NOW).notes if n.reason == "NamesNothing"]

    assert [message in n for n in notes] == ([True] if message else [])


def test_no_replicas_wait_and_stable_does_not_move() -> None:
    """N = 0: the change waits for boxes to prove it."""
    s = snapshot(
        spec("v2", replicas=0),
        artifacts=(artifact("v1", 1, order=1), artifact("v2", 2)),
        fleet=(fleet("v1", 0),),
        one_boxes=(one_box("v1", 0),),
    )

    found = decide(s, NOW)

    assert (found.phase, found.actions, found.stable) == (Phase.BLOCKED, (), id_of("v1"))


def test_an_invalid_spec_still_scales() -> None:
    """P9: it delivers nothing, and scaling goes on."""
    s = snapshot(rollout=rollout(spec("v2", replicas=12, paused=True), problem="spec.x is no field; remove it"))

    found = decide(s, NOW)

    assert found.phase is Phase.INVALID
    assert [a.after for a in found.actions] == [11]  # type: ignore[union-attr]  # a ScaleFleet
