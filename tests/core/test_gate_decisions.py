"""What Windows, Blockers and alarms hold in decisions: starts and steps, and never a revert, an abort or scaling."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from test_properties import snapshots

from ombak.api.blocker import BlockerState, Stops
from ombak.api.rollout import Phase
from ombak.api.window import WindowSpec
from ombak.core import advance, layout
from ombak.core.decide import decide
from ombak.core.evidence import Evidence
from ombak.core.gates.alarms import AlarmGate
from ombak.core.gates.blockers import BlockerGate, BlockerView
from ombak.core.gates.compile import compile_window
from ombak.core.gates.facts import GateFacts
from ombak.core.gates.gate import Context, Moment
from ombak.core.gates.horizon import detection_horizon
from ombak.core.gates.windows import WindowView
from ombak.core.memory import Ledger, Memory, Mode, Queued, Release, dump_memory, load_memory
from ombak.core.news import is_stale
from ombak.core.plan import Plan
from ombak.core.report import report
from ombak.core.snapshot import Snapshot, TemplateCheck
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
EVERY_DAY = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
CHECKED = TemplateCheck(V2)
SLOWLY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How fast the machine is does not matter."""


def blocker(name: str = "freeze", **more: Any) -> BlockerView:
    """A Blocker of the namespace."""
    return BlockerView(**{"namespace": "shop", "name": name, "owner": "sre", "reason": "an incident"} | more)


def window(hours: str = "14:00-16:00", name: str = "hours", **more: Any) -> WindowView:
    """A Window of every day; NOW is at noon."""
    start, end = hours.split("-")
    opening = {"days": EVERY_DAY, "from": start, "to": end}
    made = WindowSpec.model_validate({"open": [opening], "timeZone": "UTC", **more})
    return WindowView(name, compile_window(made, "UTC"))


def context(moment: Moment = Moment.START, **more: Any) -> Context:
    """A delivery of the front end."""
    fields: dict[str, Any] = {"namespace": "shop", "name": "front-end", "moment": moment, "labels": {"tier": "web"}}
    return Context(**fields | more)


@pytest.mark.parametrize(
    ("more", "selected"),
    [
        pytest.param({}, True, id="everything"),
        pytest.param({"match_labels": {"tier": "web"}}, True, id="label"),
        pytest.param({"match_labels": {"tier": "web", "team": "red"}}, False, id="one-label-of-two"),
        pytest.param({"match_labels": {"tier": "batch"}}, False, id="another-value"),
        pytest.param({"match_labels": {"ombak.dev/name": "front-end"}}, True, id="name"),
        pytest.param({"match_labels": {"ombak.dev/name": "back-end"}}, False, id="another-name"),
        pytest.param({"namespace": "other"}, False, id="another-namespace"),
        pytest.param({"namespace": ""}, True, id="cluster"),
        pytest.param({"namespace": "", "namespaces": frozenset({"shop", "b"})}, True, id="cluster-here"),
        pytest.param({"namespace": "", "namespaces": frozenset({"b"})}, False, id="cluster-elsewhere"),
    ],
)
def test_a_blocker_stops_what_it_selects(more: dict[str, Any], selected: bool) -> None:
    """By namespace, labels and name."""
    assert (BlockerGate((blocker(**more),)).holds(context(), NOW) is not None) == selected


@pytest.mark.parametrize(
    ("begins", "expires", "state"),
    [
        pytest.param(None, None, BlockerState.ACTIVE, id="always"),
        pytest.param(None, 1, BlockerState.ACTIVE, id="until-later"),
        pytest.param(None, 0, BlockerState.EXPIRED, id="until-now"),
        pytest.param(0, None, BlockerState.ACTIVE, id="from-now"),
        pytest.param(1, None, BlockerState.PENDING, id="from-later"),
        pytest.param(1, 2, BlockerState.PENDING, id="planned"),
    ],
)
def test_a_blocker_stops_in_its_time(begins: float | None, expires: float | None, state: BlockerState) -> None:
    """Its last moment is not in it."""
    made = blocker(
        begins=None if begins is None else later(begins), expires=None if expires is None else later(expires)
    )

    assert made.state(NOW) is state
    assert (BlockerGate((made,)).holds(context(), NOW) is not None) == (state is BlockerState.ACTIVE)


@pytest.mark.parametrize(
    ("stops", "moment", "stopped"),
    [
        pytest.param(Stops.STARTS, Moment.START, True, id="start"),
        pytest.param(Stops.STARTS, Moment.STEP, False, id="step-under-way"),
        pytest.param(Stops.STEPS, Moment.START, True, id="start-is-a-step"),
        pytest.param(Stops.STEPS, Moment.STEP, True, id="step"),
    ],
)
def test_a_blocker_stops_starts_or_also_steps(stops: Stops, moment: Moment, stopped: bool) -> None:
    """Who stops steps stops starts too."""
    assert (BlockerGate((blocker(stops=stops),)).holds(context(moment), NOW) is not None) == stopped


