"""The client says exactly what is known: every answer, and every lack of one, has its own error."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from ombak.adapters.kube_client import HttpKubeClient
from ombak.adapters.kubernetes import Access, AccessError
from ombak.adapters.limits import Gate, Limits
from ombak.runtime import kube_port
from ombak.runtime.kube_port import ApiError, Object
from ombak.simulation.agenda import run_virtual
from support.clusters import CONFIG_MAPS, DEPLOYMENTS, SHOP, write_kubeconfig
from support.fake_apiserver import FakeApiServer, Fault, answer, cut, hang, text

QUICK = Limits(timeout=timedelta(milliseconds=300))


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer().serve() as running:
        yield running


@pytest.fixture
async def client(server: FakeApiServer, tmp_path: Path) -> AsyncIterator[HttpKubeClient]:
    access = await Access.open(write_kubeconfig(tmp_path / "config", server.url, "good"))
    async with HttpKubeClient(access, QUICK) as opened:
        yield opened


def deployment(name: str, **fields: object) -> Object:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, **fields}


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "subresource", "path"),
    [
        pytest.param(DEPLOYMENTS, "shop", "a", "", SHOP + "/a", id="namespaced"),
        pytest.param(DEPLOYMENTS, "shop", "a", "status", SHOP + "/a/status", id="subresource"),
        pytest.param(DEPLOYMENTS, None, "", "", "/apis/apps/v1/deployments", id="everywhere"),
        pytest.param(CONFIG_MAPS, "shop", "a", "", "/api/v1/namespaces/shop/configmaps/a", id="core"),
        pytest.param(
            kube_port.Kind("ombak.dev", "v1", "regions", "Region", namespaced=False),
            "",
            "r",
            "",
            "/apis/ombak.dev/v1/regions/r",
            id="cluster-scoped",
        ),
    ],
)
def test_paths_are_those_of_the_api(
    kind: kube_port.Kind, namespace: str | None, name: str, subresource: str, path: str
) -> None:
    """Groups, namespaces and subresources have their place."""
    assert path == kind.path(namespace, name, subresource)


async def test_an_object_is_created_read_changed_and_deleted(client: HttpKubeClient, server: FakeApiServer) -> None:
    """The whole life of an object, with strict writes under our name."""
    await client.create(DEPLOYMENTS, "shop", deployment("a"), dry_run=True)
    made = await client.create(DEPLOYMENTS, "shop", deployment("a", spec={"replicas": 1}))
    assert made == await client.get(DEPLOYMENTS, "shop", "a")

    replaced = await client.replace(DEPLOYMENTS, "shop", "a", made | {"spec": {"replicas": 2}})
    patched = await client.patch(DEPLOYMENTS, "shop", "a", {"status": {"x": 1}}, subresource="")
    assert (replaced["spec"], patched["spec"]) == ({"replicas": 2}, {"replicas": 2})

    await client.delete(DEPLOYMENTS, "shop", "a", uid=made["metadata"]["uid"])
    with pytest.raises(kube_port.NotFound):
        await client.get(DEPLOYMENTS, "shop", "a")
    strict = {"fieldManager": "ombak", "fieldValidation": "Strict"}
    assert server.queries("POST") == [strict | {"dryRun": "All"}, strict]
    assert server.queries("PUT") == server.queries("PATCH") == [strict]
    assert server.bodies[-2] == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": made["metadata"]["uid"]},
    }


async def test_conditional_writes_are_refused_when_the_object_changed(
    client: HttpKubeClient, server: FakeApiServer
) -> None:
    """A resource version in the body, or a precondition, is kept."""
    old = await server.put(SHOP, "a")
    await server.put(SHOP, "a")

    with pytest.raises(kube_port.Conflict):
        await client.replace(DEPLOYMENTS, "shop", "a", dict(old))
    with pytest.raises(kube_port.Conflict):
        await client.delete(DEPLOYMENTS, "shop", "a", uid="another")
    version = old["metadata"]["resourceVersion"]
    with pytest.raises(kube_port.Conflict):
        await client.delete(DEPLOYMENTS, "shop", "a", resource_version=version)
    with pytest.raises(kube_port.AlreadyExists):
        await client.create(DEPLOYMENTS, "shop", deployment("a"))


@pytest.mark.parametrize(
    ("fault", "error", "outcome_unknown"),
    [
        pytest.param(answer(403, "Forbidden"), kube_port.Forbidden, False, id="forbidden"),
        pytest.param(answer(404, "NotFound"), kube_port.NotFound, False, id="not found"),
        pytest.param(answer(409, "Conflict"), kube_port.Conflict, False, id="conflict"),
        pytest.param(answer(409, "AlreadyExists"), kube_port.AlreadyExists, False, id="exists"),
        pytest.param(answer(410, "Expired"), kube_port.Gone, False, id="gone"),
        pytest.param(answer(422, "Invalid"), kube_port.Invalid, False, id="invalid"),
        pytest.param(answer(429, "TooManyRequests"), kube_port.TooManyRequests, False, id="too many"),
        pytest.param(text(429, "slow down"), kube_port.TooManyRequests, False, id="too many, in text"),
        pytest.param(answer(500, "InternalError"), ApiError, True, id="server error"),
        pytest.param(text(502, "<html>bad gateway</html>"), ApiError, True, id="proxy page"),
        pytest.param(text(404, "<html>lost?</html>"), ApiError, False, id="404 of a proxy"),
        pytest.param(text(302, ""), ApiError, False, id="redirect to a login page"),
        pytest.param(text(200, "<html>please log in</html>"), kube_port.Unreachable, True, id="login page"),
        pytest.param(text(200, '{"error": 1}', "application/json"), kube_port.Unreachable, True, id="json"),
        pytest.param(hang, kube_port.Unreachable, True, id="no answer in time"),
        pytest.param(cut, kube_port.Unreachable, True, id="connection cut"),
    ],
)
async def test_every_failure_has_its_error(
    client: HttpKubeClient,
    server: FakeApiServer,
    fault: Fault,
    error: type[ApiError],
    outcome_unknown: bool,
) -> None:
    """Errors are told apart by what is known afterwards; only a Status makes a NotFound or a Conflict."""
    server.fail("POST", fault)

    with pytest.raises(ApiError) as caught:
        await client.create(DEPLOYMENTS, "shop", deployment("a"))

    assert type(caught.value) is error
    assert outcome_unknown == caught.value.outcome_unknown


async def test_a_refused_connection_is_unreachable(tmp_path: Path) -> None:
    """Nobody listens."""
    access = await Access.open(write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1", "x"))
    async with HttpKubeClient(access, QUICK) as client:
        with pytest.raises(kube_port.Unreachable):
            await client.get(DEPLOYMENTS, "shop", "a")


async def test_retry_after_and_the_servers_words_are_kept(client: HttpKubeClient, server: FakeApiServer) -> None:
    """What the server says can be quoted and obeyed."""
    server.fail("GET", answer(429, "TooManyRequests", "please wait", **{"Retry-After": "7"}))

    with pytest.raises(kube_port.TooManyRequests) as caught:
        await client.get(DEPLOYMENTS, "shop", "a")

    assert (caught.value.retry_after, caught.value.message) == (timedelta(seconds=7), "please wait")
    assert str(caught.value) == "429 TooManyRequests: please wait"


async def test_a_list_is_read_page_by_page(client: HttpKubeClient, server: FakeApiServer) -> None:
    """All pages make one list; only the first names a revision."""
    for number in range(7):
        await server.put(SHOP, f"d{number}", labels={"team": "a" if number else "b"})

    whole = await client.list(DEPLOYMENTS, "shop", "team=a", limit=4)
    await client.list(DEPLOYMENTS, resource_version="105")

    assert [item["metadata"]["name"] for item in whole["items"]] == [f"d{n}" for n in range(1, 7)]
    assert whole["metadata"] == {"resourceVersion": "107"}
    assert server.queries("list") == [
        {"limit": "4", "resourceVersion": "0", "labelSelector": "team=a"},
        {"limit": "4", "labelSelector": "team=a", "continue": "107:4"},
        {"limit": "500", "resourceVersion": "105", "resourceVersionMatch": "NotOlderThan"},
    ]


async def test_an_expired_page_token_is_gone(client: HttpKubeClient, server: FakeApiServer) -> None:
    """A list that took too long has to start over."""
    for number in range(3):
        await server.put(SHOP, f"d{number}")
    pages = client.pages(DEPLOYMENTS, "shop", limit=2)
    await anext(pages)
    await server.put(SHOP, "d9")
    server.forget_history()

    with pytest.raises(kube_port.Gone):
        await anext(pages)


async def test_a_rotated_token_is_loaded_again(
    client: HttpKubeClient, server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On 401 the kubeconfig is read again and the request repeated once."""
    monkeypatch.setattr("ombak.adapters.kubernetes.RENEWAL_PAUSE", timedelta(0))
    await server.put(SHOP, "a")
    server.token = "new"
    with pytest.raises(kube_port.Unauthorized):
        await client.get(DEPLOYMENTS, "shop", "a")
    assert server.counts()["GET"] == 2

    write_kubeconfig(tmp_path / "config", server.url, "new")

    assert (await client.get(DEPLOYMENTS, "shop", "a"))["metadata"]["name"] == "a"


