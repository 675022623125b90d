"""A hub's engine with all that is around it in memory and in virtual time: its own API server, and its regions."""

import asyncio
import collections
import functools
import itertools
import json
import random
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from ombak.core import naming
from ombak.core.conveyor.model import RegionModel, RolloutModel
from ombak.core.conveyor.snapshot import RegionFacts
from ombak.runtime.gate_book import GateBook
from ombak.runtime.hub.engine import HubEngine
from ombak.runtime.kube_port import AlreadyExists, Conflict, Kind, LogReader, NotFound, Object
from ombak.runtime.records import decode_rollout
from ombak.runtime.region_records import (
    RegionArtifact,
    RegionRollout,
    artifact_owner,
    decode_region,
    decode_region_artifact,
    decode_region_rollout,
)
from ombak.runtime.regions import HUB_MANAGER, Contact, Reach, RegionView
from ombak.runtime.store import Key, Store
from ombak.simulation import agenda

HEARD_S = 0.02
"""So long a watch takes, and a region's operator until it looks."""
BATCHES = 5
"""A release of a region changes its status so often between two phases, besides the phases themselves."""


class LoopClock:
    """The time of the virtual loop."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return agenda.at(self.monotonic())

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return asyncio.get_running_loop().time()


class MemoryKube:
    """The hub's own API server: stores what is written, tells watches a moment later, and counts."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.watches: dict[str, Store[Any]] = {}
        self.writes: collections.Counter[str] = collections.Counter()
        self.events: collections.Counter[str] = collections.Counter()
        self._revision = itertools.count(1)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Read one object."""
        return _sent(self._live(kind, namespace, name))

    def _live(self, kind: Kind, namespace: str, name: str) -> Object:
        found = self.objects.get((kind.kind, namespace, name))
        if found is None:
            raise NotFound(404, "NotFound", name)
        return found

    async def create(self, kind: Kind, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        """Store an object; Events are only counted."""
        assert not dry_run
        name = body["metadata"]["name"]
        if kind.kind == "Event":
            self.events[body["reason"]] += 1
            return body
        if (kind.kind, namespace, name) in self.objects:
            raise AlreadyExists(409, "AlreadyExists", name)
        self.writes[f"create {kind.kind}"] += 1
        meta = {**body["metadata"], "namespace": namespace, "uid": f"{namespace}-{name}", "generation": 1}
        return self._store(kind.kind, {**body, "metadata": meta})

    async def replace(self, kind: Kind, namespace: str, name: str, body: Object, *, subresource: str = "") -> Object:
        """Write a status."""
        assert subresource == "status"
        old = self._live(kind, namespace, name)
        if body["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", name)
        self.writes[f"status {kind.kind}"] += 1
        return self._store(kind.kind, {**old, "status": body["status"]})

    async def patch(self, kind: Kind, namespace: str, name: str, patch: Object, *, subresource: str = "") -> Object:
        """Merge a status."""
        assert subresource == "status"
        old = self._live(kind, namespace, name)
        self.writes[f"status {kind.kind}"] += 1
        return self._store(kind.kind, {**old, "status": {**(old.get("status") or {}), **patch["status"]}})

    async def delete(self, kind: Kind, namespace: str, name: str, **_: object) -> None:
        """Delete an object."""
        self.writes[f"delete {kind.kind}"] += 1
        gone = self.objects.pop((kind.kind, namespace, name))
        gone["metadata"]["resourceVersion"] = str(next(self._revision))
        self._tell(kind.kind, lambda store: store.remove(gone))

    def edit(self, kind: str, made: Object) -> None:
        """Do what a user does: write a spec."""
        meta = made["metadata"]
        old = self.objects.get((kind, meta.get("namespace", ""), meta["name"]), {})
        generation = old.get("metadata", {}).get("generation", 0) + 1
        meta = {"namespace": "", "uid": meta["name"], **meta, "generation": generation}
        self._store(kind, {**old, **made, "metadata": meta})

    def _store(self, kind: str, made: Object) -> Object:
        made = _sent(made)
        meta = made["metadata"]
        meta["resourceVersion"] = str(next(self._revision))
        self.objects[kind, meta["namespace"], meta["name"]] = made
        self._tell(kind, lambda store: store.observe(made))
        return made

    def _tell(self, kind: str, what: Callable[[Store[Any]], object]) -> None:
        store = self.watches.get(kind)
        if store is not None:
            asyncio.get_running_loop().call_later(HEARD_S, what, store)


def _sent(made: Object) -> Object:
    """Return it as it comes over a wire, which is much less dear than a deep copy: what is measured is the hub."""
    copied: Object = json.loads(json.dumps(made))
    return copied


class MemoryRegion:
    """A region: the smallest operator there is, and what the hub's watches know of it."""

    def __init__(self, facts: RegionFacts, told: Callable[[Key], None], writes: collections.Counter[str]) -> None:
        self.facts = facts
        self.rollouts: Store[RegionRollout] = Store(
            functools.partial(decode_region_rollout, ours=HUB_MANAGER), on_event=told
        )
        self.artifacts: Store[RegionArtifact] = Store(decode_region_artifact, owner=artifact_owner, on_event=told)
        self.harmful: set[str] = set()
        self._models: dict[str, RegionModel] = {}
        self._writes = writes
        self._orders = 0

    def write(self, manifest: Object, *, create: bool) -> Object:
        """Take a Rollout; the region's operator looks a moment later."""
        meta = dict(manifest["metadata"])
        name, namespace, version = meta["name"], meta["namespace"], meta.pop("resourceVersion", "")
        model = self._models.get(name)
        if model is None:
            model = self._models[name] = RegionModel(self.facts, self._ill)
        if not model.apply(namespace, {**manifest, "metadata": meta}, "" if create else version):
            raise (
                AlreadyExists(409, "AlreadyExists", name)
                if create
                else Conflict(409, "Conflict", "the object has been modified")
            )
        self._writes["create Rollout" if create else "apply Rollout"] += 1
        raw = self._raw(model, name, namespace)
        asyncio.get_running_loop().call_later(HEARD_S, self._look, name)
        return raw

    def _ill(self, _region: str, artifact: str) -> str:
        return "an alarm fired" if artifact in self.harmful else ""

    def _raw(self, model: RegionModel, name: str, namespace: str) -> Object:
        raw = model.raw(namespace)
        raw["metadata"] |= {"name": name, "uid": f"{namespace}-{name}"}
        return raw

    def _look(self, name: str) -> None:
        model, loop = self._models[name], asyncio.get_running_loop()
        now = agenda.at(loop.time())
        model.tick(now)
        for namespace, rollout in model.rollouts.items():
            self._keep(name, namespace, rollout)
            self.rollouts.observe(self._raw(model, name, namespace))
            if rollout.phase == "Rolling" and rollout.ends_at is not None:
                length = (rollout.ends_at - now).total_seconds() / BATCHES
                for batch in range(1, BATCHES):
                    loop.call_later(batch * length, self._touch, name, namespace)
        following = model.next_at()
        if following is not None:
            loop.call_later((following - now).total_seconds() + HEARD_S, self._look, name)

    def _touch(self, name: str, namespace: str) -> None:
        model = self._models[name]
        model.rollouts[namespace].version += 1
        self.rollouts.observe(self._raw(model, name, namespace))

    def _keep(self, name: str, namespace: str, rollout: RolloutModel) -> None:
        """Keep the version as an Artifact, and write the verdict on it when there is one."""
        wanted = rollout.wanted
        key, is_stable = (namespace, f"{name}-{wanted}"), rollout.stable == wanted
        known = self.artifacts.get(key)
        if known is not None and (known.value.stable_order > 0) >= is_stable:
            return
        self._orders += 1
        status = {"stable": {"order": self._orders, "at": "2026-01-05T09:00:00Z"}} if is_stable else {}
        template = rollout.manifest["spec"]["template"]
        made = {"id": wanted, "digest": rollout.digests[wanted], "template": template, "rollout": name}
        meta = {"name": key[1], "namespace": namespace, "uid": f"a-{key}", "resourceVersion": str(self._orders)}
        labels = {naming.ROLLOUT: name}
        self.artifacts.observe({"metadata": {**meta, "labels": labels}, "spec": made, "status": status})


