"""Waiting for a state of a Rollout: none that counts is missed, and none that does not is taken (no cluster needed)."""

from __future__ import annotations

from typing import Any

import pytest

from harness import Shop
from timeline import RolloutSeen


class Heard:
    """A timeline of what a test says."""

    def __init__(self, *states: RolloutSeen) -> None:
        self._states = list(states)

    def history(self, key: object) -> list[RolloutSeen]:
        return self._states


def seen(version: int, phase: str, *, observed: int = 1, is_gone: bool = False, listed: int = 0) -> RolloutSeen:
    """One state."""
    status = {"phase": phase, "observedGeneration": observed}
    return RolloutSeen(version, version, "u", observed, {}, status, {}, is_gone=is_gone, listed=listed)


def shop_of(*states: RolloutSeen) -> Shop:
    """A Rollout that went through some states."""
    timeline: Any = Heard(*states)
    region: Any = None
    return Shop(region, timeline, "shop")


def answer(kind: str, version: int, generation: int = 1) -> dict[str, Any]:
    """What the API server says of a write."""
    return {"kind": kind, "metadata": {"name": "front-end", "resourceVersion": str(version), "generation": generation}}


async def test_a_state_that_is_over_is_not_missed() -> None:
    """However late a test looks, it finds the states in their order, and the last one found again."""
    shop = shop_of(seen(5, "OneBox"), seen(6, "Rolling"), seen(7, "Stable"))

    found = [(await shop.phase(phase)).version for phase in ("OneBox", "Rolling", "Rolling", "Stable")]

    assert found == [5, 6, 6, 7]


async def test_what_was_before_the_last_state_found_does_not_count() -> None:
    """A phase that comes again is waited for again."""
    shop = shop_of(seen(5, "Stable"), seen(6, "Rolling"), seen(7, "Stable"))
    await shop.phase("Rolling")

    assert (await shop.phase("Stable")).version == 7


async def test_what_was_before_a_write_of_the_test_does_not_count() -> None:
    """Nor a status of an older spec, nor a Rollout that is gone."""
    shop = shop_of(
        seen(5, "Stable"), seen(8, "Stable"), seen(9, "Stable", observed=2, is_gone=True), seen(10, "Blocked")
    )
    shop.wrote(answer("Rollout", 7, generation=2))
    shop.timeline.history(shop.watcher.key).append(seen(11, "Stable", observed=2))

    assert (await shop.phase("Stable")).version == 11


@pytest.mark.parametrize(("phase", "version"), [("Rolling", 7), ("Stable", 9)], ids=["at-the-write", "after-it"])
async def test_at_a_write_of_something_else_the_state_of_that_moment_counts(phase: str, version: int) -> None:
    """The Rollout may well stay as it is, so there may be no later one."""
    shop = shop_of(seen(5, "Stable"), seen(7, "Rolling"), seen(9, "Stable"))
    shop.wrote(answer("Alarm", 8))

    assert (await shop.phase(phase)).version == version


async def test_what_a_list_brought_counts_by_the_version_that_it_has() -> None:
    """In the order of events it is as early as it can have been."""
    shop = shop_of(seen(5, "Stable"), seen(6, "Rolling", listed=20))
    shop.wrote(answer("Rollout", 12))

    assert (await shop.phase("Rolling")).version == 6
