"""`ombak alarm lint`: what is wrong with Alarms, found by reading them."""

import dataclasses
from collections.abc import Iterator, Sequence

from ombak.alarms.definition import ExpressionAlarm, MetricAlarm
from ombak.alarms.resolve import AlarmKey, Registry, resolve
from ombak.cli.alarm_files import AlarmManifest


@dataclasses.dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong (an error) or could be misunderstood (a warning) about an Alarm."""

    alarm: AlarmKey
    text: str
    is_error: bool = True

    def __str__(self) -> str:
        """One line, or more where a caret points at the place."""
        return f"{self.alarm}: {'error' if self.is_error else 'warning'}: {self.text}"


def lint(manifests: Sequence[AlarmManifest]) -> list[Complaint]:
    """Everything there is to complain about, in the order of the file."""
    registry = {manifest.key: manifest.definition for manifest in manifests}
    seen: set[AlarmKey] = set()
    found = []
    for manifest in manifests:
        if manifest.key in seen:
            found.append(Complaint(manifest.key, "is in the file twice; the later one wins when it is applied"))
        seen.add(manifest.key)
        if manifest.problem:
            found.append(Complaint(manifest.key, manifest.problem))
        elif isinstance(manifest.definition, MetricAlarm):
            found += [Complaint(manifest.key, trap) for trap in manifest.definition.traps]
        elif isinstance(manifest.definition, ExpressionAlarm):
            found += _about_expression(manifest.key, manifest.definition, registry)
    return found


def _about_expression(key: AlarmKey, alarm: ExpressionAlarm, registry: Registry) -> Iterator[Complaint]:
    resolution = resolve(alarm.expression, key.namespace, registry)
    if key in resolution.cyclic:
        others = ", ".join(map(str, resolution.cyclic))
        yield Complaint(key, f"is part of a cycle ({others}), so it can never be known; take one reference out")
    for warning in alarm.warnings:
        yield Complaint(key, warning, is_error=False)
    for line in resolution.unresolved:
        if "does not exist" in line or "not in this region" in line:
            yield Complaint(key, f"names {line.partition(': ')[0]}, which is not in this file", is_error=False)
