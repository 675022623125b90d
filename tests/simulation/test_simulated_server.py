"""The API server in memory does what a real one does, as far as the operator relies upon it."""

import random
from typing import Any

import pytest

from ombak.core import naming
from ombak.runtime import drift, kinds
from ombak.runtime.kube_port import AlreadyExists, Conflict, Invalid, NotFound, Object
from ombak.simulation.agenda import Agenda
from ombak.simulation.controllers import Controllers
from ombak.simulation.pods import Behaviour, Kubelets
from ombak.simulation.podset import Pace
from ombak.simulation.region import Region, template
from ombak.simulation.server import Server

SETS = kinds.REPLICA_SETS


def body(name: str = "web", replicas: int = 3, **meta: Any) -> Object:
    """A ReplicaSet."""
    made = template("v1", Behaviour())
    return {
        "metadata": {"name": name, "labels": {naming.ROLLOUT: "front-end"}, **meta},
        "spec": {"replicas": replicas, "template": made},
    }


@pytest.fixture
def server() -> Server:
    """An empty one."""
    return Server(Agenda())


def test_writes_are_conditional_on_the_version_that_was_read(server: Server) -> None:
    """A stale write changes nothing."""
    old = server.create("ombak", SETS, "shop", body())
    server.patch("hpa", SETS, "shop", "web", {"spec": {"replicas": 5}})

    with pytest.raises(Conflict):
        server.replace("ombak", SETS, "shop", "web", old)
    version = {"resourceVersion": old["metadata"]["resourceVersion"]}
    with pytest.raises(Conflict):
        server.patch("ombak", SETS, "shop", "web", {"metadata": version, "spec": {"replicas": 1}})
    assert server.get(SETS, "shop", "web")["spec"]["replicas"] == 5


def test_names_are_taken_once(server: Server) -> None:
    """And what is not there is not found."""
    server.create("ombak", SETS, "shop", body())

    with pytest.raises(AlreadyExists):
        server.create("ombak", SETS, "shop", body())
    with pytest.raises(NotFound):
        server.get(SETS, "shop", "other")


def test_status_and_spec_are_written_apart(server: Server) -> None:
    """A status write moves no spec and no generation, a spec write no status."""
    server.create("ombak", SETS, "shop", {**body(), "status": {"replicas": 9}})
    server.replace(
        "kcm", SETS, "shop", "web", {"spec": {"replicas": 0}, "status": {"replicas": 3}}, subresource="status"
    )
    server.patch("ombak", SETS, "shop", "web", {"spec": {"replicas": 4}, "status": {"replicas": 8}})

    found = server.get(SETS, "shop", "web")

    assert (found["spec"]["replicas"], found["status"]) == (4, {"replicas": 3})
    assert found["metadata"]["generation"] == 2


def test_a_write_that_changes_nothing_is_no_event(server: Server) -> None:
    """The version stays."""
    old = server.create("ombak", SETS, "shop", body())
    seen: list[str] = []
    server.listeners.append(lambda kind, event, obj: seen.append(event))

    new = server.patch("ombak", SETS, "shop", "web", {"spec": {"replicas": 3}})

    assert new["metadata"]["resourceVersion"] == old["metadata"]["resourceVersion"]
    assert seen == []


def test_a_dry_run_says_no_and_stores_nothing(server: Server) -> None:
    """The message is the server's own."""
    spoilt = body() | {"spec": {"replicas": 0, "template": template("v1", Behaviour(), refused="image: bad")}}

    with pytest.raises(Invalid, match="image: bad"):
        server.create("ombak", SETS, "shop", spoilt, dry_run=True)
    server.create("ombak", SETS, "shop", body(), dry_run=True)
    assert server.all("ReplicaSet") == []


@pytest.mark.parametrize(
    ("edit", "drifts"),
    [
        pytest.param({"spec": {"replicas": 9}}, False, id="scaled"),
        pytest.param({"spec": {"template": {"spec": {"priorityClassName": "high"}}}}, True, id="edited"),
        pytest.param({"metadata": {"labels": {"team": "shop"}}}, True, id="labelled"),
    ],
)
def test_edits_of_others_show_until_they_are_put_back(server: Server, edit: Object, drifts: bool) -> None:
    """Told from managedFields, and gone with a whole write of ours."""
    wanted = body()
    server.create("ombak", SETS, "shop", wanted)
    edited = server.patch("kubectl", SETS, "shop", "web", edit)
    version = edited["metadata"]["resourceVersion"]

    assert drifts == bool(drift.drift(drift.edits_of(edited), wanted))
    put_back = server.replace("ombak", SETS, "shop", "web", body(resourceVersion=version))
    assert drift.edits_of(put_back).fields == ()


