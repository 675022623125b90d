"""Plans of a change on its way: its start, its steps, and the moment when it is stable (design 2)."""

import dataclasses
from datetime import datetime, timedelta

from ombak.api.rollout import KnownGood, Phase
from ombak.core import advance, layout, plan, retention, start
from ombak.core import bake as bakes
from ombak.core.converge import serving_of
from ombak.core.course import stays
from ombak.core.evidence import evidence_of
from ombak.core.layout import Part
from ombak.core.memory import Memory, Mode, Position, Release
from ombak.core.plan import Note, Plan, Waiting
from ombak.core.returning import reject, trouble_after
from ombak.core.scene import Scene

RECHECK = timedelta(minutes=1)
"""A refused template is tried again this often: a policy or a quota may have changed. So is what configuration lacks:
a right may have been given, and an object that merely bears the name of one of ours is not watched."""


def begin(scene: Scene) -> Plan:
    """A wanted version that is not on its way yet: gates first, then its one box."""
    s, wanted, stable = scene.s, scene.heading.artifact, scene.heading.stable
    blocked = start.what_blocks(s, evidence_of(s), scene.replicas, is_first=False)
    if blocked is not None:
        return _blocked(scene, blocked, scene.stay(stable), stable)
    view = s.artifact(wanted)
    known = view is not None and view.is_good and s.rollout.spec.strategy.known_good is KnownGood.FAST
    position = layout.first_position(scene.parts)
    return _launch(scene, Mode.FAST if known else Mode.FORWARD, position, stable)


def _blocked(scene: Scene, waiting: Waiting, actions: tuple[plan.Action, ...], current: str) -> Plan:
    s = scene.s
    problem = start.template_problem(s)
    return Plan(
        phase=Phase.INVALID if problem or waiting.key == "spec" else Phase.BLOCKED,
        memory=Memory(),
        actions=actions,
        waiting=waiting,
        message=f"{s.rollout.artifact or 'The new version'} has not started: it waits for {waiting.what}",
        current=current,
        queued=s.rollout.artifact,
        boxes=scene.boxes(current) if current else f"0/{scene.replicas}",
        asks=s.rollout.artifact if waiting.key == "template" and start.must_ask(s) else "",
        is_watched=waiting.key in ("alarm", "alarms"),
        wake_at=scene.now + RECHECK if problem or waiting.key == "config" else None,
    )


def _launch(scene: Scene, mode: Mode, position: Position, old: str) -> Plan:
    s, now, artifact = scene.s, scene.now, scene.heading.artifact
    step = advance.new_step(1, advance.goal_of(scene.parts, position), now)
    release = Release(artifact, mode, now, position, step)
    actions: tuple[plan.Action, ...] = ()
    if s.artifact(artifact) is None:
        sequence = 1 + max((a.sequence for a in s.artifacts), default=0)
        actions = (plan.CreateArtifact(artifact, sequence),)
    wanted = layout.wants(scene.parts, position, artifact, old or artifact)
    note = Note("Started", f"{artifact} starts in {step.goal} of {scene.replicas} boxes.")
    made = Plan(
        phase=Phase.INSTALLING if mode is Mode.INSTALL else Phase.ONE_BOX,
        memory=Memory(release=release),
        actions=(*actions, *scene.to(wanted, is_revert=mode is Mode.INSTALL)),
        notes=(note,),
        wake_at=now + s.poll,
    )
    return _described(made, scene, release, old)


def _described(made: Plan, scene: Scene, release: Release, old: str) -> Plan:
    """Add what every plan of a release tells."""
    s, step = scene.s, release.step
    goal = advance.goal_of(scene.parts, release.position)
    queued = s.rollout.artifact if s.rollout.artifact not in (release.artifact, old) else ""
    exposure = ", which is 100 % exposure" if scene.replicas == 1 else ""
    made = dataclasses.replace(made, waiting=made.waiting or advance.boxes_wait(s, release, scene.now))
    waiting = f" It waits for {made.waiting.what}." if made.waiting else ""
    bake = bakes.bake_of(s.rollout.spec, release, scene.parts)
    return dataclasses.replace(
        made,
        current=release.artifact,
        queued=queued,
        bake_length=bake.for_,
        bake=bakes.told(bake, step.ledger) if bake.for_ and step.available_since else "",
        boxes=f"{serving_of(s, release.artifact)}/{scene.replicas}",
        step=f"step {step.number}: {goal} of {scene.replicas} boxes approved{exposure}",
        message=made.message or f"{release.artifact} may run in {goal} of {scene.replicas} boxes{exposure}.{waiting}",
        is_watched=True,
    )


def install(scene: Scene) -> Plan:
    """No version is known to be good here: everything at once, then a bake; what runs is never scaled down."""
    s, wanted = scene.s, scene.heading.artifact
    unrecorded = start.unrecorded(s)
    if unrecorded is not None:
        return _blocked(scene, unrecorded, (), stays(s))
    release = s.memory.release
    if release is not None and release.artifact == wanted and s.artifact(wanted) is not None:
        return _go_on(scene, release, wanted)
    running = sum(o.desired for o in (*s.fleet, *s.one_boxes))
    blocked = start.what_blocks(s, evidence_of(s), scene.replicas, is_first=True)
    if blocked is not None:
        held = stays(s)
        return _blocked(scene, blocked, scene.stay(held) if held and running else (), held)
    return _launch(scene, Mode.INSTALL, layout.last_position(scene.parts), "")


