"""Owning and leaving: what is deleted goes, what is left behind stays, and nothing that runs is ever restarted."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest
from lab import Lab, eventually, reads
from owning import SCENARIOS, install, said, uids

import manifests
from harness import ROOT, OperatorProcess, Shop

pytestmark = [pytest.mark.cluster, pytest.mark.proof, pytest.mark.timeout(600)]

KINDS = ("rollouts.ombak.dev", "artifacts.ombak.dev", "alarms.ombak.dev")
SETTLES_S = 4
"""Long enough for the garbage collector to take what it means to take."""


@pytest.fixture(scope="module")
def runs(lab: Lab, operator: OperatorProcess) -> dict[str, Future[None]]:
    """All that do not disturb each other, side by side."""
    return {name: lab.start(_within(scenario, lab)) for name, scenario in SCENARIOS.items()}


async def _within(scenario: object, lab: Lab) -> None:
    assert callable(scenario)
    async with asyncio.timeout(400):
        await scenario(lab)


@pytest.mark.parametrize("name", SCENARIOS)
def test_owning(runs: dict[str, Future[None]], name: str) -> None:
    """See the scenario of that name in `owning.py`."""
    runs[name].result()


def test_leaving_restarts_nothing(lab: Lab, runs: dict[str, Future[None]], operator: OperatorProcess) -> None:
    """The operator stopped, its kinds deleted, applied again: every box runs on, and is taken up again at last."""
    for run in runs.values():
        run.exception()
    settled, halfway = lab.run(_both(lab))
    before, between = lab.run(uids(settled)), lab.run(uids(halfway))
    copies = lab.run(_copies(settled))
    assert copies

    operator.stop()
    lab.run(_stay(settled, before))
    lab.run(_stay(halfway, between))
    operator.start()

    lose(lab, operator, *KINDS)
    lab.run(_stay(settled, before))
    lab.run(_stay(halfway, between))
    assert lab.run(_copies(settled)) == copies, "what runs can start anew without our kinds"
    regain(lab, operator)
    lab.run(_applied_again(settled))
    assert lab.run(uids(settled)) == before, "all kinds came back: nothing restarted"
    lab.run(_stay(halfway, between))

    lose(lab, operator, "artifacts.ombak.dev")
    lab.run(_stay(settled, before))
    regain(lab, operator)
    lab.run(_is_stable_again(settled))
    assert lab.run(uids(settled)) == before, "one kind came back: nothing restarted"
    assert lab.run(_copies(settled)) == copies
    operator.process.check()


def lose(lab: Lab, operator: OperatorProcess, *kinds: str) -> None:
    """Delete CRDs under a running operator, which ends: without its kinds there is nothing to watch.

    It says so in one sentence, and that what runs stays.
    """
    before = len(operator.log.read_text())
    lab.region.kubectl("delete", "crd", *kinds)
    lab.run(eventually(lambda: operator.process.pid is None, "the end of an operator that lost one of its kinds"))
    told = operator.log.read_text()[before:]
    assert "stays and runs on. `kubectl apply -f crds/`" in told
    assert "Traceback" not in told


def regain(lab: Lab, operator: OperatorProcess) -> None:
    """Start the operator too early: it waits, says for what, and goes on when the CRDs are applied."""
    heard = len(operator.lines())
    operator.start(wait=False)
    lab.run(said(operator, "kubectl apply -f crds/", heard))
    synced = sum(line.get("event") == "synced" for line in operator.lines())
    lab.region.kubectl("apply", "-f", str(ROOT / "crds"))
    lab.run(eventually(lambda: sum(line.get("event") == "synced" for line in operator.lines()) > synced, "a sync"))


async def _both(lab: Lab) -> tuple[Shop, Shop]:
    """One Rollout that is stable, and one in the middle of a release."""
    settled, halfway = await asyncio.gather(_configured(lab), install(lab, "halfway"))
    await halfway.release("1.1.0", strategy=manifests.strategy("0s", "1h", "1h"))
    await halfway.until(lambda now: (now.release.get("step") or {}).get("goal") == 2 and "bake" in now.waits_for, "two")
    return settled, halfway


async def _configured(lab: Lab) -> Shop:
    """A stable Rollout whose boxes read a copy of a ConfigMap."""
    shop = await lab.shop("settled")
    await shop.installed(manifests.config_map(flag="on"), manifests.configured(replicas=3))
    return shop


async def _copies(shop: Shop) -> set[str]:
    """The uids of the copies of ConfigMaps that versions carry: without them no box could start anew."""
    return {item["metadata"]["uid"] for item in await shop.items("ConfigMap", labelSelector="ombak.dev/artifact")}


async def _stay(shop: Shop, before: set[str]) -> None:
    await asyncio.sleep(SETTLES_S)
    assert await uids(shop) == before


async def _is_stable_again(shop: Shop) -> None:
    live = await shop.get("Rollout", shop.name)
    seen = int(live["metadata"]["resourceVersion"])
    await shop.until(lambda now: now.version >= seen and now.phase == "Stable" and bool(now.artifact("stable")), "it")
    await reads(lambda: shop.items("Artifact"), bool, "the version kept again")


async def _applied_again(shop: Shop) -> None:
    shop.generation = 0
    await shop.create(manifests.configured(replicas=3))
    created = int((await shop.get("Rollout", shop.name))["metadata"]["resourceVersion"])
    await shop.until(lambda now: now.version > created and now.phase == "Stable", "stable again")
