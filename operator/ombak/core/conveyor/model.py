"""The smallest regions there are: they take manifests and deliver them in simulated time, as far as a hub can tell.

The forecast runs the conveyor against them, and so do its properties. A region here starts what it is asked for at
once, takes its one box, batches and bakes, and reverts what is ill; nothing else ever goes wrong in it by itself.
"""

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ombak.api.duration import parse_duration
from ombak.core import naming
from ombak.core.conveyor import manifests, readback
from ombak.core.conveyor.snapshot import RegionFacts, RolloutFacts
from ombak.core.identity import digest_of, id_of

Raw = dict[str, Any]
Ill = Callable[[str, str], str]
"""What a region has against an artifact id: (region, id) -> reason, empty if it serves well there."""
KEPT = 10
"""So many versions a region keeps besides the good one."""
REVERT = timedelta(minutes=2)
_FORWARD = ("OneBox", "OneBoxBake", "Rolling", "Bake")


def healthy(_region: str, _artifact: str) -> str:
    """Nothing is ever ill."""
    return ""


@dataclasses.dataclass(frozen=True, slots=True)
class Times:
    """How long the steps of one delivery take."""

    one_box: timedelta
    rolling: timedelta
    bake: timedelta


def times_of(spec: Mapping[str, Any], box: timedelta, replicas: int) -> Times:
    """Return how long a region needs for a change by its strategy; `box` is how long a box takes to come up."""
    strategy = spec.get("strategy") or {}
    box += timedelta(seconds=spec.get("minReadySeconds") or 0)
    rolling = strategy.get("rolling") or {}
    one_box = _bake(strategy.get("oneBox"), timedelta(hours=1))
    batch_bake = _bake(rolling, timedelta(minutes=5))
    zones = len(spec.get("zones") or ("",))
    every_zone = (strategy.get("oneBox") or {}).get("scope") == "Zone"
    batch = _batch(rolling.get("batch", "33%"), replicas)
    boxes = max(0, replicas - (zones if every_zone else 1))
    steps = zones * math.ceil(math.ceil(boxes / zones) / batch) if boxes else 0
    ones = zones if every_zone else 1
    return Times(ones * (one_box + box), steps * (batch_bake + box), _bake(strategy, timedelta(hours=12)))


def _bake(part: Mapping[str, Any] | None, default: timedelta) -> timedelta:
    bake = (part or {}).get("bake") or {}
    return parse_duration(str(bake["for"])) if "for" in bake else default