async def test_credentials_are_not_loaded_again_at_once(client: HttpKubeClient, server: FakeApiServer) -> None:
    """A server that answers 401 to everything does not make us start plug-ins all the time."""
    server.token = "new"

    with pytest.raises(kube_port.Unauthorized):
        await client.get(DEPLOYMENTS, "shop", "a")

    assert server.counts()["GET"] == 1


@pytest.mark.parametrize("content", [None, "{}", "no: [yaml"], ids=["missing", "empty", "broken"])
async def test_without_credentials_there_is_no_client(content: str | None, tmp_path: Path) -> None:
    """A kubeconfig that cannot be used is named as the cause."""
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)

    with pytest.raises(AccessError):
        await Access.open(path)


async def test_who_cannot_be_connected_to_is_told_in_a_few_words(tmp_path: Path) -> None:
    """People read it in a terminal: not the whole of a TLS context."""
    access = await Access.open(write_kubeconfig(tmp_path / "config", "https://127.0.0.1:9", "good"))
    async with HttpKubeClient(access, QUICK) as client:
        with pytest.raises(kube_port.Unreachable, match=r"no connection to 127\.0\.0\.1:9: ") as told:
            await client.get(DEPLOYMENTS, "shop", "a")

    assert "ssl" not in str(told.value).lower()


