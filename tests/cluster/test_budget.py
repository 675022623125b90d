"""What a release costs the API server, by its own audit log: a promise like any other."""

from __future__ import annotations

import asyncio

import pytest

import manifests
from harness import Shop
from parallel import alone

pytestmark = [pytest.mark.cluster, pytest.mark.proof]

MOST_WRITES, MOST_EVENTS, MOST_READS = 14, 6, 7
SETTLES_S = 2


@alone
async def test_a_release_costs_no_more_than_was_promised(shop: Shop) -> None:
    """Ten boxes: one box, three batches, no bake; and nothing is listed past the API server's cache."""
    await shop.installed(manifests.rollout(strategy=manifests.strategy("0s", "0s", "0s")))
    audit = shop.region.audit
    mark = audit.mark()
    new = await shop.release("1.1.0")
    await shop.until(lambda now: now.phase == "Stable" and now.artifact("stable") == new, "the second version")
    await asyncio.sleep(SETTLES_S)

    found = audit.counts("ombak", mark, shop.namespace)
    shop.notes.append(str(found))
    assert shop.watcher.goals(new) == [1, 4, 7, 10]
    # A controller may write the same object at the same moment: then a write is refused, and what is there read anew.
    lost = found.failed[409]
    assert found.writes.total() - lost <= MOST_WRITES, found
    assert found.events <= MOST_EVENTS, found
    assert found.gets.total() - lost <= MOST_READS, found
    assert not audit.counts("ombak", mark).uncached
