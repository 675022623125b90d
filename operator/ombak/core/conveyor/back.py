"""Taking back: verdicts of regions, tests and people, how far they reach, and what is left afterwards (design 3)."""

import dataclasses
from collections.abc import Sequence

from ombak.api.rollout import Phase
from ombak.api.stage import RevertScope, Stage
from ombak.core import naming, unheard
from ombak.core.conveyor import content, manifests, plan, waits
from ombak.core.conveyor.in_line import Write, in_line
from ombak.core.conveyor.memory import Item
from ombak.core.conveyor.placement import Target
from ombak.core.conveyor.scene import Scene
from ombak.core.conveyor.snapshot import HubArtifact, HubRejection, RolloutFacts
from ombak.core.conveyor.standing import is_taken_back, runs_none, runs_what_it_names


def reject(
    scene: Scene,
    item: Item,
    reason: str,
    message: str,
    stage: str,
    region: str,
    scope: RevertScope | None = None,
) -> None:
    """Take a version back: recorded first, then it goes no further anywhere; as far as the stage says, or less."""
    artifact = scene.artifacts.get(item.version)
    if artifact is None:
        scene.drop(item)  # there is nowhere to write a verdict, and nothing to deliver
        return
    if artifact.rejection is not None:
        return
    scope = scope or scope_of(scene, item, stage)
    rejection = HubRejection(reason, message[:1024], scene.now, stage, region, scope.value)
    scene.artifacts[item.version] = dataclasses.replace(artifact, rejection=rejection)
    scene.early.append(
        plan.RecordRejected(item.version, artifact.name, reason, rejection.message, stage, region, scope.value)
    )
    where = f" in Region {region}" if region else ""
    at = f" (stage {stage})" if stage else ""
    scene.note("Rejected", f"{item.version} is taken back{where}{at}: {message}", is_warning=True)
    for other in [i for i in scene.items if i.version == item.version]:
        scene.drop(other)


def scope_of(scene: Scene, item: Item, stage: str) -> RevertScope:
    """Return how far a revert in a stage reaches: what the stage says, then the Pipeline, then its whole stage."""
    spec = scene.plan_of(item).spec
    if spec is None:
        return RevertScope.STAGE
    own = next((s.revert_scope for s in spec.stages if s.name == stage), None)
    return own or spec.revert_scope or RevertScope.STAGE


def forget(scene: Scene) -> None:
    """Let go of changes whose version was rejected: the verdict is recorded before the memory is stored."""
    for item in list(scene.items):
        if scene.rejection(item.version) is not None:
            scene.drop(item)


def verdicts(scene: Scene) -> None:
    """Hear what the regions say: one that took a change back, while it is on its way, rejects it for all."""
    for facts in scene.ours():
        item = next((i for i in scene.items if (i.sequence, i.version) == (facts.sequence, facts.version)), None)
        if item is None or scene.is_done(item) or not is_taken_back(facts):
            continue
        artifact, target = scene.artifacts.get(item.version), target_of(scene, facts)
        if target is not None and not runs_what_it_names(scene, facts, target):
            continue  # it took back what somebody else wrote there, which says nothing of the version
        if artifact is not None and facts.sequence > artifact.retried_at:
            why = facts.message or f"the region went back to {facts.stable or 'nothing'}"
            reject(scene, item, "RegionReverted", why, facts.stage, facts.region)


def abort(scene: Scene) -> None:
    """Carry out `ombak.dev/abort`, which names an artifact: also one that was asked for at this very moment."""
    command = scene.s.pipeline.abort
    if not command:
        return
    named = [i for i in scene.items if command in (i.version, content.id_of(i.version)) and not scene.is_done(i)]
    before = {i.version: i for i in scene.items if scene.is_done(i)}
    message = "it was aborted by the annotation ombak.dev/abort"
    for item in named:
        done = before.get(item.version)
        is_new = done is None or (item.is_inside and item.stage not in scene.stages(done))
        if is_new:
            reject(scene, item, "Aborted", message, item.stage, "")
        elif _is_on_its_way(scene, item):
            # Where it was delivered before it stays: one region that gets it late says nothing of all others.
            reject(scene, item, "Aborted", message, item.stage, "", RevertScope.REGION)
        else:
            _give_up(scene, item)
    if not named:
        _unheard(scene, _names_nothing(scene, command))
    scene.late.append(plan.ClearCommand(naming.ABORT))


