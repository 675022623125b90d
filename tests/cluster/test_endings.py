"""What is said, and what is left alone: `kubectl get` in every phase, an idle operator, its log."""

from __future__ import annotations

import asyncio
import re

import pytest

import manifests
from harness import OperatorProcess, Shop
from ombak.api.rollout import Phase
from ombak.sandbox import Region
from parallel import Outcomes, alone, side_by_side
from timeline import RolloutSeen

pytestmark = pytest.mark.cluster

COLUMNS = ["NAME", "PHASE", "STABLE", "CURRENT", "BOXES", "BAKE", "BAKE-ENDS", "WAITING-FOR", "AGE"]


@side_by_side
async def test_kubectl_get_tells_a_person_where_it_stands_in_every_phase(shop: Shop) -> None:
    """A Rollout goes through every phase, slowly enough to be looked at; in each one the table says what goes on."""
    seen: dict[str, str] = {}
    slow = {"ready-after": "4s"}
    await shop.create(
        manifests.switch(),
        manifests.rollout(replicas=4, behaviour=slow, alarms=manifests.alarms()),
    )
    await _look(shop, seen, "Installing", "Stable")
    await shop.switch(manifests.FIRING)
    await shop.release("1.1.0", slow, strategy=manifests.strategy("5s", "5s", "5s"), paused=True)
    await _look(shop, seen, "Blocked")
    await shop.switch(manifests.OK)
    await shop.change(paused=False)
    await _look(shop, seen, "OneBox", "OneBoxBake", "Rolling", "Bake")
    await shop.switch(manifests.FIRING)
    await _look(shop, seen, "Reverting", "Reverted")
    await shop.switch(manifests.OK)
    broken = manifests.template("1.2.0")
    broken["spec"]["containers"][0]["image"] = ""
    await shop.change(template=broken)
    await _look(shop, seen, "Invalid")

    shop.notes += seen.values()
    assert seen.keys() >= {phase.value for phase in Phase} - {"Failed"}
    for phase, table in seen.items():
        assert re.split(r"  +", table.splitlines()[0].strip()) == COLUMNS
        assert phase in table


async def _look(shop: Shop, seen: dict[str, str], *phases: str) -> None:
    """Print the table in each of some phases that follow each other."""
    for phase in phases:
        await shop.phase(phase)
        table = await shop.note_table()
        # Under load a phase may end while kubectl starts; what was printed then belongs to the next one.
        printed = table.splitlines()[1].split()[1]
        seen[printed] = table


@side_by_side
async def test_a_first_version_that_failed_is_told_in_the_table(shop: Shop) -> None:
    """The one phase that needs a Rollout of its own."""
    await shop.create(
        manifests.rollout(replicas=2, behaviour={"behaviour": "crash-loop"}, progressDeadline="4s"),
    )
    await shop.phase("Failed")

    table = await shop.note_table()

    assert "Failed" in table
    assert "another version in spec.template" in table


@alone
async def test_an_idle_operator_writes_nothing(shop: Shop) -> None:
    """Rollouts at rest, good and taken back, cost no write; their Alarms are still looked at."""
    await shop.installed(manifests.service_errors(), manifests.rollout(replicas=4, alarms=manifests.alarms()))
    bad = await shop.release("1.1.0", {"error-rate": "0.5"})
    await shop.until(lambda now: now.phase == "Reverted" and now.artifact("rejected") == bad, "the revert")
    # Counts are told within half a minute after the last write.
    await asyncio.sleep(32)

    mark = shop.region.audit.mark()
    await asyncio.sleep(20)
    counts = shop.region.audit.counts("ombak", since=mark)

    assert counts.writes.total() == 0
    assert counts.events == 0


@side_by_side
async def test_every_wait_is_explained(shop: Shop) -> None:
    """P10: in flight the status always says what is waited for and who can lift it; the conditions fit the phase."""
    await shop.installed(manifests.switch(), manifests.rollout(replicas=4, alarms=manifests.alarms()))
    await shop.release("1.1.0")
    await shop.phase("Stable")
    bad = await shop.release("1.2.0", {"behaviour": "never-ready"}, progressDeadline="5s")
    await shop.until(lambda now: now.phase == "Reverted" and now.artifact("rejected") == bad, "the revert")

    for seen in shop.timeline.history(shop.watcher.key):
        if seen.phase:
            _is_explained(seen)


def _is_explained(seen: RolloutSeen) -> None:
    at_rest = seen.phase in ("Stable", "Reverted", "Failed")
    told = {c["type"]: c["status"] for c in seen.status["conditions"]}
    assert told["Reconciling"] == ("False" if at_rest else "True")
    assert told["Delivered"] == ("True" if seen.phase == "Stable" else "False")
    if seen.phase != "Stable":
        waiting = seen.status["waitingFor"]
        assert waiting["what"]
        assert waiting["who"]
        assert waiting["since"]
        assert seen.status["message"]


def test_the_operator_logged_no_mistake(region: Region, operator: OperatorProcess, outcomes: Outcomes) -> None:
    """Over all that happened in this session there was no exception of the operator's own."""
    outcomes.wait()

    operator.process.check()
    mistakes = [line for line in operator.lines() if line.get("level") in ("error", "critical") or "exception" in line]

    assert not mistakes
