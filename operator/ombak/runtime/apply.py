"""Step 3 of a reconcile: actions into API calls, each one conditional on what it was decided from."""

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ombak.core import manifests, naming, plan
from ombak.core.failures import CONFLICT, Failure
from ombak.core.ownership import in_the_way
from ombak.core.snapshot import RolloutView, Snapshot
from ombak.runtime import children, drift, kinds
from ombak.runtime.config_writer import ConfigWriter
from ombak.runtime.kube_port import (
    AlreadyExists,
    ApiError,
    Conflict,
    Invalid,
    Kind,
    KubeClient,
    NotFound,
    Object,
    TooManyRequests,
)
from ombak.runtime.observe import Stores
from ombak.runtime.records import Meta, RolloutRecord, meta_of
from ombak.runtime.store import Key, Store

VERDICTS = (plan.RecordStable, plan.RecordRejected, plan.RecordRetry)
EARLY = (plan.Prepare, plan.Adopt, plan.CreateArtifact, plan.KeepConfig, *VERDICTS)
"""What is done before the status is written: facts that must be on record before anything moves."""


class VersionLostError(Invalid):
    """Boxes are wanted of a version whose Artifact somebody deleted: nobody knows what to put into them."""

    def __init__(self, name: str) -> None:
        super().__init__(422, "VersionLost", f"Artifact {name} is gone, so no boxes of it can be made; apply it again")


class NameTakenError(AlreadyExists):
    """An object of somebody else has one of our names; `failure` says so to people."""

    def __init__(self, failure: Failure, error: AlreadyExists) -> None:
        super().__init__(error.status, error.reason, error.message)
        self.failure = failure


