"""A newer operator over the objects of an older one writes nothing (P7): statuses, manifests, records and all.

`golden/` holds whole clusters as a released build left them, one per phase. What is there is never written anew by the
way: a change that makes one of these tests fail writes every Rollout, or every box, of everybody who upgrades. Where
that is meant, say so in CHANGELOG.md, delete the files that it changes, and run this module once with
`OMBAK_WRITE_GOLDEN=1`: it writes those that are missing, and only those.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from test_alarm_status import World

from ombak.runtime.kube_port import Object
from support.rig import Rig, in_phase

GOLDEN = Path(__file__).parent / "golden"
KINDS = ("Rollout", "Artifact", "Deployment", "ReplicaSet", "Alarm")
PHASES = ("Stable", "Bake", "Blocked", "Reverted", "Failed", "Invalid")
ALARM: Object = {
    "metric": {"query": "errors", "comparison": "GreaterThanThreshold", "threshold": 0.1, "evaluationPeriods": 1}
}


def golden(name: str, now: Rig | World) -> dict[str, Any]:
    """The cluster of that name; written first where it is missing and that is wanted."""
    path = GOLDEN / f"{name}.json"
    if not path.exists() and os.environ.get("OMBAK_WRITE_GOLDEN"):
        objects = {kind: now.server.all(kind) for kind in KINDS if now.server.all(kind)}
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"at": now.clock.now().isoformat(), "objects": objects}, indent=1, sort_keys=True))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def load(world: Rig | World, found: dict[str, Any]) -> None:
    """Put the objects into an empty cluster as they were, and set the clock to a moment after."""
    versions = [0]
    for kind, objects in found["objects"].items():
        there = world.server._objects.setdefault(kind, {})
        for obj in objects:
            meta = obj["metadata"]
            there[meta["namespace"], meta["name"]] = obj
            versions.append(int(meta["resourceVersion"]))
    world.server.revision = max(versions)
    world.clock.wall = datetime.fromisoformat(found["at"])
    world.clock.advance(15)


@pytest.mark.parametrize("phase", PHASES)
async def test_a_rollout_of_an_older_build_is_left_as_it_is(phase: str) -> None:
    """Nothing is written in the first passes of a new process, whatever the status tells."""
    found = golden(phase, await in_phase(phase))
    rig = Rig()
    load(rig, found)
    rig.restart()
    rig.alarms.state = (await in_phase(phase)).alarms.state
    for _ in range(4):
        await rig.reconcile()
        rig.clock.advance(1)
    assert rig.phase == phase
    assert (rig.kube.writes, rig.recorder.reasons) == ([], [])


async def test_an_alarm_of_an_older_build_is_left_as_it_is() -> None:
    """Its status tells the same story still."""
    old = World()
    old.apply(ALARM)
    await old.look(after=61)
    world = World()
    load(world, golden("Alarm", old))
    world.restart()
    for _ in range(3):
        await world.look(after=61)
    assert world.kube.writes == []