async def test_requests_are_reported(server: FakeApiServer, tmp_path: Path) -> None:
    """Each request is told with verb, kind and status; 0 when none came."""
    seen: list[tuple[str, str, int]] = []
    access = await Access.open(write_kubeconfig(tmp_path / "config", server.url, "good"))
    async with HttpKubeClient(access, QUICK, lambda *what: seen.append(what[:3])) as client:
        server.fail("GET", cut, times=9)
        await client.create(DEPLOYMENTS, "shop", deployment("a"))
        with pytest.raises(kube_port.Unreachable):
            await client.get(DEPLOYMENTS, "shop", "a")

    assert seen == [("POST", "deployments", 201), ("GET", "deployments", 0)]


@pytest.mark.parametrize("seed", range(5))
def test_the_gate_never_lets_more_through_than_its_bucket_holds(seed: int) -> None:
    """Whatever the arrivals: in any span of t seconds at most burst + qps * t requests begin."""
    rng = random.Random(seed)

    async def scenario() -> list[float]:
        gate, began = Gate(Limits(qps=10, burst=5, in_flight=3)), []
        loop, inside = asyncio.get_running_loop(), 0

        async def ask() -> None:
            nonlocal inside
            await asyncio.sleep(rng.uniform(0, 8))
            async with gate.enter():
                began.append(loop.time())
                inside += 1
                assert inside <= 3
                await asyncio.sleep(rng.uniform(0, 0.2))
                inside -= 1

        await asyncio.gather(*(ask() for _ in range(100)))
        return sorted(began)

    began = run_virtual(scenario())

    assert len(began) == 100
    for first, start in enumerate(began):
        for last in range(first, len(began)):
            assert last - first + 1 <= 5 + 10 * (began[last] - start) + 1e-6


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"HTTPS_PROXY": "http://p.example:3128"}, "http://p.example:3128", id="proxy"),
        pytest.param({"HTTPS_PROXY": "http://p.example:3128", "NO_PROXY": ".example"}, None, id="excluded"),
        pytest.param({"HTTP_PROXY": "http://p.example:3128"}, None, id="for the other scheme"),
    ],
)
async def test_the_proxy_of_the_environment_is_used(
    environment: dict[str, str], proxy: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As kubectl does."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    access = await Access.open(write_kubeconfig(tmp_path / "config", "https://api.example:6443", "t"))

    assert access.transport().get("proxy") == proxy
    assert (await access.credentials()).proxy == proxy
