"""The five steps of a reconcile: observe, decide, apply, report, wait (design 5)."""

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from ombak.core import keeping
from ombak.core import plan as plan_of
from ombak.core.decide import decide
from ombak.core.failures import NO_FAILURE, TROUBLE, Failure, trouble, unreadable
from ombak.core.plan import Plan
from ombak.core.snapshot import Snapshot
from ombak.runtime import kinds, putback
from ombak.runtime.ailments import Ailments
from ombak.runtime.alarm_book import AlarmBook
from ombak.runtime.apply import EARLY, VERDICTS, Applier, read_live
from ombak.runtime.backfill import Backfill
from ombak.runtime.carrying import (
    carry_out,
    keeps_boxes_out,
    lacks_cause,
    moves_boxes,
    needs_alarms,
    told_at_once,
    unanswered,
    without,
)
from ombak.runtime.clock import Clock
from ombak.runtime.config_book import ConfigBook
from ombak.runtime.contact import Contact
from ombak.runtime.defects import Defects
from ombak.runtime.dry_run import dry_run
from ombak.runtime.gate_book import GateReader, NoGates
from ombak.runtime.known import LASTING, Known
from ombak.runtime.kube_port import ApiError, Conflict, Forbidden, KubeClient, NotFound
from ombak.runtime.lost_records import LostRecords
from ombak.runtime.observe import Extras, Stores, observe, view_of
from ombak.runtime.putback import PutBacks
from ombak.runtime.records import RolloutRecord
from ombak.runtime.removals import Removals
from ombak.runtime.store import Key
from ombak.runtime.telling import Decision, Recorder, StatusWriter, log_pass

RECHECK_AFTER = timedelta(seconds=30)
"""What the API server refused is tried again this often: a policy or a quota may have changed. Less than
`core.sight.LOOKS_APART`, so that a deadline that runs meanwhile counts all of it."""


