"""Which stage has which regions, and how careful each region is."""

from datetime import timedelta
from typing import Any

import pytest

from ombak.core.conveyor.merge import merge
from ombak.core.conveyor.placement import Placement, default_bake, env_of, place, strategy, zones_of
from ombak.core.conveyor.snapshot import RegionFacts
from ombak.core.floors import Floors
from support.conveyor import region, spec, stage

REGIONS = [
    region("dev-1", labels={"ombak.dev/tier": "dev"}),
    region("eu-1", labels={"ombak.dev/cloud": "gcp", "traffic": "low"}, zones=("a", "b")),
    region("us-1", labels={"ombak.dev/cloud": "aws", "traffic": "high"}),
    region("us-2", labels={"ombak.dev/cloud": "aws"}, allow=("bank",)),
]

AJAR = region("eu-1", into=("shop/shop-*",))


def placed(*stages: dict[str, Any], regions: list[RegionFacts] | None = None) -> Placement:
    """The placement of these stages."""
    made = merge("front-end", spec("v1", list(stages)), {})
    assert made.spec is not None, made.problem
    return place(made.spec, "shop", REGIONS if regions is None else regions)


def names(found: Placement) -> dict[str, list[str]]:
    """The regions of each stage."""
    return {stage: [t.region.name for t in targets] for stage, targets in found.targets.items()}


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        pytest.param({"names": ["us-1", "eu-1"]}, ["us-1", "eu-1"], id="names-in-their-order"),
        pytest.param({"matchLabels": {"cloud": "aws"}}, ["us-1"], id="short-label-and-allow"),
        pytest.param({"matchLabels": {"ombak.dev/cloud": "gcp"}}, ["eu-1"], id="long-label"),
        pytest.param({"matchExpressions": [{"key": "traffic", "operator": "Exists"}]}, ["eu-1", "us-1"], id="exists"),
        pytest.param({"matchExpressions": [{"key": "traffic", "operator": "DoesNotExist"}]}, ["dev-1"], id="not"),
        pytest.param(
            {"matchExpressions": [{"key": "traffic", "operator": "In", "values": ["low"]}]}, ["eu-1"], id="in"
        ),
        pytest.param(
            {"matchExpressions": [{"key": "traffic", "operator": "NotIn", "values": ["low"]}]},
            ["dev-1", "us-1"],
            id="not-in",
        ),
        pytest.param("Unplaced", ["dev-1", "eu-1", "us-1"], id="unplaced"),
    ],
)
def test_a_stage_has_the_regions_that_it_says(regions: object, expected: list[str]) -> None:
    """By name, by label, or what is left over; never one that does not let the namespace in (R99)."""
    assert names(placed(stage("one", regions=regions))) == {"one": expected}


def test_unplaced_takes_what_no_other_stage_has() -> None:
    """Wherever it stands, so that a new region reaches every pipeline (R93)."""
    found = placed(stage("alpha", "dev-1"), stage("rest", regions="Unplaced"), stage("last", "us-1"))

    assert names(found) == {"alpha": ["dev-1"], "rest": ["eu-1"], "last": ["us-1"]}
    assert found.slips == ()


