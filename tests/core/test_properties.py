"""The properties that hold for every snapshot (style.md 3.2), on `decide` alone."""

import dataclasses
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ombak.core import layout
from ombak.core.advance import goal_of, new_step
from ombak.core.converge import asked_of
from ombak.core.decide import decide
from ombak.core.memory import Ledger, Memory, Mode, Position, Release, Reverting
from ombak.core.ownership import live_replicas
from ombak.core.plan import CreateFleet, Plan, ScaleFleet, WriteOneBox
from ombak.core.snapshot import Snapshot, TemplateCheck
from ombak.core.undone import without_undone
from ombak.simulation import pure
from support.effort import examples
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

VERSIONS = ("v1", "v2", "v3")
ACCEPTED = TemplateCheck("")
ROUNDS = 400


def drawn_spec(draw: Any) -> Any:
    """Any strategy."""
    zones = draw(st.sampled_from([None, None, ["a", "b"], ["a", "b", "c"]]))
    scope = draw(st.sampled_from(["Region", "Zone"])) if zones else "Region"
    strategy = {
        "oneBox": {"scope": scope, "bake": {"for": draw(st.sampled_from(["0s", "1m"]))}},
        "rolling": {
            "batch": draw(st.sampled_from(["33%", "10%", 1, 2])),
            "minAvailable": draw(st.sampled_from(["66%", "90%", "100%"])),
            "maxSurge": draw(st.sampled_from([0, 1, "25%"])),
            "bake": {"for": draw(st.sampled_from(["0s", "30s"]))},
        },
        "bake": {"for": draw(st.sampled_from(["0s", "2m"]))},
        "knownGood": draw(st.sampled_from(["Fast", "Full"])),
    }
    return spec(
        draw(st.sampled_from(VERSIONS)),
        replicas=draw(st.sampled_from([None, 0, 1, 2, 3, 5, 10, 30])),
        zones=zones,
        strategy=strategy,
        paused=draw(st.booleans()),
    )


def drawn_counts(draw: Any, size: int) -> dict[str, Any]:
    """Any status of a set of boxes, however odd."""
    ready = draw(st.integers(0, size + 1))
    return {
        "replicas": draw(st.integers(0, size + 2)),
        "ready": ready,
        "available": draw(st.integers(0, ready)),
        "is_current": draw(st.booleans()),
        "is_deleting": draw(st.sampled_from([False, False, False, True])),
        "drift": draw(st.sampled_from(["", "", "", "spec.template"])),
    }


def drawn_release(draw: Any, parts: tuple[layout.Segment, ...]) -> Release:
    """Any release, at any step, whose memory may be from another number of replicas."""
    segment = draw(st.integers(0, len(parts) - 1))
    size = max(1, parts[segment].size)
    moment = st.integers(-4000, 100).map(later)
    step = dataclasses.replace(
        new_step(draw(st.integers(1, 9)), draw(st.integers(0, 40)), draw(moment)),
        high_water=draw(st.integers(0, 40)),
        progress_at=draw(moment),
        arrived_at=draw(st.none() | moment),
        available_since=draw(st.none() | moment),
        down_since=draw(st.none() | moment),
        down_for=timedelta(seconds=draw(st.integers(0, 4000))),
        ledger=Ledger(timedelta(seconds=draw(st.integers(0, 200))), draw(st.none() | moment), draw(st.none() | moment)),
    )
    return Release(
        id_of(draw(st.sampled_from(VERSIONS))),
        draw(st.sampled_from(Mode)),
        draw(moment),
        Position(segment, draw(st.integers(0, size)), size),
        step,
        draw(st.none() | moment),
        draw(st.sampled_from([(), ("revert/0c5e1b2a/9f86d081884c",), ("nonsense",)])),
    )


