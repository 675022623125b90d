"""What an active Override does to a Rollout: shorter bakes, named gates, no others meanwhile, and taking over."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_properties import snapshots

from ombak.api.blocker import Stops
from ombak.api.rollout import Phase, RolloutSpec
from ombak.api.window import WindowSpec
from ombak.core import advance, layout
from ombak.core.capacity import floor_of
from ombak.core.converge import serving_all
from ombak.core.decide import decide
from ombak.core.floors import Floors, raised
from ombak.core.gates.blockers import BlockerView
from ombak.core.gates.compile import compile_window
from ombak.core.gates.facts import GateFacts
from ombak.core.gates.windows import WindowView
from ombak.core.memory import Ledger, Memory, Mode, Release
from ombak.core.news import is_urgent
from ombak.core.overrides.effective import effective, shortened
from ombak.core.overrides.view import Shortened
from ombak.core.plan import Plan
from ombak.core.report import report
from ombak.core.snapshot import Snapshot, TemplateCheck
from ombak.simulation import pure
from support.overrides import approved, gates, override
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
    verdict,
)

V1, V2, V3 = id_of("v1"), id_of("v2"), id_of("v3")
FREEZE = BlockerView("shop", "freeze", "sre", "an incident")
EVENT = BlockerView("", "event", "sre", "the big sale", stops=Stops.STEPS)
HOURS = WindowView(
    "hours",
    compile_window(
        WindowSpec.model_validate({"timeZone": "UTC", "open": [{"days": ["Tue"], "from": "09:00", "to": "10:00"}]}),
        "UTC",
    ),
)
SLOWLY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def wanting(version: str = "v2", **more: Any) -> Snapshot:
    """Stable on v1, and another version is wanted."""
    return snapshot(spec(version), **{"template_check": TemplateCheck(id_of(version))} | more)


def flying(version: str = "v2", wanted: str = "v2", baked: float = 30, **more: Any) -> Snapshot:
    """The one box of a version is there, and its bake of a minute was good for so many seconds."""
    ledger = Ledger(timedelta(seconds=baked), later(-5), later(-500))
    step = dataclasses.replace(
        advance.new_step(1, 1, later(-600)),
        high_water=1,
        arrived_at=later(-500),
        available_since=later(-500),
        ledger=ledger,
    )
    position = layout.first_position(layout.segments(spec(), 10))
    made: dict[str, Any] = {
        "artifacts": (artifact("v1", 1, order=1), artifact(version, 2)),
        "one_boxes": (one_box(version),),
        "memory": Memory(release=Release(id_of(version), Mode.FORWARD, later(-600), position, step)),
        "revert_alarm": verdict(at=later(-1)),
        "template_check": TemplateCheck(id_of(wanted)),
    }
    return snapshot(spec(wanted), **made | more)


def step_of(made: Plan) -> int:
    """The number of the step under way, 0 for none."""
    return made.memory.release.step.number if made.memory.release else 0


def key_of(made: Plan) -> str:
    """The word of what it waits for."""
    return made.waiting.key if made.waiting is not None else ""


def note_of(made: Plan, reason: str) -> str:
    """The Event of that reason, empty if there is none."""
    return next((note.message for note in made.notes if note.reason == reason), "")


# --- shorter bakes ---------------------------------------------------------------------------------------


def test_a_bake_is_shortened_for_the_artifact_and_for_no_other() -> None:
    """Half a minute of the minute is enough; Events say by whom."""
    usual, made = decide(flying(), NOW), decide(flying(gates=gates(override())), NOW)
    other = decide(flying(gates=gates(override("v3"))), NOW)

    assert (step_of(usual), step_of(made), step_of(other)) == (1, 2, 1)
    assert note_of(made, "Overridden") == (
        f"{V2} goes on before its bake of 1m is over, by Override fix of alice, approved by bob, "
        "until 2026-01-05 13:00:00 UTC: CVE-2026-1"
    )


@pytest.mark.parametrize(
    ("baked", "step"), [pytest.param(0, 1, id="under-the-floor"), pytest.param(5, 2, id="at-the-floor")]
)
def test_no_bake_is_shorter_than_the_override_says(baked: float, step: int) -> None:
    """Five more seconds are counted by this look; ten are needed."""
    assert step_of(decide(flying(baked=baked, gates=gates(override())), NOW)) == step


def test_an_override_that_ends_in_a_bake_leaves_what_was_proven() -> None:
    """The whole bake holds again, and goes on from where it is; no step is taken back."""
    short = gates(override(bake={"oneBox": "40s"}, expires=later(1).isoformat()))
    during, after = decide(flying(baked=20, gates=short), NOW), decide(flying(baked=20, gates=short), later(2))

    assert during.bake == "25s of 40s by 12:00:00Z"
    assert during.wake_at == later(1)
    assert after.bake == "25s of 1m by 12:00:02Z"
    assert after.override is None
    assert after.memory.release is not None
    assert after.memory.release.position == flying().memory.release.position  # type: ignore[union-attr]


def test_alarms_hold_under_an_override_as_ever() -> None:
    """Every step is gone through, only faster (R82): unknown holds, and an alarm takes back."""
    fired = decide(flying(gates=gates(override()), revert_alarm=ALARM), NOW)
    stale = decide(flying(gates=gates(override()), revert_alarm=verdict(at=later(-1), window=3600)), NOW)

    assert fired.phase is Phase.REVERTING
    assert key_of(stale) == "evidence"


DURATIONS = st.integers(0, 7200).map(lambda seconds: timedelta(seconds=seconds))


def lengths(made: RolloutSpec) -> list[timedelta]:
    """The three bakes."""
    strategy = made.strategy
    return [strategy.one_box.bake.for_, strategy.rolling.bake.for_, strategy.bake.for_]


@given(st.tuples(DURATIONS, DURATIONS, DURATIONS), st.tuples(DURATIONS, DURATIONS, DURATIONS), st.booleans())
def test_effective_is_the_longer_of_both_unless_overridden(
    written: tuple[timedelta, ...], floor: tuple[timedelta, ...], is_overridden: bool
) -> None:
    """`bake: 0` in a manifest is no way round a floor; an Override's word is the last, and only ever shortens."""
    made = spec(
        "v2",
        strategy={
            "oneBox": {"bake": {"for": f"{written[0].seconds}s"}},
            "rolling": {"bake": {"for": f"{written[1].seconds}s"}},
            "bake": {
                "for": f"{written[2].seconds}s",
                "atMost": f"{written[2].seconds + 60}s",
                "atLeast": [{"name": "calls", "query": "q", "count": 1}],
            },
        },
    )
    found = gates(override()) if is_overridden else GateFacts()
    s = snapshot(made, gates=found, floors=Floors(*floor))
    wanted = [max(pair) for pair in zip(written, floor, strict=True)]
    if is_overridden:
        limits = [timedelta(seconds=10), timedelta(seconds=5), timedelta(seconds=20)]
        wanted = [min(pair) for pair in zip(wanted, limits, strict=True)]

    last = effective(s, V2, NOW).rollout.spec.strategy.bake

    assert lengths(effective(s, V2, NOW).rollout.spec) == wanted
    assert last.at_most is not None
    assert last.at_most >= last.for_ + timedelta(seconds=60) if not is_overridden else last.at_most >= last.for_
    assert last.at_least == made.strategy.bake.at_least


