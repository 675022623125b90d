"""Artifacts that somebody deleted while they are needed: written anew as they were last seen.

Verdicts and contents are nowhere else (ADR 4), so without the Artifact of the stable version nothing could go back to
it. A process that did not see it cannot write it anew; then the Rollout waits, and says so (`core.start.unrecorded`).
"""

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime

import structlog

from ombak.core import manifests, naming
from ombak.core.memory import Memory
from ombak.core.plan import Note
from ombak.core.snapshot import RolloutView
from ombak.runtime import children, kinds
from ombak.runtime.kube_port import AlreadyExists, ApiError, KubeClient, Object
from ombak.runtime.observe import Stores
from ombak.runtime.records import ArtifactRecord, meta_of
from ombak.runtime.store import Key

log = structlog.get_logger()

Records = Mapping[str, ArtifactRecord]
"""The Artifacts of a Rollout by their ids."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    """What was there at some time; of another Rollout of the same name it says nothing."""

    uid: str
    records: Records


class LostRecords:
    """Compares what is there with what was there before; our own deletions leave that too."""

    def __init__(self, client: KubeClient, stores: Stores) -> None:
        self._client = client
        self._stores = stores
        self._seen: dict[Key, _Seen] = {}

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._seen.pop(key, None)

    def look(self, key: Key, rollout: RolloutView) -> None:
        """Take note of what is there now, verdicts of this very pass among it."""
        self._seen[key] = _Seen(rollout.uid, {**self._before(key, rollout), **self._there(key, rollout)})

    def took_away(self, key: Key, names: Iterable[str]) -> None:
        """Take note of Artifacts that were deleted on purpose, by their names."""
        seen, gone = self._seen.get(key), frozenset(names)
        if seen is not None and gone:
            left = {i: r for i, r in seen.records.items() if r.meta.name not in gone}
            self._seen[key] = dataclasses.replace(seen, records=left)

    async def restore(self, key: Key, rollout: RolloutView, memory: Memory, now: datetime) -> tuple[Note, ...]:
        """Write anew what is lost and needed, and return what to tell.

        What nobody needs stays deleted: so a person may take away a verdict. What cannot be written holds up nothing:
        the Rollout is decided upon by what is there, and the next pass tries again.
        """
        there = self._there(key, rollout)
        seen = {**self._before(key, rollout), **there}
        needed = self._needed(key, seen, rollout, memory)
        # What goes while something is written here is not there at the next pass; until then it counts as seen.
        kept = {i: r for i, r in seen.items() if i in there or i in needed}
        self._seen[key] = _Seen(rollout.uid, kept)
        lost = [r for r in kept.values() if r.id not in there and r.is_genuine]
        return tuple([_note(record) for record in lost if await self._could_write(rollout, record, now)])

    def _before(self, key: Key, rollout: RolloutView) -> Records:
        seen = self._seen.get(key)
        return seen.records if seen is not None and seen.uid == rollout.uid else {}

    def _there(self, key: Key, rollout: RolloutView) -> Records:
        """Those of this very Rollout, whole: the garbage collector may leave some of one of the same name a while.

        What belongs to nobody becomes this one's.
        """
        found = (r.value for _, r in self._stores.artifacts.owned_by(key))
        return {r.id: r for r in found if r.is_complete and _is_of(r, rollout)}

    def _needed(self, key: Key, seen: Records, rollout: RolloutView, memory: Memory) -> set[str]:
        """What has boxes, what is wanted or on its way, and what there is to go back to."""
        sets = (*self._stores.replica_sets.owned_by(key), *self._stores.deployments.owned_by(key))
        flying = memory.release.artifact if memory.release is not None else ""
        good = (r for r in seen.values() if _is_good(r, rollout, memory))
        newest = sorted(good, key=lambda r: (r.stable_order, r.sequence))[-1:]
        with_boxes = {w.value.artifact for _, w in sets if w.value.desired or w.value.replicas}
        return {flying, rollout.artifact, *with_boxes, *(r.id for r in newest)}

    async def _could_write(self, rollout: RolloutView, record: ArtifactRecord, now: datetime) -> bool:
        try:
            await self._write(rollout, record, now)
        except ApiError as error:
            log.warning("a deleted Artifact was not written anew", artifact=record.id, error=str(error))
            return False
        return True

    async def _write(self, rollout: RolloutView, record: ArtifactRecord, now: datetime) -> None:
        """Raise `Conflict` where the Rollout is going: its Artifacts go with it."""
        await children.check_lives(self._client, rollout)
        status = _status(record, now)
        made = await self._made(rollout, record, is_judged=bool(status))
        if status and not made.get("status"):
            patch: Object = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "status": status}
            name = made["metadata"]["name"]
            made = await self._client.patch(kinds.ARTIFACTS, rollout.namespace, name, patch, subresource="status")
        self._stores.artifacts.upsert(made)

    async def _made(self, rollout: RolloutView, record: ArtifactRecord, *, is_judged: bool) -> Object:
        """Create it, or take up one that is there: without its verdict yet, or that only lost our labels.

        Until its verdict is written too it says that it is not whole: a crash in between must not leave a good
        version as one that was never proven.
        """
        body = manifests.artifact(rollout, record.id, record.sequence, record.template, record.config)
        if is_judged:
            body["metadata"]["annotations"] = {naming.RESTORING: "true"}
        try:
            return await self._client.create(kinds.ARTIFACTS, rollout.namespace, body)
        except AlreadyExists:
            found = await self._client.get(kinds.ARTIFACTS, rollout.namespace, body["metadata"]["name"])
            if meta_of(found).owner_uid != rollout.uid:
                raise
            return await children.relabelled(self._client, kinds.ARTIFACTS, found, body["metadata"]["labels"])


def _is_of(record: ArtifactRecord, rollout: RolloutView) -> bool:
    return record.meta.owner_uid in ("", rollout.uid) and record.meta.name == naming.artifact(rollout.name, record.id)


def _is_good(record: ArtifactRecord, rollout: RolloutView, memory: Memory) -> bool:
    """Tell whether one could go back to it; a verdict counts though it is not on the Artifact (yet)."""
    is_judged = record.id in rollout.spec.rejected or any(
        (u.artifact, u.retried) == (record.id, record.retried) for u in memory.unrecorded
    )
    return bool(record.stable_order) and record.is_genuine and record.rejected is None and not is_judged


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
