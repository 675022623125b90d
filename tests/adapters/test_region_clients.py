"""Each region is followed by itself: what it says, how it refuses, and how it comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ombak.adapters.kube_client import HttpKubeClient
from ombak.adapters.region_findings import Finding
from ombak.adapters.region_link import RegionLink
from ombak.runtime import kube_port
from ombak.runtime.kube_port import Forbidden, Unreachable
from ombak.runtime.regions import NotTravelling, Reach, UnknownRegion
from support.clusters import eventually
from support.fake_apiserver import FakeApiServer, answer, hang, text
from support.regions import Followed, kubeconfig, region

ROLLOUTS = "/apis/ombak.dev/v1alpha1/namespaces/shop/rollouts"
ARTIFACTS = "/apis/ombak.dev/v1alpha1/namespaces/shop/artifacts"
KEY = ("shop", "front-end")


@pytest.fixture
async def eu() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer().serve() as running:
        yield running


@pytest.fixture
async def us() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer().serve() as running:
        yield running


@pytest.fixture
async def followed() -> AsyncIterator[Followed]:
    async with Followed().running() as running:
        yield running


def enter(followed: Followed, name: str, server: FakeApiServer, **user: Any) -> None:
    """A Region, and the Secret by which it is entered."""
    followed.secrets.write(name, kubeconfig(server.url, **user))
    followed.regions.set(name, region(name))


def is_live(followed: Followed, name: str) -> bool:
    view = followed.regions.view(name, KEY)
    return view is not None and view.is_live


async def test_what_a_region_says_is_known_as_of_now(followed: Followed, eu: FakeApiServer) -> None:
    """Its Rollouts and their Artifacts; that there is none is known too, once everything was listed."""
    await eu.put(ROLLOUTS, "front-end", spec={"replicas": 3, "template": {"a": 1}}, status={"phase": "Stable"})
    await eu.put(ARTIFACTS, "front-end-a1", spec={"rollout": "front-end", "id": "a1"})
    before = followed.regions.view("eu", KEY)
    enter(followed, "eu", eu)
    first = followed.regions.view("eu", KEY)
    await eventually(lambda: is_live(followed, "eu"))

    view = followed.regions.view("eu", KEY)
    assert before is None
    assert first is not None
    assert (first.is_known, first.is_live, first.contact.reason) == (False, False, "NotLookedAtYet")
    assert view is not None
    assert view.rollout is not None
    assert (view.rollout.spec, view.rollout.status) == ({"replicas": 3}, {"phase": "Stable"})
    assert [(artifact.id, artifact.is_genuine) for artifact in view.artifacts] == [("a1", False)]
    assert view.as_of is not None
    assert view.contact.last is not None
    assert (view.contact.reach, view.contact.server_version) == (Reach.YES, "v1.36.3")
    nothing = followed.regions.view("eu", ("shop", "other"))
    assert nothing is not None
    assert (nothing.rollout, nothing.is_known, nothing.is_live) == (None, True, True)


async def test_which_cluster_it_is_is_known_as_soon_as_it_may_be_read(
    followed: Followed, eu: FakeApiServer, us: FakeApiServer
) -> None:
    """Two Regions may lead to one; it is asked once while it answers, and anew when it comes back."""
    eu.cluster = "uid-of-eu"
    for name, server in (("eu", eu), ("twin", eu), ("us", us)):
        enter(followed, name, server)
    await eventually(lambda: all(is_live(followed, name) for name in ("eu", "twin", "us")))
    assert [followed.contact(name).cluster for name in ("eu", "twin", "us")] == ["uid-of-eu", "uid-of-eu", ""]

    us.cluster = "uid-of-us"
    await eventually(lambda: followed.contact("us").cluster == "uid-of-us")
    asked = us.counts()["cluster"]
    us.fail("version", answer(500, "InternalError"), times=10_000)
    await eventually(lambda: followed.reason("us") == "ServerError")
    assert (followed.contact("us").cluster, us.counts()["cluster"]) == ("uid-of-us", asked)
    us.cluster = "uid-of-another"
    us.faults.clear()
    await eventually(lambda: followed.contact("us").cluster == "uid-of-another")


async def test_another_cluster_behind_the_same_address_is_noticed(followed: Followed, eu: FakeApiServer) -> None:
    """By other credentials, or another route: it never failed to answer. What cannot be read now was so before."""
    eu.cluster = "uid-of-eu"
    enter(followed, "eu", eu)
    await eventually(lambda: is_live(followed, "eu"))
    eu.cluster = "uid-of-another"
    await eventually(lambda: followed.contact("eu").cluster == "uid-of-another")

    asked, heard = eu.counts()["cluster"], len(followed.contacts)
    eu.fail("cluster", answer(500, "InternalError"), times=10_000)
    await eventually(lambda: eu.counts()["cluster"] > asked + 2)
    assert followed.contact("eu").cluster == "uid-of-another"
    assert {reason for _, reason in followed.contacts[heard:]} == {"Answering"}
    eu.faults.clear()
    eu.cluster = ""
    await eventually(lambda: followed.contact("eu").cluster == "")


async def test_no_region_answers_before_its_cluster_was_asked_for(followed: Followed, eu: FakeApiServer) -> None:
    """A right that lacks says that nobody can tell, an error says nothing."""
    eu.cluster = "uid-of-eu"
    eu.fail("cluster", answer(500, "InternalError"), times=10_000)
    enter(followed, "eu", eu)
    await eventually(lambda: followed.reason("eu") == "ServerError")
    eu.faults.clear()
    await eventually(lambda: is_live(followed, "eu"))

    assert {reach for reach, cluster in followed.clusters if cluster == ""} <= {Reach.UNKNOWN}


async def test_changes_are_told_with_the_region(followed: Followed, eu: FakeApiServer, us: FakeApiServer) -> None:
    """The same name in two regions is two things."""
    enter(followed, "eu", eu)
    enter(followed, "us", us)
    await eventually(lambda: is_live(followed, "eu") and is_live(followed, "us"))
    await us.put(ROLLOUTS, "front-end", spec={})

    await eventually(lambda: ("us", KEY) in followed.rollouts)
    assert ("eu", KEY) not in followed.rollouts


async def test_a_wrong_token_is_refused_and_a_new_one_comes_back(followed: Followed, eu: FakeApiServer) -> None:
    """False with the server's word, what was known stays readable, not live; a new Secret is found by itself."""
    await eu.put(ROLLOUTS, "front-end", spec={"replicas": 3})
    enter(followed, "eu", eu)
    await eventually(lambda: is_live(followed, "eu"))
    eu.token = "rotated"
    await eventually(lambda: followed.reason("eu") == "Unauthorized")

    contact, view = followed.contact("eu"), followed.regions.view("eu", KEY)
    assert view is not None
    assert (contact.reach, view.is_live, view.rollout is not None) == (Reach.NO, False, True)
    assert "renew them in the Secret" in contact.message
    followed.secrets.write("eu", kubeconfig(eu.url, "rotated"))
    await eventually(lambda: is_live(followed, "eu"))