class MemoryRegions:
    """Implements `Regions`."""

    def __init__(self, told: Callable[[str, Key], None]) -> None:
        self.writes: collections.Counter[str] = collections.Counter()
        self.by_name: dict[str, MemoryRegion] = {}
        self._told = told
        self._contact = Contact(Reach.YES, "Answering", "", agenda.EPOCH, agenda.EPOCH)

    def add(self, facts: RegionFacts) -> None:
        """Register a region."""
        self.by_name[facts.name] = MemoryRegion(facts, functools.partial(self._told, facts.name), self.writes)

    def names(self) -> tuple[str, ...]:
        """See `Regions.names`."""
        return tuple(sorted(self.by_name))

    def contact(self, _region: str) -> Contact | None:
        """See `Regions.contact`."""
        return self._contact

    def view(self, region: str, key: Key) -> RegionView | None:
        """See `Regions.view`."""
        found = self.by_name[region]
        stored = found.rollouts.get(key)
        artifacts = tuple(each.value for _, each in found.artifacts.owned_by(key))
        return RegionView(region, self._contact, stored.value if stored else None, artifacts, True, True)

    async def create(self, region: str, manifest: Object) -> Object:
        """See `Regions.create`; objects that travel along are only counted, and never there when asked for."""
        if manifest["kind"] != "Rollout":
            self.writes[f"create {manifest['kind']}"] += 1
            return manifest
        return self._noted(region, self.by_name[region].write(manifest, create=True))

    async def apply(self, region: str, manifest: Object, **_: object) -> Object:
        """See `Regions.apply`."""
        return self._noted(region, self.by_name[region].write(manifest, create=False))

    async def get(self, _region: str, _kind: Kind, _namespace: str, name: str) -> Object:
        """See `Regions.get`."""
        raise NotFound(404, "NotFound", name)

    def _noted(self, region: str, answer: Object) -> Object:
        self.by_name[region].rollouts.upsert(answer)
        return answer


def engine_and_regions(kube: MemoryKube, regions: list[Object]) -> tuple[HubEngine, MemoryRegions]:
    """Return the hub's own engine over a server in memory, and the regions of these manifests."""
    gates = GateBook(Store(decode_rollout), lambda _key: None)
    records = Store(decode_region)
    engine = HubEngine(cast("LogReader", kube), records, gates, LoopClock(), random.Random(1))  # noqa: S311 - repeatable
    made = MemoryRegions(engine.rollout_changed)
    for manifest in regions:
        records.observe(manifest)
        made.add(RegionFacts(manifest["metadata"]["name"]))
    kube.watches |= {"Pipeline": engine.stores.pipelines, "Artifact": engine.stores.artifacts}
    return engine, made
