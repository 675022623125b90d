"""Step 1 of a pass over a Pipeline: from the stores, the regions and the gates to one frozen snapshot."""

import dataclasses
import operator
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from ombak.core.conveyor import scene
from ombak.core.conveyor.memory import HubMemory, load_memory
from ombak.core.conveyor.merge import Merged, merge
from ombak.core.conveyor.readback import rollout_facts
from ombak.core.conveyor.snapshot import (
    BroughtFacts,
    HubArtifact,
    HubSnapshot,
    JobFacts,
    RegionFacts,
    RolloutFacts,
)
from ombak.runtime.clock import Clock
from ombak.runtime.decode_alarm import moment_of
from ombak.runtime.gate_book import GateBook
from ombak.runtime.hub.gating import Gating, named_alarms
from ombak.runtime.hub.index import AlarmIndex
from ombak.runtime.hub.records import HubArtifactRecord, PipelineRecord
from ombak.runtime.region_records import RegionArtifact, RegionRecord, RegionRollout, floors_of
from ombak.runtime.regions import Contact, Reach, Regions, RegionView, cluster_of
from ombak.runtime.store import Key, Store

LOOKS_FIRST = timedelta(minutes=5)
"""So long a new process looks for a Region before it says that it is silent."""
_SET = timedelta(seconds=1)
"""By more than this two clocks differ only where one of them was set, or stood still."""
_NO_KEY: Key = ("", "")


@dataclasses.dataclass(frozen=True, slots=True)
class HubStores:
    """All that a hub knows of its own cluster."""

    pipelines: Store[PipelineRecord]
    artifacts: Store[HubArtifactRecord]
    regions: Store[RegionRecord]


@dataclasses.dataclass(frozen=True, slots=True)
class _Read:
    """A Rollout of a region and its Artifacts as they were kept, and what a decision reads of them."""

    rollout: RegionRollout
    artifacts: tuple[RegionArtifact, ...]
    facts: RolloutFacts


