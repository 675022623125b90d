"""Tests as Jobs, Windows, Blockers and the team's alarms, through a real hub and two real regions."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ombak.core.identity import artifact_id
from support.gated_planes import HubPlanes, hub_and_regions
from support.region_planes import write_region

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

API = "ombak.dev/v1alpha1"
ALPHA, TWO, THREE = ("region-2", "shop-alpha"), ("region-2", "shop"), ("region-3", "shop")
QUICK = {"bake": {"for": "1s"}}
OK, FIRING, NO_DATA = "vector(0)", "vector(1)", "absent(vector(1))"
"""Queries of an Alarm: what it says of them against the threshold 0.5."""


def job_of(name: str, behaviour: str = "", **more: Any) -> dict[str, Any]:
    """A test of a stage whose Job ends as `behaviour` says."""
    annotations = {"sandbox.ombak.dev/behaviour": behaviour, "sandbox.ombak.dev/ready-after": "200ms"}
    pod = {
        "metadata": {"annotations": annotations},
        "spec": {"containers": [{"name": "test", "image": "registry.example/tests:1"}]},
    }
    return {"name": name, "template": {"spec": {"template": pod}}, **more}


def alarm(name: str, namespace: str, query: str, **spec: Any) -> dict[str, Any]:
    """An Alarm that says what the test wants it to say."""
    metric = {"query": query, "comparison": "GreaterThanThreshold", "threshold": 0.5, "period": "1s"}
    metric |= {"evaluationPeriods": 3, "datapointsToAlarm": 2}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API, "kind": "Alarm", "metadata": metadata, "spec": {"metric": metric, **spec}}


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """One Pipeline: alpha in the first region, then a wave over both, with bakes of a second."""

    planes: HubPlanes
    name: str

    def template(self, version: str) -> dict[str, Any]:
        """The boxes of a version; they are ready at once."""
        return {
            "metadata": {"labels": {"app": self.name}, "annotations": {"sandbox.ombak.dev/ready-after": "200ms"}},
            "spec": {"containers": [{"name": "app", "image": f"registry.example/{self.name}:{version}"}]},
        }

    def artifact(self, version: str) -> str:
        """What a version is called."""
        return artifact_id(self.template(version))

    def push(self, version: str, *, alpha: Any = None, prod: Any = None, **more: Any) -> None:
        """Ask for a version; `alpha` and `prod` are fields of the stages."""
        rollout = {
            "replicas": 3,
            "selector": {"matchLabels": {"app": self.name}},
            "template": self.template(version),
            "strategy": {"oneBox": QUICK, "rolling": QUICK},
            "unwatched": "what it proves needs no alarm",
        }
        first = {"name": "alpha", "phase": "PreProd", "regions": {"names": ["region-2"]}, "namespace": "shop-alpha"}
        last = {"name": "prod", "phase": "Prod", "regions": {"names": ["region-2", "region-3"]}}
        stages = [{**first, **QUICK, **(alpha or {})}, {**last, **QUICK, **(prod or {})}]
        spec = {"rollout": {"spec": rollout}, "stages": stages, "revertScope": "Everywhere", **more}
        metadata = {"name": self.name, "namespace": "shop"}
        self.planes.apply("region-1", {"apiVersion": API, "kind": "Pipeline", "metadata": metadata, "spec": spec})

    def status(self) -> dict[str, Any]:
        """What the Pipeline says."""
        return dict(self.planes.read("region-1", "ompl", self.name, "shop").get("status") or {})

    def waits(self) -> str:
        """Everything that it waits for, in one text."""
        return json.dumps(self.status().get("waitingFor", []))

    def rollout(self, place: tuple[str, str]) -> dict[str, Any]:
        """The Rollout in a place."""
        return self.planes.read(place[0], "omr", self.name, place[1])

    def phase(self, place: tuple[str, str]) -> str:
        """Its phase, if that is about its spec as it is."""
        found = self.rollout(place)
        status = found.get("status") or {}
        is_told = found and status.get("observedGeneration") == found["metadata"]["generation"]
        return str(status.get("phase") or "") if is_told else ""

    def runs(self, place: tuple[str, str]) -> str:
        """The version that is stable in a place, by its image tag; empty where there is none."""
        if self.phase(place) != "Stable":
            return ""
        containers = self.rollout(place)["spec"]["template"]["spec"]["containers"]
        return str(containers[0]["image"]).rpartition(":")[2]

    def everywhere(self) -> list[str]:
        """What is stable in each place."""
        return [self.runs(place) for place in (ALPHA, TWO, THREE)]

    def jobs(self, where: str, namespace: str) -> list[dict[str, Any]]:
        """The Jobs of its tests."""
        found = self.planes.items(where, "jobs", namespace)
        return [j for j in found if j["metadata"]["labels"].get("ombak.dev/pipeline") == self.name]

    def approved(self, place: tuple[str, str], version: str) -> list[str]:
        """The steps behind the one box that a version was allowed in a place."""
        events = self.planes.items(place[0], "events", place[1])
        told = [e["message"] for e in events if e["reason"] == "StepApproved"]
        return [message for message in told if self.artifact(version) in message]

    async def until(self, what: str, claim: Callable[[], bool]) -> None:
        """Wait until a claim holds."""
        await self.planes.until(what, claim, lambda: {"status": self.status(), "runs": self.everywhere()})

    async def delivered(self, version: str) -> None:
        """Wait until a version is stable everywhere, and the Pipeline says so."""
        await self.until(
            f"{version} everywhere",
            lambda: self.everywhere() == [version] * 3 and self.status().get("reason") == "Delivered",
        )


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubPlanes]:
    """A hub and two regions half a day apart."""
    logs = tmp_path_factory.mktemp("operators")
    with hub_and_regions(2, logs, ("shop", "shop-alpha", "web-team")) as made:
        write_region(made.hub, "region-2", timeZone="UTC")
        write_region(made.hub, "region-3", timeZone="Pacific/Auckland")
        yield made


async def test_a_stage_ends_when_its_tests_have_passed(planes: HubPlanes) -> None:
    """In the region and on the hub, with the artifact, the region and the stage in their environment."""
    service = Service(planes, "passes")
    service.push("v1", alpha={"tests": [job_of("smoke")]}, prod={"tests": [job_of("outside", where="Hub")]})
    await service.delivered("v1")

    (smoke,) = service.jobs("region-2", "shop-alpha")
    outside = service.jobs("region-1", "shop")
    found = [{e["name"]: e["value"] for e in j["spec"]["template"]["spec"]["containers"][0]["env"]} for j in outside]
    assert smoke["status"]["succeeded"] == 1
    assert sorted(env["OMBAK_REGION"] for env in found) == ["region-2", "region-3"]
    assert {(env["OMBAK_STAGE"], env["OMBAK_ARTIFACT"]) for env in found} == {("prod", service.artifact("v1"))}


async def test_a_failed_test_takes_the_change_back_with_the_end_of_its_log(planes: HubPlanes) -> None:
    """Everywhere in revertScope, and nobody has to look for the log."""
    service = Service(planes, "fails")
    service.push("v1")
    await service.delivered("v1")
    for region in planes.regions:
        region.plane.say("7 of 9 passed", "order 4711 was charged twice")
    service.push("v2", prod={"tests": [job_of("orders", "fail")]})
    await service.until("the verdict", lambda: service.status().get("reason") == "Rejected")
    await service.until("v1 everywhere again", lambda: service.everywhere() == ["v1"] * 3)

    message = service.status()["message"]
    assert "the test orders failed in Region region-" in message
    assert "order 4711 was charged twice" in message
    artifacts = planes.items("region-1", "artifacts", "shop")
    (rejected,) = [a["status"]["rejected"] for a in artifacts if a["spec"]["id"] == service.artifact("v2")]
    assert (rejected["reason"], rejected["stage"], rejected["scope"]) == ("TestFailed", "prod", "Everywhere")
    assert "order 4711 was charged twice" in rejected["message"]


async def test_a_region_stays_in_its_one_box_until_the_test_of_coexistence_has_passed(planes: HubPlanes) -> None:
    """One that hangs ends by its deadline and takes the change back, the fleet untouched; a good one lets it go."""
    service = Service(planes, "mixed")
    service.push("v1")
    await service.delivered("v1")
    hanging = job_of("mixed", "never-ready", when="DuringOneBox", deadline="30s")
    service.push("v2", alpha={"tests": [hanging]})
    await service.until(
        "the wait for the permit, and for the test that gives it",
        lambda: (
            "the permit to leave the one box" in json.dumps(service.rollout(ALPHA).get("status", {}))
            and "the test mixed in Region region-2" in service.waits()
        ),
    )
    await service.until("the verdict", lambda: service.status().get("reason") == "Rejected")
    await service.until("v1 everywhere again", lambda: service.everywhere() == ["v1"] * 3)
    assert "deadline" in service.status()["message"]
    assert service.approved(ALPHA, "v2") == []

    service.push("v3", alpha={"tests": [job_of("mixed", when="DuringOneBox")]})
    await service.delivered("v3")
    (job, *_) = [j for j in service.jobs("region-2", "shop-alpha") if j["status"].get("succeeded")]
    assert job["metadata"]["labels"]["ombak.dev/test"] == "mixed"
    assert service.approved(ALPHA, "v3") != []


async def test_a_window_that_is_closed_in_one_regions_time_holds_just_that_region(planes: HubPlanes) -> None:
    """The other one goes on; when it opens the rest follows."""
    service = Service(planes, "windows")
    service.push("v1")
    await service.delivered("v1")
    now = datetime.now(UTC)
    closed = {"from": f"{now - timedelta(hours=2):%Y-%m-%dT%H:%M:%S}", "reason": "the big sale"}
    closed["to"] = f"{now + timedelta(hours=3):%Y-%m-%dT%H:%M:%S}"
    days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    spec = {"timeZone": "Region", "open": [{"days": days, "from": "00:00", "to": "24:00"}], "owner": "platform"}
    window = {"apiVersion": API, "kind": "Window", "metadata": {"name": "sale"}, "spec": {**spec, "closed": [closed]}}
    planes.apply("region-1", window)
    service.push("v2", prod={"windows": ["sale"]})
    await service.until("v2 in region-3 alone", lambda: service.everywhere() == ["v2", "v1", "v2"])

    (wait,) = [w for w in service.status()["waitingFor"] if "Window sale to open" in w["what"]]
    assert (wait["stage"], wait["region"], wait["command"]) == ("prod", "region-2", "kubectl edit window sale")
    planes.apply("region-1", {**window, "spec": spec})
    await service.delivered("v2")


async def test_the_teams_alarm_in_an_earlier_stage_holds_the_next_one(planes: HubPlanes) -> None:
    """In ALARM, and when nobody knows; a Blocker that goes meanwhile does not let it pass (R86)."""
    service = Service(planes, "held")
    team: dict[str, Any] = {"alarms": ["web-team/high"], "prod": {"regions": {"names": ["region-3"]}}}
    for where in ("region-2", "region-3"):
        planes.apply(where, alarm("high", "web-team", OK))
    selector = {"matchLabels": {"ombak.dev/name": service.name, "ombak.dev/stage": "prod"}}
    blocker = {"selector": selector, "owner": "sre", "reason": "payments fail"}
    metadata = {"name": "payments", "namespace": "shop"}
    service.push("v1", **team)
    await service.until("v1", lambda: service.status().get("reason") == "Delivered")
    planes.apply("region-1", {"apiVersion": API, "kind": "Blocker", "metadata": metadata, "spec": blocker})
    service.push("v2", **team)
    await service.until("the Blocker", lambda: "Blocker shop/payments" in service.waits())
    assert (service.runs(ALPHA), service.runs(THREE)) == ("v2", "v1")

    planes.apply("region-2", alarm("high", "web-team", FIRING))
    await service.until("the alarm", lambda: "Alarm web-team/high in Region region-2 to end" in service.waits())
    planes.hub.kubectl("delete", "blocker", "payments", "-n", "shop")

    def held() -> list[tuple[bool, str]]:
        found = [w for w in service.status().get("waitingFor", []) if w["stage"] == "prod"]
        return [(w["what"].startswith("Alarm web-team/high in Region region-2 to end"), w["command"]) for w in found]

    # An answer of its Prometheus that comes late makes it unknown for a moment.
    told = [(True, "kubectl --context region-2 -n web-team describe alarm high")]
    await service.until("the alarm alone", lambda: held() == told)
    planes.apply("region-2", alarm("high", "web-team", NO_DATA))
    await service.until("nobody knows", lambda: "high in Region region-2 to be known" in service.waits())
    assert service.runs(THREE) == "v1"

    planes.apply("region-2", alarm("high", "web-team", OK))
    await service.until("v2", lambda: service.status().get("reason") == "Delivered")
    assert service.runs(THREE) == "v2"


async def test_an_alarm_that_guards_in_one_region_takes_the_change_back_inside_its_scope(planes: HubPlanes) -> None:
    """The region reverts what is on its way there, and the hub follows with all other regions (R68)."""
    service = Service(planes, "guarded")
    planes.apply("region-3", alarm("guard", "shop", OK, guards={}))
    service.push("v1")
    await service.delivered("v1")
    service.push("v2", prod={"bake": {"for": "1h"}})
    await service.until(
        "v2 bakes in both regions", lambda: (service.phase(TWO), service.phase(THREE)) == ("Bake", "Bake")
    )

    planes.apply("region-3", alarm("guard", "shop", FIRING, guards={}))
    await service.until("the verdict", lambda: service.status().get("reason") == "Rejected")
    await service.until("v1 everywhere again", lambda: service.everywhere() == ["v1"] * 3)
    assert "taken back in Region region-3" in service.status()["message"]
    planes.by_name["region-3"].kubectl("delete", "alarm", "guard", "-n", "shop")
    for process in planes.processes:
        process.check()
