"""The controller manager: ReplicaSets, Deployments, and the garbage collector."""

import random

from ombak.core import naming
from ombak.runtime import kinds
from ombak.runtime.kube_port import Kind, NotFound, Object
from ombak.simulation.agenda import Timeline
from ombak.simulation.pods import Kubelets
from ombak.simulation.podset import Pace, PodSet
from ombak.simulation.server import Server

MANAGER = "kube-controller-manager"


class Controllers:
    """Makes pods of what is in the API server."""

    def __init__(self, server: Server, kubelets: Kubelets, timeline: Timeline, rng: random.Random, pace: Pace) -> None:
        self._server = server
        self.world = (timeline, kubelets, rng, pace)
        self._timeline, self._rng, self._pace = timeline, rng, pace
        self.sets: dict[str, PodSet] = {}
        """The fleet's, by uid."""
        self.deployments: dict[str, DeploymentModel] = {}
        server.listeners.append(self._see)

    def _see(self, kind: str, event: str, obj: Object) -> None:
        if kind == "ReplicaSet":
            self._see_set(event, obj)
        elif kind == "Deployment":
            self._see_deployment(event, obj)
        if event == "DELETED":
            self._timeline.call_later(self._rng.uniform(0.1, 2.0), self._collect, obj["metadata"]["uid"])
        elif obj["metadata"].get("deletionTimestamp"):
            self._timeline.call_later(self._rng.uniform(0.1, 2.0), self._orphan, kind, obj)

    def _see_set(self, event: str, obj: Object) -> None:
        meta = obj["metadata"]
        uid = meta["uid"]
        if event == "DELETED":
            if uid in self.sets:
                self.sets.pop(uid).end()
            return
        found = self.sets.get(uid)
        if found is None:
            key = (meta["namespace"], meta["name"])
            found = self.sets[uid] = PodSet(
                meta["name"],
                obj["spec"]["template"],
                obj["spec"].get("minReadySeconds", 0),
                self.world,
                lambda made: self._write_set(key, uid, made),
            )
        found.template = obj["spec"]["template"]
        if (found.size, found.generation) != (obj["spec"]["replicas"], meta["generation"]) or event == "ADDED":
            found.ask(obj["spec"]["replicas"], meta["generation"])

    def _write_set(self, key: tuple[str, str], uid: str, made: PodSet) -> None:
        counts = made.counts
        status = {
            "observedGeneration": counts.observed,
            "replicas": counts.replicas,
            "readyReplicas": counts.ready,
            "availableReplicas": counts.available,
        }
        self._write(kinds.REPLICA_SETS, key, uid, status)

    def _write(self, kind: Kind, key: tuple[str, str], uid: str, status: Object) -> None:
        found = self._server.find(kind.kind, *key)
        if found is not None and found["metadata"]["uid"] == uid:
            body = {"metadata": {}, "status": status}
            self._server.replace(MANAGER, kind, *key, body, subresource="status")

    def _see_deployment(self, event: str, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        if event == "DELETED":
            if uid in self.deployments:
                self.deployments.pop(uid).end()
            return
        if uid not in self.deployments:
            self.deployments[uid] = DeploymentModel(self, obj)
        self.deployments[uid].see(obj)

    def write_deployment(self, obj: Object, status: Object) -> None:
        """Write the status of a Deployment."""
        meta = obj["metadata"]
        self._write(kinds.DEPLOYMENTS, (meta["namespace"], meta["name"]), meta["uid"], status)

    def _collect(self, owner: str) -> None:
        """Delete what belonged to an object that is gone."""
        for kind in (kinds.REPLICA_SETS, kinds.DEPLOYMENTS, kinds.ARTIFACTS):
            for obj in self._server.all(kind.kind):
                meta = obj["metadata"]
                if any(o["uid"] == owner for o in meta.get("ownerReferences") or ()):
                    self._server.delete(MANAGER, kind, meta["namespace"], meta["name"])

    def _orphan(self, kind: str, obj: Object) -> None:
        """Let go of the children of an object that is deleted with the finalizer `orphan`, then let it go."""
        meta = obj["metadata"]
        found = self._server.find(kind, meta["namespace"], meta["name"])
        if found is None or naming.ORPHAN not in (found["metadata"].get("finalizers") or ()):
            return
        for child_kind in (kinds.REPLICA_SETS, kinds.DEPLOYMENTS, kinds.ARTIFACTS):
            for child in self._server.all(child_kind.kind):
                owners = child["metadata"].get("ownerReferences") or []
                kept = [o for o in owners if o["uid"] != meta["uid"]]
                if kept != owners:
                    patch: Object = {"metadata": {"ownerReferences": kept or None}}
                    key = (child["metadata"]["namespace"], child["metadata"]["name"])
                    self._server.patch(MANAGER, child_kind, *key, patch)
        rest = [f for f in found["metadata"]["finalizers"] if f != naming.ORPHAN]
        try:
            self._server.patch(
                MANAGER, kinds.BY_NAME[kind], meta["namespace"], meta["name"], {"metadata": {"finalizers": rest}}
            )
        except NotFound:
            return


class DeploymentModel:
    """A Deployment's controller: the real one's arithmetic of a rolling update, one change for each look."""

    def __init__(self, controllers: Controllers, obj: Object) -> None:
        self._controllers = controllers
        self._timeline, _, self._rng, self._pace = controllers.world
        self._obj = obj
        self._is_poked = False
        self._sets: list[PodSet] = []
        self._status: Object = {}
        self._serial = 0
        self._has_ended = False

    @property
    def sets(self) -> list[PodSet]:
        """Its ReplicaSets."""
        return self._sets

    @property
    def artifact(self) -> str:
        """The version that its template asks for."""
        return str(self._obj["spec"]["template"]["metadata"]["labels"].get(naming.ARTIFACT, ""))

    @property
    def surge(self) -> int:
        """`maxSurge`."""
        return int(self._obj["spec"]["strategy"]["rollingUpdate"]["maxSurge"])

    @property
    def size(self) -> int:
        """`spec.replicas`."""
        return int(self._obj["spec"]["replicas"])

    def see(self, obj: Object) -> None:
        """The object changed."""
        if obj["metadata"]["generation"] != self._obj["metadata"]["generation"] or not self._status:
            self.poke()
        self._obj = obj

    def poke(self) -> None:
        """Something happened: the controller looks a moment later."""
        if not self._is_poked:
            self._is_poked = True
            self._timeline.call_later(self._rng.uniform(self._pace.least, self._pace.most), self._sync)

    def end(self) -> None:
        """It was deleted."""
        self._has_ended = True
        for made in self._sets:
            made.end()

    def matches(self, made: PodSet) -> bool:
        """It is the set of the template that is wanted now."""
        return bool(made.template == self._obj["spec"]["template"])

    def _sync(self) -> None:
        self._is_poked = False
        if self._has_ended:
            return
        spec = self._obj["spec"]
        new = next((s for s in self._sets if self.matches(s)), None)
        if new is None:
            self._serial += 1
            name = f"{self._obj['metadata']['name']}-bcd{self._serial:03d}"
            min_ready = spec.get("minReadySeconds", 0)
            new = PodSet(name, spec["template"], min_ready, self._controllers.world, lambda _: self.poke())
            self._sets.append(new)
            new.poke()
        old = [s for s in self._sets if s is not new and (s.size or s.counts.replicas)]
        if not (self._resize(new, old) or self._grow(new, old)):
            self._shrink(new, old)
        self._sets = [s for s in self._sets if s is new or s.size or s.pods]
        self._report(new)

    def _resize(self, new: PodSet, old: list[PodSet]) -> bool:
        """Without a change of the template only the size follows; a smaller size is taken from all."""
        if not old and new.size != self.size:
            new.ask(self.size, new.generation + 1)
            return True
        return False

    def _grow(self, new: PodSet, old: list[PodSet]) -> bool:
        total = new.size + sum(s.size for s in old)
        count = min(self.size + self.surge - total, self.size - new.size)
        if new.size > self.size:
            new.ask(self.size, new.generation + 1)
            return True
        if count <= 0:
            return False
        new.ask(new.size + count, new.generation + 1)
        return True

    def _shrink(self, new: PodSet, old: list[PodSet]) -> bool:
        """Take what is not healthy first, then whatever keeps enough boxes available."""
        unavailable = int(self._obj["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"])
        least = self.size - unavailable
        total = new.size + sum(s.size for s in old)
        budget = total - least - (new.size - new.counts.available)
        changed = False
        for made in old:
            idle = min(max(0, made.size - made.counts.available), max(0, budget))
            if idle:
                made.ask(made.size - idle, made.generation + 1)
                budget, changed = budget - idle, True
        spare = new.counts.available + sum(min(s.counts.available, s.size) for s in old) - least
        for made in old:
            count = min(made.size, max(0, spare))
            if count:
                made.ask(made.size - count, made.generation + 1)
                spare, changed = spare - count, True
        return changed

    def _report(self, new: PodSet) -> None:
        status = {
            "observedGeneration": self._obj["metadata"]["generation"],
            "replicas": sum(s.counts.replicas for s in self._sets),
            "updatedReplicas": new.counts.replicas,
            "readyReplicas": sum(s.counts.ready for s in self._sets),
            "availableReplicas": sum(s.counts.available for s in self._sets),
        }
        if status != self._status:
            self._status = status
            self._controllers.write_deployment(self._obj, status)