def _batch(written: int | str, replicas: int) -> int:
    if isinstance(written, int):
        return max(1, min(written, replicas * 33 // 100 or 1))
    return max(1, int(written.removesuffix("%")) * replicas // 100)


@dataclasses.dataclass(slots=True)
class RolloutModel:
    """One Rollout in a region."""

    manifest: Raw
    version: int = 1
    generation: int = 1
    replicas: int = 1
    phase: str = ""
    observed: int = 0
    good: list[str] = dataclasses.field(default_factory=list)
    """What finished its bake here, the latest last."""
    bad: dict[str, str] = dataclasses.field(default_factory=dict)
    retried: set[str] = dataclasses.field(default_factory=set)
    flying: str = ""
    ends_at: datetime | None = None
    digests: dict[str, str] = dataclasses.field(default_factory=dict)
    configs: dict[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    """The ConfigMaps to which the versions that are kept refer, the latest last."""
    source: str = ""
    claimed_by: str = ""
    hashed: tuple[Raw, str] | None = None
    """A template and its digest."""

    @property
    def stable(self) -> str:
        """What a revert goes to."""
        return next((a for a in reversed(self.good) if a not in self.bad), "")

    @property
    def digest(self) -> str:
        """The digest of its template, which is replaced when it changes: hashing is dear."""
        template = self.manifest["spec"]["template"]
        if self.hashed is None or self.hashed[0] is not template:
            self.hashed = template, digest_of(template)
        return self.hashed[1]

    @property
    def wanted(self) -> str:
        """The id of its template."""
        return id_of(self.digest)


def _lacks_permit(r: RolloutModel) -> bool:
    one_box = (r.manifest["spec"].get("strategy") or {}).get("oneBox") or {}
    return bool(one_box.get("needsPermit")) and r.manifest["metadata"]["annotations"].get(naming.PERMIT) != r.flying


class RegionModel:
    """A region: Rollouts by namespace, and the Jobs that were created there."""

    def __init__(self, facts: RegionFacts, ill: Ill = healthy, box: timedelta = timedelta(seconds=30)) -> None:
        self.facts = facts
        self.rollouts: dict[str, RolloutModel] = {}
        self.objects: dict[tuple[str, str, str], Raw] = {}
        self._ill = ill
        self._harmful: set[str] = set()
        self._box = box

    def becomes_ill(self, artifact: str) -> None:
        """Let a version do harm here from now on."""
        self._harmful.add(artifact)

    def recovers(self, artifact: str) -> None:
        """Let a version serve well here from now on."""
        self._harmful.discard(artifact)

    def apply(self, namespace: str, manifest: Raw, resource_version: str) -> bool:
        """Take a Rollout, if it is still as it was seen; False if not."""
        made = copy.deepcopy(manifest)
        old = self.rollouts.get(namespace)
        if (str(old.version) if old else "") != resource_version:
            return False
        if old is None:
            replicas = made["spec"].pop("replicas", 1)
            self.rollouts[namespace] = RolloutModel(made, replicas=replicas)
            return True
        assert "replicas" not in made["spec"]
        old.generation += made["spec"] != old.manifest["spec"]
        old.version += made != old.manifest
        old.manifest = made
        return True

    def put(self, namespace: str, manifest: Raw) -> None:
        """Take an object that travels along."""
        self.objects[namespace, manifest["kind"], manifest["metadata"]["name"]] = copy.deepcopy(manifest)

    def claim(self, namespace: str, hub: str) -> None:
        """Note that another hub was told to deliver here too."""
        old = self.rollouts.get(namespace)
        if old is not None:
            old.claimed_by = hub
            old.version += 1

    def tick(self, now: datetime) -> None:
        """Let the region's operator look at each Rollout once, and time do its work."""
        for rollout in self.rollouts.values():
            before = (rollout.phase, rollout.observed, rollout.stable, rollout.flying, dict(rollout.bad))
            self._look(rollout, now)
            rollout.observed = rollout.generation
            after = (rollout.phase, rollout.observed, rollout.stable, rollout.flying, dict(rollout.bad))
            rollout.version += before != after

    def _look(self, r: RolloutModel, now: datetime) -> None:
        spec, wanted = r.manifest["spec"], r.wanted
        r.digests[wanted] = r.digest
        r.configs[wanted] = r.configs.pop(wanted, frozenset()) or manifests.configs_of(spec["template"])
        for old in [a for a in r.configs if a != r.stable][:-KEPT]:
            del r.configs[old]
        for named in spec.get("rejected") or ():
            r.bad.setdefault(named, "spec.rejected names it")
        self._retry(r)
        if r.flying and r.flying == r.manifest["metadata"]["annotations"].pop(naming.ABORT, ""):
            r.bad[r.flying] = "aborted"
        if r.flying and r.flying in r.bad:
            self._go_back(r, r.flying, now)
        elif r.phase in _FORWARD or r.phase == "Installing":
            self._fly(r, now)
        elif r.phase == "Reverting":
            if r.ends_at is not None and now >= r.ends_at:
                r.phase, r.ends_at = "Reverted" if wanted in r.bad else "Stable", None
        elif wanted == r.stable:
            r.phase, r.source = "Stable", ""
        elif wanted in r.bad:
            if r.stable and r.phase == "Stable":
                self._go_back(r, wanted, now)
            else:
                r.phase = "Reverted" if r.stable else "Failed"
        else:
            self._begin(r, wanted, now)

    def _retry(self, r: RolloutModel) -> None:
        command = r.manifest["metadata"]["annotations"].pop(naming.RETRY, "")
        named = command.partition(".")[0]
        if command:
            r.version += 1
        if named in r.bad and command not in r.retried and named not in (r.manifest["spec"].get("rejected") or ()):
            del r.bad[named]
            r.retried.add(command)
            r.phase = "" if r.phase in ("Failed", "Reverted") else r.phase

    def _begin(self, r: RolloutModel, wanted: str, now: datetime) -> None:
        times = times_of(r.manifest["spec"], self._box, r.replicas)
        r.flying, r.source = wanted, ""
        if not r.stable:
            r.phase, r.ends_at = "Installing", now + self._box + times.bake
        elif wanted in r.good:
            r.phase, r.ends_at = "Rolling", now + self._box
        else:
            r.phase, r.ends_at = "OneBoxBake", now + times.one_box

    def _fly(self, r: RolloutModel, now: datetime) -> None:
        reason = "an alarm fired" if r.flying in self._harmful else self._ill(self.facts.name, r.flying)
        if reason:
            r.bad[r.flying] = reason
            self._go_back(r, r.flying, now)
        elif r.ends_at is not None and now >= r.ends_at:
            self._next(r, r.ends_at, now)

    def _next(self, r: RolloutModel, since: datetime, now: datetime) -> None:
        times = times_of(r.manifest["spec"], self._box, r.replicas)
        if r.phase == "OneBoxBake" and _lacks_permit(r):
            r.ends_at = now
            return
        if r.phase == "OneBoxBake":
            r.phase, r.ends_at = "Rolling", since + times.rolling
        elif r.phase == "Rolling" and r.flying not in r.good:
            r.phase, r.ends_at = "Bake", since + times.bake
        else:
            r.good = [*(a for a in r.good if a != r.flying), r.flying]
            r.phase, r.flying, r.ends_at = "Stable", "", None
            if r.wanted != r.stable:
                self._look(r, now)
            return
        self._fly(r, now)

    def _go_back(self, r: RolloutModel, source: str, now: datetime) -> None:
        r.flying, r.source = "", source
        if r.stable:
            r.phase, r.ends_at = "Reverting", now + REVERT
        else:
            r.phase, r.ends_at = "Failed", None

    def replacing(self, r: RolloutModel, now: datetime) -> frozenset[str]:
        """Return the zones of which boxes are in replacement: without `spec.zones` all of them at once (P6)."""
        if r.phase != "Rolling" or r.ends_at is None:
            return frozenset()
        zones = r.manifest["spec"].get("zones")
        if not zones:
            return frozenset(self.facts.zones)
        lasts = times_of(r.manifest["spec"], self._box, r.replicas).rolling / len(zones)
        left = max(0, (r.ends_at - now) // lasts) if lasts else 0
        return frozenset({zones[max(0, len(zones) - 1 - left)]})

    def next_at(self) -> datetime | None:
        """When something happens here by itself."""
        return min((r.ends_at for r in self.rollouts.values() if r.ends_at is not None), default=None)

    def seen(self) -> tuple[RolloutFacts, ...]:
        """Return what a hub reads of it."""
        return tuple(self._facts(namespace, r) for namespace, r in self.rollouts.items())

    def _facts(self, namespace: str, r: RolloutModel) -> RolloutFacts:
        configs = (name for names in r.configs.values() for name in names)
        good = (version for version in r.good if version not in r.bad)
        return readback.rollout_facts(self.facts.name, self.raw(namespace), r.digests, configs, good, r.wanted)

    def raw(self, namespace: str) -> Raw:
        """Return a Rollout as the region's API server shows it."""
        r = self.rollouts[namespace]
        metadata = r.manifest["metadata"] | {
            "namespace": namespace,
            "resourceVersion": str(r.version),
            "generation": r.generation,
        }
        if r.claimed_by:
            metadata["annotations"] = metadata["annotations"] | {manifests.CLAIMED: r.claimed_by}
        rejected = r.source if r.phase == "Reverting" else r.wanted if r.phase in ("Reverted", "Failed") else ""
        artifacts = {"stable": r.stable, "current": r.flying or r.stable, "rejected": rejected}
        status: Raw = {
            "phase": r.phase,
            "observedGeneration": r.observed,
            "artifacts": artifacts,
            "message": r.bad.get(rejected, ""),
        }
        if r.ends_at is not None:
            status["waitingFor"] = {"what": f"its {r.phase}", "who": "time", "expected": r.ends_at.isoformat()}
        spec = r.manifest["spec"] | {"replicas": r.replicas}
        return {"metadata": metadata, "spec": spec, "status": status}