@pytest.mark.parametrize(
    ("stages", "fragments"),
    [
        pytest.param([stage("a", "eu-1"), stage("b", "eu-1")], ["stages a and b", "another namespace"], id="twice"),
        pytest.param([stage("a", "eu-9")], ["names eu-9, which is no Region", "register it"], id="unknown"),
        pytest.param([stage("a", "us-2")], ["us-2 does not let the namespace shop in", "spec.allow"], id="barred"),
        pytest.param(
            [stage("a", "eu-1", namespace="kube-system")],
            ["stages[a].namespace is kube-system", "Region eu-1", "add shop/kube-system to its spec.allow.into"],
            id="strange",
        ),
        pytest.param(
            [stage("a", regions="Unplaced", namespace="shop-payments")],
            ["stages[a].namespace is shop-payments", "leave it out for shop"],
            id="prefix",
        ),
        pytest.param([stage("a", regions={"matchLabels": {"x": "y"}})], ["selects no Region"], id="empty"),
        pytest.param(
            [stage("a", "eu-1", zones=["zz"])],
            ["spec.stages[a].zones has none of the zones of Region eu-1 (a, b)", "['*']"],
            id="no-zone",
        ),
        pytest.param(
            [stage("a", "eu-1", zones=["a", "zz"])], ["spec.stages[a].zones names zz", "correct it"], id="zone"
        ),
    ],
)
def test_a_placement_that_nobody_meant_is_told(stages: list[dict[str, Any]], fragments: list[str]) -> None:
    """With the field and the fix."""
    told = " ".join(placed(*stages).slips)

    assert [f for f in fragments if f not in told] == [], told


@pytest.mark.parametrize(
    "zones",
    [
        pytest.param(["a", "c"], id="some-of-each-region"),
        pytest.param(["*"], id="all"),
        pytest.param(None, id="none-asked-for"),
    ],
)
def test_a_stage_may_name_the_zones_of_all_its_regions_together(zones: list[str] | None) -> None:
    """Each region takes those that it has."""
    regions = [region("x-1", zones=("a", "b")), region("x-2", zones=("c",))]

    assert placed(stage("a", "x-1", "x-2", zones=zones), regions=regions).slips == ()


def test_a_region_that_lists_no_zones_may_have_any() -> None:
    """Nobody can tell a slip from a zone that the Region does not mention."""
    assert placed(stage("a", "us-1", zones=["zz"])).slips == ()


@pytest.mark.parametrize("regions", [[], [region("us-2", allow=("bank",))]], ids=["none", "none-for-us"])
def test_a_pipeline_that_goes_nowhere_is_told(regions: list[RegionFacts]) -> None:
    """A stage that takes what is left over may be empty, but not all of them."""
    (told,) = placed(stage("rest", regions="Unplaced"), regions=regions).slips

    assert "spec.stages have no Region in all" in told


def test_a_region_may_be_in_two_stages_of_different_namespaces() -> None:
    """Alpha and beta in one cluster."""
    found = placed(stage("a", "eu-1", namespace="shop-a"), stage("b", "eu-1", namespace="shop-b"), regions=[AJAR])

    assert found.slips == ()
    assert found.keys == {("eu-1", "shop-a"), ("eu-1", "shop-b")}


@pytest.mark.parametrize(
    ("namespace", "into", "allowed"),
    [
        pytest.param("shop", (), True, id="own"),
        pytest.param("shop-payments", (), False, id="a-prefix-is-nobodys"),
        pytest.param("payments", ("payments",), True, id="named"),
        pytest.param("payments", ("*",), True, id="any"),
        pytest.param("shop-payments", ("shop-*",), True, id="pattern"),
        pytest.param("shop", ("sho",), True, id="own-beside-others"),
        pytest.param("shopping", ("shop-*",), False, id="pattern-ends-at-the-dash"),
        pytest.param("shop-a", ("shop/shop-*",), True, id="for-us"),
        pytest.param("shop-a", ("bank/shop-*", "bank/*"), False, id="for-others"),
        pytest.param("kube-system", ("*", "kube-*", "shop/*"), False, id="system-by-pattern"),
        pytest.param("kube-system", ("shop/kube-system",), True, id="system-by-name"),
        pytest.param("ombak-system", ("*", "ombak-*"), False, id="ombak-by-pattern"),
        pytest.param("ombak-hub", ("ombak-hub",), True, id="ombak-by-name"),
    ],
)
def test_only_a_regions_owner_lets_pipelines_into_other_namespaces(
    namespace: str, into: tuple[str, ...], allowed: bool
) -> None:
    """By name or pattern, for all or for one; what a cluster runs by only by its whole name (R99)."""
    found = placed(stage("a", "x-1", namespace=namespace), regions=[region("x-1", into=into)])

    assert (found.slips == ()) is allowed


