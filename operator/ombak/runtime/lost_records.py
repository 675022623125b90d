"""Artifacts that somebody deleted while they are needed: written anew as they were last seen.

Verdicts and contents are nowhere else (ADR 4), so without the Artifact of the stable version nothing could go back to
it. A process that did not see it cannot write it anew; then the Rollout waits, and says so (`core.start.unrecorded`).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from ombak.core import manifests
from ombak.core.plan import Note
from ombak.core.snapshot import RolloutView
from ombak.runtime import kinds
from ombak.runtime.kube_port import AlreadyExists, Conflict, KubeClient, Object
from ombak.runtime.observe import Stores
from ombak.runtime.records import ArtifactRecord, meta_of
from ombak.runtime.store import Key

Seen = Mapping[str, ArtifactRecord]
"""The Artifacts of a Rollout by their ids."""


class LostRecords:
    """Compares what is there with what was there at the pass before; our own deletions leave that too."""

    def __init__(self, client: KubeClient, stores: Stores) -> None:
        self._client = client
        self._stores = stores
        self._seen: dict[Key, dict[str, ArtifactRecord]] = {}

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._seen.pop(key, None)

    def took_away(self, key: Key, names: Iterable[str]) -> None:
        """Take note of Artifacts that were deleted on purpose, by their names."""
        gone = frozenset(names)
        self._seen[key] = {i: r for i, r in self._seen.get(key, {}).items() if r.meta.name not in gone}

    async def restore(self, key: Key, rollout: RolloutView, flying: str, now: datetime) -> tuple[Note, ...]:
        """Write anew what is lost and needed, and return what to tell; `flying` is the version on its way.

        Raises `ApiError`. What nobody needs stays deleted: so a person may take away a verdict.
        """
        there = {r.value.id: r.value for _, r in self._stores.artifacts.owned_by(key)}
        seen = self._seen.get(key, {}) | there
        needed = self._needed(key, seen) | {flying, rollout.artifact}
        # What goes while something is written here is not there at the next pass; until then it counts as seen.
        self._seen[key] = {i: r for i, r in seen.items() if i in there or i in needed}
        lost = [r for r in self._seen[key].values() if r.id not in there and r.is_genuine]
        for record in lost:
            await self._write(rollout, record, now)
        return tuple(map(_note, lost))

    def _needed(self, key: Key, seen: Seen) -> set[str]:
        """What has boxes, and what there is to go back to."""
        sets = (*self._stores.replica_sets.owned_by(key), *self._stores.deployments.owned_by(key))
        good = [r for r in seen.values() if r.stable_order and r.rejected is None]
        newest = max(good, key=lambda r: (r.stable_order, r.sequence), default=None)
        return {w.value.artifact for _, w in sets if w.value.desired or w.value.replicas} | (
            {newest.id} if newest is not None else set()
        )

    async def _write(self, rollout: RolloutView, record: ArtifactRecord, now: datetime) -> None:
        """Raise `Conflict` where the Rollout is going: its Artifacts go with it."""
        live = meta_of(await self._client.get(kinds.ROLLOUTS, rollout.namespace, rollout.name))
        if live.uid != rollout.uid or live.is_deleting:
            raise Conflict(409, "Conflict", f"{rollout.name} is going, and its Artifacts with it")
        body = manifests.artifact(rollout, record.id, record.sequence, record.template, record.config)
        try:
            made = await self._client.create(kinds.ARTIFACTS, rollout.namespace, body)
        except AlreadyExists as error:
            raise Conflict(409, "AlreadyExists", error.message) from error
        patch: Object = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}}
        patch["status"] = _status(record, now)
        if patch["status"]:
            name = made["metadata"]["name"]
            made = await self._client.patch(kinds.ARTIFACTS, rollout.namespace, name, patch, subresource="status")
        self._stores.artifacts.upsert(made)


def _status(record: ArtifactRecord, now: datetime) -> Object:
    status: Object = {}
    if record.stable_order:
        status["stable"] = {"order": record.stable_order, "at": now.isoformat()}
    if record.rejected is not None:
        reason, message, at = record.rejected
        status["rejected"] = {"reason": reason, "message": message, "at": at.isoformat()}
    if record.retried:
        status["retried"] = record.retried
    return status


def _note(record: ArtifactRecord) -> Note:
    told = f"The Artifact of {record.id} was deleted while it is needed; it is written anew, verdicts and all."
    return Note("RecordRestored", told, is_warning=True)
