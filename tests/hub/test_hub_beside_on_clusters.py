"""A real hub and three real regions, and scenarios side by side: fast lanes, clouds, outages, autoscalers, alarms."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from support.beside import Outcomes, beside, loses_a_region
from support.hub_tally import Tally, proxied
from support.region_planes import kubeconfig_of, token_of, write_region, write_secret
from support.shared_alarms import ALARMS, RULES, seen_for, states
from support.shared_hub import API, BAKE, HOUR, Json, Place, Second, Service, Shared, allow, shared_planes, stage
from support.shared_overrides import approve, ask, override, the_policy_counts
from support.short_tokens import ending

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SKEW = timedelta(minutes=20)


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    """All chosen scenarios, running."""
    asked = [getattr(item, "function", None) for item in request.session.items if item.module is request.module]
    with shared_planes(tmp_path_factory.mktemp("beside")) as (planes, exporter):
        logs = tmp_path_factory.mktemp("operators")
        made = Outcomes(planes, exporter, logs, [test.in_world for test in asked if hasattr(test, "in_world")])
        yield made
        made.close()


# --- the fast lane ---------------------------------------------------------------------------------------------


@beside
async def test_a_fix_that_somebody_else_approved_takes_the_slot_of_what_is_in_flight(world: Shared) -> None:
    """Through a Blocker and under the floors, while others are held; when its Override ends the floors hold again."""
    lane = Service(world, "fix")
    alpha, home, floored = ("region-1", "fix-alpha"), ("region-1", "fix"), ("floored", "fix")
    first = stage("alpha", "region-1", namespace="fix-alpha", phase="PreProd")
    lane.push("v1", first, stage("wave", "region-1", "floored"))
    await lane.delivered("v1", alpha, home, floored)
    write_region(world.hub, "floored", allow=allow("fix"), floors={"oneBox": "1h", "bake": "1h"})
    await lane.until("the floors", lambda: lane.bakes(floored) == ("1h", "1s", "1h"))
    slow = first, stage("wave", "region-1", "floored", **HOUR)
    lane.push("v2", *slow)
    await lane.are("Bake v2", home)
    await lane.are("OneBoxBake v2", floored)

    world.apply("region-1", blocker("freeze"), blocker("drill"))
    lane.push("v3", *slow)
    await lane.are("Stable v3", alpha)
    await the_policy_counts(world)
    passes = [{"kind": "Blocker", "name": "freeze"}]
    short = {"oneBox": "1s", "batch": "1s", "bake": "1s"}
    made = ask(world, "fix", lane, "v3", expires=timedelta(hours=1), passes=passes, supersede=True, bake=short)
    await lane.until("the Override to be seen", lambda: override(world, "fix").get("state") == "Pending")
    await lane.until("v3 to be past alpha and no further", lambda: lane.inside() == {"wave": "v2"})
    approve(world, made)
    await lane.until("the other Blocker", lambda: "Blocker fix/drill" in lane.waits())
    lane.push("v4", *slow)
    await lane.until("v4 to be held", lambda: "Override fix to end" in lane.waits())
    assert (lane.inside(), "freeze" in lane.waits()) == ({"wave": "v2"}, False)
    seen = lane.status()["override"]
    assert (seen["name"], seen["requestedBy"], seen["approvedBy"]) == ("fix", "alice", ["bob"])

    world.hub.kubectl("delete", "blocker", "drill", "-n", "fix")
    await lane.until("the fix to take the slot", lambda: lane.inside().get("wave") == "v3")
    await lane.are("Stable v3", home, floored)
    for place in (home, floored):
        assert lane.bakes(place) == ("1s", "1s", "1s")
        assert lane.rollout(place)["metadata"]["annotations"]["ombak.dev/override"] == "fix/fix"
    (told,) = lane.told("Superseded")
    assert "takes the place of" in told
    assert "by Override fix of alice, approved by bob" in told
    assert "rejected" not in (lane.artifacts()["v2"].get("status") or {}), "nothing is held against what was given up"
    await the_next_one_bakes_as_ever(world, lane, alpha, floored)


async def the_next_one_bakes_as_ever(world: Shared, lane: Service, alpha: Place, floored: Place) -> None:
    """It has no Override, so it waits for the Blocker; one that ends meanwhile shortens nothing any more."""
    await lane.are("Stable v4", alpha)
    await lane.until("the Blocker that only the fix passes", lambda: "Blocker fix/freeze" in lane.waits())
    world.hub.kubectl("delete", "override", "fix", "-n", "fix")
    await lane.until("the floors again", lambda: lane.bakes(floored) == ("1h", "1s", "1h"))
    world.hub.kubectl("delete", "blocker", "freeze", "-n", "fix")
    await lane.are("OneBoxBake v4", floored)
    approve(world, ask(world, "brief", lane, "v4", expires=timedelta(minutes=1), bake={"oneBox": "30m"}))
    await lane.until("the shorter bake", lambda: lane.bakes(floored) == ("30m", "1s", "1h"))
    assert lane.rollout(floored)["metadata"]["annotations"]["ombak.dev/override"] == "fix/brief"
    await lane.until("its end", lambda: override(world, "brief").get("state") == "Expired")
    await lane.until("the floors once more", lambda: lane.bakes(floored) == ("1h", "1s", "1h"))
    assert "ombak.dev/override" not in lane.rollout(floored)["metadata"]["annotations"]
    await lane.are("OneBoxBake v4", floored)


def blocker(name: str) -> Json:
    """Somebody stops starts in the wave."""
    spec = {"selector": {"matchLabels": {"ombak.dev/stage": "wave"}}, "owner": "sre", "reason": "payments fail"}
    return {"apiVersion": API, "kind": "Blocker", "metadata": {"name": name, "namespace": "fix"}, "spec": spec}


# --- two clouds, zones, and a region that is away ----------------------------------------------------------------


@beside
@loses_a_region("clouds")
async def test_two_clouds_zone_by_zone_and_the_rest_without_the_region_that_is_away(world: Shared) -> None:
    """Of a base and a child: values by cloud, zones one at a time, Unplaced, and Skip with a record."""
    base, child = Service(world, "clouds", "storefront"), Service(world, "clouds")
    aws, gcp, away = ("region-1", "clouds-alpha"), ("region-2", "clouds"), ("region-3", "clouds-rest")
    spare = ("spare", "clouds-rest")
    first = stage("alpha", "region-1", namespace="clouds-alpha", phase="PreProd")
    wave = {"name": "wave", "phase": "Prod", "regions": {"matchLabels": {"cloud": "gcp"}}, **BAKE}
    rest = {"name": "rest", "phase": "Prod", "regions": "Unplaced", "namespace": "clouds-rest", **BAKE}
    rest["onRegionUnreachable"] = "Skip"
    hosts = [{"regions": {"matchLabels": {"cloud": c}}, "env": {"DB_HOST": f"db.{c}.example"}} for c in ("aws", "gcp")]
    base.write(stages=[first, wave, rest], values=hosts)
    own = {"name": "wave", "zones": ["*"], "replicas": 7}

    def push(version: str) -> None:
        rollout = {"template": child.template(version, ready="1500ms")}
        child.push(version, own, extends={"name": "storefront"}, rollout=rollout)

    push("v1")
    await child.delivered("v1", aws, gcp, away, spare)
    assert [host(child, place) for place in (aws, gcp, away)] == ["db.aws.example", "db.gcp.example", "db.aws.example"]
    merged = {s["name"]: s for s in child.status()["merged"]["stages"]}
    assert list(merged) == ["alpha", "wave", "rest"]
    assert (merged["wave"]["zones"], merged["wave"]["bake"]) == (["*"], {"for": "1s"})
    assert child.rollout(gcp)["spec"]["zones"] == ["a", "b"]
    assert base.reason() == "Base"

    world.busy_there.discard("clouds")
    await world.is_away.wait()
    push("v2")
    await child.are("Stable v2", aws, gcp)
    the_zones_took_turns(world, "v2")
    await child.until("it to be passed over", lambda: child.status()["travelling"][-1].get("skipped"))
    assert child.status()["travelling"][-1]["skipped"] == ["rest/region-3"]
    assert not world.is_back.is_set()
    assert child.ready() == "Unknown", "silence is never success"
    assert child.phase(spare) == "Stable v2"
    assert "but for Region region-3 (stage rest): no answer" in child.status()["message"]
    world.missing_it.discard("clouds")
    await world.is_back.wait()
    await child.delivered("v2", aws, gcp, away, spare)
    await child.until("nothing is unknown", lambda: child.ready() == "True")


def host(service: Service, place: Place) -> str:
    """The variable that differs by cloud, as boxes in a place have it."""
    container = service.rollout(place)["spec"]["template"]["spec"]["containers"][0]
    return next(str(v["value"]) for v in container["env"] if v["name"] == "DB_HOST")


def the_zones_took_turns(world: Shared, version: str) -> None:
    """Every new box of the first zone was ready before the first one of the next was made (P6)."""
    pods = world.items("region-2", "/api/v1/namespaces/clouds/pods")
    new = [p for p in pods if p["spec"]["containers"][0]["image"].endswith(f":{version}")]
    new = [p for p in new if p["metadata"]["labels"]["ombak.dev/box"] == "fleet"]
    by_zone = {z: [p for p in new if p["metadata"]["labels"].get("ombak.dev/zone") == z] for z in ("a", "b")}
    assert {zone: len(found) for zone, found in by_zone.items()} == {"a": 3, "b": 3}, by_zone
    ready = [c["lastTransitionTime"] for p in by_zone["a"] for c in p["status"]["conditions"] if c["type"] == "Ready"]
    assert max(ready) <= min(p["metadata"]["creationTimestamp"] for p in by_zone["b"])


@beside
@loses_a_region("ends")
async def test_a_region_that_is_away_for_minutes_at_the_end_of_a_wave(world: Shared) -> None:
    """All others have finished, and it bakes: all the time nothing is taken for done, and it ends when it is back."""
    service, (two, three) = Service(world, "ends"), (("region-2", "ends"), ("region-3", "ends"))
    service.push("v1", stage("wave", "region-2", "region-3"))
    await service.delivered("v1", two, three)
    await world.until("nobody else to be busy there", lambda: world.busy_there == {"ends"})
    service.push("v2", stage("wave", "region-2", "region-3", bake={"for": "30s"}))
    await service.are("Bake v2", three)
    world.busy_there.discard("ends")
    await world.is_away.wait()
    await service.are("Stable v2", two)
    await service.until("the wait to be told", lambda: service.reason() == "Unreachable")
    assert "Region region-3 to answer" in service.waits()
    world.missing_it.discard("ends")
    while not world.is_coming.is_set():
        assert (service.reason(), service.ready(), service.inside()) == ("Unreachable", "Unknown", {"wave": "v2"})
        await asyncio.sleep(1)
    await service.delivered("v2", two, three)
    await service.until("nothing is unknown", lambda: service.ready() == "True")


# --- configuration -----------------------------------------------------------------------------------------------


@beside
async def test_configuration_goes_its_own_way_beside_the_application_and_back(world: Shared) -> None:
    """A ConfigMap in `objects` is delivered, baked and taken back like code, while another Pipeline stands still."""
    stages = (
        stage("alpha", "region-1", namespace="conf-alpha", phase="PreProd"),
        stage("wave", "region-1", "region-2"),
    )
    places = (("region-1", "conf-alpha"), ("region-1", "conf"), ("region-2", "conf"))
    application, settings = Service(world, "conf", "app"), Service(world, "conf", "settings")

    def configure(level: str, *stages: Json) -> None:
        data = {"level": level}
        found = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data}
        template = settings.template("same", env_from="settings")
        settings.push("same", *stages, rollout={"template": template}, objects=[found], revertScope="Everywhere")

    def levels(phase: str) -> list[str]:
        return [level_of(world, settings, place) if settings.phase(place) == phase else "" for place in places]

    application.push("v1", *stages)
    configure("1", *stages)
    await application.delivered("v1", *places)
    await settings.until("the first ones", lambda: levels("Stable same") == ["1", "1", "1"])
    application.push("v2", {**stages[0], **HOUR}, stages[1])
    await application.are("Bake v2", places[0])
    configure("2", *stages)
    await settings.until("the second ones", lambda: levels("Stable same") == ["2", "2", "2"])
    await settings.until("it is delivered", lambda: settings.reason() == "Delivered")

    configure("3", stages[0], {**stages[1], **HOUR})
    await settings.until("the third ones to bake", lambda: levels("Bake same") == ["", "3", "3"])
    settings.abort_in(places[2])
    await settings.until("the second ones everywhere again", lambda: levels("Stable same") == ["2", "2", "2"])
    await settings.until("the verdict", lambda: settings.reason() == "Rejected")
    pods = world.items("region-2", "/api/v1/namespaces/conf/pods?labelSelector=app%3Dsettings")
    kept = settings.rollout(places[2])["spec"]["template"]["spec"]["containers"][0]["envFrom"]
    assert [p["spec"]["containers"][0]["envFrom"] for p in pods if "deletionTimestamp" not in p["metadata"]] == [
        kept
    ] * 3
    assert (application.inside(), application.told("Rejected")) == ({"alpha": "v2"}, [])


def level_of(world: Shared, service: Service, place: Place) -> str:
    """What the ConfigMap says to which a Rollout refers, which nobody can change."""
    container = service.rollout(place)["spec"]["template"]["spec"]["containers"][0]
    name = container["envFrom"][0]["configMapRef"]["name"]
    found = world.call(place[0], "GET", f"/api/v1/namespaces/{place[1]}/configmaps/{name}")
    assert found["immutable"] is True
    return str(found["data"]["level"])


# --- regions that have a will of their own ------------------------------------------------------------------------


@beside
async def test_an_autoscaler_of_a_region_is_never_fought(world: Shared) -> None:
    """A HorizontalPodAutoscaler scales up, again in the middle of a delivery, and down; each time it asks once."""
    service, place = Service(world, "scaled"), ("region-2", "scaled")
    service.push("v1", stage("wave", "region-2"))
    await service.delivered("v1", place)

    def scale(least: int, most: int) -> None:
        target = {"apiVersion": API, "kind": "Rollout", "name": "web"}
        spec = {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": most}
        metadata = {"name": "web", "namespace": "scaled"}
        kind = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
        world.apply("region-2", {**kind, "metadata": metadata, "spec": spec})

    def boxes() -> tuple[int, int]:
        pods = world.items("region-2", "/api/v1/namespaces/scaled/pods")
        return service.rollout(place)["spec"]["replicas"], sum("deletionTimestamp" not in p["metadata"] for p in pods)

    scale(5, 10)
    await service.until("five boxes", lambda: boxes() == (5, 5))
    long = {"strategy": {"oneBox": HOUR, "rolling": BAKE}}
    service.push("v2", stage("wave", "region-2"), rollout=long)
    await service.are("OneBoxBake v2", place)
    scale(7, 10)
    await service.until("seven in the middle of it", lambda: boxes() == (7, 7))
    await service.are("OneBoxBake v2", place)
    service.push("v3", stage("wave", "region-2"))
    service.abort_in(place)
    await service.delivered("v3", place)
    scale(1, 4)
    await service.until("four boxes", lambda: boxes() == (4, 4))
    await service.delivered("v3", place)

    def rescaled() -> int:
        events = world.items("region-2", "/api/v1/namespaces/scaled/events")
        return sum(e.get("count") or 1 for e in events if e["reason"] == "SuccessfulRescale")

    await service.until("it tells of three", lambda: rescaled() >= 3)
    assert rescaled() == 3
    fields = world.call("region-2", "GET", f"/apis/{API}/namespaces/scaled/rollouts/web")["metadata"]["managedFields"]
    owners = {(f["manager"], f.get("subresource")) for f in fields if "f:replicas" in f["fieldsV1"].get("f:spec", {})}
    assert owners == {("kube-controller-manager", "scale")}


@beside
async def test_a_token_that_ends_by_time_and_a_new_one(world: Shared) -> None:
    """The Region tells it, what was delivered stays and waits; the new Secret is found by itself."""
    region, service, place = world.second, Service(world, "expires"), ("expiring", "expires")
    key = region.kubeconfig.parent / "service-account.key"
    soon = datetime.now(UTC) + timedelta(minutes=1)
    write_secret(world.hub, "expiring", kubeconfig_of(region, ending(token_of(region), soon, key)))
    write_region(world.hub, "expiring", allow=allow("expires"))
    service.push("v1", stage("wave", "expiring"))
    await service.delivered("v1", place)
    assert world.region("expiring")["reason"] == "Answering"

    await service.until("its end", lambda: world.region("expiring").get("reason") == "Unauthorized")
    found = world.region("expiring")
    assert found["status"] == "False"
    assert "renew them in the Secret" in found["message"]
    assert datetime.now(UTC) >= soon
    service.push("v2", stage("wave", "expiring"))
    await service.until("the wait", lambda: "cannot be reached (Unauthorized)" in service.waits())
    assert (service.ready(), service.phase(place)) == ("Unknown", "Stable v1")
    assert "kubectl describe omreg expiring" in service.waits()
    write_secret(world.hub, "expiring", kubeconfig_of(region, token_of(region)))
    await service.delivered("v2", place)
    assert world.region("expiring")["reason"] == "Answering"
    await service.until("nothing is unknown", lambda: service.ready() == "True")


# --- one Prometheus for all ----------------------------------------------------------------------------------------


@beside
async def test_behind_one_prometheus_no_region_is_moved_by_the_series_of_another(world: Shared) -> None:
    """Neither a metric nor an alerting rule: one goes back, the other bakes on; and one without data knows nothing."""
    world.exporter.errors |= {"region-1": 0.01, "region-2": 0.02}
    world.hub.prometheus.set_rules("shop", RULES)
    service, one, two = Service(world, "scoped"), ("region-2", "scoped"), ("region-1", "scoped")
    watched = {"unwatched": None, "alarms": {"revert": 'ALARM("errors") OR ALARM("rule")'}}

    def push(version: str, *stages: Json) -> None:
        service.push(version, *stages, rollout=watched, objects=ALARMS, revertScope="Region")

    push("v1", stage("one", "region-2"), stage("two", "region-1"))
    await service.delivered("v1", one, two)
    push("v2", stage("one", "region-2"), stage("two", "region-1", **HOUR))
    await service.are("Bake v2", two)
    await world.until("all to be well", lambda: states(world) == ["OK"] * 4)

    world.exporter.errors["region-2"] = 0.9
    # A scrape that comes late makes any of them unknown for a moment; none may be moved by the other region.
    await world.until("region-2 to burn", lambda: states(world)[2:] == ["ALARM", "ALARM"])
    assert not any("ALARM" in said[:2] for said in await seen_for(world, 5))
    await world.until("region-2 alone to burn", lambda: states(world) == ["OK", "OK", "ALARM", "ALARM"])
    assert service.phase(two) == "Bake v2"
    world.exporter.errors |= {"region-1": 0.9, "region-2": 0.01}
    await service.until("the verdict", lambda: service.artifacts()["v2"].get("status", {}).get("rejected"))
    assert service.artifacts()["v2"]["status"]["rejected"]["region"] == "region-1"
    await service.are("Stable v1", two)
    await world.until("region-2 to be well", lambda: states(world) == ["ALARM", "ALARM", "OK", "OK"])
    del world.exporter.errors["region-2"]
    unknown = ["ALARM", "ALARM", "INSUFFICIENT_DATA"]
    await world.until("region-2 to know nothing", lambda: states(world)[:3] == unknown)
    assert service.phase(one) == "Stable v2"


# --- a hub that dies on the way back -------------------------------------------------------------------------------


@beside
async def test_a_hub_that_dies_after_each_number_of_writes_takes_back_all_the_same(world: Shared) -> None:
    """By a word on the hub, and by one in a region: everything is back, and nothing is done twice.

    Each life is on another machine: their clocks are wrong by SKEW, before and after those of the regions in turn.
    """
    second, tally = Second(world.second, (world.hub, world.second)), Tally()
    service = Service(world, "killed", hub="region-2")
    alpha, one, two = ("region-1", "killed-alpha"), ("region-1", "killed"), ("region-2", "killed")
    first, wave = stage("alpha", "region-1", namespace="killed-alpha"), stage("wave", "region-1", "region-2")
    with proxied(second, world.logs, tally) as kubeconfig:
        options = ("--hub", "--namespace", "nobody", "--prometheus", world.hub.prometheus_url)
        clock, clocks = world.logs / "mortal-clock", itertools.cycle((SKEW, -SKEW))
        hub = world.operator("mortal", world.second, *options, kubeconfig=kubeconfig, wrong_by=clock)

        def begin(writes: int) -> None:
            tally.begin(writes)
            clock.write_text(str(next(clocks).total_seconds()))
            hub.start()

        try:
            begin(0)
            service.push("v1", first, wave, revertScope="Everywhere")
            await service.delivered("v1", alpha, one, two)
            told = (datetime.fromisoformat(c["lastTransitionTime"]) for c in service.status()["conditions"])
            assert max(told) - datetime.now(UTC) > SKEW / 2
            for version in ("v2", "v3"):
                service.push(version, first, {**wave, **HOUR}, revertScope="Everywhere")
                await service.are(f"Bake {version}", one, two)
                await asyncio.to_thread(hub.kill)
                if version == "v2":
                    service.abort(service.artifacts()["v2"]["spec"]["id"])
                else:
                    service.abort_in(one)
                before = [service.rollout(place)["metadata"]["generation"] for place in (alpha, one, two)]
                deaths = 0
                while not is_back(service, version, (alpha, one, two)):
                    deaths += 1
                    begin(deaths)
                    over = lambda v=version: tally.reached.is_set() or is_back(service, v, (alpha, one, two))  # noqa: E731
                    await service.until("a death or the end", over)
                    await asyncio.to_thread(hub.kill)
                assert deaths >= 3, (version, tally.total)
                begin(0)
                await service.until("the verdict", lambda: service.reason() == "Rejected")
                after = [service.rollout(place)["metadata"]["generation"] for place in (alpha, one, two)]
                assert all(0 < b - a <= 2 for a, b in zip(before, after, strict=True)), (before, after)
        finally:
            await asyncio.to_thread(hub.kill)


def is_back(service: Service, version: str, places: tuple[Place, ...]) -> bool:
    """The verdict is on record, and every place runs the first version, which its spec asks for again."""
    found = service.artifacts()[version].get("status") or {}
    return "rejected" in found and {service.phase(place) for place in places} == {"Stable v1"}
