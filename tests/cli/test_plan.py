"""`ombak plan` tells how long a change needs, how much it touches on which day, and what is wrong with a manifest."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from ombak.cli.main import main
from ombak.cli.manifest_files import read_documents
from support.clusters import write_kubeconfig
from support.conveyor import spec, stage
from support.fake_apiserver import FakeApiServer

EXAMPLE = Path(__file__).parents[2] / "examples" / "world"
MONDAY = "2026-01-05T09:00"
WEEK = ["Mon", "Tue", "Wed", "Thu", "Fri"]


def manifest(kind: str, name: str, made: dict[str, Any], namespace: str = "") -> dict[str, Any]:
    """An object of ours."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "ombak.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": made}


def region(name: str) -> dict[str, Any]:
    """A Region."""
    return manifest("Region", name, {"access": {"inCluster": {}}})


def window(name: str, days: list[str], begin: str, end: str) -> dict[str, Any]:
    """A Window of the same hours on some days."""
    return manifest("Window", name, {"timeZone": "UTC", "open": [{"days": days, "from": begin, "to": end}]})


def pipeline(name: str = "front-end", **more: Any) -> dict[str, Any]:
    """A Pipeline of two stages."""
    return manifest("Pipeline", name, spec("v1", [stage("alpha", "r-1"), stage("rest", "r-2")], **more), "shop")


def plan(folder: Path, *documents: dict[str, Any], options: tuple[str, ...] = ()) -> Result:
    """Plan with these manifests."""
    file = folder / "all.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    return CliRunner().invoke(main, ["plan", str(file), "--start", MONDAY, *options])


@pytest.mark.breadth
def test_the_example_of_24_regions_needs_four_business_days() -> None:
    """With default bakes and office hours (R75), told by stage and by region."""
    command = ["plan", str(EXAMPLE), "--start", MONDAY, "--time-zone", "Asia/Jakarta"]
    found = CliRunner().invoke(main, command)

    assert (found.exit_code, found.stderr) == (0, "")
    told = found.stdout.split("Pipeline shop/front-end: ")[1].splitlines()
    assert told[0] == "4 business days to 28 regions in 8 stages"
    assert "is everywhere Thu 2026-01-08 20:07, after 3d11h7m" in told[1]
    assert "wave-1  Tue 2026-01-06 09:00  Tue 2026-01-06 22:33  13h34m  za-1" in told
    assert "  waits 8h20m before it, for Window office-hours to open" in told
    assert "  Thu 2026-01-08    19 (79%)  228 boxes (79%)   the largest" in told
    assert not any("warning" in line for line in told)


@pytest.mark.breadth
def test_json_has_every_region_of_every_stage() -> None:
    """For programs: times in UTC, lengths as Go writes them."""
    command = ["plan", str(EXAMPLE), "--start", MONDAY, "--time-zone", "Asia/Jakarta", "-o", "json"]
    found = {each["name"]: each for each in json.loads(CliRunner().invoke(main, command).stdout)["pipelines"]}

    front = found["front-end"]
    assert (front["began"], front["ended"]) == ("2026-01-05T02:00:00Z", "2026-01-08T13:07:00Z")
    assert (front["businessDays"], front["length"]) == (4, "3d11h7m")
    assert [len(each["regions"]) for each in front["stages"]] == [1, 1, 2, 1, 1, 3, 12, 7]
    assert front["stages"][3]["regions"] == [
        {
            "name": "za-1",
            "namespace": "shop",
            "boxes": 12,
            "started": "2026-01-06T02:00:00Z",
            "stable": "2026-01-06T15:33:30Z",
        }
    ]
    assert front["largestDay"]["boxShare"] == 0.7917
    assert [each["stages"] for each in found["checkout"]["windows"]] == [["aws"], ["gcp"]]


def test_windows_that_leave_two_hours_a_week_together_pile_changes_up(tmp_path: Path) -> None:
    """The sentence says which ones, how little they leave, and what to do (R90)."""
    windows = window("office", WEEK, "09:00", "16:00"), window("late", ["Wed"], "14:00", "20:00")
    found = plan(tmp_path, region("r-1"), region("r-2"), *windows, pipeline(windows=["office", "late"]))

    assert found.exit_code == 0
    assert (
        "warning: Windows office and late together leave only 2h a week, and up to 6d22h pass without any: "
        "before alpha, rest changes pile up and come as one; let these stages name fewer of them" in found.stdout
    )


