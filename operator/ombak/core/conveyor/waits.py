"""What waits for what, who can lift it and with which command, region by region (P10)."""

from datetime import datetime, timedelta

from ombak.api.duration import format_duration
from ombak.api.wording import clause
from ombak.core import commands, naming
from ombak.core.conveyor import content, plan
from ombak.core.conveyor.memory import Item
from ombak.core.conveyor.placement import Target
from ombak.core.conveyor.scene import Scene
from ombak.core.conveyor.snapshot import PipelineView, Refused, RegionFacts, RolloutFacts
from ombak.core.gates.gate import Held

_ENGINEER = "whoever owns the Pipeline"


def of_pipeline(pipeline: PipelineView, verb: str) -> str:
    """Return a kubectl command on the Pipeline, on the hub."""
    return f"kubectl -n {pipeline.namespace} {verb} ompl {pipeline.name}"


def in_region(region: RegionFacts, command: str) -> str:
    """Return a kubectl command with the context by which people reach a region: its name."""
    return commands.in_context(command, region.name)


def _on_rollout(scene: Scene, target: Target, verb: str, rest: str) -> str:
    return in_region(target.region, f"kubectl -n {target.namespace} {verb} omr {scene.s.pipeline.name} {rest}")


def abort(scene: Scene, version: str) -> str:
    """Return the command that takes back a version that is on its way."""
    return of_pipeline(scene.s.pipeline, "annotate") + f" --overwrite {naming.ABORT}={content.id_of(version)}"


def retry(scene: Scene, version: str) -> str:
    """Return the command that lets a rejected version start again."""
    found = scene.artifacts.get(version)
    value = commands.next_retry(content.id_of(version), found.retried if found else "")
    return of_pipeline(scene.s.pipeline, "annotate") + f" --overwrite {naming.RETRY}={value}"


def wait(
    scene: Scene, key: str, reason: str, what: str, who: str, command: str = "", expected: datetime | None = None
) -> None:
    """Say that the Pipeline as a whole waits."""
    scene.waits.setdefault(key, plan.HubWait(key, reason, what, _since(scene, key), who, command, expected))


def of_item(scene: Scene, item: Item, stage: str, reason: str, told: Held, region: str = "") -> None:
    """Say that a change waits, in a stage or in one region of it; where no command helps, that it can be aborted.

    What is delivered everywhere, and waits for a region that came late, can not: an abort would name nothing.
    """
    key = "/".join(part for part in (str(item.sequence), stage, region, told.kind) if part)
    is_final = bool(told.command) or "abort" in told.who or scene.is_done(item)
    helps = of_pipeline(scene.s.pipeline, "describe") if scene.is_done(item) else abort(scene, item.version)
    scene.waits.setdefault(
        key,
        plan.HubWait(
            key=key,
            reason=reason,
            what=told.what,
            since=_from(told.since, item) or _since(scene, key),
            who=told.who if is_final else f"{told.who}; or abort it",
            command=told.command or helps,
            expected=told.expected,
            stage=stage,
            region=region,
            artifact=item.version,
        ),
    )


def _from(since: datetime | None, item: Item) -> datetime | None:
    """A Window that closed long before the change was made has not held it for so long."""
    return since if since is None or item.since is None else max(since, item.since)


def _since(scene: Scene, key: str) -> datetime:
    return scene.s.memory.waits.get(key, scene.now)


def held(
    kind: str, what: str, who: str, command: str = "", expected: datetime | None = None, since: datetime | None = None
) -> Held:
    """Return why something does not go on, in the words of P10."""
    return Held(kind, what, who, command, since, expected)


def unreachable(scene: Scene, target: Target) -> Held:
    """Return the wait for a region that does not answer; where no stage has it any more, nothing passes it over."""
    name = target.region.name
    gone = f"delete the Region, if it is gone for good: kubectl delete omreg {name}"
    helps = "set onRegionUnreachable: Skip" if scene.is_placed(target) else gone
    who = f"whoever runs that cluster; or {helps}"
    return held("unreachable", _silent(target.region), who, f"kubectl describe omreg {name}")


def passed_over(target: Target, now: datetime, after: timedelta) -> Held:
    """Return the wait for a region that is passed over once it was silent for long enough."""
    what = f"{_silent(target.region)}; after {format_duration(after)} of silence it is passed over"
    who = "time (onRegionUnreachable: Skip), or whoever runs that cluster"
    command, expected = f"kubectl describe omreg {target.region.name}", target.region.given_up_at(now, after)
    return held("unreachable", what, who, command, expected)