class Observer:
    """Makes snapshots; reads memory only and never waits."""

    def __init__(
        self, hub: str, stores: HubStores, regions: Regions, gates: GateBook, clock: Clock, alarms: AlarmIndex
    ) -> None:
        """`hub` tells this hub from all others; `alarms` is told for which Alarms a Pipeline asks."""
        self._hub, self._stores, self._regions, self._clock, self._alarms = hub, stores, regions, clock, alarms
        self._gating = Gating(gates, regions)
        self._regions_told: dict[str, tuple[RegionRecord, RegionFacts]] = {}
        self._read: dict[Key, dict[tuple[str, str], _Read]] = {}
        """What the last pass over a Pipeline read, by region and namespace: most is the same in the next one."""
        self._unheard_since: dict[str, datetime] = {}
        """Since when this process looks for a Region that it has not heard yet."""
        self._silent_since: dict[str, tuple[float, datetime]] = {}
        """When it first saw that a Region does not answer: monotonic seconds, and the moment that is told of it."""

    def snapshot(self, record: PipelineRecord, jobs: Mapping[str, JobFacts], now: datetime) -> HubSnapshot:
        """Return everything that a decision about a Pipeline may look at."""
        view, memory = record.view, load_memory(record.status.get("memory"))
        key, bases = (view.namespace, view.name), self._bases(record)
        artifacts = tuple(stored.value.view for _, stored in self._stores.artifacts.owned_by(key))
        plans = list(_plans(record, bases, memory, artifacts))
        regions = tuple(self.region(name, now) for name in self._known())
        self._alarms.put(key, frozenset((*named_alarms(view.namespace, plans), *_travelling(view.namespace, plans))))
        return HubSnapshot(
            hub=self._hub,
            pipeline=view,
            memory=memory,
            bases=bases,
            regions=regions,
            rollouts=tuple(self._rollouts(key, _namespaces(view.namespace, plans))),
            artifacts=artifacts,
            alarms=dict(self._brought(view.namespace, plans)),
            jobs=jobs,
            gates=tuple(self._gating.answers(record, plans, regions, now)),
            overrides=self._gating.overrides(record),
        )

    def forget(self, key: Key) -> None:
        """Let go of what was read for a Pipeline that is gone, or at rest: it may be looked at days later."""
        self._read.pop(key, None)

    def _known(self) -> list[str]:
        return [name for name in self._regions.names() if self._stores.regions.get(("", name)) is not None]

    def _bases(self, record: PipelineRecord) -> dict[str, Mapping[str, Any]]:
        """All that it extends, over any depth; a circle ends where it began."""
        found: dict[str, Mapping[str, Any]] = {}
        base = record.base
        while base and base not in found:
            stored = self._stores.pipelines.get((record.meta.namespace, base))
            if stored is None:
                break
            found[base] = stored.value.view.spec
            base = stored.value.base
        return found

    def region(self, name: str, now: datetime) -> RegionFacts:
        """Return a Region as it stands now. One whose Rollouts were not listed yet is not reached.

        Of one that this process has not looked for long enough nothing is known: the hub may just have begun to. What
        an earlier process wrote may be by the clock of another machine: it never makes the silence shorter than that
        which this one has heard itself.
        """
        stored, contact = self._stores.regions.get(("", name)), self._regions.contact(name)
        record = stored.value if stored is not None else None
        view = self._regions.view(name, _NO_KEY)
        is_reached = contact is not None and contact.is_reachable and view is not None and view.is_known
        unheard = self._unheard(name, contact, now)
        is_new = unheard is not None and now - unheard < LOOKS_FIRST
        return dataclasses.replace(
            self._told(record) if record is not None else RegionFacts(name),
            reachable=None if is_new and not is_reached else is_reached,
            refusal=contact.reason if contact is not None and contact.reach is Reach.NO else "",
            cluster=cluster_of(record.status if record is not None else {}, contact),
            silence=contact.operator.message if contact is not None and contact.operator.lives is False else "",
            last_contact=_last_contact(record, contact, unheard),
            silent_for=self._silent_for(name, now, is_reached=is_reached),
        )

    def _silent_for(self, name: str, now: datetime, *, is_reached: bool) -> timedelta | None:
        """Return for how long it has not answered, as far as this process has seen it; None while it answers.

        The moment at which that began stays the same until the clock is set: two clocks never tell it to the second.
        """
        if is_reached:
            self._silent_since.pop(name, None)
            return None
        mono = self._clock.monotonic()
        began, told = self._silent_since.get(name, (mono, now))
        since = now - timedelta(seconds=mono - began)
        if abs(since - told) > _SET:
            told = since
        self._silent_since[name] = began, told
        return now - told

    def _unheard(self, name: str, contact: Contact | None, now: datetime) -> datetime | None:
        """Return since when it is looked for and has not answered this process yet; None if it has.

        Not since its contact stands like this: a region that fails now in one way and now in another is as silent.
        """
        if contact is not None and contact.last is not None:
            self._unheard_since.pop(name, None)
            return None
        since = now if contact is None else min(now, contact.since)
        return self._unheard_since.setdefault(name, since)

    def _told(self, record: RegionRecord) -> RegionFacts:
        known = self._regions_told.get(record.meta.name)
        if known is None or known[0] is not record:
            known = self._regions_told[record.meta.name] = record, region_facts(record)
        return known[1]

    def _rollouts(self, key: Key, namespaces: Iterable[str]) -> Iterator[RolloutFacts]:
        known, places = self._read.get(key, {}), [(r, n) for n in namespaces for r in self._known()]
        self._read[key] = {}
        for region, namespace in places:
            view = self._regions.view(region, (namespace, key[1]))
            if view is not None and view.rollout is not None:
                found = self._read[key][region, namespace] = _read(view, view.rollout, known.get((region, namespace)))
                yield found.facts

    def _brought(self, own: str, plans: Iterable[Merged]) -> Iterator[tuple[tuple[str, str, str], BroughtFacts]]:
        alarms = _travelling(own, plans)
        for region, alarm in ((r, a) for r in self._known() for a in alarms):
            found = self._regions.alarm(region, alarm)
            if found is not None:
                told = found.brought
                yield (region, *alarm), BroughtFacts(told.spec, told.hub, told.pipeline, told.version)