def test_what_changes_nothing_is_the_same_object() -> None:
    """Most Rollouts have neither a floor above their bakes nor an Override."""
    s = snapshot()
    strategy = s.rollout.spec.strategy

    assert effective(s, V1, NOW) is s
    assert raised(strategy, Floors(timedelta(seconds=60))) is strategy
    assert shortened(strategy, Shortened(timedelta(hours=2))) is strategy


def test_a_floor_of_the_region_holds_a_release() -> None:
    """The bake that was enough is not, and status tells the longer one."""
    floors = Floors(one_box=timedelta(hours=1))
    made = decide(flying(baked=120, floors=floors), NOW)
    free = decide(flying(baked=120), NOW)

    assert (step_of(free), step_of(made)) == (2, 1)
    assert made.bake_length == timedelta(hours=1)
    assert step_of(decide(flying(baked=120, floors=floors, gates=gates(override())), NOW)) == 2


# --- named gates -----------------------------------------------------------------------------------------

PASSES = [
    pytest.param("Blocker", "freeze", {"blockers": (FREEZE,)}, id="blocker"),
    pytest.param("ClusterBlocker", "event", {"blockers": (EVENT,)}, id="cluster-blocker"),
    pytest.param("Window", "hours", {"windows": (HOURS,)}, id="window"),
    pytest.param("Window", "nowhere", {"windows": (WindowView("nowhere"),)}, id="missing-window"),
]


