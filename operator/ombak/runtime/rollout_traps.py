"""Traps in the queries of a Rollout: in its signals, and in Alarms that mean something only for it.

Advice for people: no verdict waits for it, and no decision reads it. What is asked for many is looked into once.
"""

from collections.abc import Iterable

from ombak.core.snapshot import Traps
from ombak.runtime.alarm_interest import MetricLeaf
from ombak.runtime.alarm_queries import QueryKey
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.alarm_traps import TrapInspector
from ombak.runtime.store import Key


class RolloutTraps:
    """What is known of the queries of Rollouts; whoever asked first hears when it is found out."""

    def __init__(self, service: AlarmService, inspector: TrapInspector) -> None:
        self._service = service
        self._inspector = inspector

    def found(self, key: Key) -> Traps:
        """Return what was found for a Rollout. Of values that no series has nobody is told: they may come."""
        problems: dict[str, str] = {}
        is_open = False
        queries = dict.fromkeys(self._queries(key))
        self._inspector.keep_only(key, {(query.endpoint, query.text, False) for _, query in queries})
        for name, query in queries:
            findings = self._inspector.known(key, query.endpoint, query.text, is_empty=False)
            is_open = is_open or findings is None
            for problem in findings.problems if findings is not None else ():
                problems.setdefault(problem, name)
        return Traps(tuple(f"{name}: {problem}" for problem, name in problems.items()), is_open)

    def forget(self, key: Key) -> None:
        """The Rollout is gone, or rests on nothing any more."""
        self._inspector.forget(key)

    def _queries(self, key: Key) -> Iterable[tuple[str, QueryKey]]:
        for alarm, leaf in self._service.leaves_of(key):
            for part in leaf.parts:
                if isinstance(part, MetricLeaf):
                    yield alarm.seen_from(key[0]), part.asked