def _plans(
    record: PipelineRecord,
    bases: Mapping[str, Mapping[str, Any]],
    memory: HubMemory,
    artifacts: Iterable[HubArtifact],
) -> Iterator[Merged]:
    """Today's plan, and those by which older changes travel."""
    yield merge(record.view.name, record.view.spec, bases)
    known = {artifact.version: artifact for artifact in artifacts}
    for item in reversed(memory.items):
        frozen, artifact = memory.plans.get(item.plan), known.get(item.version)
        if frozen is not None and artifact is not None:
            yield merge(record.view.name, scene.thaw(frozen, artifact), {})


def _namespaces(own: str, plans: Iterable[Merged]) -> list[str]:
    """Where in regions the Pipeline has something."""
    found = {own}
    for made in plans:
        found |= {stage.namespace or own for stage in (made.spec.stages if made.spec is not None else ())}
    return sorted(found)


def _travelling(own: str, plans: Iterable[Merged]) -> list[Key]:
    """Return namespace and name of the Alarms that may travel along, in any namespace where the Pipeline is."""
    names = {str(o["metadata"]["name"]) for made in plans for o in made.objects if o.get("kind") == "Alarm"}
    return [(namespace, name) for namespace in _namespaces(own, plans) for name in sorted(names)] if names else []


def region_facts(record: RegionRecord) -> RegionFacts:
    """Return what a Region says of itself; whether it answers is for others to say."""
    spec = record.spec
    if spec is None:
        return RegionFacts(record.meta.name, record.labels)
    return RegionFacts(
        name=record.meta.name,
        labels=record.labels,
        zones=tuple(spec.zones),
        floors=floors_of(spec),
        allow=tuple(spec.allow.namespaces) if spec.allow is not None else None,
        into=tuple(spec.allow.into) if spec.allow is not None else (),
        time_zone=spec.time_zone or "",
    )


def _last_contact(record: RegionRecord | None, contact: Contact | None, unheard: datetime | None) -> datetime | None:
    """When the hub heard of it last: this process, or an earlier one, and then not after this one began to look."""
    if contact is not None and contact.last is not None:
        return contact.last
    written = moment_of(record.status.get("lastContact")) if record is not None else None
    return min(written, unheard) if written is not None and unheard is not None else written


def _read(view: RegionView, rollout: RegionRollout, before: _Read | None) -> _Read:
    """Return what a region says of a Rollout: what was read before, as long as it says the very same."""
    if before is not None and before.rollout is rollout and _are_same(before.artifacts, view.artifacts):
        return before
    return _Read(rollout, view.artifacts, _facts(view.region, rollout, view.artifacts))


def _are_same(some: tuple[RegionArtifact, ...], others: tuple[RegionArtifact, ...]) -> bool:
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _facts(region: str, found: RegionRollout, artifacts: Iterable[RegionArtifact]) -> RolloutFacts:
    obj = {
        "metadata": {
            "namespace": found.namespace,
            "resourceVersion": found.resource_version,
            "generation": found.generation,
            "annotations": found.annotations,
        },
        "spec": {**found.spec, "template": found.template},
        "status": found.status,
    }
    known = tuple(artifacts)
    configs = (name for a in known for name in a.configs)
    good = (a.id for a in known if a.is_genuine and a.stable_order and a.rejected is None)
    digests, others = {a.id: a.digest for a in known if a.is_genuine}, (path for path, _ in found.others)
    return rollout_facts(region, obj, digests, configs, good, others, found.artifact)
