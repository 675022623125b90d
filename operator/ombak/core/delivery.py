"""Plans of a change on its way: its start, its steps, and the moment when it is stable (design 2)."""

import dataclasses
from datetime import datetime, timedelta

from ombak.api.duration import format_duration
from ombak.api.rollout import Phase
from ombak.api.wording import sentence
from ombak.core import advance, baseline, layout, plan, retention, sight, start
from ombak.core import bake as bakes
from ombak.core.converge import artifacts_with_boxes, serving_of
from ombak.core.course import Course, stays
from ombak.core.evidence import NO_EVIDENCE, Evidence, evidence_of
from ombak.core.layout import Part
from ombak.core.memory import Memory, Mode, Position, Release
from ombak.core.phases import phase_of
from ombak.core.plan import Note, Plan, Waiting
from ombak.core.returning import reject, trouble_after
from ombak.core.scene import Scene
from ombak.core.snapshot import Snapshot

LATEST_LOOK = timedelta(hours=1)
"""What waits for a moment is looked at again at least this often: clocks are set, and machines sleep."""
_AT_ONCE = (Mode.INSTALL, Mode.BACK)
"""No step by step: all boxes may have it as soon as there is room."""
_PHASE_AT_START = {Mode.INSTALL: Phase.INSTALLING, Mode.BACK: Phase.ROLLING}
_BACK = (
    "It was stable here before and an alarm is on, so it goes as a revert does: no alarm, Window or Blocker holds it"
)
RECHECK = timedelta(minutes=1)
"""A refused template is tried again this often: a policy or a quota may have changed. So is what configuration lacks:
a right may have been given, and an object that merely bears the name of one of ours is not watched."""


def begin(scene: Scene) -> Plan:
    """A wanted version that is not on its way yet: gates first, then its one box."""
    s, stable = scene.s, scene.heading.stable
    evidence = evidence_of(s)
    blocked = start.what_blocks(s, evidence, scene.replicas, scene.now, is_first=False)
    if blocked is not None:
        return _blocked(scene, blocked, scene.stay(stable), stable)
    if start.is_way_back(s, evidence):
        return _launch(scene, Mode.BACK, layout.last_position(scene.parts), stable)
    position = layout.first_position(scene.parts)
    return _launch(scene, Mode.FAST if start.is_known_good(s) else Mode.FORWARD, position, stable)


def _blocked(scene: Scene, waiting: Waiting, actions: tuple[plan.Action, ...], current: str) -> Plan:
    s = scene.s
    problem = start.template_problem(s)
    return Plan(
        phase=Phase.INVALID if start.is_invalid(s) or waiting.key == "spec" else Phase.BLOCKED,
        memory=Memory(),
        actions=actions,
        waiting=waiting,
        message=sentence(f"{s.rollout.artifact or 'The new version'} has not started: it waits for {waiting.what}"),
        current=current,
        queued=s.rollout.artifact,
        boxes=scene.boxes(current) if current else f"0/{scene.replicas}",
        asks=s.rollout.artifact if waiting.key == "template" and start.must_ask(s) else "",
        is_watched=waiting.key in ("alarm", "alarms"),
        is_loud=bool(problem) and not start.is_invalid(s),
        wake_at=_look_again(scene.now, waiting, problem),
    )


def _look_again(now: datetime, waiting: Waiting, problem: str) -> datetime | None:
    if problem or waiting.key == "config":
        return now + RECHECK
    return None if waiting.expected is None else min(max(now, waiting.expected), now + LATEST_LOOK)