def deserted(target: Target) -> Held:
    """Return the wait for a region of a stage in which none answers: without all of them nothing would be proven."""
    what = f"{_silent(target.region)}; no other region of stage {target.stage.name} answers, and one has to"
    return held("unreachable", what, "whoever runs that cluster", f"kubectl describe omreg {target.region.name}")


def of_twins(scene: Scene, target: Target, other: str, *, has_begun: bool) -> Held:
    """Return the wait for two Regions that lead to one cluster, in which both would get the same Rollout.

    A change that has begun there keeps its frozen stages: a newer one without that Region waits for it.
    """
    name = target.region.name
    what = (
        f"Region {name} to lead to another cluster than Region {other}: both would get the same Rollout "
        f"{target.namespace}/{scene.s.pipeline.name} there"
    )
    helps = "abort the change" if has_begun else "take one out of the stages"
    who = f"whoever runs {name} and {other}: correct spec.access of one, or delete it; or {helps}"
    return held("cluster", what, who, f"kubectl get omreg {name} {other} -o yaml")


def _silent(region: RegionFacts) -> str:
    last = f", last heard of at {region.last_contact:%Y-%m-%d %H:%M:%S}Z" if region.last_contact else ""
    why = f" ({region.refusal})" if region.refusal else ""
    return f"Region {region.name} to answer: it cannot be reached{why}{last}"


def slot(scene: Scene, other: Item) -> Held:
    """Return the wait for an earlier change to leave its stage."""
    what = f"stage {other.stage} to be free: {other.version} (change {other.sequence}) is in it"
    return held("slot", what, "time, as it finishes; or abort it", abort(scene, other.version))


def overtaken(item: Item, stage: str, later: RolloutFacts) -> Held:
    """Return the wait for a later change that every region of a stage has already."""
    what = (
        f"change {later.sequence} ({later.version}), which every region of stage {stage} has already, to go on for "
        f"both, or to go back: {item.version} proves nothing there"
    )
    return held("slot", what, "time, as that one goes on; or abort it")


def unwritten(target: Target, version: str, why: str) -> Held:
    """Return the wait for a region that does not take what is written."""
    name = target.region.name
    who = "whoever runs that cluster, if it does not go by itself"
    return held("write", f"Region {name} to take {version}: {why}", who, f"kubectl describe omreg {name}")


def moving(scene: Scene, target: Target, facts: RolloutFacts, version: str) -> Held:
    """Return what a region itself says that it waits for, with the command that helps there."""
    told = facts.wait
    where = f"Region {target.region.name}"
    if target.region.silence:
        return _deserted_by_its_operator(target, f"{where} to finish {version}")
    if told is None or not facts.is_told:
        phase = facts.phase.value if facts.phase and facts.is_told else "not begun"
        show = _on_rollout(scene, target, "get", "-o wide")
        return held("moving", f"{where} to finish {version} ({phase})", f"the operator in {where}", show)
    what = f"{where}, which waits for {told.what}"
    command = in_region(target.region, told.command)
    if command == _on_rollout(scene, target, "edit", "").strip():
        # What the hub writes is mended in the Pipeline: by hand in a region it would be an edit, and `Edited`.
        who, command = f"{_ENGINEER}, by another change", of_pipeline(scene.s.pipeline, "edit")
        return held("moving", what, who, command, told.expected, told.since)
    command = command or _on_rollout(scene, target, "describe", "").strip()
    return held("moving", what, told.who, command, told.expected, told.since)


def _deserted_by_its_operator(target: Target, what: str) -> Held:
    name = target.region.name
    return held(
        "silent", f"{what}: {target.region.silence}", "whoever runs Ombak there", f"kubectl describe omreg {name}"
    )


def going_back(scene: Scene, target: Target, facts: RolloutFacts) -> Held:
    """Return the wait for a region's revert to end: one that answers, and in which somebody works, needs nobody."""
    told = facts.wait
    what = f"Region {target.region.name} to be back from {facts.version}"
    if target.region.silence:
        return _deserted_by_its_operator(target, what)
    show = _on_rollout(scene, target, "describe", "").strip()
    return held("revert", what, "nobody, it goes by itself", show, told.expected if told else None)