@pytest.mark.parametrize(("kind", "name", "closed"), PASSES)
def test_a_named_gate_is_passed_and_no_other(kind: str, name: str, closed: dict[str, Any]) -> None:
    """Without it the change waits, and with another name it waits too; the Event names what was passed."""
    found = override(bake=None, passes=[{"kind": kind, "name": name}])
    misses = override(bake=None, passes=[{"kind": kind, "name": "other"}])
    same_name = override(bake=None, passes=[{"kind": "Window" if kind != "Window" else "Blocker", "name": name}])

    for wrong in (gates(**closed), gates(misses, **closed), gates(same_name, **closed)):
        assert decide(wanting(gates=wrong), NOW).phase is Phase.BLOCKED
    made = decide(wanting(gates=gates(found, **closed)), NOW)

    assert made.phase is Phase.ONE_BOX
    assert name in note_of(made, "Overridden")
    assert decide(wanting("v3", gates=gates(found, **closed)), NOW).phase is Phase.BLOCKED


def test_a_blocker_of_steps_is_passed_in_the_middle() -> None:
    """It is told once, with the step."""
    found = override(bake=None, passes=[{"kind": "ClusterBlocker", "name": "event"}])
    held = decide(flying(baked=120, gates=gates(blockers=(EVENT,))), NOW)
    made = decide(flying(baked=120, gates=gates(found, blockers=(EVENT,))), NOW)

    assert (step_of(held), step_of(made)) == (1, 2)
    assert "passes event, by Override fix of alice" in note_of(made, "Overridden")


def test_what_nothing_was_in_the_way_of_is_not_told() -> None:
    """An Override that was not needed makes no Event."""
    found = override(bake=None, passes=[{"kind": "ClusterBlocker", "name": "event"}])

    assert note_of(decide(wanting(gates=gates(found)), NOW), "Overridden") == ""
    assert note_of(decide(flying(baked=120, gates=gates(found)), NOW), "Overridden") == ""


# --- the others meanwhile --------------------------------------------------------------------------------


def test_no_other_artifact_starts_meanwhile() -> None:
    """Who waits is told why, by whom, until when, and how to end it (R83); it is looked at again then."""
    made = decide(wanting("v3", gates=gates(override())), NOW)

    assert made.phase is Phase.BLOCKED
    assert made.waiting is not None
    assert made.waiting.key == "override fix"
    assert made.waiting.command == "kubectl -n shop delete override fix"
    assert made.waiting.expected == made.wake_at == later(3600)
    assert decide(wanting("v3", gates=gates(override())), later(3600)).phase is Phase.ONE_BOX


def test_a_release_of_another_artifact_stands_still_unless_the_fix_waits_behind_it() -> None:
    """Else neither would ever move; an alarm takes it back in any case."""
    alone = flying("v3", "v3", baked=120, gates=gates(override()))
    before = flying("v3", "v2", baked=120, gates=gates(override()))

    assert (step_of(decide(alone, NOW)), key_of(decide(alone, NOW))) == (1, "override fix")
    assert step_of(decide(before, NOW)) == 2
    assert decide(changed(alone, revert_alarm=ALARM), NOW).phase is Phase.REVERTING


@pytest.mark.parametrize(
    "fix",
    [
        pytest.param(artifact("v2", 2, order=2), id="stable"),
        pytest.param(artifact("v2", 2, rejected="AlarmFired"), id="taken-back"),
    ],
)
def test_the_others_go_on_when_the_fix_has_come_to_its_end(fix: Any) -> None:
    """Whichever end it was."""
    version = "v2" if fix.stable_order else "v1"
    s = wanting("v3", artifacts=(artifact("v1", 1, order=1), fix), gates=gates(override()))
    s = changed(s, fleet=(fleet(version, 9),), one_boxes=(one_box(version),))

    assert decide(s, NOW).phase is Phase.ONE_BOX


