"""Clocks that are minutes wrong, of the hub and of each region: what is decided is what would be with right ones."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ombak.core.conveyor.snapshot import SKIP_AFTER, JobState
from ombak.runtime.hub.observe import LOOKS_FIRST
from ombak.runtime.kube_port import Object
from ombak.runtime.pulse import BEAT_EVERY, SILENT_AFTER
from support import conveyor
from support.hub_chaos import everything_ends
from support.hub_regions import LOOK_EVERY_S
from support.hub_rig import HubRig, in_virtual_time, spec, stage

pytestmark = pytest.mark.breadth

OF_SMALL = ("a-1", "p-1", "p-2")
V2, V3 = conveyor.version_of("v2"), conveyor.version_of("v3")
MINUTES = st.integers(-10, 10).map(lambda count: timedelta(minutes=count))
WRONG = {"a-1": timedelta(minutes=-10), "p-1": timedelta(minutes=10), "p-2": timedelta(seconds=31)}
A_LOOK = 2 * LOOK_EVERY_S
SILENT_WITHIN = (SILENT_AFTER + BEAT_EVERY).total_seconds() + A_LOOK
"""A dead operator is told to be silent by then."""
TEST_S = 100.0


def small(skews: Mapping[str, timedelta], hub: timedelta = timedelta(0)) -> HubRig:
    """A hub and three regions with these clocks."""
    rig = HubRig(OF_SMALL, skews=skews)
    rig.clock.skew = hub
    return rig


def stages(**more: object) -> list[Object]:
    """Two stages over the three regions."""
    return [stage("alpha", "a-1", **more), stage("prod", "p-1", "p-2", **more)]


async def travels(skews: Mapping[str, timedelta], hub: timedelta) -> list[float]:
    """Deliver two versions and take a third one back; returns when each was done, and holds every sign of life."""
    took = []
    async with small(skews, hub).running() as rig:

        async def done(version: str, reason: str) -> None:
            def claim() -> bool:
                told = [(r.name, r.contact.operator) for r in rig.regions.by_name.values()]
                assert all(sign.lives is not False for _, sign in told if rig.loop.time() > A_LOOK), told
                return rig.status().get("reason") == reason and set(rig.runs().values()) == {version}

            await rig.until(claim)
            took.append(rig.loop.time())

        rig.apply(spec("v1", stages(), revertScope="Everywhere"))
        await done("v1", "Delivered")
        rig.push("v2")
        await done("v2", "Delivered")
        rig["p-1"].becomes_ill(V3)
        rig.push("v3")
        await done("v2", "Rejected")
    return took


def times(skews: Mapping[str, timedelta], hub: timedelta) -> list[float]:
    """When each part of the story was done, in true seconds."""
    found: list[float] = []

    @in_virtual_time
    async def run() -> None:
        found.extend(await travels(skews, hub))

    run()
    return found


AGREED = functools.cache(lambda: times({}, timedelta(0)))


@settings(max_examples=8, deadline=None)
@example(skews=WRONG, hub=timedelta(0))
@given(skews=st.fixed_dictionaries(dict.fromkeys(OF_SMALL, MINUTES)), hub=MINUTES)
def test_no_clock_makes_anything_sooner_or_later(skews: Mapping[str, timedelta], hub: timedelta) -> None:
    """As long as with clocks that agree, up to the requests' own chance; and nobody who lives is told to be dead."""
    found = times(skews, hub)
    assert [abs(one - other) < 10 for one, other in zip(found, AGREED(), strict=True)] == [True] * 3, found


@pytest.mark.parametrize("minutes", [-10, 0, 10])
@pytest.mark.parametrize("restarts", [False, True], ids=["one hub", "a hub that has just begun"])
@in_virtual_time
async def test_a_dead_operator_is_told_to_be_silent(minutes: int, restarts: bool) -> None:
    """Soon, and by the silence that the hub itself has heard, though its last sign may be of ten minutes from now."""
    async with small({"p-1": timedelta(minutes=minutes)}).running() as rig:
        rig.apply(spec("v1", stages()))
        await rig.delivered("v1")
        rig.push("v2")
        await rig.until(lambda: rig.is_inside("prod", V2))
        rig["p-1"].is_operated = False
        if restarts:
            await rig.rest(30)
            rig.restart()
        await rig.rest(SILENT_WITHIN + 5)

        assert rig["p-1"].contact.operator.reason == "Silent"
        assert "has given no sign of life since" in next(w["what"] for w in rig.waits() if w["region"] == "p-1")
        assert rig["p-2"].contact.operator.lives
        rig["p-1"].is_operated = True
        await rig.delivered("v2")