@st.composite
def snapshots(draw: Any) -> Snapshot:
    """Any world, possible or not."""
    made = drawn_spec(draw)
    parts = layout.segments(made, made.replicas or 0)
    seen = draw(st.lists(st.sampled_from(VERSIONS), unique=True))
    artifacts = tuple(
        artifact(v, i + 1, order=draw(st.integers(0, 3)), rejected=draw(st.sampled_from(["", "", "AlarmFired"])))
        for i, v in enumerate(seen)
    )
    zones = made.zones or [""]
    sets = draw(st.lists(st.tuples(st.sampled_from(VERSIONS), st.sampled_from([*zones, "gone"])), unique=True))
    boxes = draw(st.lists(st.sampled_from([*zones, "gone"]), unique=True))
    kind = draw(st.sampled_from(["none", "release", "revert"]))
    memory = Memory()
    if kind == "release":
        memory = Memory(release=drawn_release(draw, parts))
    elif kind == "revert":
        source, target = draw(st.sampled_from(VERSIONS)), draw(st.sampled_from(VERSIONS))
        memory = Memory(
            reverting=Reverting(id_of(source), id_of(target), later(-900), 10, draw(st.integers(-9, 9)), later(-700))
        )
    return snapshot(
        made,
        rollout=rollout(
            made,
            problem=draw(st.sampled_from(["", "", "spec.x is no field"])),
            abort=draw(st.sampled_from(["", "", id_of("v2"), "a1ffffffffff"])),
            retry=draw(st.sampled_from(["", "", id_of("v2"), id_of("v2") + ".2"])),
            has_finalizer=draw(st.booleans()),
        ),
        memory=memory,
        artifacts=artifacts,
        fleet=tuple(fleet(v, n, zone=z, **drawn_counts(draw, n)) for v, z in sets for n in [draw(st.integers(0, 12))]),
        one_boxes=tuple(
            one_box(
                draw(st.sampled_from(VERSIONS)),
                n,
                zone=z,
                updated=draw(st.integers(0, 1)),
                surges=draw(st.booleans()),
                **drawn_counts(draw, n),
            )
            for z in boxes
            for n in [draw(st.integers(0, 1))]
        ),
        revert_alarm=draw(st.sampled_from([None, OK, ALARM, UNKNOWN, verdict(at=later(-4000))])),
        one_box_alarm=draw(st.sampled_from([None, OK, ALARM, UNKNOWN])),
        template_check=draw(st.sampled_from([None, TemplateCheck(id_of("v2")), TemplateCheck(id_of("v3"), "refused")])),
        elapsed=draw(st.none() | st.integers(0, 100).map(lambda n: timedelta(seconds=n))),
        boxes_trouble=draw(st.sampled_from([{}, {id_of("v2"): "1 x CrashLoopBackOff"}])),
    )


@given(snapshots())
def test_the_same_snapshot_gives_the_same_plan(s: Snapshot) -> None:
    """1: deciding is pure, and raises nothing for any snapshot."""
    assert decide(s, NOW) == decide(s, NOW)


@given(snapshots(), st.randoms(use_true_random=False))
def test_the_order_of_objects_does_not_matter(s: Snapshot, rng: random.Random) -> None:
    """10: a list in another order gives the same plan, but for the order of equal actions."""
    fleets, boxes, artifacts = list(s.fleet), list(s.one_boxes), list(s.artifacts)
    for found in (fleets, boxes, artifacts):
        rng.shuffle(found)

    one, other = decide(s, NOW), decide(changed(s, one_boxes=tuple(boxes), artifacts=tuple(artifacts)), NOW)

    assert (one.phase, one.memory, one.stable) == (other.phase, other.memory, other.stable)
    assert sorted(map(repr, one.actions)) == sorted(map(repr, other.actions))
    again = decide(changed(s, fleet=tuple(fleets)), NOW)
    assert (one.phase, one.memory) == (again.phase, again.memory)


@given(snapshots())
def test_no_step_forward_without_a_healthy_verdict(s: Snapshot) -> None:
    """6: unknown never counts as healthy, and neither does what was evaluated too early."""
    before, after = without_undone(s).memory.release, decide(s, NOW).memory.release
    verdicts = [v for v in (s.revert_alarm, s.one_box_alarm) if v is not None]
    if before is None or after is None or before.artifact != after.artifact or s.artifact(before.artifact) is None:
        return  # nothing goes on: it ended, or begins anew

    if after.step.number > before.step.number:
        assert all(v.is_ok for v in verdicts)
        since = before.step.available_since
        assert since is not None or not verdicts
        assert all(v.window_start and since and v.window_start >= since for v in verdicts)
        assert not s.rollout.spec.paused
        assert not s.rollout.problem
    else:
        parts = layout.segments(s.rollout.spec, live_replicas(s))
        assert goal_of(parts, after.position) == goal_of(parts, before.position)


