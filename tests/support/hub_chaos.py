"""Everybody who can make life hard for a hub, drawn by a seed."""

from __future__ import annotations

import random
from typing import Any

from ombak.runtime import kinds
from ombak.simulation.faults import Faults
from support import conveyor
from support.hub_regions import RigRegion
from support.hub_rig import ABORT, CALM, NAME, NAMESPACE, RETRY, USER, HubRig, spec

BAD_WIRE = Faults(latency=0.2, refused=0.1, lost_answer=0.05, watch_lag=3.0, lost_event=0.2)


class Chaos:
    """People, regions and the hub itself at their worst, drawn by a seed."""

    def __init__(self, rig: HubRig, seed: int) -> None:
        self.rig = rig
        self.rng = random.Random(f"chaos-{seed}")
        self._deeds = (self.push, self.push, self.region, self.region, self.mend, self.rig.kill)
        self._deeds += (self.erase, self.say, self.edit, self.delete)

    def act(self) -> None:
        """Do one thing that somebody might."""
        self.rng.choice(self._deeds)()

    def _tag(self) -> str:
        return self.rng.choice(("v1", "v2", "v3", "v4"))

    def _region(self) -> RigRegion:
        return self.rng.choice(list(self.rig.regions.by_name.values()))

    def push(self) -> None:
        """Ask for a version, new or old."""
        self.rig.push(self._tag())

    def region(self) -> None:
        """A region is down, hangs, or is ill with a version."""
        region = self._region()
        what = self.rng.choice(("down", "hanging", "ill"))
        region.is_down |= what == "down"
        region.is_hanging |= what == "hanging"
        if what == "ill":
            region.becomes_ill(conveyor.version_of(self._tag()))

    def erase(self) -> None:
        """Somebody erases the status, while the regions can tell the rest."""
        if not any(region.is_down for region in self.rig.regions.by_name.values()):
            self.rig.erase_status()

    def say(self) -> None:
        """A person says something that makes sense, or not."""
        version = conveyor.version_of(self._tag())
        again = f"{version}.{self.rng.randint(1, 9)}"
        self.rig.annotate(*self.rng.choice(((ABORT, version), (RETRY, again))))

    def edit(self) -> None:
        """Somebody edits a Rollout in a region."""
        region = self._region()
        if NAMESPACE in region.model(NAME).rollouts:
            rollout = region.rollout(NAMESPACE, NAME)
            rollout.manifest["spec"]["progressDeadline"] = f"{self.rng.randint(1, 9)}m"
            rollout.version, rollout.generation = rollout.version + 1, rollout.generation + 1

    def delete(self) -> None:
        """Somebody deletes an Artifact that holds no verdict."""
        kept = [a["metadata"]["name"] for a in self.rig.server.all("Artifact") if not a["status"].get("rejected")]
        if kept:
            self.rig.server.delete(USER, kinds.ARTIFACTS, NAMESPACE, self.rng.choice(kept))

    def mend(self) -> None:
        """All regions answer."""
        for region in self.rig.regions.by_name.values():
            region.is_down = region.is_hanging = False


async def everything_ends(rig: HubRig, seed: int) -> None:
    """Let everybody do their worst for a while, and then wait until everything has ended as it should."""
    rig.apply(spec("v1", revertScope=("Region", "Stage", "Everywhere")[seed % 3], handEdits="PutBack"))
    await rig.delivered("v1")
    chaos = Chaos(rig, seed)
    rig.wire.faults = BAD_WIRE
    for _ in range(25):
        chaos.act()
        await rig.rest(chaos.rng.choice((1, 10, 60, 200)))
    chaos.mend()
    rig.wire.faults = CALM
    await rig.rest(900)
    for wait in [w for w in rig.waits() if w["what"].startswith("the Artifact")]:
        rig.annotate(ABORT, wait["artifact"])  # the command that such a wait gives
        await rig.rest(60)
    await rig.until(lambda: rig.status().get("reason") in ("Delivered", "Rejected") and not travelling(rig))
    await rig.rest(900)
    check_end(rig)


def check_end(rig: HubRig) -> None:
    """What is wished runs in every region that did not take it back, or it is rejected, with the command that helps."""
    assert rig.status()["reason"] in ("Delivered", "Rejected"), rig.status()
    assert rig.condition("Applied")["status"] == "True"
    image = rig.pipeline()["spec"]["rollout"]["spec"]["template"]["spec"]["containers"][0]["image"]
    wished = conveyor.version_of(image.rpartition(":")[2])
    if rig.status()["reason"] == "Delivered":
        for region in rig.regions.by_name.values():
            rollout = region.rollout(NAMESPACE, NAME)
            assert rollout.stable == wished or wished in rollout.bad, (region.name, rig.status())
    else:
        assert "ombak.dev/retry=" in rig.waits()[0]["command"]


def travelling(rig: HubRig) -> list[Any]:
    """What is in some slot."""
    return [t for t in rig.status().get("travelling") or () if t.get("state") == "Inside"]
