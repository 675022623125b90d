"""The queue in front of the stages: what a wish becomes, and which of those that wait go on (R41, R90)."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ombak.core.conveyor import content, manifests, plan, provenance, waits
from ombak.core.conveyor.memory import Item
from ombak.core.conveyor.placement import Target
from ombak.core.conveyor.scene import Scene, freeze
from ombak.core.conveyor.snapshot import HubArtifact, RolloutFacts
from ombak.core.conveyor.standing import has_other_bakes

_OF_A_JOB = ("activeDeadlineSeconds", "backoffLimit", "parallelism", "suspend", "ttlSecondsAfterFinished")
"""What may be changed in a Job that is there."""


def wished(scene: Scene) -> HubArtifact | None:
    """Return the version that the Pipeline asks for, None where it cannot be told."""
    made = scene.merged
    if scene.problem or made.spec is None or made.spec.rollout is None:
        return None
    known = scene.artifacts.get(made.version)
    if known is not None:
        return known
    return HubArtifact(
        version=made.version,
        id=made.artifact,
        name=content.object_name(scene.s.pipeline.name, made.version),
        sequence=scene.sequence + 1,
        template=made.template,
        objects=made.objects,
        values=made.values,
        provenance=scene.s.pipeline.provenance,
    )


def enqueue(scene: Scene) -> None:
    """Put what the Pipeline asks for into the queue, once, unless something is against it."""
    wish = wished(scene)
    if wish is None:
        if scene.problem:
            who, command = "whoever edits the Pipeline or its bases", waits.of_pipeline(scene.s.pipeline, "edit")
            waits.wait(scene, "spec", "Invalid", scene.problem, who, command)
        return
    _repair(scene, wish)
    if scene.merged.wish == scene.wish and not _is_retried(scene, wish):
        return
    slips = scene.placement(scene.merged).slips
    if slips:
        who, command = "whoever owns the Pipeline or the Regions", waits.of_pipeline(scene.s.pipeline, "edit")
        waits.wait(scene, "placement", "Invalid", slips[0], who, command)
    elif not wish.is_ours or not _is_content(wish):
        what = f"the Artifact {wish.name} to be out of the way: it is not what its name says, or not this Pipeline's"
        command = f"kubectl -n {scene.s.pipeline.namespace} delete artifact {wish.name}"
        waits.wait(scene, "artifact", "Conflict", what, "whoever made it, by deleting it", command)
    elif told := next(_changed_jobs(scene, wish), ""):
        who, command = "whoever owns the Pipeline", waits.of_pipeline(scene.s.pipeline, "edit")
        waits.wait(scene, "objects", "Invalid", told, who, command)
    elif wish.rejection is None and _make(scene, wish):
        _append(scene, wish, is_retry=bool(wish.retried))


def _changed_jobs(scene: Scene, wish: HubArtifact) -> Iterator[str]:
    """Say which Jobs a region has in another shape already: it would run the change, and refuse them at its end.

    One that goes by itself after it has run (`ttlSecondsAfterFinished`) makes room for another.
    """
    wanted = dict(_jobs(wish))
    if not wanted:
        return
    brought = {content.short_hash(list(a.objects)): a for a in scene.artifacts.values()}
    placed = scene.placement(scene.merged).keys
    for facts in scene.ours():
        found = brought.get(facts.objects)
        if found is None or (facts.region, facts.namespace) not in placed:
            continue
        for name, spec in _jobs(found):
            if _fixed(wanted.get(name, spec)) != _fixed(spec) and spec.get("ttlSecondsAfterFinished") is None:
                yield (
                    f"a Job of another name in spec.objects: Region {facts.region} has Job {name} of {found.version}, "
                    "which is another one, and a Job cannot be changed"
                )


def _jobs(artifact: HubArtifact) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for made in artifact.objects:
        if made.get("kind") == "Job":
            yield made["metadata"]["name"], made.get("spec") or {}


def _fixed(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return {k: v for k, v in spec.items() if k not in _OF_A_JOB}


def _is_retried(scene: Scene, wish: HubArtifact) -> bool:
    """Somebody said retry, and it is not in the queue again yet."""
    return wish.retried_at >= scene.sequence > 0


def _is_content(wish: HubArtifact) -> bool:
    return wish.is_genuine and wish.id == content.content_id(wish.template, wish.objects)


def _repair(scene: Scene, wish: HubArtifact) -> None:
    """Make the Artifact of what is on its way again, where somebody deleted it."""
    if any(i.version == wish.version for i in scene.items):
        _make(scene, wish)


def _make(scene: Scene, wish: HubArtifact) -> bool:
    """Make an Artifact before all else; False where the hub's API server refuses it: then nothing else is to wait."""
    if wish.version in scene.artifacts:
        return True
    made, why = manifests.artifact(scene.s, wish), scene.s.unmade.get(wish.version)
    if why is None:
        scene.artifacts[wish.version] = wish
        scene.early.append(plan.EnsureArtifact(wish.version, made))
        return True
    what = f"the hub's API server to take the Artifact {wish.name}: {why}"
    who = "whoever set what refuses it there, such as a quota or a policy; it is tried again"
    waits.wait(scene, "artifact", "WriteFailed", what, who, waits.of_pipeline(scene.s.pipeline, "describe"))
    scene.late.append(plan.RetryArtifact(wish.version, made))
    return False


