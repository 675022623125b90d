"""The five steps of a reconcile: observe, decide, apply, report, wait (design 5)."""

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta

from ombak.core import plan as plan_of
from ombak.core.decide import decide
from ombak.core.failures import NO_FAILURE, TROUBLE, Failure, trouble, unreadable
from ombak.core.plan import Plan
from ombak.core.snapshot import Snapshot
from ombak.runtime import kinds
from ombak.runtime.acting import Acting
from ombak.runtime.ailments import Ailments
from ombak.runtime.alarm_book import AlarmBook
from ombak.runtime.apply import Applier
from ombak.runtime.backfill import Backfill
from ombak.runtime.carrying import lacks_cause, needs_alarms
from ombak.runtime.clock import Clock
from ombak.runtime.config_book import ConfigBook
from ombak.runtime.contact import Contact
from ombak.runtime.defects import Defects
from ombak.runtime.dry_run import dry_run
from ombak.runtime.gate_book import GateReader, NoGates
from ombak.runtime.gathering import awaits_more
from ombak.runtime.known import Known
from ombak.runtime.kube_port import ApiError, Conflict, Forbidden, KubeClient, NotFound
from ombak.runtime.lost_records import LostRecords
from ombak.runtime.observe import Extras, Stores, observe, view_of
from ombak.runtime.putback import PutBacks
from ombak.runtime.records import RolloutRecord
from ombak.runtime.removals import Removals
from ombak.runtime.siblings import read_live, to_read
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
        self._acting = Acting(client, recorder, self._status, self._defects, self._putbacks, self._records)

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
        """Whether a batch is coming up and is not complete yet, so that nothing follows from news of its boxes."""
        known = self._known.get(key)
        stores = (self._stores.deployments, self._stores.replica_sets)
        one_boxes, fleet = ([stored.value for _, stored in store.owned_by(key)] for store in stores)
        return known is not None and awaits_more(known, one_boxes, fleet)

    def _forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._known.pop(key, None)
        for part in (self._putbacks, self._removals, self._records, self._alarms, self._ailments, self.config):
            part.forget(key)

    async def _carry_out(self, made: Decision, known: Known, applier: Applier, now: datetime) -> timedelta | None:
        key = applier.key
        try:
            made, failure = await self._acting.act(made, known, applier, now)
        except ApiError as error:
            known.met_conflict = isinstance(error, Conflict | NotFound)
            await self._refresh(key, error)
            raise
        known.met_conflict = False
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
            await self._acting.tell(made, known, applier)
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
        s, plan = await self._read_siblings(known, s, plan, look)
        if lacks_cause(s, plan):
            await self._ailments.insist(key, plan.rejected)
            s, plan = await self._read_siblings(known, *look(), look)
        if await self.config.check(s, plan):
            error = await self._update_config(key, record, known) or error
            s, plan = await self._read_siblings(known, *look(), look)
        return Decision(record, s, plan, error)

    async def _read_siblings(
        self, known: Known, s: Snapshot, plan: Plan, look: Callable[[], tuple[Snapshot, Plan]]
    ) -> tuple[Snapshot, Plan]:
        """Look again until all is read that has to be before boxes are taken away."""
        read: frozenset[str] = frozenset()
        while unread := to_read(s, plan, met_conflict=known.met_conflict) - read:
            await read_live(self._client, self._stores, s, unread)
            read |= unread
            s, plan = look()
        return s, plan

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
