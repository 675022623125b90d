"""Keeps a query to the series of one region: every selector gets matchers, and nothing else is different (R93).

One Thanos or Mimir may serve many regions; a selector without its region would judge one by the boxes of another.
The query is read by a PromQL parser, printed again with the matchers, and what was printed is read once more: if that
is not the same query but for the matchers, it is refused. (The parser's own printer loses escapes and the colon of a
subquery.)
"""

import functools
import re
from collections.abc import Hashable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import promql_parser as promql

from ombak.alarms.errors import QuerySyntaxError
from ombak.alarms.lookback import children
from ombak.alarms.promql_text import parse_query

Matchers = tuple[tuple[str, str], ...]
"""Labels and the values that they must have, in a fixed order."""

_PLAIN_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PLAIN_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_MATCHES = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_MILLISECOND = timedelta(milliseconds=1)
_Group = tuple[tuple[str, str, str], ...]


@functools.lru_cache(maxsize=4096)
def enforce(query: str, matchers: Matchers) -> str:
    """The query with these matchers in every selector; a query without variables, else it cannot be read.

    A selector that asks for another value of such a label keeps that too, and so finds nothing. Raises
    QuerySyntaxError for what is no PromQL, has `@`, or cannot be rewritten without doubt.
    """
    if not matchers:
        return query
    try:
        root = parse_query(query)
        text = _printed(root, matchers)
        again = parse_query(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _refusal(query, reason) from None
    if list(_facts(again, ())) != list(_facts(root, matchers)):
        raise _refusal(query, "it would not mean the same any more")
    return text


def selector_groups(query: str) -> list[_Group]:
    """The matchers (label, operator, value) of every selector, of each alternative where it has some."""
    return [
        group
        for node in _nodes(parse_query(query))
        if isinstance(node, promql.VectorSelector)
        for group in _groups(node, ())
    ]


def _refusal(query: str, reason: str) -> QuerySyntaxError:
    return QuerySyntaxError(query, 0, f"the query cannot be kept to one region: {reason}")


def _nodes(root: Any) -> Iterator[Any]:
    """Every node, each before its parts; with a stack of its own, as deep as it may be."""
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(children(node)))


def _facts(root: Any, extra: Matchers) -> Iterator[Hashable]:
    """What each node says and of how many parts it is made: two queries with the same facts are the same."""
    for node in _nodes(root):
        yield (type(node).__name__, len(children(node)), *_own(node, extra))


def _own(node: Any, extra: Matchers) -> tuple[Hashable, ...]:
    match node:
        case promql.VectorSelector():
            return node.name, tuple(_groups(node, extra)), node.offset, node.at is None
        case promql.MatrixSelector():
            return (node.range,)
        case promql.SubqueryExpr():
            return node.range, node.step, node.offset, node.at is None
        case promql.Call():
            return (node.func.name,)
        case promql.AggregateExpr():
            return str(node.op), node.param is None, _grouping(node.modifier)
        case promql.BinaryExpr():
            return str(node.op), _matching(node.modifier)
        case promql.NumberLiteral() | promql.StringLiteral():
            return (repr(node.val),)
        case _:
            return ()


def _groups(node: Any, extra: Matchers) -> list[_Group]:
    """The alternatives of a selector, one in all of PromQL proper, each with the matchers to be added."""
    added = tuple((label, "=", value) for label, value in extra)
    groups = node.matchers.or_matchers or [node.matchers.matchers]
    return [(*((m.name, _MATCHES[str(m.op)], m.value) for m in group), *added) for group in groups]


def _grouping(modifier: Any) -> str:
    if modifier is None:
        return ""
    word = "by" if modifier.type == promql.AggModifierType.By else "without"
    return f" {word} {_labels(modifier.labels)}"


def _matching(modifier: Any) -> str:
    """What stands between the operator and the right side."""
    if modifier is None:
        return ""
    words = ["bool"] if modifier.return_bool else []
    if modifier.matching is not None:
        word = "on" if modifier.matching.type == promql.LabelModifierType.Include else "ignoring"
        words.append(f"{word} {_labels(modifier.matching.labels)}")
    sides = {"VectorMatchCardinality.ManyToOne": "group_left", "VectorMatchCardinality.OneToMany": "group_right"}
    if side := sides.get(str(modifier.card)):
        words.append(f"{side} {_labels(modifier.group_labels or ())}")
    fills = (("fill_left", modifier.fill_values.lhs), ("fill_right", modifier.fill_values.rhs))
    words += [f"{word} ({value!r})" for word, value in fills if value is not None]
    return "".join(f" {word}" for word in words)


def _printed(node: Any, extra: Matchers) -> str:
    match node:
        case promql.VectorSelector():
            return f"{_selector(node, extra)}{_offset(node)}"
        case promql.MatrixSelector():
            inner = node.vector_selector
            return f"{_selector(inner, extra)}[{_duration(node.range)}]{_offset(inner)}"
        case promql.SubqueryExpr():
            step = "" if node.step is None else _duration(node.step)
            return f"{_printed(node.expr, extra)}[{_duration(node.range)}:{step}]{_offset(node)}"
        case promql.Call():
            return f"{node.func.name}({_listed(node.args, extra)})"
        case promql.AggregateExpr():
            parts = [node.expr] if node.param is None else [node.param, node.expr]
            grouping = _grouping(node.modifier)
            return f"{node.op}{grouping}{' ' if grouping else ''}({_listed(parts, extra)})"
        case promql.BinaryExpr():
            left, right = _printed(node.lhs, extra), _printed(node.rhs, extra)
            return f"{left} {node.op}{_matching(node.modifier)} {right}"
        case promql.UnaryExpr():
            return f"-{_printed(node.expr, extra)}"
        case promql.ParenExpr():
            return f"({_printed(node.expr, extra)})"
        case promql.NumberLiteral():
            return repr(node.val)
        case promql.StringLiteral():
            return _quoted(node.val)
        case _:
            raise ValueError(f"{type(node).__name__} is unknown")


def _listed(nodes: Sequence[Any], extra: Matchers) -> str:
    return ", ".join(_printed(node, extra) for node in nodes)


def _selector(node: Any, extra: Matchers) -> str:
    name = node.name or ""
    if name and _PLAIN_NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is an unusual name")
    groups = (", ".join(f"{_label(m[0])}{m[1]}{_quoted(m[2])}" for m in group) for group in _groups(node, extra))
    return f"{name}{{{' or '.join(groups)}}}"


def _offset(node: Any) -> str:
    if node.at is not None:
        raise ValueError("@ asks about a fixed moment")
    if node.offset is None:
        return ""
    sign = "-" if node.offset < timedelta(0) else ""
    return f" offset {sign}{_duration(abs(node.offset))}"


def _duration(length: timedelta | None) -> str:
    if length is None:
        raise ValueError("a subquery without a range")
    milliseconds = length // _MILLISECOND
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"


def _labels(names: Sequence[str]) -> str:
    return f"({', '.join(map(_label, names))})"


def _label(name: str) -> str:
    return name if _PLAIN_LABEL.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'