class Applier:
    """Carries out the actions of one plan, in order; answers to writes go into the stores at once."""

    def __init__(self, client: KubeClient, stores: Stores, s: Snapshot, record: RolloutRecord, now: datetime) -> None:
        self._client = client
        self._stores = stores
        self._s = s
        self._record = record
        self._now = now
        self._version = record.meta.resource_version
        self._config = ConfigWriter(client, stores, s)
        self.repaired: dict[str, drift.Edits] = {}
        self.applied: list[plan.Action] = []
        """What was carried out, in order."""
        self.refused: set[type] = set()
        """What the API server did not carry out."""
        self.off_record: list[plan.Action] = []
        """What was left out since it could not be put on record in this pass."""
        self.has_told = False
        """Whether the status of the Rollout was written too."""

    @property
    def key(self) -> Key:
        """The Rollout."""
        return (self._record.meta.namespace, self._record.meta.name)

    @property
    def version(self) -> str:
        """The resource version of the Rollout after what was written to it."""
        return self._version

    async def confirm(self) -> None:
        """Raise `Conflict` unless the Rollout is the one that was decided upon: another operator may have acted."""
        live = await self._client.get(kinds.ROLLOUTS, *self.key)
        if live["metadata"]["resourceVersion"] != self._version:
            self._stores.rollouts.upsert(live)
            raise Conflict(409, "Conflict", "the Rollout is not the one that was decided upon")

    async def apply(self, action: plan.Action) -> None:
        """Carry out one action; raises `ApiError`."""
        await self._carry_out(action)
        self.applied.append(action)

    async def _carry_out(self, action: plan.Action) -> None:
        match action:
            case plan.Prepare():
                await self._prepare(action)
            case plan.ClearCommand(annotation=annotation):
                await self._patch_rollout({"metadata": {"annotations": {annotation: None}}})
            case plan.CreateArtifact():
                await self._create_artifact(action)
            case plan.KeepConfig(artifact=artifact, name=name):
                await self._config.put_back(artifact, name)
            case plan.OwnConfig(artifact=artifact, name=name):
                await self._config.own(artifact, name)
            case plan.RecordStable() | plan.RecordRejected() | plan.RecordRetry():
                await self._record_verdict(action)
            case plan.Adopt() | plan.Delete():
                await self._own(action)
            case plan.WriteOneBox():
                await self._write_one_box(action)
            case plan.CreateFleet() | plan.ScaleFleet() | plan.RepairFleet():
                await self._write_fleet(action)

    async def _create_artifact(self, action: plan.CreateArtifact) -> None:
        """Record a version, and copy what travels with it before anything refers to the copies."""
        contents = await self._config.contents()
        body = manifests.artifact(self._s.rollout, action.artifact, action.sequence)
        made = await self._create(kinds.ARTIFACTS, body)
        self._stores.artifacts.upsert(made)
        await self._config.create_all(made, contents)

    async def _prepare(self, action: plan.Prepare) -> None:
        patch: dict[str, Any] = {"metadata": {}}
        if action.finalizer:
            patch["metadata"]["finalizers"] = [*self._record.meta.finalizers, naming.ORPHAN]
        if action.replicas is not None:
            patch["spec"] = {"replicas": action.replicas}
        await self._patch_rollout(patch)

    async def _patch_rollout(self, patch: dict[str, Any]) -> None:
        patch["metadata"]["resourceVersion"] = self._version
        meta = self._record.meta
        answer = await self._client.patch(kinds.ROLLOUTS, meta.namespace, meta.name, patch)
        self.took(answer)

    def took(self, answer: Object) -> None:
        """Remember the Rollout as a write left it."""
        self._stores.rollouts.upsert(answer)
        self._version = answer["metadata"]["resourceVersion"]

    async def _create(self, kind: Kind, body: Object) -> Object:
        """Create a child; one of that name that is ours after all is taken up, and decided upon anew.

        Ours may have lost the labels by which it is watched: it gets them back. One that is going is waited for.
        """
        namespace, name = self._s.rollout.namespace, body["metadata"]["name"]
        try:
            return await self._client.create(kind, namespace, body)
        except AlreadyExists as error:
            found = await self._client.get(kind, namespace, name)
            meta, rollout = meta_of(found), self._s.rollout
            is_ours = meta.owner_uid == rollout.uid or (not meta.owner_uid and meta.rollout == rollout.name)
            if not is_ours and not meta.is_deleting:
                raise NameTakenError(_in_the_way(rollout, kind, meta), error) from error
            if is_ours:
                mended = await children.relabelled(self._client, kind, found, body["metadata"]["labels"])
                self._store(kind.kind).upsert(mended)
            raise Conflict(409, "AlreadyExists", error.message) from error

    async def _record_verdict(self, action: plan.RecordStable | plan.RecordRejected | plan.RecordRetry) -> None:
        stamp = self._now.isoformat()
        match action:
            case plan.RecordStable(order=order):
                status: dict[str, Any] = {"stable": {"order": order, "at": stamp}}
            case plan.RecordRejected(reason=reason, message=message):
                status = {"rejected": {"at": stamp, "reason": reason, "message": message[:1024]}}
            case plan.RecordRetry(command=command):
                status = {"rejected": None, "retried": command}
        view = self._s.artifact(action.artifact)
        assert view is not None
        patch: Object = {"metadata": {"resourceVersion": view.resource_version}, "status": status}
        answer = await self._client.patch(
            kinds.ARTIFACTS, self._s.rollout.namespace, view.name, patch, subresource="status"
        )
        self._stores.artifacts.upsert(answer)

    async def _own(self, action: plan.Adopt | plan.Delete) -> None:
        kind, namespace = kinds.BY_NAME[action.kind], self._s.rollout.namespace
        store = self._store(action.kind)
        if isinstance(action, plan.Delete):
            with contextlib.suppress(NotFound):
                await self._client.delete(
                    kind, namespace, action.name, uid=action.uid, resource_version=action.resource_version
                )
            store.discard((namespace, action.name), action.uid)
            return
        await children.check_lives(self._client, self._s.rollout)
        owners = self._owners(kind, action.name)
        patch: Object = {"metadata": {"resourceVersion": action.resource_version, "ownerReferences": owners}}
        store.upsert(await self._client.patch(kind, namespace, action.name, patch))

    def _owners(self, kind: Kind, name: str) -> list[Object]:
        """Return the owner references of a child of ours: those of others that control nothing stay."""
        stored = self._store(kind.kind).get((self._s.rollout.namespace, name))
        others = [] if stored is None else stored.value.meta.other_owners
        return [*map(json.loads, others), manifests.owner_reference(self._s.rollout)]

    def _store(self, kind: str) -> Store[Any]:
        stores: dict[str, Store[Any]] = {
            "Artifact": self._stores.artifacts,
            "Deployment": self._stores.deployments,
            "ReplicaSet": self._stores.replica_sets,
        }
        return stores[kind]

    def _template(self, artifact: str) -> Mapping[str, Any]:
        view = self._s.artifact(artifact)
        if view is not None:
            return view.pods
        if artifact != self._s.rollout.artifact:
            raise VersionLostError(naming.artifact(self._s.rollout.name, artifact))
        return self._s.rollout.pods

    def _has_only_size(self, action: plan.WriteOneBox) -> bool:
        """The one box stays on its version, whose content is gone: nothing but the size of it can be written."""
        box = next((b for b in self._s.one_boxes if b.zone == action.zone), None)
        is_lost = self._s.artifact(action.artifact) is None and action.artifact != self._s.rollout.artifact
        return is_lost and box is not None and box.artifact == action.artifact

    async def _scale(self, kind: Kind, name: str, version: str, replicas: int) -> None:
        patch: Object = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
        answer = await self._client.patch(kind, self._s.rollout.namespace, name, patch)
        self._store(kind.kind).upsert(answer)

    async def _write_one_box(self, action: plan.WriteOneBox) -> None:
        rollout = self._s.rollout
        if self._has_only_size(action):
            name = naming.one_box(rollout.name, action.zone)
            await self._scale(kinds.DEPLOYMENTS, name, action.resource_version, action.replicas)
            return
        body = manifests.one_box(
            rollout, self._template(action.artifact), action.artifact, action.zone, action.replicas, action.surge
        )
        if not action.resource_version:
            self._stores.deployments.upsert(await self._create(kinds.DEPLOYMENTS, body))
            return
        answer = await self._replace(kinds.DEPLOYMENTS, body, action.resource_version)
        self._stores.deployments.upsert(answer)

    async def _replace(self, kind: Kind, body: Object, version: str) -> Object:
        """Write an object whole, keeping what belongs to controllers: annotations and finalizers."""
        namespace, name = self._s.rollout.namespace, body["metadata"]["name"]
        stored = self._store(kind.kind).get((namespace, name))
        if stored is not None:
            body["metadata"]["annotations"] = dict(stored.value.annotations)
            body["metadata"]["finalizers"] = list(stored.value.meta.finalizers)
            owners = self._owners(kind, name)
            # Whether the Rollout still lives only an adoption makes sure of; one that was refused is made up for later.
            body["metadata"]["ownerReferences"] = owners if stored.value.meta.owner_uid else owners[:-1]
        body["metadata"]["resourceVersion"] = version
        answer = await self._client.replace(kind, namespace, name, body)
        self.repaired[name] = drift.edits_of(answer)
        return answer

    async def _write_fleet(self, action: plan.CreateFleet | plan.ScaleFleet | plan.RepairFleet) -> None:
        rollout, store = self._s.rollout, self._stores.replica_sets
        if isinstance(action, plan.ScaleFleet):
            await self._scale(kinds.REPLICA_SETS, action.name, action.resource_version, action.after)
            return
        template = self._template(action.artifact)
        body = manifests.fleet(rollout, template, action.artifact, action.zone, action.replicas)
        if isinstance(action, plan.CreateFleet):
            store.upsert(await self._create(kinds.REPLICA_SETS, body))
        else:
            store.upsert(await self._replace(kinds.REPLICA_SETS, body, action.resource_version))


