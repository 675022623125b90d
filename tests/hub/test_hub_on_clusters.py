"""A real hub and three real regions: changes travel, machines die, people meddle, and all of it comes to its end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.conveyor_scenarios import NAMESPACES, SCENARIOS, STAGES, Scenario, play
from support.hub_planes import OMBAK, Line, World, enter, running, stage
from support.hub_tally import Tally, proxied
from support.region_planes import SECRETS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

FIVE = [
    stage("alpha", "region-3", namespace="shop-alpha", phase="PreProd"),
    stage("beta", "region-4", namespace="shop-beta", phase="PreProd"),
    stage("gamma", "region-3", namespace="shop-gamma", phase="PreProd"),
    stage("wave-1", regions={"matchLabels": {"cloud": "aws", "tier": "small"}}),
    stage("wave-2", "region-3", "region-4"),
]
ALPHA, BETA, GAMMA = ("region-3", "shop-alpha"), ("region-4", "shop-beta"), ("region-3", "shop-gamma")
WAVE_1 = ("region-2", "shop")
SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "five", "labels": {"app.kubernetes.io/instance": "argo"}},
    "spec": {"selector": {"app": "five"}, "ports": [{"port": 80}]},
}
WAVE = [stage("wave", "region-3", "region-4")]
TURNS = [stage("wave", "region-3", "region-4", maxParallel=1)]
TWO = [stage("alpha", "region-2", namespace="shop-alpha"), *WAVE]
R2, R3, R4 = ("region-2", "shop"), ("region-3", "shop"), ("region-4", "shop")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A hub and three regions, which take about half a minute to start."""
    with running(tmp_path_factory.mktemp("operators")) as world:
        yield world


@pytest.fixture
def world(started: World) -> Iterator[World]:
    """All of it, every operator alive before and after."""
    for process in started.processes:
        process.start()
    yield started
    for process in started.processes:
        process.check()


async def test_three_changes_travel_at_once_and_a_bad_one_disturbs_no_other(world: World) -> None:
    """Over five stages: one is rejected behind an older one, one before a newer one, and an old one comes again."""
    with world.line("five", FIVE, objects=[SERVICE]) as line:
        line.places = (ALPHA, BETA, GAMMA, WAVE_1, ("region-3", "shop"), ("region-4", "shop"))
        await is_installed(line)
        await three_at_once(world, line)
        await one_is_rejected_in_stage_2_behind_an_older_one(world, line)
        await one_is_rejected_in_stage_4_before_a_newer_one(world, line)
        await the_newer_one_arrives(line)
        line.push("v1")
        await line.delivered("v1")
        assert line.status()["travelling"][-1]["sequence"] == 5
        await nothing_is_written_any_more(line)


async def is_installed(line: Line) -> None:
    """The first version is everywhere, with what travels along, in the order of the stages."""
    line.push("v1")
    await line.delivered("v1")
    assert line.entered() == ["v1 alpha", "v1 beta", "v1 gamma", "v1 wave-1", "v1 wave-2"]
    rollout = line.rollout(WAVE_1)
    assert rollout["metadata"]["annotations"]["ombak.dev/author"] == "ada"
    assert rollout["spec"]["replicas"] == 2
    service = line.world.by_name["region-4"].plane.client.call("GET", "/api/v1/namespaces/shop/services/five")
    assert "app.kubernetes.io/instance" not in service["metadata"]["labels"]


async def three_at_once(world: World, line: Line) -> None:
    """Each is held in a stage of its own: the first in stage 4, the second in stage 2, the third in stage 1."""
    world.hold("region-2")
    line.push("v2")
    await line.begun(WAVE_1, "v2")
    world.hold("region-4")
    line.push("v3")
    await line.begun(BETA, "v3")
    world.hold("region-3")
    line.push("v4")
    await line.begun(ALPHA, "v4")
    assert line.inside() == {"wave-1": "v2", "beta": "v3", "alpha": "v4"}