async def test_rotation_before_the_old_token_ends_is_silent(followed: Followed, eu: FakeApiServer) -> None:
    """The watches begin anew with the new token, the cache and the region stay."""
    await eu.put(ROLLOUTS, "front-end", spec={"replicas": 3})
    enter(followed, "eu", eu, other=None)
    watches = 3  # of Rollouts, of Artifacts and of Alarms
    await eventually(lambda: is_live(followed, "eu") and eu.counts()["watch"] == watches)
    followed.secrets.write("eu", kubeconfig(eu.url, "good", extensions=["new"]))
    followed.secrets.write("eu", kubeconfig(eu.url + "/"))
    await asyncio.sleep(0.3)
    assert eu.counts()["watch"] == watches, "the same login in another text is no rotation"

    eu.token = "new"
    followed.secrets.write("eu", kubeconfig(eu.url, "new"))
    await eventually(lambda: is_live(followed, "eu") and eu.counts()["watch"] >= 2 * watches)
    assert {reason for _, reason in followed.contacts} <= {"NotLookedAtYet", "Answering", "Unauthorized"}


@pytest.mark.breadth
async def test_a_region_that_hangs_is_unknown_and_delays_nobody(
    followed: Followed, eu: FakeApiServer, us: FakeApiServer
) -> None:
    """Unknown after two looks without an answer; the other one goes on; and it comes back."""
    enter(followed, "eu", eu)
    enter(followed, "us", us)
    await eventually(lambda: is_live(followed, "eu") and is_live(followed, "us"))
    eu.fail("version", hang, times=3)
    await eventually(lambda: followed.reason("eu") == "Timeout")
    contact = followed.contact("eu")
    await us.put(ROLLOUTS, "front-end", spec={})

    await eventually(lambda: ("us", KEY) in followed.rollouts)
    assert (contact.reach, contact.last is not None) == (Reach.UNKNOWN, True)
    assert not contact.is_reachable
    await eventually(lambda: is_live(followed, "eu"))


