"""From an expression to the alarms of a Prometheus that it rests on, through nesting, missing alarms and cycles."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

from ombak.alarms.combine import Part, combine
from ombak.alarms.definition import Definition, ExpressionAlarm, LeafAlarm, MetricAlarm, RuleAlarm
from ombak.alarms.syntax import Expression, Ref, references
from ombak.alarms.verdict import Certainty, State, Verdict, unknown_verdict


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class AlarmKey:
    """An Alarm object of this region."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """As a reference from another namespace writes it."""
        return f"{self.namespace}/{self.name}"

    def seen_from(self, namespace: str) -> str:
        """As a reference from this namespace writes it."""
        return self.name if self.namespace == namespace else str(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Broken:
    """An Alarm object whose spec cannot be understood; `why` is the sentence for people."""

    why: str


Registry: TypeAlias = Mapping[AlarmKey, Definition | Broken]
"""Every Alarm object that is known, by its key."""


@dataclasses.dataclass(frozen=True, slots=True)
class Resolution:
    """What an expression written in `namespace` rests on.

    `expressions` are the nested ones, children before parents; `unknown` says why for every alarm that is
    missing, broken or part of a cycle. Every alarm reached is in exactly one of the three.
    """

    expression: Expression
    namespace: str
    leaves: Mapping[AlarmKey, LeafAlarm]
    expressions: Mapping[AlarmKey, ExpressionAlarm]
    unknown: Mapping[AlarmKey, str]

    @property
    def cyclic(self) -> tuple[AlarmKey, ...]:
        """The alarms that it reaches and that name themselves, directly or not."""
        return tuple(key for key, why in self.unknown.items() if why == _CYCLE)

    @property
    def unresolved(self) -> tuple[str, ...]:
        """The alarms that it names and that are not there, or cannot be understood, each as `name: why`."""
        gone = (f"{key.seen_from(self.namespace)}: {why}" for key, why in self.unknown.items() if why != _CYCLE)
        written = [(self.expression, self.namespace)]
        written += [(alarm.expression, key.namespace) for key, alarm in self.expressions.items()]
        elsewhere = (
            f"{ref}: {_ELSEWHERE}"
            for expression, namespace in written
            for ref in references(expression)
            if key_of(ref, namespace) is None
        )
        return tuple(dict.fromkeys((*gone, *elsewhere)))

    def evaluate(self, verdict_of: Callable[[AlarmKey], Verdict], now: datetime) -> Verdict:
        """The verdict on the expression, given those on the leaves; unknown ones count as unknown."""
        parts = {
            key: Part(key.seen_from(self.namespace), unknown_verdict(key.seen_from(self.namespace), why))
            for key, why in self.unknown.items()
        }
        for key in self.leaves:
            parts[key] = Part(key.seen_from(self.namespace), verdict_of(key))
        for key, alarm in self.expressions.items():
            verdict = self._combine(alarm.expression, key.namespace, parts, now)
            if alarm.is_by_zone:
                zones = (key_of(ref, key.namespace) for ref in references(alarm.expression))
                verdict = _of_zones(verdict, [parts[zone].verdict for zone in zones if zone is not None])
            parts[key] = Part(key.seen_from(self.namespace), verdict, is_expression=True)
        return self._combine(self.expression, self.namespace, parts, now)

    def _combine(
        self, expression: Expression, namespace: str, parts: Mapping[AlarmKey, Part], now: datetime
    ) -> Verdict:
        children = {}
        for ref in references(expression):
            key = key_of(ref, namespace)
            if key is None:
                children[ref] = Part(str(ref), unknown_verdict(str(ref), _ELSEWHERE))
            else:
                children[ref] = parts[key]
        return combine(expression, children, now)


def _of_zones(verdict: Verdict, zones: Sequence[Verdict]) -> Verdict:
    """The verdict on an alarm asked for each zone: one that lacks data lacks it, which an expression never does.

    Else `INSUFFICIENT_DATA(x)` would be false for sure while nothing is heard of a zone.
    """
    if not verdict.is_unknown:
        return verdict
    times = [zone.evaluated_at for zone in zones if zone.certainty is Certainty.Certain]
    known = [at for at in times if at is not None]
    is_sure = len(known) == len(zones)
    return dataclasses.replace(
        verdict,
        state=State.INSUFFICIENT_DATA,
        certainty=Certainty.Certain if is_sure else Certainty.Uncertain,
        evaluated_at=min(known) if is_sure else None,
        window=max(zone.window for zone in zones),
    )


_MISSING = "does not exist"
_CYCLE = "is part of a cycle of expressions"
_ELSEWHERE = "is not in this region"


def key_of(ref: Ref, namespace: str) -> AlarmKey | None:
    """The object that a reference written in `namespace` means; None if it is not in this region."""
    if ref.region is not None or ref.name.startswith("arn:"):
        return None
    return AlarmKey(ref.namespace or namespace, ref.name)


def resolve(expression: Expression, namespace: str, registry: Registry) -> Resolution:
    """Everything that the expression, written in `namespace`, rests on; linear in what is reached."""
    leaves: dict[AlarmKey, LeafAlarm] = {}
    expressions: dict[AlarmKey, ExpressionAlarm] = {}
    unknown: dict[AlarmKey, str] = {}
    for component in _components(_keys(expression, namespace), registry):
        for key in component:
            found = registry.get(key)
            if isinstance(found, MetricAlarm | RuleAlarm):
                leaves[key] = found
            elif isinstance(found, ExpressionAlarm) and not _is_cycle(component, registry):
                expressions[key] = found
            elif isinstance(found, ExpressionAlarm):
                unknown[key] = _CYCLE
            else:
                unknown[key] = _MISSING if found is None else f"cannot be understood: {found.why}"
    return Resolution(expression, namespace, leaves, expressions, unknown)


def _is_cycle(component: list[AlarmKey], registry: Registry) -> bool:
    return len(component) > 1 or component[0] in _children(component[0], registry)


def _keys(expression: Expression, namespace: str) -> tuple[AlarmKey, ...]:
    keys = (key_of(ref, namespace) for ref in references(expression))
    return tuple(key for key in keys if key is not None)


def _children(key: AlarmKey, registry: Registry) -> tuple[AlarmKey, ...]:
    found = registry.get(key)
    return _keys(found.expression, key.namespace) if isinstance(found, ExpressionAlarm) else ()


def _components(roots: tuple[AlarmKey, ...], registry: Registry) -> Iterator[list[AlarmKey]]:
    """The strongly connected components that are reached, children before parents.

    Tarjan's algorithm with a stack of its own, for expressions may be nested as deep as people like.
    """
    order: dict[AlarmKey, int] = {}
    lowest: dict[AlarmKey, int] = {}
    unassigned: dict[AlarmKey, None] = {}
    work: list[tuple[AlarmKey, Iterator[AlarmKey]]] = []

    def enter(key: AlarmKey) -> None:
        order[key] = lowest[key] = len(order)
        unassigned[key] = None
        work.append((key, iter(_children(key, registry))))

    for root in roots:
        if root not in order:
            enter(root)
        while work:
            key, children = work[-1]
            child = next(children, None)
            if child is not None and child not in order:
                enter(child)
            elif child is not None:
                if child in unassigned:
                    lowest[key] = min(lowest[key], order[child])
            else:
                work.pop()
                if work:
                    parent = work[-1][0]
                    lowest[parent] = min(lowest[parent], lowest[key])
                if lowest[key] == order[key]:
                    yield _take_until(key, unassigned)


def _take_until(key: AlarmKey, unassigned: dict[AlarmKey, None]) -> list[AlarmKey]:
    """Removes the component whose first member is `key`: everything that was added since, and itself."""
    component = []
    while key in unassigned:
        component.append(unassigned.popitem()[0])
    return component
