"""How each Override came about, looked up at the API server, and its status, written when that changes.

The policy is read anew for every generation of an Override, after that generation was seen, and again from time to
time: it is never judged by what was known of the policy before.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any, Protocol

from ombak.api import override_policy
from ombak.api.duration import format_duration
from ombak.api.override import ACTIVE, VALID, OverrideState
from ombak.api.wording import clause, sentence
from ombak.core.conditions import condition, written
from ombak.core.overrides.facts import OverrideFacts
from ombak.core.overrides.guard import Guard, GuardObject, flaw
from ombak.core.overrides.view import OverrideView, Permit, permit_of
from ombak.core.plan import Note
from ombak.runtime import kinds
from ombak.runtime.clock import Clock
from ombak.runtime.events import Subject
from ombak.runtime.kube_port import ApiError, Forbidden, Kind, KubeClient, NotFound
from ombak.runtime.override_book import OverrideBook
from ombak.runtime.override_records import OverrideRecord, guard_object
from ombak.runtime.store import Key

LOOK_EVERY = timedelta(seconds=30)
"""The policy may be taken away while an Override is active: then it is void from the next look on."""
_FORBIDDEN = "the operator may not read the policy that guards Overrides; bind the ClusterRole of charts/rbac.yaml"

Status = dict[str, Any]


class Recorder(Protocol):
    """Where Events go."""

    def record(self, subject: Subject, note: Note, kind: str) -> None:
        """Tell people; never waits, never fails."""
        ...


class OverrideReporter:
    """Judges Overrides, and tells everybody."""

    def __init__(self, client: KubeClient, book: OverrideBook, clock: Clock, recorder: Recorder) -> None:
        self._client, self._book, self._clock, self._recorder = client, book, clock, recorder

    async def reconcile(self, key: Key) -> timedelta | None:
        """Look at one Override; returns when to look again at the latest. Raises `ApiError` to be tried again."""
        stored = self._book.store.get(key)
        if stored is None:
            return None
        record = stored.value
        if record.view.is_over(self._clock.now()) and record.status.get("state") == OverrideState.VOID.value:
            return None  # that it was void is the last word on it
        if not record.view.is_over(self._clock.now()):
            self._book.judge(record, flaw(await self._guard(), record.view.created))
        now = self._clock.now()
        view = self._book.view(key) or record.view
        status = override_status(record, view, self._book.facts_of(record), now)
        if status != record.status:
            await self._write(record, status)
        if record.view.spec is None or record.view.is_over(now):
            return None
        return min(LOOK_EVERY, record.view.spec.expires - now)

    async def _guard(self) -> Guard:
        try:
            policy, binding = await asyncio.gather(self._found(kinds.POLICIES), self._found(kinds.POLICY_BINDINGS))
        except Forbidden as error:
            return Guard(unreadable=f"{_FORBIDDEN} ({clause(error.message)})")
        return Guard(policy, binding)

    async def _found(self, kind: Kind) -> GuardObject | None:
        try:
            return guard_object(await self._client.get(kind, "", override_policy.NAME))
        except NotFound:
            return None

    async def _write(self, record: OverrideRecord, status: Status) -> None:
        kind, meta = kinds.OVERRIDES, record.meta
        metadata = {"name": meta.name, "namespace": meta.namespace, "resourceVersion": meta.resource_version}
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "status": status}
        try:
            answer = await self._client.replace(kind, meta.namespace, meta.name, body, subresource="status")
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            return  # it is gone, or another one now: the watch will tell, and then it is looked at again
        self._book.store.upsert(answer)
        if status["state"] != record.status.get("state"):
            is_warning = status["state"] != OverrideState.PENDING.value
            note = Note(str(status["state"]), sentence(str(status["message"])), is_warning=is_warning)
            self._recorder.record(meta, note, kind.kind)


def override_status(record: OverrideRecord, view: OverrideView, facts: OverrideFacts, now: datetime) -> Status:
    """Return the status of an Override; times of conditions stay while their state does."""
    state = facts.state(view, now)
    message = _told(view, state, facts, now)
    void = "" if state is not OverrideState.VOID else message
    status: Status = {
        "observedGeneration": record.meta.generation,
        "state": state.value,
        "message": message,
        "approvedBy": list(view.approvers),
    }
    is_valid, generation = state is not OverrideState.VOID, record.meta.generation
    conditions = [
        condition((ACTIVE, str(state is OverrideState.ACTIVE), state.value, message), record.status, generation, now),
        condition((VALID, str(is_valid), "Guarded" if is_valid else "Void", void), record.status, generation, now),
    ]
    if state is OverrideState.EXPIRED:  # nobody looks any more; what was found then stays
        conditions[1] = dict(written(record.status, VALID)) or conditions[1]
    return status | {"conditions": conditions}


def _told(view: OverrideView, state: OverrideState, facts: OverrideFacts, now: datetime) -> str:
    if state is OverrideState.VOID or view.spec is None:
        return f"void: {view.void}"
    if state is OverrideState.EXPIRED:
        return f"it ended at {view.spec.expires:%Y-%m-%d %H:%M:%S} UTC"
    if state is OverrideState.OVERTAKEN:
        newer = facts.counting(now)
        return f"Override {newer.name if newer else ''} is newer, and of several for one target only that counts"
    if state is OverrideState.PENDING:
        return _pending(view)
    permit = permit_of(view)
    return f"{permit.artifact} {'; '.join(_allowed(permit))}; everything else waits"


def _pending(view: OverrideView) -> str:
    assert view.spec is not None
    if view.approvers:
        return "it is looked at whether it came about as it must"
    patch = f'{{"spec":{{"approvals":[{{"by":"YOUR-USER-NAME","uid":"{view.uid}"}}]}}}}'
    return (
        f"it waits for an approval of somebody else than {view.spec.requested_by}, who has the verb approve on "
        f"overrides: kubectl -n {view.namespace} patch override {view.name} --type merge -p '{patch}'"
    )


def _allowed(permit: Permit) -> list[str]:
    """Return what it allows, in words."""
    bakes = permit.bakes
    parts = (("oneBox", bakes.one_box), ("batch", bakes.batch), ("bake", bakes.bake))
    shorter = [f"{name} {format_duration(length)}" for name, length in parts if length is not None]
    told = [f"bakes no longer than {', '.join(shorter)}"] if shorter else []
    told += [f"passes {kind} {name}" for kind, name in sorted(permit.passes)]
    return told + (["takes the place of what is on its way"] if permit.supersedes else [])
