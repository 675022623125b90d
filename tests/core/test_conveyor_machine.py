"""The conveyor under everything at once: nothing overtakes unless an Override lets it, nothing bad goes on, it ends."""

import dataclasses
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ombak.core.conveyor import manifests, plan
from ombak.core.conveyor.decide import decide
from ombak.core.conveyor.memory import HubMemory
from ombak.core.conveyor.merge import merge
from ombak.core.conveyor.snapshot import JobState
from ombak.core.overrides.facts import OverrideFacts
from support.conveyor import hours, override, push, region, spec, stage, version_of, world
from support.effort import examples

NAMES = ("a-1", "b-1", "c-1", "c-2", "d-1", "d-2")
TAGS = ("v1", "v2", "v3", "v4")
BY_ID = {version_of(tag): tag for tag in TAGS}
ROUTE = ("alpha", "beta", "gamma", "rest")


MIXED = {
    "name": "mixed",
    "when": "DuringOneBox",
    "template": {
        "spec": {"template": {"spec": {"containers": [{"name": "test", "image": "registry.example/test:1"}]}}}
    },
}


def stages(scope: str, policy: str) -> list[dict[str, Any]]:
    """Four stages, of which the third takes its regions in turn and tests them, and the last what is left over."""
    gamma = {"maxParallel": 1, "revertScope": scope, "tests": [MIXED], "zones": ["b", "a"]}
    return [
        stage("alpha", "a-1", phase="PreProd", zones=["*"]),
        stage("beta", "b-1", maxParallel=1),
        stage("gamma", regions={"matchLabels": {"wave": "c"}}, **gamma),
        stage("rest", regions="Unplaced", onRegionUnreachable=policy),
    ]


ZONES = {"a": ("a", "b", "c"), "c": ("a", "b")}
SLIPS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"zones": ["zz"]}, "spec.stages[alpha].zones"),
    ({"regions": {"names": ["nowhere"]}}, "nowhere"),
    ({"namespace": "kube-system"}, "spec.allow.into"),
)
"""What somebody writes into the first stage by mistake, and what the wait for it names."""


def some_region(name: str) -> Any:
    """A region with the label of its wave, and the zones of that."""
    return region(name, labels={"wave": name[0]}, zones=ZONES.get(name[0], ()))


