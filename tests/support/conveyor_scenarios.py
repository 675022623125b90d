"""What a conveyor does, told once: each story is played on regions in memory and on real ones, and ends the same.

So the models that all simulations of the hub rest on cannot drift away from what a region's operator really does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

STAGES = {"alpha": ("region-2",), "beta": ("region-3",), "wave": ("region-2", "region-4")}
"""The regions of each stage; before the wave each stage has a namespace of its own."""
NAMESPACES = {"alpha": "shop-alpha", "beta": "shop-beta", "wave": "shop"}


@dataclasses.dataclass(frozen=True, slots=True)
class Push:
    """Ask for a version, and wait until it runs in every stage."""

    tag: str


@dataclasses.dataclass(frozen=True, slots=True)
class Fails:
    """Ask for a version that the wave's second region takes back, and wait until it is gone."""

    tag: str
    back_on: str


Act = Push | Fails


@dataclasses.dataclass(frozen=True, slots=True)
class Scenario:
    """What is asked for, in order, and what came of it."""

    name: str
    acts: tuple[Act, ...]
    entered: tuple[str, ...]
    """Which version entered which stage, in order."""
    runs: str
    reason: str
    """What the Pipeline says in the end, in one word."""
    spec: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _through(tag: str) -> tuple[str, ...]:
    return tuple(f"{tag} {stage}" for stage in STAGES)


SCENARIOS = (
    Scenario("one-after-the-other", (Push("v1"), Push("v2")), (*_through("v1"), *_through("v2")), "v2", "Delivered"),
    Scenario(
        "there-and-back",
        (Push("v1"), Push("v2"), Push("v1")),
        _through("v1") + _through("v2") + _through("v1"),
        "v1",
        "Delivered",
    ),
    Scenario(
        "taken-back-everywhere",
        (Push("v1"), Fails("v2", "v1")),
        (*_through("v1"), *_through("v2")),
        "v1",
        "Rejected",
        {"revertScope": "Everywhere"},
    ),
    Scenario(
        "the-next-one-goes-on",
        (Push("v1"), Fails("v2", "v1"), Push("v3")),
        (*_through("v1"), *_through("v2"), *_through("v3")),
        "v3",
        "Delivered",
        {"revertScope": "Everywhere"},
    ),
)


class Stage(Protocol):
    """Where a story is played."""

    async def push(self, tag: str) -> None:
        """Ask for a version."""

    async def fail(self, tag: str) -> None:
        """See to it that the wave's second region takes a version back once it has begun there."""

    async def settled(self, tag: str, reason: str) -> None:
        """Wait until a version runs everywhere, and the Pipeline says this."""

    def entered(self) -> tuple[str, ...]:
        """Which version entered which stage so far, in order."""


async def play(scenario: Scenario, stage: Stage) -> None:
    """Play a story, and hold what came of it against what was told."""
    for act in scenario.acts:
        await stage.push(act.tag)
        if isinstance(act, Fails):
            await stage.fail(act.tag)
            await stage.settled(act.back_on, "Rejected")
        else:
            await stage.settled(act.tag, "Delivered")
    found = stage.entered()
    assert found == scenario.entered, found
    await stage.settled(scenario.runs, scenario.reason)
