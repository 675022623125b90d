"""Which team alarms guard which Rollouts: `guards` of an Alarm, and the team that a namespace belongs to.

An Alarm guards in its own namespace, and in namespaces whose `ombak.dev/team` label equals its own namespace's.
Who may label a namespace decides who is of the team: nobody can revert strangers by writing an Alarm.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ombak.api.common import GROUP
from ombak.core.snapshot import RolloutView
from ombak.runtime.kube_port import mapping, metadata
from ombak.runtime.store import Key

TEAM = f"{GROUP}/team"


@dataclass(frozen=True, slots=True)
class NamespaceRecord:
    """What is kept of a namespace; an empty team is none."""

    team: str


def decode_namespace(obj: Mapping[str, Any]) -> NamespaceRecord:
    """Read a namespace."""
    return NamespaceRecord(str(mapping(metadata(obj).get("labels")).get(TEAM) or ""))


class Guards:
    """The selectors of all guarding Alarms, and the teams. To be used from one event loop only."""

    def __init__(self) -> None:
        self._selectors: defaultdict[str, dict[str, Mapping[str, str]]] = defaultdict(dict)
        self._teams: dict[str, str] = {}
        self._members: defaultdict[str, set[str]] = defaultdict(set)

    def set_alarm(self, key: Key, selector: Mapping[str, str] | None) -> frozenset[str]:
        """Take in what an Alarm guards, None for nothing; returns the namespaces in which that is news."""
        namespace, name = key
        if self._selectors.get(namespace, {}).get(name) == selector:
            return frozenset()
        if selector is None:
            del self._selectors[namespace][name]
            if not self._selectors[namespace]:
                del self._selectors[namespace]
        else:
            self._selectors[namespace][name] = dict(selector)
        return self._reach(namespace)

    def set_team(self, namespace: str, team: str) -> frozenset[str]:
        """Take in the team of a namespace, empty for none; returns the namespaces in which that is news."""
        before = self._teams.get(namespace, "")
        if before == team:
            return frozenset()
        touched = self._reach(namespace)
        if before:
            self._members[before].discard(namespace)
            if not self._members[before]:
                del self._members[before]
            del self._teams[namespace]
        if team:
            self._teams[namespace] = team
            self._members[team].add(namespace)
        return touched | self._reach(namespace)

    def guarding(self, rollout: RolloutView) -> tuple[Key, ...]:
        """The Alarms that guard a Rollout, in order of their keys."""
        return tuple(
            (namespace, name)
            for namespace in sorted(self._reach(rollout.namespace) & self._selectors.keys())
            for name, selector in sorted(self._selectors[namespace].items())
            if _matches(selector, rollout.labels)
        )

    def _reach(self, namespace: str) -> frozenset[str]:
        """The namespace and those of its team."""
        team = self._teams.get(namespace, "")
        return frozenset({namespace, *(self._members[team] if team else ())})


def _matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return selector.items() <= labels.items()


def within(keys: Iterable[Key], namespaces: frozenset[str]) -> list[Key]:
    """The keys that lie in these namespaces."""
    return [key for key in keys if key[0] in namespaces] if namespaces else []
