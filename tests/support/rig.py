"""A cluster of one Rollout in memory, at the test's pace: controllers work, and the operator looks, when told to."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from typing import Any

from ombak.alarms.history import Stretch
from ombak.alarms.verdict import Certainty, Contributor, State, Verdict
from ombak.api.common import API_VERSION
from ombak.core import naming
from ombak.core.memory import Release
from ombak.core.plan import Note
from ombak.core.snapshot import RolloutView
from ombak.runtime import kinds
from ombak.runtime.alarm_book import UNWATCHED, Reading
from ombak.runtime.events import Subject
from ombak.runtime.gate_book import GateBook
from ombak.runtime.kube_port import ApiError, Kind, Object
from ombak.runtime.observe import Stores
from ombak.runtime.reconcile import Reconciler
from ombak.runtime.records import decode_artifact, decode_rollout, decode_workload, owner_of
from ombak.runtime.store import Key, Store
from ombak.simulation.agenda import Agenda
from ombak.simulation.gatekeeping import GATES
from ombak.simulation.server import Server
from support.fake_kube import FakeKube
from support.fake_metrics import FakeClock

NAMESPACE, NAME = "shop", "front-end"
KEY = (NAMESPACE, NAME)
POLL = timedelta(seconds=15)
USER = "kubectl-edit"
CONTROLLER = "kube-controller-manager"


class FakeAlarms:
    """An `AlarmBook` that says what the test says; everything OK, evaluated now, over one second."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.state = State.OK
        self.certainty = Certainty.Certain
        self.message = ""
        self.causes: tuple[Contributor, ...] = ()
        self.is_cold = False
        self.has_looked = False
        self.samples: dict[str, float | str] = {}
        self.reads: list[tuple[str, bool]] = []
        """Artifact of the release under way, and whether at full rate."""
        self.forgotten: list[Key] = []
        self.proven: tuple[Stretch, ...] | None = ()
        self.asked_to_prove: list[Stretch] = []

    def verdict(self) -> Verdict:
        at = None if self.is_cold else self._clock.now()
        causes = self.causes if self.state is State.ALARM else ()
        return Verdict(self.state, self.certainty, at, timedelta(seconds=1), message=self.message, causes=causes)

    def read(self, rollout: RolloutView, release: Release | None, *, is_active: bool) -> Reading:
        self.reads.append((release.artifact if release else "", is_active))
        alarms = rollout.spec.alarms
        if alarms is None:
            return UNWATCHED
        one_box = self.verdict() if alarms.one_box else None
        return Reading(self.verdict(), one_box, samples=self.samples, poll=POLL, has_looked=self.has_looked)

    def prove(self, rollout: RolloutView, since: datetime, until: datetime) -> tuple[Stretch, ...] | None:
        self.asked_to_prove.append((since, until))
        return self.proven

    def forget(self, key: Key) -> None:
        self.forgotten.append(key)


class FakeRecorder:
    """Keeps the reasons of Events."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def record(self, subject: Subject, note: Note, kind: str = "Rollout") -> None:
        self.notes.append(note)

    @property
    def reasons(self) -> list[str]:
        return [note.reason for note in self.notes]


def template(version: str = "1.0.0", **annotations: str) -> Object:
    """A pod template."""
    meta: Object = {"labels": {"app": NAME}} | ({"annotations": annotations} if annotations else {})
    return {
        "metadata": meta,
        "spec": {"containers": [{"name": "app", "image": f"registry.example/front-end:{version}"}]},
    }


def spec(version: str = "1.0.0", **changes: Any) -> Object:
    """The spec of a Rollout of four boxes without bakes, guarded by one alarm."""
    bakes = {
        "oneBox": {"bake": {"for": "0s"}},
        "rolling": {"bake": {"for": "0s"}, "batch": "33%"},
        "bake": {"for": "0s"},
    }
    return {
        "replicas": 4,
        "selector": {"matchLabels": {"app": NAME}},
        "template": template(version),
        "strategy": bakes,
        "alarms": {"revert": 'ALARM("errors")'},
    } | changes


def baking(bake: str = "10m") -> Object:
    """A strategy without any bake but the last one."""
    strategy: Object = spec()["strategy"]
    return strategy | {"bake": {"for": bake}}


def follow(server: Server, kind: Kind, obj: Object, *, ready: bool = True) -> None:
    """Do a controller's work on one object: its boxes are there, and `ready` or not."""
    meta, count = obj["metadata"], obj["spec"]["replicas"]
    up = count if ready else 0
    status = {"observedGeneration": meta["generation"], "replicas": count}
    status |= {"readyReplicas": up, "availableReplicas": up, "updatedReplicas": count}
    body = {"metadata": {}, "status": status}
    server.replace(CONTROLLER, kind, NAMESPACE, meta["name"], body, subresource="status")


