"""kopf in its thread against a real API server: it hears everything, writes nothing, and its end is noticed."""

from __future__ import annotations

import asyncio
import random
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from ombak.adapters.kube_client import HttpKubeClient
from ombak.adapters.kubernetes import Access
from ombak.handlers import HubWatch, WatchEndedError
from ombak.runtime.intake import Intake
from ombak.runtime.kube_port import Kind, Object
from ombak.runtime.store import Key, Store
from ombak.sandbox import Region
from support.clusters import eventually

pytestmark = pytest.mark.cluster

CRDS = Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)


@pytest.fixture
def kind() -> Kind:
    """A kind of the test's own, not installed yet."""
    return Kind(f"t{uuid.uuid4().hex[:8]}.ombak.test", "v1", "things", "Thing")


def definition(kind: Kind) -> Object:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": kind.version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": kind.plural, "singular": "thing", "kind": kind.kind}
    spec = {"group": kind.group, "scope": "Namespaced", "names": names, "versions": [version]}
    meta = {"name": f"{kind.plural}.{kind.group}"}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": meta, "spec": spec}


@pytest.fixture
async def client(region: Region) -> AsyncIterator[HttpKubeClient]:
    async with HttpKubeClient(await Access.open(region.kubeconfig)) as opened:
        yield opened


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    """kopf's thread ends with the run."""
    yield
    assert "kopf" not in {thread.name for thread in threading.enumerate()}


class Hub:
    """A running watch of one kind."""

    def __init__(self, client: HttpKubeClient, access: Access, kind: Kind, namespaces: tuple[str, ...]) -> None:
        self.told: list[Key] = []
        self.store: Store[Any] = Store(lambda obj: obj, on_event=self.told.append)
        self.intake = Intake(client, {kind: self.store}, namespaces, random.Random(1))
        self.run = asyncio.create_task(HubWatch(self.intake, access.credentials).run())

    def holds(self, *keys: Key) -> bool:
        assert not self.run.done(), self.run
        return sorted(self.store) == sorted(keys)


@asynccontextmanager
async def hub(client: HttpKubeClient, region: Region, kind: Kind, *namespaces: str) -> AsyncIterator[Hub]:
    running = Hub(client, await Access.open(region.kubeconfig), kind, namespaces)
    yield running
    running.run.cancel()
    await asyncio.wait([running.run])


def thing(kind: Kind, name: str) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}, "spec": {"x": 1}}


async def create_when_served(client: HttpKubeClient, kind: Kind, namespace: str, name: str) -> Object:
    """A CRD is served a moment after it was created."""
    made: list[Object] = []
    async with asyncio.timeout(20):
        while not made:
            with suppress(Exception):
                made.append(await client.create(kind, namespace, thing(kind, name)))
            await asyncio.sleep(0.05)
    return made[0]


@pytest.mark.usefixtures("no_threads_left")
async def test_everything_is_heard_and_nothing_is_written(
    client: HttpKubeClient, region: Region, namespace: str, kind: Kind
) -> None:
    """Started before its CRD exists; then added, modified and deleted, each told once, and no trace of kopf."""
    async with hub(client, region, kind) as watching:
        await asyncio.sleep(0.2)
        assert not watching.intake.synced.is_set()
        await client.create(CRDS, "", definition(kind))
        made = await create_when_served(client, kind, namespace, "a")
        a, b = (namespace, "a"), (namespace, "b")
        await eventually(lambda: watching.holds(a))

        await client.create(kind, namespace, thing(kind, "b"))
        await client.patch(kind, namespace, "a", {"spec": {"x": 2}})
        # kopf lists after us: what happened in between comes in the order of its list.
        await eventually(lambda: watching.holds(a, b) and sorted(watching.told) == [a, a, b])
        read = await client.get(kind, namespace, "a")
        assert read["metadata"] | {"resourceVersion": "", "generation": 0, "managedFields": []} == (
            made["metadata"] | {"resourceVersion": "", "generation": 0, "managedFields": []}
        )
        stored = watching.store.get(a)
        assert stored is not None
        assert str(stored.resource_version) == read["metadata"]["resourceVersion"], "nobody wrote after us"

        await client.delete(kind, namespace, "b")
        await eventually(lambda: watching.holds(a) and watching.told[3:] == [b])


@pytest.mark.usefixtures("no_threads_left")
async def test_only_the_chosen_namespaces_are_watched(
    client: HttpKubeClient, region: Region, namespace: str, kind: Kind
) -> None:
    """Namespaced mode hears its namespaces and nothing else."""
    await client.create(CRDS, "", definition(kind))
    await create_when_served(client, kind, "default", "elsewhere")
    async with hub(client, region, kind, namespace) as watching:
        await watching.intake.synced.wait()
        await client.create(kind, "default", thing(kind, "elsewhere-too"))
        await client.create(kind, namespace, thing(kind, "here"))

        await eventually(lambda: watching.holds((namespace, "here")))


@pytest.mark.usefixtures("no_threads_left")
async def test_an_outage_of_the_api_server_is_survived(
    client: HttpKubeClient, region: Region, namespace: str, kind: Kind
) -> None:
    """The API server is killed and comes back: what changed afterwards is heard."""
    await client.create(CRDS, "", definition(kind))
    await create_when_served(client, kind, namespace, "a")
    async with hub(client, region, kind) as watching:
        await eventually(lambda: watching.intake.silent_for["Thing"] is not None)
        await asyncio.to_thread(region.plane.kill_apiserver)
        await asyncio.to_thread(region.plane.restart_apiserver)
        await create_when_served(client, kind, namespace, "b")

        await eventually(lambda: watching.holds((namespace, "a"), (namespace, "b")), 90)


@pytest.mark.usefixtures("no_threads_left")
async def test_a_crd_that_is_deleted_ends_the_run(
    client: HttpKubeClient, region: Region, namespace: str, kind: Kind
) -> None:
    """Without its kind there is nothing to watch: the process ends, and waits for the CRD when started again."""
    await client.create(CRDS, "", definition(kind))
    await create_when_served(client, kind, namespace, "a")
    async with hub(client, region, kind) as watching:
        await eventually(lambda: watching.intake.silent_for["Thing"] is not None)
        await client.delete(CRDS, "", f"{kind.plural}.{kind.group}")

        with pytest.RaisesGroup(WatchEndedError):
            await asyncio.wait_for(watching.run, 60)
        assert len(watching.store) == 0
