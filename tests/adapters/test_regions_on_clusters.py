"""A hub and two regions, all real: the shipped rights, tokens that end, outages, and edits by hand."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from ombak.adapters.kube_client import HttpKubeClient
from ombak.adapters.kubernetes import Access
from ombak.cli.hub import HubRegions
from ombak.core.conveyor import plan
from ombak.runtime import kinds, kube_port
from ombak.runtime.hub.bringing import RefusedError, bring
from ombak.runtime.kube_port import Kind
from ombak.runtime.regions import Reach, RegionView
from ombak.sandbox import Process, Region, start_regions
from support.clusters import eventually
from support.region_planes import (
    PATIENCE_S,
    USER,
    kubeconfig_of,
    requests,
    rollout,
    shown,
    token_of,
    write_region,
    write_secret,
)
from support.regions import QUICK

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
PACE = replace(QUICK, within=timedelta(seconds=10))
"""What is away refuses at once, and on a busy machine an answer may take longer than a test in memory allows."""
KEY = ("shop", "front-end")


@pytest.fixture(scope="module")
def planes() -> Iterator[list[Region]]:
    """The hub and two regions, with the shipped files and no other rights."""
    with start_regions(3, zones=("a",), nodes=1, traffic=False) as started:
        hub, *regions = started
        for plane in started:
            plane.kubectl("apply", "-f", str(ROOT / "crds"))
            plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "-l", "!none")
            plane.kubectl("create", "namespace", "shop")
        hub.grant(USER, ROOT / "charts" / "hub-rbac.yaml")
        for region in regions:
            region.kubectl("apply", "-f", str(ROOT / "charts" / "region-rbac.yaml"))
        yield started


@asynccontextmanager
async def followed(hub: Region) -> AsyncIterator[HubRegions]:
    """The hub's part of `ombak run --hub`, with the hub's own rights."""
    access = await Access.open(hub.kubeconfig_for(USER))
    async with HttpKubeClient(access) as client:
        running = HubRegions(client, access, random.Random(1), PACE)
        task = asyncio.create_task(running.run())
        try:
            yield running
            assert not task.done()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def hub(planes: list[Region]) -> AsyncIterator[HubRegions]:
    """Both regions, followed and live."""
    plane, *regions = planes
    for region in regions:
        write_secret(plane, region.name, kubeconfig_of(region, token_of(region)))
        write_region(plane, region.name, cloud="aws", region="eu-west-1", zones=["a"])
    async with followed(plane) as running:
        await eventually(lambda: all(is_live(running, region.name) for region in regions), PATIENCE_S)
        yield running


def view(hub: HubRegions, name: str, key: tuple[str, str] = KEY) -> RegionView:
    found = hub.regions.view(name, key)
    assert found is not None
    return found


def is_live(hub: HubRegions, name: str) -> bool:
    found = hub.regions.view(name, KEY)
    return found is not None and found.is_live


def reason(hub: HubRegions, name: str) -> str:
    contact = hub.regions.contact(name)
    return "" if contact is None else contact.reason


async def test_the_region_tells_what_it_is(planes: list[Region], hub: HubRegions) -> None:
    """Reachable, the version, the last contact; and what kubectl prints of it."""
    name = planes[1].name
    found = await shown(planes[0], name, "Answering")
    printed = planes[0].kubectl("get", "regions")

    assert found["status"] == "True"
    assert "v1.36.3" in found["message"]
    assert printed.splitlines()[0].split() == ["NAME", "CLOUD", "REGION", "REACHABLE", "REASON", "LAST-CONTACT", "AGE"]
    assert printed.splitlines()[1].split()[:5] == [name, "aws", "eu-west-1", "True", "Answering"]
    assert hub.records.get(("", name)).value.labels["ombak.dev/cloud"] == "aws"  # type: ignore[union-attr]


async def test_two_regions_of_one_cluster_name_each_other(planes: list[Region], hub: HubRegions) -> None:
    """With the shipped rights, as long as both are there; a region of its own says nothing."""
    plane, one, other = planes

    def distinct(name: str) -> str:
        found = json.loads(plane.kubectl("get", "region", name, "-o", "json"))["status"]["conditions"]
        return next((str(c["message"]) for c in found if (c["type"], c["status"]) == ("Distinct", "False")), "")

    def is_so(found: str, named: str) -> bool:
        return named in found and bool(named) == bool(found)

    async def told(name: str, named: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so(await asyncio.to_thread(distinct, name), named):  # noqa: ASYNC110 - kubectl is asked
                await asyncio.sleep(0.2)

    write_secret(plane, "twin", kubeconfig_of(one, token_of(one)))
    write_region(plane, "twin")
    await told("twin", f"the same cluster as Region {one.name};")
    await told(one.name, "the same cluster as Region twin;")
    assert distinct(other.name) == ""
    plane.kubectl("delete", "region", "twin")
    await told(one.name, "")
    assert hub.regions.names() == (one.name, other.name)


async def test_a_quiet_hub_writes_nothing(planes: list[Region], hub: HubRegions) -> None:
    """Looks every 50 ms are no writes."""
    for region in planes[1:]:
        await shown(planes[0], region.name, "Answering")
    await asyncio.sleep(1)
    before = len(requests(planes[0], "update"))
    asked = len(requests(planes[0], "get"))
    await asyncio.sleep(3)

    assert len(requests(planes[0], "update")) == before
    assert len(requests(planes[0], "get")) > asked


async def test_with_the_shipped_rights_everything_works_and_no_more(planes: list[Region], hub: HubRegions) -> None:
    """What the port does is allowed; Secrets, deletions and the region's own business are not."""
    region = planes[1]
    name, client = region.name, hub.regions.client(region.name)
    await hub.regions.create(name, rollout("rights", replicas=3))
    await hub.regions.apply(name, rollout("rights", image="registry.example/front-end:2"))
    for body in (
        {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}},
        {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}], "selector": {"app": "a"}}},
        {"apiVersion": "ombak.dev/v1alpha1", "kind": "Alarm", "spec": {"expression": "FALSE"}},
        {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": rollout()["spec"]["template"]}},
    ):
        manifest = {**body, "metadata": {"name": "rights", "namespace": "shop"}}
        if body["kind"] == "Job":
            manifest["spec"]["template"]["spec"]["restartPolicy"] = "Never"  # type: ignore[index]
        await hub.regions.apply(name, manifest)
        await hub.regions.apply(name, manifest)
        assert await hub.regions.get(name, kinds.TRAVELLING[str(body["kind"])], "shop", "rights")
    copy = await hub.regions.get(name, kinds.CONFIG_MAPS, "shop", "rights")
    await hub.regions.delete(name, kinds.CONFIG_MAPS, "shop", "rights", copy["metadata"]["resourceVersion"])
    await client.list(kinds.ARTIFACTS, "shop")
    await client.list(kinds.PODS, "shop")

    refused = (
        client.get(kinds.SECRETS, "kube-system", "any"),
        client.list(kinds.SECRETS, "shop"),
        client.create(kinds.SECRETS, "shop", {"metadata": {"name": "a"}}),
        client.list(kinds.CONFIG_MAPS, "shop"),
        client.delete(kinds.ROLLOUTS, "shop", "rights"),
        client.delete(kinds.SERVICES, "shop", "rights"),
        client.delete(kinds.ALARMS, "shop", "rights"),
        client.patch(kinds.ROLLOUTS, "shop", "rights", {"status": {"phase": "Stable"}}, subresource="status"),
        client.create(kinds.ARTIFACTS, "shop", {"metadata": {"name": "a"}}),
        client.create(kinds.DEPLOYMENTS, "shop", {"metadata": {"name": "a"}}),
        client.create(kinds.PODS, "shop", {"metadata": {"name": "a"}}),
        client.list(kinds.NAMESPACES),
        client.list(Kind("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)),
    )
    for asked in refused:
        with pytest.raises(kube_port.Forbidden):
            await asked


async def test_replicas_are_the_regions_own_after_the_creation(planes: list[Region], hub: HubRegions) -> None:
    """Applied without them they stay; an autoscaler is never fought; what a manifest no longer says goes away."""
    region = planes[1]
    name, scaled = region.name, rollout("scaled", progressDeadline="5m")
    made = await hub.regions.create(name, {**scaled, "spec": {**scaled["spec"], "replicas": 3}})
    same = await hub.regions.apply(name, scaled)
    region.kubectl("scale", "rollout/scaled", "-n", "shop", "--replicas=7")
    changed = await hub.regions.apply(name, rollout("scaled", image="registry.example/front-end:2"))

    assert (same["spec"]["replicas"], same["metadata"]["generation"]) == (3, made["metadata"]["generation"])
    assert (changed["spec"]["replicas"], "progressDeadline" in changed["spec"]) == (7, False)
    await eventually(lambda: (found := view(hub, name, ("shop", "scaled")).rollout) is not None and found.others == ())


async def test_a_creation_that_was_cut_short_is_taken_over_later(planes: list[Region], hub: HubRegions) -> None:
    """The hub died between creating and the second write: the next apply still changes and removes fields."""
    region = planes[1]
    name, client = region.name, hub.regions.client(region.name)
    half = rollout("half", progressDeadline="5m", replicas=3)
    await client.create(kinds.ROLLOUTS, "shop", half)

    changed = await hub.regions.apply(name, rollout("half", image="registry.example/front-end:2"))
    await client.create(kinds.ROLLOUTS, "shop", {**half, "metadata": {**half["metadata"], "name": "half-2"}})
    removed = await hub.regions.apply(name, {**rollout("half"), "metadata": {"name": "half-2", "namespace": "shop"}})
    for found in (changed, removed):
        assert (found["spec"]["replicas"], "progressDeadline" in found["spec"]) == (3, False)

    await client.create(kinds.ROLLOUTS, "shop", {**half, "metadata": {**half["metadata"], "name": "half-3"}})
    watched = {**rollout("half"), "metadata": {"name": "half-3", "namespace": "shop"}}
    watched["spec"]["alarms"] = {"revert": 'ALARM("errors")'}
    del watched["spec"]["unwatched"]
    exchanged = await hub.regions.apply(name, watched)
    assert ("alarms" in exchanged["spec"], "unwatched" in exchanged["spec"]) == (True, False)


async def test_a_rollout_deleted_meanwhile_is_not_made_anew(planes: list[Region], hub: HubRegions) -> None:
    """With its uid, an apply to what is gone says so."""
    region = planes[1]
    made = await hub.regions.create(region.name, rollout("gone", replicas=1))
    region.kubectl("delete", "rollout", "gone", "-n", "shop")
    later = rollout("gone", image="registry.example/front-end:2")
    later["metadata"]["uid"] = made["metadata"]["uid"]

    with pytest.raises(kube_port.NotFound):
        await hub.regions.apply(region.name, later)


async def test_a_hand_edit_is_seen_named_and_put_back_only_by_force(planes: list[Region], hub: HubRegions) -> None:
    """Who did it, and which field; an apply without force changes nothing."""
    region, wanted = planes[1], rollout("edited")
    name = region.name
    await hub.regions.create(name, {**wanted, "spec": {**wanted["spec"], "replicas": 2}})
    patch = json.dumps({"spec": {"progressDeadline": "1m", "unwatched": "my own reason"}})
    region.kubectl("patch", "rollout", "edited", "-n", "shop", "--type=merge", "-p", patch)
    key = ("shop", "edited")
    await eventually(lambda: (found := view(hub, name, key).rollout) is not None and bool(found.others), PATIENCE_S)

    seen = view(hub, name, key).rollout
    assert seen is not None
    assert seen.others == (("spec.progressDeadline", ("kubectl-patch",)), ("spec.unwatched", ("kubectl-patch",)))
    with pytest.raises(kube_port.Conflict, match="kubectl-patch"):
        await hub.regions.apply(name, wanted)
    forced = await hub.regions.apply(name, wanted, force=True)
    assert (forced["spec"]["unwatched"], forced["spec"]["replicas"]) == ("a test", 2)


async def test_what_travels_along_is_never_written_over_others(planes: list[Region], hub: HubRegions) -> None:
    """Neither another Pipeline's object, nor what a person changed or took out, unless it is to be put back."""
    region, regions = planes[1], hub.regions
    marks = {"ombak.dev/hub": "hub-1", "ombak.dev/pipeline": "shop/web", "ombak.dev/content": "c0ffee00"}
    meta = {"name": "web", "namespace": "shop", "labels": {"ombak.dev/pipeline": "web"}, "annotations": marks}
    spec = {"ports": [{"port": 80, "name": "http"}], "selector": {"app": "web"}, "publishNotReadyAddresses": False}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}

    async def brought(marks: dict[str, str], *, takes_back: bool = False) -> str:
        manifest = {**service, "metadata": {**meta, "annotations": {**meta["annotations"], **marks}}}  # type: ignore[dict-item]
        try:
            await bring(regions, region.name, plan.ApplyObject(region.name, "shop", manifest, takes_back=takes_back))
        except RefusedError as error:
            return str(error)
        return ""

    def patch(body: dict[str, object]) -> None:
        region.kubectl("patch", "service", "web", "-n", "shop", "--type=merge", "-p", json.dumps({"spec": body}))

    assert [await brought({}), await brought({})] == ["", ""], "made, and as it was made"
    assert "is not of this Pipeline" in await brought({"ombak.dev/pipeline": "shop/other"})
    patch({"selector": {"app": "mine"}})
    assert "kubectl-patch" in await brought({})
    assert await brought({}, takes_back=True) == ""
    patch({"selector": None})
    assert "somebody took out spec.selector" in await brought({})
    assert await brought({}, takes_back=True) == ""
    live = await regions.get(region.name, kinds.SERVICES, "shop", "web")
    assert live["spec"]["selector"] == {"app": "web"}
    region.kubectl("create", "service", "clusterip", "his", "-n", "shop", "--tcp=80")
    meta["name"] = "his"
    assert "is not of this Pipeline" in await brought({})
    give = [f"{name}={value}" for name, value in marks.items() if name != "ombak.dev/content"]
    region.kubectl("annotate", "service", "his", "-n", "shop", "--overwrite", *give)
    assert "kubectl-create" in await brought({}), "given over, but not what it is to be"
    assert await brought({}, takes_back=True) == ""


async def test_wrong_expired_and_rotated_credentials(planes: list[Region], hub: HubRegions) -> None:
    """Each is False with the server's reason, the other region goes on, and the right Secret is found by itself."""
    plane, one, other = planes
    await hub.regions.create(one.name, rollout("kept", replicas=1))
    write_secret(plane, one.name, kubeconfig_of(one, "nobody"))
    found = await shown(plane, one.name, "Unauthorized")
    assert (found["status"], is_live(hub, other.name)) == ("False", True)
    kept = view(hub, one.name, ("shop", "kept"))
    assert (kept.rollout is not None, kept.is_live) == (True, False)
    write_secret(plane, one.name, kubeconfig_of(one, token_of(one)))
    await eventually(lambda: is_live(hub, one.name), PATIENCE_S)

    # Revoked: the tokens of an account end with it.
    one.kubectl("delete", "serviceaccount", "hub", "-n", "ombak-hub")
    await eventually(lambda: reason(hub, one.name) == "Unauthorized", PATIENCE_S)
    one.kubectl("create", "serviceaccount", "hub", "-n", "ombak-hub")
    write_secret(plane, one.name, kubeconfig_of(one, token_of(one)))
    await eventually(lambda: is_live(hub, one.name), PATIENCE_S)

    # Of somebody without the rights; and a cluster that is not whom the certificate says.
    one.kubectl("create", "serviceaccount", "powerless", "-n", "ombak-hub")
    write_secret(plane, one.name, kubeconfig_of(one, token_of(one, "powerless")))
    found = await shown(plane, one.name, "Forbidden")
    assert found["status"] == "False"
    assert "charts/region-rbac.yaml" in found["message"]
    stranger = base64.b64encode(other.plane.ca_file.read_bytes()).decode()
    write_secret(plane, one.name, kubeconfig_of(one, token_of(one), ca=stranger))
    found = await shown(plane, one.name, "CertificateNotTrusted")
    assert found["status"] == "Unknown"
    write_secret(plane, one.name, kubeconfig_of(one, token_of(one)))
    await shown(plane, one.name, "Answering")
    assert is_live(hub, other.name)


async def test_an_api_server_that_stops_and_comes_back(planes: list[Region], hub: HubRegions) -> None:
    """Unknown while it is away; what changed meanwhile is known afterwards; the other region did not notice."""
    plane, one, other = planes
    await hub.regions.create(one.name, rollout("outage", replicas=1))
    await asyncio.to_thread(one.plane.kill_apiserver)
    found = await shown(plane, one.name, "ConnectionRefused")
    assert (found["status"], is_live(hub, other.name)) == ("Unknown", True)
    with pytest.raises(kube_port.Unreachable, match="not reachable"):
        await hub.regions.apply(one.name, rollout("outage"))
    known = view(hub, one.name, ("shop", "outage"))
    assert (known.rollout is not None, known.is_known, known.is_live) == (True, True, False)

    await asyncio.to_thread(one.plane.restart_apiserver)
    await asyncio.to_thread(one.kubectl, "delete", "rollout", "outage", "-n", "shop")
    await eventually(
        lambda: is_live(hub, one.name) and view(hub, one.name, ("shop", "outage")).rollout is None, PATIENCE_S
    )
    await shown(plane, one.name, "Answering")


async def test_a_region_comes_and_goes(planes: list[Region], hub: HubRegions) -> None:
    """Deleted it is closed, applied again it is followed again; the hub's own cluster can be one too."""
    plane, _, other = planes
    plane.kubectl("delete", "region", other.name)
    await eventually(lambda: other.name not in hub.regions.names(), PATIENCE_S)
    manifest = {"apiVersion": "ombak.dev/v1alpha1", "kind": "Region", "metadata": {"name": "home"}}
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump({**manifest, "spec": {"access": {"inCluster": {}}}}))
    found = await shown(plane, "home", "Forbidden")
    assert found["status"] == "False", "the hub's own rights there are those of charts/rbac.yaml, not given here"
    plane.grant(USER, ROOT / "charts" / "rbac.yaml")
    await shown(plane, "home", "Answering")
    write_region(plane, other.name)

    await eventually(lambda: is_live(hub, other.name), PATIENCE_S)
    plane.kubectl("delete", "region", "home")
    await eventually(lambda: hub.regions.names() == (planes[1].name, other.name), PATIENCE_S)
    assert view(hub, other.name).contact.reach is Reach.YES


