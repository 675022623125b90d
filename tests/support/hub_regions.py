"""Regions of a hub in memory, behind the port that the hub has: late, silent, hanging, refusing, or cut off."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ombak.api.common import API_VERSION
from ombak.core.conveyor import manifests
from ombak.core.conveyor.model import RegionModel, RolloutModel
from ombak.core.conveyor.snapshot import JobState, RegionFacts
from ombak.runtime import kinds
from ombak.runtime.kube_port import AlreadyExists, ApiError, Conflict, Kind, NotFound, Object, Unreachable
from ombak.runtime.region_records import (
    RegionAlarm,
    RegionArtifact,
    RegionRollout,
    decode_region_alarm,
    decode_region_rollout,
)
from ombak.runtime.regions import HUB_MANAGER, Contact, Reach, RegionView, UnknownRegion
from ombak.runtime.store import Key
from ombak.simulation.faults import Faults
from support.fake_metrics import LoopClock

LOOK_EVERY_S = 5.0
GIVEN_UP_AFTER_S = 15.0
"""How long a request may hang: what a client allows it."""
_CONDITIONS = {JobState.PASSED: "Complete", JobState.FAILED: "Failed"}


def now() -> datetime:
    """The wall clock of all machines."""
    return LoopClock().now()


@dataclasses.dataclass(slots=True)
class Wire:
    """The way to the hub and to all regions: its faults, whom a write tells, and when the hub dies of one."""

    rng: random.Random
    faults: Faults = dataclasses.field(default_factory=Faults)
    writes: int = 0
    dies_after: int = 0
    """The hub is killed right after so many writes; 0 is never."""
    die: Callable[[], None] = lambda: None

    async def carry(self, effect: Callable[[], Any], *, is_write: bool) -> Any:
        """Bring a request there and its answer back; each way may fail."""
        await self.travel()
        if self.faults.refused and self.rng.random() < self.faults.refused:
            raise refusal(self.rng)
        answer = effect()
        if is_write:
            self.writes += 1
            if self.writes == self.dies_after:
                self.die()
                await asyncio.Event().wait()
        if is_write and self.faults.lost_answer and self.rng.random() < self.faults.lost_answer:
            await asyncio.sleep(GIVEN_UP_AFTER_S)
            raise Unreachable("timed out")
        await self.travel()
        return answer

    async def travel(self) -> None:
        """Half a call."""
        await asyncio.sleep(self.faults.latency * self.rng.uniform(0.2, 2.0))


def refusal(rng: random.Random) -> ApiError:
    """Some answer without effect."""
    return rng.choice(
        (
            Conflict(409, "Conflict", "the object has been modified"),
            ApiError.of(429, "TooManyRequests", "slow down"),
            ApiError.of(500, "InternalError", "etcdserver: leader changed"),
            Unreachable("connection refused"),
        )
    )


class RigRegion:
    """One region: the real thing in models, what the hub has seen of it, and whether it answers."""

    def __init__(self, name: str, changed: Callable[[str, Key], None]) -> None:
        self.name = name
        self.models: dict[str, RegionModel] = {}
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.contact = Contact(Reach.UNKNOWN, "NotLookedAtYet", "", now())
        self.seen: dict[Key, tuple[RegionRollout, tuple[RegionArtifact, ...]]] = {}
        self.is_down = False
        self.is_hanging = False
        """It answers when it is looked at, and nothing else."""
        self.is_mute = False
        """Its watches bring nothing, though it answers."""
        self._harmful: set[str] = set()
        self._changed = changed
        self._failures = 0

    def becomes_ill(self, artifact: str) -> None:
        """Let a version do harm here."""
        self._harmful.add(artifact)

    def _ill(self, _region: str, artifact: str) -> str:
        return "an alarm fired" if artifact in self._harmful else ""

    def model(self, rollout: str) -> RegionModel:
        """The Rollouts of a name."""
        return self.models.setdefault(rollout, RegionModel(RegionFacts(self.name), self._ill))

    def rollout(self, namespace: str, name: str) -> RolloutModel:
        """One of them, as it is; raises `NotFound`."""
        found = self.model(name).rollouts.get(namespace)
        if found is None:
            raise NotFound(404, "NotFound", f'rollouts "{name}" not found')
        return found

    def delete(self, namespace: str, name: str) -> None:
        """Somebody deletes a Rollout."""
        del self.model(name).rollouts[namespace]
        self.seen.pop((namespace, name), None)
        self._changed(self.name, (namespace, name))

    def raw(self, namespace: str, name: str) -> Object:
        """A Rollout as the API server shows it."""
        r = self.rollout(namespace, name)
        told = {manifests.CLAIMED: r.claimed_by} if r.claimed_by else {}
        rejected = r.source if r.phase == "Reverting" else r.wanted if r.phase in ("Reverted", "Failed") else ""
        meta = r.manifest["metadata"]
        status = {
            "phase": r.phase,
            "observedGeneration": r.observed,
            "artifacts": {"stable": r.stable, "current": r.flying or r.stable, "rejected": rejected},
            "message": r.bad.get(rejected, ""),
        }
        return {
            "apiVersion": API_VERSION,
            "kind": "Rollout",
            "metadata": {
                **meta,
                "namespace": namespace,
                "uid": f"uid-{self.name}-{namespace}-{name}",
                "resourceVersion": str(r.version),
                "generation": r.generation,
                "annotations": {**meta["annotations"], **told},
            },
            "spec": {**r.manifest["spec"], "replicas": r.replicas},
            "status": {k: v for k, v in status.items() if v},
        }

    def show(self, key: Key) -> None:
        """The hub gets to see a Rollout as it is."""
        found = decode_region_rollout(self.raw(*key), HUB_MANAGER)
        digests = self.rollout(*key).digests.items()
        made = (
            RegionArtifact(
                key,
                i,
                d,
                is_genuine=True,
                stable_order=0,
                stable_at=None,
                rejected=None,
                configs=tuple(self.rollout(*key).configs.get(i, ())),
            )
            for i, d in digests
        )
        self.seen[key] = found, tuple(made)

    def show_all(self) -> None:
        """The hub reads the whole list."""
        if self.is_down or self.is_mute:
            return
        here = {(namespace, name) for name, model in self.models.items() for namespace in model.rollouts}
        for key in self.seen.keys() - here:
            del self.seen[key]
            self._changed(self.name, key)
        for key in here:
            seen = self.seen.get(key)
            if seen is None or seen[0].resource_version != str(self.rollout(*key).version):
                self.show(key)
                self._changed(self.name, key)

    def tick(self, moment: datetime) -> None:
        """The region's operator looks."""
        for model in self.models.values():
            model.tick(moment)

    def look(self) -> None:
        """The hub looks whether it is there."""
        if self.is_down:
            self._failures += 1
            if self._failures >= 2:
                self.contact = self.contact.turned(Reach.UNKNOWN, "Unreachable", "connection refused", now())
        else:
            self._failures = 0
            self.contact = self.contact.turned(Reach.YES, "Answering", "", now())