async def one_is_rejected_in_stage_2_behind_an_older_one(world: World, line: Line) -> None:
    """It goes back to what the stage ran before; the older one and the newer one stay where they are."""
    line.abort_in(BETA, "v3")
    await line.until("v3 rejected", lambda: bool(line.rejected("v3")))
    await line.until("the others stay", lambda: line.inside() == {"wave-1": "v2", "alpha": "v4"})
    world.let_go("region-4")
    await line.until("beta back on v2", lambda: line.runs(BETA) == "v2")
    assert not any(told.startswith("v3") and told != "v3 alpha" and told != "v3 beta" for told in line.entered())


async def one_is_rejected_in_stage_4_before_a_newer_one(world: World, line: Line) -> None:
    """It is gone in every stage, and the newer one goes on where it is."""
    world.hold("region-4")
    world.let_go("region-3")
    await line.begun(BETA, "v4")
    line.abort_in(WAVE_1, "v2")
    await line.until("v2 rejected", lambda: bool(line.rejected("v2")))
    await line.until("the newer one stays", lambda: line.inside() == {"beta": "v4"})
    assert (line.rejected("v2")["stage"], line.rejected("v2")["region"]) == ("wave-1", "region-2")
    world.let_go("region-2")
    await line.until("wave-1 and gamma back on v1", lambda: line.runs(WAVE_1) == line.runs(GAMMA) == "v1")
    world.let_go("region-4")


async def the_newer_one_arrives(line: Line) -> None:
    """What was rejected never entered another stage."""
    await line.delivered("v4")
    entered = line.entered()
    assert [told for told in entered if told.startswith("v4")] == [f"v4 {s['name']}" for s in FIVE]
    assert "v2 wave-2" not in entered


async def nothing_is_written_any_more(line: Line) -> None:
    """Delivered is delivered: soon no status, no region is written any more while nothing happens."""

    def versions() -> list[Any]:
        rollouts = [line.rollout(place)["metadata"] for place in line.places]
        hub = line.hub.plane.client.call("GET", f"{OMBAK}/namespaces/shop/pipelines/{line.name}")["metadata"]
        return [hub["resourceVersion"], *((m["generation"], m["annotations"]) for m in rollouts)]

    def is_quiet() -> bool:
        before = versions()
        time.sleep(20)  # longer than from one look at a region to the next
        return versions() == before

    await line.until("it waits for nothing", lambda: not line.waits())
    await line.until("nothing is written for a while", is_quiet)


async def test_a_region_that_is_away_at_the_start_in_the_middle_and_at_the_end_of_a_wave(world: World) -> None:
    """The others go on, the wave waits with reason and command, and ends when the region is back."""
    away = world.by_name["region-4"]
    with ExitStack() as stack:
        start, middle, end = (stack.enter_context(world.line(name, WAVE)) for name in ("start", "middle", "end"))
        for line in (start, middle, end):
            line.push("v1")
        for line in (start, middle, end):
            await line.delivered("v1")

        world.hold("region-3")
        end.push("v2")
        await end.until("v2 in region-4", lambda: end.runs(R4) == "v2")
        world.hold("region-4")
        middle.push("v2")
        await middle.begun(R4, "v2")
        await asyncio.to_thread(away.plane.kill_apiserver)
        await world.until("the hub misses region-4", lambda: not is_reached(world, "region-4"))
        start.push("v2")
        world.let_go("region-3")
        for line in (start, middle, end):
            await line.until("v2 in region-3", lambda line=line: line.runs(R3) == "v2")  # type: ignore[misc]
        for line in (start, middle, end):
            await says_that_it_waits(line)

        await asyncio.to_thread(away.plane.restart_apiserver)
        world.let_go("region-4")
        for line in (start, middle, end):
            await line.delivered("v2")