def test_a_blocked_delivery_knows_everything() -> None:
    """What, who, how, since when, until when; of several Blockers the last to end, and nobody knows of one without."""
    ends = blocker("a", expires=later(60), created=later(-60), owner="red")
    last = blocker("b", namespace="", expires=later(90), created=later(-30), owner="blue")

    found = BlockerGate((ends, last)).holds(context(), NOW)
    endless = BlockerGate((ends, blocker("c"))).holds(context(), NOW)

    assert found is not None
    assert endless is not None
    assert found.what == ("Blocker shop/a to be lifted: an incident; and ClusterBlocker b to be lifted: an incident")
    assert found.command == "kubectl -n shop delete blocker a && kubectl delete clusterblocker b"
    assert (found.who, found.since, found.expected) == ("red; blue", later(-60), later(90))
    assert endless.expected is None


def test_gates_of_several_kinds_are_one_wait() -> None:
    """It ends with the last one, and names all that hold."""
    facts = GateFacts((window(),), (blocker(expires=later(60)),))

    found = facts.hold(context(), NOW)

    assert found is not None
    assert found.key == "window window/hours blocker/shop/freeze"
    assert "Window hours to open" in found.what
    assert "Blocker shop/freeze to be lifted" in found.what
    assert found.expected == later(2 * 3600)
    assert found.command == "kubectl edit window hours && kubectl -n shop delete blocker freeze"


@pytest.mark.parametrize(
    ("alarm", "kind"),
    [
        pytest.param(OK, None, id="ok"),
        pytest.param(ALARM, "alarm", id="alarm"),
        pytest.param(UNKNOWN, "alarms", id="unknown"),
    ],
)
def test_the_alarms_are_a_gate_of_the_start(alarm: Any, kind: str | None) -> None:
    """In a release under way the evidence decides, which may take it back."""
    gate = AlarmGate(Evidence((alarm,)), "kubectl describe alarms")
    found = gate.holds(context(), NOW)

    assert (found and found.kind) == kind
    assert gate.holds(context(Moment.STEP), NOW) is None


# --- the length of a release -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replicas", "more", "minutes"),
    [
        pytest.param(10, {}, 10 + 5 + 5 + 60, id="one-box-and-three-batches"),
        pytest.param(1, {}, 60, id="one-box-is-all"),
        pytest.param(2, {}, 10 + 60, id="two"),
        pytest.param(0, {}, 0, id="nothing"),
        pytest.param(9, {"zones": ["a", "b", "c"]}, 10 + 4 * 5 + 60, id="zones"),
        pytest.param(2, {"zones": ["a", "b", "c"]}, 10 + 60, id="more-zones-than-boxes"),
        pytest.param(10, {"minReadySeconds": 60}, 10 + 5 + 5 + 60 + 4, id="min-ready"),
    ],
)
def test_the_horizon_is_the_sum_of_the_bakes(replicas: int, more: dict[str, Any], minutes: int) -> None:
    """One box, each batch but the last, and the bake of all."""
    bakes = {"oneBox": {"bake": {"for": "10m"}}, "rolling": {"bake": {"for": "5m"}}, "bake": {"for": "1h"}}

    assert detection_horizon(spec(strategy=bakes, **more), replicas) == timedelta(minutes=minutes)


def test_a_version_that_is_known_to_be_good_needs_no_bake() -> None:
    """And a first one goes everywhere at once."""
    assert detection_horizon(spec(), 10, is_fast=True) == timedelta(0)
    assert detection_horizon(spec(), 10, is_first=True) == timedelta(minutes=1)


# --- decisions -------------------------------------------------------------------------------------------


def wanting(gates: GateFacts, **more: Any) -> Snapshot:
    """Stable on v1, and v2 is wanted."""
    return snapshot(spec("v2"), **{"template_check": CHECKED, "gates": gates} | more)


def test_a_closed_window_holds_the_start() -> None:
    """The Rollout is looked at again when it opens, but no later than in an hour, for clocks are set."""
    made = decide(wanting(GateFacts((window(),))), NOW)
    soon = decide(wanting(GateFacts((window("12:10-16:00"),))), NOW)

    assert (made.phase, made.queued) == (Phase.BLOCKED, V2)
    assert made.waiting is not None
    assert made.waiting.key == "window hours"
    assert made.waiting.expected == later(2 * 3600)
    assert (made.wake_at, soon.wake_at) == (later(3600), later(600))
    assert not made.is_watched


