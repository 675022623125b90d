"""Which questions are asked for many at once, and which are not for a while, because Prometheus refuses them.

The series of one of the many may be the reason (too many, or a mix that does not fit), and must not make all of them
unknown: then each is asked alone, and after some time together again.
"""

from typing import Any

from ombak.runtime.alarm_interest import Leaf, MetricLeaf
from ombak.runtime.alarm_queries import QueryKey, Shared, SharedQuery
from ombak.runtime.metrics_port import QueryError, QueryErrorKind

_APART = 600.0
_OF_THE_SERIES = frozenset({QueryErrorKind.BAD_QUERY, QueryErrorKind.PARTIAL})
"""What a Prometheus that is well says of the series of a question."""


class Together:
    """The questions for many that are refused, and until when (monotonic seconds) nobody asks them again."""

    def __init__(self) -> None:
        self._refused: dict[QueryKey, float] = {}

    def placed(self, leaf: Leaf) -> Leaf:
        """The leaf as it is to be asked now."""
        if isinstance(leaf, MetricLeaf) and leaf.common is not None and leaf.common.query in self._refused:
            return leaf.alone
        return leaf

    def refuse(self, query: Shared[Any, Any], error: QueryError, now: float) -> QueryKey | None:
        """Take in that a question failed; returns its key if it was for many, each of whom asks alone from now on."""
        is_for_many = isinstance(query, SharedQuery) and any(view.member for view in query.rules)
        if not isinstance(query, SharedQuery) or not is_for_many or error.kind not in _OF_THE_SERIES:
            return None
        self._refused[query.key] = now + _APART
        return query.key

    def over(self, now: float) -> list[QueryKey]:
        """The questions that are to be tried again; they count as not refused from now on."""
        found = [key for key, until in self._refused.items() if until <= now]
        for key in found:
            del self._refused[key]
        return found


def may_ask(leaf: Leaf, key: QueryKey) -> bool:
    """Whether a leaf can be asked by this question for many."""
    return isinstance(leaf, MetricLeaf) and leaf.common is not None and leaf.common.query == key
