"""Releases that go well, at every size."""

from __future__ import annotations

import pytest

import manifests
from harness import Shop
from parallel import side_by_side

pytestmark = pytest.mark.cluster


@side_by_side
async def test_a_good_release_reaches_every_box(shop: Shop) -> None:
    """One box, then batches of a third, each approved after the last one serves; then it is the stable version."""
    await shop.installed(
        manifests.service_errors(), manifests.one_box_errors(), manifests.rollout(alarms=manifests.alarms(one_box="onebox"))
    )

    new = await shop.release("1.1.0")
    stable = await shop.phase("Stable")

    assert stable.artifact("stable") == new
    assert await shop.boxes() == {new: 10}
    assert shop.watcher.goals(new) == [1, 4, 7, 10]
    assert shop.watcher.judgement().removals >= 10