def test_an_open_window_lets_it_start() -> None:
    """As if there were none."""
    gated, free = decide(wanting(GateFacts((window("11:00-13:00"),))), NOW), decide(wanting(GateFacts()), NOW)

    assert gated == free
    assert gated.phase is Phase.ONE_BOX


def test_a_release_that_would_end_without_staff_does_not_start() -> None:
    """Four minutes of bakes from noon on end when everybody is gone."""
    staffed = [{"days": EVERY_DAY, "from": "09:00", "to": "12:03"}]
    made = decide(wanting(GateFacts((window("11:00-13:00", staffed=staffed),))), NOW)
    in_time = decide(wanting(GateFacts((window("11:00-13:00", staffed=staffed),))), later(-600))

    assert made.waiting is not None
    assert "when there is no staff" in made.waiting.what
    assert in_time.phase is Phase.ONE_BOX


def test_the_first_version_waits_too() -> None:
    """A start is a start."""
    nothing = snapshot(spec("v2"), artifacts=(), fleet=(), one_boxes=(), template_check=CHECKED)

    assert decide(changed(nothing, gates=GateFacts((), (blocker(),))), NOW).phase is Phase.BLOCKED


def test_windows_and_blockers_come_before_alarms() -> None:
    """While they hold, alarms may come and go without anybody waiting for them."""
    held = decide(wanting(GateFacts((window(),)), revert_alarm=ALARM), NOW)
    passed = decide(wanting(GateFacts((window("11:00-13:00"),)), revert_alarm=ALARM), NOW)

    assert held.waiting is not None
    assert passed.waiting is not None
    assert (held.waiting.key, passed.waiting.key) == ("window hours", "alarm")


def test_the_template_is_asked_about_at_once_and_again_before_the_start() -> None:
    """Its author hears of a mistake before the weekend, and no dry run is made all the weekend long."""
    stale = TemplateCheck(V2, is_stale=True)

    assert decide(wanting(GateFacts((window(),)), template_check=None), NOW).asks == V2
    assert decide(wanting(GateFacts((window(),)), template_check=stale), NOW).asks == ""
    assert decide(wanting(GateFacts((window("11:00-13:00"),)), template_check=stale), NOW).asks == V2


def flying(gates: GateFacts, **more: Any) -> Snapshot:
    """The one box of v2 is proven, and the first batch is next."""
    step = dataclasses.replace(
        advance.new_step(1, 1, later(-600)),
        high_water=1,
        arrived_at=later(-500),
        available_since=later(-500),
        ledger=Ledger(timedelta(minutes=1), later(-5), later(-500)),
    )
    position = layout.first_position(layout.segments(spec(), 10))
    made: dict[str, Any] = {
        "artifacts": (artifact("v1", 1, order=1), artifact("v2", 2)),
        "one_boxes": (one_box("v2"),),
        "memory": Memory(release=Release(V2, Mode.FORWARD, later(-600), position, step)),
        "gates": gates,
        "revert_alarm": verdict(at=later(-1)),
    }
    return snapshot(spec("v2"), **made | more)


def step_of(made: Plan) -> int:
    """The number of the step under way, 0 for none."""
    return made.memory.release.step.number if made.memory.release else 0


@pytest.mark.parametrize(
    ("gates", "number"),
    [
        pytest.param(GateFacts(), 2, id="free"),
        pytest.param(GateFacts((window(), WindowView("nowhere"))), 2, id="windows-closed"),
        pytest.param(GateFacts((), (blocker(),)), 2, id="starts-blocked"),
        pytest.param(GateFacts((), (blocker(stops=Stops.STEPS),)), 1, id="steps-blocked"),
        pytest.param(GateFacts((), (blocker(stops=Stops.STEPS, expires=NOW),)), 2, id="expired"),
    ],
)
def test_only_a_blocker_of_steps_stops_a_release_under_way(gates: GateFacts, number: int) -> None:
    """It keeps its boxes, and waits."""
    made = decide(flying(gates), NOW)

    assert step_of(made) == number
    if number == 1:
        assert made.waiting is not None
        assert made.waiting.key == "blocker shop/freeze"
        assert made.actions == ()
        assert made.phase is Phase.ONE_BOX_BAKE


EVERYTHING = GateFacts(
    (WindowView("nowhere"),), (blocker(stops=Stops.STEPS), blocker("event", namespace="", stops=Stops.STEPS))
)


