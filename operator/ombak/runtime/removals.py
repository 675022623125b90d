"""Fields of ours that somebody took away, which leave no trace in `managedFields`.

What is missing in a pod template may also be the API server's doing: it knows no such field, leaves out what is a
default, or an admission policy takes it away. So what is missing is asked of the server itself, by a dry run: what it
would not store today either is nobody's edit. Nothing is asked while nothing is missing.
"""

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog

from ombak.core import manifests
from ombak.core.config import copy_names, rewritten
from ombak.core.snapshot import RolloutView
from ombak.runtime import kinds
from ombak.runtime.clock import Clock
from ombak.runtime.drift import SOMEBODY, Edits, missing
from ombak.runtime.kube_port import ApiError, Kind, KubeClient, Object, mapping
from ombak.runtime.observe import Stores
from ombak.runtime.records import ArtifactRecord, WorkloadRecord
from ombak.runtime.store import Key

log = structlog.get_logger()

ASK_AGAIN_AFTER = timedelta(seconds=55)
"""A dry run that is refused is tried again so often; until then nothing counts as taken away."""
_TEMPLATE = "spec.template"


@dataclasses.dataclass(slots=True)
class _Looked:
    """What was found in one object as it was then."""

    edits: Edits
    artifact: str
    removed: str
    again_at: float | None = None


class Removals:
    """What is missing in the objects of each Rollout. To be used from one event loop only."""

    def __init__(self, client: KubeClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._looked: dict[Key, dict[str, _Looked]] = {}

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._looked.pop(key, None)

    async def find(self, rollout: RolloutView, stores: Stores, key: Key) -> Mapping[str, str]:
        """Return what was taken away, in words, by the name of the object. Raises nothing."""
        templates = {r.value.id: _pods(rollout, r.value) for _, r in stores.artifacts.owned_by(key)}
        before, looked = self._looked.get(key, {}), dict[str, _Looked]()
        for kind, store in ((kinds.REPLICA_SETS, stores.replica_sets), (kinds.DEPLOYMENTS, stores.deployments)):
            for (_, name), stored in store.owned_by(key):
                record = stored.value
                if record.meta.owner_uid == rollout.uid and record.artifact in templates:
                    known = before.get(name)
                    if known is None or not self._is_fresh(known, record):
                        wanted = _wanted(rollout, kind, record, templates[record.artifact])
                        known = await self._look(kind, record, wanted)
                    looked[name] = known
        self._looked[key] = looked
        return {name: each.removed for name, each in looked.items() if each.removed}

    def _is_fresh(self, looked: _Looked, record: WorkloadRecord) -> bool:
        if (looked.edits, looked.artifact) != (record.edits, record.artifact):
            return False
        return looked.again_at is None or self._clock.monotonic() < looked.again_at

    async def _look(self, kind: Kind, record: WorkloadRecord, wanted: Object) -> _Looked:
        gone = list(missing(wanted["spec"]["template"], record.edits.spec.get("template"), _TEMPLATE))
        looked = _Looked(record.edits, record.artifact, "")
        if not gone:
            return looked
        try:
            left_out = await self._left_out(kind, record.meta.namespace, wanted)
        except ApiError as error:
            log.info("what is missing was not asked", name=record.meta.name, error=str(error))
            looked.again_at = self._clock.monotonic() + ASK_AGAIN_AFTER.total_seconds()
            return looked
        taken = [path for path in gone if path not in left_out]
        looked.removed = f"{taken[0]} removed by {SOMEBODY}" if taken else ""
        return looked

    async def _left_out(self, kind: Kind, namespace: str, wanted: Object) -> frozenset[str]:
        """Return what the API server would leave out of the object if it were made now."""
        metadata: dict[str, Any] = {**wanted["metadata"], "name": f"{wanted['metadata']['name']}-check"}
        answer = await self._client.create(kind, namespace, {**wanted, "metadata": metadata}, dry_run=True)
        made = mapping(answer.get("spec")).get("template")
        return frozenset(missing(wanted["spec"]["template"], made, _TEMPLATE))


def _pods(rollout: RolloutView, record: ArtifactRecord) -> Mapping[str, Any]:
    """Return the template as the boxes of a version get it: its configuration is that of its copies."""
    if not record.config:
        return record.template
    return rewritten(record.template, copy_names(rollout.name, record.id, record.config))


def _wanted(rollout: RolloutView, kind: Kind, w: WorkloadRecord, template: Mapping[str, Any]) -> Object:
    if kind is kinds.REPLICA_SETS:
        return manifests.fleet(rollout, template, w.artifact, w.zone, w.desired)
    return manifests.one_box(rollout, template, w.artifact, w.zone, w.desired, w.surges)
