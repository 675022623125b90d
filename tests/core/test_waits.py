"""Everything that a Rollout can wait for: what, who lifts it, and a command that really helps (P10)."""

import dataclasses
import pathlib
import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from ombak.alarms.verdict import unknown_verdict
from ombak.core.decide import decide
from ombak.core.failures import CONFLICT, Failure, defective
from ombak.core.gates.blockers import BlockerView
from ombak.core.gates.facts import GateFacts
from ombak.core.gates.windows import WindowView
from ombak.core.memory import Ledger, Memory, Mode, Position, Release, Reverting, Step
from ombak.core.report import report
from ombak.core.snapshot import Snapshot, TemplateCheck
from support.overrides import gates, override
from support.snapshots import (
    ALARM,
    NOW,
    OK,
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

OPERATIONS = pathlib.Path(__file__).parents[2] / "docs" / "operations.md"
V1, V2 = id_of("v1"), id_of("v2")
KUBECTL = "kubectl -n shop"
EDIT = f"{KUBECTL} edit omr front-end"
UNPAUSE = KUBECTL + """ patch omr front-end --type merge -p '{"spec":{"paused":false}}'"""
SCALE = f"{KUBECTL} scale omr front-end --replicas=1"
ALARMS = f"{KUBECTL} describe alarms"
PODS = f"{KUBECTL} describe pods -l ombak.dev/rollout=front-end"
SETS = f"{KUBECTL} describe replicasets,deployments -l ombak.dev/rollout=front-end"
QUOTA = {"for": "1m", "atMost": "10m", "atLeast": [{"name": "calls", "query": "q", "count": 100}]}
SIGNAL = [{"name": "errors", "query": "up", "above": 1}]
KNOWN = (artifact("v1", 1, order=1), artifact("v2", 2))
SILENT = unknown_verdict("errors", "no answer within 5 s.")


def wanted(**more: Any) -> Snapshot:
    """v1 is stable, and v2 is asked for by a spec."""
    return snapshot(spec("v2", **more), artifacts=KNOWN, revert_alarm=OK)


def released(s: Snapshot | None = None, mode: Mode = Mode.FORWARD, **fields: Any) -> Snapshot:
    """Its one box has been there for some minutes."""
    ready: dict[str, Any] = {
        "arrived_at": later(-500),
        "available_since": later(-500),
        "ledger": Ledger(timedelta(minutes=1), later(-5), later(-500)),
    }
    step = Step(1, later(-600), 1, 1, later(-500), **(ready | fields))
    memory = Memory(release=Release(V2, mode, later(-600), Position(0, 1, 1, "*", 10), step))
    return changed(s or wanted(), memory=memory, one_boxes=(one_box("v2"),))


AWAY: dict[str, Any] = {"one_boxes": (one_box("v2", ready=0, available=0),), "boxes_trouble": {V2: "1 x ErrImagePull."}}
FAILURE = "exceeded quota: pods"
UNMADE = one_box("v2", replicas=0, updated=0, ready=0, available=0, failure=FAILURE)
HALF_BAKED: dict[str, Any] = {"ledger": Ledger(timedelta(seconds=20), later(-5), later(-25))}
UNWATCHED: dict[str, Any] = {"alarms": None, "unwatched": "a trial"}
REVERTING = Memory(reverting=Reverting(V2, V1, later(-60), 10, 9, later(-60)))

Case = tuple[str, str, str, str, datetime | None]
WAITS: dict[str, tuple[Snapshot, Case]] = {
    "a spec that is wrong": (
        changed(wanted(), rollout=rollout(spec("v2"), problem="spec.x is no field; remove it")),
        ("spec", "a spec that is right: spec.x is no field; remove it", "whoever edits the Rollout", EDIT, None),
    ),
    "a spec that is wrong, in the middle": (
        changed(released(), rollout=rollout(spec("v2"), problem="spec.x is no field.")),
        ("spec", "a spec that is right: spec.x is no field", "whoever edits the Rollout", EDIT, None),
    ),
    "a spec that is wrong, when all is stable": (
        snapshot(rollout=rollout(spec(), problem="spec.x is no field")),
        ("spec", "a spec that is right: spec.x is no field", "whoever edits the Rollout", EDIT, None),
    ),
    "a template that is refused": (
        snapshot(spec("v2"), template_check=TemplateCheck(V2, "no such field.")),
        (
            "template",
            "a pod template that the API server takes: no such field",
            "whoever edits spec.template",
            EDIT,
            None,
        ),
    ),
    "a template that is asked about": (
        snapshot(spec("v2")),
        ("template", "the API server's dry run of the pod template", "nobody, it is asked", "", None),
    ),
    "a record that was deleted": (
        snapshot(spec("v2"), artifacts=()),
        (
            "records",
            f"the Artifact of {V1}, which runs in front-end-{V1} though nothing is recorded of it any more",
            "whoever owns the Rollout, by asking for that version first; or by deleting that object, boxes and all",
            "",
            None,
        ),
    ),
    "somebody else's object": (
        snapshot(fleet=(dataclasses.replace(fleet("v1", 9), is_ours=False),)),
        (
            "conflict",
            f"ReplicaSet front-end-{V1} to be out of the way: it was not made for this Rollout, so it is not touched; "
            "delete it, or make it by another name",
            "whoever owns that object, by deleting or renaming it",
            f"{KUBECTL} delete replicaset front-end-{V1}",
            None,
        ),
    ),
    "an Artifact that lies": (
        snapshot(artifacts=(dataclasses.replace(artifact("v1", 1), is_genuine=False),)),
        (
            "conflict",
            f"Artifact front-end-{V1} to be deleted: its content is not what its name says",
            "whoever may delete it; it is made anew",
            f"{KUBECTL} delete artifact front-end-{V1}",
            None,
        ),
    ),
    "a record that is refused": (
        snapshot(spec("v2"), off_record="The finalizer of the Rollout was refused by the API server: no."),
        (
            "refused",
            "the API server to take what must be on record first: "
            "The finalizer of the Rollout was refused by the API server: no",
            "whoever may change what the API server refuses, or runs it",
            "",
            None,
        ),
    ),
    "configuration that is not there": (
        changed(wanted(), rollout=dataclasses.replace(rollout(spec("v2")), artifact="", lacks="ConfigMap app.")),
        ("config", "ConfigMap app", "whoever deleted it, or edits spec.config", "", None),
    ),
    "a Blocker": (
        changed(wanted(), gates=GateFacts(blockers=(BlockerView("shop", "freeze", "sre", "an incident."),))),
        (
            "blocker shop/freeze",
            "Blocker shop/freeze to be lifted: an incident",
            "sre",
            f"{KUBECTL} delete blocker freeze",
            None,
        ),
    ),
    "a Window that is missing": (
        changed(wanted(), gates=GateFacts(windows=(WindowView("hours"),))),
        (
            "window hours",
            "Window hours to open, which is closed because it does not exist",
            "whoever may create Window hours, or edit what names it",
            EDIT,
            None,
        ),
    ),
    "no replicas": (
        wanted(replicas=0),
        (
            "replicas",
            "spec.replicas to be more than 0, for without boxes nothing can be proven",
            "whoever scales it up",
            SCALE,
            None,
        ),
    ),
    "no replicas, in the middle": (
        changed(released(), rollout=rollout(spec("v2", replicas=0)), one_boxes=(one_box("v2", 0),), fleet=()),
        (
            "replicas",
            "spec.replicas to be more than 0, for without boxes nothing can be proven",
            "whoever scales it up",
            SCALE,
            None,
        ),
    ),
    "a pause": (wanted(paused=True), ("paused", "spec.paused to be lifted", "whoever paused it", UNPAUSE, None)),
    "a pause, in the middle": (
        changed(released(), rollout=rollout(spec("v2", paused=True))),
        ("paused", "spec.paused to be lifted", "whoever paused it", UNPAUSE, None),
    ),
    "an alarm that was there before": (
        changed(wanted(), revert_alarm=ALARM),
        (
            "alarm",
            "an alarm to end that was there before the change: errors breaches",
            "the alarm's owner",
            ALARMS,
            None,
        ),
    ),
    "alarms that are unknown": (
        changed(wanted(), revert_alarm=SILENT),
        (
            "alarms",
            "alarms that can be evaluated: errors is unknown: no answer within 5 s",
            "whoever runs Prometheus or owns the alarm",
            ALARMS,
            None,
        ),
    ),
    "a signal that is unknown, in the middle": (
        changed(released(wanted(alarms=None, signals=SIGNAL)), revert_alarm=SILENT),
        (
            "alarms",
            "alarms that can be evaluated: errors is unknown: no answer within 5 s",
            "whoever runs Prometheus or owns the alarm",
            f"{KUBECTL} describe omr front-end",
            None,
        ),
    ),
    "boxes": (
        changed(released(arrived_at=None, available_since=None), **AWAY),
        (
            "boxes",
            f"boxes of {V2} to serve (0 of 1): 1 x ErrImagePull",
            "the boxes themselves; else it is reverted",
            f"{PODS},ombak.dev/artifact={V2}",
            later(100),
        ),
    ),
    "boxes of the first version": (
        changed(
            released(mode=Mode.INSTALL, arrived_at=None, available_since=None),
            **AWAY,
            artifacts=(artifact("v2", 1),),
            fleet=(),
        ),
        (
            "boxes",
            f"boxes of {V2} to serve (0 of 1): 1 x ErrImagePull",
            "the boxes themselves; else it has failed",
            f"{PODS},ombak.dev/artifact={V2}",
            later(100),
        ),
    ),
    "boxes on the way back": (
        changed(wanted(), memory=REVERTING, fleet=(fleet("v1", 9, available=8),), artifacts=(*KNOWN[:1],)),
        ("boxes", f"boxes of {V1} to serve (9 of 10)", "nobody, it goes by itself", "", None),
    ),
    "boxes on the way back that do not come up": (
        changed(wanted(), memory=REVERTING, fleet=(fleet("v1", 9, available=8),), boxes_trouble={V1: "1 x OOMKilled"}),
        (
            "boxes",
            f"boxes of {V1} to serve (9 of 10): 1 x OOMKilled",
            "whoever mends what keeps them",
            f"{PODS},ombak.dev/artifact={V1}",
            None,
        ),
    ),
    "boxes that cannot be made": (
        changed(released(arrived_at=None, available_since=None), one_boxes=(UNMADE,)),
        (
            "boxes",
            f"boxes of {V2} to serve (0 of 1): exceeded quota: pods",
            "whoever mends what keeps them; else it is reverted",
            f"{SETS},ombak.dev/artifact={V2}",
            later(100),
        ),
    ),
    "boxes of which some cannot be made, and one says what ails it": (
        changed(
            released(arrived_at=None, available_since=None), one_boxes=(UNMADE,), boxes_trouble={V2: "1 x OOMKilled"}
        ),
        (
            "boxes",
            f"boxes of {V2} to serve (0 of 1): 1 x OOMKilled",
            "whoever mends what keeps them; else it is reverted",
            f"{PODS},ombak.dev/artifact={V2}",
            later(100),
        ),
    ),
    "boxes on the way back that cannot be made": (
        changed(wanted(), memory=REVERTING, fleet=(fleet("v1", 9, replicas=8, available=8, failure=FAILURE),)),
        (
            "boxes",
            f"boxes of {V1} to serve (9 of 10): exceeded quota: pods",
            "whoever mends what keeps them",
            f"{SETS},ombak.dev/artifact={V1}",
            None,
        ),
    ),
    "room": (
        changed(released(arrived_at=None, available_since=None), one_boxes=(one_box("v1"),)),
        (
            "capacity",
            "room to exchange a box without going under minAvailable",
            "whoever brings the other boxes back, or raises spec.replicas",
            PODS,
            None,
        ),
    ),
    "a bake": (
        released(**HALF_BAKED),
        ("bake", "the bake, proven good for 25s of 1m by 12:00:00Z", "time, while every alarm is OK", "", later(35)),
    ),
    "a bake that nothing watches": (
        changed(released(wanted(**UNWATCHED), **HALF_BAKED), revert_alarm=None),
        (
            "bake",
            "the bake, proven good for 25s of 1m by 12:00:00Z",
            "time, while its boxes serve, for nothing is watched",
            "",
            later(35),
        ),
    ),
    "evidence": (
        changed(released(), revert_alarm=verdict(at=NOW, window=501.0)),
        ("evidence", "alarm data from after this step only", "time", "", later(1)),
    ),
    "samples": (
        changed(released(wanted(strategy={"oneBox": {"bake": QUOTA}})), samples={"calls": 7.0}),
        (
            "samples",
            "enough samples (calls: 7 of 100)",
            "the traffic of this service; or whoever lowers atLeast",
            EDIT,
            later(100),
        ),
    ),
    "samples that cannot be counted": (
        changed(released(wanted(strategy={"oneBox": {"bake": QUOTA}})), samples={"calls": "its query gives no series"}),
        (
            "samples",
            "enough samples (calls: unknown of 100, its query gives no series)",
            "whoever mends it; or whoever lowers atLeast",
            EDIT,
            later(100),
        ),
    ),
    "a permit": (
        released(wanted(strategy={"oneBox": {"bake": {"for": "1m"}, "needsPermit": True}})),
        (
            "permit",
            f"the permit to leave the one box: the annotation ombak.dev/permit names {V2}",
            "the hub, once its tests of coexistence have passed; or whoever may annotate the Rollout",
            f"{KUBECTL} annotate omr front-end --overwrite ombak.dev/permit={V2}",
            None,
        ),
    ),
    "a version that was taken back elsewhere": (
        snapshot(spec("v2", rejected=[V2]), artifacts=KNOWN[:1], revert_alarm=OK),
        (
            "rejected",
            f"another version in spec.template, or spec.rejected not to name {V2} any more",
            "whoever writes spec.rejected",
            EDIT,
            None,
        ),
    ),
    "an Override for another version": (
        changed(wanted(), gates=gates(override("v3"))),
        (
            "override fix",
            f"Override fix to end: only {id_of('v3')} may go on (asked for by alice, approved by bob: CVE-2026-1)",
            "time, or whoever may delete it, such as alice",
            f"{KUBECTL} delete override fix",
            later(3600),
        ),
    ),
    "an Override that nobody has looked at": (
        changed(wanted(), gates=gates(override("v3", flaw=None))),
        (
            "override fix",
            "Override fix to be looked at: whether it was approved as it must be",
            "nobody, it goes by itself",
            f"{KUBECTL} describe override fix",
            None,
        ),
    ),
    "a change": (
        snapshot(spec("v2"), artifacts=(KNOWN[0], artifact("v2", 2, rejected="Aborted"))),
        (
            "change",
            "another version in spec.template, or a retry of this one",
            "whoever owns the Rollout",
            f"{KUBECTL} annotate omr front-end --overwrite ombak.dev/retry={V2}",
            None,
        ),
    ),
    "a change, or a word less in spec.rejected": (
        snapshot(spec("v2", rejected=[V2]), artifacts=(KNOWN[0], artifact("v2", 2, rejected="RejectedElsewhere"))),
        (
            "change",
            f"another version in spec.template; or {V2} to be taken out of spec.rejected, and then retried",
            "whoever writes spec.rejected",
            EDIT,
            None,
        ),
    ),
    "a change, of the first version": (
        snapshot(artifacts=(artifact("v1", 1, rejected="AlarmFired", retried=V1),)),
        (
            "change",
            "another version in spec.template, or a retry of this one",
            "whoever owns the Rollout",
            f"{KUBECTL} annotate omr front-end --overwrite ombak.dev/retry={V1}.2",
            None,
        ),
    ),
}


@pytest.mark.parametrize(("s", "case"), WAITS.values(), ids=WAITS)
def test_a_wait_says_what_and_who_and_how(s: Snapshot, case: Case) -> None:
    """The command lifts it, or shows what stands in its way; none is better than one that does something else."""
    found = decide(s, NOW)

    assert found.waiting
    waiting = found.waiting
    assert (waiting.key, waiting.what, waiting.who, waiting.command, waiting.expected) == case
    assert found.memory.wait
    assert (found.memory.wait.key, found.memory.wait.since) == (waiting.key, NOW)


@pytest.mark.parametrize("s", [s for s, _ in WAITS.values()], ids=WAITS)
def test_whatever_is_told_is_in_whole_sentences(s: Snapshot) -> None:
    """One period at the end, and none that somebody else wrote before it."""
    status = report(s, decide(s, NOW), {}, NOW)
    told = [status["message"], *(c["message"] for c in status["conditions"] if c["type"] != "SpecValid")]

    for text in filter(None, told):
        assert re.search(r"[^.]\.$", text), text
        assert not re.search(r"\.\.|\. ?[;,)]|  ", text), text
    assert not status["waitingFor"]["what"].endswith(".")


@pytest.mark.parametrize("name", ["a spec that is wrong", "a spec that is wrong, in the middle"])
def test_a_wrong_spec_stalls_in_any_phase(name: str) -> None:
    """No time mends it, so tools must not go on to call it progress."""
    s = WAITS[name][0]
    told = {c["type"]: (c["status"], c["reason"]) for c in report(s, decide(s, NOW), {}, NOW)["conditions"]}

    assert (told["Stalled"], told["SpecValid"]) == (("True", "Invalid"), ("False", "Invalid"))


@pytest.mark.parametrize("name", list(WAITS))
def test_whatever_waits_either_goes_on_or_is_stalled(name: str) -> None:
    """Never both: tools that know kstatus take the first of the two that is True, in whatever order they find them."""
    s = WAITS[name][0]
    status = report(s, decide(s, NOW), {}, NOW)
    failed = report(s, decide(s, NOW), {}, NOW, Failure("a policy says no"))
    for each in (status, failed, defective(s.rollout, Failure("no"), status, NOW)):
        told = {c["type"]: c["status"] for c in each["conditions"]}
        assert (told["Reconciling"], told["Stalled"]) in (("True", "False"), ("False", "True"))


@pytest.mark.parametrize("s", [s for s, _ in WAITS.values()], ids=WAITS)
def test_whoever_has_to_do_something_is_told_how_to_begin(s: Snapshot) -> None:
    """Where no command by itself would lift it, one that shows all of it; only what ends by itself has none (P10)."""
    told = report(s, decide(s, NOW), {}, NOW)["waitingFor"]
    failed = report(s, decide(s, NOW), {}, NOW, Failure("a policy says no"))

    assert told.get("command") or told["who"].startswith(("nobody", "time"))
    for each in (failed, defective(s.rollout, Failure("no"), failed, NOW)):
        assert each["waitingFor"]["command"] == f"{KUBECTL} describe omr front-end"


def test_what_stands_in_the_way_is_told_alike_everywhere() -> None:
    """One condition must not name the object in the way while another one waits for room."""
    s = released()
    failure = Failure("Deployment front-end-onebox to be out of the way", CONFLICT)
    status = report(s, decide(s, NOW), {}, NOW, failure)
    told = {c["type"]: c["message"] for c in status["conditions"]}

    assert status["message"] == failure.message
    assert {told[kind] for kind in ("Reconciling", "Stalled", "Delivered")} == {failure.message}


def test_the_manual_lists_every_wait() -> None:
    """Each key once, and none that there is not."""
    section = OPERATIONS.read_text(encoding="utf-8").partition("## What it waits for")[2].partition("\n## ")[0]

    assert sorted(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == sorted(
        {case[0].split()[0] for _, case in WAITS.values()}
    )


@pytest.mark.parametrize(
    ("s", "is_watched"),
    [
        pytest.param(WAITS["a bake"][0], True, id="a release"),
        pytest.param(WAITS["boxes on the way back"][0], True, id="a revert"),
        pytest.param(WAITS["an alarm that was there before"][0], True, id="only an alarm keeps it from starting"),
        pytest.param(WAITS["a pause"][0], False, id="a pause keeps it from starting"),
        pytest.param(WAITS["a change"][0], False, id="taken back"),
        pytest.param(snapshot(), False, id="stable"),
    ],
)
def test_alarms_are_watched_while_something_depends_on_them(s: Snapshot, is_watched: bool) -> None:
    """At full rate, and told in the status; otherwise neither."""
    s = changed(s, revert_alarm=s.revert_alarm or OK)
    made = decide(s, NOW)

    assert is_watched == made.is_watched
    assert is_watched == ("alarms" in report(s, made, {}, NOW))


def test_a_bake_tells_when_it_is_over_at_the_earliest() -> None:
    """True at any later moment too, though it is seldom written."""
    s = released(**HALF_BAKED)
    going, halted = decide(s, NOW), decide(changed(s, revert_alarm=SILENT), NOW)

    assert report(s, going, {}, NOW)["progress"] == {
        "boxes": "1/10",
        "step": "step 1: 1 of 10 boxes approved",
        "bake": "25s of 1m by 12:00:00Z",
        "bakeSince": "2026-01-05T11:59:35Z",
        "bakeEnds": "2026-01-05T12:00:35Z",
    }
    assert halted.bake == "20s of 1m by 12:00:00Z"
    assert halted.bake_ends_at is None


def test_a_bake_that_is_over_shows_its_length_and_no_end() -> None:
    """Something else holds, for minutes: neither is the bake longer for that, nor would it have moved by then."""
    made = rollout(spec("v2", paused=True))
    s = changed(released(ledger=Ledger(timedelta(minutes=6), later(-5), later(-365))), rollout=made)
    held = decide(s, NOW)

    assert held.waiting is not None
    assert (held.waiting.key, held.bake, held.bake_ends_at) == ("paused", "1m of 1m by 12:00:00Z", None)


def test_a_delivered_rollout_says_when_edits_hold() -> None:
    """Quietly: in the condition that is read when somebody wonders; it is the same text all the time."""
    status = report(snapshot(), decide(snapshot(), NOW), {}, NOW)
    told = {c["type"]: c["message"] for c in status["conditions"]}

    assert "minReadySeconds" in told["Delivered"]