def test_a_release_whose_steps_are_blocked_is_taken_back_and_aborted() -> None:
    """At once, by the alarm, or by whoever says so."""
    fired = decide(flying(EVERYTHING, revert_alarm=ALARM), NOW)
    aborted = decide(flying(EVERYTHING, rollout=rollout(spec("v2"), abort=V2)), NOW)

    assert (fired.phase, aborted.phase) == (Phase.REVERTING, Phase.REVERTING)


@pytest.mark.breadth
@settings(SLOWLY, max_examples=400)
@given(snapshots())
def test_gates_only_ever_hold_starts_and_steps(s: Snapshot) -> None:
    """In any world, with everything closed: what is no start and no step is decided as if nothing were."""
    free, held = decide(s, NOW), decide(changed(s, gates=EVERYTHING), NOW)

    before = s.memory.release
    is_start = free.memory.release is not None and held.memory.release is None
    is_step = free.memory.release is not None and before is not None and step_of(free) > before.step.number
    if held.waiting is None or "blocker" not in held.waiting.key:
        assert dataclasses.replace(held, notes=()) == dataclasses.replace(free, notes=())
        return
    assert is_start or is_step or free.phase in (Phase.BLOCKED, Phase.INVALID)
    assert not any(note.reason in ("Started", "StepApproved") for note in held.notes)
    assert held.phase not in (Phase.REVERTING, Phase.STABLE)


# --- what is measured ------------------------------------------------------------------------------------


def told(s: Snapshot, made: Plan, now: datetime = NOW) -> dict[str, Any]:
    """The status that this decision gives."""
    return report(s, made, {}, now)


def test_changes_that_are_overtaken_while_they_wait_are_counted() -> None:
    """Since the first of them; it is in the status, and in the Event of the start."""
    gates = GateFacts((window(),))
    first = decide(wanting(gates), NOW)
    again = decide(wanting(gates, memory=first.memory), later(60))
    third = snapshot(spec("v3"), template_check=TemplateCheck(id_of("v3")), gates=gates, memory=again.memory)
    second = decide(third, later(120))
    started = decide(changed(third, gates=GateFacts(), memory=second.memory), later(3600))

    assert first.memory.queued == again.memory.queued == Queued(V2, NOW, 0)
    assert second.memory.queued == Queued(id_of("v3"), NOW, 1)
    assert told(third, second)["queue"] == {"since": "2026-01-05T12:00:00Z", "superseded": 1}
    assert started.memory.queued is None
    assert started.notes[0].message.endswith(
        "It comes after a wait of 1h, in which 1 change was overtaken by later ones."
    )
    assert load_memory(dump_memory(second.memory)) == second.memory


def test_of_a_wait_that_overtook_nothing_only_the_length_is_told() -> None:
    """Nobody needs to read of 0 changes."""
    waited = decide(wanting(GateFacts((window(),))), NOW)

    started = decide(wanting(GateFacts(), memory=waited.memory), later(300))

    assert started.notes[0].message.endswith("boxes. It comes after a wait of 5m.")


def test_a_change_that_is_taken_back_does_not_wait_any_more() -> None:
    """The user went back to what runs."""
    waited = decide(wanting(GateFacts((window(),))), NOW)

    assert decide(snapshot(spec("v1"), memory=waited.memory), later(60)).memory.queued is None


def test_trouble_without_people_is_told() -> None:
    """By the Windows that the Rollout names; an abort is done by people."""
    reasons = [n.reason for n in decide(flying(GateFacts((window(),)), revert_alarm=ALARM), NOW).notes]
    at_work = [n.reason for n in decide(flying(GateFacts((window("11:00-13:00"),)), revert_alarm=ALARM), NOW).notes]
    aborted = decide(flying(GateFacts((window(),)), rollout=rollout(spec("v2"), abort=V2)), NOW)

    assert reasons == ["AlarmFired", "OffHours"]
    assert at_work == ["AlarmFired"]
    assert [n.reason for n in aborted.notes] == ["Aborted"]


def test_another_time_of_opening_is_worth_a_write() -> None:
    """Somebody changed the Window; the reason in words alone is not."""
    s = wanting(GateFacts((window(),)))
    before = told(s, decide(s, NOW))
    longer = changed(s, gates=GateFacts((window("15:00-16:00"),)))

    assert is_stale(before, told(longer, decide(longer, NOW)))
    assert not is_stale(before, told(s, decide(s, later(60))))


def test_boxes_are_scaled_while_everything_is_blocked() -> None:
    """Growth of what runs goes on."""
    s = snapshot(spec("v2", replicas=20), gates=EVERYTHING, template_check=CHECKED, fleet=(fleet("v1", 9),))

    assert [type(action).__name__ for action in decide(s, NOW).actions] == ["ScaleFleet"]
