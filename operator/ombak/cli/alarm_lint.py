"""`ombak alarm lint`: what is wrong with Alarms and with what Rollouts watch, found by reading them."""

import dataclasses
from collections.abc import Iterator, Sequence

from ombak.alarms import parser, signals
from ombak.alarms.definition import ExpressionAlarm, MetricAlarm
from ombak.alarms.errors import ExpressionError
from ombak.alarms.resolve import AlarmKey, Registry, key_of, resolve
from ombak.alarms.syntax import Expression, references
from ombak.cli.alarm_files import AlarmManifest, RolloutManifest


@dataclasses.dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong (an error) or could be misunderstood (a warning) about an object of the file."""

    about: str
    text: str
    is_error: bool = True

    def __str__(self) -> str:
        """One line, or more where a caret points at the place."""
        return f"{self.about}: {'error' if self.is_error else 'warning'}: {self.text}"


def lint(manifests: Sequence[AlarmManifest], rollouts: Sequence[RolloutManifest] = ()) -> list[Complaint]:
    """Everything there is to complain about, Alarms first, each kind in the order of the file."""
    registry = {manifest.key: manifest.definition for manifest in manifests}
    seen: set[AlarmKey] = set()
    found = []
    for manifest in manifests:
        name = str(manifest.key)
        if manifest.key in seen:
            found.append(Complaint(name, "is in the file twice; the later one wins when it is applied"))
        seen.add(manifest.key)
        if manifest.problem:
            found.append(Complaint(name, manifest.problem))
        elif isinstance(manifest.definition, MetricAlarm):
            found += [Complaint(name, trap) for trap in manifest.definition.traps]
        elif isinstance(manifest.definition, ExpressionAlarm):
            found += _about_alarm(manifest.key, manifest.definition, registry)
    for rollout in rollouts:
        found += _about_rollout(rollout, registry)
    return found


def _about_alarm(key: AlarmKey, alarm: ExpressionAlarm, registry: Registry) -> Iterator[Complaint]:
    cyclic = resolve(alarm.expression, key.namespace, registry).cyclic
    if key in cyclic:
        others = ", ".join(map(str, cyclic))
        yield Complaint(str(key), f"is part of a cycle ({others}), so it can never be known; take one reference out")
    for warning in (*alarm.warnings, *_strangers(alarm.expression, key.namespace, registry)):
        yield Complaint(str(key), warning, is_error=False)


def _about_rollout(rollout: RolloutManifest, registry: Registry) -> Iterator[Complaint]:
    name = f"rollout {rollout.namespace}/{rollout.name}"
    if rollout.spec is None:
        yield Complaint(name, rollout.problem)
        return
    alarms = rollout.spec.alarms
    written = (("revert", alarms.revert), ("oneBox", alarms.one_box)) if alarms is not None else ()
    for field, text in written:
        if text is None:
            continue
        try:
            parsed = parser.parse(text)
        except ExpressionError as error:
            yield Complaint(name, f"spec.alarms.{field}: {error.render()}")
            continue
        for warning in (*parsed.warnings, *_strangers(parsed.expression, rollout.namespace, registry)):
            yield Complaint(name, f"spec.alarms.{field}: {warning}", is_error=False)
    if problem := signals.problem_of(rollout.spec.signals or ()):
        yield Complaint(name, problem)


def _strangers(expression: Expression, namespace: str, registry: Registry) -> Iterator[str]:
    """About the alarms that it names itself; whoever names these in turn is told there."""
    for ref in references(expression):
        if key_of(ref, namespace) not in registry:
            yield f"names {ref}, which is not in this file"