class Rig:
    """A cluster, and one operator process on it whose passes the test triggers."""

    def __init__(self) -> None:
        self.server = Server(Agenda())
        self.clock = FakeClock()
        self.kube = FakeKube(self.server)
        self.recorder = FakeRecorder()
        self.is_watching = True
        self.server.listeners.append(self._watch)
        self.restart()

    def restart(self) -> None:
        """A new process begins with a list of everything; its client has no faults left."""
        self.kube.heal()
        self.clock.elapsed += 1e6  # the monotonic clock of another boot
        self.alarms = FakeAlarms(self.clock)
        self.stores = Stores(
            rollouts=Store(decode_rollout),
            artifacts=Store(decode_artifact, owner=owner_of),
            deployments=Store(decode_workload, owner=owner_of),
            replica_sets=Store(decode_workload, owner=owner_of),
        )
        self.gates = GateBook(self.stores.rollouts, lambda _: None)
        self.reconciler = Reconciler(self.kube, self.stores, self.alarms, self.clock, self.recorder, self.gates)
        self.relist()

    def relist(self) -> None:
        """Bring the stores up to date."""
        for kind, store in self._by_kind.items():
            found = [obj for obj in self.server.all(kind) if _is_watched(kind, obj)]
            store.replace(dict(map(store.entry, found)), self.server.revision)
        for live in (self.stores.config_maps, self.stores.copies):
            found = [obj for obj in self.server.all("ConfigMap") if self._of_config_map(obj) is live]
            live.replace(dict(map(live.entry, found)), self.server.revision)

    def _of_config_map(self, obj: Object) -> Store[Any]:
        return (
            self.stores.copies if naming.ROLLOUT in (obj["metadata"].get("labels") or {}) else self.stores.config_maps
        )

    @property
    def _by_kind(self) -> dict[str, Store[Any]]:
        return {
            "Rollout": self.stores.rollouts,
            "Artifact": self.stores.artifacts,
            "Deployment": self.stores.deployments,
            "ReplicaSet": self.stores.replica_sets,
            **{kind.kind: store for kind, store in self.gates.stores().items()},
        }

    def _watch(self, kind: str, event: str, obj: Object) -> None:
        store = self._of_config_map(obj) if kind == "ConfigMap" else self._by_kind.get(kind)
        if store is None or not self.is_watching:
            return
        if event == "DELETED" or not (kind == "ConfigMap" or _is_watched(kind, obj)):
            store.remove(obj)
        else:
            store.observe(obj)

    # --- people ------------------------------------------------------------------------------------

    def apply(self, **changes: Any) -> None:
        """Create the Rollout."""
        metadata = {"name": NAME, "namespace": NAMESPACE}
        body = {"apiVersion": API_VERSION, "kind": "Rollout", "metadata": metadata, "spec": spec(**changes)}
        self.server.create("kubectl", kinds.ROLLOUTS, NAMESPACE, body)

    def change(self, **changes: Any) -> None:
        """Set fields of the Rollout's spec."""
        body = {**self.rollout, "spec": {**self.rollout["spec"], **changes}}
        self.server.replace("kubectl", kinds.ROLLOUTS, NAMESPACE, NAME, body)

    def configure(self, name: str, **data: str) -> None:
        """Create a ConfigMap, or give it another content."""
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
        if self.server.find("ConfigMap", NAMESPACE, name) is None:
            self.server.create("kubectl", kinds.CONFIG_MAPS, NAMESPACE, body)
        else:
            self.server.replace("kubectl", kinds.CONFIG_MAPS, NAMESPACE, name, body)

    def annotate(self, name: str, value: str) -> None:
        """Annotate the Rollout."""
        patch: Object = {"metadata": {"annotations": {name: value}}}
        self.server.patch("kubectl", kinds.ROLLOUTS, NAMESPACE, NAME, patch)

    def edit(self, kind: Kind, name: str, patch: Object, by: str = USER) -> None:
        """Somebody changes an object that we own."""
        self.server.patch(by, kind, NAMESPACE, name, patch)

    def write_status(self, status: Object) -> None:
        """Somebody writes the whole status of the Rollout."""
        body = {"metadata": {}, "status": status}
        self.server.replace("kubectl", kinds.ROLLOUTS, NAMESPACE, NAME, body, subresource="status")

    # --- the cluster -------------------------------------------------------------------------------

    def settle(self, *, ready: bool = True) -> None:
        """Let the controllers make what is asked for; with `ready` off, boxes of a new version never are."""
        stable = self.status.get("artifacts", {}).get("stable")
        for kind in (kinds.REPLICA_SETS, kinds.DEPLOYMENTS):
            for obj in self.server.all(kind.kind):
                artifact = (obj["metadata"].get("labels") or {}).get(naming.ARTIFACT)
                follow(self.server, kind, obj, ready=ready or artifact == stable)

    @property
    def rollout(self) -> Object:
        """The Rollout as it is stored."""
        return self.server.get(kinds.ROLLOUTS, NAMESPACE, NAME)

    @property
    def status(self) -> Object:
        """Its status."""
        found: Object = self.rollout.get("status") or {}
        return found

    @property
    def phase(self) -> str:
        """The phase that the status tells."""
        return str(self.status.get("phase") or "")

    @property
    def stable(self) -> str:
        """The id of the stable version, as the status tells."""
        return str(self.status["artifacts"]["stable"])

    @property
    def wanted(self) -> str:
        """The id of the version in the spec."""
        stored = self.stores.rollouts.get(KEY)
        assert stored is not None
        return stored.value.artifact

    def condition(self, name: str) -> Object:
        """One condition of the status, empty if it is not there."""
        found: list[Object] = self.status.get("conditions") or []
        return next((c for c in found if c["type"] == name), {})

    def boxes(self) -> dict[str, int]:
        """How many boxes are asked of each artifact."""
        found: dict[str, int] = {}
        for obj in (*self.server.all("ReplicaSet"), *self.server.all("Deployment")):
            artifact = (obj["metadata"].get("labels") or {}).get(naming.ARTIFACT, "a stranger's")
            found[artifact] = found.get(artifact, 0) + obj["spec"]["replicas"]
        return {artifact: count for artifact, count in found.items() if count}

    # --- the operator ------------------------------------------------------------------------------

    async def reconcile(self) -> timedelta | None:
        """One pass."""
        return await self.reconciler.reconcile(KEY)

    async def go_on(self, phase: str = "Stable", *, most: int = 60, ready: bool = True) -> None:
        """Pass after pass, 15 s apart, until a phase is told; what the API server refuses for now is tried again."""
        for _ in range(most):
            try:
                await self.reconcile()
            except ApiError:
                self.relist()
            self.settle(ready=ready)
            if self.phase == phase:
                return
            self.clock.advance(15)
        raise AssertionError(f"after {most} passes: {self.phase} {self.status.get('message')}")

    async def pass_by(self, passes: int, *, apart: float = 15) -> None:
        """So many passes, that many seconds apart, whatever each ends in; the controllers follow after each."""
        for _ in range(passes):
            with contextlib.suppress(ApiError):
                await self.reconcile()
            self.settle()
            self.clock.advance(apart)

    async def installed(self, **changes: Any) -> str:
        """Apply the first version, and return its id when it is stable."""
        self.apply(**changes)
        await self.go_on()
        await self.reconcile()
        self.kube.take()
        self.recorder.notes.clear()
        return str(self.status["artifacts"]["stable"])

    async def at_first_batch(self) -> str:
        """Release a second version until its first batch is allowed; returns its id."""
        self.change(template=template("2.0.0"))
        await self.go_on("Rolling")
        self.kube.take()
        return self.wanted


async def in_phase(phase: str) -> Rig:
    """A Rollout that has come to a phase and stays there, as long as its alarms stay as they are."""
    rig = Rig()
    if phase == "Failed":
        rig.apply()
        await rig.reconcile()
        rig.alarms.state = State.ALARM
        await rig.go_on("Failed")
        await rig.reconcile()
        return rig
    await rig.installed(strategy=baking())
    if phase == "Stable":
        return rig
    rig.change(template=template("2.0.0"), **({"minReadySeconds": "soon"} if phase == "Invalid" else {}))
    if phase == "Blocked":
        rig.alarms.state = State.ALARM
    if phase in ("Reverting", "Reverted"):
        await rig.go_on("Rolling")
        rig.alarms.state = State.ALARM
        await rig.reconcile()
    if phase == "Reverted":
        await rig.go_on("Reverted")
    elif phase != "Reverting":
        await rig.go_on(phase, ready=phase != "OneBox")
        await rig.reconcile()
    return rig


def _is_watched(kind: str, obj: Object) -> bool:
    return kind in ("Rollout", "Override", *GATES) or naming.ROLLOUT in (obj["metadata"].get("labels") or {})