def test_a_team_called_kube_gets_no_system() -> None:
    """Nor does one of the system's own name: whoever may write Pipelines there on the hub owns no region by it."""
    assert not region("x-1").takes("kube", "kube-system")
    assert not region("x-1").takes("ombak", "ombak-hub")
    assert not region("x-1", into=("*",)).takes("kube-system", "kube-system")
    assert region("x-1", into=("kube-system",)).takes("kube-system", "kube-system")


@pytest.mark.parametrize("written", [None, "ombak-team"], ids=["left-out", "written"])
def test_who_works_in_a_guarded_namespace_is_told_what_helps(written: str | None) -> None:
    """Not to leave out what is left out, or is their own."""
    made = merge("front-end", spec("v1", [stage("a", "x-1", namespace=written)]), {})
    assert made.spec is not None
    (told,) = place(made.spec, "ombak-team", [region("x-1")]).slips

    assert "leave it out" not in told
    assert "ombak-team begins with kube- or ombak-, so Region x-1 lets" in told
    assert "write another one into spec.stages[a].namespace, or ask who owns the Region" in told
    assert "to add ombak-team/ombak-team to its spec.allow.into" in told


def test_bakes_that_nobody_wrote_are_long_in_the_first_wave() -> None:
    """12 hours in the first wave of production, 4 everywhere else (R76)."""
    stages = [
        stage(n, r, phase=p, bake=None)
        for n, r, p in (("a", "dev-1", "PreProd"), ("w1", "eu-1", "Prod"), ("w2", "us-1", "Prod"))
    ]
    made = merge("front-end", spec("v1", stages), {})
    assert made.spec is not None

    assert [default_bake(made.spec, s) for s in made.spec.stages] == [timedelta(hours=h) for h in (4, 12, 4)]


def test_what_must_come_within_at_most_gets_longer_with_the_floor() -> None:
    """A raised bake stays a valid one."""
    floors = Floors(bake=timedelta(hours=10), one_box=timedelta(minutes=30), batch=timedelta(minutes=7))
    bake = {"for": "1h", "atMost": "3h"}
    found = placed(stage("one", "x-1", bake=bake), regions=[region("x-1", floors=floors)])
    (target,) = found.targets["one"]
    made = merge("front-end", spec("v1", [stage("one", "x-1", bake=bake)]), {})
    assert made.spec is not None

    result = strategy(made.spec, {"oneBox": {"bake": {"for": "10m"}}}, made.raw["stages"], target)

    assert result == {
        "bake": {"for": "10h", "atMost": "12h"},
        "oneBox": {"bake": {"for": "30m"}},
        "rolling": {"bake": {"for": "7m"}},
    }


@pytest.mark.parametrize(
    ("asked", "written", "expected"),
    [
        pytest.param(None, ["z"], ["z"], id="as-written"),
        pytest.param(["*"], None, ["a", "b"], id="all-of-the-region"),
        pytest.param(["b", "c"], None, ["b"], id="those-that-it-has"),
        pytest.param(None, None, None, id="none"),
    ],
)
def test_zones_are_those_of_the_region(asked: list[str] | None, written: list[str] | None, expected: object) -> None:
    """One stage serves regions of different zones (R43-R47)."""
    (target,) = placed(stage("one", "eu-1", zones=asked)).targets["one"]

    assert zones_of(written, target) == expected


def test_of_several_values_the_last_one_wins() -> None:
    """Sorted by name, so that the same values are the same template."""
    values = [
        {"regions": {"matchLabels": {"cloud": "gcp"}}, "env": {"B": "1", "A": "1"}},
        {"regions": {"names": ["eu-1"]}, "env": {"B": "2"}},
        {"regions": {"names": ["us-1"]}, "env": {"B": "3"}},
    ]

    assert list(env_of(values, REGIONS[1]).items()) == [("A", "1"), ("B", "2")]