class RigRegions:
    """Implements `Regions`."""

    def __init__(self, wire: Wire) -> None:
        self.by_name: dict[str, RigRegion] = {}
        self.on_write: Callable[[str, Object], None] = lambda _region, _manifest: None
        """Told of a Rollout right before it is written."""
        self.test: Callable[[Mapping[str, Any]], JobState] = lambda _job: JobState.PASSED
        self.errors: dict[str, ApiError] = {}
        """By region: what its API server says to every write."""
        self._wire = wire

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.by_name))

    def contact(self, region: str) -> Contact | None:
        found = self.by_name.get(region)
        return found.contact if found else None

    def view(self, region: str, key: Key) -> RegionView | None:
        found = self.by_name.get(region)
        if found is None:
            return None
        rollout, artifacts = found.seen.get(key, (None, ()))
        return RegionView(region, found.contact, rollout, artifacts, is_known=found.contact.last is not None)

    def alarm(self, region: str, key: Key) -> RegionAlarm | None:
        """As it is there; whoever changes one tells the engine."""
        found = self.by_name.get(region)
        alarm = found.objects.get(("Alarm", *key)) if found is not None else None
        return None if alarm is None else decode_region_alarm(alarm)

    def client(self, region: str) -> RigClient:
        return RigClient(self, region)

    async def get(self, region: str, kind: Kind, namespace: str, name: str) -> Object:
        def effect(found: RigRegion) -> Object:
            if kind == kinds.ROLLOUTS:
                found.show((namespace, name))
                return found.raw(namespace, name)
            obj = found.objects.get((kind.kind, namespace, name))
            if obj is None:
                raise NotFound(404, "NotFound", f'{kind.plural} "{name}" not found')
            return obj | ({"status": job_status(self.test(obj))} if kind == kinds.JOBS else {})

        return await self._call(region, effect)

    async def create(self, region: str, manifest: Object) -> Object:
        def effect(found: RigRegion) -> Object:
            namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
            if manifest["kind"] == "Rollout":
                if namespace in found.model(name).rollouts:
                    raise AlreadyExists(409, "AlreadyExists", f'"{name}" already exists')
                self.on_write(region, manifest)
                assert found.model(name).apply(namespace, manifest, "")
                found.show((namespace, name))
            elif found.objects.setdefault((manifest["kind"], namespace, name), manifest) is not manifest:
                raise AlreadyExists(409, "AlreadyExists", f'"{name}" already exists')
            return manifest

        return await self._call(region, effect, is_write=True)

    async def apply(self, region: str, manifest: Object, *, force: bool = False) -> Object:
        def effect(found: RigRegion) -> Object:
            meta = dict(manifest["metadata"])
            namespace, name = meta["namespace"], meta["name"]
            if manifest["kind"] != "Rollout":
                found.objects[manifest["kind"], namespace, name] = manifest
                return manifest
            assert force, "a Rollout is taken from whoever else wrote it"
            live = found.raw(namespace, name)  # not there: NotFound, for it carries a uid
            uid, version = meta.pop("uid"), meta.pop("resourceVersion")
            if (uid, version) != (live["metadata"]["uid"], live["metadata"]["resourceVersion"]):
                raise Conflict(409, "Conflict", "the object has been modified")
            self.on_write(region, manifest)
            assert found.model(name).apply(namespace, {**manifest, "metadata": meta}, version)
            found.show((namespace, name))
            return found.raw(namespace, name)

        return await self._call(region, effect, is_write=True)

    async def patch(self, region: str, kind: Kind, namespace: str, name: str, patch: Object) -> Object:
        assert kind == kinds.ROLLOUTS

        def effect(found: RigRegion) -> Object:
            meta = patch["metadata"]
            if meta["resourceVersion"] != found.raw(namespace, name)["metadata"]["resourceVersion"]:
                raise Conflict(409, "Conflict", "the object has been modified")
            found.model(name).claim(namespace, meta["annotations"][manifests.CLAIMED])
            found.show((namespace, name))
            return found.raw(namespace, name)

        return await self._call(region, effect, is_write=True)

    def names_config(self, region: str, namespace: str, name: str) -> bool:
        found = self.by_name[region]
        rollouts = (model.rollouts.get(namespace) for model in found.models.values())
        return any(r is not None and any(name in names for names in r.configs.values()) for r in rollouts)

    async def delete(self, region: str, kind: Kind, namespace: str, name: str, _resource_version: str) -> None:
        def effect(found: RigRegion) -> Object:
            return found.objects.pop((kind.kind, namespace, name))

        await self._call(region, effect, is_write=True)

    async def _call(self, region: str, effect: Callable[[RigRegion], Object], *, is_write: bool = False) -> Object:
        found = self.by_name.get(region)
        if found is None:
            raise UnknownRegion(f"there is no usable Region {region}")
        if not found.contact.is_reachable:
            raise Unreachable(f"region {region} is not reachable")

        def arrive() -> Object:
            if found.is_down:
                raise Unreachable("connection refused")
            if is_write and region in self.errors:
                raise self.errors[region]
            return effect(found)

        if found.is_hanging:
            await asyncio.sleep(GIVEN_UP_AFTER_S)
            raise Unreachable("timed out")
        answer: Object = await self._wire.carry(arrive, is_write=is_write)
        return answer


class RigClient:
    """What tests as Jobs need of a region's API server."""

    def __init__(self, regions: RigRegions, region: str) -> None:
        self._regions, self._region = regions, region

    async def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        return await self._regions.create(
            self._region, {**body, "kind": kind.kind, "metadata": {**body["metadata"], "namespace": namespace}}
        )

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        return await self._regions.get(self._region, kind, namespace, name)

    async def list(self, _kind: Kind, _namespace: str, _selector: str = "", **_: str) -> Object:
        """No pod of a Job is left."""
        return {"metadata": {}, "items": []}


def job_status(state: JobState) -> Object:
    """The status of a Job that fares so."""
    if state is JobState.RUNNING:
        return {}
    return {"conditions": [{"type": _CONDITIONS[state], "status": "True", "message": "exit code 1"}]}