def foreign(scene: Scene, target: Target, facts: RolloutFacts) -> Held:
    """Return the wait for a Rollout that belongs to somebody else."""
    owner = _owner(scene, facts.hub, facts.pipeline)
    what = (
        f"the Rollout {target.namespace}/{scene.s.pipeline.name} in Region {target.region.name} "
        f"to be given over: it belongs to {owner}, and is not touched"
    )
    return held("conflict", what, f"whoever runs {owner}", _on_rollout(scene, target, "annotate", _to_us(scene)))


def _owner(scene: Scene, hub: str, pipeline: str) -> str:
    if hub and hub != scene.s.hub:
        return f"the hub {hub}"
    if pipeline and pipeline != scene.s.pipeline.key:
        return f"the Pipeline {pipeline}"
    return "nobody that the hub knows"


def _to_us(scene: Scene) -> str:
    return f"--overwrite ombak.dev/hub={scene.s.hub} ombak.dev/pipeline={scene.s.pipeline.key}"


def of_write(scene: Scene, target: Target, version: str) -> tuple[str, Held] | None:
    """Return the word and the wait for a region that did not take the last write, None if it did."""
    refused, why = scene.s.refused.get(target.region.name), scene.s.unwritten.get(target.region.name)
    if refused is not None:
        return of_refused(scene, target, refused)
    return ("WriteFailed", unwritten(target, version, why)) if why else None


def of_refused(scene: Scene, target: Target, refused: Refused) -> tuple[str, Held]:
    """Return the word and the wait for an object that is not as it was delivered, not right, or somebody else's."""
    where = f"{refused.what} of Region {target.region.name}"
    if refused.edits:
        what = f"{where} to be as it was delivered: {refused.edits}"
        who = "whoever edited it; or set handEdits: PutBack"
        return "Edited", held("edited-object", what, who, _put_back(scene))
    if refused.flaw:
        what = f"{where} to be one that the API server takes: {clause(refused.flaw)}"
        who = "whoever owns the Pipeline, by a change that puts spec.objects right"
        return "WriteFailed", held("object", what, who)
    owner = _owner(scene, refused.hub, refused.pipeline)
    what = f"{where} to be given over: it belongs to {owner}, and is not touched"
    give = f"kubectl -n {refused.namespace} annotate {refused.kind}/{refused.name} {_to_us(scene)}"
    return "Conflict", held("conflict", what, f"whoever runs {owner}", in_region(target.region, give))


def edited(scene: Scene, target: Target, fields: tuple[str, ...]) -> Held:
    """Return the wait for a Rollout that somebody edited in the region."""
    what = f"Region {target.region.name} to run what was delivered: somebody edited {', '.join(fields)} there"
    return held("edited", what, "whoever edited it; or set handEdits: PutBack", _put_back(scene))


def revalued(scene: Scene, target: Target, version: str, *, goes: bool) -> Held:
    """Return the wait for the values that a region has now, by labels that it had not when it was written."""
    what = f"Region {target.region.name} to get the values that it has now: its labels have changed under {version}"
    who = "whoever owns the Pipeline, by the next change; or set handEdits: PutBack"
    return held("values", what, "nobody, it goes by itself") if goes else held("values", what, who, _put_back(scene))


def _put_back(scene: Scene) -> str:
    return of_pipeline(scene.s.pipeline, "patch") + """ --type merge -p '{"spec":{"handEdits":"PutBack"}}'"""


def taken_back(scene: Scene, target: Target, facts: RolloutFacts) -> Held:
    """Return the wait for a region that took back, by itself, what is done elsewhere."""
    what = f"Region {target.region.name}, which took {facts.version} back: {facts.message or 'no reason given'}"
    value = f"--overwrite {naming.RETRY}={facts.artifact}"
    again = in_region(target.region, facts.wait.command) if facts.wait and facts.wait.command else ""
    return held("failed", what, _ENGINEER, again or _on_rollout(scene, target, "annotate", value))


def claimed(scene: Scene, facts: RolloutFacts) -> None:
    """Say that another hub was told to deliver what this one owns; it waits for nothing here."""
    rollout = f"{facts.namespace}/{scene.s.pipeline.name}"
    what = f"the hub {facts.claimed_by} to stop delivering {rollout} in Region {facts.region}, which is this hub's"
    region = scene.regions.get(facts.region) or RegionFacts(facts.region)
    forget = f"kubectl -n {facts.namespace} annotate omr {scene.s.pipeline.name} ombak.dev/claimed-by-"
    who = f"whoever runs the hub {facts.claimed_by}; then take its word off"
    wait(scene, f"claimed/{facts.region}/{facts.namespace}", "Claimed", what, who, in_region(region, forget))