@pytest.mark.parametrize("minutes", [-60, 0, 10])
@in_virtual_time
async def test_a_region_is_given_up_by_the_silence_that_the_hub_has_heard(minutes: int) -> None:
    """The hub goes on on a machine whose clock is another: what the first one wrote makes it neither sooner nor later.

    It fails in two ways in turn, each of which begins anew.
    """
    async with small({}).running() as rig:
        rig.apply(spec("v1", stages(), onRegionUnreachable="Skip"))
        await rig.delivered("v1")
        rig["p-1"].is_down = True
        rig.push("v2")
        await rig.rest(30)
        rig.clock.skew = timedelta(minutes=minutes)
        rig.restart()
        began = rig.loop.time()
        await rig.until(lambda: any(e.startswith("Skipped") for e in rig.events()))

        silence = timedelta(seconds=rig.loop.time() - began)
        assert max(SKIP_AFTER, LOOKS_FIRST) <= silence <= 2 * SKIP_AFTER + timedelta(seconds=30)


@pytest.mark.parametrize("minutes", [-10, 10])
@in_virtual_time
async def test_a_region_that_was_silent_for_a_moment_is_not_given_up(minutes: int) -> None:
    """By the clock of the new machine it was heard ten minutes ago, and was not."""
    async with small({}).running() as rig:
        rig.apply(spec("v1", stages(), onRegionUnreachable="Skip"))
        await rig.delivered("v1")
        rig["p-1"].is_down = True
        rig.push("v2")
        await rig.rest(20)
        rig.clock.skew = timedelta(minutes=minutes)
        rig.restart()
        await rig.rest(240)
        rig["p-1"].is_down = False
        await rig.delivered("v2")

        assert not any(e.startswith("Skipped") for e in rig.events())


@pytest.mark.parametrize("hub", [-10, 0, 10])
@in_virtual_time
async def test_no_test_is_over_before_it_has_ended(hub: int) -> None:
    """A Job takes its time, whatever the clocks of the region and of the hub say."""
    job = {"spec": {"template": {"spec": {"containers": [{"name": "t", "image": "registry.example/t:1"}]}}}}
    tests = [{"name": "smoke", "where": "Region", "template": job}]
    async with small(WRONG, timedelta(minutes=hub)).running() as rig:
        began: dict[str, float] = {}

        def test(found: Mapping[str, Any]) -> JobState:
            name = str(found["metadata"]["name"])
            since = began.setdefault(name, rig.loop.time())
            return JobState.PASSED if rig.loop.time() - since > TEST_S else JobState.RUNNING

        rig.regions.test = test
        rig.apply(spec("v1", [stage("alpha", "a-1", tests=tests), stage("prod", "p-1", "p-2")]))
        await rig.until(lambda: rig.is_inside("prod", conveyor.version_of("v1")))

        assert rig.loop.time() - min(began.values()) > TEST_S


@pytest.mark.parametrize("seed", range(2))
@in_virtual_time
async def test_whatever_happens_with_wrong_clocks_everything_ends(seed: int) -> None:
    """Faults, deaths of the hub, outages and people as with right ones."""
    rng = random.Random(f"clocks-{seed}")
    skews = {name: timedelta(seconds=rng.uniform(-600, 600)) for name in ("a-1", "b-1", "p-1", "p-2")}
    rig = HubRig(seed=seed, skews=skews)
    rig.clock.skew = timedelta(seconds=rng.uniform(-600, 600))
    async with rig.running():
        await everything_ends(rig, seed)


@in_virtual_time
async def test_a_clock_that_is_set_ahead_is_no_silence() -> None:
    """The hub's machine slept, or its clock was set: a region that just fell silent gets its five minutes."""
    async with small({}).running() as rig:
        rig.apply(spec("v1", stages(), onRegionUnreachable="Skip"))
        await rig.delivered("v1")
        rig["p-1"].is_down = True
        rig.push("v2")
        began = rig.loop.time()
        await rig.rest(8)
        rig.clock.skew = timedelta(hours=1)
        await rig.until(lambda: any(e.startswith("Skipped") for e in rig.events()))

        silence = timedelta(seconds=rig.loop.time() - began)
        assert SKIP_AFTER <= silence <= SKIP_AFTER + timedelta(minutes=2)