async def test_the_whole_operator_as_a_hub(planes: list[Region], tmp_path: Path) -> None:
    """`ombak run --hub --region`, with the shipped rights: it follows regions and asks its own Region's Prometheus."""
    plane, one, _ = planes
    plane.grant(USER, ROOT / "charts" / "rbac.yaml")
    home = {"apiVersion": "ombak.dev/v1alpha1", "kind": "Region", "metadata": {"name": "home"}}
    prometheus = {"url": plane.prometheus_url, "matchers": {"region": "home"}}
    spec = {"access": {"inCluster": {}}, "prometheus": prometheus}
    plane.kubectl("apply", "-f", "-", input=json.dumps({**home, "spec": spec}))
    write_secret(plane, one.name, kubeconfig_of(one, token_of(one)))
    write_region(plane, one.name, tier="small")
    log = tmp_path / "operator.log"
    command = [sys.executable, "-m", "ombak", "run", "--hub", "--region", "home"]
    process = Process("operator", [*command, "--kubeconfig", str(plane.kubeconfig_for(USER))], log)
    process.start()
    try:
        generation = json.loads(plane.kubectl("get", "region", one.name, "-o", "json"))["metadata"]["generation"]
        async with asyncio.timeout(PATIENCE_S):
            while (await shown(plane, one.name, "Answering"))["observedGeneration"] != generation:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        await shown(plane, "home", "Answering")
        process.check()
    finally:
        process.stop(timedelta(seconds=10))

    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    starting = next(line for line in lines if line["event"] == "starting")
    assert starting["prometheus"]["region"].endswith("(region=home)")
    assert not [line for line in lines if line.get("level") == "error"]
