"""What one Alarm is, what it says, and which Rollouts it concerns."""

import dataclasses

from ombak.alarms import syntax, template
from ombak.alarms.definition import ExpressionAlarm
from ombak.alarms.resolve import AlarmKey
from ombak.alarms.verdict import State
from ombak.cli.alarm_show_facts import AlarmShown, node_of, said_by_verdict
from ombak.cli.alarm_show_read import Surroundings
from ombak.runtime import kinds
from ombak.runtime.alarm_conditions import is_template
from ombak.runtime.alarm_interest import Wanted, bind
from ombak.runtime.alarm_reader import wanted_of
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.kube_port import ApiError, KubeClient, Unauthorized
from ombak.runtime.observe import view_of
from ombak.runtime.records import RolloutRecord, decode_rollout
from ombak.runtime.store import Key

_WATCHER = "show"


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmPage:
    """Everything that is printed of an Alarm; `concerned` are the Rollouts that it may take back, and by what."""

    shown: AlarmShown
    guards: str
    concerned: tuple[str, ...]
    notes: tuple[str, ...]


async def show_alarm(
    client: KubeClient, key: Key, found: Surroundings, service: AlarmService, *, is_live: bool
) -> AlarmPage:
    """Gather what there is to tell; with `is_live` every Prometheus is asked."""
    own = AlarmKey(*key)
    shown = node_of(own, f"Alarm {own}", found, service)
    if is_live and not is_template(service.definition(own)):
        shown = await _asked(own, shown, service)
    record = found.alarms.get(own)
    labels = record.guards if record is not None else None
    concerned = [
        line for namespace in sorted(found.namespaces) for line in await _in(client, namespace, own, found, service)
    ]
    return AlarmPage(shown, "" if labels is None else _selector(labels), tuple(concerned), tuple(found.notes))


def _selector(labels: object) -> str:
    pairs = sorted(labels.items()) if isinstance(labels, dict) else []
    return ", ".join(f"{name}={value}" for name, value in pairs) or "every Rollout"


async def _asked(key: AlarmKey, shown: AlarmShown, service: AlarmService) -> AlarmShown:
    definition = service.definition(key)
    is_expression = isinstance(definition, ExpressionAlarm)
    text = syntax.print_expression(
        definition.expression
        if isinstance(definition, ExpressionAlarm)
        else syntax.Is(State.ALARM, syntax.Ref(key.name))
    )
    context = template.Context(namespace=key.namespace)
    service.watch(_WATCHER, {"own": Wanted(text, key.namespace, context)}, is_active=True)
    await service.poll_due()
    leaf = service.leaves(_WATCHER, "own").get(key)
    verdict = service.verdict(_WATCHER, "own") if is_expression or leaf is None else leaf
    is_same = (shown.said.state, shown.said.certainty) == (verdict.state.value, verdict.certainty.value)
    return dataclasses.replace(shown, said=said_by_verdict(verdict, shown.said.since if is_same else None))


async def _in(
    client: KubeClient, namespace: str, own: AlarmKey, found: Surroundings, service: AlarmService
) -> list[str]:
    """The Rollouts of a namespace that it concerns."""
    try:
        listed = await client.list(kinds.ROLLOUTS, namespace, resource_version="")
    except ApiError as error:
        if isinstance(error, Unauthorized) or error.status == 0:
            raise
        found.notes.append(f"could not read Rollouts of namespace {namespace}: {error.message or error}")
        return []
    records = [decode_rollout(item) for item in listed["items"]]
    return [line for record in records if record.spec is not None for line in _ways(record, own, found, service)]


def _ways(record: RolloutRecord, own: AlarmKey, found: Surroundings, service: AlarmService) -> list[str]:
    registry = {key: definition for key in found.alarms if (definition := service.definition(key)) is not None}
    rollout = view_of(record)
    ways = []
    for name, wanted in wanted_of(rollout, rollout.artifact, found.guards).items():
        if wanted.own is None and own in bind(wanted, registry).alarms:
            ways.append(f"guard {name.guard}" if name.guard else f"spec.alarms.{name.part}")
    where = f"rollout/{rollout.name} in {rollout.namespace}"
    phase = str(record.status.get("phase") or "")
    return [f"{where} ({', '.join(ways)}){f', {phase}' if phase else ''}"] if ways else []
