"""The objects that Ombak owns, as they are written: pure functions of a Rollout and an artifact (design 2)."""

import copy
from collections.abc import Mapping
from typing import Any

from ombak.api.common import API_VERSION, GROUP
from ombak.core import naming
from ombak.core.identity import digest_of
from ombak.core.snapshot import ConfigCopy, RolloutView, Snapshot

Manifest = dict[str, Any]
ONE_BOX = "onebox"
FLEET = "fleet"
NO_DEADLINE = 2**31 - 1
"""What a Deployment takes for "no progress deadline"."""


def owner_reference(rollout: RolloutView) -> Manifest:
    """Return what makes an object belong to a Rollout, so that deleting the Rollout deletes it too."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Rollout",
        "name": rollout.name,
        "uid": rollout.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _labels(rollout: RolloutView, box: str, zone: str) -> dict[str, str]:
    labels = {naming.ROLLOUT: rollout.name, naming.BOX: box}
    return labels | ({naming.ZONE: zone} if zone else {})


def _metadata(rollout: RolloutView, name: str, labels: dict[str, str]) -> Manifest:
    # Only labels of our own: with the user's a stray Deployment of the same selector would adopt the object.
    return {
        "name": name,
        "namespace": rollout.namespace,
        "labels": labels,
        "ownerReferences": [owner_reference(rollout)],
    }


def pod_template(template: Mapping[str, Any], labels: dict[str, str], zone: str) -> Manifest:
    """Return the user's template with our labels and, in a zone, the node affinity that keeps it there."""
    made: Manifest = copy.deepcopy(dict(template))
    metadata = made.setdefault("metadata", {})
    # A label of ours that slipped into the user's template would speak of another zone, version or kind of box.
    own = {k: v for k, v in (metadata.get("labels") or {}).items() if not k.startswith(f"{GROUP}/")}
    metadata["labels"] = {**own, **labels}
    if zone:
        _place(made["spec"], zone)
    return made


def _place(spec: Manifest, zone: str) -> None:
    """Add the zone to every node selector term: terms are alternatives, so each one must hold it."""
    affinity = spec["affinity"] = dict(spec.get("affinity") or {})
    node = affinity["nodeAffinity"] = dict(affinity.get("nodeAffinity") or {})
    required = node["requiredDuringSchedulingIgnoredDuringExecution"] = dict(
        node.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    )
    here = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}
    terms = required.get("nodeSelectorTerms") or [{}]
    required["nodeSelectorTerms"] = [
        {**term, "matchExpressions": [*(term.get("matchExpressions") or []), here]} for term in terms
    ]


def one_box(
    rollout: RolloutView, template: Mapping[str, Any], artifact: str, zone: str, replicas: int, surge: bool
) -> Manifest:
    """Return the Deployment of the one box; with `surge` the new box comes up before the old one goes."""
    selector = _labels(rollout, ONE_BOX, zone)
    labels = selector | {naming.ARTIFACT: artifact}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(rollout, naming.one_box(rollout.name, zone), labels),
        "spec": {
            "replicas": replicas,
            "minReadySeconds": rollout.spec.min_ready_seconds,
            "revisionHistoryLimit": 0,
            # Deadlines are ours to keep; the default of 600 would forbid a minReadySeconds of as much.
            "progressDeadlineSeconds": NO_DEADLINE,
            "selector": {"matchLabels": selector},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": int(surge), "maxUnavailable": int(not surge)},
            },
            "template": pod_template(template, labels, zone),
        },
    }


def fleet(rollout: RolloutView, template: Mapping[str, Any], artifact: str, zone: str, replicas: int) -> Manifest:
    """Return the ReplicaSet of an artifact (in a zone)."""
    labels = _labels(rollout, FLEET, zone) | {naming.ARTIFACT: artifact}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": _metadata(rollout, naming.fleet(rollout.name, artifact, zone), labels),
        "spec": {
            "replicas": replicas,
            "minReadySeconds": rollout.spec.min_ready_seconds,
            "selector": {"matchLabels": labels},
            "template": pod_template(template, labels, zone),
        },
    }


def artifact(
    rollout: RolloutView,
    id: str,  # noqa: A002 - the field's own name
    sequence: int,
    template: Mapping[str, Any] | None = None,
    config: Mapping[str, str] | None = None,
) -> Manifest:
    """Return the Artifact of a template and its configuration; of those that the Rollout asks for if none is given."""
    if template is None:
        template, config = rollout.spec.template, rollout.config
    return {
        "apiVersion": API_VERSION,
        "kind": "Artifact",
        "metadata": _metadata(
            rollout, naming.artifact(rollout.name, id), {naming.ROLLOUT: rollout.name, naming.ARTIFACT: id}
        ),
        "spec": {
            "rollout": rollout.name,
            "id": id,
            "digest": digest_of(dict(template), config or {}),
            "sequence": sequence,
            "template": template,
            **({"config": dict(config)} if config else {}),
        },
    }


def config_owners(s: Snapshot, artifact: str) -> list[Manifest]:
    """Return what a version's copies of ConfigMaps live for: its record, and whatever makes boxes of it.

    The boxes' sets are among them because they outlive our CRDs, and what runs must be able to start anew (P8). None
    of it is the controller, and none needs a right on the owner's finalizers.
    """
    view = s.artifact(artifact)
    found = [_owner(API_VERSION, "Artifact", view.name, view.uid)] if view is not None else []
    found += [_owner("apps/v1", "ReplicaSet", f.name, f.uid) for f in s.fleet if f.artifact == artifact]
    found += [_owner("apps/v1", "Deployment", b.name, b.uid) for b in s.one_boxes if b.artifact == artifact]
    return found


def artifact_owner(artifact: Mapping[str, Any]) -> Manifest:
    """Return what makes a copy live for an Artifact that was just created."""
    return _owner(API_VERSION, "Artifact", artifact["metadata"]["name"], artifact["metadata"]["uid"])


def _owner(api_version: str, kind: str, name: str, uid: str) -> Manifest:
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid}


def config_copy(
    rollout: RolloutView, artifact: str, made: ConfigCopy, content: Mapping[str, Any], owners: list[Manifest]
) -> Manifest:
    """Return a version's own copy of a ConfigMap; nothing of the original's metadata travels along."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": made.snapshot,
            "namespace": rollout.namespace,
            "labels": {naming.ROLLOUT: rollout.name, naming.ARTIFACT: artifact},
            "annotations": {naming.CONFIG: made.name},
            "ownerReferences": owners,
        },
        "immutable": True,
        **{field: content[field] for field in ("data", "binaryData") if content.get(field)},
    }
