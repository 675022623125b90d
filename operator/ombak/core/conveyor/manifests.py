"""Whole objects as the hub writes them into regions, pure functions of a version, a plan and a target (design 3)."""

import copy
import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ombak.api.common import API_VERSION, GROUP
from ombak.api.stage import JobPlace, StageTest
from ombak.core import naming
from ombak.core.conveyor import content, placement
from ombak.core.conveyor.memory import Item
from ombak.core.conveyor.merge import Merged
from ombak.core.conveyor.placement import Target
from ombak.core.conveyor.snapshot import HubArtifact, HubSnapshot, Raw, RolloutFacts
from ombak.core.identity import digest_of, id_of
from ombak.core.overrides.view import AS_IT_IS, Permit, Shortened

Manifest = dict[str, Any]

HUB = f"{GROUP}/hub"
PIPELINE = f"{GROUP}/pipeline"
CLAIMED = f"{GROUP}/claimed-by"
SEQUENCE = f"{GROUP}/sequence"
VERSION = f"{GROUP}/version"
STAGE = f"{GROUP}/stage"
VALUES = f"{GROUP}/values"
OBJECTS = f"{GROUP}/objects"
CONTENT = f"{GROUP}/content"
"""The hash of what an object that travels along was to be when it was written."""
OVERRIDE = f"{GROUP}/override"
"""`namespace/name` of the Override on the hub by which a Rollout has the bakes that it has."""
FLOORS = f"{GROUP}/floors"
"""The Region's shortest bakes as they were when a Rollout was written."""
ZONES = f"{GROUP}/zones"
"""The zones of the Region that a stage takes, as they were when a Rollout was written; empty where it had none."""
TEST = f"{GROUP}/test"
PROVENANCE = tuple(f"{GROUP}/{name}" for name in ("author", "commit", "build", "reviewer"))
"""Annotations of the Pipeline that travel along, so that every region can tell who, what and when."""
OF_A_VERSION = (SEQUENCE, VERSION, VALUES, OBJECTS, naming.PERMIT, *PROVENANCE)
"""What is told of the version on a Rollout, and goes when it goes."""
MOST_REJECTED = 16
_KEPT_S = 7 * 24 * 3600
"""A finished Job of a test is kept for a week, where its template does not say how long."""
_KEPT_AT_LEAST_S = 3600
_PEOPLES = ("replicas", "paused")
_FIRST_KINDS = ("Alarm", "ConfigMap")
_TRACKING = ("kubectl.kubernetes.io/", "argocd.argoproj.io/", "meta.helm.sh/", "helm.sh/")
_HELM = ("app.kubernetes.io/managed-by", "Helm")
_TRACKING_LABELS = ("app.kubernetes.io/instance",)


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """What a version is in one region."""

    template: Manifest
    id: str
    digest: str
    objects: str
    """The hash of the objects that travel along."""
    env: str
    """The hash of the values of this region, empty where it has none."""


_MADE: dict[tuple[int, tuple[tuple[str, str], ...]], tuple[HubArtifact, Delivery]] = {}
"""What was made of an artifact: hashing is dear, and most regions have the same values, from one look to the next."""
_MOST_MADE = 8192


def delivery(artifact: HubArtifact, target: Target) -> Delivery:
    """Return what a region runs of a version: the same content everywhere, and beside it the region's values."""
    env = placement.env_of(artifact.values, target.region)
    key = id(artifact), tuple(env.items())
    known = _MADE.get(key)
    if known is None or known[0] is not artifact:
        if len(_MADE) >= _MOST_MADE:
            _MADE.clear()
        known = _MADE[key] = artifact, _delivery(artifact, env)
    return known[1]


def _delivery(artifact: HubArtifact, env: Mapping[str, str]) -> Delivery:
    made = with_configs(with_env(artifact.template, env), artifact.objects)
    digest = digest_of(made)
    objects, values = content.short_hash(list(artifact.objects)), content.short_hash(env)
    return Delivery(template=made, id=id_of(digest), digest=digest, objects=objects, env=values)


