"""What travels along with a change: how it is written, why it was not, and what of it stays behind."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ombak.api.pipeline import HandEdits
from ombak.core.conveyor import content, manifests, plan, waits
from ombak.core.conveyor.manifests import Manifest, Order
from ombak.core.conveyor.placement import Target
from ombak.core.conveyor.scene import Scene
from ombak.core.conveyor.snapshot import BroughtFacts, HubArtifact, Raw, Refused, RolloutFacts

_RESOURCES = {"Alarm": "alarms.ombak.dev", "ConfigMap": "configmaps", "Service": "services", "Job": "jobs.batch"}


def brought(
    scene: Scene, artifact: HubArtifact, target: Target, chosen: Iterable[Raw], facts: RolloutFacts | None
) -> tuple[plan.ApplyObject, ...]:
    """Return the writes of objects of a version; `facts` is the Rollout there, whose owner has them too."""
    is_heir = facts is not None and scene.is_ours(facts)
    return tuple(_written(scene, target, manifests.travelling(scene.s, artifact, o, target), is_heir) for o in chosen)


def _written(scene: Scene, target: Target, made: Manifest, is_heir: bool) -> plan.ApplyObject:
    takes_back = _takes_back(scene, target, made)
    if takes_back:
        where = f"Region {target.region.name}"
        told = scene.s.refused[target.region.name]
        scene.note("PutBack", f"{where}: {told.what} was edited by hand, and is put back.", is_warning=True)
    return plan.ApplyObject(*target.key, made, is_heir=is_heir, takes_back=takes_back)


def _takes_back(scene: Scene, target: Target, made: Manifest) -> bool:
    """Only what a write found edited, and only where the Pipeline says so."""
    refused, spec = scene.s.refused.get(target.region.name), scene.merged.spec
    if refused is None or not refused.edits or spec is None or spec.hand_edits is not HandEdits.PUT_BACK:
        return False
    return refused.place == (_RESOURCES.get(made["kind"]), target.namespace, made["metadata"]["name"])


def strayed(scene: Scene, order: Order) -> Iterator[tuple[Refused, plan.ApplyObject]]:
    """Return which Alarms of a version are not as they were delivered, as the watch tells, and what puts them right.

    What one says of itself proves nothing: it is compared by content. What an earlier write of this hub left there is
    no edit, and is not taken from anybody. Other kinds the hub may not watch.
    """
    target = order.target
    for found in (o for o in order.artifact.objects if o.get("kind") == "Alarm"):
        name = str(found["metadata"]["name"])
        live = scene.s.alarms.get((*target.key, name))
        edits, is_foreign = _edits(found, live), live is not None and not _is_ours(scene, live)
        if not edits and not is_foreign:
            continue
        is_left = live is not None and not is_foreign and _is_of_another_version(scene, name, live)
        whose = (live.hub, live.pipeline) if live is not None else ("", "")
        edits = "" if is_foreign else edits
        made = manifests.travelling(scene.s, order.artifact, found, target)
        yield (
            Refused(_RESOURCES["Alarm"], target.namespace, name, *whose, edits),
            plan.ApplyObject(*target.key, made, is_heir=True, takes_back=not is_left),
        )


def _edits(found: Raw, live: BroughtFacts | None) -> str:
    if live is None:
        return "somebody deleted it"
    paths = list(_altered(found.get("spec"), live.spec, "spec"))
    return f"somebody edited {', '.join(paths)}" if paths else ""


def _is_ours(scene: Scene, live: BroughtFacts) -> bool:
    """It says so; what another hub brought comes with the Rollout, and what says no Pipeline is from before it did."""
    return live.pipeline == scene.s.pipeline.key or (not live.pipeline and bool(live.hub))


def _is_of_another_version(scene: Scene, name: str, live: BroughtFacts) -> bool:
    """It is as an earlier write of this hub left it: the Rollout that was to follow never did."""
    other = scene.artifacts.get(live.version)
    kept = (o for o in (other.objects if other else ()) if o.get("kind") == "Alarm" and o["metadata"]["name"] == name)
    return any(not _edits(o, live) for o in kept)


def _altered(wanted: Any, live: Any, path: str) -> Iterator[str]:
    """Return what of a spec is not as it was written; what somebody added beside it is not ours."""
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        for name, value in wanted.items():
            if value is not None:
                yield from _altered(value, live.get(name), f"{path}.{name}")
    elif wanted != live:
        yield path


def tell_left(scene: Scene, order: Order, facts: RolloutFacts) -> None:
    """Say which objects of the version before stay in a region: the hub has no right to delete them."""
    known = scene.artifacts.values()
    old = next((a for a in known if a.objects and content.short_hash(list(a.objects)) == facts.objects), None)
    if old is None:
        return
    here = {_place(scene, order.artifact, o, order.target) for o in order.artifact.objects}
    # Copies of ConfigMaps go by themselves, when no version that a region could go back to refers to them.
    left = [
        p for o in old.objects if o["kind"] != "ConfigMap" and (p := _place(scene, old, o, order.target)) not in here
    ]
    if not left:
        return
    target, named = order.target, " ".join(f"{kind}/{name}" for kind, name in left)
    remove = waits.in_region(target.region, f"kubectl -n {target.namespace} delete {named}")
    where, version = f"Region {target.region.name}", order.artifact.version
    scene.note("LeftBehind", f"{where} keeps what {version} has no longer. Remove it: {remove}")


def _place(scene: Scene, artifact: HubArtifact, found: Raw, target: Target) -> tuple[str, str]:
    made = manifests.travelling(scene.s, artifact, found, target)
    return _RESOURCES.get(made["kind"], made["kind"].lower()), made["metadata"]["name"]
