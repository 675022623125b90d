"""Steps 3 and 4 of a pass: what was decided is put on record, told to people, and done, in this order (design 5)."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from ombak.core import keeping
from ombak.core import plan as plan_of
from ombak.core.failures import NO_FAILURE, Failure
from ombak.core.snapshot import Snapshot
from ombak.runtime import kinds, putback
from ombak.runtime.apply import EARLY, VERDICTS, Applier
from ombak.runtime.carrying import carry_out, keeps_boxes_out, moves_boxes, told_at_once, unanswered, without
from ombak.runtime.contact import Contact
from ombak.runtime.defects import Defects
from ombak.runtime.known import LASTING, Known
from ombak.runtime.kube_port import ApiError, Conflict, NotFound
from ombak.runtime.lost_records import LostRecords
from ombak.runtime.putback import PutBacks
from ombak.runtime.store import Key
from ombak.runtime.telling import Decision, Recorder, StatusWriter


class Acting:
    """Carries decisions out, and keeps what a process knows of each Rollout in line with what came of it."""

    def __init__(
        self,
        contact: Contact,
        recorder: Recorder,
        status: StatusWriter,
        defects: Defects,
        putbacks: PutBacks,
        records: LostRecords,
    ) -> None:
        """What others ask too (the contact, what is put back, lost records) is shared with them."""
        self._contact = contact
        self._recorder = recorder
        self._status = status
        self._defects = defects
        self._putbacks = putbacks
        self._records = records

    async def act(
        self, made: Decision, known: Known, applier: Applier, now: datetime, before: Failure = NO_FAILURE
    ) -> tuple[Decision, Failure]:
        """Facts on record first, then what follows from them.

        Returns what was decided in the end, and what the API server refuses for good; `before` is what it has refused
        in this pass.
        """
        early = [a for a in made.plan.actions if isinstance(a, EARLY)]
        try:
            failure = await carry_out(applier, early, self._defects.changes)
        except ApiError as error:
            instead = await unanswered(made, early, applier, error, now)
            if instead is None:
                raise
            done = await self.act(instead.made, known, applier, now, before)
            if instead.is_missed:
                raise
            return done
        self._records.look(applier.key, made.s.rollout)
        if failure:
            instead = without(made, early, applier, failure, now)
            before = before or (failure if instead.is_missed else NO_FAILURE)
            if before:
                known.lacks_record(before)
            decided, later = await self.act(instead.made, known, applier, now, before)
            return decided, before or later
        if known.is_unrecorded and not before:
            known.failure, known.is_unrecorded = NO_FAILURE, False
        return made, await self._follow(made, known, applier)

    async def _follow(self, made: Decision, known: Known, applier: Applier) -> Failure:
        """The status that says what is meant, then what moves boxes; returns what is refused for good."""
        late = [a for a in made.plan.actions if not isinstance(a, EARLY)]
        is_verdict = known.judge(made.plan.memory) or any(isinstance(a, VERDICTS) for a in made.plan.actions)
        told = told_at_once(made.plan) if is_verdict else ()
        self._record(made.s, (note for note in told if note not in known.lasting))
        is_back = made.plan.memory.reverting is not None
        untold: ApiError | None = None
        try:
            wrote = await self.tell(made, known, applier)
        except ApiError as error:
            if not is_back or isinstance(error, Conflict | NotFound):
                raise
            wrote, untold = False, error  # the verdict and the wish tell of a way back, so no box waits for this (P3)
        known.memory, known.proof, known.cut_off = made.plan.memory, None, self._contact.lost
        self._record(made.s, (note for note in made.plan.notes if note not in (*told, *known.lasting)))
        known.lasting = tuple(note for note in made.plan.notes if note.reason in LASTING)
        self._record_repairs(made.s, late, known, applier.key)
        if not wrote and made.plan.memory.release is not None and moves_boxes(late):
            await applier.confirm()
        try:
            failure = await carry_out(applier, late, self._defects.changes, is_back=is_back)
            known.is_of_boxes = keeps_boxes_out(made.s, late, applier)
        finally:
            known.refused = (known.refused - set(map(type, applier.applied))) | applier.refused
            self._putbacks.done(applier.key, putback.mended(made.s, applier.applied))
        gone = [a for a in late if isinstance(a, plan_of.Delete)]
        deleted = {a.name for a in gone}
        self._records.took_away(applier.key, (a.name for a in gone if a.kind == kinds.ARTIFACTS.kind))
        known.children = (known.children | putback.children(made.s)) - deleted
        known.repaired |= applier.repaired
        if untold is not None:
            raise untold
        return failure

    def _record_repairs(self, s: Snapshot, late: Sequence[plan_of.Action], known: Known, key: Key) -> None:
        lost, told = keeping.notes(s), self._putbacks.notes(key, s, late, known.children)
        self._record(s, (*told, *(n for n in lost if n not in known.told)))
        known.told = lost

    async def tell(self, made: Decision, known: Known, applier: Applier) -> bool:
        """Write the status if it tells something new; returns whether it did."""
        answer = await self._status.report(made, known, applier.version)
        if answer is not None:
            applier.took(answer)
            applier.has_told = True
        return answer is not None

    def _record(self, s: Snapshot, notes: Iterable[plan_of.Note]) -> None:
        """An Event for each transition."""
        for note in notes:
            self._recorder.record(s.rollout, note)