def with_env(template: Raw, env: Mapping[str, str]) -> Manifest:
    """Return the template with variables set in every container; those it has of these names are replaced."""
    made: Manifest = copy.deepcopy(dict(template))
    if not env:
        return made
    for name in ("initContainers", "containers"):
        for container in (made.get("spec") or {}).get(name) or ():
            kept = [v for v in container.get("env") or () if v.get("name") not in env]
            container["env"] = [*kept, *({"name": k, "value": v} for k, v in env.items())]
    return made


def config_name(found: Raw) -> str:
    """Return the name under which a ConfigMap travels: immutable, with the hash of its content."""
    data = {k: found[k] for k in ("data", "binaryData") if k in found}
    return f"{found['metadata']['name']}-{content.short_hash(data) or 'empty'}"


def with_configs(template: Manifest, objects: Iterable[Raw]) -> Manifest:
    """Return the template with references to travelling ConfigMaps rewritten to the immutable ones."""
    names = {str(o["metadata"]["name"]): config_name(o) for o in objects if o.get("kind") == "ConfigMap"}
    for reference in _references(template) if names else ():
        if reference.get("name") in names:
            reference["name"] = names[reference["name"]]
    return template


def copies(artifact: HubArtifact) -> frozenset[str]:
    """Return the names under which the ConfigMaps of a version travel."""
    return frozenset(config_name(o) for o in artifact.objects if o.get("kind") == "ConfigMap")


def configs_of(template: object) -> frozenset[str]:
    """Return the ConfigMaps that a pod template refers to. Total: reads what a region says, too."""
    try:
        return frozenset(str(found.get("name")) for found in _references(template))
    except (AttributeError, TypeError):
        return frozenset()


def _references(template: Any) -> Iterator[Manifest]:
    spec = (template or {}).get("spec") or {}
    for volume in spec.get("volumes") or ():
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            yield from filter(None, [source.get("configMap")])
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            yield from filter(None, [source.get("configMapRef") for source in container.get("envFrom") or ()])
            values = [variable.get("valueFrom") or {} for variable in container.get("env") or ()]
            yield from filter(None, [value.get("configMapKeyRef") for value in values])


def is_first(found: Raw) -> bool:
    """It is applied before the Rollout: what watches, and what its boxes need. The rest follows when it is stable."""
    return found.get("kind") in _FIRST_KINDS


def travelling(s: HubSnapshot, artifact: HubArtifact, found: Raw, target: Target) -> Manifest:
    """Return an object as it lands in a region, without what Argo CD, Helm and kubectl track their own with."""
    made: Manifest = copy.deepcopy(dict(found))
    metadata = made["metadata"]
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if not k.startswith(_TRACKING)}
    labels = {
        k: v
        for k, v in (metadata.get("labels") or {}).items()
        if not k.startswith(_TRACKING) and k not in _TRACKING_LABELS and (k, v) != _HELM
    }
    metadata["namespace"] = target.namespace
    metadata["labels"] = labels | {PIPELINE: s.pipeline.name}
    if made.get("kind") == "ConfigMap":
        metadata["name"] = config_name(found)
        made["immutable"] = True
    said = content.short_hash({k: v for k, v in made.items() if k != "metadata"})
    ours = {HUB: s.hub, PIPELINE: s.pipeline.key, VERSION: artifact.version, CONTENT: said}
    metadata["annotations"] = annotations | ours
    return made


