"""What a process knows of one Rollout between two passes; losing it costs nothing but a little time."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Self

import structlog

from ombak.core import unheard
from ombak.core.failures import NO_FAILURE, REFUSED, TROUBLE, Failure, failure_of
from ombak.core.memory import Memory, load_memory, rebased
from ombak.core.plan import Note
from ombak.core.snapshot import Proof, Snapshot, TemplateCheck
from ombak.core.undone import believed
from ombak.runtime.config_book import NO_CONFIG, ConfigReading
from ombak.runtime.drift import Edits
from ombak.runtime.gaps import Gaps
from ombak.runtime.records import RolloutRecord

log = structlog.get_logger()

CLOCKS_AGREE = timedelta(seconds=2)
"""Wall and monotonic clock may differ by so much between two passes; more is a jump."""

LASTING = (unheard.REASON, "Surplus")
"""Reasons of notes that come at each pass, until what they tell of is gone."""


@dataclasses.dataclass(slots=True)
class Known:
    """Begun by `begin`, and brought in line with the cluster and the clocks at every pass."""

    memory: Memory
    recorded: object
    """The memory as the status had it when this one was taken up: another one there wins."""
    uid: str = ""
    """Of the Rollout: one of the same name that was made since is another one."""
    seen_at: float | None = None
    seen_now: datetime | None = None
    """What the wall clock said then."""
    cut_off: timedelta = timedelta(0)
    """How long the API server had not answered in all when the memory was made."""
    check: TemplateCheck | None = None
    checked_at: float = 0.0
    failure: Failure = NO_FAILURE
    is_unrecorded: bool = False
    """The failure is that of a record without which all else goes on: it says nothing of boxes."""
    is_of_boxes: bool = True
    """What was refused keeps boxes from being asked for; else something is only not put in order."""
    refused: frozenset[type] = frozenset()
    """Actions that the API server did not carry out when they were asked for last."""
    written_at: float | None = None
    counts_at: float | None = None
    """When it is the turn of its counts to be written, if nothing else is before; None until they are due."""
    is_behind: bool = False
    """Counts or texts of the status are other ones by now, and wait for their turn to be written."""
    gaps: Gaps = dataclasses.field(default_factory=Gaps)
    """Times of the bake that are not in its ledger, of which nothing is known yet."""
    proof: Proof | None = None
    """What is known of one of them, to be told to the next decision."""
    repaired: dict[str, Edits] = dataclasses.field(default_factory=dict)
    removed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    config: ConfigReading = NO_CONFIG
    config_of: int = 0
    """The generation of the spec of which that was read."""
    lasting: tuple[Note, ...] = ()
    """What Events told of commands and copies that are still there, for they may not be taken away."""
    told: tuple[Note, ...] = ()
    """What Events told of copies of ConfigMaps that are gone."""
    met_conflict: bool = False
    """The last pass met something else than what was decided upon."""
    is_watched: bool = False
    """The last plan needs its alarms at full rate."""
    has_heard: bool = False
    """Its alarms were evaluated in this process, or were asked for in vain."""
    children: frozenset[str] = frozenset()
    """Names of owned objects that there were: one that is missing now was deleted by somebody."""

    @classmethod
    def begin(cls, record: RolloutRecord, now: datetime) -> Self:
        """What the status says, when the process sees a Rollout for the first time."""
        raw = record.status.get("memory") or {}
        known = cls(load_memory(raw), raw, record.meta.uid)
        known.gaps.take_up(known.memory, record, now)
        known.failure = failure_of(record.status)
        return known

    def follow_status(self, record: RolloutRecord) -> None:
        """Keep the memory, unless the status holds another one than we last saw there."""
        raw = record.status.get("memory") or {}
        if self.recorded != raw:
            self.memory, self.recorded = load_memory(raw), raw
            self.gaps.clear()  # they may be counted in there already
            self.proof = None

    def follow_clock(self, mono: float, now: datetime) -> None:
        """Where the wall clock jumped since the last pass, take the memory along, and begin evidence anew."""
        if self.seen_at is None or self.seen_now is None:
            self.memory = rebased(self.memory, timedelta(0), now)
            return
        jump = now - self.seen_now - timedelta(seconds=mono - self.seen_at)
        if abs(jump) > CLOCKS_AGREE:
            log.warning("the wall clock jumped", seconds=round(jump.total_seconds()))
            self.memory = rebased(self.memory, jump, now)
            self.gaps.clear()
            self.seen_at = None

    def look(self, s: Snapshot, mono: float, now: datetime) -> None:
        """Take note of a look at the cluster; what it tells against an old status counts, however the pass ends."""
        self.memory, self.seen_at, self.seen_now = believed(s), mono, now

    def lacks_record(self, failure: Failure) -> None:
        """Take note of a record that is refused.

        That the API server fails at something else too is told until a pass ends well, lest the two take turns.
        """
        self.is_unrecorded = True
        if self.failure.reason != TROUBLE:
            self.failure = failure

    @property
    def keeps_boxes_out(self) -> bool:
        """The API server refuses boxes, not a record or what only puts things in order."""
        return self.failure.reason == REFUSED and self.is_of_boxes and not self.is_unrecorded

    def judge(self, memory: Memory) -> bool:
        """Keep the verdicts of a decision, for they count whether its status is written or not; tell of new ones."""
        before, self.memory = self.memory, dataclasses.replace(self.memory, unrecorded=memory.unrecorded)
        return self.memory != before
