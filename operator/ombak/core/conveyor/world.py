"""A hub and its regions in simulated time: plans carried out against models, by the very same decisions."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ombak.core.conveyor import content, manifests, plan
from ombak.core.conveyor.decide import decide
from ombak.core.conveyor.memory import HubMemory, dump_memory, load_memory
from ombak.core.conveyor.model import Ill, RegionModel, healthy
from ombak.core.conveyor.snapshot import (
    BroughtFacts,
    GateAnswer,
    HubArtifact,
    HubRejection,
    HubSnapshot,
    JobFacts,
    JobState,
    PipelineView,
    RegionFacts,
    RolloutFacts,
)
from ombak.core.overrides.facts import NO_OVERRIDES

Gates = Callable[[datetime], tuple[GateAnswer, ...]]
Tests = Callable[[Mapping[str, Any]], JobState]


def no_gates(_now: datetime) -> tuple[GateAnswer, ...]:
    """Every gate is open at all times."""
    return ()


def all_pass(_job: Mapping[str, Any]) -> JobState:
    """Every test passes."""
    return JobState.PASSED


class World:
    """One Pipeline on a hub, and its regions."""

    def __init__(
        self,
        pipeline: PipelineView,
        regions: Sequence[RegionFacts],
        now: datetime,
        *,
        ill: Ill = healthy,
        gates: Gates = no_gates,
    ) -> None:
        self.now = now
        self.hub = "hub-1"
        self.pipeline = pipeline
        self.bases: dict[str, Mapping[str, Any]] = {}
        self.memory = HubMemory()
        self.artifacts: dict[str, HubArtifact] = {}
        self.jobs: dict[str, tuple[str, dict[str, Any]]] = {}
        self.regions: dict[str, RegionModel] = {}
        self.silent: set[str] = set()
        """Regions that do not answer; what they were last seen to be is in `views`."""
        self.views: dict[str, tuple[RolloutFacts, ...]] = {}
        self.contact: dict[str, datetime] = {}
        self.dropped: set[tuple[str, str, str]] = set()
        self.test: Tests = all_pass
        self.overrides = NO_OVERRIDES
        self._ill, self._gates = ill, gates
        self._decided: HubSnapshot | None = None
        """What the last step decided on."""
        for region in regions:
            self.add(region)

    def add(self, region: RegionFacts) -> None:
        """Register a region."""
        self.regions.setdefault(region.name, RegionModel(region, self._ill)).facts = region
        self.views.setdefault(region.name, ())
        self.contact.setdefault(region.name, self.now)

    def set_gates(self, gates: Gates) -> None:
        """Let other gates answer from now on."""
        self._gates = gates

    def look(self, stale: frozenset[str] = frozenset()) -> None:
        """See the regions as they are, but for those that are silent or whose view is late."""
        for name, region in self.regions.items():
            if name not in self.silent:
                self.contact[name] = self.now
                if name not in stale:
                    self.views[name] = region.seen()

    def facts(self) -> tuple[RegionFacts, ...]:
        """Return the regions as the hub knows them."""
        return tuple(
            dataclasses.replace(r.facts, reachable=name not in self.silent, last_contact=self.contact[name])
            for name, r in self.regions.items()
        )

    def snapshot(self) -> HubSnapshot:
        """Return what the hub knows."""
        return HubSnapshot(
            hub=self.hub,
            pipeline=self.pipeline,
            bases=self.bases,
            memory=load_memory(dump_memory(self.memory)),
            regions=self.facts(),
            rollouts=tuple(f for name in self.regions for f in self.views[name]),
            artifacts=tuple(self.artifacts.values()),
            alarms=dict(self._alarms()),
            dropped=frozenset(self.dropped),
            jobs={
                name: JobFacts(name, self.test(job), made_of=content.short_hash(job))
                for name, (region, job) in self.jobs.items()
                if region not in self.silent
            },
            gates=self._gates(self.now),
            overrides=self.overrides,
        )

    def _alarms(self) -> Iterator[tuple[tuple[str, str, str], BroughtFacts]]:
        for region, model in self.regions.items():
            for (namespace, kind, name), found in model.objects.items():
                if kind == "Alarm":
                    told = found["metadata"].get("annotations") or {}
                    named = (told.get(key, "") for key in (manifests.HUB, manifests.PIPELINE, manifests.VERSION))
                    yield (region, namespace, name), BroughtFacts(found.get("spec") or {}, *named)

    def step(self, *, writes: int | None = None, stale: frozenset[str] = frozenset()) -> plan.HubPlan:
        """Look, decide and carry out; with `writes` the hub dies after so many of them."""
        self.look(stale)
        self._decided = self.snapshot()
        made = decide(self._decided, self.now)
        self.carry_out(made, writes)
        return made

    def carry_out(self, made: plan.HubPlan, writes: int | None = None) -> None:
        """Do what a plan says, in its order, the memory being one of the writes; a region's refusal ends its part."""
        early = [a for a in made.actions if isinstance(a, plan.EARLY)]
        late = [a for a in made.actions if not isinstance(a, plan.EARLY)]
        for write in [*early, made.memory, *late][:writes]:
            if isinstance(write, HubMemory):
                self.memory = write
            else:
                self._do(write)

    def _do(self, action: plan.Action) -> None:
        match action:
            case plan.EnsureArtifact() | plan.RetryArtifact():
                self._keep(action)
            case plan.RecordRejected(version=version):
                rejection = HubRejection(
                    action.reason, action.message, self.now, action.stage, action.region, action.scope
                )
                self.artifacts[version] = dataclasses.replace(self.artifacts[version], rejection=rejection)
            case plan.RecordRetry(version=version):
                self.artifacts[version] = dataclasses.replace(
                    self.artifacts[version], rejection=None, retried=action.command, retried_at=action.at
                )
            case plan.ClearCommand(annotation=annotation):
                name = annotation.rpartition("/")[2]
                self.pipeline = dataclasses.replace(self.pipeline, **{name: ""})  # type: ignore[arg-type]  # abort or retry
            case plan.DeleteArtifact(version=version):
                del self.artifacts[version]
            case plan.RunTest(region=region, manifest=manifest):
                if region not in self.silent:
                    self._run_job(region, manifest)
            case _:
                self._in_region(action)

    def _run_job(self, region: str, manifest: dict[str, Any]) -> None:
        """Make a Job once; one that was refused gives way to a corrected one."""
        name = manifest["metadata"]["name"]
        if name not in self.jobs or self.test(self.jobs[name][1]) is JobState.REFUSED:
            self.jobs[name] = (region, manifest)

    def _keep(self, action: plan.EnsureArtifact | plan.RetryArtifact) -> None:
        spec = action.manifest["spec"]
        made = HubArtifact(
            version=action.version,
            id=spec["id"],
            name=action.manifest["metadata"]["name"],
            sequence=spec["sequence"],
            template=spec["template"],
            objects=tuple(spec.get("objects") or ()),
            values=tuple(spec.get("values") or ()),
            is_genuine=content.content_id(spec["template"], spec.get("objects") or ()) == spec["id"],
            provenance=self.pipeline.provenance,
            resource_version="1",
        )
        self.artifacts.setdefault(action.version, made)

    def _in_region(self, action: plan.ApplyObject | plan.ApplyRollout | plan.Claim | plan.DropConfig) -> None:
        region = self.regions.get(action.region)
        if region is None or action.region in self.silent:
            return
        match action:
            case plan.ApplyObject(namespace=namespace, manifest=manifest):
                region.put(namespace, manifest)
                self.dropped.discard((action.region, namespace, manifest["metadata"]["name"]))
            case plan.DropConfig(namespace=namespace, name=name):
                region.objects.pop((namespace, "ConfigMap", name), None)
                self.dropped.add(action.place)
            case plan.ApplyRollout(namespace=namespace, manifest=manifest, resource_version=version):
                region.apply(namespace, manifest, version)
            case plan.Claim(namespace=namespace, hub=hub):
                region.claim(namespace, hub)

    def tick(self, by: timedelta = timedelta(0)) -> None:
        """Let time pass, and every region's operator look once; silence does not stop them."""
        self.now += by
        for region in self.regions.values():
            region.tick(self.now)

    def next_at(self, made: plan.HubPlan) -> datetime | None:
        """When something happens next by itself, in a region, at a gate, or as an Override ends."""
        moments = [m for region in self.regions.values() if (m := region.next_at()) is not None]
        moments += [made.override.until] if made.override is not None else []
        moments += [w.expected for w in made.waits if w.expected is not None]
        return min((m for m in moments if m > self.now), default=None)

    def settle(self, most: int = 40) -> plan.HubPlan:
        """Decide until nothing more is to be done at this moment."""
        for _ in range(most):
            self.tick()
            made = self.step()
            self.tick()
            self.look()
            if not made.actions and self._is_settled():
                return made
        raise RuntimeError(f"it does not settle: {made.actions}")

    def _is_settled(self) -> bool:
        """Nothing more is to be done: of the same picture the same is decided, and it was nothing."""
        seen = self.snapshot()
        return seen == self._decided or decide(seen, self.now).actions == ()

    def run(self, until: datetime) -> plan.HubPlan:
        """Let everything happen up to a moment, from one event to the next."""
        while True:
            made = self.settle()
            following = self.next_at(made)
            if following is None or following > until:
                self.tick(until - self.now)
                return self.settle()
            self.tick(following - self.now)