@pytest.mark.breadth
@pytest.mark.parametrize(
    ("what", "fault", "reason", "reach"),
    [
        pytest.param("version", answer(500, "InternalError"), "ServerError", Reach.UNKNOWN, id="500"),
        pytest.param("version", answer(403, "Forbidden", "no /version"), "Forbidden", Reach.NO, id="403"),
        pytest.param("version", text(200, "<html>"), "Unreachable", Reach.UNKNOWN, id="a-proxys-page"),
        pytest.param("version", text(302, ""), "ServerError", Reach.UNKNOWN, id="redirect"),
        pytest.param("list", answer(403, "Forbidden", "cannot list"), "Forbidden", Reach.NO, id="no-right-to-list"),
        pytest.param("list", text(404, "404 page not found"), "NotInstalled", Reach.NO, id="no-crds"),
        pytest.param("list", answer(503, "ServiceUnavailable"), "WatchBroken", Reach.UNKNOWN, id="only-lists-fail"),
    ],
)
async def test_every_failure_has_its_reason(
    followed: Followed, eu: FakeApiServer, what: str, fault: Any, reason: str, reach: Reach
) -> None:
    """A refusal is False, everything else Unknown; never ready, and over when it is over."""
    eu.fail(what, fault, times=10_000)
    enter(followed, "eu", eu)
    await eventually(lambda: followed.reason("eu") == reason)

    assert followed.contact("eu").reach is reach
    assert not is_live(followed, "eu")
    eu.faults.clear()
    await eventually(lambda: is_live(followed, "eu"))


async def test_nobody_there_is_said_as_such(followed: Followed) -> None:
    """A closed port, and a name that does not exist."""
    followed.secrets.write("shut", kubeconfig("http://127.0.0.1:1"))
    followed.secrets.write("nowhere", kubeconfig("https://nowhere.invalid"))
    followed.regions.set("shut", region("shut"))
    followed.regions.set("nowhere", region("nowhere"))

    await eventually(lambda: followed.reason("shut") == "ConnectionRefused")
    await eventually(lambda: followed.reason("nowhere") in ("NameNotResolved", "Timeout"))
    assert followed.contact("shut").reach is Reach.UNKNOWN


async def test_a_secret_that_is_missing_or_refused_closes_the_region(followed: Followed, eu: FakeApiServer) -> None:
    """Each with its reason, and open again when it is right; a revoked Secret is not used on from memory."""
    followed.regions.set("eu", region("eu"))
    await eventually(lambda: followed.reason("eu") == "SecretMissing")
    assert "create it" in followed.contact("eu").message
    followed.secrets.write("eu", kubeconfig(eu.url, exec={"command": "id"}))
    await eventually(lambda: followed.reason("eu") == "KubeconfigRefused")
    assert "would run a program" in followed.contact("eu").message
    followed.secrets.write("eu", kubeconfig(eu.url))
    await eventually(lambda: is_live(followed, "eu"))

    del followed.secrets.texts["eu"]
    await eventually(lambda: followed.reason("eu") == "SecretMissing")
    assert not is_live(followed, "eu")
    asked = len(eu.requests)
    await asyncio.sleep(0.3)
    assert len(eu.requests) == asked
    followed.secrets.error = Forbidden(403, "Forbidden", "cannot get secrets")
    await eventually(lambda: followed.reason("eu") == "SecretForbidden")
    assert followed.contact("eu").reach is Reach.NO


async def test_a_hub_whose_own_server_fails_goes_on_with_what_it_read(followed: Followed, eu: FakeApiServer) -> None:
    """A region that is open stays so; one that never was is unknown."""
    enter(followed, "eu", eu)
    await eventually(lambda: is_live(followed, "eu"))
    followed.secrets.error = Unreachable("the hub's server is down")
    enter(followed, "late", eu)

    await eventually(lambda: followed.reason("late") == "SecretUnread")
    assert followed.contact("late").reach is Reach.UNKNOWN
    assert is_live(followed, "eu")
    followed.secrets.error = None
    await eventually(lambda: is_live(followed, "late"))


async def test_another_address_is_another_cluster(followed: Followed, eu: FakeApiServer, us: FakeApiServer) -> None:
    """What was known of the first is dropped; revisions of two clusters cannot be compared."""
    await eu.put(ROLLOUTS, "front-end", spec={})
    enter(followed, "moving", eu)
    await eventually(lambda: is_live(followed, "moving"))
    followed.secrets.write("moving", kubeconfig(us.url))
    await eventually(lambda: us.counts()["watch"] >= 2 and is_live(followed, "moving"))

    view = followed.regions.view("moving", KEY)
    assert view is not None
    assert (view.rollout, view.is_known) == (None, True)


