"""The stories of the conveyor on regions in memory; `test_hub_on_clusters` plays the same ones on real regions."""

from __future__ import annotations

import pytest

from support import conveyor
from support.conveyor_scenarios import NAMESPACES, SCENARIOS, STAGES, Scenario, play
from support.hub_rig import TAGS, HubRig, in_virtual_time, spec, stage

QUICK = {"bake": {"for": "1s"}}
LAST = STAGES["wave"][-1]


class InMemory:
    """A hub and its regions in virtual time."""

    def __init__(self, rig: HubRig, scenario: Scenario) -> None:
        self._rig, self._scenario = rig, scenario
        self._is_new = True

    async def push(self, tag: str) -> None:
        if self._is_new:
            stages = [stage(name, *regions, namespace=NAMESPACES[name], **QUICK) for name, regions in STAGES.items()]
            made = spec(tag, stages, **self._scenario.spec)
            made["rollout"]["spec"]["strategy"] = {"oneBox": QUICK, "rolling": QUICK}
            self._rig.apply(made)
            self._is_new = False
        else:
            self._rig.push(tag)

    async def fail(self, tag: str) -> None:
        self._rig[LAST].becomes_ill(conveyor.version_of(tag))

    async def settled(self, tag: str, reason: str) -> None:
        def is_so() -> bool:
            rollouts = [
                r for each in self._rig.regions.by_name.values() for r in each.model(conveyor.NAME).rollouts.values()
            ]
            stable = {TAGS.get(r.stable) for r in rollouts if r.phase in ("Stable", "Reverted")}
            return len(rollouts) == 4 and stable == {tag} and self._rig.status().get("reason") == reason

        await self._rig.until(is_so)

    def entered(self) -> tuple[str, ...]:
        told = [e.rstrip(".").split() for e in self._rig.events() if e.startswith("StageEntered")]
        return tuple(f"{TAGS[words[1]]} {words[-1]}" for words in told)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
@in_virtual_time
async def test_a_story_ends_as_it_is_told(scenario: Scenario) -> None:
    """In memory, where time costs nothing."""
    async with HubRig(("region-2", "region-3", "region-4")).running() as rig:
        await play(scenario, InMemory(rig, scenario))