def tell(scene: Scene) -> None:
    """Say that what the Pipeline asks for was taken back or aborted, and how it may start again."""
    wish = wished(scene)
    if wish is None:
        return
    if wish.rejection is not None:
        where = f" in Region {wish.rejection.region}" if wish.rejection.region else ""
        what = (
            f"another version, or a retry: {wish.version} was taken back{where} "
            f"({wish.rejection.reason}): {wish.rejection.message}"
        )
        command = waits.retry(scene, wish.version)
        waits.wait(scene, f"rejected/{wish.version}", "Rejected", what, "whoever owns the Pipeline", command)
    elif _is_given_up(scene) and not _is_retried(scene, wish):
        why = "was aborted" if wish.version in scene.artifacts else "was taken back, and its Artifact was deleted since"
        what = f"another change: the one that the spec asks for now ({wish.version}) {why}"
        command = waits.of_pipeline(scene.s.pipeline, "edit")
        waits.wait(scene, "aborted", "Aborted", what, "whoever owns the Pipeline, with another spec", command)


def _is_given_up(scene: Scene) -> bool:
    """What the spec asks for was put into the queue, is not the newest there, and no verdict tells why."""
    if scene.merged.wish != scene.wish or not scene.items:
        return False
    return scene.plan_of(scene.items[-1]).wish != scene.wish


def _append(scene: Scene, wish: HubArtifact, *, is_retry: bool) -> None:
    frozen = freeze(scene.merged)
    key = content.short_hash(frozen)
    scene.plans[key] = frozen
    scene.sequence += 1
    scene.changes[scene.sequence] = wish.version
    scene.wish = scene.merged.wish
    item = Item(
        sequence=scene.sequence,
        version=wish.version,
        plan=key,
        began_at=scene.now,
        since=scene.now,
        is_retry=is_retry,
        provenance=dict(scene.s.pipeline.provenance),
    )
    scene.items.append(item)
    by = provenance.sentence(provenance.told(item.provenance))
    scene.note("Queued", f"{wish.version} is change {item.sequence} of this Pipeline{f', {by}' if by else ''}.")


def supersede(scene: Scene) -> None:
    """Of those that wait for the same slot the newest goes on; it tells how many came at once."""
    for old in list(scene.items):
        newer = [i for i in scene.items if i.sequence > old.sequence and _may_stand_for(scene, i, old)]
        if old.is_inside or not newer:
            continue
        drop_for(scene, old, min(newer, key=lambda i: i.sequence))


def drop_for(scene: Scene, old: Item, new: Item) -> None:
    """Let a newer change stand for an older one; one that was done everywhere is not among the newer one's."""
    if not scene.is_done(old):
        scene.replace(new, dataclasses.replace(new, batch=new.batch + old.batch))
        scene.note("Superseded", f"{old.version} (change {old.sequence}) goes on as part of change {new.sequence}.")
    scene.drop(old)
    if old.is_inside:
        # Where it was written, and never began, nothing later is there that would have to stay.
        scene.changes[old.sequence] = ""
    scene.forget_waits(old)


def _may_stand_for(scene: Scene, new: Item, old: Item) -> bool:
    return _is_past(scene, new, old) and not is_kept(scene, old, new)


def is_kept(scene: Scene, old: Item, new: Item) -> bool:
    """Whether an older change stays beside a newer one: it is the Override's, which holds the newer one meanwhile."""
    return old.version == scene.lane != new.version and scene.lane not in ended(scene)