@given(snapshots())
def test_an_alarm_always_takes_back_what_is_on_its_way(s: Snapshot) -> None:
    """P3: from any step, pause, invalid spec or deadline; a release without an Artifact is none.

    A way back to a good version is one already, and goes on.
    """
    release = s.memory.release
    assume(release is None or (s.artifact(release.artifact) is not None and release.mode is not Mode.BACK))
    s = changed(s, revert_alarm=ALARM)
    flying = s.memory.release.artifact if s.memory.release else ""

    found = decide(s, NOW).memory.release

    assert found is None or found.artifact != flying or s.artifact(flying) is None


@given(snapshots())
def test_wants_add_up_to_the_replicas(s: Snapshot) -> None:
    """5: every box is wanted once, whatever the position."""
    replicas = s.rollout.spec.replicas or 0
    parts = layout.segments(s.rollout.spec, replicas)
    release = s.memory.release
    if release is None:
        return

    wanted = layout.wants(parts, release.position, id_of("v2"), id_of("v1"))

    assert sum(w.count for w in wanted) == replicas
    assert sum(w.count for w in wanted if w.artifact == id_of("v2")) == goal_of(parts, release.position)


@pytest.mark.breadth
@given(snapshots())
def test_what_must_time_out_wakes_up(s: Snapshot) -> None:
    """A release or a revert under way is looked at again by itself."""
    found = decide(s, NOW)

    if found.memory.release is not None or found.memory.reverting is not None:
        assert found.wake_at is not None or s.rollout.is_deleting or found.phase == "Invalid"


def world(draw: Any) -> Snapshot:
    """A world that can exist: stable on v1, another version wanted."""
    made = drawn_spec(draw).model_copy(update={"paused": False})
    made = made.model_copy(update={"replicas": made.replicas or 4})
    start = changed(snapshot(made), artifacts=(), fleet=(), one_boxes=())
    s = changed(start, rollout=rollout(made.model_copy(update={"template": spec("v1").template})))
    s, _ = go(s, NOW)
    return changed(s, rollout=rollout(made))


Settled = tuple[Snapshot, datetime]


def go(s: Snapshot, now: datetime, ill: tuple[str, ...] = (), alarm_at: int = 10**6) -> Settled:
    """Decide, carry out and settle, tick by tick, until nothing more happens."""
    quiet = 0
    for tick in range(ROUNDS):
        now += timedelta(seconds=10)
        seen = ALARM if tick >= alarm_at else OK
        s = changed(
            s,
            revert_alarm=dataclasses.replace(seen, evaluated_at=now),
            elapsed=timedelta(seconds=10),
            template_check=TemplateCheck(s.rollout.artifact),
        )
        made = decide(s, now)
        before, s = s, pure.settled(pure.carried_out(s, made, now), ill)
        quiet = quiet + 1 if not made.actions and before.memory == s.memory else 0
        if quiet > 2:
            return s, now
    raise AssertionError(f"never settled: {decide(s, now)}")


def sizes(s: Snapshot) -> dict[tuple[str, str], int]:
    """What runs where."""
    found = {(f.artifact, f.zone): f.desired for f in s.fleet if f.desired}
    return found | {(f"{b.artifact} one box", b.zone): b.desired for b in s.one_boxes if b.desired}


@st.composite
def worlds(draw: Any) -> Snapshot:
    """A world that can exist."""
    return world(draw)


@settings(deadline=None, max_examples=examples(15))
@given(worlds(), st.sampled_from([(), (id_of("v2"), id_of("v3"))]), st.sampled_from([0, 3, 9, 10**6]))
def test_every_release_comes_to_an_end(s: Snapshot, ill: tuple[str, ...], alarm_at: int) -> None:
    """7, P3: Stable or Reverted in bounded ticks; 2: and then nothing more is done."""
    end, now = go(s, NOW, ill, alarm_at)

    found = decide(end, now)

    assert found.phase in ("Stable", "Reverted", "Blocked")
    assert found.actions == ()
    assert len({a.removesuffix(" one box") for a, _ in sizes(end)}) == 1


