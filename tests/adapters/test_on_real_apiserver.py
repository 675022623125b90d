"""Client and reflector against a real API server: what the fake promises is what the real one does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ombak.adapters.kube_client import HttpKubeClient
from ombak.adapters.kubernetes import Access
from ombak.adapters.reflector import SMALL_PAGE, TOO_LARGE, Detail, Reflector, Source
from ombak.runtime import kube_port
from ombak.runtime.kube_port import Object
from ombak.runtime.store import Store
from ombak.sandbox import Region
from support.clusters import CONFIG_MAPS, DEPLOYMENTS, eventually, write_kubeconfig

pytestmark = pytest.mark.cluster


@pytest.fixture
async def client(region: Region) -> AsyncIterator[HttpKubeClient]:
    async with HttpKubeClient(await Access.open(region.kubeconfig)) as opened:
        yield opened


def config_map(name: str, **data: str) -> Object:
    meta = {"name": name, "labels": {"ombak": "test"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


async def test_an_object_lives_and_dies(client: HttpKubeClient, namespace: str) -> None:
    """Create, dry-run, get, replace, patch, delete, with conditions."""
    await client.create(CONFIG_MAPS, namespace, config_map("a"), dry_run=True)
    with pytest.raises(kube_port.NotFound):
        await client.get(CONFIG_MAPS, namespace, "a")
    made = await client.create(CONFIG_MAPS, namespace, config_map("a", x="1"))
    with pytest.raises(kube_port.AlreadyExists):
        await client.create(CONFIG_MAPS, namespace, config_map("a"))

    newer = await client.replace(CONFIG_MAPS, namespace, "a", made | {"data": {"x": "2"}})
    with pytest.raises(kube_port.Conflict):
        await client.replace(CONFIG_MAPS, namespace, "a", made)
    stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"x": "3"}}
    with pytest.raises(kube_port.Conflict):
        await client.patch(CONFIG_MAPS, namespace, "a", stale)
    patched = await client.patch(CONFIG_MAPS, namespace, "a", {"data": {"y": "4"}})
    assert (newer["data"], patched["data"]) == ({"x": "2"}, {"x": "2", "y": "4"})
    assert {entry["manager"] for entry in patched["metadata"]["managedFields"]} == {"ombak"}

    with pytest.raises(kube_port.Conflict):
        await client.delete(CONFIG_MAPS, namespace, "a", uid="another")
    with pytest.raises(kube_port.Conflict):
        await client.delete(CONFIG_MAPS, namespace, "a", resource_version=made["metadata"]["resourceVersion"])
    await client.delete(CONFIG_MAPS, namespace, "a", uid=made["metadata"]["uid"])
    with pytest.raises(kube_port.NotFound):
        await client.delete(CONFIG_MAPS, namespace, "a")


async def test_bad_content_is_refused_in_the_servers_words(client: HttpKubeClient, namespace: str) -> None:
    """An unknown field and an invalid one are named, also in a dry run."""
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    spec: Object = {"selector": {"matchLabels": {"app": "a"}}, "template": template}
    good: Object = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}
    await client.create(DEPLOYMENTS, namespace, good, dry_run=True)

    with pytest.raises(kube_port.ApiError, match=r'unknown field "spec.replica"') as strict:
        await client.create(DEPLOYMENTS, namespace, good | {"spec": spec | {"replica": 1}}, dry_run=True)
    assert (strict.value.status, strict.value.outcome_unknown) == (400, False)
    with pytest.raises(kube_port.Invalid, match=r"spec.replicas: Invalid value: -1"):
        await client.create(DEPLOYMENTS, namespace, good | {"spec": spec | {"replicas": -1}}, dry_run=True)


async def test_lists_come_in_pages_and_from_any_revision(client: HttpKubeClient, namespace: str) -> None:
    """Newest state, cached state, not older than; a revision of the future is named as such."""
    for number in range(7):
        await client.create(CONFIG_MAPS, namespace, config_map(f"c{number}"))
    newest = [p async for p in client.pages(CONFIG_MAPS, namespace, "ombak=test", limit=3, resource_version="")]
    assert [len(page["items"]) for page in newest] == [3, 3, 1]
    assert len({page["metadata"]["resourceVersion"] for page in newest}) == 1

    version = newest[0]["metadata"]["resourceVersion"]
    for asked in (version, "0"):  # in this order: 0 is any state, also one of before the last creation
        found = await client.list(CONFIG_MAPS, namespace, "ombak=test", limit=3, resource_version=asked)
        assert len(found["items"]) == 7
    with pytest.raises(kube_port.ApiError, match=TOO_LARGE):
        await client.list(CONFIG_MAPS, namespace, resource_version=str(int(version) + 1_000_000))


async def test_who_is_unknown_or_has_no_right_is_told_so(region: Region, namespace: str, tmp_path: Path) -> None:
    """401 and 403; and a CRD that is not installed is no NotFound of an object."""
    access = await Access.open(region.kubeconfig)
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/powerless"
    account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "powerless"}}
    region.plane.client.call("POST", path.rsplit("/", 1)[0], account)
    made = region.plane.client.call("POST", path + "/token", {"spec": {"expirationSeconds": 600}})
    ca = (await access.credentials()).ca_file

    async def ask(token: str) -> None:
        kubeconfig = write_kubeconfig(tmp_path / "config", access.server, token, ca)
        async with HttpKubeClient(await Access.open(kubeconfig)) as client:
            await client.get(CONFIG_MAPS, namespace, "a")

    with pytest.raises(kube_port.Unauthorized):
        await ask("nobody")
    with pytest.raises(kube_port.Forbidden, match="cannot get resource"):
        await ask(made["status"]["token"])
    async with HttpKubeClient(access) as client:
        with pytest.raises(kube_port.ApiError) as missing:
            await client.list(kube_port.Kind("nobody.test", "v1", "things", "Thing"))
        assert (missing.value.status, type(missing.value)) == (404, kube_port.ApiError)


async def test_the_store_follows_a_real_cluster_through_an_outage(
    client: HttpKubeClient, region: Region, namespace: str
) -> None:
    """Changes before, between and after; the API server is killed in the middle."""
    told: list[Any] = []
    store: Store[Any] = Store(lambda obj: obj.get("data"), on_event=told.append)
    source = Source(CONFIG_MAPS, namespace, "ombak=test")
    reflector = Reflector(client, source, store, random.Random(1))

    def holds(**expected: object) -> bool:
        return {name: stored.value for _, name in store if (stored := store.get((namespace, name)))} == expected

    await client.create(CONFIG_MAPS, namespace, config_map("before", x="1"))
    run = asyncio.create_task(reflector.run())
    await asyncio.wait_for(reflector.synced.wait(), 20)
    await eventually(lambda: holds(before={"x": "1"}))

    store.upsert(await client.create(CONFIG_MAPS, namespace, config_map("ours", x="1")))
    await client.create(CONFIG_MAPS, namespace, config_map("other", x="1"))
    await client.patch(CONFIG_MAPS, namespace, "before", {"metadata": {"labels": {"ombak": "gone"}}})
    await eventually(lambda: holds(ours={"x": "1"}, other={"x": "1"}))

    await asyncio.to_thread(region.plane.kill_apiserver)
    with pytest.raises(kube_port.Unreachable):
        await client.get(CONFIG_MAPS, namespace, "ours")
    await asyncio.to_thread(region.plane.restart_apiserver)
    await client.patch(CONFIG_MAPS, namespace, "other", {"data": {"x": "2"}})
    await client.delete(CONFIG_MAPS, namespace, "ours")

    await eventually(lambda: holds(other={"x": "2"}), 60)
    assert not run.done()
    run.cancel()
    with suppress(asyncio.CancelledError):
        await run


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        pytest.param(Detail.METADATA, {"listed": None, "changed": None, "deleted": None}, id="metadata"),
        pytest.param(Detail.CHANGES, {"listed": None, "changed": {"x": "2"}, "deleted": {"x": "1"}}, id="changes"),
        pytest.param(Detail.WHOLE, {"listed": {"x": "1"}, "changed": {"x": "2"}, "deleted": {"x": "1"}}, id="whole"),
    ],
)
async def test_no_more_of_an_object_comes_than_is_wanted(
    client: HttpKubeClient, namespace: str, detail: Detail, told: dict[str, object]
) -> None:
    """Only metadata, also over several pages; or of what is deleted the whole last state, though it was not listed."""
    last: dict[str, object] = {}

    class Listener(Store[Any]):
        def remove(self, obj: Mapping[str, Any]) -> bool:
            last["deleted"] = obj.get("data")
            return super().remove(obj)

    for number in range(SMALL_PAGE + 2):
        await client.create(CONFIG_MAPS, namespace, config_map(f"c{number}", x="1"))
    store = Listener(lambda obj: obj.get("data"))
    reflector = Reflector(client, Source(CONFIG_MAPS, namespace, "ombak=test", detail=detail), store, random.Random(1))
    run = asyncio.create_task(reflector.run())
    await asyncio.wait_for(reflector.synced.wait(), 20)
    assert len(store) == SMALL_PAGE + 2
    listed = store.get((namespace, "c7"))
    assert listed is not None

    await client.patch(CONFIG_MAPS, namespace, "c7", {"data": {"x": "2"}})
    await client.delete(CONFIG_MAPS, namespace, "c8")
    await eventually(lambda: "deleted" in last)
    changed = store.get((namespace, "c7"))

    assert changed is not None
    assert changed.resource_version > listed.resource_version
    assert {"listed": listed.value, "changed": changed.value} | last == told
    run.cancel()
    with suppress(asyncio.CancelledError):
        await run