def ended(scene: Scene) -> frozenset[str]:
    """Return the versions that have come to their end: taken back, or delivered everywhere."""
    rejected = (version for version, artifact in scene.artifacts.items() if artifact.rejection is not None)
    done = (i.version for i in scene.items if scene.is_done(i))
    return frozenset((*rejected, *done))


def _is_past(scene: Scene, new: Item, old: Item) -> bool:
    """The newer one has passed every stage of its way that the older one has passed."""
    return not (set(passed(scene, old)) & set(scene.stages(new))) - set(passed(scene, new))


def passed(scene: Scene, item: Item) -> tuple[str, ...]:
    """Return the stages that an item has passed."""
    stages = scene.stages(item)
    if item.stage not in stages:
        return ()
    return stages[: stages.index(item.stage) + (0 if item.is_inside else 1)]


def goes_no_further(scene: Scene, item: Item, stage: str, later: RolloutFacts) -> bool:
    """Nobody goes on with a later change that a region has: a change that has yet to pass there is not behind it.

    It was rejected, and is kept there out of reach of that; or that as part of which it went on is gone; or an
    Override lets this one go ahead of all that are later.
    """
    if stage in passed(scene, item):
        return False
    ahead = (i for i in scene.items if i.sequence >= later.sequence)
    return scene.rejection(later.version) is not None or all(is_kept(scene, item, i) for i in ahead)


def next_stage(scene: Scene, item: Item) -> str:
    """Return the stage that an item waits for, empty if it is in one or done."""
    if item.is_inside:
        return ""
    stages, done = scene.stages(item), passed(scene, item)
    return stages[len(done)] if len(done) < len(stages) else ""


def rebuild(scene: Scene) -> None:
    """Tell from the regions what is on its way, after the memory was erased; plans are then those of today."""
    if scene.items or scene.s.memory.sequence or scene.merged.spec is None:
        return
    stages = [stage.name for stage in scene.merged.spec.stages]
    where: dict[int, tuple[int, str]] = {}
    for facts in scene.ours():
        if facts.version in scene.artifacts and scene.rejection(facts.version) is None and facts.stage in stages:
            place = stages.index(facts.stage)
            where[facts.sequence] = max(where.get(facts.sequence, (-1, "")), (place, facts.version))
    frozen = freeze(scene.merged)
    key = content.short_hash(frozen)
    for sequence, (place, version) in sorted(where.items()):
        if any(s > sequence and p >= place for s, (p, _) in where.items()):
            continue
        artifact = scene.artifacts[version]
        item = Item(sequence, version, key, scene.now, stages[place], True, scene.now)
        item = dataclasses.replace(item, is_retry=bool(artifact.retried), provenance=dict(artifact.provenance))
        scene.items.append(item)
    if scene.items:
        scene.plans[key] = frozen
        wish = wished(scene)
        if wish is not None and scene.items[-1].version == wish.version:
            scene.wish = scene.merged.wish


def renew(scene: Scene) -> None:
    """After the memory was erased, and verdicts are heard: what was delivered by other settings is delivered anew.

    By today's plan it would seem to be edited there, and never end.
    """
    if not scene.items or scene.s.memory.items or scene.s.memory.sequence:
        return
    if any(_has_other_settings(scene, item) for item in scene.items):
        scene.items.clear()
        scene.wish = ""
    else:
        scene.note("Rebuilt", "The memory was lost; what is on its way was told from the regions.", is_warning=True)


def _has_other_settings(scene: Scene, item: Item) -> bool:
    """All regions of a stage, whether they answer or not, were given a change by another plan than today's.

    One that differs among others was edited by hand, and so was any template: no plan has another one of a version.
    Neither is it a plan where the API server knows somebody else who wrote the setting.
    """
    placed = scene.placement(scene.plan_of(item)).targets
    return any(found and all(found) for found in ([*_settings(scene, item, ts)] for ts in placed.values()))


def _settings(scene: Scene, item: Item, targets: Iterable[Target]) -> Iterator[bool]:
    """Return of each region that has a change whether settings of it differ from today's plan."""
    for target in targets:
        facts, order = scene.facts.get(target.key), scene.order(item, target)
        if facts is None or order is None or not scene.is_ours(facts):
            continue
        if (facts.sequence, facts.version) == (item.sequence, item.version) and not has_other_bakes(facts, order):
            fields = set(manifests.edited(order, facts)) - {"spec.template"} - facts.others
            yield bool(fields)
