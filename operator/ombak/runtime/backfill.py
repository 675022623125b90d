"""Bake time of a gap: what an operator that was down did not see, proven afterwards (design 2, the bake ledger).

What is assumed, each time on the side of counting less:
- The gap begins where the ledger in the status ends ("proven until"), and ends at the first look of this process; from
  there on the ledger counts by itself. A gap of two polls is what an ordinary restart costs, and is forgone.
- The alarms are proven as they are written now. Where the Rollout's spec changed during the gap nothing is counted,
  for nobody can say which alarms it should have been.
- The boxes of the step were available since the last of them became ready (and minReadySeconds more): a box that went
  and came back, or was replaced, has a later time there. If one is not ready now, nothing is counted.
"""

import dataclasses
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import structlog

from ombak.alarms.history import clipped, length_of
from ombak.core import naming
from ombak.core.memory import Memory, Release
from ombak.core.snapshot import Proof, RolloutView
from ombak.runtime import kinds
from ombak.runtime.alarm_book import AlarmBook
from ombak.runtime.decode_alarm import moment_of
from ombak.runtime.kube_port import ApiError, KubeClient, listed, mapping, metadata
from ombak.runtime.records import RolloutRecord

log = structlog.get_logger()

WRITTEN_TO = timedelta(seconds=1)
"""The API has whole seconds, cut off: a transition may have been so much later."""
_OVER = ("Succeeded", "Failed")


@dataclasses.dataclass(frozen=True, slots=True)
class Gap:
    """A time in which no process looked at a bake that was under way."""

    artifact: str
    approved_at: datetime
    since: datetime
    until: datetime

    def is_of(self, release: Release | None) -> bool:
        """Whether the release is still at that step."""
        return release is not None and (release.artifact, release.step.approved_at) == (self.artifact, self.approved_at)


def gap_before(memory: Memory, record: RolloutRecord, now: datetime) -> Gap | None:
    """Return the gap that a memory tells of which a process just took up, None if no bake was under way."""
    release = memory.release
    since = release.step.ledger.proven_until if release is not None else None
    if release is None or since is None or since >= now:
        return None
    if record.status.get("observedGeneration") != record.meta.generation:
        return None
    return Gap(release.artifact, release.step.approved_at, since, now)


class Backfill:
    """Finds out how much of a gap was good. Asks nothing of anybody while there is none."""

    def __init__(self, client: KubeClient, alarms: AlarmBook) -> None:
        self._client = client
        self._alarms = alarms

    async def prove(self, gap: Gap, rollout: RolloutView, memory: Memory, poll: timedelta) -> Proof | None:
        """Return what is proven of a gap, maybe nothing; None while that is being found out."""
        nothing = Proof(gap.artifact, gap.approved_at, timedelta(0))
        if not gap.is_of(memory.release) or gap.until - gap.since <= 2 * poll:
            return nothing
        stretches = self._alarms.prove(rollout, gap.since, gap.until)
        if stretches is None:
            return None
        if not stretches:
            return nothing
        ready = await self._ready_since(rollout, gap.artifact)
        if ready is None:
            return nothing
        good = length_of(clipped(stretches, max(gap.since, ready), gap.until))
        length = gap.until - gap.since
        log.info("proved a gap", seconds=length.total_seconds(), good=good.total_seconds())
        return dataclasses.replace(nothing, length=good)

    async def _ready_since(self, rollout: RolloutView, artifact: str) -> datetime | None:
        """Return since when all boxes of the artifact have been available, None if they are not all."""
        chosen = f"{naming.ROLLOUT}={rollout.name},{naming.ARTIFACT}={artifact}"
        try:
            found = await self._client.list(kinds.PODS, rollout.namespace, chosen, resource_version="")
        except ApiError as error:
            log.info("pods were not asked", error=str(error))
            return None
        moments = [_ready_at(pod) for pod in listed(found.get("items")) if _is_box(pod)]
        known = [moment for moment in moments if moment is not None]
        if not known or len(known) < len(moments):
            return None
        return max(known) + timedelta(seconds=rollout.spec.min_ready_seconds) + WRITTEN_TO


def _is_box(pod: Any) -> bool:
    over = mapping(mapping(pod).get("status")).get("phase") in _OVER
    return not over and "deletionTimestamp" not in metadata(mapping(pod))


def _ready_at(pod: Any) -> datetime | None:
    conditions: Iterable[Any] = listed(mapping(mapping(pod).get("status")).get("conditions"))
    for condition in map(mapping, conditions):
        if condition.get("type") == "Ready" and condition.get("status") == "True":
            return moment_of(condition.get("lastTransitionTime"))
    return None
