"""Worlds of a hub and several regions under all monitors, drawn by seeds; what the monitors see; what partitions do."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ombak.core.conveyor import manifests
from ombak.runtime import kinds
from ombak.runtime.kube_port import Object
from ombak.runtime.regions import HUB_MANAGER
from ombak.simulation.agenda import run_virtual
from ombak.simulation.batches import batch, replay
from ombak.simulation.hub.chaos import Plan, drawn
from ombak.simulation.hub.run import WORLD, WorldRun
from ombak.simulation.hub.world import version_of
from ombak.simulation.pods import Behaviour
from ombak.simulation.region import KEY, Region, template
from ombak.simulation.scenario import Scenario, spec
from support.own_logs import own_logs

pytestmark = pytest.mark.breadth

GOOD = Behaviour()
V0, V1, V2 = (template(name, GOOD) for name in ("v0", "v1", "v2"))


@pytest.mark.parametrize(("engine", "seeds"), [("quick", (4, 5, 19, 27, 37)), ("loop", (1,))], ids=["quick", "loop"])
def test_no_promise_breaks(engine: str, seeds: tuple[int, ...]) -> None:
    """P1 to P7 in every region, no overtaking, nothing rejected enters, every wait has a word, everything ends."""
    outcomes = [o for seed in seeds for o in batch(WORLD, range(seed, seed + 1), engine, jobs=1)]
    assert [f"{o.violations[0]}; again: {replay(o, engine)}" for o in outcomes if o.violations] == []


def test_a_world_is_the_same_in_every_process() -> None:
    """A seed is enough to see a failure again, whatever order sets have."""
    command = [
        sys.executable,
        "-m",
        "ombak.simulation",
        "--scenario",
        WORLD,
        "--engine",
        "quick",
        "--seed",
        "5",
        "--trace",
    ]
    found = [
        subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": salt}
        ).stdout
        for salt in ("1", "2")
    ]
    assert found[0] == found[1]
    assert "ended Delivered" in found[0]


def test_seeds_draw_everything_that_can_happen() -> None:
    """Partitions, deaths, wrong clocks, people, gates and Overrides; every kind of trouble in regions."""
    plans = [drawn(seed) for seed in range(60)]
    told = " ".join(deed.told for plan in plans for deed in plan.deeds)
    needed = ("is cut off", "the way to", "is killed", "clock", "annotated", "erased", "deleted", "paused", "blocked")
    assert [word for word in (*needed, "Override", "tests of") if word not in told] == []
    assert {skew for plan in plans for skew in plan.skews.values()} >= {-600.0, 600.0}
    assert any(scenario.events for plan in plans for scenario in plan.regions.values())


# --- worlds at the test's pace ---------------------------------------------------------------------------------


def two_stages(**more: Any) -> Plan:
    """One region, then two; nothing happens but what the test does."""
    stages = [
        {"name": "alpha", "phase": "Prod", "regions": {"names": ["a-1"]}, "bake": {"for": "30s"}},
        {"name": "prod", "phase": "Prod", "regions": {"names": ["p-1", "p-2"]}, "bake": {"for": "30s"}},
    ]
    rollout = spec(2, V0)
    rollout["strategy"] = {"oneBox": {"bake": {"for": "20s"}}, "rolling": {"bake": {"for": "5s"}}}
    regions = {name: Scenario("still", {}) for name in ("a-1", "p-1", "p-2")}
    return Plan(
        {"rollout": {"spec": rollout}, "stages": stages, **more}, regions, (), dict.fromkeys(("hub", *regions), 0.0)
    )


def in_a_world(plan: Plan, story: Callable[[WorldRun], Awaitable[None]]) -> list[str]:
    """Play a story in a world in which v0 is delivered; returns what broke."""

    async def go() -> list[str]:
        run = WorldRun(plan, 1, "quick")
        run.begin()
        assert await run.wait(lambda: run.is_delivered(version_of(V0)), 900), run.world.status
        await story(run)
        await run.world.stop()
        return run.outcome.violations

    with own_logs():
        return run_virtual(go())


def write(run: WorldRun, region: str, made: Object | None = None, **told: str) -> None:
    """The hub writes into a region: a template, and words of its own."""
    server = run.world.sites[region].region.server
    live = server.get(kinds.ROLLOUTS, *KEY)
    body = {**live, "spec": {**live["spec"], "template": made or live["spec"]["template"]}}
    names = {"version": manifests.VERSION, "sequence": manifests.SEQUENCE, "stage": manifests.STAGE}
    marks = {names[name]: value for name, value in told.items()}
    body["metadata"] = {**live["metadata"], "annotations": {**live["metadata"]["annotations"], **marks}}
    if not made:
        body["spec"]["progressDeadline"] = "77s"
    server.replace(HUB_MANAGER, kinds.ROLLOUTS, *KEY, body)


def overtakes(run: WorldRun) -> None:
    """An older change is written over a newer one."""
    write(run, "a-1", sequence="0")


def enters_early(run: WorldRun) -> None:
    """A version enters the second stage first."""
    write(run, "p-1", V1, version=version_of(V1), sequence="2", stage="prod")


def enters_rejected(run: WorldRun) -> None:
    """A version enters that was taken back."""
    body = {"metadata": {"name": f"front-end.pipeline.{version_of(V1)}"}, "spec": {"id": version_of(V1)}}
    run.world.server.create(HUB_MANAGER, kinds.ARTIFACTS, KEY[0], body)
    status = {"status": {"rejected": {"reason": "x"}}}
    run.world.server.patch(HUB_MANAGER, kinds.ARTIFACTS, KEY[0], body["metadata"]["name"], status, subresource="status")
    write(run, "a-1", V1, version=version_of(V1), sequence="2")


def differs(run: WorldRun) -> None:
    """Two regions get another content by the same name."""
    write(run, "p-2", V2)


def sizes(run: WorldRun) -> None:
    """The hub scales a region."""
    run.world.sites["a-1"].region.server.patch(HUB_MANAGER, kinds.ROLLOUTS, *KEY, {"spec": {"replicas": 9}})


def says(status: Object) -> Callable[[WorldRun], None]:
    """The hub writes this into the Pipeline's status."""

    def do(run: WorldRun) -> None:
        body = {"metadata": {}, "status": status}
        run.world.server.replace(HUB_MANAGER, kinds.PIPELINES, *KEY, body, subresource="status")

    return do