def test_until_somebody_has_looked_nothing_starts_and_nothing_is_allowed() -> None:
    """A moment later it is known whether it was approved as it must be."""
    unseen = gates(override(flaw=None))
    made, fix = decide(wanting("v3", gates=unseen), NOW), decide(flying(gates=unseen), NOW)

    assert (made.phase, key_of(made)) == (Phase.BLOCKED, "override fix")
    assert step_of(fix) == 1
    assert decide(wanting("v3", gates=gates(override(flaw=None, approvals=[]))), NOW).phase is Phase.ONE_BOX


@pytest.mark.breadth
@settings(SLOWLY, max_examples=300)
@given(snapshots())
def test_an_override_for_another_artifact_only_ever_holds_starts_and_steps(s: Snapshot) -> None:
    """In any world: a revert, an abort, a repair and scaling are decided as if there were none."""
    other = gates(override("v9"))
    free, held = decide(s, NOW), decide(changed(s, gates=other), NOW)
    held = dataclasses.replace(held, override=None, wake_at=free.wake_at)

    if not key_of(held).startswith("override"):
        assert dataclasses.replace(held, notes=()) == dataclasses.replace(free, notes=())
        return
    assert held.phase not in (Phase.REVERTING, Phase.STABLE)
    assert not any(note.reason in ("Started", "StepApproved", "Superseded") for note in held.notes)


# --- taking over -----------------------------------------------------------------------------------------

TAKEOVER = override(bake=None, supersede=True)
"""v2 may take the place of what is on its way."""


def test_the_fix_takes_the_place_of_what_is_on_its_way() -> None:
    """At once, into the one box, without a way back in between; nothing is rejected."""
    waits, made = decide(flying("v3", gates=gates(override())), NOW), decide(flying("v3", gates=gates(TAKEOVER)), NOW)

    assert waits.memory.release is not None
    assert waits.memory.release.artifact == V3
    assert waits.queued == V2
    assert made.phase is Phase.ONE_BOX
    assert made.memory.release is not None
    assert (made.memory.release.artifact, made.memory.release.step.number) == (V2, 1)
    assert note_of(made, "Superseded").startswith(
        f"{V2} takes the place of {V3}, which is given up on its way, by Override fix of alice, approved by bob"
    )
    assert [type(a).__name__ for a in made.actions if "Record" in type(a).__name__] == []


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"gates": gates(TAKEOVER, blockers=(FREEZE,))}, id="blocked"),
        pytest.param({"revert_alarm": UNKNOWN}, id="nothing-known"),
        pytest.param({"artifacts": (artifact("v2", 3, rejected="Aborted"), artifact("v1", 1, order=1))}, id="rejected"),
    ],
)
def test_what_could_not_start_takes_nobodys_place(more: dict[str, Any]) -> None:
    """What is on its way goes on, or is held by what holds it."""
    s = flying("v3", **{"gates": gates(TAKEOVER)} | more)
    if "artifacts" in more:
        s = changed(s, artifacts=(*s.artifacts, artifact("v3", 2)))
    made = decide(s, NOW)

    assert made.memory.release is not None
    assert made.memory.release.artifact == V3
    assert note_of(made, "Superseded") == ""


def test_the_template_of_what_may_take_over_is_asked_about() -> None:
    """Else it would wait for the end of what it is to replace."""
    assert decide(flying("v3", gates=gates(TAKEOVER), template_check=None), NOW).asks == V2
    assert decide(flying("v3", gates=gates(override()), template_check=None), NOW).asks == ""


