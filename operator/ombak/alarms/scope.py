"""Queries narrowed to the boxes of one Rollout, in the parsed query and not in its text."""

import re
from datetime import timedelta
from typing import Any

import promql_parser as promql

from ombak.alarms import lookback, template
from ombak.alarms.errors import QuerySyntaxError
from ombak.alarms.promql_text import parse_query

_PLAIN_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})

Condition = tuple[str, str, str]
"""Label, operator, value."""


def conditions(namespace: str, pods: str) -> tuple[Condition, ...]:
    """What every series of these pods meets wherever pods are scraped; `pods` is a regular expression."""
    return ("namespace", "=", namespace), ("pod", "=~", pods)


def narrowed(query: str, *more: Condition) -> str:
    """A query without variables whose every selector has these conditions too, whatever it had already.

    Raises QuerySyntaxError for what is not valid PromQL or cannot be asked over time.
    """
    lookback.check_query(query)

    def narrow(node: Any) -> Any:
        return _narrow(query, node, more) if isinstance(node, promql.VectorSelector) else None

    return str(promql.transform(parse_query(query), narrow).prettify()).strip()


def check_selector(text: str) -> None:
    """Raise QuerySyntaxError unless a query template is one selector, such as `http_requests_total{code="500"}`."""
    lookback.check_query(text)
    node = parse_query(template.render_neutral(text))
    if not isinstance(node, promql.VectorSelector) or node.offset is not None:
        problem = 'it has to be one selector of a counter, such as http_requests_total{code=~"5.."}; for more use query'
        raise QuerySyntaxError(text, 0, problem)
    _refuse_or(text, node)


def _narrow(query: str, node: Any, more: tuple[Condition, ...]) -> Any:
    _refuse_or(query, node)
    own = ((each.name, _OPERATORS[str(each.op)], each.value) for each in node.matchers.matchers)
    matchers = ", ".join(_written(*each) for each in dict.fromkeys((*own, *more)))
    text = f"{node.name or ''}{{{matchers}}}{_offset(node.offset)}"
    return parse_query(text)


def _refuse_or(query: str, node: Any) -> None:
    if node.matchers.or_matchers:
        raise QuerySyntaxError(query, 0, "`or` between matchers is not known to Prometheus; write two selectors")


def _written(label: str, operator: str, value: str) -> str:
    name = label if _PLAIN_LABEL.fullmatch(label) else f'"{label.translate(_ESCAPES)}"'
    return f"{name}{operator}{quoted(value)}"


def quoted(value: str) -> str:
    """A text as PromQL writes it."""
    return f'"{value.translate(_ESCAPES)}"'


def _offset(offset: timedelta | None) -> str:
    if not offset:
        return ""
    sign = "-" if offset < timedelta(0) else ""
    return f" offset {sign}{template.promql_duration(abs(offset))}"
