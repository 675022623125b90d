"""The story that all of it is for, on a real hub, three real regions, and a real Prometheus in each.

One change travels hands-off through alpha, beta, gamma and three waves, with a second one behind it; a bad one is
stopped in its first wave by an alarm, and is gone everywhere. And an operator that dies is missed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from support.hub_planes import Line, World, running, stage
from support.world_example import Example, enter_the_regions

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

SIX = [
    stage("alpha", "region-2", namespace="shop-alpha", phase="PreProd"),
    stage("beta", "region-3", namespace="shop-beta", phase="PreProd"),
    stage("gamma", "region-2", "region-4", namespace="shop-gamma", phase="PreProd"),
    stage("wave-1", "region-2", bake={"for": "5s"}),
    stage("wave-2", "region-3", bake={"for": "3s"}),
    stage("wave-3", "region-4", bake={"for": "3s"}),
]
WAVES = [("region-2", "shop"), ("region-3", "shop"), ("region-4", "shop")]
ERRORS = """
(sum(rate(http_requests_total{namespace="$(namespace)", rollout="story", code=~"5.."}[4s])) or vector(0))
/ sum(rate(http_requests_total{namespace="$(namespace)", rollout="story"}[4s]))
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A hub and three regions with traffic, and the team's alarm in each of their namespaces."""
    with running(tmp_path_factory.mktemp("story"), traffic=True) as started:
        for region in started.regions:
            for namespace in ("shop", "shop-alpha", "shop-beta", "shop-gamma"):
                region.kubectl("apply", "-f", "-", input=json.dumps(alarm(namespace)))
        yield started
        for process in started.processes:
            process.check()


def alarm(namespace: str) -> dict[str, object]:
    """Before production nearly everything may fail, for tests provoke errors: only customers see what is bad."""
    metric = {"query": ERRORS, "comparison": "GreaterThanThreshold", "period": "1s", "evaluationPeriods": 2}
    metric["threshold"] = 0.02 if namespace == "shop" else 0.9
    metadata = {"name": "errors", "namespace": namespace}
    return {"apiVersion": "ombak.dev/v1alpha1", "kind": "Alarm", "metadata": metadata, "spec": {"metric": metric}}


async def test_good_changes_travel_and_a_bad_one_is_stopped_in_its_first_wave(world: World) -> None:
    """Nobody touches anything but the Pipeline."""
    with world.line("story", SIX, watched='ALARM("errors")', alarms=["errors"]) as line:
        line.push("v1")
        await line.delivered("v1")
        line.push("v2")
        await line.until(
            "v2 is past alpha", lambda: line.inside().get("alpha") != "v2" and "v2 alpha" in line.entered()
        )
        line.push("v3")
        await line.delivered("v3")
        await two_were_on_their_way_at_once(line)

        line.push("bad")
        await line.until("it has begun", lambda: "bad alpha" in line.entered())
        await line.until("the verdict", lambda: bool(line.rejected("bad")))
        verdict = line.rejected("bad")
        assert (verdict["stage"], verdict["region"]) == ("wave-1", "region-2")
        assert "errors: " in verdict["message"], "the alarm, with its number"
        await line.until("it is gone everywhere", lambda: set(line.everywhere()) == {"v3"})
        assert not {"bad wave-2", "bad wave-3"} & set(line.entered())
        await the_dead_are_missed(world, line)


async def two_were_on_their_way_at_once(line: Line) -> None:
    """Each went through every stage, in order, and the second one entered before the first had arrived."""
    entered = line.entered()
    for tag in ("v2", "v3"):
        assert [told for told in entered if told.startswith(tag)] == [f"{tag} {s['name']}" for s in SIX]
    assert entered.index("v3 alpha") < entered.index("v2 wave-3")


async def the_dead_are_missed(world: World, line: Line) -> None:
    """An alarm of a region whose operator died still says OK there: no stage starts on it, and it is told."""
    dead = next(process for process in world.processes if process.name == "operator-region-4")
    dead.kill()

    def silence() -> str:
        found = world.hub.plane.client.call("GET", "/apis/ombak.dev/v1alpha1/regions/region-4")
        return next(str(c["status"]) for c in found["status"]["conditions"] if c["type"] == "Operated")

    await line.until("region-4 is missed", lambda: silence() == "False")
    line.push("v4")
    await line.until("v4 waits", lambda: any("no sign of life" in str(wait["what"]) for wait in line.waits()))
    assert "v4 gamma" not in line.entered()
    dead.start()
    await line.delivered("v4")


async def test_the_example_of_the_world_is_delivered_as_it_is_written(world: World) -> None:
    """Its base, its Regions by name and label, its Windows and signals: in seconds, and the first five of its stages.

    One Region of gamma is the hub's own cluster. What is bad is taken back in the first stage that sees it.
    """
    enter_the_regions(world)
    story = Example(world)
    story.push("1.4.0")
    await story.until("1.4.0 is everywhere", lambda: story.status().get("reason") == "Delivered")
    assert {place: story.runs(*place) for place in story.places} == dict.fromkeys(story.places, "1.4.0")
    assert story.entered("1.4.0") == ["alpha", "beta", "gamma", "wave-1", "wave-2"]
    (told,) = story.status()["travelling"]
    assert told["provenance"] == {"author": "ada@shop.example", "commit": "4f2c9d1", "reviewer": "budi@shop.example"}
    for region, namespace in story.places:
        assert story.rollout(region, namespace)["metadata"]["annotations"]["ombak.dev/author"] == "ada@shop.example"
        assert story.service(region, namespace) == "service/front-end"

    story.push("1.5.0", **{"sandbox.ombak.dev/error-rate": "0.3"})
    await story.until("1.5.0 is rejected", lambda: story.status()["reason"] == "Rejected")
    await story.until("1.4.0 is everywhere again", lambda: {story.runs(*p) for p in story.places} == {"1.4.0"})
    assert story.entered("1.5.0") == ["alpha"]
    assert "signal errors" in story.status()["message"]