def test_a_window_with_staff_is_asked_by_how_long_the_slowest_region_takes(tmp_path: Path) -> None:
    """As the hub asks it: one box, batches and bake, and the floors of each Region; the two halves say the same."""
    staffed = window("office", WEEK, "08:00", "18:00")
    staffed["spec"]["staffed"] = staffed["spec"]["open"]
    slow = region("r-2")
    slow["spec"]["floors"] = {"bake": "12h"}
    found = plan(tmp_path, region("r-1"), slow, staffed, pipeline(windows=["office"]))

    assert found.exit_code == 1
    assert "never opens within 400 days" in found.stdout
    assert "warning: Window office never lets a change start in rest within four weeks" in found.stdout
    assert "change start in alpha" not in found.stdout


def test_production_without_windows_is_noted(tmp_path: Path) -> None:
    """Nights and holidays are excluded only where somebody says so (R91)."""
    found = plan(tmp_path, region("r-1"), region("r-2"), pipeline())

    assert "note: no Window holds for alpha, rest: a change may start there at night and on holidays" in found.stdout


def test_values_for_no_region_are_noted(tmp_path: Path) -> None:
    """Most often a misspelt label, and a region that runs without what it needs; those of a base may be for others."""
    values = [{"regions": {"matchLabels": {"ombak.dev/cloud": "gpc"}}, "env": {"DB_HOST": "db.gcp.example"}}]
    mine = plan(tmp_path, region("r-1"), region("r-2"), pipeline(values=values))
    base = manifest("Pipeline", "storefront", {"values": values}, "shop")
    child = pipeline(extends={"name": "storefront"})
    inherited = plan(tmp_path, region("r-1"), region("r-2"), base, child)

    assert mine.exit_code == 0
    assert "note: spec.values[0] (DB_HOST) is for no region of its stages" in mine.stdout
    assert "spec.values" not in inherited.stdout


def test_what_would_not_get_everywhere_says_what_it_waits_for(tmp_path: Path) -> None:
    """A Blocker without an end, and a Window that does not exist; the exit code is 1."""
    blocker = manifest("Blocker", "freeze", {"reason": "a migration", "owner": "ops@shop.example"}, "shop")
    stopped = plan(tmp_path, region("r-1"), region("r-2"), blocker, pipeline())
    unknown = plan(tmp_path, region("r-1"), region("r-2"), pipeline(windows=["offce"]))

    assert (stopped.exit_code, unknown.exit_code) == (1, 1)
    assert "would not get everywhere" in stopped.stdout
    assert "  it waits for Blocker shop/freeze to be lifted: a migration" in stopped.stdout
    assert "Window offce to open, which is closed because it does not exist" in unknown.stdout


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        pytest.param(
            pipeline(stagse=[]),
            "Pipeline shop/front-end: spec.stagse is no field; remove it, or did you mean stages?",
            id="field",
        ),
        pytest.param(
            pipeline(extends={"name": "storefrnt"}),
            "Pipeline shop/front-end: spec.extends of front-end names the Pipeline storefrnt, which is not there",
            id="base",
        ),
        pytest.param(
            manifest("Pipeline", "front-end", spec("v1", [stage("alpha", "r-9")]), "shop"),
            "Pipeline shop/front-end: spec.stages[alpha].regions names r-9, which is no Region; register it",
            id="region",
        ),
        pytest.param(
            manifest("Region", "r-3", {"access": {}}),
            "Region r-3: spec.access: a Region is entered in exactly one way",
            id="access",
        ),
        pytest.param(
            manifest("Region", "r-3", {"access": {"inCluster": {}}, "timeZone": "Mars/Base"}),
            "Region r-3: spec.timeZone: there is no time zone 'Mars/Base'; write an IANA name",
            id="clock",
        ),
        pytest.param(
            window("odd", ["Mon"], "09:00", "09:00"), "Window odd: spec.open[0]: from and to are the same", id="window"
        ),
        pytest.param(
            manifest("Window", "odd", {"timeZone": "Mars/Olympus", "open": [{"cron": "0 9 * * 1", "for": "2h"}]}),
            "Window odd: there is no time zone 'Mars/Olympus'",
            id="time-zone",
        ),
        pytest.param(
            manifest("Pipeline", "front-end", spec("v1", [stage("alpha", regions="unplaced")]), "shop"),
            "spec.stages[0].regions: unplaced is no choice of regions; write names: [eu-1], or matchLabels and "
            "matchExpressions, or Unplaced",
            id="word",
        ),
        pytest.param({**pipeline(), "spec": []}, "Pipeline front-end: spec must be a mapping of fields", id="spec"),
        pytest.param(manifest("Pipline", "front-end", {}), "did you mean Pipeline?", id="kind"),
        pytest.param(
            pipeline(rollout={"spec": {"strategy": {"bake": {"for": "1h"}}}}),
            "spec.rollout.spec.strategy: the bake at the end is that of each stage; move bake to spec.stages[].bake",
            id="bake",
        ),
        pytest.param(
            pipeline(rollout={"spec": {"windows": ["office"]}}),
            "spec.rollout.spec.windows is no field here, but elsewhere there is one of this name; move it there",
            id="place",
        ),
        pytest.param(
            pipeline(values=[{"regions": {"names": ["r-1"]}, "env": {"A=B": "1"}}]),
            "spec.values[0].env: 'A=B' is no name of a variable",
            id="variable",
        ),
        pytest.param(
            manifest("Pipeline", "../x\x1b[31m", {}), r"Pipeline '../x\x1b[31m': metadata.name must be", id="name"
        ),
        pytest.param(
            manifest("Pipeline", "front-end", {}, "Shop"), "metadata.namespace must be lowercase", id="namespace"
        ),
        pytest.param(
            manifest("Override", "fix", {"artifact": "a1"}, "shop"), "Override shop/fix: spec.target is", id="override"
        ),
        pytest.param(
            {**pipeline(), "apiVersion": "ombak.dev/v1"},
            "Pipeline front-end: apiVersion ombak.dev/v1 is not served; write ombak.dev/v1alpha1",
            id="version",
        ),
    ],
)
def test_a_wrong_manifest_is_told_as_the_cluster_tells_it(tmp_path: Path, wrong: dict[str, Any], told: str) -> None:
    """Field and fix, on stderr, and the exit code is 2."""
    found = plan(tmp_path, region("r-1"), region("r-2"), wrong)

    assert found.exit_code == 2
    assert told in found.stderr


