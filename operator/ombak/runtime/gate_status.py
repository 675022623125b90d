"""The status of Windows and Blockers: what each one says now, written when that changes and not otherwise.

No decision reads it. What it says changes with time alone, so each object is looked at again at its next turn.
"""

from datetime import datetime, timedelta
from typing import Any

from ombak.api.blocker import BlockerState
from ombak.api.window import ConfigMapKey, WindowState
from ombak.core.conditions import condition, stamp
from ombak.core.gates.localtime import local_time
from ombak.core.gates.schedule import Schedule
from ombak.core.gates.windows import WindowView
from ombak.runtime import kinds
from ombak.runtime.clock import Clock
from ombak.runtime.gate_book import CalendarText, GateBook, calendar_places
from ombak.runtime.gate_records import BlockerRecord, WindowRecord
from ombak.runtime.kube_port import ApiError, Forbidden, Kind, KubeClient, NotFound, mapping
from ombak.runtime.records import Meta
from ombak.runtime.store import Key, Store

CALENDARS_EVERY = timedelta(minutes=5)
"""ConfigMaps with calendars are not watched but read again this often."""
LATEST_LOOK = timedelta(hours=1)
"""Clocks are set, and machines sleep: nothing is left alone for longer."""
READABLE = "Readable"

Status = dict[str, Any]


class GateReporter:
    """Keeps the status of every gate object true, and the calendars of Windows up to date."""

    def __init__(self, client: KubeClient, book: GateBook, clock: Clock, *, writes_cluster: bool = True) -> None:
        """Without `writes_cluster` the kinds of the whole cluster are another operator's to report on."""
        self._client, self._book, self._clock = client, book, clock
        self._writes_cluster = writes_cluster

    async def reconcile(self, kind: Kind, key: Key) -> timedelta | None:
        """Look at one object; returns when to look again at the latest. Raises `ApiError` to be tried again."""
        if kind == kinds.WINDOWS:
            stored = self._book.windows.get(key)
            return None if stored is None else await self._window(stored.value)
        store = self._book.blockers if kind == kinds.BLOCKERS else self._book.cluster_blockers
        found = store.get(key)
        return None if found is None else await self._blocker(kind, store, found.value)

    async def _window(self, record: WindowRecord) -> timedelta | None:
        places = calendar_places(record)
        for place in places:
            self._book.take_calendar(place, await self._calendar(place))
        now = self._clock.now()
        view = self._book.window(record.meta.name)
        status = window_status(record, view, now)
        if self._writes_cluster and status != record.status:
            await self._write(kinds.WINDOWS, record.meta, status, self._book.windows)
        turn = next_turn(view, now)
        delays = [LATEST_LOOK] if turn is not None else []
        delays += [turn - now] if turn is not None else []
        delays += [CALENDARS_EVERY] if places else []
        return min(delays, default=None)

    async def _calendar(self, place: ConfigMapKey) -> CalendarText:
        try:
            found = await self._client.get(kinds.CONFIG_MAPS, place.namespace, place.name)
        except NotFound:
            return CalendarText(problem="does not exist")
        except Forbidden as error:
            return CalendarText(problem=f"may not be read: {error.message}")
        text = mapping(found.get("data")).get(place.key)
        return CalendarText(problem="does not exist") if text is None else CalendarText(str(text), "")

    async def _blocker(self, kind: Kind, store: Store[BlockerRecord], record: BlockerRecord) -> timedelta | None:
        now, view = self._clock.now(), record.view
        state = view.state(now)
        status: Status = {"observedGeneration": record.meta.generation, "state": state.value}
        if record.problem:
            status["message"] = record.problem
        if status != record.status and (kind.namespaced or self._writes_cluster):
            await self._write(kind, record.meta, status, store)
        turn = view.begins if state is BlockerState.PENDING else view.expires
        return None if turn is None or state is BlockerState.EXPIRED else min(turn - now, LATEST_LOOK)

    async def _write(self, kind: Kind, meta: Meta, status: Status, store: Store[Any]) -> None:
        metadata = {"name": meta.name, "resourceVersion": meta.resource_version}
        metadata |= {"namespace": meta.namespace} if kind.namespaced else {}
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "status": status}
        try:
            store.upsert(await self._client.replace(kind, meta.namespace, meta.name, body, subresource="status"))
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            # It is gone, or another one now: the watch will tell, and then it is looked at again.


def next_turn(view: WindowView, now: datetime) -> datetime | None:
    """Return when a Window changes next; None if that is not known, or too far ahead."""
    schedule = view.schedule
    if schedule is None:
        return None
    return schedule.next_close(now) if schedule.is_open(now) else schedule.next_open(now)


def window_status(record: WindowRecord, view: WindowView, now: datetime) -> Status:
    """Return the status of a Window; the condition's time stays while its state does."""
    state, message, until = WindowState.UNREADABLE, f"closed: {view.problem}", None
    if view.schedule is not None:
        until = next_turn(view, now)
        state, message = _told(view.schedule, now, until)
    status: Status = {
        "observedGeneration": record.meta.generation,
        "state": state.value,
        "message": message,
        "conditions": [_readable(record, view.problem if view.schedule is None else "", now)],
    }
    if until is not None:
        status["until"] = stamp(until)
    if view.schedule is not None:
        status["timeZone"] = view.schedule.zone.key
    return status


def _told(schedule: Schedule, now: datetime, until: datetime | None) -> tuple[WindowState, str]:
    turn = "never, as far as can be seen" if until is None else local_time(until, schedule.zone)
    if schedule.is_open(now):
        return WindowState.OPEN, f"closes {turn}"
    return WindowState.CLOSED, f"{schedule.why_closed(now)}; opens {turn}"


def _readable(record: WindowRecord, problem: str, now: datetime) -> Status:
    fact = (READABLE, str(not problem), "Unreadable" if problem else "Readable", problem)
    return condition(fact, record.status, record.meta.generation, now)
