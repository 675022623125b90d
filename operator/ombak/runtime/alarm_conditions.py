"""The conditions of an Alarm: what people are told beside its state, each with what to do about it."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from ombak.alarms.definition import Definition, ExpressionAlarm, MetricAlarm
from ombak.alarms.resolve import Broken, Resolution
from ombak.alarms.verdict import Verdict
from ombak.core.report import UNAMBIGUOUS

EVALUABLE, RESOLVED, ACYCLIC = "Evaluable", "ChildrenResolved", "AcyclicRule"
SOUND = "QuerySound"


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """One condition without its times."""

    type: str
    status: str
    reason: str
    message: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What there is to say something about: the Alarm as understood, what it rests on, and what was found.

    `traps` is None as long as nobody has looked; `told_sound` is then what was said of it before, if anything was.
    """

    definition: Definition | Broken | None
    resolution: Resolution | None
    verdict: Verdict
    traps: tuple[str, ...] | None = ()
    told_sound: Said | None = None


def conditions_of(facts: Facts) -> tuple[Said, ...]:
    """All conditions that apply to an Alarm of its kind, in a fixed order."""
    found = [_evaluable(facts)]
    if isinstance(facts.definition, ExpressionAlarm):
        found += _about_expression(facts.definition, facts.resolution)
    if isinstance(facts.definition, MetricAlarm):
        now = _check(SOUND, "NoTrapFound", "Trap", (*facts.definition.traps, *(facts.traps or ())))
        found.append(facts.told_sound if facts.traps is None and facts.told_sound is not None else now)
    return tuple(found)


def told(kind: str, conditions: Iterable[Mapping[str, Any]]) -> Said | None:
    """What conditions in a status say of this kind."""
    found = next((each for each in conditions if each.get("type") == kind), None)
    if found is None:
        return None
    status, reason, message = (str(found.get(name) or "") for name in ("status", "reason", "message"))
    return Said(kind, status, reason, message)


def is_template(definition: Definition | Broken | None) -> bool:
    """Whether the Alarm means something only for a Rollout that names it."""
    return isinstance(definition, MetricAlarm) and not definition.is_context_free


def _evaluable(facts: Facts) -> Said:
    definition, verdict = facts.definition, facts.verdict
    if isinstance(definition, Broken):
        return Said(EVALUABLE, "False", "Invalid", definition.why)
    if is_template(definition):
        why = "its query is a template: it is evaluated for every Rollout that names it, and has no state of its own"
        return Said(EVALUABLE, "Unknown", "Template", why)
    if not verdict.is_unknown:
        return Said(EVALUABLE, "True", "Evaluated")
    reason = "NeverEvaluated" if verdict.evaluated_at is None else "NotCertain"
    return Said(EVALUABLE, "False", reason, "; ".join(verdict.unknown) or verdict.message)


def _about_expression(definition: ExpressionAlarm, resolution: Resolution | None) -> list[Said]:
    gone = resolution.unresolved if resolution is not None else ()
    cyclic = tuple(map(str, resolution.cyclic)) if resolution is not None else ()
    advice = (f"{', '.join(cyclic)} name themselves through each other: take one reference out",) if cyclic else ()
    return [
        _check(RESOLVED, "AllFound", "Missing", gone),
        _check(ACYCLIC, "NoCycle", "Cycle", advice),
        _check(UNAMBIGUOUS, "Clear", "MixedOperators", definition.warnings),
    ]


def _check(kind: str, fine: str, not_fine: str, problems: Iterable[str]) -> Said:
    text = "; ".join(problems)
    return Said(kind, "False", not_fine, text) if text else Said(kind, "True", fine)