def test_deleting_has_preconditions(server: Server) -> None:
    """By uid and by version."""
    old = server.create("ombak", SETS, "shop", body())

    with pytest.raises(Conflict):
        server.delete("ombak", SETS, "shop", "web", uid="another")
    with pytest.raises(Conflict):
        server.delete("ombak", SETS, "shop", "web", resource_version="1")
    server.delete("ombak", SETS, "shop", "web", uid=old["metadata"]["uid"])
    assert server.all("ReplicaSet") == []


@pytest.mark.parametrize(
    ("propagation", "left"),
    [
        pytest.param("", ["web"], id="the CRD is deleted: the finalizer leaves the children"),
        pytest.param("Background", [], id="kubectl delete: the children go too"),
    ],
)
def test_the_orphan_finalizer_lets_go_of_the_children(propagation: str, left: list[str]) -> None:
    """Unless the one who deletes says how."""
    agenda = Agenda()
    server = Server(agenda)
    rng = random.Random(1)
    Controllers(server, Kubelets(agenda, rng), agenda, rng, Pace())
    meta = {"name": "front-end", "finalizers": [naming.ORPHAN]}
    owner = server.create("kubectl", kinds.ROLLOUTS, "shop", {"metadata": meta, "spec": {}})
    reference = {"uid": owner["metadata"]["uid"], "controller": True}
    server.create("ombak", SETS, "shop", body(ownerReferences=[reference]))

    server.delete("kubectl", kinds.ROLLOUTS, "shop", "front-end", propagation=propagation)
    agenda.run_until(60)

    assert server.all("Rollout") == []
    assert left == [o["metadata"]["name"] for o in server.all("ReplicaSet")]
    assert all(not o["metadata"].get("ownerReferences") for o in server.all("ReplicaSet"))


def running(replicas: int, how: Behaviour | None = None, *, pace: Pace | None = None) -> tuple[Agenda, Region]:
    """A region with one ReplicaSet."""
    agenda = Agenda()
    region = Region(agenda, 1, pace)
    made = body(replicas=replicas)
    made["spec"]["template"] = template("v1", how or Behaviour())
    region.server.create("ombak", SETS, "shop", made)
    return agenda, region


def status(region: Region, kind: kinds.Kind = SETS, name: str = "web") -> Object:
    """What the controllers tell."""
    found: Object = region.server.get(kind, "shop", name)["status"]
    return found


def test_a_replicaset_makes_its_pods_and_tells_of_them() -> None:
    """Pods become ready after a while, and the status follows."""
    agenda, region = running(3)
    agenda.run_until(10)

    assert region.available() == 3
    assert status(region) == {"observedGeneration": 1, "replicas": 3, "readyReplicas": 3, "availableReplicas": 3}


def test_a_status_may_be_of_the_latest_generation_and_still_count_old_pods() -> None:
    """As the real controller does: it counts before it deletes."""
    agenda, region = running(3)
    agenda.run_until(10)
    region.server.patch("ombak", SETS, "shop", "web", {"spec": {"replicas": 1}})
    seen: list[tuple[int, int]] = []
    region.server.listeners.append(
        lambda kind, event, obj: seen.append((obj["status"].get("observedGeneration"), obj["status"].get("replicas")))
    )

    agenda.run_until(20)

    assert seen == [(2, 3), (2, 1)]


def test_a_shrink_takes_pods_that_are_not_ready_first() -> None:
    """So that they cost nothing."""
    agenda, region = running(4)
    agenda.run_until(10)
    for pod in list(region.kubelets.pods.values())[:2]:
        region.kubelets.lose(pod)
    region.server.patch("ombak", SETS, "shop", "web", {"spec": {"replicas": 2}})

    agenda.run_until(20)

    assert region.available() == 2


def deployment(version: str, surge: int) -> Object:
    """A Deployment of one box."""
    return {
        "metadata": {"name": "box", "labels": {naming.ROLLOUT: "front-end"}},
        "spec": {
            "replicas": 1,
            "template": template(version, Behaviour()),
            "strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": 1 - surge}},
        },
    }


