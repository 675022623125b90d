"""The monitor of the gates: nothing starts in a closed or blocked time, no step is taken in one that stops steps.

What the operator has done it judges by the operator's own clock, wrong as that may be; reverts are timed by others.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from ombak.core.gates.blockers import BlockerView
from ombak.core.gates.gate import Context, Moment
from ombak.core.gates.windows import WindowView
from ombak.core.memory import Mode
from ombak.runtime.gate_book import GateBook
from ombak.runtime.kube_port import Object
from ombak.runtime.records import decode_rollout
from ombak.runtime.store import Store
from ombak.simulation.client import OPERATOR
from ombak.simulation.evidence_watch import release_began
from ombak.simulation.gatekeeping import GATES
from ombak.simulation.region import NAME, NAMESPACE, Region

Fail = Callable[[str, str], None]


class GateWatch:
    """Looks at every start and every step that the operator approves."""

    def __init__(self, region: Region, tolerance: float, clock: Callable[[], datetime], fail: Fail) -> None:
        """What people did within the last `tolerance` seconds the operator may not know of."""
        self._region, self._tolerance, self._clock, self._fail = region, tolerance, clock, fail
        self._book = GateBook(Store(decode_rollout), lambda _: None)
        self._changed_at: dict[tuple[str, str], float] = {}
        self._windows: tuple[str, ...] = ()
        self._windows_at = 0.0
        region.server.monitors.append(self._written)

    def _written(self, by: str, kind: str, old: Object | None, new: Object | None) -> None:
        if kind in GATES:
            self._take(kind, old, new)
        elif kind == "Rollout" and new is not None:
            named = tuple(new["spec"].get("windows") or ())
            if named != self._windows:
                self._windows, self._windows_at = named, self._region.timeline.time()
            if by == OPERATOR and old is not None:
                self._judge(_release(old), _release(new))

    def _take(self, kind: str, old: Object | None, new: Object | None) -> None:
        store = next(store for each, store in self._book.stores().items() if each.kind == kind)
        found = new or old
        assert found is not None
        if old is None or new is None or old["spec"] != new["spec"]:
            self._changed_at[kind, found["metadata"]["name"]] = self._region.timeline.time()
        if new is None:
            store.remove({**found, "metadata": {**found["metadata"], "resourceVersion": str(2**40)}})
        else:
            store.observe(new)

    def _judge(self, before: Any, after: Any) -> None:
        if not after:
            return
        if after["mode"] == Mode.BACK.value:
            return  # a way back waits for no gate
        if release_began(before, after):
            if not self._runs(after["artifact"]):  # else it only remembers a release whose record was lost
                self._check(Moment.START, f"{after['artifact']} starts")
        elif after["step"]["number"] > before["step"]["number"]:
            self._check(Moment.STEP, f"step {after['step']['number']} is approved")

    def _check(self, moment: Moment, told: str) -> None:
        context = Context(NAMESPACE, NAME, moment)
        found = [b for b in self._known_blockers() if b.selects(context) and b.stops_at(moment)]
        for blocker in found:
            if all(blocker.state(each).value == "Active" for each in self._moments()):
                self._fail("gates", f"{told} although {blocker.name} stops it")
        if moment is Moment.START and self._is_old(self._windows_at):
            for window in self._known_windows():
                if window.schedule is None or not any(window.schedule.is_open(each) for each in self._moments()):
                    self._fail("gates", f"{told} although Window {window.name} is closed")

    def _known_blockers(self) -> list[BlockerView]:
        stores = {"Blocker": self._book.blockers, "ClusterBlocker": self._book.cluster_blockers}
        return [
            stored.value.view
            for kind, store in stores.items()
            for key in store
            if (stored := store.get(key)) is not None and self._is_old(self._changed_at[kind, key[1]])
        ]

    def _known_windows(self) -> list[WindowView]:
        return [
            self._book.window(name)
            for name in self._windows
            if self._is_old(self._changed_at.get(("Window", name), 0.0))
        ]

    def _moments(self) -> tuple[datetime, ...]:
        """The times at which it may have been decided: a call takes a while."""
        now = self._clock()
        return now, now - timedelta(seconds=self._tolerance)

    def _is_old(self, at: float) -> bool:
        return self._region.timeline.time() - at > self._tolerance

    def _runs(self, artifact: str) -> bool:
        return any(
            ((o["spec"]["template"]["metadata"].get("labels")) or {}).get("ombak.dev/artifact") == artifact
            for kind in ("ReplicaSet", "Deployment")
            for o in self._region.server.all(kind)
            if o["spec"].get("replicas")
        )


def _release(rollout: Object) -> Any:
    return ((rollout.get("status") or {}).get("memory") or {}).get("release")
