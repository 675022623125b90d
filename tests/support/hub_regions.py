"""Regions of a hub in memory, behind the port that the hub has: late, silent, hanging, refusing, or cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from ombak.api.common import API_VERSION
from ombak.core.conditions import stamp
from ombak.core.conveyor import manifests
from ombak.core.conveyor.model import RegionModel, RolloutModel
from ombak.core.conveyor.snapshot import JobState, RegionFacts
from ombak.runtime import kinds
from ombak.runtime.kube_port import AlreadyExists, ApiError, Conflict, Kind, NotFound, Object, Unreachable
from ombak.runtime.pulse import BEAT_EVERY, UNASKED, PulseListener
from ombak.runtime.region_records import (
    RegionAlarm,
    RegionArtifact,
    RegionRollout,
    decode_region_alarm,
    decode_region_rollout,
)
from ombak.runtime.regions import HUB_MANAGER, Contact, Reach, RegionView, UnknownRegion
from ombak.runtime.store import Key
from support.hub_wire import GIVEN_UP_AFTER_S, SkewedClock, Wire, at_once

LOOK_EVERY_S = 5.0
_CONDITIONS = {JobState.PASSED: "Complete", JobState.FAILED: "Failed"}


class RigRegion:
    """One region: the real thing in models, what the hub has seen of it, and whether it answers.

    It has a clock of its own, and so has the hub, by which it notes when it heard of the region.
    """

    def __init__(self, name: str, changed: Callable[[str, Key], None], hub: SkewedClock) -> None:
        self.name = name
        self.clock = SkewedClock()
        self.is_operated = True
        """Its operator lives: it works, and gives signs of life."""
        self.tells_times = False
        """Its status tells when it expects to go on, by its own clock."""
        self._hub = hub
        self._lease: Object = {}
        self._beat_due = 0.0
        self.models: dict[str, RegionModel] = {}
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.is_forgotten()
        self.seen: dict[Key, tuple[RegionRollout, tuple[RegionArtifact, ...]]] = {}
        self.is_down = False
        self.is_hanging = False
        """It answers when it is looked at, and nothing else."""
        self.is_mute = False
        """Its watches bring nothing, though it answers."""
        self._harmful: set[str] = set()
        self._changed = changed
        self._failures = 0

    def is_forgotten(self) -> None:
        """Another process of the hub begins to look."""
        self.contact = Contact(Reach.UNKNOWN, "NotLookedAtYet", "", self._hub.now(), operator=UNASKED)
        self._listener = PulseListener()

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
        claimed = {manifests.CLAIMED: r.claimed_by} if r.claimed_by else {}
        rejected = r.source if r.phase == "Reverting" else r.wanted if r.phase in ("Reverted", "Failed") else ""
        meta = r.manifest["metadata"]
        status = {
            "phase": r.phase,
            "observedGeneration": r.observed,
            "artifacts": {"stable": r.stable, "current": r.flying or r.stable, "rejected": rejected},
            "message": r.bad.get(rejected, ""),
        }
        if self.tells_times and r.ends_at is not None:
            told = stamp(r.ends_at)
            status["waitingFor"] = {"what": "time", "who": "nobody", "since": told, "expected": told}
        return {
            "apiVersion": API_VERSION,
            "kind": "Rollout",
            "metadata": {
                **meta,
                "namespace": namespace,
                "uid": f"uid-{self.name}-{namespace}-{name}",
                "resourceVersion": str(r.version),
                "generation": r.generation,
                "annotations": {**meta["annotations"], **claimed},
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

    def tick(self) -> None:
        """The region's operator looks, and gives a sign of life now and then."""
        if not self.is_operated:
            return
        for model in self.models.values():
            model.tick(self.clock.now())
        if self.clock.monotonic() >= self._beat_due:
            self._beat_due = self.clock.monotonic() + BEAT_EVERY.total_seconds()
            self._lease = {"spec": {"holderIdentity": self.name, "renewTime": self.clock.now().isoformat()}}

    def look(self) -> None:
        """The hub looks whether it is there, and whether its operator lives."""
        if self.is_down:
            self._failures += 1
            if self._failures >= 2:
                reason = ("Unreachable", "Timeout")[self._failures % 2]
                self.contact = self.contact.turned(Reach.UNKNOWN, reason, "connection refused", self._hub.now())
        else:
            self._failures = 0
            sign = at_once(self._listener.listen(_LeaseReader(self._lease), self._hub.monotonic(), self._hub.now()))
            self.contact = self.contact.turned(Reach.YES, "Answering", "", self._hub.now()).seen("", sign)


class _LeaseReader:
    """A client that reads the Lease."""

    def __init__(self, lease: Object) -> None:
        self._lease = lease

    async def get(self, _kind: Kind, _namespace: str, name: str) -> Object:
        if not self._lease:
            raise NotFound(404, "NotFound", name)
        return self._lease


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
