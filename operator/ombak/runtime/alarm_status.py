"""The status of Alarm objects: what each one says by itself, written when that changes and not otherwise."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ombak.alarms import syntax, template
from ombak.alarms.resolve import AlarmKey
from ombak.alarms.verdict import State, Verdict
from ombak.api.alarm import AlarmSpec
from ombak.runtime.alarm_interest import Wanted
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.clock import Clock
from ombak.runtime.decode_alarm import AlarmRecord
from ombak.runtime.kinds import ALARMS
from ombak.runtime.kube_port import KubeClient
from ombak.runtime.store import Key, Store

Status = dict[str, Any]
_STATE = "state"
_MOST = 10


class AlarmReporter:
    """Keeps the status of every Alarm true. Verdicts for a Rollout are not read from here (design 5)."""

    def __init__(self, client: KubeClient, alarms: Store[AlarmRecord], service: AlarmService, clock: Clock) -> None:
        self._client = client
        self._alarms = alarms
        self._service = service
        self._clock = clock

    async def reconcile(self, key: Key, watcher: object) -> None:
        """Write what is new about one Alarm; `watcher` is woken when its verdict may differ. Raises `ApiError`."""
        stored = self._alarms.get(key)
        if stored is None or stored.value.meta.is_deleting:
            self._service.unwatch(watcher)
            return
        record = stored.value
        verdict = self._verdict(key, record, watcher)
        if not self._service.has_looked(watcher):
            return
        status = alarm_status(record, verdict, self._clock.now())
        if _essence(status) != _essence(record.status):
            await self._write(record, status)

    def _verdict(self, key: Key, record: AlarmRecord, watcher: object) -> Verdict:
        """Evaluate an Alarm by itself: a metric one gives its own state, an expression that of the expression."""
        own = AlarmKey(*key)
        expression = record.spec.expression if isinstance(record.spec, AlarmSpec) else None
        text = expression or syntax.print_expression(syntax.Is(State.ALARM, syntax.Ref(key[1])))
        self._service.watch(watcher, {_STATE: Wanted(text, key[0], template.Context(namespace=key[0]))}, False)
        if expression is not None:
            return self._service.verdict(watcher, _STATE)
        found = self._service.leaves(watcher, _STATE)
        return found[own] if own in found else self._service.verdict(watcher, _STATE)

    async def _write(self, record: AlarmRecord, status: Status) -> None:
        meta = record.meta
        body = {
            "apiVersion": ALARMS.api_version,
            "kind": ALARMS.kind,
            "metadata": {"name": meta.name, "namespace": meta.namespace, "resourceVersion": meta.resource_version},
            "status": status,
        }
        answer = await self._client.replace(ALARMS, meta.namespace, meta.name, body, subresource="status")
        self._alarms.upsert(answer)


def alarm_status(record: AlarmRecord, verdict: Verdict, now: datetime) -> Status:
    """Return the status of an Alarm; `since` and the conditions' times stay while what they speak of does."""
    old = record.status
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    is_same = old.get("state") == verdict.state.value and old.get("since")
    problem = record.spec if isinstance(record.spec, str) else "; ".join(verdict.unknown)
    status: Status = {
        "observedGeneration": record.meta.generation,
        "state": verdict.state.value,
        "certainty": verdict.certainty.value,
        "since": old["since"] if is_same else stamp,
        "contributors": list(verdict.contributors[:_MOST]),
        "unknownChildren": list(verdict.unknown[:_MOST]),
        "message": verdict.message[:1024],
    }
    evaluable = not verdict.is_unknown
    before: Mapping[str, Any] = next((c for c in old.get("conditions") or [] if c.get("type") == "Evaluable"), {})
    state = "True" if evaluable else "False"
    status["conditions"] = [
        {
            "type": "Evaluable",
            "status": state,
            "reason": "Evaluated" if evaluable else "Unknown",
            "message": "" if evaluable else problem[:1024],
            "observedGeneration": record.meta.generation,
            "lastTransitionTime": before["lastTransitionTime"] if before.get("status") == state else stamp,
        }
    ]
    return status


def _essence(status: Mapping[str, Any]) -> object:
    """What is worth a write: not the numbers in the sentences."""
    conditions = [(c.get("type"), c.get("status")) for c in status.get("conditions") or []]
    return (
        status.get("observedGeneration"),
        status.get("state"),
        status.get("certainty"),
        sorted(status.get("contributors") or []),
        conditions,
    )
