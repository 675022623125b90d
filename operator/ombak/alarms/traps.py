"""Traps of PromQL in a query that is valid, and does not say what its author means (issue 4)."""

import dataclasses
import functools
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import promql_parser as promql

from ombak.alarms import template
from ombak.alarms.lookback import children
from ombak.alarms.promql_text import parse_query
from ombak.api.alarm import TreatMissingData
from ombak.api.duration import format_duration

_COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
_OPERATORS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}
_ALWAYS_THERE = frozenset({"vector", "scalar", "time"})
_ABSENT = frozenset({"absent", "absent_over_time"})
_WINDOW_SCRAPES = 4
_WHOSE = frozenset({"namespace", "pod"})
_DEEPEST = 50
"""Levels of a query that are searched for a comparison; nobody writes more by hand."""


@dataclasses.dataclass(frozen=True, slots=True)
class Matcher:
    """One condition of a selector on a label."""

    label: str
    operator: str
    value: str

    def __str__(self) -> str:
        """The matcher as PromQL writes it."""
        value = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.label}{self.operator}"{value}"'

    @property
    def needs_label(self) -> bool:
        """Whether a series without that label cannot meet it."""
        if self.operator == "=":
            return bool(self.value)
        return self.operator == "=~" and not _may_be_empty(self.value)


def _may_be_empty(pattern: str) -> bool:
    try:
        return re.fullmatch(pattern, "") is not None
    except re.error:  # RE2 takes some that Python does not
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class Selector:
    """The series that a part of a query reads, and over which range (None: the moment itself)."""

    name: str
    matchers: tuple[Matcher, ...]
    range: timedelta | None = None
    may_be_absent: bool = False
    """The query asks whether they are there."""

    @property
    def whose(self) -> tuple[Matcher, ...]:
        """The conditions that say whose series they are."""
        return tuple(matcher for matcher in self.matchers if matcher.label in _WHOSE)

    def __str__(self) -> str:
        """The selector as PromQL writes it, without range and offset."""
        if not self.matchers:
            return self.name
        return f"{self.name}{{{', '.join(map(str, self.matchers))}}}"

    def only(self, *matchers: Matcher) -> "Selector":
        """The same metric with these conditions alone."""
        return dataclasses.replace(self, matchers=matchers)


def find_traps(query: str, missing: TreatMissingData = TreatMissingData.MISSING) -> tuple[str, ...]:
    """Sentences about what the text alone gives away, each with the fix; the query has to be valid."""
    culprit = _filtering(parse_query(template.render_neutral(query)))
    if culprit is None:
        return ()
    if isinstance(culprit, promql.Call):
        return () if missing is TreatMissingData.NOT_BREACHING else (_about_absent(culprit.func.name),)
    shown, fix = _about_comparison(culprit)
    if missing is TreatMissingData.NOT_BREACHING:
        return (f"{shown}; with treatMissingData: notBreaching a metric that is gone looks well too: {fix}",)
    return (f"{shown}, and an empty answer is unknown: {fix}",)


def _about_comparison(node: Any) -> tuple[str, str]:
    return (
        f"the comparison {node.op} drops every series that is well, so the query is empty when all is well",
        f"leave it out and write it as comparison and threshold, or write `{node.op} bool`, "
        "which gives 0 when all is well",
    )


def _about_absent(name: str) -> str:
    return (
        f"{name}() gives nothing while there are series, so the query is empty when all is well, and an empty "
        f"answer is unknown: write `{name}(...) or vector(0)`, or treatMissingData: notBreaching"
    )


def _filtering(node: Any, depth: int = _DEEPEST) -> Any:
    """The comparison or `absent()` because of which the whole query can be empty though all is well; None if none."""
    while isinstance(node, _WRAPPERS):
        node = node.expr
    if isinstance(node, promql.Call):
        return _filtering_call(node, depth)
    if not isinstance(node, promql.BinaryExpr) or not depth:
        return None
    sign = str(node.op)
    if sign in _COMPARISONS and (node.modifier is None or not node.modifier.return_bool):
        return node
    left, right = _filtering(node.lhs, depth - 1), _filtering(node.rhs, depth - 1)
    if sign == "or":
        return left if left is not None and right is not None else None
    # On the right of arithmetic a comparison often guards: `errors / (total > 0)`; not beside a mere number.
    counts_right = sign == "and" or isinstance(node.lhs, promql.NumberLiteral)
    return left if left is not None or not counts_right else right


_WRAPPERS = promql.ParenExpr | promql.UnaryExpr | promql.AggregateExpr | promql.SubqueryExpr


def _filtering_call(node: Any, depth: int) -> Any:
    if node.func.name in _ABSENT:
        return node
    if node.func.name in _ALWAYS_THERE or not depth:
        return None
    return next(filter(None, (_filtering(each, depth - 1) for each in node.args)), None)


@functools.lru_cache(maxsize=4096)
def selectors(rendered: str) -> tuple[Selector, ...]:
    """Every selector of a valid query without variables, each once."""
    return tuple(dict.fromkeys(_selectors(parse_query(rendered))))


def _selectors(root: Any) -> Iterator[Selector]:
    pending: list[tuple[Any, timedelta | None, bool]] = [(root, None, False)]
    while pending:
        node, window, is_asked = pending.pop()
        if isinstance(node, promql.VectorSelector):
            yield _selector(node, window, is_asked)
        inner = node.range if isinstance(node, promql.MatrixSelector) else None
        is_asked = is_asked or (isinstance(node, promql.Call) and node.func.name in _ABSENT)
        pending.extend((child, inner, is_asked) for child in reversed(children(node)))


def _selector(node: Any, window: timedelta | None, may_be_absent: bool) -> Selector:
    matchers = tuple(Matcher(m.name, _OPERATORS[str(m.op)], m.value) for m in node.matchers.matchers)
    return Selector(node.name or "", matchers, window, may_be_absent)


def short_window(selector: Selector, scrape: timedelta) -> str:
    """The sentence about a range that cannot hold two scrapes, empty if it can."""
    if selector.range is None or selector.range >= 2 * scrape:
        return ""
    read, every, fix = map(format_duration, (selector.range, scrape, _WINDOW_SCRAPES * scrape))
    return (
        f"{selector}[{read}] reads {read}, but there is a sample every {every} only: two are needed for a rate; "
        f"write [{fix}] (four scrapes), or the metric is unknown most of the time"
    )


def no_such_name(selector: Selector) -> str:
    """The sentence about a name that no series has, though the query may have an answer without it."""
    return (
        f"there is no series {selector.name or selector}: correct the name, or have it scraped; if it comes with the "
        "first error only, let it begin at 0, or nobody can tell the two apart"
    )


def no_such_label(selector: Selector, label: str) -> str:
    """The sentence about a label that the series of a metric do not have, whatever its value."""
    of = selector.name or selector
    return f"no series of {of} has a label {label}, so this never matches anything: correct the name of the label"


def nothing_has(selector: Selector, culprit: Matcher | None, is_named: bool) -> str:
    """The sentence about a selector that no series matches.

    `culprit` is the first condition that no series of the metric meets, None if they only never meet together;
    with `is_named` False there is no series of that name at all.
    """
    if not is_named:
        return f"there is no series {selector.name or selector}: correct the name, or have it scraped"
    if culprit is None:
        return f"no series of {selector.name} meets all of {selector} together: correct the labels"
    return (
        f"no series of {selector.name} has {culprit}: correct the label; if that is normal while all is well (no "
        f"errors yet), add `or 0 * <the total>` to that part of the query, so that none is 0"
    )
