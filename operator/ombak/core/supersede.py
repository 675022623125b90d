"""An approved Override that supersedes: straight from what is on its way to the new version (design 2).

Boxes of the version that is given up go back to the stable one while the new version has its one box, without a way
back in between; its bake begins when no box of the old one is left. No verdict is recorded on what was given up, but
for one whose alarm fires: it must not be tried again as if nothing had been.
"""

import dataclasses

from ombak.core import delivery, start
from ombak.core.advance import Reject
from ombak.core.course import Course, Heading
from ombak.core.evidence import evidence_of
from ombak.core.overrides.effective import effective
from ombak.core.plan import Note, Plan, Waiting
from ombak.core.returning import recorded
from ombak.core.scene import Scene

_ANEW = {Course.FORWARD: Course.START, Course.INSTALL: Course.INSTALL}
"""What a version does that takes the place of one on this course."""


def superseded(scene: Scene) -> Plan | None:
    """Return the start of the wanted version in the place of the one on its way; None where nothing may do that.

    Where something else holds the wanted version, what is on its way goes on.
    """
    new = _instead(scene)
    if new is None or _what_blocks(new) is not None:
        return None
    made = delivery.install(new) if new.heading.course is Course.INSTALL else delivery.begin(new)
    permit = scene.s.gates.overrides.permit(new.heading.artifact, scene.now)
    assert permit is not None
    old = scene.heading.artifact
    told = f"{new.heading.artifact} takes the place of {old}, which is given up on its way, {permit.by_whom}."
    made = dataclasses.replace(made, notes=(Note("Superseded", told, is_warning=True), *made.notes))
    return _judged(made, old, delivery.what_fires(scene))


def _judged(made: Plan, artifact: str, verdict: Reject | None) -> Plan:
    """Return the plan with the verdict on the version that is given up, if there is one."""
    if verdict is None:
        return made
    record, note = recorded(artifact, verdict)
    return dataclasses.replace(made, actions=(record, *made.actions), notes=(note, *made.notes))


def asking(scene: Scene, made: Plan) -> Plan:
    """Return a plan of what is on its way that asks about the template of what may take its place, if that is open."""
    new = _instead(scene)
    if new is None or made.memory.release is None or made.memory.release.artifact == new.heading.artifact:
        return made
    waiting = _what_blocks(new)
    if waiting is None or waiting.key != "template" or not start.must_ask(new.s):
        return made
    return dataclasses.replace(made, asks=new.heading.artifact)


def _what_blocks(new: Scene) -> Waiting | None:
    is_first = new.heading.course is Course.INSTALL
    return start.what_blocks(new.s, evidence_of(new.s), new.replicas, new.now, is_first=is_first)


def _instead(scene: Scene) -> Scene | None:
    """Return the scene in which the wanted version is about to start, if it may supersede what is on its way."""
    s, heading, wanted = scene.s, scene.heading, scene.s.rollout.artifact
    permit, view = s.gates.overrides.permit(wanted, scene.now), s.artifact(wanted)
    if permit is None or not permit.supersedes or (view is not None and view.rejection is not None):
        return None
    if heading.course not in _ANEW or wanted == heading.artifact:
        return None
    return dataclasses.replace(
        scene,
        s=effective(s, wanted, scene.now),
        heading=Heading(_ANEW[heading.course], wanted, heading.stable),
    )
