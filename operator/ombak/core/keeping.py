"""What every version's configuration needs: that its copies are there, and that no box starts on anything else."""

import dataclasses
from collections.abc import Iterable
from datetime import datetime, timedelta

from ombak.api.wording import clause
from ombak.core import commands, manifests, plan
from ombak.core.converge import artifacts_with_boxes
from ombak.core.course import newest_good
from ombak.core.plan import Note, Plan, Waiting
from ombak.core.snapshot import ArtifactView, ConfigCopy, CopyState, Snapshot

RECHECK = timedelta(minutes=1)
"""A copy that somebody put back by hand may be none that is watched."""
_SPOILT = (CopyState.LOST, CopyState.REFUSED, CopyState.FORGED)
_BOXES = (plan.WriteOneBox, plan.CreateFleet, plan.ScaleFleet, plan.RepairFleet)


def put_back(s: Snapshot) -> tuple[plan.Action, ...]:
    """Return the copies to make again: a crash came before they were made, or somebody deleted them."""
    missing = ((a, c) for a in s.artifacts for c in a.copies if c.state is CopyState.MISSING)
    return tuple(plan.KeepConfig(a.id, c.name) for a, c in missing)


def owning(s: Snapshot) -> tuple[plan.Action, ...]:
    """Return the copies whose owners changed: boxes came that use them, or an Artifact was deleted and made again.

    What only bears the name of a copy is never owned: it would go with the version.
    """
    return tuple(
        plan.OwnConfig(a.id, c.name)
        for a in s.artifacts
        for c in a.copies
        if c.resource_version
        and c.state not in _SPOILT
        and c.owners != {owner["uid"] for owner in manifests.config_owners(s, a.id)}
    )


def what_holds(s: Snapshot) -> Waiting | None:
    """Return what the wanted version lacks of its configuration, or None if that is complete."""
    if s.rollout.lacks:
        return Waiting("config", clause(s.rollout.lacks), s.rollout.who_lacks)
    view = s.artifact(s.rollout.artifact)
    return None if view is None else _spoilt(s, view)


def _spoilt(s: Snapshot, view: ArtifactView) -> Waiting | None:
    copy = next((c for c in view.copies if c.state in _SPOILT), None)
    if copy is None:
        return None
    if copy.state is CopyState.FORGED:
        what = f"ConfigMap {copy.snapshot} to be deleted: its content is not what {view.id} was made with"
        return Waiting("config", what, "whoever made it", commands.delete(s.rollout, "ConfigMap", copy.snapshot))
    if copy.state is CopyState.REFUSED:
        what = f"the API server to let ConfigMap {copy.snapshot} be put back, to which {view.id} refers"
        return Waiting("config", what, "whoever may change what the API server refuses, or runs it")
    return Waiting("config", _loss(view, copy), f"whoever can put that content into ConfigMap {copy.name} again")


def _loss(view: ArtifactView, copy: ConfigCopy) -> str:
    return (
        f"the content of ConfigMap {copy.name} as {view.id} has it ({copy.digest}): "
        f"its copy {copy.snapshot} was deleted, and nothing else holds it"
    )


def boxes_made_of(s: Snapshot, actions: Iterable[plan.Action]) -> set[str]:
    """Return the ids of the versions of which these actions make boxes."""
    artifacts = {f.name: f.artifact for f in s.fleet}
    made = set()
    for action in actions:
        match action:
            case plan.WriteOneBox(replicas=count) | plan.CreateFleet(replicas=count) | plan.RepairFleet(replicas=count):
                made |= {action.artifact} if count else set()
            case plan.ScaleFleet(name=name) if not action.is_shrink:
                made.add(artifacts.get(name, ""))
    return made


def withhold(s: Snapshot, made: Plan, now: datetime) -> Plan:
    """Return the plan without anything that moves boxes, if boxes of it could not start or would start on a forgery.

    Boxes that serve are never given up for such. Time that a way back loses like this does not count against it.
    """
    views = (s.artifact(artifact) for artifact in sorted(boxes_made_of(s, made.actions)))
    waiting = next((wait for view in views if view is not None and (wait := _spoilt(s, view))), None)
    if waiting is None:
        return made
    memory, reverting = made.memory, made.memory.reverting
    if reverting is not None:
        memory = dataclasses.replace(memory, reverting=dataclasses.replace(reverting, progress_at=now, forced=False))
    return dataclasses.replace(
        made,
        memory=memory,
        actions=tuple(a for a in made.actions if not isinstance(a, _BOXES)),
        waiting=waiting,
        message=f"Boxes are left as they are: they wait for {waiting.what}",
        wake_at=min(made.wake_at or now + RECHECK, now + RECHECK),
        is_loud=True,
    )


def _losses(s: Snapshot) -> list[tuple[ArtifactView, ConfigCopy]]:
    """Return what is lost of versions that matter: those that run, and the one to go back to."""
    good = newest_good(s)
    matter = artifacts_with_boxes(s) | ({good.id} if good else set())
    return [(a, c) for a in s.artifacts if a.id in matter for c in a.copies if c.state in _SPOILT]


def notes(s: Snapshot) -> tuple[Note, ...]:
    """Return what there is to tell of copies that are gone."""
    missing = [(a, c) for a in s.artifacts for c in a.copies if c.state is CopyState.MISSING]
    put_back = (f"ConfigMap {c.snapshot}, to which {a.id} refers, was gone; it is put back." for a, c in missing)
    return (
        *(Note("PutBack", told, is_warning=True) for told in put_back),
        *(Note("ConfigLost", _told(view, copy), is_warning=True) for view, copy in _losses(s)),
    )


def _told(view: ArtifactView, copy: ConfigCopy) -> str:
    if copy.state is CopyState.FORGED:
        return f"ConfigMap {copy.snapshot} is not what {view.id} was made with, so no box of it is made."
    if copy.state is CopyState.REFUSED:
        why = f"ConfigMap {copy.snapshot} is gone, and the API server does not let it be put back now"
        return f"No box of {view.id} can start: {why}."
    return f"No box of {view.id} can start: lost is {_loss(view, copy)}."


def facts(s: Snapshot) -> list[tuple[str, bool, str, str]]:
    """Return the condition of a Rollout with configuration; none for one without, whose status stays as it was (P7)."""
    if not s.rollout.spec.config and not any(a.copies for a in s.artifacts):
        return []
    losses = _losses(s)
    message = " ".join(_told(*loss) for loss in losses)
    reason = losses[0][1].state.value if losses else CopyState.KEPT.value
    if s.rollout.lacks:
        reason, message = "Missing", f"It waits for {s.rollout.lacks}"
    return [
        ("ConfigReady", not message, reason, message),
    ]