@dataclasses.dataclass(frozen=True)
class Order:
    """What a region's Rollout is to be: which version, by which plan, in whose name. Made once in a decision."""

    target: Target
    artifact: HubArtifact
    plan: Merged
    sequence: int
    provenance: Mapping[str, str] = dataclasses.field(default_factory=dict)
    retry: bool = False
    permit: Permit | None = None
    """What an Override allows the version."""
    made: dict[object, Manifest] = dataclasses.field(default_factory=dict, compare=False, repr=False)
    """The specs of one decision: most regions of a stage get the same one."""

    @property
    def override(self) -> str:
        """What is written of the Override, empty without one."""
        return self.permit.reference if self.permit is not None else ""

    @property
    def bakes(self) -> dict[str, str]:
        """What decides on the bakes beside the plan: annotations, so that a later look can tell what changed."""
        told = {OVERRIDE: self.override, FLOORS: self.target.region.floors.text}
        return {name: value for name, value in told.items() if value}

    @functools.cached_property
    def delivery(self) -> Delivery:
        """What the version is in this region."""
        return delivery(self.artifact, self.target)

    @functools.cached_property
    def spec(self) -> Manifest:
        """The spec of the region's Rollout, without `replicas`, which are its own; shared, and not to be changed."""
        bakes, region = self.permit.bakes if self.permit is not None else AS_IT_IS, self.target.region
        like = (id(self.plan), self.delivery.id, id(self.target.stage), region.floors, region.zones, bakes)
        if like not in self.made:
            self.made[like] = self._spec(bakes)
        return self.made[like]

    def _spec(self, bakes: Shortened) -> Manifest:
        target, plan = self.target, self.plan
        assert plan.spec is not None
        made = {k: v for k, v in plan.rollout.items() if k not in ("replicas", "zones", "strategy", "template")}
        made["template"] = self.delivery.template
        written, stages = plan.rollout.get("strategy") or {}, plan.raw.get("stages") or ()
        made["strategy"] = placement.strategy(plan.spec, written, stages, target, bakes)
        zones = placement.zones_of(plan.rollout.get("zones"), target)
        return made | ({"zones": zones} if zones else {})


def rollout(s: HubSnapshot, order: Order, seen: RolloutFacts | None, *, objects: bool) -> Manifest:
    """Return a region's Rollout whole; `objects` says that all that travels along is there."""
    made = order.delivery
    spec = copy.deepcopy(order.spec)
    rejected = [i for i in (seen.spec.get("rejected") or ()) if i != made.id] if seen else []
    if rejected:
        spec["rejected"] = rejected
    if seen is None:
        said = (order.target.stage.replicas, order.plan.rollout.get("replicas"))
        spec["replicas"] = next((int(first) for first in said if first is not None), 1)
    known = made.objects if objects else (seen.objects if seen else "")
    annotations = {
        HUB: s.hub,
        PIPELINE: s.pipeline.key,
        SEQUENCE: str(order.sequence),
        VERSION: order.artifact.version,
        STAGE: order.target.stage.name,
        **({VALUES: made.env} if made.env else {}),
        **({OBJECTS: known} if known else {}),
        **order.bakes,
        **({ZONES: placement.zones_told(order.target)} if order.target.stage.zones is not None else {}),
        **({naming.RETRY: f"{made.id}.{order.sequence}"} if order.retry else {}),
        **order.provenance,
    }
    return whole(s, order.target, annotations, spec)


def amended(s: HubSnapshot, target: Target, seen: RolloutFacts, changed: Raw, told: Mapping[str, str]) -> Manifest:
    """Return a region's Rollout as it is, but for some fields of its spec and what is told beside it.

    What the hub never writes is not in it: `replicas`, and a person's `paused`.
    """
    spec = {k: v for k, v in copy.deepcopy(dict(seen.spec)).items() if k not in _PEOPLES} | dict(changed)
    annotations = {**seen.annotations, HUB: s.hub, PIPELINE: s.pipeline.key, **told}
    return whole(s, target, annotations, spec)