def _is_on_its_way(scene: Scene, item: Item) -> bool:
    """Some region is in the middle of a version that it never finished, and has another one to go back to."""
    told = (f for f in scene.ours() if (f.sequence, f.version) == (item.sequence, item.version))
    return any(f.stable and f.artifact != f.stable and f.artifact not in f.good for f in told)


def _give_up(scene: Scene, item: Item) -> None:
    """Abort a change of a version that an earlier one delivered everywhere: nothing is wrong with the version.

    Regions that have the change come back to what that earlier one says, as those that come late do.
    """
    told = f"change {item.sequence} of {item.version} is aborted; the version was delivered before, and stays"
    scene.note("Aborted", told, is_warning=True)
    scene.drop(item)
    scene.changes[item.sequence] = ""


def _unheard(scene: Scene, told: str) -> None:
    if told:
        scene.unheard.append(told)
        scene.note(unheard.REASON, told, is_warning=True)


def abandoned(scene: Scene) -> str:
    """Why nobody may stop looking though the rollout was taken out: something is on its way, there or back."""
    if not scene.is_base:
        return ""
    flying = dict.fromkeys(i.version for i in scene.items if not scene.is_done(i))
    if flying:
        told = "write it again, or abort what is on its way"
        return f"spec.rollout is gone, but {', '.join(flying)} is on its way; {told}"
    targets = ((facts, target_of(scene, facts)) for facts in scene.ours() if scene.rejection(facts.version) is not None)
    back = [facts for facts, target in targets if target is not None and is_going_back(scene, target)]
    named = ", ".join(f"Region {facts.region} from {facts.version}" for facts in back)
    return f"spec.rollout is gone, but on its way back is {named}; write it again, or let that end" if back else ""


def refuse(scene: Scene, why: str) -> None:
    """Take all commands off, for they change nothing here."""
    commands = {naming.ABORT: scene.s.pipeline.abort, naming.RETRY: scene.s.pipeline.retry}
    for annotation, command in commands.items():
        if command:
            _unheard(scene, f"{annotation}={command} changes nothing: {why}.")
            scene.late.append(plan.ClearCommand(annotation))


def _names_nothing(scene: Scene, command: str) -> str:
    """Say it of an abort, unless what it names was taken back: then it was carried out a moment ago."""
    known = [a for a in scene.artifacts.values() if command in (a.version, a.id)]
    if any(a.rejection is not None for a in known):
        return ""
    told, flying = unheard.nothing(naming.ABORT, command), [i for i in scene.items if not scene.is_done(i)]
    if flying:
        named = ", ".join(f"{i.version} (change {i.sequence})" for i in flying)
        return f"{told}; on its way: {named}. To take back the last one: {waits.abort(scene, flying[-1].version)}"
    return f"{told}; nothing is. To go back, ask for an earlier version in spec.rollout."


def retry(scene: Scene) -> None:
    """Carry out `ombak.dev/retry`, which names an artifact."""
    command = scene.s.pipeline.retry
    if not command:
        return
    named = command.partition(".")[0]
    known = [a for a in scene.artifacts.values() if named in (a.version, a.id)]
    _unheard(scene, _no_retry(scene, command, known))
    for artifact in known:
        if artifact.rejection is not None and artifact.retried != command:
            made = dataclasses.replace(artifact, rejection=None, retried=command, retried_at=scene.sequence)
            scene.artifacts[artifact.version] = made
            scene.early.append(plan.RecordRetry(artifact.version, artifact.name, command, scene.sequence))
            scene.note("Retried", f"{artifact.version} may be delivered again: somebody said retry.")
    scene.late.append(plan.ClearCommand(naming.RETRY))


def _no_retry(scene: Scene, command: str, known: Sequence[HubArtifact]) -> str:
    """Say why a retry changes nothing, unless it was carried out a moment ago."""
    rejected = [a for a in known if a.rejection is not None]
    if not rejected and not any(a.retried == command for a in known):
        return unheard.not_rejected(naming.RETRY, command)
    if rejected and all(a.retried == command for a in rejected):
        again = waits.retry(scene, rejected[0].version)
        return f"{naming.RETRY}={command} was carried out before; to try it once more: {again}"
    return ""


def settle(scene: Scene) -> None:
    """Bring every region back from what was rejected, as far as the verdict reaches, and its spec in line."""
    for facts in scene.ours():
        rejection = scene.rejection(facts.version)
        target = target_of(scene, facts) if rejection is not None else None
        if rejection is None or target is None or not target.region.is_reached:
            continue
        if not runs_what_it_names(scene, facts, target):
            continue
        write = _write_of(scene, facts, target, rejection)
        if write is not None:
            apply(scene, target, facts, *write)


