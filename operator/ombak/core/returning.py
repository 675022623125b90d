"""Plans of a way back, and of what is left when a version was taken back (R50, R57, R60, R79, P3)."""

import dataclasses
from datetime import timedelta

from ombak.api.rollout import Phase
from ombak.api.wording import sentence
from ombak.core import advance, back, commands, layout, plan, retention
from ombak.core.converge import artifacts_with_boxes, serving_of
from ombak.core.memory import Memory, Release, Reverting
from ombak.core.plan import Note, Plan, Waiting
from ombak.core.scene import Scene
from ombak.core.snapshot import Snapshot

TAKEN_BACK = "is taken back"
_NO_BOX = "No box of it is left, and none is made until somebody asks for a retry, or for another version."
TROUBLE_AFTER = timedelta(seconds=20)
"""Boxes that are down for so long are asked why, or for half a progressDeadline where that is shorter."""


def trouble_after(scene: Scene) -> timedelta:
    """Return how long boxes may be down before they are asked why; early enough to tell it with the verdict."""
    return min(TROUBLE_AFTER, scene.s.rollout.spec.progress_deadline / 2)


def reject(scene: Scene, release: Release, judgement: advance.Reject) -> Plan:
    """Record the verdict, then go back at once; without a good version to go back to, stay and say so."""
    s, target = scene.s, scene.heading.stable
    fate = TAKEN_BACK if target else "failed"
    record, note = recorded(release.artifact, judgement, fate)
    off_hours = _off_hours(scene, release, judgement, fate)
    if not target:
        made = _failed_plan(scene, release.artifact, release.artifact, judgement)
        # Beside boxes of another version a rejected one must not grow, not even for one pass.
        kept = made.actions if artifacts_with_boxes(s) == {release.artifact} else ()
        return dataclasses.replace(made, actions=(record, *kept), notes=(note, *off_hours))
    reverting = back.begin(s, release.artifact, target, scene.replicas, scene.now)
    made = _go_back(scene, reverting, judgement.message, is_rejected=True)
    return dataclasses.replace(made, actions=(record, *made.actions), notes=(note, *off_hours, *made.notes))


def recorded(artifact: str, judgement: advance.Reject, fate: str = TAKEN_BACK) -> tuple[plan.RecordRejected, Note]:
    """Return the verdict on a version, for the record and for people; what failed with nothing before it stays."""
    note = Note(judgement.reason, sentence(f"{artifact} {fate}: {judgement.message}"), is_warning=True)
    return plan.RecordRejected(artifact, judgement.reason, judgement.message), note


def _off_hours(scene: Scene, release: Release, judgement: advance.Reject, fate: str) -> tuple[Note, ...]:
    """Tell of trouble at a time without people: a Window that lets changes start too late makes many of it (R90)."""
    names = scene.s.gates.off_hours(scene.now)
    if not names or judgement.reason == "Aborted":
        return ()
    told = f"{release.artifact} {fate} outside of the hours of Window {' and '.join(names)}."
    return (Note("OffHours", told, is_warning=True),)


def revert(scene: Scene) -> Plan:
    s, target = scene.s, scene.heading.stable
    reverting = s.memory.reverting
    if reverting is None:
        called = s.memory.release.artifact if s.memory.release else ""
        reverting = back.begin(s, called, target, scene.replicas, scene.now)
    reverting = back.observe(s, reverting, target, scene.replicas, scene.now)
    source = s.artifact(reverting.source)
    is_rejected = source is not None and source.rejection is not None
    return _go_back(scene, reverting, _why(s, reverting), is_rejected=is_rejected)


def _why(s: Snapshot, reverting: Reverting) -> str:
    """Return why it goes back; a verdict that a retry took off in between is no reason any more."""
    view = s.artifact(reverting.source) or s.artifact(s.rollout.artifact)
    if view is not None and view.rejection is not None:
        return view.rejection.message
    if s.rollout.artifact == reverting.target:
        return "the spec asks for the stable version again."
    queued = _queued(s, reverting, is_rejected=False)
    return f"{queued} takes its turn after that." if queued else "it is the newest version that was good here."


