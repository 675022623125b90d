"""The status of Alarm objects: what each one says by itself, written when that changes and not otherwise."""

import dataclasses
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ombak.alarms import syntax, template
from ombak.alarms.definition import MetricAlarm
from ombak.alarms.resolve import AlarmKey, Broken
from ombak.alarms.verdict import State, Verdict, unknown_verdict
from ombak.api.alarm import AlarmSpec
from ombak.api.duration import format_duration
from ombak.core.conditions import condition, stamp
from ombak.runtime.alarm_conditions import SOUND, Facts, conditions_of, told
from ombak.runtime.alarm_interest import MetricLeaf, Wanted
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.alarm_traps import Findings, TrapInspector
from ombak.runtime.clock import Clock
from ombak.runtime.decode_alarm import AlarmRecord, moment_of
from ombak.runtime.kinds import ALARMS
from ombak.runtime.kube_port import KubeClient, listed, mapping
from ombak.runtime.store import Key, Store

Status = dict[str, Any]
_NUMBER = re.compile(r"[0-9]+")
_STATE = "state"
_MOST = 10
_LONGEST = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """Everything that the status of one Alarm is made of; `detection_latency` as it is written, or empty.

    A restart finds the old status where nobody has looked into the query yet: it must not write what it will take
    back a moment later.
    """

    facts: Facts
    detection_latency: str = ""
    warm_at: datetime | None = None


class AlarmReporter:
    """Keeps the status of every Alarm true. Verdicts for a Rollout are not read from here (design 5)."""

    def __init__(
        self,
        client: KubeClient,
        alarms: Store[AlarmRecord],
        service: AlarmService,
        inspector: TrapInspector,
        clock: Clock,
    ) -> None:
        self._client = client
        self._alarms = alarms
        self._service = service
        self._inspector = inspector
        self._clock = clock
        self._warm_at: dict[Key, tuple[str, int, datetime]] = {}

    async def reconcile(self, key: Key, watcher: object) -> None:
        """Write what is new about one Alarm; `watcher` is woken when its verdict may differ. Raises `ApiError`."""
        stored = self._alarms.get(key)
        if stored is None or stored.value.meta.is_deleting:
            self._service.unwatch(watcher)
            self._inspector.forget(watcher)
            return
        record = stored.value
        verdict = self._verdict(key, record, watcher)
        if not self._service.has_looked(watcher):
            return
        status = alarm_status(record, self._report(key, record, verdict, watcher), self._clock.now())
        if _essence(status) != _essence(record.status):
            await self._write(record, status)

    def warm_at(self, record: AlarmRecord) -> datetime | None:
        """Until when a metric alarm warms up, None if it does not; once found it stays for this generation.

        Kept in the status, so that a restart of ours does not begin it anew.
        """
        metric = record.spec.metric if isinstance(record.spec, AlarmSpec) else None
        if metric is None or not metric.warm_up:
            return None
        meta, key = record.meta, (record.meta.namespace, record.meta.name)
        found = self._warm_at.get(key)
        if found is not None and found[:2] == (meta.uid, meta.generation):
            return found[2]
        known = _first_warm_at(record, metric.warm_up, self._clock.now())
        self._warm_at[key] = meta.uid, meta.generation, known
        return known

    def forget(self, key: Key) -> None:
        """The Alarm is gone."""
        self._warm_at.pop(key, None)

    def _verdict(self, key: Key, record: AlarmRecord, watcher: object) -> Verdict:
        """Evaluate an Alarm by itself: an expression gives that of the expression, the others their own state."""
        own = AlarmKey(*key)
        definition = self._service.definition(own)
        expression = record.spec.expression if isinstance(record.spec, AlarmSpec) else None
        text = expression or syntax.print_expression(syntax.Is(State.ALARM, syntax.Ref(key[1])))
        self._service.watch(watcher, {_STATE: Wanted(text, key[0], template.Context(namespace=key[0]))}, False)
        if isinstance(definition, Broken):
            # Else it would be the OK, not certain, that AWS's rule gives to ALARM() of something unknown.
            return unknown_verdict(key[1], definition.why)
        if expression is not None:
            return self._service.verdict(watcher, _STATE)
        found = self._service.leaves(watcher, _STATE)
        return found[own] if own in found else self._service.verdict(watcher, _STATE)

    def _report(self, key: Key, record: AlarmRecord, verdict: Verdict, watcher: object) -> Report:
        definition = self._service.definition(AlarmKey(*key))
        findings, latency = self._findings(record, watcher), self._service.detection_latency(watcher, _STATE)
        found = [each for each in findings if each is not None]
        is_unasked = isinstance(definition, MetricAlarm) and definition.is_context_free and not findings
        is_open, old = is_unasked or len(found) < len(findings), _of_this_generation(record)
        scrape = max((each.scrape for each in found if each.scrape is not None), default=timedelta(0))
        traps = tuple(dict.fromkeys(problem for each in found for problem in each.problems))
        facts = Facts(
            definition=definition,
            resolution=self._service.resolution(watcher, _STATE),
            verdict=verdict,
            traps=None if is_open else traps,
            told_sound=told(SOUND, map(mapping, listed(old.get("conditions")))),
        )
        own = "" if latency is None else format_duration(latency + scrape)
        known = str(old.get("detectionLatency") or own) if is_open else own
        return Report(facts, known, self.warm_at(record))

    def _findings(self, record: AlarmRecord, watcher: object) -> list[Findings | None]:
        """Of its query, or of all that an expression rests on: it notices nothing before those do."""
        if not isinstance(record.spec, AlarmSpec) or record.spec.alerting_rule is not None:
            return []
        return [
            self._inspector.known(watcher, leaf.query.endpoint, leaf.query.text, is_empty=is_empty)
            for leaf, is_empty in self._service.empty_queries(watcher, _STATE).items()
            if isinstance(leaf, MetricLeaf)
        ]

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