def target_of(scene: Scene, facts: RolloutFacts) -> Target | None:
    """Return a region's Rollout as a place to write to; None if its Region is gone.

    Where no plan has that place any more, because it was moved out in the middle of a change, as it was written.
    """
    region = scene.regions.get(facts.region)
    if region is None:
        return None
    placed = scene.places((facts.region, facts.namespace))
    found = next((t for t in placed if t.stage.name == facts.stage), placed[0] if placed else None)
    return Target(found.stage if found else Stage.model_construct(name=facts.stage), region, facts.namespace)


def _write_of(scene: Scene, facts: RolloutFacts, target: Target, rejection: HubRejection) -> Write | None:
    """Return what a region with a rejected version needs: the id written, or its spec brought in line."""
    if not facts.is_told or (is_taken_back(facts) and facts.phase is Phase.REVERTING):
        return None
    if runs_none(facts):
        return in_line(scene, facts, target) or _named(scene, facts, target)
    if is_taken_back(facts) or reaches(scene, facts, rejection):
        return _named(scene, facts, target)
    return None


def reaches(scene: Scene, facts: RolloutFacts, rejection: HubRejection) -> bool:
    """Whether a verdict takes a region back: one that has not finished always, a stable one within the scope.

    One that was moved out of every stage keeps what is stable there: it is no longer this Pipeline's to take back.
    """
    if facts.phase is not Phase.STABLE or facts.stable != facts.artifact:
        return True
    if not scene.places((facts.region, facts.namespace)):
        return False
    if rejection.scope == RevertScope.EVERYWHERE.value:
        return True
    if rejection.scope == RevertScope.STAGE.value and rejection.stage:
        return facts.stage == rejection.stage
    return facts.stage == rejection.stage and facts.region == rejection.region


def name_rejected(scene: Scene, facts: RolloutFacts, target: Target) -> bool:
    """Write what a region took back into its `spec.rejected`; False if it stands there already."""
    write = _named(scene, facts, target)
    if write is not None:
        apply(scene, target, facts, *write)
    return write is not None


def _named(scene: Scene, facts: RolloutFacts, target: Target) -> Write | None:
    """Write the id into `spec.rejected`, so that the region goes back at revert speed, and does not start it again."""
    before = [str(i) for i in facts.spec.get("rejected") or ()]
    if not facts.artifact or facts.artifact in before:
        return None
    named = [*before, facts.artifact][-manifests.MOST_REJECTED :]
    made = manifests.amended(scene.s, target, facts, {"rejected": named}, {})
    return made, (), f"{facts.version} was rejected", True


def apply(
    scene: Scene,
    target: Target,
    facts: RolloutFacts | None,
    made: plan.Manifest,
    first: tuple[plan.Action, ...],
    why: str,
    is_way_back: bool = False,
) -> None:
    """Write a region's Rollout, after what has to be there before it; once in a decision."""
    if target.key in scene.touched:
        return
    scene.touched.add(target.key)
    version = facts.resource_version if facts else ""
    scene.late += [*first, plan.ApplyRollout(*target.key, scene.s.pipeline.name, made, version, why, is_way_back)]


def is_going_back(scene: Scene, target: Target) -> bool:
    """Whether a place still has to come back from a rejected version: a slot stays taken until then."""
    facts = scene.facts.get(target.key)
    if facts is None or not scene.is_ours(facts):
        return False
    rejection = scene.rejection(facts.version)
    if rejection is None or not runs_what_it_names(scene, facts, target):
        return False
    if not facts.is_told:
        return True
    if facts.phase is Phase.FAILED and is_taken_back(facts):
        return False
    if runs_none(facts):
        return in_line(scene, facts, target) is not None
    return reaches(scene, facts, rejection)


def tell(scene: Scene) -> None:
    """Say which regions are on their way back, or cannot be asked, and which another hub wants."""
    for facts in scene.ours():
        if facts.claimed_by not in ("", scene.s.hub):
            waits.claimed(scene, facts)
        target = target_of(scene, facts) if scene.rejection(facts.version) is not None else None
        if target is None or not is_going_back(scene, target):
            continue
        told = waits.of_write(scene, target, facts.version) or ("Reverting", waits.going_back(scene, target, facts))
        if not target.region.is_reached:
            told = "Reverting", waits.unreachable(scene, target)
        item = Item(facts.sequence, facts.version, "", scene.now)
        waits.of_item(scene, item, facts.stage, *told, facts.region)
