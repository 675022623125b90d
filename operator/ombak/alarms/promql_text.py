"""Reads PromQL; raw strings are written with escapes before, for the parser reads escapes inside backticks too.

Prometheus takes everything between backticks as it stands, and so a backslash there is one.
"""

import re
from typing import Any

import promql_parser as promql

_LITERAL = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|#[^\n]*|`([^`]*)`')
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})


def parse_query(query: str) -> Any:
    """The root of a query without variables; raises ValueError for what is not valid PromQL."""
    return promql.parse(_LITERAL.sub(_without_backticks, query) if "`" in query else query)


def _without_backticks(literal: re.Match[str]) -> str:
    raw: str | None = literal.group(1)
    return literal.group() if raw is None else f'"{raw.translate(_ESCAPES)}"'