def test_the_first_version_of_all_is_superseded_too() -> None:
    """It serves, but its bake is not over."""
    nothing = snapshot(spec("v3"), artifacts=(), fleet=(), one_boxes=(), template_check=TemplateCheck(V3))
    first = pure.settled(pure.carried_out(nothing, decide(nothing, NOW), NOW))
    s = changed(first, rollout=rollout(spec("v2")), template_check=TemplateCheck(V2))
    assert decide(s, NOW).memory.release.artifact == V3  # type: ignore[union-attr]

    made = decide(changed(s, gates=gates(TAKEOVER)), NOW)
    later_on = decide(pure.carried_out(changed(s, gates=gates(TAKEOVER)), made, NOW), later(5))

    assert made.memory.release is not None
    assert (made.memory.release.artifact, made.memory.release.mode) == (V2, Mode.INSTALL)
    assert later_on.memory.release is not None
    assert later_on.memory.release.artifact == V2


def ticks(s: Snapshot, count: int, now: datetime) -> Iterator[tuple[Snapshot, Plan]]:
    """The worlds and plans of so many looks, 15 s apart, in which everything that is asked for comes up."""
    for index in range(count):
        at = now + index * s.poll
        s = changed(s, revert_alarm=verdict(at=at), elapsed=s.poll)
        made = decide(s, at)
        yield s, made
        s = pure.settled(pure.carried_out(s, made, at))


@pytest.mark.breadth
@settings(SLOWLY, max_examples=40)
@given(
    replicas=st.integers(1, 30),
    zones=st.sampled_from([None, ["a", "b"], ["a", "b", "c"]]),
    scope=st.sampled_from(["Region", "Zone"]),
    surge=st.sampled_from([0, 1]),
    before=st.integers(1, 80),
)
def test_a_takeover_keeps_the_floor_and_ends_on_the_fix(
    replicas: int, zones: list[str] | None, scope: str, surge: int, before: int
) -> None:
    """From any moment of any release: capacity never under the floor, and only the fix runs in the end."""
    strategy = {
        "oneBox": {"scope": scope if zones else "Region", "bake": {"for": "30s"}},
        "rolling": {"bake": {"for": "15s"}, "maxSurge": surge},
        "bake": {"for": "30s"},
    }

    def wants(version: str) -> RolloutSpec:
        return spec(version, replicas=replicas, zones=zones, strategy=strategy)

    empty = snapshot(wants("v1"), artifacts=(), fleet=(), one_boxes=(), template_check=TemplateCheck(V1))
    *_, (s, made) = ticks(empty, 40, later(-1200))
    assert made.phase is Phase.STABLE
    s = changed(s, rollout=rollout(wants("v3")), template_check=TemplateCheck(V3))
    *_, (s, _) = ticks(s, before, NOW)
    s = changed(s, rollout=rollout(wants("v2")), template_check=TemplateCheck(V2), gates=gates(TAKEOVER))
    floor = floor_of(s.rollout.spec.strategy.rolling.min_available, replicas)
    taken = list(ticks(s, 150, later(1300)))
    s, made = taken[-1]

    assert min(serving_all(seen) for seen, _ in taken) >= floor - (replicas == 1)
    assert made.phase is Phase.STABLE
    assert made.stable == V2
    assert {o.artifact for o in (*s.fleet, *s.one_boxes) if o.desired} == {V2}


# --- what status says ------------------------------------------------------------------------------------


def test_status_names_the_override_while_it_counts() -> None:
    """Who, by whom, why and until when; its begin and its end are worth a write."""
    s = snapshot(gates=gates(override()))
    without, with_it = report(snapshot(), decide(snapshot(), NOW), {}, NOW), report(s, decide(s, NOW), {}, NOW)

    assert with_it["override"] == {
        "name": "fix",
        "artifact": V2,
        "requestedBy": "alice",
        "approvedBy": ["bob"],
        "reason": "CVE-2026-1",
        "until": "2026-01-05T13:00:00Z",
    }
    assert is_urgent(without, with_it, timedelta(0))
    assert is_urgent(with_it, without, timedelta(0))
    assert "override" not in report(s, decide(s, later(3600)), {}, later(3600))


def test_two_approvals_are_both_on_record() -> None:
    """In the order of names."""
    found = override(approvals=[*approved("carol"), *approved("bob")])

    assert decide(snapshot(gates=gates(found)), NOW).override.approved_by == ("bob", "carol")  # type: ignore[union-attr]