async def test_a_region_that_is_gone_is_left_alone(followed: Followed, eu: FakeApiServer) -> None:
    """No view, no request, no way to write; and it can come back."""
    enter(followed, "eu", eu)
    await eventually(lambda: is_live(followed, "eu"))
    followed.regions.set("eu", None)
    await asyncio.sleep(0.1)
    asked = len(eu.requests)
    await asyncio.sleep(0.3)

    assert (followed.regions.names(), followed.regions.view("eu", KEY), len(eu.requests)) == ((), None, asked)
    with pytest.raises(UnknownRegion):
        await followed.regions.create("eu", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
    followed.regions.set("eu", region("eu"))
    await eventually(lambda: is_live(followed, "eu"))


async def test_only_a_changed_access_opens_a_region_anew(
    followed: Followed, eu: FakeApiServer, us: FakeApiServer
) -> None:
    """Labels, floors and the like do not; another Secret does; an invalid spec closes it and says why."""
    enter(followed, "eu", eu)
    await eventually(lambda: is_live(followed, "eu"))
    lists = eu.counts()["list"]
    followed.regions.set("eu", region("eu", tier="small", floors={"bake": "1h"}))
    await asyncio.sleep(0.2)
    assert (eu.counts()["list"], is_live(followed, "eu")) == (lists, True)

    followed.secrets.write("other", kubeconfig(us.url))
    followed.regions.set("eu", region("eu", "other"))
    await eventually(lambda: is_live(followed, "eu") and us.counts()["watch"] >= 2)
    followed.regions.set("eu", region("eu", access={}))
    contact = followed.contact("eu")
    assert (contact.reach, contact.reason) == (Reach.NO, "InvalidSpec")
    assert "exactly one way" in contact.message


async def test_a_defect_in_one_region_leaves_the_others_alone(
    followed: Followed, eu: FakeApiServer, us: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake of ours is logged, said, and tried again later."""
    enter(followed, "us", us)
    await eventually(lambda: is_live(followed, "us"))
    sound = RegionLink._look

    async def broken(link: RegionLink, client: HttpKubeClient) -> Finding:
        if link.name == "eu":
            raise RuntimeError("a defect")
        return await sound(link, client)

    monkeypatch.setattr(RegionLink, "_look", broken)
    enter(followed, "eu", eu)

    await eventually(lambda: followed.reason("eu") == "InternalError")
    assert (followed.contact("eu").reach, is_live(followed, "us")) == (Reach.UNKNOWN, True)


async def test_writes_to_a_region_that_is_not_there_fail_at_once(followed: Followed, eu: FakeApiServer) -> None:
    """No worker waits for it; and kinds that do not travel are refused before anything is sent."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}}
    followed.secrets.write("eu", kubeconfig(eu.url, "wrong"))
    followed.regions.set("eu", region("eu"))
    await eventually(lambda: followed.reason("eu") == "Unauthorized")
    with pytest.raises(Unreachable, match="region eu is not reachable \\(Unauthorized\\)"):
        await followed.regions.apply("eu", config)

    followed.secrets.write("eu", kubeconfig(eu.url))
    await eventually(lambda: is_live(followed, "eu"))
    made = await followed.regions.create("eu", config)
    assert made["metadata"]["name"] == "a"
    assert eu.queries("POST")[-1]["fieldManager"] == "ombak-hub"
    with pytest.raises(kube_port.AlreadyExists):
        await followed.regions.create("eu", config)
    with pytest.raises(NotTravelling, match="v1 Secret is no kind that the hub may write"):
        await followed.regions.create("eu", {**config, "kind": "Secret"})


ALARMS = "/apis/ombak.dev/v1alpha1/namespaces/shop/alarms"


async def test_an_edit_of_an_alarm_that_was_brought_along_is_told_and_its_words_are_not(
    followed: Followed, eu: FakeApiServer
) -> None:
    """To the Pipeline that it names, or named before; what only its status says concerns those that wait for it."""
    ours = {"ombak.dev/hub": "hub-1", "ombak.dev/pipeline": "shop/front-end"}
    await eu.put(ALARMS, "errors", annotations=ours, spec={"n": 1})
    await eu.put(ALARMS, "theirs", spec={"n": 1})
    enter(followed, "eu", eu)
    await eventually(lambda: followed.brought == ["shop/front-end"])
    heard = len(followed.alarms)
    await eu.put(ALARMS, "errors", annotations=ours, spec={"n": 1}, status={"state": "OK"})
    await eu.put(ALARMS, "theirs", spec={"n": 2})
    await eventually(lambda: len(followed.alarms) == heard + 2)
    assert followed.brought == ["shop/front-end"]

    await eu.put(ALARMS, "errors", annotations=ours, spec={"n": 2})
    await eventually(lambda: followed.brought == ["shop/front-end"] * 2)
    found = followed.regions.alarm("eu", ("shop", "errors"))
    assert found is not None
    assert (found.brought.spec, found.brought.hub, found.brought.pipeline) == ({"n": 2}, "hub-1", "shop/front-end")
    await eu.drop(ALARMS, "errors")
    await eventually(lambda: followed.brought == ["shop/front-end"] * 3)
