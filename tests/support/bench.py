"""One plan on an installed Rollout, action by action."""

from __future__ import annotations

from ombak.core import naming
from ombak.core.memory import Memory
from ombak.core.plan import Action
from ombak.core.snapshot import Snapshot
from ombak.runtime.alarm_book import UNWATCHED
from ombak.runtime.apply import Applier
from ombak.runtime.kube_port import Kind, Object
from ombak.runtime.observe import Extras, observe
from ombak.simulation.client import Request
from support.rig import KEY, NAME, NAMESPACE, Rig


class Bench:
    """An installed Rollout, and an applier for one plan on it."""

    def __init__(self, rig: Rig, stable: str) -> None:
        self.rig, self.stable = rig, stable
        self.fleet, self.box = naming.fleet(NAME, stable), naming.one_box(NAME)
        self.version = naming.artifact(NAME, stable)
        self.again()

    def again(self) -> None:
        """Look at the cluster anew."""
        stored = self.rig.stores.rollouts.get(KEY)
        assert stored is not None
        self.record = stored.value
        self.s: Snapshot = observe(self.rig.stores, KEY, self.record, Extras(Memory(), None, UNWATCHED))
        now = self.rig.clock.now()
        self.applier = Applier(self.rig.kube, self.rig.stores, self.s, self.record, now)

    async def do(self, action: Action) -> Request:
        """Apply an action that is one request, and return that."""
        await self.applier.apply(action)
        [request] = self.rig.kube.take()
        return request

    def live(self, kind: Kind, name: str) -> Object:
        return self.rig.server.get(kind, NAMESPACE, name)

    def version_of(self, kind: Kind, name: str) -> str:
        return str(self.live(kind, name)["metadata"]["resourceVersion"])
