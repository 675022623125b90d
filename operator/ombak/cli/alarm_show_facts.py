"""What there is to tell about an Alarm: what it asks, what it says and why; from its object alone."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ombak.alarms.definition import Definition, ExpressionAlarm, LeafAlarm, MetricAlarm, RuleAlarm
from ombak.alarms.resolve import AlarmKey, Broken, key_of
from ombak.alarms.syntax import Expression, print_expression, references
from ombak.alarms.verdict import Certainty, State, Verdict, unknown_verdict
from ombak.api.duration import format_duration
from ombak.cli.alarm_show_read import Surroundings
from ombak.runtime.alarm_conditions import is_template
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.decode_alarm import AlarmRecord, moment_of
from ombak.runtime.kube_port import listed, mapping

_CONTRIBUTORS = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """What an alarm says; `state` is empty where nobody has told it."""

    state: str = ""
    certainty: str = ""
    since: datetime | None = None
    why: str = ""
    contributors: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def is_alarm(self) -> bool:
        """It is in ALARM, for sure."""
        return (self.state, self.certainty) == (State.ALARM.value, Certainty.Certain.value)

    @property
    def is_unknown(self) -> bool:
        """Nobody may act on it."""
        return not self.is_alarm and (self.state, self.certainty) != (State.OK.value, Certainty.Certain.value)


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmShown:
    """One Alarm, or whatever is called an alarm, with those that it rests on."""

    title: str
    said: Said = Said()
    facts: tuple[str, ...] = ()
    latency: str = ""
    complaints: tuple[str, ...] = ()
    children: "tuple[AlarmShown, ...]" = ()


def said_by_status(view: Mapping[str, Any]) -> Said:
    """What a view in a status tells."""
    return Said(
        state=str(view.get("state") or ""),
        certainty=str(view.get("certainty") or ""),
        since=moment_of(view.get("since")),
        why=str(view.get("message") or ""),
        contributors=tuple(map(str, listed(view.get("contributors")))),
        unknown=tuple(map(str, listed(view.get("unknownChildren")))),
    )


def said_by_verdict(verdict: Verdict, since: datetime | None = None) -> Said:
    """What an evaluation told just now."""
    causes = tuple(map(str, verdict.causes)) or verdict.contributors
    return Said(
        verdict.state.value, verdict.certainty.value, since, verdict.message, causes[:_CONTRIBUTORS], verdict.unknown
    )


def verdict_of(key: AlarmKey, found: Surroundings, service: AlarmService, namespace: str) -> Verdict:
    """The verdict that the status of an Alarm tells, unknown where it tells none of the spec as it is."""
    name, record = key.seen_from(namespace), found.alarms.get(key)
    if is_template(service.definition(key)):
        return unknown_verdict(
            name, "is a template and has a state only for a Rollout; add --prometheus URL to ask now"
        )
    if record is None or record.status.get("observedGeneration") != record.meta.generation:
        return unknown_verdict(name, "has no status yet; is the operator running?")
    said = said_by_status(record.status)
    try:
        state, certainty = State(said.state), Certainty(said.certainty)
    except ValueError:
        return unknown_verdict(name, "has no state yet")
    why = said.why if said.why.startswith(name) else f"{name}: {said.why or f'is {state}'}"
    return Verdict(state, certainty, datetime.now(UTC), timedelta(0), said.contributors, said.unknown, why)


def since_of(expression: Expression, namespace: str, found: Surroundings) -> datetime | None:
    """Since when, at the latest, an expression is what it is: when the last of its alarms changed."""
    keys = [key_of(ref, namespace) for ref in references(expression)]
    records = [found.alarms.get(key) for key in keys if key is not None]
    moments = [moment_of(record.status.get("since")) for record in records if record is not None]
    known = [moment for moment in moments if moment is not None]
    return max(known) if known and len(known) == len(keys) else None


def nodes_of(
    expression: Expression, namespace: str, found: Surroundings, service: AlarmService, seen: tuple[AlarmKey, ...] = ()
) -> tuple[AlarmShown, ...]:
    """The alarms that an expression names, each with its own."""
    shown = []
    for ref in references(expression):
        key = key_of(ref, namespace)
        if key is None:
            shown.append(AlarmShown(f"{ref}: unknown, it is not in this region"))
        elif key in seen:
            shown.append(AlarmShown(f"{ref}: unknown, it is part of a cycle"))
        else:
            shown.append(node_of(key, key.seen_from(namespace), found, service, seen))
    return tuple(shown)


def node_of(
    key: AlarmKey, title: str, found: Surroundings, service: AlarmService, seen: tuple[AlarmKey, ...] = ()
) -> AlarmShown:
    """One Alarm and all below it."""
    record = found.alarms.get(key)
    if record is None:
        where = "" if key.namespace in found.namespaces else "; its namespace was not read"
        return AlarmShown(f"{title}: unknown, there is no such Alarm{where}")
    definition = service.definition(key)
    children: tuple[AlarmShown, ...] = ()
    if isinstance(definition, ExpressionAlarm):
        children = nodes_of(definition.expression, key.namespace, found, service, (*seen, key))
    return AlarmShown(
        title=f"{title} ({_kind(definition)})",
        said=_said(record, definition),
        facts=_facts(definition),
        latency=str(record.status.get("detectionLatency") or ""),
        complaints=_complaints(record),
        children=children,
    )


def _said(record: AlarmRecord, definition: Definition | Broken | None) -> Said:
    if is_template(definition):
        return Said(why="a template: it has a state only for a Rollout that names it")
    if isinstance(definition, Broken):
        return Said(why=definition.why)
    if record.status.get("observedGeneration") != record.meta.generation:
        return Said(why="the operator has not looked at it since it was changed; is it running?")
    return said_by_status(record.status)


def _kind(definition: Definition | Broken | None) -> str:
    match definition:
        case ExpressionAlarm():
            return "expression"
        case RuleAlarm():
            return "alertingRule"
        case MetricAlarm():
            return "metric"
    return "cannot be understood"


def _facts(definition: Definition | Broken | None) -> tuple[str, ...]:
    if isinstance(definition, ExpressionAlarm):
        return (print_expression(definition.expression),)
    return () if definition is None or isinstance(definition, Broken) else leaf_facts(definition)


def leaf_facts(alarm: LeafAlarm) -> tuple[str, ...]:
    """What is asked of a Prometheus, and how the answer is judged."""
    source = (f"source: {alarm.source}",) if alarm.source else ()
    if isinstance(alarm, RuleAlarm):
        return (f"the alerting rule {alarm.selector}", *source)
    rule = alarm.rule
    counted: tuple[str, ...] = ()
    judged = (
        f"every {format_duration(alarm.period)}: ALARM when {rule.m} of {rule.n} points are {rule}; "
        f"treatMissingData: {rule.missing.value}"
    )
    if alarm.samples is not None:
        over = format_duration(alarm.samples.window)
        counted = (f"with fewer than {alarm.samples.count} samples in {over} it is unknown: {alarm.samples.query}",)
    return (f"query: {' '.join(alarm.query.split())}", judged, *counted, *source)


def _complaints(record: AlarmRecord) -> tuple[str, ...]:
    """The conditions that are not met, but what the state tells already."""
    if record.status.get("observedGeneration") != record.meta.generation:
        return ()
    conditions = [mapping(each) for each in listed(record.status.get("conditions"))]
    return tuple(
        f"{each.get('type')}: {each.get('message')}"
        for each in conditions
        if each.get("status") == "False" and each.get("type") != "Evaluable"
    )
