"""From the verdicts on the children of an expression to the verdict on the expression."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timedelta

from ombak.alarms import truth
from ombak.alarms.syntax import Expression, Ref, references
from ombak.alarms.verdict import Certainty, Contributor, State, Verdict
from ombak.api.wording import clause

_SHOWN = 3
"""Children whose message is quoted; the others are counted."""


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """One child: how people call it, what is known of it, and whether it is an expression itself."""

    name: str
    verdict: Verdict
    is_expression: bool = False


def combine(
    expression: Expression,
    children: Mapping[Ref, Part],
    now: datetime,
    stale_after: timedelta | None = None,
) -> Verdict:
    """The verdict on an expression, as of `now` (aware UTC).

    A child that is not in the mapping is unknown, and so is one that was evaluated more than `stale_after`
    ago (or that long in the future: then a clock jumped). Contributors and unknown children of a child that
    is an expression itself stand in its place: they name metric alarms however deep expressions are nested.
    """
    refs = references(expression)
    known = {ref: _child(part, now, stale_after) for ref, part in children.items()}
    value = truth.evaluate(expression, known)
    used = [children[ref].verdict for ref in refs if ref in children and ref not in value.unknown]
    times = [verdict.evaluated_at for verdict in used if verdict.evaluated_at is not None]
    return Verdict(
        state=value.state,
        certainty=value.certainty,
        evaluated_at=min(times, default=now if value.certainty is Certainty.Certain else None),
        window=max((verdict.window for verdict in used), default=timedelta(0)),
        contributors=_contributors(value, children),
        unknown=_unknown(value, known, children),
        message=_message(value, known, children),
        causes=_causes(value, children),
        unclear=_unclear(value, children),
    )


def _child(part: Part, now: datetime, stale_after: timedelta | None) -> truth.Child:
    verdict = part.verdict
    if verdict.evaluated_at is None and not part.is_expression:
        why = verdict.unknown[0].partition(": ")[2] if verdict.unknown else "was never evaluated"
        return truth.unknown(why)
    if stale_after is not None and verdict.evaluated_at is not None and abs(now - verdict.evaluated_at) > stale_after:
        seconds = (now - verdict.evaluated_at).total_seconds()
        return truth.unknown(f"was last evaluated {seconds:.0f} s ago")
    if verdict.certainty is Certainty.Uncertain:
        return truth.uncertain(verdict.state, "is not certain")
    return truth.known(verdict.state)


def _contributors(value: truth.Truth, children: Mapping[Ref, Part]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for ref in value.contributors:
        part = children[ref]
        names.update(dict.fromkeys(part.verdict.contributors if part.is_expression else (part.name,)))
    return tuple(names)


def _causes(value: truth.Truth, children: Mapping[Ref, Part]) -> tuple[Contributor, ...]:
    """Down to the series of what is in ALARM; what counts in another state, as in `INSUFFICIENT_DATA(x)`, by that."""
    found: dict[Contributor, None] = {}
    for ref in value.causes:
        part = children[ref]
        own = part.verdict.causes if part.verdict.state is State.ALARM else ()
        found.update(dict.fromkeys(own or (Contributor(part.name, part.verdict.state.value),)))
    return tuple(found)


def _unclear(value: truth.Truth, children: Mapping[Ref, Part]) -> tuple[str, ...]:
    """Where the whole is uncertain, also what would be a cause if it were not; where it is OK for sure, nothing."""
    if value.state is State.OK and value.certainty is Certainty.Certain:
        return ()
    names: dict[str, None] = {}
    for ref in value.unknown:
        part = children.get(ref)
        names[str(ref) if part is None else part.name] = None
    for part in children.values():
        names.update(dict.fromkeys(part.verdict.unclear))
        if value.certainty is Certainty.Uncertain:
            names.update(dict.fromkeys(cause.alarm for cause in part.verdict.causes))
    return tuple(names)


def _unknown(value: truth.Truth, known: Mapping[Ref, truth.Child], children: Mapping[Ref, Part]) -> tuple[str, ...]:
    lines: dict[str, None] = {}
    for ref in value.unknown:
        part = children.get(ref)
        if part is None:
            lines[f"{ref}: is not known"] = None
        elif part.is_expression and part.verdict.unknown:
            lines.update(dict.fromkeys(part.verdict.unknown))
        elif part.verdict.unknown:
            lines.update(dict.fromkeys(_first(part)))
        else:
            lines[f"{part.name}: {known[ref].why}"] = None
    return tuple(lines)


def _first(part: Part) -> tuple[str, ...]:
    """The unknown series of a metric alarm; of many only some, for there may be as many as boxes."""
    shown, more = part.verdict.unknown[:_SHOWN], len(part.verdict.unknown) - _SHOWN
    return (*shown, f"{part.name}: {more} more series like this") if more > 0 else shown


def _message(value: truth.Truth, known: Mapping[Ref, truth.Child], children: Mapping[Ref, Part]) -> str:
    if value.certainty is Certainty.Uncertain:
        return f"not certain, because {_some(_unknown(value, known, children))}"
    parts = [children[ref] for ref in value.contributors or value.causes]
    if value.state is State.OK:
        parts = [part for ref, part in children.items() if ref not in value.unknown]
    messages = [part.verdict.message or part.name for part in parts]
    return _some(tuple(messages)) or f"always {value.state}"


def _some(lines: tuple[str, ...]) -> str:
    more = len(lines) - _SHOWN
    return "; ".join(map(clause, lines[:_SHOWN])) + (f"; and {more} more" if more > 0 else "")