def test_an_override_beside_a_pipeline_changes_no_plan(tmp_path: Path) -> None:
    """Nobody approved it in a file, and it lies in the same folder in Git."""
    override = next(iter(read_documents(EXAMPLE.parent / "override" / "override.yaml")))
    given = region("r-1"), region("r-2"), pipeline()

    assert plan(tmp_path, *given, override).output == plan(tmp_path, *given).output


@pytest.mark.breadth
@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("&a {items: [*a]}", "nested deeper than 100 levels, or an alias", id="circle"),
        pytest.param("[" * 5000 + "]" * 5000, "nested deeper than 100 levels", id="depth"),
        pytest.param(
            "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
            + "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip("abcdef", "bcdefg", strict=True)),
            "more than 1,000,000 values",
            id="bomb",
        ),
    ],
)
def test_a_file_that_never_ends_is_refused(tmp_path: Path, text: str, told: str) -> None:
    """A few lines of YAML with aliases are as long as one likes; a review job plans whatever it is handed."""
    file = tmp_path / "all.yaml"
    file.write_text(text)
    found = CliRunner().invoke(main, ["plan", str(file)])

    assert found.exit_code == 1
    assert told in found.stderr


def test_what_stands_twice_and_differs_is_told(tmp_path: Path) -> None:
    """Nobody knows which of them is meant; the same one twice is no question."""
    regions = region("r-1"), region("r-2")

    assert plan(tmp_path, *regions, pipeline(), pipeline()).exit_code == 0
    found = plan(tmp_path, *regions, pipeline(), pipeline(windows=["office"]))
    assert found.exit_code == 2
    assert "Pipeline shop/front-end: it stands in the files twice, and they differ" in found.stderr


@pytest.mark.parametrize("days", [100, 200])
def test_a_change_that_takes_longer_than_a_plan_looks_ahead_says_so(tmp_path: Path, days: int) -> None:
    """Not only where it is then."""
    stages = [stage("alpha", "r-1", bake={"for": f"{days}d"}), stage("rest", "r-2")]
    long = manifest("Pipeline", "front-end", spec("v1", stages), "shop")
    found = plan(tmp_path, region("r-1"), region("r-2"), long)

    assert found.exit_code == 1
    assert "more than 90 days to pass, and a plan looks no further ahead; shorten the bakes" in found.stdout


