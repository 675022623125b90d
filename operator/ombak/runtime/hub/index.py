"""Which Pipelines a change concerns, without looking at all of them: a hub may have thousands."""

from collections import defaultdict
from collections.abc import Hashable
from typing import TypeVar

from ombak.runtime.store import Key

P = TypeVar("P", bound=Hashable)


class PipelineIndex:
    """Pipelines by name, and by what they extend."""

    def __init__(self) -> None:
        self._bases: dict[Key, str] = {}
        self._by_name: defaultdict[str, set[Key]] = defaultdict(set)
        self._children: defaultdict[Key, set[Key]] = defaultdict(set)
        """By the base, which need not exist."""

    def put(self, key: Key, base: str | None) -> None:
        """Take in a Pipeline and the name of what it extends, empty for nothing; None: it is gone."""
        before = self._bases.pop(key, None)
        if before:
            _discard(self._children, (key[0], before), key)
        if base is None:
            _discard(self._by_name, key[1], key)
            return
        self._bases[key] = base
        self._by_name[key[1]].add(key)
        if base:
            self._children[key[0], base].add(key)

    def named(self, name: str) -> list[Key]:
        """Return the Pipelines of a name, whatever their namespace, in order."""
        return sorted(self._by_name.get(name, ()))

    def heirs(self, key: Key) -> list[Key]:
        """Return all that extend a Pipeline, over any depth, in order; it need not exist."""
        found: set[Key] = set()
        following = [key]
        while following:
            fresh = self._children.get(following.pop(), set()) - found
            found |= fresh
            following += fresh
        return sorted(found - {key})


class AlarmIndex:
    """Which Pipelines asked for which Alarms when they were looked at last, whatever the region."""

    def __init__(self) -> None:
        self._asked: dict[Key, frozenset[Key]] = {}
        self._by_alarm: defaultdict[Key, set[Key]] = defaultdict(set)

    def put(self, pipeline: Key, alarms: frozenset[Key]) -> None:
        """Take in all that a Pipeline asks for; none when it is gone."""
        before = self._asked.pop(pipeline, frozenset())
        for alarm in before - alarms:
            _discard(self._by_alarm, alarm, pipeline)
        for alarm in alarms - before:
            self._by_alarm[alarm].add(pipeline)
        if alarms:
            self._asked[pipeline] = alarms

    def asking(self, alarm: Key) -> list[Key]:
        """Return the Pipelines that asked for an Alarm of this namespace and name, in order."""
        return sorted(self._by_alarm.get(alarm, ()))


def _discard(index: dict[P, set[Key]], place: P, key: Key) -> None:
    found = index.get(place, set())
    found.discard(key)
    if not found:
        index.pop(place, None)
