"""The watch: late, sometimes twice, sometimes not at all until somebody lists again."""

import random
from collections.abc import Mapping
from typing import Any

from ombak.core import naming
from ombak.core.conveyor import manifests
from ombak.runtime.kube_port import Object
from ombak.runtime.store import Key, Store, Stored
from ombak.simulation.agenda import Timeline
from ombak.simulation.faults import RESYNC_AFTER, Faults
from ombak.simulation.gatekeeping import GATES
from ombak.simulation.server import Server

_WHOLE = ("Rollout", "Pipeline", "Region", "Override", *GATES)


class Feed:
    """Fills the stores of one operator process until it is stopped."""

    def __init__(
        self,
        server: Server,
        stores: Mapping[str, Store[Any]],
        timeline: Timeline,
        faults: Faults,
        rng: random.Random,
    ) -> None:
        self._server, self._stores, self._timeline = server, stores, timeline
        self._faults, self._rng = faults, rng
        self._last: dict[str, float] = dict.fromkeys(stores, 0.0)
        self._is_stopped = False
        for kind in stores:
            self._list(kind)
        server.listeners.append(self._see)

    def stop(self) -> None:
        """The process is gone."""
        self._is_stopped = True
        self._server.listeners.remove(self._see)

    def _list(self, kind: str) -> None:
        if self._is_stopped:
            return
        store = self._stores[kind]
        entries: dict[Key, Stored[Any]] = {}
        for obj in self._server.all(kind):
            if _is_watched(kind, obj):
                key, stored = store.entry(obj)
                entries[key] = stored
        store.replace(entries, self._server.revision)

    def _see(self, kind: str, event: str, obj: Object) -> None:
        if kind not in self._stores or not _is_watched(kind, obj):
            return
        faults, rng, now = self._faults, self._rng, self._timeline.time()
        if faults.lost_event and rng.random() < faults.lost_event:
            self._timeline.call_later(rng.uniform(1.0, RESYNC_AFTER), self._list, kind)
            return
        due = max(self._last[kind], now + rng.uniform(0.001, faults.watch_lag))
        self._last[kind] = due
        self._timeline.call_later(due - now, self._tell, kind, event, obj)
        if faults.doubled_event and rng.random() < faults.doubled_event:
            self._timeline.call_later(due - now + rng.uniform(0.0, 10.0), self._tell, kind, event, obj)

    def _tell(self, kind: str, event: str, obj: Object) -> None:
        if self._is_stopped:
            return
        if event == "DELETED":
            self._stores[kind].remove(obj)
        else:
            self._stores[kind].observe(obj)


def _is_watched(kind: str, obj: Object) -> bool:
    """Workloads and versions are watched by the label that says whose they are."""
    labels = obj["metadata"].get("labels") or {}
    return kind in _WHOLE or naming.ROLLOUT in labels or manifests.PIPELINE in labels
