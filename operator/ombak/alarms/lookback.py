"""How far back a query reads, and whether it is a query at all (with a real PromQL parser)."""

import dataclasses
import functools
import itertools
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import promql_parser as promql

from ombak.alarms import template
from ombak.alarms.errors import QuerySyntaxError
from ombak.alarms.promql_text import parse_query
from ombak.api.duration import LONGEST, format_duration

_NONE = timedelta(0)
_ABSURD = 2 * LONGEST
"""More counts as this: a few thousand of them, as deep as a query can be, are still a timedelta."""
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|`[^`]*`|#[^\n]*|[\w:.]+|\s+|.')
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_NEARBY = 3
_USUAL = 300
MAX_TOKENS = 1000
"""Names, numbers, texts, operators and brackets of one query: the parser's time grows with their square."""


@dataclasses.dataclass(frozen=True, slots=True)
class QueryFacts:
    """What is known of a query from its text alone.

    `lookback` is the longest time before the moment of evaluation that it reads: ranges, subqueries and
    offsets, added up where they are inside each other. A plain selector reads the moment itself.
    """

    lookback: timedelta
    longest: timedelta = _NONE
    """The longest single range or offset, back or ahead."""


@dataclasses.dataclass(frozen=True, slots=True)
class Read:
    """What one selector reads for a moment: a window (0: the last sample) that ends `offset` before it.

    Ranges of subqueries around it are in the window, for it is enough if there is something at any of their moments.
    """

    offset: timedelta
    window: timedelta


def check_query(query: str) -> QueryFacts:
    """The facts of a query or query template.

    Raises QuerySyntaxError with the position for what is not valid PromQL or cannot be asked over time, or reads
    further than any Prometheus keeps its data, and TemplateError for an unknown variable.
    """
    facts = _facts(query)
    if max(facts.lookback, facts.longest) > LONGEST:
        most = format_duration(LONGEST)
        raise QuerySyntaxError(query, 0, f"the query reads more than {most}; write shorter ranges and offsets")
    return facts


@functools.lru_cache(maxsize=4096)
def _facts(query: str) -> QueryFacts:
    neutral = template.render_neutral(query)
    _refuse_too_long(query, neutral)
    try:
        expression = parse_query(neutral)
    except ValueError as error:
        raise _syntax_error(query, neutral, str(error)) from None
    _refuse_at_modifier(query, neutral)
    while isinstance(expression, promql.ParenExpr):
        expression = expression.expr
    if isinstance(expression, promql.MatrixSelector | promql.SubqueryExpr):
        problem = "the query gives a range of values; wrap it in a function such as rate() or max_over_time()"
        raise QuerySyntaxError(query, 0, problem)
    if isinstance(expression, promql.StringLiteral):
        raise QuerySyntaxError(query, 0, "the query is a text; it has to give numbers")
    return QueryFacts(*_extent(expression))


def lookback(rendered: str) -> timedelta:
    """The longest time that a query without variables reads back, up to ten years; raises QuerySyntaxError."""
    return min(_facts(rendered).lookback, LONGEST)


@functools.lru_cache(maxsize=4096)
def reads(rendered: str) -> tuple[Read, ...]:
    """What each selector of a query without variables reads, the same only once; the query has to be valid."""
    found: dict[Read, None] = {}
    pending = [(parse_query(rendered), Read(_NONE, _NONE))]
    while pending:
        node, around = pending.pop()
        if isinstance(node, promql.VectorSelector):
            found[_within(node, around)] = None
        pending.extend((child, _within(node, around)) for child in children(node))
    return tuple(found)


def _within(node: Any, around: Read) -> Read:
    range_, offset = (_length(node, name) for name in ("range", "offset"))
    return Read(min(around.offset + offset, LONGEST), min(around.window + range_, LONGEST))


def _extent(root: Any) -> tuple[timedelta, timedelta]:
    """Walks over the query with a stack of its own, as deep as it may be; gives both facts."""
    longest = single = _NONE
    pending = [(root, _NONE)]
    while pending:
        node, before = pending.pop()
        range_, offset = (_length(node, name) for name in ("range", "offset"))
        single = max(single, range_, abs(offset))
        back = before + range_ + offset
        if isinstance(node, promql.VectorSelector):
            longest = max(longest, back)
        pending.extend((child, back) for child in children(node))
    return longest, single


def _length(node: Any, name: str) -> timedelta:
    try:
        length: timedelta | None = getattr(node, name, None)
    except (ValueError, OverflowError):  # longer than a timedelta holds, forwards or backwards
        return _ABSURD
    return max(-_ABSURD, min(_ABSURD, length or _NONE))


def children(node: Any) -> Sequence[Any]:
    """The parts of which a node of a query is made, in the order in which they are written."""
    match node:
        case promql.MatrixSelector():
            return (node.vector_selector,)
        case promql.BinaryExpr():
            return (node.lhs, node.rhs)
        case promql.AggregateExpr():
            return (node.expr,) if node.param is None else (node.expr, node.param)
        case promql.Call():
            return tuple(node.args)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return (node.expr,)
        case _:
            return ()


def _refuse_too_long(query: str, neutral: str) -> None:
    tokens = (token for token in _TOKEN.finditer(neutral) if not token.group().isspace())
    last = next(itertools.islice(tokens, MAX_TOKENS, None), None)
    if last is not None:
        problem = (
            f"the query has more than {MAX_TOKENS} names, operators and brackets; "
            "record parts of it by a rule, or make several alarms and join them by an expression"
        )
        raise QuerySyntaxError(query, _position_in_template(query, last.start()), problem, last.group()[:40])


def _refuse_at_modifier(query: str, neutral: str) -> None:
    for token in _TOKEN.finditer(neutral):
        if token.group() == "@":
            problem = "@ asks about a fixed moment, which says nothing about now; leave it out"
            raise QuerySyntaxError(query, _position_in_template(query, token.start()), problem, "@")


def _syntax_error(query: str, neutral: str, reason: str) -> QuerySyntaxError:
    """The parser gives no position, so it is searched: the end of what can be read as a query."""
    tokens = [match for match in _TOKEN.finditer(neutral) if not match.group().isspace()]
    stray = _stray_bracket(tokens)
    readable = _longest_readable(neutral, tokens) if stray is None else stray
    start = tokens[readable].start() if readable < len(tokens) else len(neutral)
    found = tokens[readable].group() if readable < len(tokens) else "end of text"
    problem = f"the query cannot be read from {found[:40]!r} on: {reason}"
    return QuerySyntaxError(query, _position_in_template(query, start), problem, found)


def _longest_readable(text: str, tokens: Sequence[re.Match[str]]) -> int:
    """How many tokens from the start make a query, once their brackets are closed.

    The longest such beginning for a query of usual size; for a huge one a long one, found by halving.
    """
    low, high = 0, len(tokens)
    if high <= _USUAL:
        return next((count for count in range(high, 0, -1) if _is_readable(text, tokens[:count])), 0)
    while low < high:
        middle = (low + high + 1) // 2
        window = range(min(high, middle + _NEARBY), max(low, middle - _NEARBY), -1)
        best = next((count for count in window if _is_readable(text, tokens[:count])), None)
        if best is None:
            high = max(low, middle - _NEARBY)
        elif best < middle:
            return best
        else:
            low = best
    return low


def _stray_bracket(tokens: Sequence[re.Match[str]]) -> int | None:
    """The first closing bracket that closes nothing, or the wrong one."""
    still_open: list[str] = []
    for index, token in enumerate(tokens):
        if token.group() in _CLOSING:
            still_open.append(_CLOSING[token.group()])
        elif token.group() in _CLOSING.values() and (not still_open or still_open.pop() != token.group()):
            return index
    return None


def _is_readable(text: str, tokens: Sequence[re.Match[str]]) -> bool:
    """Whether the tokens, whose brackets close none but their own, are a query once the open ones are closed."""
    still_open: list[str] = []
    for token in tokens:
        if token.group() in _CLOSING:
            still_open.append(_CLOSING[token.group()])
        elif token.group() in _CLOSING.values():
            still_open.pop()
    try:
        parse_query(text[: tokens[-1].end()] + "".join(reversed(still_open)))
    except ValueError:
        return False
    return True


def _position_in_template(query: str, position: int) -> int:
    """The place in the template that became `position` of the neutral text."""
    shift = 0
    for variable in template.positions(query):
        start = variable.start - shift
        if position < start:
            break
        if position < start + variable.neutral_length:
            return variable.start
        shift += variable.length - variable.neutral_length
    return position + shift
