"""Scenarios of crashes (P4): the operator is killed after every single write of a release and of a way back.

Each variant has a namespace, a proxy and an operator process of its own that dies at its write: one operator installs
all of them before, and one finishes all of them afterwards. A variant whose number is never reached runs to its end
undisturbed, and is what the others are compared with.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from lab import Lab, end_state, eventually

import manifests
from harness import Shop
from ombak.core.memory import Memory, load_memory
from support.faultproxy import Faults, Write

AT_ONCE = 3
"""So many variants of a story run at a time: each one is a process that starts, and other tests run beside them."""
ONE_BOX_BAKE = timedelta(seconds=6)
QUICK = {"evaluationPeriods": 1, "datapointsToAlarm": 1}
RELEASE, WAY_BACK = range(1, 25), range(1, 17)
"""The writes after which an operator dies; the tests hold that there are no more."""


@dataclass(slots=True)
class Variant:
    """One life, its death, and what became of it."""

    shop: Shop
    dies_after: int
    installed: str = ""
    wanted: str = ""
    writes: tuple[Write, ...] = ()
    was_killed: bool = False
    died_with: Memory = field(default_factory=Memory)
    """What was remembered while no operator lived."""
    resumed_at: datetime | None = None
    """When the next operator knew everything and began to look, by its own clock."""
    end: dict[str, Any] = field(default_factory=dict)
    failure: BaseException | None = None

    async def survive(self, part: Callable[[], Awaitable[None]]) -> None:
        """Do a part of its life, unless an earlier one failed; each variant fails alone."""
        try:
            if self.failure is None:
                await part()
        except Exception as error:
            self.failure = error


class CrashRuns:
    """All variants of one story."""

    def __init__(self, lab: Lab, story: Story, deaths: range) -> None:
        """Begin."""
        self._lab = lab
        self._story = story
        self._future: Future[dict[int, Variant]] = lab.start(self._run(deaths))

    def all(self) -> dict[int, Variant]:
        """Every variant by its number, at its end or where it failed."""
        return self._future.result()

    def variant(self, number: int) -> Variant:
        """One at its end; raises what went wrong with it."""
        found = self.all()[number]
        if found.failure is not None:
            raise found.failure
        return found

    @property
    def undisturbed(self) -> Variant:
        """The one that had no write left to die after."""
        return self.variant(max(self.all()))

    async def _run(self, deaths: range) -> dict[int, Variant]:
        lab, story = self._lab, self._story
        shops = await asyncio.gather(*(lab.shop(f"{story.name}-{n}") for n in deaths))
        variants = [Variant(shop, n) for shop, n in zip(shops, deaths, strict=True)]
        namespaces = [shop.namespace for shop in shops]
        async with lab.operator(f"{story.name}-installs", namespaces):
            await asyncio.gather(*map(story.install, variants))
        room = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(v.survive(functools.partial(self._live_and_die, v, room)) for v in variants))
        async with lab.operator(f"{story.name}-finishes", namespaces) as process:
            synced = next(line for line in process.lines() if line.get("event") == "synced")
            for variant in variants:
                variant.resumed_at = datetime.fromisoformat(synced["timestamp"])
            await asyncio.gather(*(v.survive(functools.partial(self._finish, v)) for v in variants))
        return {v.dies_after: v for v in variants}

    async def _live_and_die(self, variant: Variant, room: asyncio.Semaphore) -> None:
        """One operator for this namespace alone, until its write or until it is done."""
        async with room:
            await self._story.begin(variant)
            with self._lab.proxy(Faults(stop_after_write=variant.dies_after)) as proxy:
                name, shop = f"{self._story.name}-{variant.dies_after}", variant.shop
                async with self._lab.operator(
                    name, [shop.namespace], kubeconfig=proxy.kubeconfig, dies=True
                ) as process:
                    await eventually(lambda: proxy.reached.is_set() or self._is_over(shop), "a death or an end")
                    await asyncio.to_thread(process.kill)
            # Only now: what it asked in its last moment is carried out all the same.
            variant.writes = tuple(w for w in proxy.writes if w.status < 300)
            variant.was_killed = len(variant.writes) >= variant.dies_after
            await self._story.bury(variant)

    def _is_over(self, shop: Shop) -> bool:
        now = shop.now
        return now is not None and now.observed >= shop.generation and now.phase == self._story.ends_in

    async def _finish(self, variant: Variant) -> None:
        await variant.shop.phase(self._story.ends_in)
        await eventually(lambda: _is_quiet(variant.shop), "an end without a memory of the way")
        variant.end = await end_state(variant.shop)
        await variant.shop.watcher.finish()


def _is_quiet(shop: Shop) -> bool:
    now = shop.now
    return now is not None and not now.release and "reverting" not in (now.status.get("memory") or {})


class Story:
    """A release from stable to stable."""

    name = "release"
    ends_in = "Stable"

    async def install(self, variant: Variant) -> None:
        """Before anything is killed."""
        bake = manifests.strategy(f"{ONE_BOX_BAKE.seconds}s", "0s", "1s")
        alarm = manifests.alarm("service", manifests.OK, 0.5, **QUICK)
        variant.installed = await variant.shop.installed(
            alarm, manifests.rollout(replicas=4, alarms=manifests.alarms(), strategy=bake | {"bake": {"for": "0s"}})
        )
        await variant.shop.change(strategy=bake)

    async def begin(self, variant: Variant) -> None:
        """What the operator finds to do when it starts."""
        variant.wanted = await variant.shop.release("1.1.0")

    async def bury(self, variant: Variant) -> None:
        """While no operator lives."""
        live = await variant.shop.get("Rollout", variant.shop.name)
        variant.died_with = load_memory((live.get("status") or {}).get("memory"))


class WayBack(Story):
    """A version that reached two boxes is taken back by its alarm, which is silent again when the operator is back."""

    name = "way-back"
    ends_in = "Reverted"

    async def install(self, variant: Variant) -> None:
        """The version is in two of four boxes, and bakes for an hour."""
        shop = variant.shop
        alarm = manifests.alarm("service", manifests.OK, 0.5, **QUICK)
        quick = manifests.strategy("0s", "0s", "0s")
        variant.installed = await shop.installed(
            alarm, manifests.rollout(replicas=4, alarms=manifests.alarms(), strategy=quick)
        )
        variant.wanted = await shop.release("1.1.0", strategy=manifests.strategy("0s", "1h", "1h"))
        await shop.until(
            lambda now: (now.release.get("step") or {}).get("goal") == 2 and "bake" in now.waits_for, "the second box"
        )

    async def begin(self, variant: Variant) -> None:
        """The alarm fires while nobody looks."""
        await variant.shop.switch(manifests.FIRING)

    async def bury(self, variant: Variant) -> None:
        """The alarm ends once the verdict is on record: only that may keep the way back going."""
        rejected = await variant.shop.get("Artifact", f"{variant.shop.name}-{variant.wanted}")
        if (rejected.get("status") or {}).get("rejected"):
            await variant.shop.switch(manifests.OK)