class Reconciler:
    """Brings one Rollout at a time one decision further."""

    def __init__(
        self,
        client: KubeClient,
        stores: Stores,
        alarms: AlarmBook,
        clock: Clock,
        recorder: Recorder,
        gates: GateReader | None = None,
    ) -> None:
        """Without `gates` no Window and no Blocker stops anything."""
        self._ailments = Ailments(client, clock)  # what it is not answered says nothing about other calls
        self.contact = client = Contact(client, clock)
        self._client = client
        self._gates = gates or NoGates()
        self._stores = stores
        self._alarms = alarms
        self._clock = clock
        self._recorder = recorder
        self._backfill = Backfill(client, alarms)
        self.config = ConfigBook(client, stores.config_maps, stores.copies)
        self._known: dict[Key, Known] = {}
        self._defects = Defects()
        self._putbacks = PutBacks(clock)
        self._removals = Removals(client, clock)
        self._records = LostRecords(client, stores)
        self._status = StatusWriter(client, stores, clock)

    async def reconcile(self, key: Key) -> timedelta | None:
        """Do one pass; returns after which time to look again at the latest. Raises `ApiError` to be tried again."""
        self._defects.begin(key)
        wake = await self._pass(key)
        self._defects.end(key)
        return wake

    async def _pass(self, key: Key) -> timedelta | None:
        stored = self._stores.rollouts.get(key)
        if stored is None:
            self._forget(key)
            return None
        record = stored.value
        if record.meta.is_deleting:
            self._alarms.forget(key)
            return None
        known = self._remember(key, record)
        if record.spec is None:
            # Nothing of such a spec can be trusted, so nothing that runs is touched.
            status = unreadable(record.meta, record.problem, record.status, self._clock.now())
            known.failure = NO_FAILURE
            await self._status.tell(record, known, status, record.meta.resource_version)
            return None
        mono, now = self._clock.monotonic(), self._clock.now()
        known.follow_clock(mono, now)
        made = await self._decide(key, record, known, mono)
        known.look(made.s, mono, now)
        applier = Applier(self._client, self._stores, made.s, record, self._clock.now())
        try:
            return await self._carry_out(made, known, applier, now)
        finally:
            log_pass(made.plan, applier)

    def awaits_more(self, key: Key) -> bool:
        """Whether a batch is coming up and is not complete yet: of news of its boxes nothing follows.

        On a way back each box counts (P3), and later on a box that is lost is a loss (P2).
        """
        known = self._known.get(key)
        release = known.memory.release if known is not None and known.memory.reverting is None else None
        return release is not None and release.step.arrived_at is None and not self._stores.are_complete(key)

    def _forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._known.pop(key, None)
        for part in (self._putbacks, self._removals, self._records, self._alarms, self._ailments, self.config):
            part.forget(key)

    async def _carry_out(self, made: Decision, known: Known, applier: Applier, now: datetime) -> timedelta | None:
        key = applier.key
        try:
            made, failure = await self._act(made, known, applier, now)
        except ApiError as error:
            await self._refresh(key, error)
            raise
        if any(isinstance(action, plan_of.RecordStable) for action in applier.applied):
            known.is_watched = made.plan.is_watched  # nothing rests on its alarms any more
            self._alarms.read(made.s.rollout, known.memory.release, is_active=known.is_watched)
        if made.plan.wants_trouble:
            await self._ailments.ask(key, made.plan.current)
        else:
            self._ailments.forget(key)
        known.gaps.follow(made.s, known.memory, now)
        if known.proof is None:
            known.proof = await self._backfill.prove(known.gaps, made.s, known.memory, now)
        # Last of all, so that a defect on the way here is not taken back before it is mended.
        if failure != known.failure and made.error is None:
            known.failure = failure
            await self._report(made, known, applier)
        if made.error is not None:
            raise made.error
        return self._wake(key, made, known, failure)

    def _remember(self, key: Key, record: RolloutRecord) -> Known:
        """Take up what is known: the status where the process is new to it, else the memory."""
        known = self._known.get(key)
        if known is not None and known.uid != record.meta.uid:
            self._forget(key)  # nobody saw it without one of that name
            known = None
        if known is None:
            known = self._known[key] = Known.begin(record, self._clock.now())
            known.cut_off = self.contact.lost
        else:
            known.follow_status(record)
        return known

    async def _decide(self, key: Key, record: RolloutRecord, known: Known, mono: float) -> Decision:
        now = self._clock.now()
        await self._restore_records(key, record, known)
        error = await self._update_config(key, record, known)
        known.removed = await self._removals.find(view_of(record, known.config), self._stores, key)

        def look() -> tuple[Snapshot, Plan]:
            s = self._observe(key, record, known, mono)
            return s, decide(s, now)

        s, plan = look()
        if plan.asks:
            try:
                known.check, known.checked_at = await dry_run(self._client, s, plan.asks), mono
                s, plan = look()
            except ApiError as silent:
                error = error or silent  # the new version waits, and what runs is scaled all the same
        if needs_alarms(plan) != known.is_watched:
            known.is_watched = needs_alarms(plan)
            s, plan = look()
        if lacks_cause(s, plan):
            await self._ailments.insist(key, plan.rejected)
            s, plan = look()
        if plan.takes_away:
            await read_live(self._client, self._stores, s)
            s, plan = look()
        if await self.config.check(s, plan):
            error = await self._update_config(key, record, known) or error
            s, plan = look()
        return Decision(record, s, plan, error)

    async def _restore_records(self, key: Key, record: RolloutRecord, known: Known) -> None:
        view = view_of(record, known.config)
        for note in await self._records.restore(key, view, known.memory, self._clock.now()):
            self._recorder.record(view, note)

    async def _update_config(self, key: Key, record: RolloutRecord, known: Known) -> ApiError | None:
        """Read the configuration; what cannot be read now holds what is new, and returns why. Raises `ApiError`.

        What is on its way, or goes back, does not wait for it (P3), and what runs is scaled.
        """
        artifacts = [r.value for _, r in self._stores.artifacts.owned_by(key)]
        try:
            known.config = await self.config.read(record, artifacts)
            known.config_of = record.meta.generation
        except ApiError as error:
            if known.seen_at is None and known.memory.release is None and known.memory.reverting is None:
                raise  # a process that has just begun says nothing that may not be true (P7)
            before = known.config if known.config_of == record.meta.generation else None
            known.config = self.config.unread(record, artifacts, error, before)
            return error
        return None

    def _observe(self, key: Key, record: RolloutRecord, known: Known, mono: float) -> Snapshot:
        view = view_of(record, known.config)
        reading = self._alarms.read(view, known.memory.release, is_active=known.is_watched)
        known.has_heard = known.has_heard or reading.has_looked
        check = known.check
        if check is not None and mono - known.checked_at >= RECHECK_AFTER.total_seconds():
            check = dataclasses.replace(check, is_stale=True)
        elapsed = None if known.seen_at is None else timedelta(seconds=mono - known.seen_at)
        gates = self._gates.facts(view)
        extras = Extras(
            memory=known.memory,
            elapsed=elapsed,
            cut_off=self.contact.lost - known.cut_off,
            reading=reading,
            template_check=check,
            boxes_trouble=self._ailments.told(key),
            refusal=known.failure.message if known.keeps_boxes_out else "",
            refused=known.refused,
            proof=known.proof,
            gates=gates,
            floors=self._gates.floors(),
            config=known.config,
            repaired=known.repaired,
            removed=known.removed,
            resting=self._putbacks.resting(key),
        )
        return observe(self._stores, key, record, extras)

    async def _act(
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
            done = await self._act(instead.made, known, applier, now, before)
            if instead.is_missed:
                raise
            return done
        self._records.look(applier.key, made.s.rollout)
        if failure:
            instead = without(made, early, applier, failure, now)
            before = before or (failure if instead.is_missed else NO_FAILURE)
            if before:
                known.lacks_record(before)
            decided, later = await self._act(instead.made, known, applier, now, before)
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
            wrote = await self._report(made, known, applier)
        except ApiError as error:
            if not is_back or isinstance(error, Conflict | NotFound):
                raise
            wrote, untold = False, error  # the verdict and the wish tell of a way back, so no box waits for this (P3)
        known.memory, known.proof, known.cut_off = made.plan.memory, None, self.contact.lost
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
        for note in (*told, *(n for n in lost if n not in known.told)):
            self._recorder.record(s.rollout, note)
        known.told = lost

    async def _report(self, made: Decision, known: Known, applier: Applier) -> bool:
        """Write the status if it tells something new; returns whether it did."""
        answer = await self._status.report(made, known, applier.version)
        if answer is not None:
            applier.took(answer)
            applier.has_told = True
        return answer is not None

    async def tell_defect(self, key: Key, error: Exception, at_most: str) -> None:
        """Say, once, that a pass ended in a mistake of ours. Raises `ApiError`."""
        known, failure = self._known.get(key), self._defects.failure(key, error, at_most)
        if known is None or self._defects.is_told(key, failure):
            return
        await self._status.tell_failure(key, known, failure)
        self._defects.told(key, failure)

    async def tell_trouble(self, key: Key, error: Exception, at_most: str) -> None:
        """Say, once, that the API server has failed again and again to do what is asked. Raises `ApiError`."""
        known, is_right = self._known.get(key), isinstance(error, Forbidden)
        if known is not None and known.failure.reason != TROUBLE:
            await self._status.tell_failure(key, known, trouble(error, at_most, is_about_rights=is_right))

    def _record(self, s: Snapshot, notes: Iterable[plan_of.Note]) -> None:
        """An Event for each transition."""
        for note in notes:
            self._recorder.record(s.rollout, note)

    async def _refresh(self, key: Key, error: ApiError) -> None:
        """After a conflict take up what is there now, rather than wait for the watch to tell."""
        if not isinstance(error, Conflict | NotFound):
            return
        stored = self._stores.rollouts.get(key)
        if stored is not None:
            try:
                self._stores.rollouts.upsert(await self._client.get(kinds.ROLLOUTS, *key))
            except NotFound:
                self._stores.rollouts.discard(key, stored.uid)

    def _wake(self, key: Key, made: Decision, known: Known, failure: Failure) -> timedelta | None:
        """Return when to look again: what the plan says, what was refused may be allowed, and what is not told yet."""
        if failure:
            return RECHECK_AFTER
        delays = list(self._putbacks.resting(key).values())
        if made.plan.wake_at is not None:
            delays.append(max(timedelta(0), made.plan.wake_at - self._clock.now()))
        if known.is_behind:
            delays.append(max(timedelta(milliseconds=100), self._status.counts_wait(known)))
        if self._ailments.told(key) not in ({}, made.s.boxes_trouble):
            delays.append(timedelta(0))  # the pods have just said it
        return min(delays, default=None)
