"""Everybody who can make life hard for a hub, drawn by a seed."""

from __future__ import annotations

import random

from ombak.runtime import kinds
from support import conveyor
from support.hub_regions import RigRegion
from support.hub_rig import ABORT, NAME, NAMESPACE, RETRY, USER, HubRig


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
