"""Which time of a bake nobody saw to be good although it may have been: what is to be proven afterwards.

Three ways lead to a gap: no process looked, one looked and its alarms were unknown, or it came back to look only
much later than the ledger lets a pass count. A gap begins where the ledger ends ("proven until") and ends where the
ledger begins again, so no moment is counted both there and here.
"""

import collections
import dataclasses
from datetime import datetime, timedelta

import structlog

from ombak.api.rollout import RolloutSpec
from ombak.core.memory import ZERO, Memory, Release
from ombak.core.snapshot import RolloutView, Snapshot
from ombak.runtime.records import RolloutRecord

log = structlog.get_logger()

MOST_GAPS = 50
"""So many wait to be proven, the newest: a Prometheus that comes and goes cannot make a list without end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Gap:
    """A time of a bake under way that is not in its ledger."""

    artifact: str
    approved_at: datetime
    since: datetime
    until: datetime | None = None
    """None while it lasts."""
    is_restart: bool = False
    """It began before this process."""

    def is_of(self, release: Release | None) -> bool:
        """Whether the release is still at that step."""
        return release is not None and (release.artifact, release.step.approved_at) == (self.artifact, self.approved_at)


class Gaps:
    """The gaps of one Rollout, as far as this process knows."""

    def __init__(self) -> None:
        self._open: Gap | None = None
        self._wish: RolloutSpec | None = None
        self._closed: collections.deque[Gap] = collections.deque(maxlen=MOST_GAPS)

    @property
    def oldest(self) -> Gap | None:
        """The one to be proven first; None if there is none that is over."""
        return self._closed[0] if self._closed else None

    def settle(self) -> None:
        """The oldest one is proven, or never will be."""
        self._closed.popleft()

    def clear(self) -> None:
        """Nobody can say any more when they were: the wall clock jumped, or somebody else kept the ledger."""
        self._open = self._wish = None
        self._closed.clear()

    def take_up(self, memory: Memory, record: RolloutRecord, now: datetime) -> None:
        """Begin with what a memory tells of which a process just took up.

        Where its alarms were unknown when it was written the gap began no later than then.
        """
        release, spec = memory.release, record.spec
        if release is None or spec is None or record.status.get("observedGeneration") != record.meta.generation:
            return
        since = release.step.ledger.proven_until or release.unknown_since
        if since is not None and since < now:
            self._open = _gap(release, since, is_restart=True)
            self._wish = spec.model_copy(update={"replicas": None})

    def follow(self, s: Snapshot, after: Memory, now: datetime) -> None:
        """See what a pass that came to `after` did to the ledger."""
        release, rollout = after.release, s.rollout
        while self._closed and not self._closed[0].is_of(release):
            self._closed.popleft()
        # Where the spec changed, nobody can say from when on: which alarms should it have been?
        is_same = self._is_same_wish(rollout)
        if self._open is not None and not (is_same and self._open.is_of(release)):
            self._open = None
        if release is None or rollout.problem:
            return
        until = release.step.ledger.proven_until
        good = _good_until(s.memory.release, release) if is_same and s.elapsed is not None else None
        if until is None:
            if self._open is None and _is_blind(release):
                self._open = _gap(release, good or now)
        elif self._open is not None:
            self._close(self._open, until)
        elif good is not None:
            counted = _counted(release, s)
            if until - good - counted > 2 * s.poll:
                self._close(_gap(release, good), until - counted)

    def _is_same_wish(self, rollout: RolloutView) -> bool:
        """Whether the spec is that of the pass before, whatever number of boxes an autoscaler asks for."""
        before, self._wish = self._wish, rollout.spec.model_copy(update={"replicas": None})
        return before == self._wish and not rollout.problem

    def _close(self, gap: Gap, until: datetime) -> None:
        self._open = None
        if gap.since < until:
            self._closed.append(dataclasses.replace(gap, until=until))
            log.info("a gap is to be proven", seconds=(until - gap.since).total_seconds())


def _gap(release: Release, since: datetime, *, is_restart: bool = False) -> Gap:
    return Gap(release.artifact, release.step.approved_at, since, is_restart=is_restart)


def _is_blind(release: Release) -> bool:
    """Its boxes are there, and its alarms are unknown."""
    return release.unknown_since is not None and release.step.available_since is not None


def _good_until(before: Release | None, release: Release) -> datetime | None:
    """Until when the ledger of the same step was good at the pass before."""
    if before is None or (before.artifact, before.step.approved_at) != (release.artifact, release.step.approved_at):
        return None
    return before.step.ledger.proven_until


def _counted(release: Release, s: Snapshot) -> timedelta:
    """What the pass itself counted, which is the last of the time that it came to."""
    assert s.memory.release is not None
    proof, step = s.proof, release.step
    is_proven = proof is not None and (proof.artifact, proof.approved_at) == (release.artifact, step.approved_at)
    proven = proof.length if proof is not None and is_proven else ZERO
    return step.ledger.accrued - s.memory.release.step.ledger.accrued - proven