def _go_back(scene: Scene, reverting: Reverting, why: str, *, is_rejected: bool) -> Plan:
    s, target, now = scene.s, reverting.target, scene.now
    stuck = back.is_stuck(s, reverting, now)
    have = serving_of(s, target)
    notes: tuple[Note, ...] = ()
    told = ""
    if reverting.forced:
        told = " No box came up within progressDeadline, so they go one at a time, if need be below minAvailable."
        before = s.memory.reverting
        if before is None or not before.forced:
            notes = (Note("FloorYields", told.strip(), is_warning=True),)
    what = f"boxes of {target} to serve ({have} of {scene.replicas})"
    trouble = s.trouble_of(target)
    command = commands.look_for_boxes(s, target) if trouble else ""
    who = "whoever mends what keeps them" if trouble else "nobody, it goes by itself"
    told_of = advance.with_trouble(s, target, what)
    waiting = Waiting("boxes", told_of, who, command, is_unmade=bool(s.unmade_of(target)))
    return Plan(
        phase=Phase.REVERTING,
        memory=Memory(reverting=reverting),
        actions=scene.to(layout.wants_only(scene.parts, target), is_revert=True, forced=stuck),
        notes=notes,
        waiting=waiting,
        message=f"Going back to {target}: {sentence(why)}{told}",
        current=target,
        rejected=reverting.source if is_rejected else "",
        queued=_queued(s, reverting, is_rejected=is_rejected),
        boxes=f"{have}/{scene.replicas}",
        wake_at=now + s.poll,
        is_watched=True,
        wants_trouble=now - reverting.progress_at > trouble_after(scene),
    )


def _queued(s: Snapshot, reverting: Reverting, *, is_rejected: bool) -> str:
    """Return what starts after the way back: another version, or the same one, if a retry or a wish is for it again."""
    wanted, view = s.rollout.artifact, s.artifact(s.rollout.artifact)
    is_settled = wanted == reverting.target or (is_rejected and wanted == reverting.source)
    return "" if is_settled or (view is not None and view.rejection is not None) else wanted


def reverted(scene: Scene) -> Plan:
    """The wanted version was taken back, and every box is on the good one again."""
    s, stable, wanted = scene.s, scene.heading.stable, scene.s.rollout.artifact
    view = s.artifact(wanted)
    assert view is not None
    assert view.rejection is not None
    notes = () if s.memory.reverting is None else (Note("Reverted", ended(scene, stable), is_warning=True),)
    return Plan(
        phase=Phase.REVERTED,
        memory=Memory(),
        actions=(*scene.stay(stable), *retention.leftovers(s, stable, scene.zones)),
        notes=notes,
        waiting=_for_a_change(s, wanted, view.retried),
        message=f"{wanted} was taken back ({view.rejection.reason}): {sentence(view.rejection.message)} {stable} runs.",
        current=stable,
        rejected=wanted,
        boxes=scene.boxes(stable),
    )


def ended(scene: Scene, stable: str, as_asked: str = "") -> str:
    """Return how a way back ended: with every box, or with what nobody let be made."""
    have = serving_of(scene.s, stable)
    if have >= scene.replicas:
        return f"Every box is back on {stable}{as_asked}."
    return f"No box runs anything but {stable} any more; {have} of {scene.replicas} serve, and no more came up in time."


def _for_a_change(s: Snapshot, wanted: str, retried: str) -> Waiting:
    if wanted in s.rollout.spec.rejected:  # a retry alone would change nothing
        what = f"another version in spec.template; or {wanted} to be taken out of spec.rejected, and then retried"
        return Waiting("change", what, "whoever writes spec.rejected", commands.edit(s.rollout))
    what = "another version in spec.template, or a retry of this one"
    return Waiting("change", what, "whoever owns the Rollout", commands.retry(s.rollout, wanted, retried))


def failed(scene: Scene) -> Plan:
    view = scene.s.artifact(scene.s.rollout.artifact)
    assert view is not None
    assert view.rejection is not None
    verdict = advance.Reject(view.rejection.reason, view.rejection.message)
    return _failed_plan(scene, scene.heading.artifact, scene.s.rollout.artifact, verdict)


def _failed_plan(scene: Scene, artifact: str, failed: str, verdict: advance.Reject) -> Plan:
    """A first version failed: it stays as it is, scaled as asked, since there is nothing better to run.

    That may be down to nothing and up again: its empty sets tell that it had boxes. One that has none, because they
    were never let in or somebody deleted them, gets them by a retry only. A newer one that is wanted by now takes its
    turn at the next look.
    """
    s, view = scene.s, scene.s.artifact(failed)
    has_boxes = any(o.artifact == artifact for o in (*s.fleet, *s.one_boxes))
    queued = s.rollout.artifact if s.rollout.artifact != failed else ""
    if len(s.artifacts) > 1 or (view is not None and view.stable_order):
        what = f"{failed} failed ({verdict.reason}) and no other version is recorded as good here to go back to"
    else:
        what = f"The first version {failed} failed ({verdict.reason}) and nothing is there to go back to"
    next_one = Waiting("change", f"{queued} to take its turn", "nobody, it goes by itself")
    return Plan(
        phase=Phase.FAILED,
        memory=Memory(),
        actions=scene.stay(artifact) if has_boxes else (),
        waiting=next_one if queued else _for_a_change(s, failed, view.retried if view else ""),
        message=sentence(f"{what}: {verdict.message}") + ("" if has_boxes else f" {_NO_BOX}"),
        current=artifact,
        queued=queued,
        rejected=failed,
        boxes=scene.boxes(artifact),
        wake_at=scene.now if queued else None,
    )