def test_without_regions_and_without_a_hub_both_ways_out_are_told(tmp_path: Path) -> None:
    """And what is wrong in the files besides."""
    slip = manifest("Pipline", "other", {})
    nowhere = write_kubeconfig(tmp_path / "config", "http://127.0.0.1:9", "good")
    found = plan(tmp_path, pipeline(), slip, options=("--kubeconfig", str(nowhere)))

    assert found.exit_code == 1
    assert "FILES hold no Region" in found.stderr
    assert "--regions" in found.stderr
    assert "did you mean Pipeline?" in found.stderr


def test_a_calendar_of_a_config_map_is_looked_for_in_the_files(tmp_path: Path) -> None:
    """An event of it closes the Window; without it the Window is wrong."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//a//b//", "BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z"]
    lines += ["DTSTART;VALUE=DATE:20260105", "DTEND;VALUE=DATE:20260106", "SUMMARY:Away", "END:VEVENT", "END:VCALENDAR"]
    calendar = "\r\n".join((*lines, ""))
    where = {"namespace": "platform", "name": "company"}
    office = window("office", WEEK, "09:00", "16:00")
    office["spec"]["ics"] = [{"configMap": where}]
    given = region("r-1"), region("r-2"), office, pipeline(windows=["office"])
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": where, "data": {"calendar.ics": calendar}}

    missing, found = plan(tmp_path, *given), plan(tmp_path, *given, config_map)

    assert missing.exit_code == 2
    assert "ConfigMap platform/company is not there; add it to the files" in missing.stderr
    assert "waits 1d before it, for Window office to open" in found.stdout


def test_files_without_a_pipeline_to_plan_say_so(tmp_path: Path) -> None:
    """A base by itself goes nowhere."""
    base = manifest("Pipeline", "storefront", {"stages": [stage("alpha", "r-1")]}, "shop")

    assert "hold no Pipeline with a rollout" in plan(tmp_path, region("r-1"), base).stderr


API = "/apis/ombak.dev/v1alpha1"


async def test_where_the_files_have_no_region_the_hub_is_asked(tmp_path: Path) -> None:
    """Regions, Windows and bases come from there; what the files say wins."""
    file = tmp_path / "child.yaml"
    file.write_text(yaml.safe_dump(manifest("Pipeline", "front-end", {"extends": {"name": "storefront"}}, "shop")))
    async with FakeApiServer().serve() as server:
        for found in (region("r-1"), region("r-2")):
            await server.put(f"{API}/regions", found["metadata"]["name"], spec=found["spec"])
        await server.put(f"{API}/windows", "office", spec=window("office", WEEK, "11:00", "16:00")["spec"])
        shop = f"{API}/namespaces/shop/pipelines"
        await server.put(shop, "storefront", spec=pipeline(windows=["office"])["spec"])
        await server.put(shop, "front-end", spec={"extends": {"name": "nobody"}})
        kubeconfig = write_kubeconfig(tmp_path / "config", server.url, "good")
        command = ["plan", str(file), "--start", MONDAY, "--kubeconfig", str(kubeconfig)]
        told = await asyncio.to_thread(CliRunner().invoke, main, command)

    assert (told.exit_code, told.stderr) == (0, "")
    assert "Pipeline shop/front-end: 1 business day to 2 regions in 2 stages" in told.stdout
    assert "waits 2h before it, for Window office to open" in told.stdout
    assert {what for what, _, _ in server.requests} == {"list"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        pytest.param("2026-11-20", "2026-11-20", id="day"),
        pytest.param("2026-11-20T18:00:00Z", "2026-11-20T18:00:00Z", id="moment"),
        pytest.param("16:00", "16:00", id="time"),
        pytest.param("33%", "33%", id="percentage"),
        pytest.param("16", 16, id="number"),
        pytest.param("-1.5", -1.5, id="fraction"),
        pytest.param("0x10", 16, id="hexadecimal"),
        pytest.param("true", True, id="boolean"),
        pytest.param("1.4.0", "1.4.0", id="version"),
    ],
)
def test_scalars_are_read_as_kubectl_reads_them(tmp_path: Path, written: str, read: object) -> None:
    """Days and times are texts, which YAML libraries of Python do not think."""
    file = tmp_path / "a.yaml"
    file.write_text(f"a: {written}\n")

    assert read_documents(file) == [{"a": read}]
