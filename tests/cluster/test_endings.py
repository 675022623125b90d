"""What is said, and what is left alone: `kubectl get` in every phase, an idle operator, its log."""

from __future__ import annotations

import asyncio
import re

import pytest

import manifests
from boxes import HELD, let_serve
from harness import OperatorProcess, Shop
from ombak.api.rollout import Phase
from ombak.sandbox import Region
from parallel import Outcomes, alone, side_by_side
from timeline import RolloutSeen

pytestmark = [pytest.mark.cluster, pytest.mark.proof]

COLUMNS = ["NAME", "PHASE", "STABLE", "CURRENT", "BOXES", "BAKE", "BAKE-ENDS", "WAITING-FOR", "AGE"]


@side_by_side
async def test_kubectl_get_tells_a_person_where_it_stands_in_every_phase(shop: Shop) -> None:
    """A Rollout goes through every phase, and stays in each until it was looked at; the table says what goes on."""
    seen: dict[str, str] = {}
    made = manifests.rollout(replicas=4, behaviour=HELD, alarms=manifests.alarms(), progressDeadline="1h")
    await shop.create(manifests.switch(), made)
    await _look(shop, seen, "Installing")
    await _go_on(shop, seen, "Stable")
    await shop.switch(manifests.FIRING)
    await shop.release("1.1.0", HELD, strategy=manifests.strategy("1h", "1s", "1h"), paused=True)
    await _look(shop, seen, "Blocked")
    await shop.switch(manifests.OK)
    await shop.change(paused=False)
    await _look(shop, seen, "OneBox")
    await _go_on(shop, seen, "OneBoxBake")
    await shop.change(strategy=manifests.strategy("1s", "1s", "1h"))
    await _look(shop, seen, "Rolling")
    await _go_on(shop, seen, "Bake")
    await shop.switch(manifests.FIRING)
    await _look(shop, seen, "Reverting")
    await _go_on(shop, seen, "Reverted")
    await shop.switch(manifests.OK)
    broken = manifests.template("1.2.0")
    broken["spec"]["containers"][0]["image"] = ""
    await shop.change(template=broken)
    await _look(shop, seen, "Invalid")

    shop.notes += seen.values()
    assert seen.keys() == {phase.value for phase in Phase} - {"Failed"}
    for table in seen.values():
        assert re.split(r"  +", table.splitlines()[0].strip()) == COLUMNS


async def _look(shop: Shop, seen: dict[str, str], phase: str) -> None:
    """Print the table in a phase that lasts until the test lets it end."""
    await shop.phase(phase)
    seen[phase] = await shop.note_table()
    assert seen[phase].splitlines()[1].split()[1] == phase


async def _go_on(shop: Shop, seen: dict[str, str], phase: str) -> None:
    """Let boxes serve until that brings it into a phase, and look."""

    async def is_there() -> bool:
        await let_serve(shop)
        return shop.now is not None and shop.now.phase == phase

    await shop.settled(is_there, f"phase {phase}")
    await _look(shop, seen, phase)


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
    """A Rollout at rest costs no write; its Alarm is still looked at, and says another number each time."""
    await shop.installed(manifests.switch(), manifests.rollout(replicas=4, alarms=manifests.alarms()))
    bad = await shop.release("1.1.0", strategy=manifests.strategy(bake="1h"))
    await shop.until(lambda now: now.release.get("artifact") == bad, "its start")
    await shop.switch(manifests.FIRING)
    await shop.until(lambda now: now.phase == "Reverted" and now.artifact("rejected") == bad, "the revert")
    await shop.switch("vector(time() % 60) / 1000")
    await shop.told("OK")
    await shop.until(_is_all_told, "counts that are true")
    await shop.settled(lambda: _is_alone(shop), "the end of all other Rollouts")
    await shop.settled(lambda: _is_quiet(shop, 5), "the last word on all that was done")

    assert await _is_quiet(shop, 35), "counts are told half a minute after the last write"


async def _is_quiet(shop: Shop, seconds: int) -> bool:
    """The operator wrote nothing for so long."""
    mark = shop.region.audit.mark()
    await asyncio.sleep(seconds)
    found = shop.region.audit.counts("ombak", since=mark)
    shop.notes.append(f"in {seconds} s: {found.writes}, {found.events} events")
    return not found.writes and not found.events


def _is_all_told(seen: RolloutSeen) -> bool:
    """Of four boxes that serve, none of which is of the wanted version."""
    names = ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas")
    return [seen.status.get(name) for name in names] == [4, 4, 4, 0]


async def _is_alone(shop: Shop) -> bool:
    """What scenarios leave goes some time after their end, and the operator may write meanwhile."""
    found = (await shop.call("GET", "/apis/ombak.dev/v1alpha1/rollouts"))["items"]
    return {item["metadata"]["namespace"] for item in found} == {shop.namespace}


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