class Conveyor(RuleBasedStateMachine):
    """Pushes, faults, people and time, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: dict[str, frozenset[str]] = {}
        self.written: dict[tuple[str, str], list[int]] = {}
        self.made: plan.HubPlan | None = None

    def ill(self, name: str, artifact: str) -> str:
        """Return what a region has against a version."""
        return "an alarm fired" if name in self.bad.get(BY_ID.get(artifact, ""), ()) else ""

    def test(self, job: Any) -> JobState:
        """Return how a test ends: always the same for the same version."""
        env = {e["name"]: e["value"] for e in job["spec"]["template"]["spec"]["containers"][0]["env"]}
        return JobState.FAILED if BY_ID[env["OMBAK_ARTIFACT"]] in self.failing else JobState.PASSED

    @initialize(
        scope=st.sampled_from(["Region", "Stage", "Everywhere"]),
        policy=st.sampled_from(["Hold", "Skip"]),
        failing=st.frozensets(st.sampled_from(TAGS[1:]), max_size=2),
    )
    def begin(self, scope: str, policy: str, failing: frozenset[str]) -> None:
        """Begin with the first version everywhere."""
        self.failing, self.stages = failing, stages(scope, policy)
        self.w = world(spec("v1", list(self.stages)), [some_region(n) for n in NAMES], ill=self.ill)
        self.w.test = self.test
        self.w.run(self.w.now + hours(12))

    @rule(tag=st.sampled_from(TAGS))
    def push(self, tag: str) -> None:
        """Ask for a version, new or old."""
        push(self.w, tag)

    @rule(tag=st.sampled_from(TAGS[1:]), where=st.frozensets(st.sampled_from(NAMES), max_size=2))
    def turns_bad(self, tag: str, where: frozenset[str]) -> None:
        """A version does harm in some regions, or is mended from outside."""
        self.bad[tag] = where

    @rule(name=st.sampled_from(NAMES))
    def falls_silent(self, name: str) -> None:
        """A region cannot be reached any more, and goes on by itself."""
        if name in self.w.regions:
            self.w.silent.add(name)

    @rule()
    def answers(self) -> None:
        """All regions can be reached again."""
        self.w.silent.clear()

    @rule(name=st.sampled_from(NAMES[3:]))
    def is_removed(self, name: str) -> None:
        """A region is taken off the list; what runs there stays."""
        gone = self.w.regions.pop(name, None)
        self.w.silent.discard(name)
        self.w.views.pop(name, None)
        if gone is not None:
            self.gone = gone

    @rule(name=st.sampled_from((*NAMES[3:], "d-3")))
    def is_added(self, name: str) -> None:
        """A region is registered, perhaps for the first time."""
        if name not in self.w.regions:
            for key in [k for k in self.written if k[0] == name]:
                del self.written[key]
            self.w.add(some_region(name))

    @rule(zones=st.sampled_from([("b",), ("a", "b", "c"), ("a", "b", "c", "d")]))
    def has_other_zones(self, zones: tuple[str, ...]) -> None:
        """The platform team adds a zone to the region of the first stage, or takes some out."""
        self.w.add(dataclasses.replace(some_region("a-1"), zones=zones))

    @rule(command=st.sampled_from(["abort", "retry"]), tag=st.sampled_from(TAGS), again=st.integers(1, 4))
    def is_told(self, command: str, tag: str, again: int) -> None:
        """A person says something that makes sense, or not."""
        value = version_of(tag) + (f".{again}" if command == "retry" and again > 1 else "")
        self.w.pipeline = dataclasses.replace(self.w.pipeline, **{command: value})

    @rule()
    def is_paused(self) -> None:
        """A person pauses the Pipeline, or lets it go on."""
        made = dict(self.w.pipeline.spec)
        self.w.pipeline = dataclasses.replace(self.w.pipeline, spec=made | {"paused": not made.get("paused")})

    @rule()
    def is_broken(self) -> None:
        """Somebody writes what is not valid, or mends it."""
        problem = "" if self.w.pipeline.problem else "spec.stages: they are all wrong; write others"
        self.w.pipeline = dataclasses.replace(self.w.pipeline, problem=problem)

    @rule(slip=st.sampled_from(SLIPS))
    def is_misplaced(self, slip: tuple[dict[str, Any], str]) -> None:
        """Somebody writes a stage that leads nowhere, or not where it should."""
        alpha, *rest = self.stages
        self.w.pipeline = dataclasses.replace(
            self.w.pipeline, spec={**self.w.pipeline.spec, "stages": [alpha | slip[0], *rest]}
        )

    @rule()
    def is_placed_again(self) -> None:
        """It is corrected."""
        self.w.pipeline = dataclasses.replace(
            self.w.pipeline, spec={**self.w.pipeline.spec, "stages": list(self.stages)}
        )

    @rule(tag=st.sampled_from(TAGS))
    def takes_the_name(self, tag: str) -> None:
        """Somebody makes an object under the name of a version that was not delivered yet, or deletes it."""
        found = self.w.artifacts.get(version_of(tag))
        if found is None:
            some = next(iter(self.w.artifacts.values()))
            taken = dataclasses.replace(some, version=version_of(tag), is_ours=False, rejection=None, sequence=0)
            self.w.artifacts[version_of(tag)] = taken
        elif not found.is_ours:
            del self.w.artifacts[version_of(tag)]

    @rule(
        tag=st.sampled_from(TAGS),
        lasts=st.sampled_from([timedelta(minutes=30), hours(3), hours(20)]),
        supersede=st.booleans(),
    )
    def asks_for_an_override(self, tag: str, lasts: timedelta, supersede: bool) -> None:
        """Somebody wants a fast lane for a version, on its way or not; it does not count yet."""
        view = override(tag, until=self.w.now + lasts, supersede=supersede)
        self.w.overrides = OverrideFacts((dataclasses.replace(view, flaw=None),))

    @rule()
    def approves(self) -> None:
        """Nothing is found against how it came about, if it is not over yet."""
        views = (dataclasses.replace(view, flaw="") for view in self.w.overrides.views)
        self.w.overrides = OverrideFacts(tuple(views))

    @rule()
    def deletes_the_override(self) -> None:
        """Somebody takes it back, approved or not."""
        self.w.overrides = OverrideFacts()

    @rule(
        minutes=st.sampled_from([0, 0, 1, 12, 45, 130]),
        writes=st.none() | st.integers(0, 6),
        stale=st.frozensets(st.sampled_from(NAMES), max_size=2),
        ticks=st.booleans(),
    )
    def look(self, minutes: int, writes: int | None, stale: frozenset[str], ticks: bool) -> None:
        """One decision, perhaps on late views, perhaps with the hub killed between two writes."""
        self.w.look(stale)
        made = self.decide_and_check()
        self.w.carry_out(made, writes)
        if ticks or minutes:
            self.w.tick(timedelta(minutes=minutes))

    @precondition(lambda self: not self.w.silent)
    @rule()
    def forgets(self) -> None:
        """Somebody erases the status; the regions still tell what is where."""
        self.w.look()
        self.w.memory = HubMemory()

    def decide_and_check(self) -> plan.HubPlan:
        """Return a decision that keeps every promise."""
        s = self.w.snapshot()
        made = decide(s, self.w.now)
        rejected = {a.version for a in s.artifacts if a.rejection is not None}
        rejected -= {a.version for a in made.actions if isinstance(a, plan.RecordRetry)}
        rejected |= {a.version for a in made.actions if isinstance(a, plan.RecordRejected)}
        seen = {(f.region, f.namespace): f for f in s.rollouts}
        for action in made.actions:
            if isinstance(action, plan.ApplyRollout):
                self.check(action, made, rejected, seen.get((action.region, action.namespace)))
        for wait in made.waits:
            assert wait.what, wait
            assert wait.who, wait
            assert wait.command.startswith("kubectl "), wait
            assert wait.since <= self.w.now, wait
        self.check_slips(made)
        self.check_lane(s.memory, made, rejected)
        return made

    def check_slips(self, made: plan.HubPlan) -> None:
        """What cannot be queued says so, with the field, and starts nothing anew."""
        alpha = self.w.pipeline.spec["stages"][0]
        told = next((told for slip, told in SLIPS if slip.items() <= alpha.items()), "")
        waits = {wait.key: wait for wait in made.waits}
        if told and not self.w.pipeline.problem and made.memory.wish != self.wished():
            assert "placement" in waits, waits
            assert told in waits["placement"].what
        assert self.w.pipeline.problem == "" or "spec" in waits

    def wished(self) -> str:
        """What the Pipeline asks for now, as the memory knows it."""
        return merge(self.w.pipeline.name, self.w.pipeline.spec, {}).wish

    def check_lane(self, before: HubMemory, made: plan.HubPlan, rejected: set[str]) -> None:
        """The version of an Override is never lost, and while it counts no other one enters a stage."""
        facts, now = self.w.overrides, self.w.now
        view = facts.counting(now) or facts.unseen(now)
        lane = view.spec.artifact if view is not None and view.spec is not None else ""
        was_there = any(i.version == lane for i in before.items)
        is_there = any(i.version == lane for i in made.memory.items)
        assert is_there or not was_there or lane in rejected, f"the fix {lane} was thrown out"
        started = {i.version for i in made.memory.items if i.is_inside} - {
            i.version for i in before.items if i.is_inside
        }
        done = {i.version for i in made.memory.items if i.stage == ROUTE[-1] and not i.is_inside}
        if lane and lane not in rejected | done and before.items:  # what is told from the regions has been there
            assert started <= {lane} or facts.counting(now) is None, f"{started} enters a stage beside the fix {lane}"

    def check(self, action: plan.ApplyRollout, made: plan.HubPlan, rejected: set[str], seen: Any) -> None:
        """Hold one write against the promises."""
        told = action.manifest["metadata"]["annotations"]
        version, sequence = told["ombak.dev/version"], int(told["ombak.dev/sequence"])
        assert action.region not in self.w.silent
        assert ("replicas" in action.manifest["spec"]) == (action.resource_version == "")
        zones = set(self.w.regions[action.region].facts.zones)
        assert bool(zones) == (set(action.manifest["spec"].get("zones", ())) & zones != set()), action.manifest["spec"]
        runs_there = seen is not None and version in (seen.version, seen.stable)
        assert runs_there or version not in rejected, f"{version} enters {action.region} although it was rejected"
        if seen is not None and sequence < seen.sequence:
            is_given_up = made.memory.changes.get(seen.sequence) == ""
            assert is_given_up or seen.version in rejected, f"{sequence} comes after {seen.sequence} in {action.region}"

    @invariant()
    def one_in_each_slot(self) -> None:
        """No two changes are in the same stage, and the older one is always further."""
        if not hasattr(self, "w"):
            return
        items = sorted(self.w.memory.items, key=lambda i: i.sequence)
        slots = [i.stage for i in items if i.is_inside]
        assert len(set(slots)) == len(slots), slots
        places = [ROUTE.index(i.stage) + (not i.is_inside) if i.stage else -1 for i in items]
        assert places == sorted(places, reverse=True), items

    @invariant()
    def one_zone_at_a_time(self) -> None:
        """No region has boxes of two of its zones in replacement: none was told to take all of them at once (P6)."""
        for model in self.w.regions.values() if hasattr(self, "w") else ():
            for rollout in model.rollouts.values():
                assert len(model.replacing(rollout, self.w.now)) <= 1, (model.facts.name, rollout.manifest["spec"])

    @invariant()
    def no_fleet_before_its_test(self) -> None:
        """What fails the test of coexistence never leaves the one box of a region where something else ran."""
        if not hasattr(self, "w"):
            return
        for name in ("c-1", "c-2"):
            for r in self.w.regions[name].rollouts.values() if name in self.w.regions else ():
                went_on = r.phase in ("Rolling", "Bake") and r.flying not in r.good
                assert not (went_on and BY_ID[r.flying] in self.failing), (name, r.flying)

    def teardown(self) -> None:
        """When the faults end, everything ends: nothing is on its way any more, and nothing can be said to be lost."""
        if not hasattr(self, "w"):
            return
        self.w.silent.clear()
        self.approves()
        for name in NAMES[:4]:
            if name not in self.w.regions:
                self.w.add(some_region(name))
        for version in [v for v, a in self.w.artifacts.items() if not a.is_ours]:
            del self.w.artifacts[version]
        made = dict(self.w.pipeline.spec) | {"paused": False, "stages": list(self.stages)}
        self.w.pipeline = dataclasses.replace(self.w.pipeline, spec=made, problem="")
        last = self.w.run(self.w.now + hours(72))
        self.is_over(last)

    def is_over(self, last: plan.HubPlan) -> None:
        """Everything that may run runs everywhere, or a person is asked, with the command."""
        assert not [i for i in self.w.memory.items if i.is_inside], (last.waits, self.w.memory.items)
        image = self.w.pipeline.spec["rollout"]["spec"]["template"]["spec"]["containers"][0]["image"]
        wished = version_of(image.rpartition(":")[2])
        artifact = self.w.artifacts[wished]
        if last.reason == "Aborted":  # a change of what ran everywhere before: the version is as good as ever
            assert next(w for w in last.waits if w.reason == "Aborted").command.startswith("kubectl -n shop edit")
            return
        if artifact.rejection is not None:
            assert last.reason == "Rejected"
            assert "retry" in next(w.command for w in last.waits if w.reason == "Rejected")
            return
        for name, model in self.w.regions.items():
            (rollout,) = model.rollouts.values()
            if wished not in rollout.bad:
                assert (name, rollout.stable, rollout.phase) == (name, wished, "Stable")
                assert manifests.OVERRIDE not in rollout.manifest["metadata"]["annotations"]


TestConveyor = Conveyor.TestCase
TestConveyor.settings = settings(
    max_examples=examples(60), stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
