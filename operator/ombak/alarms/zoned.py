"""Alarms that use `$(zone)`: one alarm for each zone of a Rollout, in ALARM when one of them is (design 1).

So a zone that is ill is told by name, and is not lost in the sum over all of them; and one of which nothing is heard
makes the Alarm unknown, where grouping by the label of the zone would not miss it.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from ombak.alarms.definition import Definition, ExpressionAlarm, LeafAlarm, MetricAlarm
from ombak.alarms.resolve import AlarmKey, Broken, Registry, Resolution, resolve
from ombak.alarms.syntax import Expression, Is, Or, Ref
from ombak.alarms.template import Context
from ombak.alarms.verdict import State

_IN = " in zone "
"""Between an Alarm's name and the zone's; no object's name holds a space."""


def origin(key: AlarmKey) -> AlarmKey:
    """The Alarm object of which this is the part of one zone, or itself."""
    return AlarmKey(key.namespace, object_of(key.name))


def object_of(name: str) -> str:
    """The name of the Alarm object of which this is the part of one zone, or the name itself."""
    return name.partition(_IN)[0]


def context_of(key: AlarmKey, context: Context) -> Context:
    """The context in which an alarm is asked: its zone is the one that its name holds."""
    _, is_part, zone = key.name.partition(_IN)
    return dataclasses.replace(context, zone=zone) if is_part else context


def resolve_in_zones(expression: Expression, namespace: str, registry: Registry, context: Context) -> Resolution:
    """Everything that the expression rests on, with an alarm for each zone of the context where the zone matters."""
    found = resolve(expression, namespace, registry)
    parts = dict(part for key, alarm in found.leaves.items() for part in _parts(key, alarm, context.zones))
    if not parts:
        return found
    reached = {key: registry[key] for key in (*found.leaves, *found.expressions, *found.unknown) if key in registry}
    return resolve(expression, namespace, reached | parts)


def _parts(key: AlarmKey, alarm: LeafAlarm, zones: Sequence[str]) -> Iterator[tuple[AlarmKey, Definition | Broken]]:
    if not zones or not isinstance(alarm, MetricAlarm) or not alarm.is_by_zone:
        return
    names = [f"{key.name}{_IN}{zone}" for zone in zones]
    each = tuple(Is(State.ALARM, Ref(name)) for name in names)
    yield key, ExpressionAlarm(Or(each) if len(each) > 1 else each[0], is_by_zone=True)
    for name in names:
        yield AlarmKey(key.namespace, name), alarm
