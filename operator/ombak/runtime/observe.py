"""Step 1 of a reconcile: from the stores to one frozen snapshot."""

import dataclasses
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from ombak.core import manifests, naming
from ombak.core.floors import NO_FLOORS, Floors
from ombak.core.gates.facts import GateFacts
from ombak.core.identity import artifact_id
from ombak.core.memory import Memory
from ombak.core.snapshot import (
    ArtifactView,
    FleetSet,
    OneBoxSet,
    Proof,
    Rejection,
    RolloutView,
    Snapshot,
    TemplateCheck,
)
from ombak.runtime import drift
from ombak.runtime.alarm_book import Reading
from ombak.runtime.config_book import NO_CONFIG, ConfigReading, copies_of
from ombak.runtime.config_maps import Copies, LiveConfig
from ombak.runtime.records import ArtifactRecord, Meta, RolloutRecord, WorkloadRecord
from ombak.runtime.store import Key, Store


@dataclasses.dataclass(frozen=True, slots=True)
class Stores:
    """Everything that is watched in one cluster."""

    rollouts: Store[RolloutRecord]
    artifacts: Store[ArtifactRecord]
    deployments: Store[WorkloadRecord]
    replica_sets: Store[WorkloadRecord]
    config_maps: LiveConfig = dataclasses.field(default_factory=LiveConfig)
    copies: Copies = dataclasses.field(default_factory=Copies)
    """Of ConfigMaps, one for each version that carries them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Extras:
    """What a snapshot needs beside the stores."""

    memory: Memory
    elapsed: timedelta | None
    reading: Reading
    cut_off: timedelta = timedelta(0)
    template_check: TemplateCheck | None = None
    boxes_trouble: Mapping[str, str] = dataclasses.field(default_factory=dict)
    refusal: str = ""
    refused: frozenset[type] = frozenset()
    proof: Proof | None = None
    gates: GateFacts = dataclasses.field(default_factory=GateFacts)
    floors: Floors = NO_FLOORS
    repaired: Mapping[str, drift.Edits] = dataclasses.field(default_factory=dict)
    """What each object still was after we wrote it: such a difference is the API server's doing, no edit."""
    removed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What others took out of each object, in words."""
    resting: Collection[str] = ()
    """Objects whose edits are left as they are for now."""
    config: ConfigReading = NO_CONFIG


def view_of(record: RolloutRecord, config: ConfigReading = NO_CONFIG) -> RolloutView:
    """Return the Rollout as the core sees it; only for one whose spec could be read."""
    assert record.spec is not None
    artifact = artifact_id(record.spec.template, config.digests) if config.digests else record.artifact
    return RolloutView(
        namespace=record.meta.namespace,
        name=record.meta.name,
        uid=record.meta.uid,
        resource_version=record.meta.resource_version,
        generation=record.meta.generation,
        spec=record.spec,
        artifact="" if config.lacks and not config.is_old else artifact,
        problem=record.problem,
        is_deleting=record.meta.is_deleting,
        has_finalizer=naming.ORPHAN in record.meta.finalizers,
        abort=record.abort,
        retry=record.retry,
        permit=record.permit,
        labels=record.labels,
        config=config.digests,
        lacks=config.lacks,
        who_lacks=config.who,
    )


def observe(stores: Stores, key: Key, record: RolloutRecord, extras: Extras) -> Snapshot:
    """Return everything known about a Rollout now."""
    rollout = view_of(record, extras.config)
    records = (r.value for _, r in stores.artifacts.owned_by(key) if r.value.is_complete)
    artifacts = tuple(_artifact(r, rollout, extras.config) for r in records)
    templates = {a.id: a for a in artifacts}
    sets = tuple(r.value for _, r in stores.replica_sets.owned_by(key))
    boxes = tuple(r.value for _, r in stores.deployments.owned_by(key))
    return Snapshot(
        rollout=rollout,
        memory=extras.memory,
        artifacts=artifacts,
        fleet=tuple(_fleet(w, rollout, templates, extras) for w in sets),
        one_boxes=tuple(_one_box(w, rollout, templates, extras) for w in boxes),
        revert_alarm=extras.reading.revert,
        one_box_alarm=extras.reading.one_box,
        signals=extras.reading.signals,
        traps=extras.reading.traps,
        samples=extras.reading.samples,
        template_check=extras.template_check,
        refusal=extras.refusal,
        refused=extras.refused,
        elapsed=extras.elapsed,
        cut_off=extras.cut_off,
        has_asked=extras.reading.has_looked,
        proof=extras.proof,
        poll=extras.reading.poll,
        gates=extras.gates,
        floors=extras.floors,
        boxes_trouble=extras.boxes_trouble,
    )


def _ownership(meta: Meta, rollout: RolloutView) -> dict[str, Any]:
    """Return whether the object is ours (or nobody's), whether it has an owner, and whom, by the names of the views."""
    is_ours, has_owner = meta.owner_uid in ("", rollout.uid), bool(meta.owner_uid)
    return {"is_ours": is_ours, "has_owner": has_owner, "owner": meta.owned_by}


def _artifact(record: ArtifactRecord, rollout: RolloutView, config: ConfigReading) -> ArtifactView:
    return ArtifactView(
        id=record.id,
        name=record.meta.name,
        resource_version=record.meta.resource_version,
        uid=record.meta.uid,
        sequence=record.sequence,
        template=record.template,
        is_genuine=record.is_genuine,
        **_ownership(record.meta, rollout),
        stable_order=record.stable_order,
        rejection=Rejection(*record.rejected) if record.rejected else None,
        retried=record.retried,
        copies=config.copies.get(record.id) or copies_of(rollout.name, record),
    )


def _fleet(w: WorkloadRecord, rollout: RolloutView, artifacts: Mapping[str, ArtifactView], extras: Extras) -> FleetSet:
    changed = _drift(w, rollout, artifacts.get(w.artifact), extras, is_fleet=True)
    makes_others = bool(changed) and _makes_others(w, rollout, artifacts[w.artifact], extras)
    rests = w.meta.name in extras.resting
    return FleetSet(**_owned(w, rollout), drift="" if rests else changed, makes_others=makes_others)


def _one_box(
    w: WorkloadRecord, rollout: RolloutView, artifacts: Mapping[str, ArtifactView], extras: Extras
) -> OneBoxSet:
    changed = _drift(w, rollout, artifacts.get(w.artifact), extras, is_fleet=False)
    told = "" if w.meta.name in extras.resting else changed
    return OneBoxSet(**_owned(w, rollout), drift=told, updated=w.updated, surges=w.surges)


def _owned(w: WorkloadRecord, rollout: RolloutView) -> dict[str, Any]:
    """Return what Deployments and ReplicaSets have alike, by the names of `Owned`."""
    return {
        **_ownership(w.meta, rollout),
        "name": w.meta.name,
        "uid": w.meta.uid,
        "resource_version": w.meta.resource_version,
        "artifact": w.artifact,
        "zone": w.zone,
        "desired": w.desired,
        "replicas": w.replicas,
        "ready": w.ready,
        "available": w.available,
        "is_current": w.is_current,
        "is_deleting": w.meta.is_deleting,
        "scaled_by": w.scaled_by,
        "failure": w.failure,
    }


def _makes_others(w: WorkloadRecord, rollout: RolloutView, artifact: ArtifactView, extras: Extras) -> bool:
    """Tell whether what others changed is in the pod template; what they took away always is."""
    wanted = manifests.fleet(rollout, artifact.pods, w.artifact, w.zone, w.desired)
    return w.meta.name in extras.removed or drift.is_of_pods(w.edits, wanted)


def _drift(
    w: WorkloadRecord, rollout: RolloutView, artifact: ArtifactView | None, extras: Extras, *, is_fleet: bool
) -> str:
    """Return what others changed; nothing where the version is not known, for then nothing could be put back."""
    name = w.meta.name
    if artifact is None or extras.repaired.get(name) == w.edits:
        return ""
    removed = extras.removed.get(name, "")
    if not w.edits.fields and not w.edits.labels:
        return removed
    if is_fleet:
        wanted = manifests.fleet(rollout, artifact.pods, w.artifact, w.zone, w.desired)
    else:
        wanted = manifests.one_box(rollout, artifact.pods, w.artifact, w.zone, w.desired, w.surges)
    return drift.drift(w.edits, wanted) or removed
