"""Scenarios of stale reads (design 2 "Stale reads harm nobody"): what the operator sees is old, lost or refused.

Each one delivers a good version in one namespace and takes a version back in another, through the same bad proxy,
and is judged from outside. They are begun together.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta

from lab import Lab, end_state

import manifests
from harness import Shop
from support.faultproxy import Faults

PATIENCE = timedelta(seconds=540)
OURS = frozenset({"deployments", "replicasets", "rollouts", "artifacts"})
LATE = Faults(seed=1, plurals=OURS, watch_delay=timedelta(seconds=30))
LOSSY = Faults(seed=2, plurals=OURS, watch_dropped=0.4, watch_cut_after=timedelta(seconds=6))
REFUSING = Faults(seed=3, conflict=0.1, throttled=0.05, broken=0.05, lost_answer=0.1, late=0.1)
EVERYTHING = Faults(
    seed=4,
    plurals=OURS,
    watch_delay=timedelta(seconds=3),
    watch_dropped=0.1,
    watch_cut_after=timedelta(seconds=10),
    conflict=0.05,
    throttled=0.05,
    broken=0.05,
    lost_answer=0.05,
)


@dataclass(frozen=True, slots=True)
class Case:
    """What stands between the operators and the API server."""

    faults: Faults
    must_happen: tuple[str, ...]
    """Faults that a run without them proves nothing about."""
    beside: bool = False
    """A second operator runs by mistake, with a straight way to the API server."""


CASES = {
    "late-watches": Case(LATE, ("delayed",)),
    "lost-events": Case(LOSSY, ("dropped", "cut")),
    "refusals": Case(REFUSING, ("conflict", "broken", "lost-504", "lost-cut")),
    "everything": Case(EVERYTHING, ("delayed", "dropped")),
    "two-operators": Case(LATE, ("delayed",), beside=True),
}


class StaleRuns:
    """All cases, running from the beginning."""

    def __init__(self, lab: Lab) -> None:
        """Begin."""
        self._runs: dict[str, Future[Counter[str]]] = {
            name: lab.start(_run(lab, name, case)) for name, case in CASES.items()
        }

    def result(self, name: str) -> Counter[str]:
        """The faults that came; raises whatever went wrong."""
        return self._runs[name].result()


@contextlib.asynccontextmanager
async def _second(lab: Lab, case: Case, name: str, shops: tuple[Shop, ...]) -> AsyncIterator[None]:
    if not case.beside:
        yield
        return
    async with lab.operator(f"{name}-beside", [shop.namespace for shop in shops]):
        yield


async def _run(lab: Lab, name: str, case: Case) -> Counter[str]:
    good, bad = await lab.shop(f"{name}-good"), await lab.shop(f"{name}-bad")
    shops = good, bad
    with lab.proxy() as proxy:
        async with (
            lab.operator(name, [shop.namespace for shop in shops], kubeconfig=proxy.kubeconfig),
            _second(lab, case, name, shops),
        ):
            await asyncio.gather(*map(_install, shops))
        proxy.become(case.faults)
        async with (
            lab.operator(name, [shop.namespace for shop in shops], kubeconfig=proxy.kubeconfig),
            _second(lab, case, name, shops),
        ):
            await asyncio.gather(_deliver(good), _take_back(bad))
        return proxy.done


async def _install(shop: Shop) -> None:
    quick = manifests.alarm("service", manifests.OK, 0.5, evaluationPeriods=1, datapointsToAlarm=1)
    await shop.installed(
        quick,
        manifests.rollout(
            replicas=4, alarms=manifests.alarms(), progressDeadline="10m", strategy=manifests.strategy("0s", "0s", "0s")
        ),
    )


async def _deliver(shop: Shop) -> None:
    new = await shop.release("1.1.0")
    await shop.phase("Stable", patience=PATIENCE)

    assert await shop.boxes() == {new: 4}
    judgement = await shop.watcher.finish()
    assert judgement.removals >= 4
    assert (await end_state(shop))["verdicts"][new] == (2, "")


async def _take_back(shop: Shop) -> None:
    old = shop.now
    assert old is not None
    bad = await shop.release("1.2.0", strategy=manifests.strategy("0s", "1h", "1h"))
    await shop.until(
        lambda now: int((now.release.get("step") or {}).get("goal", 0)) >= 2, "the second step", patience=PATIENCE
    )
    await shop.switch(manifests.FIRING)
    await shop.phase("Reverted", patience=PATIENCE)

    assert await shop.boxes() == {old.artifact("stable"): 4}
    await shop.watcher.finish()
    assert (await end_state(shop))["verdicts"][bad] == (0, "AlarmFired")
    assert shop.watcher.goals(bad)[-1] < 4
