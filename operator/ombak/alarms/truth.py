"""Three-valued truth of an alarm expression (alarms-and-judge.md B4.2).

`state` is what AWS says: two values, a predicate over something unknown is false. `certainty` is Certain only
if every way in which the unknown could turn out gives that same state; this removes AWS's fail-open.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ombak.alarms.syntax import And, AtLeast, Constant, Expression, Is, Not, Or, Ref, occurrences, references
from ombak.api.health import Certainty, State

_BUDGET = 500
"""Partial evaluations spent on proving that it does not matter how several unknown children turn out."""

World: TypeAlias = frozenset[State]
"""One way in which a child can be: the states whose predicate holds for it."""

_OK: World = frozenset({State.OK})
_ALARM: World = frozenset({State.ALARM})
_INSUFFICIENT: World = frozenset({State.INSUFFICIENT_DATA})


@dataclasses.dataclass(frozen=True, slots=True)
class Child:
    """What is known about one alarm that an expression names.

    `reading` is what AWS's two-valued rule sees, `possible` every way in which it could turn out; `why` says
    why it is not known, and is empty if it is.
    """

    reading: World
    possible: tuple[World, ...]
    why: str = ""

    @property
    def is_known(self) -> bool:
        """Whether there is only one way in which it can be."""
        return self.possible == (self.reading,)


def known(state: State) -> Child:
    """A child that was evaluated just now; without enough data, only that much is known about it.

    To ALARM() and OK() a child in INSUFFICIENT_DATA is unknown: it is well or it is not, nobody can say.
    """
    if state is State.INSUFFICIENT_DATA:
        ways = (_INSUFFICIENT | _OK, _INSUFFICIENT | _ALARM)
        return Child(_INSUFFICIENT, ways, "has not enough data")
    return Child(frozenset({state}), (frozenset({state}),))


def uncertain(state: State, why: str) -> Child:
    """A child in `state` by AWS's rule, which could turn out otherwise."""
    reading = frozenset({state})
    return Child(reading, tuple(dict.fromkeys((reading, _OK, _ALARM))), why)


def unknown(why: str) -> Child:
    """A child that is missing, stale, part of a cycle, or was never evaluated: anything is possible."""
    return Child(frozenset(), (_OK, _ALARM, _INSUFFICIENT), why)


@dataclasses.dataclass(frozen=True, slots=True)
class Truth:
    """The value of an expression.

    `contributors` are the children in ALARM that made it ALARM (none otherwise), `unknown` all unknown ones. `causes`
    are the children, in whatever state, by a predicate of which it is ALARM for sure.
    """

    state: State
    certainty: Certainty
    contributors: tuple[Ref, ...] = ()
    unknown: tuple[Ref, ...] = ()
    causes: tuple[Ref, ...] = ()


def evaluate(expression: Expression, children: Mapping[Ref, Child]) -> Truth:
    """The truth of the expression; a child that is not in the mapping is unknown."""
    refs = references(expression)
    all_children = {ref: children.get(ref) or unknown("is not known") for ref in refs}
    reading = _readings(all_children)
    value = _range(expression, reading)[0]
    open_refs = tuple(ref for ref in refs if not all_children[ref].is_known)
    certain = not open_refs or _is_always(value, expression, all_children, open_refs)
    return Truth(
        state=State.ALARM if value else State.OK,
        certainty=Certainty.Certain if certain else Certainty.Uncertain,
        contributors=_contributors(expression, reading) if value else (),
        unknown=open_refs,
        causes=_causes(expression, reading, all_children) if value else (),
    )


Possible: TypeAlias = Mapping[Ref, Sequence[World]]
"""For every child, the ways in which it can be."""


def _readings(children: Mapping[Ref, Child]) -> Possible:
    return {ref: (child.reading,) for ref, child in children.items()}


def _range(expression: Expression, possible: Possible) -> tuple[bool, bool]:
    """(it is true however they turn out, it may be true), as if no two predicates were about the same child.

    That is exact where each undecided child is named once, and errs on the side of `not sure` elsewhere.
    """
    match expression:
        case Constant(value):
            return value, value
        case Is(state, ref):
            return _range_of_predicate(possible[ref], state, negated=False)
        case AtLeast():
            each = [_range_of_predicate(possible[r], expression.state, expression.negated) for r in expression.refs]
            low, high = sum(always for always, _ in each), sum(maybe for _, maybe in each)
            return expression.is_met_by(low), expression.is_met_by(high)
        case Not(operand):
            always, maybe = _range(operand, possible)
            return not maybe, not always
        case And(operands):
            ranges = [_range(operand, possible) for operand in operands]
            return all(always for always, _ in ranges), all(maybe for _, maybe in ranges)
        case Or(operands):
            ranges = [_range(operand, possible) for operand in operands]
            return any(always for always, _ in ranges), any(maybe for _, maybe in ranges)


def _range_of_predicate(worlds: Sequence[World], state: State, negated: bool) -> tuple[bool, bool]:
    values = {(state in world) is not negated for world in worlds}
    return False not in values, True in values


def _is_always(value: bool, expression: Expression, children: Mapping[Ref, Child], open_refs: Sequence[Ref]) -> bool:
    """Whether the expression has this value however the open children turn out.

    Children that are named once need no trial (`_range` is exact for them); those named more often are tried
    one after the other, only as long as the rest is undecided. An expression made to need more than the
    budget gets `not sure`, which holds and never acts.
    """
    named = occurrences(expression)
    to_try = [ref for ref in open_refs if named[ref] > 1]
    pending = [(0, {ref: child.possible for ref, child in children.items()})]
    for _ in range(_BUDGET):
        if not pending:
            return True
        tried, possible = pending.pop()
        always, maybe = _range(expression, possible)
        if always == maybe == value:
            continue
        if always == maybe or tried == len(to_try):
            return False
        ref = to_try[tried]
        pending.extend((tried + 1, {**possible, ref: (world,)}) for world in children[ref].possible)
    return False


def _contributors(expression: Expression, reading: Possible) -> tuple[Ref, ...]:
    """The children in ALARM that take part in making the expression true, in the order they appear."""
    part = {ref for ref, _ in _explain(expression, reading, value=True)}
    return tuple(ref for ref in references(expression) if ref in part and State.ALARM in reading[ref][0])


def _causes(expression: Expression, reading: Possible, children: Mapping[Ref, Child]) -> tuple[Ref, ...]:
    """The children a predicate of which takes part in making the expression true, and is decided."""
    part = {
        ref
        for ref, state in _explain(expression, reading, value=True)
        if len({state in world for world in children[ref].possible}) == 1
    }
    return tuple(ref for ref in references(expression) if ref in part)


def _explain(expression: Expression, reading: Possible, value: bool) -> frozenset[tuple[Ref, State]]:
    """The children because of which the expression has this value (which it must have), and what it asks of them."""
    match expression:
        case Constant():
            return frozenset()
        case Is(state, ref):
            return frozenset({(ref, state)})
        case AtLeast(state=state, negated=negated, refs=refs):
            wanted = value is not negated
            return frozenset((ref, state) for ref in refs if (state in reading[ref][0]) is wanted)
        case Not(operand):
            return _explain(operand, reading, not value)
        case And(operands) | Or(operands):
            has_it = [operand for operand in operands if _range(operand, reading)[0] is value]
            return frozenset().union(*(_explain(operand, reading, value) for operand in has_it))
