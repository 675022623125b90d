"""The example of 24 regions, delivered by the hub's own decisions: good changes arrive, a bad one gets nowhere."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from ombak.core.conveyor.merge import merge
from ombak.core.conveyor.placement import env_of, place
from ombak.core.conveyor.snapshot import PipelineView
from ombak.core.conveyor.world import World
from ombak.runtime.hub.observe import region_facts
from ombak.runtime.region_records import decode_region

FOLDER = Path(__file__).parents[2] / "examples" / "world"
MONDAY = datetime(2026, 1, 5, 2, tzinfo=UTC)
"""Nine o'clock in Jakarta."""
WAVES = {"wave-1": 1, "wave-2": 1, "wave-3": 3, "wave-4": 12, "rest": 7}


def documents(name: str) -> list[dict[str, Any]]:
    """The objects of a file of the example."""
    return list(yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text()))


REGIONS = [dataclasses.replace(region_facts(decode_region(r)), reachable=True) for r in documents("regions")]
STOREFRONT, FRONT_END, CHECKOUT = (documents(name)[0]["spec"] for name in ("storefront", "front-end", "checkout"))
BASES = {"storefront": STOREFRONT}


def pipeline(version: str) -> PipelineView:
    """The example's front end in another version."""
    rollout = FRONT_END["rollout"]["spec"]
    template = {**rollout["template"], "metadata": {"labels": {"app": "front-end", "version": version}}}
    made = {**FRONT_END, "rollout": {"spec": {**rollout, "template": template}}}
    return PipelineView("shop", "front-end", "uid-1", 1, made)


def world() -> World:
    """All 28 regions, with the first version everywhere."""
    w = World(pipeline("v1"), REGIONS, MONDAY - timedelta(days=30))
    w.bases = BASES
    w.run(MONDAY)
    return w


def versions(w: World) -> dict[str, str]:
    """Which version each region asks for and runs as its good one; `?` where that differs."""
    found = {}
    for name, model in w.regions.items():
        for r in model.rollouts.values():
            label = r.manifest["spec"]["template"]["metadata"]["labels"]["version"]
            found[name] = label if r.wanted == r.stable and r.phase == "Stable" else "?"
    return found


def test_the_waves_are_those_of_the_source_and_each_takes_a_zone_at_a_time() -> None:
    """1, 1, 3, 12 and 7 regions with 76 zones; gamma is two regions with one box each (R26, R39-R47)."""
    made = merge("front-end", FRONT_END, BASES)
    assert made.spec is not None
    placed = place(made.spec, "shop", REGIONS)

    assert placed.slips == ()
    assert {name: len(placed.targets[name]) for name in WAVES} == WAVES
    assert len(placed.targets["gamma"]) == 2
    assert sum(len(t.region.zones) for name in WAVES for t in placed.targets[name]) == 76
    assert all(stage.zones == ["*"] for stage in made.spec.stages if stage.name in WAVES)


def test_a_change_travels_to_all_24_regions_by_itself() -> None:
    """In order, and every Rollout has the zones of its region."""
    w = world()
    w.pipeline = pipeline("v2")
    last = w.run(MONDAY + timedelta(days=4))

    assert last.reason == "Delivered"
    assert set(versions(w).values()) == {"v2"}
    for region in REGIONS:
        rollout = w.regions[region.name].rollouts.get("shop")
        if region.labels["env"] == "prod":
            assert rollout is not None
            assert rollout.manifest["spec"]["zones"] == list(region.zones)


@pytest.mark.breadth
@pytest.mark.parametrize("harmed", ["za-1", "sg-1"])
def test_a_bad_one_is_stopped_in_the_wave_that_it_harms_and_gone_everywhere(harmed: str) -> None:
    """No later wave ever sees it, and it leaves the regions that it has passed as well."""
    w = world()
    w.pipeline = pipeline("bad")
    w.settle()
    template = w.regions["dev-1"].rollouts["shop-alpha"].wanted
    w.regions[harmed].becomes_ill(template)
    last = w.run(MONDAY + timedelta(days=4))

    assert last.reason == "Rejected"
    assert set(versions(w).values()) == {"v1"}
    stages = list(WAVES)
    later = stages[stages.index("wave-1" if harmed == "za-1" else "wave-3") + 1 :]
    made = merge("front-end", FRONT_END, BASES)
    assert made.spec is not None
    placed = place(made.spec, "shop", REGIONS)
    reached = {t.region.name for name in later for t in placed.targets[name]}
    assert not any(template in w.regions[name].rollouts["shop"].digests for name in reached)


def test_the_next_change_follows_while_the_first_is_on_its_way() -> None:
    """Three of them travel at once."""
    w = world()
    for version in ("v2", "v3", "v4"):
        w.pipeline = pipeline(version)
        w.run(w.now + timedelta(hours=6))

    assert len([i for i in w.memory.items if i.is_inside]) == 3


@pytest.mark.parametrize(
    ("name", "host"),
    [
        pytest.param("eu-1", "db.aws.example", id="aws"),
        pytest.param("in-2", "db.gcp.example", id="gcp"),
        pytest.param("id-1", "db.id-1.example", id="a-region-of-its-own"),
    ],
)
def test_a_service_on_two_clouds_has_values_of_each(name: str, host: str) -> None:
    """Which clouds is said by labels, and the artifact stays the same (R96, R97)."""
    made = merge("checkout", CHECKOUT, {})
    region = next(r for r in REGIONS if r.name == name)

    assert env_of(made.values, region)["DB_HOST"] == host


def test_that_service_runs_only_where_the_labels_say() -> None:
    """Three regions of one cloud and five of the other."""
    made = merge("checkout", CHECKOUT, {})
    assert made.spec is not None
    clouds = {
        name: {t.region.labels["ombak.dev/cloud"] for t in targets}
        for name, targets in place(made.spec, "shop", REGIONS).targets.items()
    }
    assert clouds == {"gamma": {"aws", "gcp"}, "aws": {"aws"}, "gcp": {"gcp"}}
