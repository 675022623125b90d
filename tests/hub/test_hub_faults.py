"""The hub under faults of its wires and of itself: whatever fails or dies wherever, everything ends as it should."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from ombak.runtime import kinds
from ombak.runtime.kube_port import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    TooManyRequests,
    Unreachable,
)
from ombak.simulation.client import Request
from support import conveyor
from support.hub_chaos import everything_ends
from support.hub_rig import ABORT, NAME, NAMESPACE, USER, HubRig, in_virtual_time, spec, stage

pytestmark = pytest.mark.breadth

V1, V2, V3 = (conveyor.version_of(tag) for tag in ("v1", "v2", "v3"))
SMALL = [stage("alpha", "a-1"), stage("prod", "p-1", "p-2")]
OF_SMALL = ("a-1", "p-1", "p-2")
MODIFIED = Conflict(409, "Conflict", "the object has been modified")
SLOW_DOWN = TooManyRequests(429, "TooManyRequests", "slow down", timedelta(seconds=3))
BROKEN = ApiError.of(500, "InternalError", "etcdserver: leader changed")
CUT = Unreachable("timed out")


@contextlib.asynccontextmanager
async def installed(*names: str) -> AsyncIterator[HubRig]:
    """Two stages over three regions, or fewer, in which v1 runs."""
    chosen = names or OF_SMALL
    stages = [stage("alpha", chosen[0]), stage("prod", *chosen[1:])]
    async with HubRig(chosen).running() as rig:
        rig.apply(spec("v1", stages, revertScope="Everywhere"))
        await rig.delivered("v1")
        yield rig


def is_back(rig: HubRig) -> bool:
    """It is rejected, and the version before it runs everywhere."""
    return rig.status().get("reason") == "Rejected" and rig.rollouts() == ["v1 Stable"]


async def release(rig: HubRig) -> None:
    """A good version, everywhere."""
    rig.push("v2")
    await rig.delivered("v2")


async def way_back(rig: HubRig) -> None:
    """A bad version, gone everywhere."""
    rig["p-1"].becomes_ill(V2)
    rig.push("v2")
    await rig.until(lambda: is_back(rig))


async def abort(rig: HubRig) -> None:
    """A version that a person takes back."""
    rig.push("v2")
    await rig.until(lambda: rig.is_inside("prod", V2))
    rig.annotate(ABORT, V2)
    await rig.until(lambda: is_back(rig))
    await rig.until(lambda: ABORT not in (rig.pipeline()["metadata"].get("annotations") or {}))


@pytest.mark.parametrize("after", [False, True], ids=["not done", "done all the same"])
@pytest.mark.parametrize("error", [MODIFIED, SLOW_DOWN, CUT], ids=["409", "429", "timeout"])
@pytest.mark.parametrize(
    ("write", "story"),
    [
        pytest.param("create Artifact", release, id="artifact"),
        pytest.param("replace Pipeline/status", release, id="memory"),
        pytest.param("patch Artifact/status", way_back, id="verdict"),
        pytest.param("patch Pipeline ", abort, id="command"),
    ],
)
@in_virtual_time
async def test_a_write_to_the_hub_that_fails_is_made_at_last(
    write: str, story: Any, error: ApiError, after: bool
) -> None:
    """Not done, or done though nobody said so: the same end."""
    async with installed() as rig:
        rig.kube.fail(write, error, times=3, after=after)
        await story(rig)

        assert rig.kube.left < (3 if after else 1)


@pytest.mark.parametrize(
    "error",
    [
        MODIFIED,
        SLOW_DOWN,
        BROKEN,
        CUT,
        AlreadyExists(409, "AlreadyExists", "it is there"),
        NotFound(404, "NotFound", 'namespaces "shop" not found'),
        Invalid(422, "Invalid", "spec.template is wrong"),
        Forbidden(403, "Forbidden", "no right"),
    ],
    ids=["409", "429", "500", "timeout", "there", "gone", "invalid", "forbidden"],
)
@in_virtual_time
async def test_a_region_that_refuses_every_write_holds_only_itself(error: ApiError) -> None:
    """What it says is told; when it takes writes again it gets the change."""
    async with installed() as rig:
        rig.regions.errors["p-1"] = error
        rig.push("v2")
        await rig.until(lambda: rig.runs()["p-2"] == "v2")
        await rig.rest(120)

        assert rig.runs()["p-1"] == "v1"
        assert error.message in rig.condition("Applied")["message"]
        assert any(error.message in w["what"] for w in rig.waits())
        del rig.regions.errors["p-1"]
        await rig.delivered("v2")
        assert rig.condition("Applied")["status"] == "True"


@pytest.mark.parametrize("refused", ["delete Artifact", "create Job"])
@in_virtual_time
async def test_what_the_hub_itself_refuses_keeps_no_region_from_going_back(refused: str) -> None:
    """A test that cannot be created, an old version that cannot be deleted: it is told, and regions are written."""
    job = {"spec": {"template": {"spec": {"containers": [{"name": "t", "image": "registry.example/t:1"}]}}}}
    tests = [{"name": "smoke", "where": "Hub", "template": job}] if refused == "create Job" else []
    async with HubRig(OF_SMALL).running() as rig:
        stages = [stage("alpha", "a-1"), {**SMALL[1], **({"tests": tests} if tests else {})}]
        rig.apply(spec("v1", stages, revertScope="Everywhere"))
        await rig.delivered("v1")
        for number in range(12 if not tests else 0):
            rig.push(f"old-{number}")
            await rig.until(lambda n=number: rig.status().get("artifact") == conveyor.version_of(f"old-{n}"))  # type: ignore[misc]
        rig.kube.fail(refused, Forbidden(403, "Forbidden", "quota exceeded"), times=10**6)
        rig.push("v2")
        if tests:
            await rig.until(lambda: any("quota exceeded" in w["what"] for w in rig.waits()))
            rig.annotate(ABORT, V2)
            await rig.until(lambda: set(rig.runs().values()) == {"v1"})
        else:
            await rig.delivered("v2")
            assert "quota exceeded" in rig.condition("Applied")["message"]
        rig.kube.heal()
        await rig.until(lambda: rig.condition("Applied")["status"] == "True")


@in_virtual_time
async def test_a_version_that_the_hub_itself_does_not_take_holds_only_itself() -> None:
    """A quota on Artifacts: it is told, what is on its way goes back all the same, and later all goes by itself."""
    async with installed() as rig:
        rig.push("v2")
        await rig.until(lambda: rig.is_inside("prod", V2))
        rig.kube.fail("create Artifact", Forbidden(403, "Forbidden", "exceeded quota: artifacts"), times=10**6)
        rig.push("v3")
        await rig.until(lambda: any("exceeded quota" in w["what"] for w in rig.waits()))
        rig["p-1"].becomes_ill(V2)
        await rig.until(lambda: set(rig.runs().values()) == {"v1"})
        rig.kube.heal()
        await rig.delivered("v3")
        assert rig.condition("Applied")["status"] == "True"


@in_virtual_time
async def test_a_version_that_is_refused_for_another_reason_now_is_told_with_that_one() -> None:
    """The quota was raised, and a policy is against it; it is tried now and then, and not all the time."""
    async with installed() as rig:
        rig.kube.fail("create Artifact", Forbidden(403, "Forbidden", "exceeded quota: artifacts"), times=10**6)
        rig.push("v2")
        await rig.until(lambda: any("exceeded quota" in w["what"] for w in rig.waits()))
        rig.kube.heal()
        rig.kube.fail("create Artifact", Forbidden(403, "Forbidden", "a policy is against it"), times=10**6)
        await rig.until(lambda: [w for w in rig.waits() if "a policy is against it" in w["what"]] == rig.waits())
        rig.kube.take()
        await rig.rest(600)
        assert len([told for told in rig.kube.told if told.startswith("create Artifact")]) < 60
        assert not [told for told in rig.kube.writes if not told.startswith("create Artifact")]
        rig.kube.heal()
        await rig.delivered("v2")


@in_virtual_time
async def test_what_failed_and_is_not_wanted_any_more_is_no_problem_any_more() -> None:
    """The region refuses everything on, and nothing is to be written there."""
    async with installed() as rig:
        rig.regions.errors["p-1"] = BROKEN
        rig.push("v2")
        await rig.until(lambda: rig.condition("Applied")["status"] == "False")
        rig.annotate(ABORT, V2)
        await rig.until(lambda: is_back(rig))
        assert rig.condition("Applied")["status"] == "True"


@in_virtual_time
async def test_a_word_said_while_another_is_carried_out_is_heard_too() -> None:
    """The hub takes off only what it has done."""
    async with installed() as rig:
        rig.push("v2")
        await rig.until(lambda: rig.is_inside("prod", V2))
        rig.push("v3")
        await rig.until(lambda: rig.status().get("artifact") == V3)

        def another(request: Request) -> None:
            if request.told.startswith("patch Pipeline "):
                rig.kube.before = lambda _: None
                rig.annotate(ABORT, V3)

        rig.kube.before = another
        rig.annotate(ABORT, V2)
        await rig.until(lambda: is_back(rig))

    rejected = [a["spec"]["id"] for a in rig.server.all("Artifact") if (a.get("status") or {}).get("rejected")]
    assert sorted(rejected) == sorted([V2, V3])


@in_virtual_time
async def test_an_aborted_change_whose_artifact_is_gone_is_let_go() -> None:
    """There is nowhere to write a verdict, and still nothing is in the way for ever."""
    async with installed() as rig:
        rig.push("v2")
        await rig.until(lambda: rig.is_inside("prod", V2))
        rig.push("v3")
        await rig.until(lambda: rig.status().get("artifact") == V3)
        rig.server.delete(USER, kinds.ARTIFACTS, NAMESPACE, f"{NAME}.pipeline.{V2}")
        rig.annotate(ABORT, V2)
        await rig.delivered("v3")


@in_virtual_time
async def test_a_rollout_that_somebody_deletes_is_made_again_with_its_size() -> None:
    """In the middle of a change, and at rest."""
    async with installed() as rig:
        rig.push("v2")
        await rig.until(lambda: rig.is_inside("prod", V2))
        await rig.rest(10)
        rig["p-1"].delete(NAMESPACE, NAME)
        await rig.delivered("v2")
        assert rig["p-1"].rollout(NAMESPACE, NAME).replicas == 2
        rig["a-1"].delete(NAMESPACE, NAME)
        await rig.delivered("v2")


DEATHS = range(1, 26)


@pytest.mark.parametrize("dies_after", DEATHS)
@pytest.mark.parametrize("story", [release, way_back, abort])
@in_virtual_time
async def test_a_hub_that_dies_after_any_write_comes_to_the_same_end(story: Any, dies_after: int) -> None:
    """P4: right after it, before anything else is done; the next process finds out where it was."""
    async with installed("a-1", "p-1") as rig:
        rig.wire.dies_after = rig.wire.writes + dies_after
        await story(rig)

        assert rig.deaths == (1 if rig.wire.writes >= rig.wire.dies_after else 0)
        sequences = {
            r.rollout(NAMESPACE, NAME).manifest["metadata"]["annotations"]["ombak.dev/sequence"]
            for r in rig.regions.by_name.values()
        }
    # A number on an Artifact that was made right before the death is not given out again.
    assert sequences == {("3" if dies_after == 1 else "2") if story is release else "1"}


@in_virtual_time
async def test_there_is_no_write_after_which_nobody_died() -> None:
    """The range of deaths reaches past the end of every story."""
    for story in (release, way_back, abort):
        async with installed("a-1", "p-1") as rig:
            before = rig.wire.writes
            await story(rig)
            assert rig.wire.writes - before < max(DEATHS), story.__name__


@pytest.mark.parametrize("seed", range(6))
@in_virtual_time
async def test_whatever_happens_everything_ends(seed: int) -> None:
    """Faults on every call, kills, outages, people: promises hold all the time, and with calm everything ends."""
    async with HubRig(seed=seed).running() as rig:
        await everything_ends(rig, seed)