def is_reached(world: World, region: str) -> bool:
    """The hub says so; what it knew of a region before it was missed still counts."""
    found = world.hub.plane.client.call("GET", f"{OMBAK}/regions/{region}")
    conditions = (found.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Reachable" and c["status"] == "True" for c in conditions)


async def says_that_it_waits(line: Line) -> None:
    """For the region, in the stage, with the command; nothing is ready while nothing is known."""

    def told() -> bool:
        return any("cannot be reached" in w["what"] for w in line.waits())

    await line.until("the wait is told", told)
    wait = next(w for w in line.waits() if "cannot be reached" in w["what"])
    assert (wait["stage"], wait["region"], wait["command"]) == ("wave", "region-4", "kubectl describe omreg region-4")
    assert line.inside() == {"wave": "v2"}
    assert next(c for c in line.status()["conditions"] if c["type"] == "Ready")["status"] == "Unknown"


async def test_without_a_hub_regions_finish_bake_and_revert_on_their_own(world: World) -> None:
    """What one of them took back is read when the hub is there again, and then it is gone everywhere."""
    with world.line("alone", TWO) as line:
        line.push("v1")
        await line.delivered("v1")
        world.hold("region-3", "region-4")
        line.push("v2")
        await line.begun(R3, "v2")
        await line.begun(R4, "v2")
        await asyncio.to_thread(world.hub_process.kill)
        line.abort_in(R4, "v2")
        world.let_go("region-3", "region-4")
        await line.until("region-3 on v2", lambda: line.runs(R3) == "v2")
        await line.until("region-4 back", lambda: line.rollout(R4)["status"]["phase"] == "Reverted")
        assert line.rollout(R4)["status"]["artifacts"]["stable"] == line.id_in_region("v1")

        await asyncio.to_thread(world.hub_process.start)
        await line.until("v1 everywhere", lambda: set(line.everywhere()) == {"v1"})
        await line.until("the verdict", lambda: line.reason() == "Rejected")
        assert line.rejected("v2")["region"] == "region-4"


async def test_a_hub_that_dies_after_each_number_of_writes_delivers_all_the_same(world: World, tmp_path: Path) -> None:
    """After the first write of its life, the second, the third...: nothing is done twice, and nothing forgotten."""
    tally = Tally()
    stages = [stage("alpha", "region-2", namespace="shop-alpha"), stage("wave", "region-3")]
    with world.line("killed", stages) as line:
        line.push("v1")
        await line.delivered("v1")
        await asyncio.to_thread(world.hub_process.kill)
        with proxied(world, tmp_path, tally) as kubeconfig:
            process = world.operator(world.hub, "mortal", "--hub", kubeconfig=kubeconfig)
            deaths = 0
            line.push("v2")
            while set(line.everywhere()) != {"v2"}:
                deaths += 1
                tally.begin(deaths)
                process.start()
                await line.until("a death or the end", lambda: tally.reached.is_set() or is_over(line))
                await asyncio.to_thread(process.kill)
        await asyncio.to_thread(world.hub_process.start)
        await line.delivered("v2")

        assert deaths >= 4, tally.total
        assert line.status()["travelling"][-1]["sequence"] <= 3, "a number may be lost, nothing is queued again"
        for place in line.places:
            assert line.rollout(place)["metadata"]["generation"] <= 3


def is_over(line: Line) -> bool:
    """It is everywhere."""
    return set(line.everywhere()) == {"v2"}


async def test_a_region_removed_and_one_added_in_the_middle_of_a_wave(world: World) -> None:
    """The one that is gone goes on by itself, unwatched by the hub; the new one gets the change."""
    hub = world.hub
    added = {
        "apiVersion": "ombak.dev/v1alpha1",
        "kind": "Region",
        "metadata": {"name": "added"},
        "spec": {"tier": "large", "access": {"kubeconfig": {"secretRef": {"namespace": SECRETS, "name": "region-2"}}}},
    }
    with world.line("moving", [stage("wave", regions={"matchLabels": {"tier": "large"}})]) as line:
        line.push("v1")
        await line.until("v1 delivered", lambda: line.reason() == "Delivered")
        world.hold("region-3", "region-4")
        line.push("v2")
        await line.begun(R3, "v2")
        await line.begun(R4, "v2")
        try:
            hub.kubectl("delete", "region", "region-4")
            hub.kubectl("apply", "-f", "-", input=json.dumps(added))
            await line.until("v2 in the new region", lambda: line.runs(R2) == "v2")
            world.let_go("region-3")
            await line.until("v2 delivered", lambda: line.reason() == "Delivered")
            assert (line.runs(R2), line.runs(R3), line.runs(R4)) == ("v2", "v2", "")
            world.let_go("region-4")
            await line.until("region-4 by itself", lambda: line.runs(R4) == "v2")
        finally:
            hub.kubectl("delete", "region", "added")
            enter(hub, world.by_name["region-4"], cloud="aws", tier="large")


async def test_two_hubs_by_mistake_are_refused_and_both_say_so(world: World) -> None:
    """The second one touches nothing but for a word, which the first one hears."""
    with world.line("shared", [stage("wave", "region-3")]) as line:
        line.push("v1")
        await line.delivered("v1")
        enter(world.other, world.by_name["region-3"])
        with world.line("shared", [stage("wave", "region-3")], hub=world.other) as second:
            second.push("v2")
            await second.until("the refusal", lambda: second.reason() == "Conflict")
            first_uid, second_uid = (
                plane.plane.client.call("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
                for plane in (world.hub, world.other)
            )
            assert f"the hub {first_uid}" in second.waits()[0]["what"]
            await line.until("the claim", lambda: any(f"the hub {second_uid}" in w["what"] for w in line.waits()))
            assert "claimed-by-" in line.waits()[0]["command"]
            assert (line.reason(), line.runs(R3)) == ("Delivered", "v1")
            second.places = ()  # the Rollout is the first hub's
        world.other.kubectl("delete", "region", "region-3")


async def test_of_a_pipeline_deleted_in_the_middle_of_a_wave_everything_stays(world: World) -> None:
    """What was written goes on by itself; the region whose turn it was not yet stays as it is."""
    with world.line("gone", TURNS) as line:
        line.push("v1")
        await line.delivered("v1")
        world.hold("region-3")
        line.push("v2")
        await line.begun(R3, "v2")
        line.delete()
        world.let_go("region-3")
        await line.until("region-3 on v2", lambda: line.runs(R3) == "v2")
        await asyncio.sleep(2)
        assert line.runs(R4) == "v1"

        line.push("v2")
        await line.delivered("v2")
        assert line.rollout(R3)["metadata"]["annotations"]["ombak.dev/sequence"] == "2"


async def test_a_hand_edit_is_reported_and_put_back_only_where_asked(world: World) -> None:
    """The fields are named; what an autoscaler says by `/scale` is never fought."""
    with world.line("edited", [stage("wave", "region-3")]) as line:
        line.push("v1")
        await line.delivered("v1")
        region = world.by_name["region-3"]
        region.kubectl("scale", "omr", "edited", "-n", "shop", "--replicas=4")
        region.kubectl(
            "patch", "omr", "edited", "-n", "shop", "--type=merge", "-p", '{"spec":{"unwatched":"my own reason"}}'
        )
        await line.until("the report", lambda: any("spec.unwatched" in w["what"] for w in line.waits()))
        wait = next(w for w in line.waits() if "spec.unwatched" in w["what"])
        assert "PutBack" in wait["command"]
        assert line.rollout(R3)["spec"]["unwatched"] == "my own reason"

        line.push("v1", handEdits="PutBack")
        await line.until("it is put back", lambda: line.rollout(R3)["spec"]["unwatched"] != "my own reason")
        await line.delivered("v1")
        line.push("v2", handEdits="PutBack")
        await line.delivered("v2")
        assert line.rollout(R3)["spec"]["replicas"] == 4


class OnClusters:
    """A hub and its regions as they are."""

    def __init__(self, world: World, line: Line) -> None:
        self._world, self._line = world, line

    async def push(self, tag: str) -> None:
        self._line.push(tag)

    async def fail(self, tag: str) -> None:
        self._world.hold("region-4")
        await self._line.begun(R4, tag)
        self._line.abort_in(R4, tag)
        self._world.let_go("region-4")

    async def settled(self, tag: str, reason: str) -> None:
        line = self._line
        await line.until(
            f"{tag} everywhere, {reason}", lambda: set(line.everywhere()) == {tag} and line.reason() == reason
        )

    def entered(self) -> tuple[str, ...]:
        return tuple(self._line.entered())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
async def test_a_story_ends_as_it_is_told_of_regions_in_memory(world: World, scenario: Scenario) -> None:
    """The same stories as `test_hub_conformance`, so that the models of regions do what real regions do."""
    stages = [stage(name, *regions, namespace=NAMESPACES[name]) for name, regions in STAGES.items()]
    with world.line(scenario.name, stages, **scenario.spec) as line:
        await play(scenario, OnClusters(world, line))
