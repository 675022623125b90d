"""Step 4 of a pass: what people are told, in status and log, and when a status is worth a write (design 5)."""

import dataclasses
import math
from datetime import timedelta
from typing import Protocol

import structlog

from ombak.core.failures import Failure, Status, defective
from ombak.core.news import is_first_trouble, is_stale, is_urgent
from ombak.core.plan import Note, Plan
from ombak.core.report import report
from ombak.core.snapshot import RolloutView, Snapshot
from ombak.runtime import kinds
from ombak.runtime.apply import Applier
from ombak.runtime.clock import Clock
from ombak.runtime.known import Known
from ombak.runtime.kube_port import ApiError, KubeClient, Object
from ombak.runtime.observe import Stores
from ombak.runtime.records import RolloutRecord
from ombak.runtime.store import Key

log = structlog.get_logger()

COUNTS_AFTER = timedelta(seconds=30)
"""Counts alone are written when the last write is this old: a batch that comes up pod by pod costs no writes."""
COUNTS_APART = timedelta(seconds=1)
"""Between two writes of counts alone, of all Rollouts together: a thousand releases at once must not pay for them."""
COUNTS_LATEST = timedelta(minutes=5)
"""Counts are never older, however many Rollouts want to write theirs."""
FIRST_WORDS_AFTER = timedelta(seconds=30)
"""So long a new process waits for a first evaluation of the alarms before it reports that there is none."""


class Recorder(Protocol):
    """Where Events go."""

    def record(self, rollout: RolloutView, note: Note) -> None:
        """Tell people; never waits, never fails."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """One decision and what it was made from."""

    record: RolloutRecord
    s: Snapshot
    plan: Plan
    error: ApiError | None = None
    """What could not be asked on the way to it: the pass is tried again, after what can be done without."""


class StatusWriter:
    """Writes statuses of Rollouts: each whole, conditional, and only if it tells something new."""

    def __init__(self, client: KubeClient, stores: Stores, clock: Clock) -> None:
        self._client, self._stores, self._clock = client, stores, clock
        self._began_at = clock.monotonic()
        self._last_turn = -math.inf

    async def report(self, made: Decision, known: Known, version: str) -> Object | None:
        """Write what a decision means, if that is news; returns what the API server answered to it."""
        s, plan, old = made.s, made.plan, made.record.status
        known.has_heard = known.has_heard or _knows_alarms(s)
        status = report(s, plan, old, self._clock.now(), known.failure)
        known.is_behind = is_stale(old, status)
        may_write_counts = known.is_behind and self.counts_wait(known) <= timedelta(0)
        is_news = is_urgent(old, status, plan.bake_length) or is_first_trouble(old, plan.waiting)
        if not is_news and not may_write_counts:
            return None
        is_same = not plan.actions and not known.failure and status["phase"] == old.get("phase")
        if is_same and self._is_new_to_alarms(s, known):
            return None
        return await self._write(made.record, known, version, status)

    async def tell(self, record: RolloutRecord, known: Known, status: Status, version: str) -> None:
        """Write a status in which little is new, if anything is; no plan decides it."""
        if status != record.status:
            self._stores.rollouts.upsert(await self._write(record, known, version, status))

    async def tell_failure(self, key: Key, known: Known, failure: Failure) -> None:
        """Say that a pass came to no end; whatever else was told stays. Raises `ApiError`."""
        stored = self._stores.rollouts.get(key)
        if stored is None or stored.value.meta.is_deleting:
            return
        record = stored.value
        status = defective(record.meta, failure, record.status, self._clock.now())
        await self.tell(record, known, status, record.meta.resource_version)
        known.failure = failure

    def counts_wait(self, known: Known) -> timedelta:
        """Return how long counts alone still wait for a write; once they are due they get a turn, and keep it."""
        now = self._clock.monotonic()
        if known.written_at is None:
            known.written_at = now
        due = known.written_at + COUNTS_AFTER.total_seconds()
        if due <= now and known.counts_at is None:
            turn = max(now, self._last_turn + COUNTS_APART.total_seconds())
            latest = max(now, known.written_at + COUNTS_LATEST.total_seconds())
            known.counts_at = self._last_turn = min(turn, latest)
        return timedelta(seconds=(due if known.counts_at is None else known.counts_at) - now)

    def _is_new_to_alarms(self, s: Snapshot, known: Known) -> bool:
        """The process has just begun: that it knows nothing of the alarms yet is not worth telling."""
        is_new = self._clock.monotonic() - self._began_at < FIRST_WORDS_AFTER.total_seconds()
        return is_new and bool(known.recorded) and not known.has_heard and not _knows_alarms(s)

    async def _write(self, record: RolloutRecord, known: Known, version: str, status: Status) -> Object:
        meta = record.meta
        body = {
            "apiVersion": kinds.ROLLOUTS.api_version,
            "kind": kinds.ROLLOUTS.kind,
            "metadata": {"name": meta.name, "namespace": meta.namespace, "resourceVersion": version},
            "status": status,
        }
        answer = await self._client.replace(kinds.ROLLOUTS, meta.namespace, meta.name, body, subresource="status")
        known.recorded = (answer.get("status") or {}).get("memory") or {}
        known.written_at, known.counts_at, known.is_behind = self._clock.monotonic(), None, False
        return answer


def log_pass(plan: Plan, applier: Applier) -> None:
    """One canonical line for a pass that changed something or failed to: what was done, and what was not."""
    if not plan.actions and not applier.has_told:
        return
    log.info(
        "reconciled",
        phase=plan.phase.value,
        actions=[type(action).__name__ for action in applier.applied],
        not_done=[type(action).__name__ for action in plan.actions if action not in applier.applied],
        boxes=plan.boxes,
        wrote_status=applier.has_told,
        waits_for=plan.waiting.key if plan.waiting else "",
    )


def _knows_alarms(s: Snapshot) -> bool:
    return all(v is None or v.evaluated_at is not None for v in (s.revert_alarm, s.one_box_alarm))