def _of_this_generation(record: AlarmRecord) -> Mapping[str, Any]:
    """The status as far as it speaks of the spec as it is now."""
    return record.status if record.status.get("observedGeneration") == record.meta.generation else {}


def _first_warm_at(record: AlarmRecord, warm_up: timedelta, now: datetime) -> datetime:
    told = moment_of(record.status.get("warmUpUntil"))
    if told is not None and record.status.get("observedGeneration") == record.meta.generation:
        return told
    is_first = record.meta.generation == 1
    began = record.created_at if is_first and record.created_at is not None else now
    return min(began, now) + warm_up  # the clock of the API server may be ahead of ours; nothing is made tomorrow


def alarm_status(record: AlarmRecord, report: Report, now: datetime) -> Status:
    """Return the status of an Alarm; `since` and the conditions' times stay while what they speak of does."""
    old, verdict = record.status, report.facts.verdict
    is_same = old.get("state") == verdict.state.value and old.get("since")
    status: Status = {
        "observedGeneration": record.meta.generation,
        "state": verdict.state.value,
        "certainty": verdict.certainty.value,
        "since": old["since"] if is_same else stamp(now),
        "contributors": list(verdict.contributors[:_MOST]),
        "unknownChildren": list(verdict.unknown[:_MOST]),
        "message": verdict.message[:_LONGEST],
    }
    if report.detection_latency:
        status["detectionLatency"] = report.detection_latency
    if report.warm_at is not None:
        status["warmUpUntil"] = stamp(report.warm_at)
    said = ((each.type, each.status, each.reason, each.message) for each in conditions_of(report.facts))
    status["conditions"] = [condition(fact, old, record.meta.generation, now) for fact in said]
    return status


def _essence(status: Mapping[str, Any]) -> object:
    """What is worth a write: not the numbers in the sentences."""
    found = map(mapping, listed(status.get("conditions")))
    conditions = [(c.get("type"), c.get("status"), c.get("reason")) for c in found]
    return (
        *(status.get(name) for name in ("observedGeneration", "state", "certainty", "detectionLatency", "warmUpUntil")),
        sorted(map(str, listed(status.get("contributors")))),
        sorted(_without_numbers(str(line)) for line in listed(status.get("unknownChildren"))),
        conditions,
    )


def _without_numbers(line: str) -> str:
    """Return who is unknown and why, without the moments and counts in the reason, which change all the time."""
    name, mark, why = line.partition(": ")
    return name + mark + _NUMBER.sub("", why)