@settings(deadline=None, max_examples=examples(10))
@given(worlds(), st.integers(0, 30), st.integers(0, 6), st.sampled_from([2, 10**6]))
def test_stopping_after_any_write_comes_to_the_same_end(s: Snapshot, ticks: int, count: int, alarm_at: int) -> None:
    """3, P4: a plan cut off anywhere and decided anew ends where the whole plan would have."""
    whole, _ = go(s, NOW, alarm_at=alarm_at)
    now = NOW
    for tick in range(ticks):
        now += timedelta(seconds=10)
        s = changed(
            s,
            revert_alarm=dataclasses.replace(ALARM if tick >= alarm_at else OK, evaluated_at=now),
            elapsed=timedelta(seconds=10),
            template_check=TemplateCheck(s.rollout.artifact),
        )
        made = decide(s, now)
        s = pure.carried_out(s, made, now, count if tick == ticks - 1 else None)
        s = pure.settled(s)

    cut, _ = go(s, now, alarm_at=max(0, alarm_at - ticks))

    assert sizes(whole) == sizes(cut)
    assert decide(whole, now).phase == decide(cut, now).phase


@settings(deadline=None, max_examples=examples(10))
@given(worlds(), st.lists(st.integers(-5000, 5000), min_size=1, max_size=60))
def test_a_clock_that_jumps_invents_no_bake(s: Snapshot, jumps: list[int]) -> None:
    """8: accrued bake is never more than the monotonic time of the step."""
    now, spent, number = NOW, timedelta(0), 0
    for jump in jumps:
        now += timedelta(seconds=jump)
        s = changed(
            s,
            revert_alarm=dataclasses.replace(OK, evaluated_at=now),
            elapsed=timedelta(seconds=7),
            template_check=TemplateCheck(s.rollout.artifact),
        )
        made = decide(s, now)
        s = pure.settled(pure.carried_out(s, made, now))
        release = s.memory.release
        if release is None:
            return
        spent = spent + timedelta(seconds=7) if release.step.number == number else timedelta(0)
        number = release.step.number
        assert release.step.ledger.accrued <= spent


@settings(deadline=None, max_examples=examples(40))
@given(worlds(), st.integers(0, 4), st.integers(0, 4), st.booleans())
def test_a_stale_plan_never_exposes_more_than_was_approved(s: Snapshot, which: int, more: int, lost: bool) -> None:
    """4: a plan made from old knowledge, carried out later, meets newer versions of what it would change.

    So no more boxes of the new version are asked for than the position on record approves. It is the plan that moves
    boxes for the `which` time; with `lost` its approval is on record, and only its boxes come late.
    """
    now, wished, moved, late = NOW, s.rollout.artifact, 0, None
    for _ in range(60):
        now += timedelta(seconds=10)
        s = changed(
            s,
            revert_alarm=dataclasses.replace(OK, evaluated_at=now),
            elapsed=timedelta(seconds=10),
            template_check=TemplateCheck(wished),
        )
        made, count = decide(s, now), None
        if _moves(s, made, wished):
            if moved == which:
                late = (s, made)
                count = sum(isinstance(a, pure.EARLY) for a in made.actions) + 1 if lost else None
            moved += 1
        before, s = s, pure.settled(pure.carried_out(s, made, now, count))
        assert _is_approved(before, s, wished)
        if moved > which + more:
            break
    if late is None:
        return
    old, stale = late
    if _place(s) == _place(old):
        s = changed(s, memory=stale.memory)  # nobody wrote the status since, so it is taken
    before = s
    for action in stale.actions:
        s = pure.applied(s, action, now)
    assert _is_approved(before, s, wished)


def _is_approved(before: Snapshot, after: Snapshot, artifact: str) -> bool:
    """No more boxes of a version are asked for than before, or its position on record approves them."""
    release = before.memory.release if after.memory.release is None else after.memory.release
    if release is None or release.artifact != artifact:
        return True
    parts = layout.segments(after.rollout.spec, live_replicas(after))
    return asked_of(after, artifact) <= max(asked_of(before, artifact), goal_of(parts, release.position))


def _moves(s: Snapshot, made: Plan, artifact: str) -> bool:
    """It brings boxes of a version."""
    boxes = (a for a in made.actions if isinstance(a, CreateFleet | WriteOneBox) and a.artifact == artifact)
    grown = {f.name for f in s.fleet if f.artifact == artifact}
    return any(boxes) or any(isinstance(a, ScaleFleet) and a.name in grown for a in made.actions)


def _place(s: Snapshot) -> object:
    """What of the memory a status would tell apart."""
    release, back = s.memory.release, s.memory.reverting
    return (release and (release.artifact, release.position, release.step.number), back and back.source)