def forward(scene: Scene) -> Plan:
    release = scene.s.memory.release
    if release is None or release.artifact != scene.heading.artifact:
        release = _remembered(scene)
    return _go_on(scene, release, scene.heading.stable)


def _remembered(scene: Scene) -> Release:
    """Rebuild a release from the boxes it has, after its memory was erased: its evidence starts anew."""
    s, now, artifact = scene.s, scene.now, scene.heading.artifact
    have: dict[tuple[Part, str], int] = {}
    for fleet in s.fleet:
        if fleet.artifact == artifact:
            have[Part.FLEET, fleet.zone] = fleet.desired
    for box in s.one_boxes:
        if box.artifact == artifact:
            have[Part.ONE_BOX, box.zone] = box.desired
    position = layout.observed_position(scene.parts, have)
    view = s.artifact(artifact)
    known = view is not None and view.is_good and s.rollout.spec.strategy.known_good is KnownGood.FAST
    step = advance.new_step(1, advance.goal_of(scene.parts, position), now)
    return Release(artifact, Mode.FAST if known else Mode.FORWARD, now, position, step)


def _go_on(scene: Scene, release: Release, old: str) -> Plan:
    """One look at a release: take it back, hold it, or take its next step."""
    s, now = scene.s, scene.now
    evidence = evidence_of(s)
    release = _fitted(scene, release)
    wanted = layout.wants(scene.parts, release.position, release.artifact, old)
    release = advance.observe(s, release, wanted, scene.parts, evidence, now)
    judgement = advance.judge(s, release, scene.parts, evidence, now)
    if isinstance(judgement, advance.Reject):
        return reject(scene, release, judgement)
    if isinstance(judgement, advance.Hold):
        return _hold(scene, release, old, wanted, judgement)
    if layout.is_everywhere(scene.parts, release.position):
        return _finish(scene, release)
    return _step(scene, release, old)


def _fitted(scene: Scene, release: Release) -> Release:
    """Return the release where the parts are fewer than at its approval: somebody took zones out of the spec."""
    if release.position.segment < len(scene.parts):
        return release
    if release.mode is Mode.INSTALL:
        return dataclasses.replace(release, position=layout.last_position(scene.parts))
    return _remembered(scene)


def _hold(scene: Scene, release: Release, old: str, wanted: tuple[layout.Want, ...], judgement: advance.Hold) -> Plan:
    waiting = judgement.waiting
    ask_at = (release.step.down_since or scene.now) + trouble_after(scene)
    lost = waiting.key == "boxes" and scene.now >= ask_at
    made = Plan(
        phase=_phase(scene, release),
        memory=Memory(release=release),
        actions=scene.to(wanted, is_revert=release.mode is Mode.INSTALL),
        waiting=waiting,
        wake_at=min((scene.now + scene.s.poll, *_future(scene.now, waiting.expected, ask_at))),
        wants_trouble=lost,
        is_loud=judgement.is_loud,
    )
    return _described(made, scene, release, old)


def _future(now: datetime, *moments: datetime | None) -> list[datetime]:
    return [moment for moment in moments if moment is not None and moment > now]


def _phase(scene: Scene, release: Release) -> Phase:
    is_there = release.step.available_since is not None
    part = scene.parts[release.position.segment].part
    if part is Part.ONE_BOX and not is_there and release.mode is not Mode.INSTALL:
        return Phase.ONE_BOX
    if layout.is_everywhere(scene.parts, release.position):
        waiting = Phase.INSTALLING if release.mode is Mode.INSTALL else Phase.ROLLING
        return Phase.BAKE if is_there else waiting
    return Phase.ONE_BOX_BAKE if part is Part.ONE_BOX else Phase.ROLLING


def _step(scene: Scene, release: Release, old: str) -> Plan:
    """Approve the next batch; this is the only place where more boxes may get a new version."""
    now = scene.now
    position = layout.next_position(scene.parts, release.position, scene.limits().batch)
    goal = advance.goal_of(scene.parts, position)
    step = advance.new_step(release.step.number + 1, goal, now)
    release = dataclasses.replace(release, position=position, step=step)
    wanted = layout.wants(scene.parts, position, release.artifact, old)
    made = Plan(
        phase=_phase(scene, release),
        memory=Memory(release=release),
        actions=scene.to(wanted),
        notes=(Note("StepApproved", f"{release.artifact} goes on to {goal} of {scene.replicas} boxes."),),
        wake_at=now + scene.s.poll,
    )
    return _described(made, scene, release, old)


def _finish(scene: Scene, release: Release) -> Plan:
    s, artifact = scene.s, release.artifact
    order = 1 + max((a.stable_order for a in s.artifacts), default=0)
    return Plan(
        phase=Phase.STABLE,
        memory=Memory(),
        actions=(
            plan.RecordStable(artifact, order),
            *scene.stay(artifact),
            *retention.leftovers(s, artifact, scene.zones),
        ),
        notes=(Note("Stable", f"{artifact} runs in all {scene.replicas} boxes and finished its bake."),),
        message=f"{artifact} runs in every box and finished its bake.",
        current=artifact,
        stable=artifact,
        boxes=scene.boxes(artifact),
        wake_at=scene.now if s.rollout.artifact != artifact else None,
    )
