"""What every part of a decision about a Pipeline needs: the snapshot, what follows from it, and what came of it."""

import operator
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from ombak.core.conveyor import manifests, plan
from ombak.core.conveyor.memory import HubMemory, Item
from ombak.core.conveyor.merge import Merged, merge
from ombak.core.conveyor.placement import Placement, Target, place
from ombak.core.conveyor.snapshot import GateAnswer, HubArtifact, HubRejection, HubSnapshot, RegionFacts, RolloutFacts
from ombak.core.overrides.view import Permit
from ombak.core.plan import Note

Key = tuple[str, str]
_BEYOND = 10**15
"""No hub ever counts so far: somebody wrote it, and the next number is not to be larger."""
_MOST_CHANGES = 64


class Scene:
    """One decision while it is made: frozen facts, and the items, intents, notes and waits that grow on the way."""

    def __init__(self, s: HubSnapshot, now: datetime) -> None:
        self.s = s
        self.now = now
        self.merged = merge(s.pipeline.name, s.pipeline.spec, s.bases)
        self.regions: Mapping[str, RegionFacts] = {r.name: r for r in s.regions}
        self.facts: Mapping[Key, RolloutFacts] = {(f.region, f.namespace): f for f in s.rollouts}
        self.artifacts: dict[str, HubArtifact] = {a.version: a for a in s.artifacts}
        self.items: list[Item] = sorted(s.memory.items, key=lambda i: i.sequence)
        self.plans: dict[str, dict[str, object]] = dict(s.memory.plans)
        self.sequence = _last_sequence(s)
        self.changes: dict[int, str] = dict(s.memory.changes)
        self.wish = s.memory.wish
        self.early: list[plan.Action] = []
        self.late: list[plan.Action] = []
        self.notes: list[Note] = []
        self.waits: dict[str, plan.HubWait] = {}
        """By their keys, in the order in which they were found; of several of a key the first one counts."""
        self.unheard: list[str] = []
        """What is wrong with commands that named nothing."""
        self.abandoned = ""
        """What would be left alone if this base were taken for one: as it was when the decision began."""
        self.touched: set[Key] = set()
        """Places that are written to in this decision: what was seen of them is no longer how they are."""
        self._merged: dict[tuple[str, str], Merged] = {}
        self._placed: dict[str, Placement] = {}
        self._places: tuple[tuple[int, ...], dict[Key, list[Target]]] = (), {}
        self._keys: dict[str, tuple[tuple[Target, ...], frozenset[Key]]] = {}
        self._gates: defaultdict[Key, list[tuple[int, GateAnswer]]] = defaultdict(list)
        for number, answer in enumerate(s.gates):
            self._gates[answer.stage, answer.region].append((number, answer))
        self._orders: dict[tuple[int, str, str, str, str], manifests.Order] = {}
        self._specs: dict[object, manifests.Manifest] = {}

    # -- what is known

    @property
    def problem(self) -> str:
        """What is wrong with the Pipeline, with field and fix.

        Nothing, where that was let in before: an upgrade that knows more neither holds nor accuses what is there (P7).
        """
        is_let_in = self.merged.spec is not None and self.merged.wish == self.wish
        return self.s.pipeline.problem or ("" if is_let_in else self.merged.problem) or self.abandoned

    @property
    def is_base(self) -> bool:
        """It has no rollout, and is there for others to extend."""
        return self.merged.spec is not None and self.merged.spec.rollout is None

    def plan_of(self, item: Item) -> Merged:
        """Return the frozen Pipeline by which an item travels; today's if that was lost."""
        found = self._merged.get((item.plan, item.version))
        if found is None:
            found = self._merged[item.plan, item.version] = self._thawed(item)
        return found

    def _thawed(self, item: Item) -> Merged:
        raw, artifact = self.plans.get(item.plan), self.artifacts.get(item.version)
        if raw is None or artifact is None:
            return self.merged
        thawed = merge(self.s.pipeline.name, thaw(raw, artifact), {})
        return thawed if thawed.spec is not None else self.merged

    def placement(self, made: Merged) -> Placement:
        """Return which stage of a plan has which regions, as they are now."""
        if made.spec is None:
            return Placement({})
        # Today's plan and the one by which a change travels mostly have the same stages.
        if made.route not in self._placed:
            self._placed[made.route] = place(made.spec, self.s.pipeline.namespace, self.s.regions)
        return self._placed[made.route]

    def places(self, key: Key) -> Sequence[Target]:
        """Return a place as a target of the stages that have it: of today's plan, and of those that items travel by."""
        plans = [self.merged, *(self.plan_of(item) for item in self.items)]
        made_of = tuple(map(id, plans))
        if self._places[0] != made_of:
            by_key: dict[Key, list[Target]] = {}
            for target in (t for made in plans for ts in self.placement(made).targets.values() for t in ts):
                by_key.setdefault(target.key, []).append(target)
            self._places = made_of, by_key
        return self._places[1].get(key, ())

    def is_placed(self, target: Target) -> bool:
        """Whether a stage of today has a place, or one of what is on its way: what is delivered passes nothing over."""
        travelling = [self.plan_of(item) for item in self.items if not self.is_done(item)]
        is_told = self.merged.spec is not None or not self.items
        plans = [self.merged if is_told else self.plan_of(self.items[-1]), *travelling]
        return any(target.key in self.placement(made).keys for made in plans)

    def stages(self, item: Item) -> tuple[str, ...]:
        """Return the names of the stages on an item's way."""
        spec = self.plan_of(item).spec
        return tuple(stage.name for stage in spec.stages) if spec else ()

    def is_done(self, item: Item) -> bool:
        """Whether a change passed its last stage."""
        stages = self.stages(item)
        return bool(stages) and item.stage == stages[-1] and not item.is_inside

    def targets(self, item: Item, stage: str) -> tuple[Target, ...]:
        """Return where an item goes in a stage."""
        return self.placement(self.plan_of(item)).targets.get(stage, ())

    def keys(self, item: Item, stage: str) -> frozenset[Key]:
        """Return the places to which an item goes in a stage."""
        targets = self.targets(item, stage)
        known = self._keys.get(stage)
        if known is None or known[0] is not targets:
            known = self._keys[stage] = targets, frozenset(t.key for t in targets)
        return known[1]

    def gates(self, stage: str, region: str) -> list[GateAnswer]:
        """Return the closed gates of a stage, and those of one region of it if one is named, as they were asked."""
        own = self._gates.get((stage, region), []) if region else []
        return [answer for _, answer in sorted([*self._gates.get((stage, ""), []), *own], key=operator.itemgetter(0))]

    def rejection(self, version: str) -> HubRejection | None:
        """Return why a version was taken back, None if it was not."""
        found = self.artifacts.get(version)
        return found.rejection if found else None

    def is_ours(self, facts: RolloutFacts) -> bool:
        """Whether a region's Rollout is this Pipeline's, of this hub."""
        return facts.hub == self.s.hub and facts.pipeline == self.s.pipeline.key

    def ours(self) -> Iterable[RolloutFacts]:
        """Return the region's Rollouts that this Pipeline delivered."""
        return (f for f in self.s.rollouts if self.is_ours(f))

    def is_change(self, sequence: int, version: str) -> bool:
        """Whether a number was given out for a version, by this hub and for good; no annotation in a region tells."""
        if any((i.sequence, i.version) == (sequence, version) for i in self.items):
            return True
        if sequence in self.changes:
            return self.changes[sequence] == version
        found = self.artifacts.get(version)
        return found is not None and found.is_ours and found.sequence == sequence

    def is_skipped(self, target: Target) -> bool:
        """Whether a region has been silent for so long that one may go on without it."""
        return target.region.is_given_up(self.now, self.s.skip_after)

    def order(self, item: Item, target: Target) -> manifests.Order | None:
        """Return what a region's Rollout is to be for an item; None if its Artifact is gone or not genuine."""
        artifact = self.artifacts.get(item.version)
        if artifact is None or not artifact.is_genuine:
            return None
        key = (item.sequence, item.version, target.stage.name, *target.key)
        if key not in self._orders:
            self._orders[key] = manifests.Order(
                target,
                artifact,
                self.plan_of(item),
                item.sequence,
                item.provenance,
                item.is_retry,
                self.permit(item.version),
                self._specs,
            )
        return self._orders[key]

    def twin(self, order: manifests.Order) -> str:
        """Return another Region whose Rollout would be the same object; empty if there is none."""
        return self.placement(order.plan).twins.get(order.target.key, "")

    def permit(self, version: str) -> Permit | None:
        """Return what an Override allows a version now, None if nothing."""
        return self.s.overrides.permit(version, self.now)

    @property
    def lane(self) -> str:
        """The version of the Override that counts, or that may count while nobody has looked yet; empty without one."""
        active, unseen = self.s.overrides.active(self.now), self.s.overrides.unseen(self.now)
        if active is not None:
            return active.artifact
        return unseen.spec.artifact if unseen is not None and unseen.spec is not None else ""

    # -- what comes of it

    def forget_waits(self, item: Item) -> None:
        """Forget what a change waits for: it ended, or another one came in its place."""
        self.waits = {k: w for k, w in self.waits.items() if not k.startswith(f"{item.sequence}/")}

    def replace(self, old: Item, new: Item) -> Item:
        """Put an item in the place of what it was."""
        self.items = [new if i.sequence == old.sequence else i for i in self.items]
        return new

    def drop(self, item: Item) -> None:
        """Forget an item: it ended, or another one came in its place."""
        self.items = [i for i in self.items if i.sequence != item.sequence]

    def note(self, reason: str, message: str, *, is_warning: bool = False) -> None:
        """Tell people something that happened."""
        self.notes.append(Note(reason, message, is_warning=is_warning))

    def memory(self) -> HubMemory:
        """Return what is to be remembered; plans that no item travels by are forgotten."""
        used, oldest = {i.plan for i in self.items}, min((i.sequence for i in self.items), default=self.sequence)
        return HubMemory(
            sequence=self.sequence,
            wish=self.wish,
            items=tuple(self.items),
            changes=dict(sorted((k, v) for k, v in self.changes.items() if k > oldest)[-_MOST_CHANGES:]),
            plans={k: v for k, v in self.plans.items() if k in used},
            waits={key: wait.since for key, wait in self.waits.items()},
        )


def _last_sequence(s: HubSnapshot) -> int:
    """Return the last number that was given out, by the hub that had the Pipeline before too: it goes on above."""
    seen = [f.sequence for f in s.rollouts if f.pipeline == s.pipeline.key and f.sequence < _BEYOND]
    return max((s.memory.sequence, *seen, *(a.sequence for a in s.artifacts), *(i.sequence for i in s.memory.items)))


def freeze(made: Merged) -> dict[str, object]:
    """Return a plan without what its Artifact keeps."""
    rollout = {k: v for k, v in made.rollout.items() if k != "template"}
    kept = {k: v for k, v in made.raw.items() if k not in ("objects", "values", "paused", "deletionPolicy")}
    return {**kept, "rollout": {"spec": rollout}}


def thaw(raw: Mapping[str, object], artifact: HubArtifact) -> dict[str, object]:
    """Return a plan with what its Artifact keeps."""
    kept = raw.get("rollout")
    spec = dict(kept.get("spec") or {}) if isinstance(kept, Mapping) else {}
    content = {"objects": list(artifact.objects), "values": list(artifact.values)}
    return {**raw, "rollout": {"spec": {**spec, "template": dict(artifact.template)}}, **content}
