"""Monitors of P1 and P6: what each write of the operator takes away, told from the pods themselves."""

import dataclasses
from collections import deque
from collections.abc import Callable
from typing import Any

from ombak.api.common import percent_of
from ombak.core import naming
from ombak.runtime.kube_port import Object
from ombak.simulation.client import OPERATOR
from ombak.simulation.pods import Pod
from ombak.simulation.region import Region

TOLD_WITHIN = 1.5
"""Controllers tell of a box that has become available so many seconds late."""
Fail = Callable[[str, str], None]
"""Takes a promise and how it was broken."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sizes:
    """What was asked for at one moment."""

    replicas: int
    floor: int
    batch: int


def floor_at(spec: Object, replicas: int) -> int:
    """Return F as the design has it, reckoned apart from the code under test."""
    wanted = _rolling(spec).get("minAvailable", "66%")
    share = percent_of(wanted)
    least = int(wanted) if share is None else -(-share * replicas // 100)
    return min(replicas, max(least, -(-66 * replicas // 100)))


def batch_at(spec: Object, replicas: int) -> int:
    """Return the largest batch that either direction allows."""
    revert = (spec.get("strategy") or {}).get("revert", {}).get("batch", "33%")
    most = 1
    for batch in (_rolling(spec).get("batch", "33%"), revert):
        share = percent_of(batch)
        count = int(batch) if share is None else share * replicas // 100
        most = max(most, min(count, 33 * replicas // 100))
    return most


def _rolling(spec: Object) -> dict[str, Any]:
    found: dict[str, Any] = (spec.get("strategy") or {}).get("rolling") or {}
    return found


class CapacityWatch:
    """Looks at every write of the operator to a workload."""

    def __init__(self, region: Region, lag: float, delay: float, fail: Fail) -> None:
        self._region, self._lag, self._delay, self._fail = region, lag, delay, fail
        self._lost: deque[tuple[float, str]] = deque()
        self._sizes: deque[tuple[float, Sizes]] = deque()
        self._replaced: set[str] = set()
        """Zones in which the operator has taken boxes away that are not back yet."""
        region.server.monitors.append(self._written)
        region.kubelets.watchers.append(self._pod)

    @property
    def _now(self) -> float:
        return self._region.timeline.time()

    def recent(self) -> list[Sizes]:
        """Return all sizes that the operator may still believe in."""
        while len(self._sizes) > 1 and self._sizes[1][0] < self._now - self._lag:
            self._sizes.popleft()
        return [s for _, s in self._sizes]

    def _lost_in(self) -> int:
        """Return how many boxes the world took so lately that the operator may not know."""
        while self._lost and self._lost[0][0] < self._now - self._delay:
            self._lost.popleft()
        return len(self._lost)

    def _pod(self, pod: Pod, what: str) -> None:
        if what == "lost":
            self._lost.append((self._now, pod.zone))
        if what == "available" and pod.zone in self._replaced:
            self._recover()

    def _recover(self) -> None:
        there, asked = self._serving({}), self._asked()
        self._replaced -= {z for z in self._replaced if there.get(z, 0) >= max(asked.get(z, 0), self._share(z))}

    def _share(self, zone: str) -> int:
        """Return how many boxes a zone has at least, at any size that the operator may believe in."""
        zones = self._zones()
        index = zones.index(zone) if zone in zones else len(zones)
        return min(s.replicas // len(zones) + (index < s.replicas % len(zones)) for s in self.recent())

    def _zones(self) -> list[str]:
        return list((self._region.rollout or {"spec": {}})["spec"].get("zones") or [""])

    def _workloads(self, instead: dict[str, Object | None]) -> list[tuple[str, Object]]:
        found = {}
        for kind in ("ReplicaSet", "Deployment"):
            for obj in self._region.server.all(kind):
                if naming.ROLLOUT in (obj["metadata"].get("labels") or {}):
                    found[obj["metadata"]["uid"]] = (kind, obj)
        for uid, old in instead.items():
            if old is not None:
                found[uid] = ("Deployment" if "strategy" in old["spec"] else "ReplicaSet", old)
        return list(found.values())

    def _serving(self, instead: dict[str, Object | None], known_for: float = 0.0) -> dict[str, int]:
        """Return, by zone, how many available boxes stay if nothing else happens (planned availability).

        With `known_for` only those count that have been available for long enough to be known of.
        """
        found: dict[str, int] = {}
        for kind, obj in self._workloads(instead):
            zone = (obj["metadata"].get("labels") or {}).get(naming.ZONE, "")
            found[zone] = found.get(zone, 0) + self._staying(kind, obj, self._now - known_for)
        return found

    def _staying(self, kind: str, obj: Object, before: float) -> int:
        uid, size = obj["metadata"]["uid"], int(obj["spec"]["replicas"])
        controllers = self._region.controllers
        if kind == "ReplicaSet":
            pods = controllers.sets[uid].pods if uid in controllers.sets else []
            return min(size, sum(p.is_available and p.available_since <= before for p in pods))
        model = controllers.deployments.get(uid)
        if model is None:
            return 0
        surges = obj["spec"]["strategy"]["rollingUpdate"]["maxSurge"] > 0
        kept = [s for s in model.sets if surges or s.template == obj["spec"]["template"]]
        return min(size, sum(p.is_available and p.available_since <= before for s in kept for p in s.pods))

    def _asked(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for _, obj in self._workloads({}):
            zone = (obj["metadata"].get("labels") or {}).get(naming.ZONE, "")
            found[zone] = found.get(zone, 0) + obj["spec"]["replicas"]
        return found

    def _written(self, by: str, kind: str, old: Object | None, new: Object | None) -> None:
        if kind == "Rollout" and new is not None:
            self._note_sizes(new["spec"])
        if by != OPERATOR or kind not in ("ReplicaSet", "Deployment") or old is None:
            return
        before = self._serving({old["metadata"]["uid"]: old}, TOLD_WITHIN)
        after = self._serving({}, TOLD_WITHIN)
        drop = sum(before.values()) - sum(after.values())
        if drop > 0:
            self._check_floor(old, drop, sum(self._serving({}).values()))
        for zone, count in before.items():
            if count > after.get(zone, 0):
                self._check_zone(zone, count - after.get(zone, 0), old, new)

    def _note_sizes(self, spec: Object) -> None:
        replicas = spec.get("replicas")
        if isinstance(replicas, int):
            sizes = Sizes(replicas, floor_at(spec, replicas), batch_at(spec, replicas))
            if not self._sizes or self._sizes[-1][1] != sizes:
                self._sizes.append((self._now, sizes))

    def _is_forced(self) -> bool:
        memory = self._region.status.get("memory") or {}
        return bool((memory.get("reverting") or {}).get("forced"))

    def _check_floor(self, old: Object, drop: int, after: int) -> None:
        sizes, lost, name = self.recent(), self._lost_in(), old["metadata"]["name"]
        if not sizes:
            return
        floor = min(s.floor for s in sizes)
        least, batch = min(s.replicas for s in sizes), max(s.batch for s in sizes)
        if self._is_forced() and drop <= 1:
            return
        if after + lost < floor:
            self._fail(
                "P1", f"a write to {name} leaves {after} serving boxes (lost lately: {lost}), the floor is {floor}"
            )
        if least - after - lost > batch:
            self._fail("P1", f"a write to {name} leaves {least - after} boxes in replacement, the batch is {batch}")

    def _check_zone(self, zone: str, drop: int, old: Object, new: Object | None) -> None:
        """An exchange (not a scaling down) may begin only where no other zone is in replacement."""
        self._recover()
        if self._is_forced() or zone not in self._zones():
            return
        share = self._share(zone)
        shrunk = old["spec"]["replicas"] - (new["spec"]["replicas"] if new else 0)
        surplus = self._asked().get(zone, 0) + shrunk - share
        if drop <= surplus:
            return
        others = self._replaced - {zone}
        if others and not self._lost_in():
            self._fail("P6", f"boxes of zone {zone} are exchanged while those of {sorted(others)} are not back")
        self._replaced.add(zone)