INSIDE = {"stage": "prod", "isInside": True}


@pytest.mark.parametrize(
    ("deed", "promise"),
    [
        pytest.param(overtakes, "no overtaking", id="overtaking"),
        pytest.param(enters_early, "stages", id="a stage left out"),
        pytest.param(enters_rejected, "rejection", id="rejected"),
        pytest.param(differs, "P5", id="another content"),
        pytest.param(sizes, "size", id="the size"),
        pytest.param(says({"memory": {"items": [INSIDE, INSIDE]}}), "slots", id="two in a slot"),
        pytest.param(says({"waitingFor": [{"what": "x", "since": "y"}]}), "P10", id="a wait without a person"),
    ],
)
def test_the_monitors_see_a_hub_that_breaks_its_promises(deed: Callable[[WorldRun], None], promise: str) -> None:
    """Each of them, at the write."""

    async def story(run: WorldRun) -> None:
        run.world.kill(10**6)
        deed(run)

    found = in_a_world(two_stages(), story)
    assert [line.partition(" broken")[0] for line in found][:1] == [promise]


def test_a_change_that_says_nothing_for_long_is_seen() -> None:
    """P10: what is on its way waits for something, and says for what."""

    async def story(run: WorldRun) -> None:
        run.world.hub.hang()
        await run.wait(lambda: False, 10)
        says({"reason": "UnderWay"})(run)
        await run.wait(lambda: False, 300)

    (found,) = in_a_world(two_stages(), story)
    assert "P10 broken" in found


def generation(region: Region) -> int:
    """How often the spec of the Rollout there was written."""
    assert region.rollout is not None
    return int(region.rollout["metadata"]["generation"])


def test_a_region_that_is_cut_off_goes_on_by_itself_and_gets_what_it_missed() -> None:
    """It finishes, bakes, and takes back; nothing is written there meanwhile; the other region is not delayed."""

    async def story(run: WorldRun) -> None:
        world = run.world
        p1, p2 = world.sites["p-1"].region, world.sites["p-2"].region
        world.push(V1)
        assert await run.wait(lambda: p1.phase == "OneBoxBake", 600)
        world.sites["p-1"].cable.cut(True)
        before = generation(p1)
        assert await run.wait(lambda: p1.phase == p2.phase == "Stable", 600)
        assert generation(p1) == before
        world.push(V2)
        assert await run.wait(lambda: any("p-1" in wait["what"] for wait in world.waits), 600)
        assert set(p1.versions()) == {version_of(V1)}
        world.sites["p-1"].cable.cut(False)
        assert await run.wait(lambda: run.is_delivered(version_of(V2)), 900)

    assert in_a_world(two_stages(), story) == []


def test_a_bad_version_is_taken_back_in_every_region_with_clocks_minutes_apart() -> None:
    """The first stage finds it, or the second; afterwards everybody is on the version before."""
    plan = two_stages(revertScope="Everywhere")
    plan = dataclasses.replace(plan, skews={"hub": 0.0, "a-1": -600.0, "p-1": 600.0, "p-2": 40.0})

    async def story(run: WorldRun) -> None:
        world = run.world
        world.push(V1)
        assert await run.wait(lambda: world.sites["p-1"].region.phase == "OneBoxBake", 600)
        world.sites["p-1"].region.health.ambient.add("revert")
        world.sites["p-1"].region.health.look()

        def is_back() -> bool:
            return all(set(site.region.versions()) == {version_of(V0)} for site in world.sites.values())

        assert await run.wait(is_back, 900)
        assert world.status["reason"] == "Rejected"

    assert in_a_world(plan, story) == []