@pytest.mark.parametrize(
    ("surge", "least", "most"), [pytest.param(0, 0, 1, id="in its place"), pytest.param(1, 1, 2, id="beside it")]
)
def test_a_deployment_replaces_its_box_as_told(surge: int, least: int, most: int) -> None:
    """maxSurge and maxUnavailable are kept at every moment."""
    agenda = Agenda()
    region = Region(agenda, 1)
    region.server.create("ombak", kinds.DEPLOYMENTS, "shop", deployment("v1", surge))
    agenda.run_until(20)
    version = {"resourceVersion": region.server.get(kinds.DEPLOYMENTS, "shop", "box")["metadata"]["resourceVersion"]}
    made = deployment("v2", surge)
    made["metadata"] |= version
    region.server.replace("ombak", kinds.DEPLOYMENTS, "shop", "box", made)
    seen = []
    for tick in range(200, 400):
        agenda.run_until(tick / 10)
        seen.append((region.available(), len(region.kubelets.pods)))

    assert min(available for available, _ in seen) == least
    assert max(pods for _, pods in seen) == most
    assert status(region, kinds.DEPLOYMENTS, "box") == {
        "observedGeneration": 2,
        "replicas": 1,
        "updatedReplicas": 1,
        "readyReplicas": 1,
        "availableReplicas": 1,
    }


@pytest.mark.parametrize(
    ("how", "available"),
    [
        pytest.param(Behaviour(never_ready=True), {0}, id="never ready"),
        pytest.param(Behaviour(up_for=5, down_for=5), {0, 1}, id="a crash loop"),
        pytest.param(Behaviour(), {1}, id="well"),
    ],
)
def test_boxes_behave_as_their_template_says(how: Behaviour, available: set[int]) -> None:
    """After their start."""
    agenda, region = running(1, how)
    agenda.run_until(5)
    seen = set()
    for tick in range(6, 60):
        agenda.run_until(tick)
        seen.add(region.available())

    assert available == seen


def test_a_zone_that_is_down_serves_nothing_until_it_is_back() -> None:
    """Its pods stay, and come back by themselves."""
    agenda, region = running(2)
    agenda.run_until(10)
    region.kubelets.set_down("", True)
    agenda.run_until(20)
    away = region.available()
    region.kubelets.set_down("", False)
    agenda.run_until(30)

    assert (away, region.available()) == (0, 2)


def test_an_apply_takes_back_only_what_it_said_before_and_never_the_size(server: Server) -> None:
    """As the API server does for the one manager who applies: what others set beside it stays; a template is whole."""
    made: Object = {"metadata": {"name": "web", "annotations": {"a": "1"}}, "spec": {"replicas": 3, "x": 1, "y": 1}}
    made["spec"]["template"] = {"labels": {"v": "1"}}
    server.apply("hub", kinds.ROLLOUTS, "shop", made)
    hand: Object = {"spec": {"paused": True, "replicas": 7, "template": {"hand": "made"}}}
    hand["metadata"] = {"annotations": {"b": "2"}}
    server.patch("kubectl", kinds.ROLLOUTS, "shop", "web", hand)
    said: Object = {"metadata": {"name": "web"}, "spec": {"x": 2, "template": {"labels": {"v": "2"}}}}
    found = server.apply("hub", kinds.ROLLOUTS, "shop", said)

    assert found["spec"] == {"replicas": 7, "x": 2, "paused": True, "template": {"labels": {"v": "2"}}}
    assert found["metadata"]["annotations"] == {"b": "2"}


def test_an_apply_is_conditional_on_what_was_seen(server: Server) -> None:
    """Another version is a conflict; one that is gone is not made anew without its size."""
    live = server.apply("hub", kinds.ROLLOUTS, "shop", {"metadata": {"name": "web"}, "spec": {"replicas": 3}})
    seen = {"uid": live["metadata"]["uid"], "resourceVersion": live["metadata"]["resourceVersion"]}
    body: Object = {"metadata": {"name": "web", **seen}, "spec": {"x": 1}}
    server.apply("hub", kinds.ROLLOUTS, "shop", body)
    with pytest.raises(Conflict):
        server.apply("hub", kinds.ROLLOUTS, "shop", body)
    server.delete("kubectl", kinds.ROLLOUTS, "shop", "web")
    with pytest.raises(NotFound):
        server.apply("hub", kinds.ROLLOUTS, "shop", body)
