"""The Overrides of a cluster by what they are for, and what was found out about how each came about."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable

from ombak.api.override import TargetKind
from ombak.core.overrides.facts import NO_OVERRIDES, OverrideFacts
from ombak.core.overrides.view import OverrideView
from ombak.runtime.override_records import OverrideRecord, TargetKey, decode_override
from ombak.runtime.store import Key, Store

_Version = tuple[str, int]
"""The uid and the generation of an Override: any other one has to be looked at anew."""


class OverrideBook:
    """Keeps the store of the Overrides. To be used from one event loop only.

    Nothing is allowed before somebody has looked at the policy *after* this generation of an Override was seen:
    what was known of the policy before says nothing about how that generation came about.
    """

    def __init__(self, wake: Callable[[TargetKey], None], changed: Callable[[Key], None]) -> None:
        """`wake` looks at a target again; `changed` at an Override itself."""
        self._wake, self._changed = wake, changed
        self.store: Store[OverrideRecord] = Store(decode_override, on_event=self._seen)
        self._targets: dict[Key, TargetKey] = {}
        self._views: defaultdict[TargetKey, dict[Key, OverrideView]] = defaultdict(dict)
        self._flaws: dict[Key, tuple[_Version, str]] = {}

    def facts(self, kind: TargetKind, namespace: str, name: str) -> OverrideFacts:
        """Return the Overrides for one target. Never waits."""
        views = self._views.get((kind, namespace, name))
        return OverrideFacts(tuple(views.values())) if views else NO_OVERRIDES

    def facts_of(self, record: OverrideRecord) -> OverrideFacts:
        """Return the Overrides that have the same target."""
        return self.facts(*record.target) if record.target is not None else NO_OVERRIDES

    def view(self, key: Key) -> OverrideView | None:
        """Return an Override with what was found out about it."""
        target = self._targets.get(key)
        return None if target is None else self._views[target].get(key)

    def judge(self, record: OverrideRecord, flaw: str) -> None:
        """Take in what was found out about one generation of an Override; empty if nothing is against it."""
        key = (record.meta.namespace, record.meta.name)
        self._flaws[key] = _version(record), flaw
        self._take(key)

    def _seen(self, key: Key) -> None:
        self._take(key)
        self._changed(key)

    def _take(self, key: Key) -> None:
        """Bring the views of an Override's target in line with what is known of it."""
        stored, old = self.store.get(key), self._targets.pop(key, None)
        before = self._views[old].pop(key, None) if old is not None else None
        if old is not None and not self._views[old]:
            del self._views[old]
        if stored is None:
            self._flaws.pop(key, None)
        new = stored.value.target if stored is not None else None
        after = self._judged(key, stored.value) if stored is not None else None
        if new is not None and after is not None:
            self._targets[key] = new
            self._views[new][key] = after
        if before != after:
            for target in dict.fromkeys(each for each in (old, new) if each is not None):
                self._wake(target)

    def _judged(self, key: Key, record: OverrideRecord) -> OverrideView:
        version, flaw = self._flaws.get(key, (None, ""))
        return dataclasses.replace(record.view, flaw=flaw if version == _version(record) else None)


def _version(record: OverrideRecord) -> _Version:
    return record.meta.uid, record.meta.generation