_TOLD = {
    "Prepare": "The finalizer of the Rollout, or its absent replicas,",
    "ClearCommand": "Taking a command off the Rollout",
    "Adopt": "Taking over an object that nobody owns",
    "Delete": "Deleting an object that is needed no more",
    "CreateArtifact": "The record of the version",
    "KeepConfig": "A version's copy of a ConfigMap",
    "OwnConfig": "The owners of a version's copy of a ConfigMap",
    "RecordStable": "The verdict on the version",
    "RecordRejected": "The verdict on the version",
    "RecordRetry": "The verdict on the version",
    "WriteOneBox": "The one box",
    "CreateFleet": "A set of boxes",
    "ScaleFleet": "The new size of a set of boxes",
    "RepairFleet": "A set of boxes that somebody edited",
}
"""What each action is, for people who never saw our code."""


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """An action that the API server refuses, for people."""

    action: str
    error: ApiError

    @property
    def is_for_people(self) -> bool:
        """Trying again will not help: somebody has to change something."""
        return self.error.status in (400, 403, 422) or isinstance(self.error, AlreadyExists)

    @property
    def is_only_its_own(self) -> bool:
        """It says nothing about other actions of the plan, as that the plan is outdated would.

        Nor does silence: a webhook that hangs for one kind looks like nobody there, and others are answered.
        """
        return self.is_for_people or self.error.outcome_unknown or isinstance(self.error, TooManyRequests)

    @property
    def failure(self) -> Failure:
        """What people are told."""
        if isinstance(self.error, NameTakenError):
            return self.error.failure
        if isinstance(self.error, VersionLostError):
            return Failure(f"{self.error.message}.")
        return Failure(f"{_TOLD[self.action]} was refused by the API server: {self.error.message}")


def _in_the_way(rollout: RolloutView, kind: Kind, meta: Meta) -> Failure:
    waiting = in_the_way(rollout, kind.kind, meta.name, meta.owned_by)
    return Failure(waiting.what, CONFLICT, waiting.who, waiting.command)
