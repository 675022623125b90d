"""Bake time of a gap: what this operator did not see, proven afterwards (design 2, the bake ledger).

What is assumed, each time on the side of counting less:
- A gap between two processes of no more than two polls is what an ordinary restart costs, and is forgone.
- The alarms are proven as they are written now. Where the Rollout's spec changed during the gap nothing is counted,
  for nobody can say which alarms it should have been.
- The boxes of the step were available since as many of them as it needs became ready (and minReadySeconds more): a box
  that went and came back, or was replaced, has a later time there. If fewer are ready now, nothing is counted.
- The clock of a process that is no more may have been wrong, and its ledger end at another moment than it says: what it
  counted and what is proven are together never longer than those boxes have been ready.

An ALARM inside a gap only keeps its time out of the ledger. A revert asks what an alarm is, not what it was
(alarms-and-judge.md B4.3: ALARM and Certain), so the state after the gap decides about that.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import structlog

from ombak.alarms.history import clipped, length_of
from ombak.core import naming
from ombak.core.evidence import evidence_of
from ombak.core.memory import ZERO, Memory, Release
from ombak.core.snapshot import Proof, RolloutView, Snapshot
from ombak.runtime import kinds
from ombak.runtime.alarm_book import AlarmBook
from ombak.runtime.decode_alarm import moment_of
from ombak.runtime.gaps import Gap, Gaps
from ombak.runtime.kube_port import ApiError, KubeClient, listed, mapping, metadata

log = structlog.get_logger()

WRITTEN_TO = timedelta(seconds=1)
"""The API has whole seconds, cut off: a transition may have been so much later."""
_OVER = ("Succeeded", "Failed")


class Backfill:
    """Finds out how much of a gap was good. Asks nothing of anybody while there is none."""

    def __init__(self, client: KubeClient, alarms: AlarmBook) -> None:
        self._client = client
        self._alarms = alarms

    async def prove(self, gaps: Gaps, s: Snapshot, memory: Memory, now: datetime) -> Proof | None:
        """Return what is proven of the oldest gap, and settle it; None if there is none or it is not known yet."""
        gap = gaps.oldest
        if gap is None or gap.until is None:
            return None
        if not gap.is_of(memory.release) or (gap.is_restart and gap.until - gap.since <= 2 * s.poll):
            gaps.settle()
            return None
        if evidence_of(s).unknown is not None:
            return None  # whoever cannot say what is now cannot say what was; the past does not run away
        stretches = self._alarms.prove(s.rollout, gap.since, gap.until)
        if stretches is None:
            return None
        try:
            ready = await self._ready(s.rollout, memory.release) if stretches and memory.release is not None else None
        except ApiError as error:
            log.info("pods were not asked", error=str(error))
            return None
        gaps.settle()
        good = ZERO
        if ready is not None:
            good = length_of(clipped(stretches, max(gap.since, ready), gap.until))
            good = min(good, _room(gap, ready, memory, now))
        log.info("proved a gap", seconds=(gap.until - gap.since).total_seconds(), good=good.total_seconds())
        return Proof(gap.artifact, gap.approved_at, good) if good else None

    async def _ready(self, rollout: RolloutView, release: Release) -> datetime | None:
        """Return since when the boxes of the step have been available, None if it lacks some; raises ApiError."""
        chosen = f"{naming.ROLLOUT}={rollout.name},{naming.ARTIFACT}={release.artifact}"
        found = await self._client.list(kinds.PODS, rollout.namespace, chosen, resource_version="")
        moments = (_ready_at(pod) for pod in listed(found.get("items")) if _is_box(pod))
        known = sorted(moment for moment in moments if moment is not None)
        goal, replicas = release.step.goal, rollout.spec.replicas
        need = max(1, goal if replicas is None else min(goal, replicas))
        if len(known) < need:
            return None
        return known[need - 1] + timedelta(seconds=rollout.spec.min_ready_seconds) + WRITTEN_TO


def _room(gap: Gap, ready: datetime, memory: Memory, now: datetime) -> timedelta:
    """How much the ledger may still hold: of what another process counted nobody knows by which clock."""
    if not gap.is_restart or memory.release is None:
        return timedelta.max
    return max(ZERO, now - ready - memory.release.step.ledger.accrued)


def _is_box(pod: Any) -> bool:
    over = mapping(mapping(pod).get("status")).get("phase") in _OVER
    return not over and "deletionTimestamp" not in metadata(mapping(pod))


def _ready_at(pod: Any) -> datetime | None:
    conditions: Iterable[Any] = listed(mapping(mapping(pod).get("status")).get("conditions"))
    for condition in map(mapping, conditions):
        if condition.get("type") == "Ready" and condition.get("status") == "True":
            return moment_of(condition.get("lastTransitionTime"))
    return None