def _launch(scene: Scene, mode: Mode, position: Position, old: str) -> Plan:
    s, now, artifact = scene.s, scene.now, scene.heading.artifact
    step = advance.new_step(1, advance.goal_of(scene.parts, position), now)
    release = Release(artifact, mode, now, position, step)
    if mode is Mode.INSTALL or (mode is Mode.FORWARD and evidence_of(s).alarm is not None):
        release = baseline.taken(s, release)  # where nothing runs yet, or by an Override
    actions: tuple[plan.Action, ...] = ()
    if s.artifact(artifact) is None:
        sequence = 1 + max((a.sequence for a in s.artifacts), default=0)
        actions = (plan.CreateArtifact(artifact, sequence),)
    wanted = layout.wants(scene.parts, position, artifact, old or artifact)
    made = Plan(
        phase=_PHASE_AT_START.get(mode, Phase.ONE_BOX),
        memory=Memory(release=release),
        actions=(*actions, *scene.to(wanted, is_revert=mode in _AT_ONCE)),
        notes=(_started(scene, mode, step.goal),),
        wake_at=now + s.poll,
    )
    return _described(made, scene, release, old)


def _started(scene: Scene, mode: Mode, goal: int) -> Note:
    told = f"{scene.heading.artifact} starts in {goal} of {scene.replicas} boxes.{_waited(scene)}"
    return Note("Started", f"{told} {_BACK}." if mode is Mode.BACK else told)


def _waited(scene: Scene) -> str:
    """Tell how long a change has waited, and how many earlier ones it overtook: the size of the batch (R90)."""
    queued = scene.s.memory.queued
    if queued is None or (not queued.superseded and scene.now - queued.since < RECHECK):
        return ""
    length = timedelta(seconds=int((scene.now - queued.since).total_seconds()))
    told = f" It comes after a wait of {format_duration(length)}"
    if not queued.superseded:
        return f"{told}."
    changes = "1 change was" if queued.superseded == 1 else f"{queued.superseded} changes were"
    return f"{told}, in which {changes} overtaken by later ones."


def _described(made: Plan, scene: Scene, release: Release, old: str) -> Plan:
    """Add what every plan of a release tells."""
    s, step = scene.s, release.step
    goal = advance.goal_of(scene.parts, release.position)
    queued = s.rollout.artifact if s.rollout.artifact not in (release.artifact, old) else ""
    exposure = ", which is 100 % exposure" if scene.replicas == 1 else ""
    told = f"{release.artifact} may run in {goal} of {scene.replicas} boxes{exposure}."
    back = f" {_BACK}." if release.mode is Mode.BACK else ""
    made = dataclasses.replace(made, waiting=made.waiting or advance.boxes_wait(s, release, scene.now))
    waiting = f" It waits for {sentence(made.waiting.what)}" if made.waiting else ""
    bake = bakes.bake_of(s.rollout.spec, release, scene.parts)
    is_baking = bool(bake.for_) and step.available_since is not None
    return dataclasses.replace(
        made,
        current=release.artifact,
        queued=queued,
        bake_length=bake.for_,
        bake=bakes.told(bake, step.ledger, scene.now) if is_baking else "",
        bake_began_at=step.ledger.began_at if is_baking else None,
        bake_ends_at=bakes.ends_at(bake, step.ledger, scene.now) if is_baking else None,
        boxes=f"{serving_of(s, release.artifact)}/{scene.replicas}",
        step=f"step {step.number}: {goal} of {scene.replicas} boxes approved{exposure}",
        message=made.message or f"{told}{back}{waiting}",
        is_watched=True,
    )


def install(scene: Scene) -> Plan:
    """No version is known to be good here: everything at once, then a bake; what runs is never scaled down."""
    s, wanted = scene.s, scene.heading.artifact
    unrecorded = start.unrecorded(s)
    if unrecorded is not None:
        return _blocked(scene, unrecorded, _scaled_alone(scene), stays(s))
    release = s.memory.release
    if release is not None and release.artifact == wanted and s.artifact(wanted) is not None:
        return _go_on(scene, release, wanted)
    running = sum(o.desired for o in (*s.fleet, *s.one_boxes))
    blocked = start.what_blocks(s, evidence_of(s), scene.replicas, scene.now, is_first=True)
    if blocked is not None:
        held = stays(s)
        return _blocked(scene, blocked, scene.stay(held) if held and running else (), held)
    return _launch(scene, Mode.INSTALL, layout.last_position(scene.parts), "")


