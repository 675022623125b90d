"""The whole status of a Rollout erased by hand in every phase: what is in it must be found again in the cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lab import Lab, end_state, eventually

import manifests
from harness import Shop
from ombak.core.memory import load_memory
from timeline import PodSeen

BAKE = timedelta(seconds=4)
LONG = f"{BAKE.seconds}s"
SLOW = {"ready-after": "3s"}
QUICK = {"evaluationPeriods": 1, "datapointsToAlarm": 1}


@dataclass(slots=True)
class Erased:
    """One Rollout whose status was erased in a phase, and how it ended."""

    shop: Shop
    phase: str
    old: str
    new: str
    at: datetime
    """When, by the clock that the operator has too."""
    end: dict[str, object]
    stable_at: datetime | None = None
    """When the new version was recorded as stable, None if it never was."""

    def boxes_made(self, artifact: str) -> int:
        """So many pods of a version ever existed: more than there are boxes means that some were redeployed."""
        seen = self.shop.watcher.timeline.events(self.shop.watcher.key)
        return len({pod.name for pod in seen if isinstance(pod, PodSeen) and pod.artifact == artifact})

    def next_step_at(self) -> datetime | None:
        """When more boxes than before were approved for the first time after the erasure; None if they never were."""
        before = 0
        for state in self.shop.watcher.timeline.history(self.shop.watcher.key):
            release = load_memory(state.status.get("memory")).release
            if release is None or release.artifact != self.new:
                continue
            if release.step.approved_at <= self.at:
                before = max(before, release.step.goal)
            elif release.step.goal > before:
                return release.step.approved_at
        return None


async def erase(shop: Shop) -> datetime:
    """Take the whole status away, and wait until the operator has written one again."""
    at = datetime.now(UTC)
    answer = await shop.call("PATCH", shop.path("Rollout", shop.name, "status"), {"status": None})
    assert "status" not in answer
    shop.wrote(answer)
    version = int(answer["metadata"]["resourceVersion"])

    def is_back() -> bool:
        now = shop.now
        return now is not None and now.version > version and bool(now.phase)

    await eventually(is_back, f"a status of {shop.namespace} after it was erased")
    return at


def _bakes(one_box: str = "0s", rolling: str = "0s", bake: str = "0s") -> manifests.Manifest:
    return manifests.strategy(one_box, rolling, bake)


async def _install(shop: Shop, behaviour: dict[str, str] | None = None, **bakes: str) -> str:
    alarm = manifests.alarm("service", manifests.OK, 0.5, **QUICK)
    rollout = manifests.rollout(
        replicas=4, behaviour=behaviour, alarms=manifests.alarms(), strategy=manifests.strategy("0s", "0s", "0s")
    )
    installed = await shop.installed(alarm, rollout)
    await shop.change(strategy=_bakes(**bakes))
    return installed


Bring = Callable[[Shop], Awaitable[tuple[str, str]]]
"""Brings a Rollout into a phase; returns the ids of its old and its new version."""


def _on_the_way(phase: str, goal: int = 1, behaviour: dict[str, str] | None = None, **bakes: str) -> Bring:
    async def bring(shop: Shop) -> tuple[str, str]:
        old = await _install(shop, None, **bakes)
        new = await shop.release("1.1.0", behaviour)
        await shop.until(
            lambda now: now.phase == phase and (now.release.get("step") or {}).get("goal") == goal, f"{phase} at {goal}"
        )
        return old, new

    return bring


async def _installing(shop: Shop) -> tuple[str, str]:
    alarm = manifests.alarm("service", manifests.OK, 0.5, **QUICK)
    rollout = manifests.rollout(replicas=4, behaviour=SLOW, alarms=manifests.alarms())
    await shop.create(alarm, rollout)
    await shop.phase("Installing")
    await eventually(lambda: bool(shop.watcher.judgement().exposures), "the first box")
    now = shop.now
    assert now is not None
    return "", now.artifact("current")


async def _stable(shop: Shop) -> tuple[str, str]:
    return "", await _install(shop)


async def _reverting(shop: Shop) -> tuple[str, str]:
    old = await _install(shop, SLOW, rolling="1h")
    new = await shop.release("1.1.0")
    await shop.until(lambda now: (now.release.get("step") or {}).get("goal") == 2 and "bake" in now.waits_for, "two")
    await shop.switch(manifests.FIRING)
    await shop.phase("Reverting")
    await shop.switch(manifests.OK)
    return old, new


async def _reverted(shop: Shop) -> tuple[str, str]:
    found = await _reverting(shop)
    await shop.phase("Reverted")
    return found


async def _failed(shop: Shop) -> tuple[str, str]:
    never = {"behaviour": "never-ready"}
    await shop.create(manifests.rollout(replicas=4, behaviour=never, progressDeadline="3s"))
    return "", (await shop.phase("Failed")).artifact("rejected")


async def _blocked(shop: Shop) -> tuple[str, str]:
    old = await _install(shop)
    await shop.change(paused=True)
    new = await shop.release("1.1.0")
    await shop.phase("Blocked")
    return old, new


async def _invalid(shop: Shop) -> tuple[str, str]:
    installed = await _install(shop)
    await shop.change(alarms={"revert": 'ALARM("service") AND'})
    await shop.phase("Invalid")
    return "", installed


@dataclass(frozen=True, slots=True)
class Case:
    """How to come into a phase, how it must end, and how many boxes of the old and new version are made in all."""

    bring: Bring
    ends_in: str
    old_made: int
    new_made: int
    then: str = ""
    """The bake that was an hour until the status was erased, and is short from then on: it has to begin anew."""


CASES = {
    "Installing": Case(_installing, "Stable", 0, 4),
    "OneBox": Case(_on_the_way("OneBox", behaviour=SLOW), "Stable", 4, 4),
    "OneBoxBake": Case(_on_the_way("OneBoxBake", one_box="1h"), "Stable", 4, 4, then="one_box"),
    "Rolling": Case(_on_the_way("Rolling", 2, rolling="1h"), "Stable", 4, 4, then="rolling"),
    "Bake": Case(_on_the_way("Bake", 4, bake="1h"), "Stable", 4, 4, then="bake"),
    "Stable": Case(_stable, "Stable", 0, 4),
    "Reverting": Case(_reverting, "Reverted", 6, 2),
    "Reverted": Case(_reverted, "Reverted", 6, 2),
    "Failed": Case(_failed, "Failed", 0, 4),
    "Blocked": Case(_blocked, "Blocked", 4, 0),
    "Invalid": Case(_invalid, "Invalid", 0, 4),
}


async def run(lab: Lab, phase: str, case: Case) -> Erased:
    """Bring it there, erase, and wait for the end."""
    shop = await lab.shop(f"erased-{phase}")
    old, new = await case.bring(shop)
    at = await erase(shop)
    if case.then:
        await shop.change(strategy=_bakes(**{case.then: LONG}))
    await shop.phase(case.ends_in)
    end = await end_state(shop)
    await shop.watcher.finish()
    known = {item["spec"]["id"]: item.get("status") or {} for item in await shop.items("Artifact")}
    stable = known.get(new, {}).get("stable")
    return Erased(shop, phase, old, new, at, end, datetime.fromisoformat(stable["at"]) if stable else None)
