"""What an alarm expression is made of, and how it is written back (alarms-and-judge.md B1, B4.1).

`parse(print_expression(x)) == x` holds for every expression within the limits.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import TypeAlias

from ombak.api.health import State

MAX_LENGTH = 10_240
"""Characters of an expression (CWAPI)."""
MAX_CHILDREN = 100
"""Different alarms an expression may name (CWAPI)."""
MAX_ELEMENTS = 500
"""References, TRUE, FALSE and pairs of grouping parentheses together (CWAPI)."""
MAX_DEPTH = 64
"""Parentheses and NOTs inside each other (B4.1)."""
MAX_NAME_LENGTH = 255
"""Characters of a reference (CWAPI)."""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Ref:
    """An alarm by `name`, `namespace/name` or `region/namespace/name`; a CloudWatch ARN is a name."""

    name: str
    namespace: str | None = None
    region: str | None = None

    def __str__(self) -> str:
        """As it is written between the quotation marks, unescaped."""
        return "/".join(part for part in (self.region, self.namespace, self.name) if part is not None)


@dataclasses.dataclass(frozen=True, slots=True)
class Constant:
    """TRUE or FALSE."""

    value: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Is:
    """`ALARM(ref)`, `OK(ref)` or `INSUFFICIENT_DATA(ref)`: the alarm is in that state."""

    state: State
    ref: Ref


@dataclasses.dataclass(frozen=True, slots=True)
class AtLeast:
    """`AT_LEAST(2, ALARM, (a, b, c))` or `AT_LEAST(50%, NOT OK, (a, b))`: so many are (not) in the state."""

    amount: int
    percent: bool
    negated: bool
    state: State
    refs: tuple[Ref, ...]

    def is_met_by(self, count: int) -> bool:
        """Whether `count` of them are enough; percentages are not rounded (B4.1)."""
        return count * 100 >= self.amount * len(self.refs) if self.percent else count >= self.amount


@dataclasses.dataclass(frozen=True, slots=True)
class Not:
    """The opposite of its operand."""

    operand: "Expression"


@dataclasses.dataclass(frozen=True, slots=True)
class And:
    """All of two or more operands."""

    operands: tuple["Expression", ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Or:
    """Any of two or more operands."""

    operands: tuple["Expression", ...]


Expression: TypeAlias = Constant | Is | AtLeast | Not | And | Or


def print_expression(expression: Expression) -> str:
    """The canonical form: upper-case keywords, quoted references, only the parentheses it needs.

    It needs them around AND inside OR too: so nobody has to know which binds stronger. Only where the limits of the
    language leave no room for these they are left out.
    """
    text = _print(expression, clear=True)
    depth, elements = _extent(expression)
    fits = len(text) <= MAX_LENGTH and depth <= MAX_DEPTH and elements <= MAX_ELEMENTS
    return text if fits else _print(expression, clear=False)


def _print(expression: Expression, *, clear: bool) -> str:
    match expression:
        case Constant(value):
            return "TRUE" if value else "FALSE"
        case Is(state, ref):
            return f"{state}({_quote(ref)})"
        case AtLeast():
            return _print_at_least(expression)
        case Not(operand):
            return f"NOT {_print_inside(operand, (And, Or), clear)}"
        case And(operands):
            return " AND ".join(_print_inside(operand, (And, Or), clear) for operand in operands)
        case Or(operands):
            return " OR ".join(_print_inside(operand, (And, Or) if clear else (Or,), clear) for operand in operands)


def _print_inside(expression: Expression, need_parentheses: tuple[type, ...], clear: bool) -> str:
    text = _print(expression, clear=clear)
    return f"({text})" if isinstance(expression, need_parentheses) else text


def _extent(expression: Expression) -> tuple[int, int]:
    """How deep the clear form is, and of how many elements it is made."""
    match expression:
        case AtLeast(refs=refs):
            return 0, len(refs)
        case Not(operand):
            depth, elements = _extent(operand)
            is_grouped = isinstance(operand, And | Or)
            return depth + 1 + is_grouped, elements + is_grouped
        case And(operands) | Or(operands):
            inner = [(*_extent(operand), isinstance(operand, And | Or)) for operand in operands]
            return max(depth + grouped for depth, _, grouped in inner), sum(n + grouped for _, n, grouped in inner)
        case _:
            return 0, 1


def _print_at_least(expression: AtLeast) -> str:
    amount = f"{expression.amount}%" if expression.percent else str(expression.amount)
    condition = f"NOT {expression.state}" if expression.negated else str(expression.state)
    return f"AT_LEAST({amount}, {condition}, ({', '.join(map(_quote, expression.refs))}))"


def _quote(ref: Ref) -> str:
    escaped = str(ref).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def references(expression: Expression) -> tuple[Ref, ...]:
    """Every alarm the expression names, once, in the order of their first appearance."""
    return tuple(dict.fromkeys(_each_reference(expression)))


def occurrences(expression: Expression) -> Counter[Ref]:
    """How often the expression names each alarm."""
    return Counter(_each_reference(expression))


def _each_reference(expression: Expression) -> Iterator[Ref]:
    match expression:
        case Is(_, ref):
            yield ref
        case AtLeast():
            yield from expression.refs
        case Not(operand):
            yield from _each_reference(operand)
        case And(operands) | Or(operands):
            for operand in operands:
                yield from _each_reference(operand)


def in_region(expression: Expression, region: str | None) -> Expression:
    """The expression without the name of this region before its own alarms; those of other regions keep theirs."""

    def local(ref: Ref) -> Ref:
        return dataclasses.replace(ref, region=None) if ref.region == region else ref

    match expression:
        case Is(state, ref):
            return Is(state, local(ref))
        case AtLeast():
            return dataclasses.replace(expression, refs=tuple(map(local, expression.refs)))
        case Not(operand):
            return Not(in_region(operand, region))
        case And(operands):
            return And(tuple(in_region(operand, region) for operand in operands))
        case Or(operands):
            return Or(tuple(in_region(operand, region) for operand in operands))
        case _:
            return expression