def _scaled_alone(scene: Scene) -> tuple[plan.Action, ...]:
    """Scale the one version that runs, of which nothing is recorded: an autoscaler does not wait for a person."""
    runs = artifacts_with_boxes(scene.s)
    actions = scene.stay(*runs) if len(runs) == 1 else ()
    return actions if all(isinstance(action, plan.ScaleFleet) for action in actions) else ()


def forward(scene: Scene) -> Plan:
    return _go_on(scene, _under_way(scene) or _remembered(scene), scene.heading.stable)


def what_fires(scene: Scene) -> advance.Reject | None:
    """Return the verdict on the release under way if an alarm speaks against it, whatever is to become of it."""
    release = _under_way(scene)
    if release is None and scene.heading.course is Course.FORWARD:
        release = _remembered(scene)
    if release is None:
        return None
    release = baseline.looked(scene.s, release, is_passing=bool(_may_pass(scene, release)))
    return advance.fired(_evidence(scene, release))


def _under_way(scene: Scene) -> Release | None:
    release = scene.s.memory.release
    return release if release is not None and release.artifact == scene.heading.artifact else None


def _remembered(scene: Scene) -> Release:
    """Rebuild a release from the boxes it has, after its memory was erased: its evidence starts anew.

    What is on now an Override that passes all of it lets be old again, as at the start.
    """
    s, now, artifact = scene.s, scene.now, scene.heading.artifact
    position = layout.observed_position(scene.parts, _boxes_of(s, artifact))
    known = start.is_known_good(s, artifact)
    evidence = evidence_of(s)
    if known and evidence.alarm is not None:
        mode, position = Mode.BACK, layout.last_position(scene.parts)
    else:
        mode = Mode.FAST if known else Mode.FORWARD
    step = advance.new_step(1, advance.goal_of(scene.parts, position), now)
    release = Release(artifact, mode, now, position, step)
    is_passed = evidence.alarm is not None and evidence.unnamed(_may_pass(scene, release)) is None
    return baseline.taken(s, release) if is_passed else release


def _boxes_of(s: Snapshot, artifact: str) -> dict[tuple[Part, str], int]:
    """Return how many boxes of an artifact are asked for in each place."""
    have = {(Part.FLEET, fleet.zone): fleet.desired for fleet in s.fleet if fleet.artifact == artifact}
    return have | {(Part.ONE_BOX, box.zone): box.desired for box in s.one_boxes if box.artifact == artifact}


def _go_on(scene: Scene, release: Release, old: str) -> Plan:
    """One look at a release: take it back, hold it, or take its next step."""
    release, notes = _fitted(scene, release)
    made = _looked_at(scene, release, old)
    return dataclasses.replace(made, notes=(*notes, *made.notes))


def _looked_at(scene: Scene, release: Release, old: str) -> Plan:
    s, now = scene.s, scene.now
    release = baseline.looked(s, release, is_passing=bool(_may_pass(scene, release)))
    evidence = _evidence(scene, release)
    wanted = layout.wants(scene.parts, release.position, release.artifact, old)
    release = advance.observe(s, release, wanted, scene.parts, evidence, now)
    judgement = advance.judge(s, release, scene.parts, evidence, now)
    if isinstance(judgement, advance.Reject):
        return reject(scene, release, judgement)
    if isinstance(judgement, advance.Hold):
        return _hold(scene, release, old, wanted, judgement)
    if layout.is_everywhere(scene.parts, release.position):
        return _finish(scene, release)
    blocked = _what_keeps_it_in(scene, release) or start.what_blocks_a_step(s, release.artifact, now)
    if blocked is not None:
        return _hold(scene, release, old, wanted, advance.Hold(blocked))
    return _step(scene, release, old)


def _evidence(scene: Scene, release: Release) -> Evidence:
    """Alarms that an Override passes hold the last step only: nothing is called stable while they are on."""
    if release.mode is Mode.BACK:
        return NO_EVIDENCE
    made = evidence_of(scene.s, release)
    is_last = layout.is_everywhere(scene.parts, release.position)
    return made if is_last else made.passing(_may_pass(scene, release))