def whole(s: HubSnapshot, target: Target, annotations: Mapping[str, str], spec: Manifest) -> Manifest:
    """Return a Rollout of the Pipeline's name."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Rollout",
        "metadata": {
            "name": s.pipeline.name,
            "namespace": target.namespace,
            "labels": {PIPELINE: s.pipeline.name},
            "annotations": dict(annotations),
        },
        "spec": spec,
    }


def artifact(s: HubSnapshot, version: HubArtifact) -> Manifest:
    """Return the hub's object of a version."""
    labels = {PIPELINE: s.pipeline.name, naming.ARTIFACT: version.id}
    return {
        "apiVersion": API_VERSION,
        "kind": "Artifact",
        "metadata": {
            "name": version.name,
            "namespace": s.pipeline.namespace,
            "labels": labels,
            "annotations": {HUB: s.hub, **s.pipeline.provenance},
        },
        "spec": {
            "pipeline": s.pipeline.name,
            "id": version.id,
            "digest": content.content_digest(version.template, version.objects),
            "sequence": version.sequence,
            "template": dict(version.template),
            **({"objects": [dict(o) for o in version.objects]} if version.objects else {}),
            **({"values": [dict(v) for v in version.values]} if version.values else {}),
        },
    }


def test_key(target: Target, test: StageTest) -> str:
    """Return what tells the tests of a Pipeline's change apart."""
    return f"{target.stage.name}/{target.region.name}/{test.name}"


def job_name(s: HubSnapshot, item: Item, target: Target, test: StageTest, attempt: int) -> str:
    """Return the name of a test's Job, the same for the same attempt, so that none runs twice."""
    said = f"{s.pipeline.uid}/{item.sequence}/{item.version}/{test_key(target, test)}/{target.namespace}/{attempt}"
    digest = hashlib.sha256(said.encode()).hexdigest()[:10]
    return f"{naming.base(s.pipeline.name)}-{test.name[:16].rstrip('-')}-{digest}"


def job(s: HubSnapshot, item: Item, target: Target, test: StageTest, attempt: int) -> Manifest:
    """Return the Job of a test: the artifact, the region and the stage are in its environment."""
    made: Manifest = copy.deepcopy(dict(test.template))
    spec = made["spec"]
    spec["backoffLimit"] = 0
    spec["activeDeadlineSeconds"] = max(1, int(test.deadline.total_seconds()))
    # One that vanishes before anybody has read it would be run again for ever.
    kept = spec.get("ttlSecondsAfterFinished")
    spec["ttlSecondsAfterFinished"] = max(_KEPT_AT_LEAST_S, _KEPT_S if kept is None else kept)
    env = {
        "OMBAK_ARTIFACT": content.id_of(item.version),
        "OMBAK_ATTEMPT": str(attempt),
        "OMBAK_NAMESPACE": target.namespace,
        "OMBAK_PIPELINE": s.pipeline.name,
        "OMBAK_REGION": target.region.name,
        "OMBAK_SEQUENCE": str(item.sequence),
        "OMBAK_STAGE": target.stage.name,
    }
    spec["template"] = with_env(spec["template"], env)
    spec["template"].setdefault("spec", {}).setdefault("restartPolicy", "Never")
    metadata = made.get("metadata") or {}
    labels = {PIPELINE: s.pipeline.name, TEST: test.name, STAGE: target.stage.name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(s, item, target, test, attempt),
            "namespace": s.pipeline.namespace if test.where is JobPlace.HUB else target.namespace,
            "labels": {**(metadata.get("labels") or {}), **labels},
            "annotations": {**(metadata.get("annotations") or {}), SEQUENCE: str(item.sequence), HUB: s.hub},
        },
        "spec": spec,
    }


def edited(order: Order, seen: RolloutFacts) -> tuple[str, ...]:
    """Return the fields of the spec that are not as the hub writes them; what it does not write is people's own.

    `replicas` is never among them: an autoscaler owns it.
    """
    return tuple(sorted(f"spec.{k}" for k, v in order.spec.items() if v != seen.spec.get(k)))