def _may_pass(scene: Scene, release: Release) -> frozenset[str]:
    """Return the names of the alarms that a release may pass by the Override that counts now."""
    if release.mode is not Mode.FORWARD:
        return frozenset()
    return scene.s.gates.overrides.alarms(release.artifact, scene.now)


def _what_keeps_it_in(scene: Scene, release: Release) -> Waiting | None:
    """Return what keeps a version in its one box; one that was good here before has left it before."""
    if release.mode is not Mode.FORWARD or scene.parts[release.position.segment].part is not Part.ONE_BOX:
        return None
    return start.what_permit_lacks(scene.s, release.artifact)


def _fitted(scene: Scene, release: Release) -> tuple[Release, tuple[Note, ...]]:
    """Return the release at a position for the zones and one boxes of today, and what to tell about that.

    The approved share counts parts in their order, so with other ones it means other boxes. Whatever does not
    surely stay approved needs a step of its own again, whose evidence and bake begin anew.
    """
    parts, position = scene.parts, release.position
    shape = layout.shape_of(parts)
    if position.layout == shape:
        return release, ()
    if not position.layout and position.segment < len(parts):
        # Written by an older version, which took no note of it: nothing tells that it is another one.
        return dataclasses.replace(release, position=dataclasses.replace(position, layout=shape)), ()
    if release.mode in _AT_ONCE:
        return dataclasses.replace(release, position=layout.last_position(parts)), ()
    if position.layout:
        position = layout.carried_over(parts, position)
    else:
        position = layout.proven_position(parts, _boxes_of(scene.s, release.artifact))
    goal = advance.goal_of(parts, position)
    told = f"{goal} of {scene.replicas} boxes stay approved for {release.artifact}"
    note = Note("LayoutChanged", f"zones or strategy.oneBox.scope changed in the middle of a release: {told}.")
    step = release.step
    if not layout.is_everywhere(parts, position):
        step = advance.new_step(step.number, goal, scene.now)
    return dataclasses.replace(release, position=position, step=step), (note,)


def _hold(scene: Scene, release: Release, old: str, wanted: tuple[layout.Want, ...], judgement: advance.Hold) -> Plan:
    waiting = judgement.waiting
    ask_at = (release.step.down_since or scene.now) + trouble_after(scene)
    is_for_boxes = waiting.key == "boxes"
    again = max(scene.s.poll, sight.BOXES_AGAIN) if is_for_boxes else scene.s.poll
    made = Plan(
        phase=phase_of(scene, release),
        memory=Memory(release=release),
        actions=scene.to(wanted, is_revert=release.mode in _AT_ONCE),
        waiting=waiting,
        wake_at=min((scene.now + again, *_future(scene.now, waiting.expected, ask_at))),
        wants_trouble=is_for_boxes and scene.now >= ask_at,
        is_loud=judgement.is_loud,
    )
    return _described(made, scene, release, old)


def _future(now: datetime, *moments: datetime | None) -> list[datetime]:
    return [moment for moment in moments if moment is not None and moment > now]


def _step(scene: Scene, release: Release, old: str) -> Plan:
    """Approve the next batch; this is the only place where more boxes may get a new version."""
    now = scene.now
    position = layout.next_position(scene.parts, release.position, scene.limits().batch)
    goal = advance.goal_of(scene.parts, position)
    step = advance.new_step(release.step.number + 1, goal, now, serving_of(scene.s, release.artifact))
    release = dataclasses.replace(release, position=position, step=step)
    wanted = layout.wants(scene.parts, position, release.artifact, old)
    made = Plan(
        phase=phase_of(scene, release),
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
        notes=(Note("Stable", scene.delivered(artifact, f"all {scene.replicas} boxes")),),
        message=scene.delivered(artifact),
        current=artifact,
        stable=artifact,
        boxes=scene.boxes(artifact),
        wake_at=scene.now if s.rollout.artifact != artifact else None,
    )
