"""What people do in an incident: back to the version before, a fix, and things deleted that were needed."""

from __future__ import annotations

import pytest

import manifests
from harness import Shop
from parallel import side_by_side

pytestmark = pytest.mark.cluster
LONG = manifests.strategy(one_box="1s", rolling="1h", bake="1h")


async def _burning(shop: Shop) -> tuple[str, str]:
    """v1, then v2 stable; then the alarm fires. Returns both ids."""
    old = await shop.installed(manifests.switch(), manifests.rollout(replicas=6, alarms=manifests.alarms()))
    new = await shop.release("1.1.0")
    await shop.until(lambda now: now.phase == "Stable" and now.artifact("stable") == new, "the second version")
    await shop.switch(manifests.FIRING)
    await shop.told("ALARM")
    return old, new


@side_by_side
async def test_the_version_before_goes_in_at_once_while_the_alarm_is_on(shop: Shop) -> None:
    """No alarm and no Window holds it, the alarm does not take it back, and enough boxes serve all the while."""
    old, _ = await _burning(shop)
    assert await shop.release("1.0.0", windows=["nowhere"], strategy=LONG) == old
    going = await shop.until(lambda now: now.release.get("mode") == "Back", "the way back")
    assert "as a revert does" in going.status["message"]
    ended = await shop.until(lambda now: now.phase == "Stable" and now.artifact("stable") == old, "the first version")
    assert await shop.boxes() == {old: 6}
    assert not ended.artifact("rejected")


@side_by_side
async def test_a_fix_is_held_and_told_the_way_that_is_open_to_it(shop: Shop) -> None:
    """`spec.rejected` takes back what runs at once; the fix starts when the alarm has ended."""
    old, new = await _burning(shop)
    fix = await shop.release("1.2.0")
    held = await shop.until(lambda now: "an alarm to end" in now.waits_for, "a hold by the alarm")
    assert f"spec.rejected: [{new}] takes it back to {old} at once" in held.status["waitingFor"]["who"]
    await shop.change(rejected=[new])

    async def is_back() -> bool:
        return await shop.boxes() == {old: 6}

    await shop.settled(is_back, "six boxes of the first version")
    await shop.switch(manifests.OK)
    await shop.until(lambda now: now.phase == "Stable" and now.artifact("stable") == fix, "the fix")


@side_by_side
async def test_deleted_artifacts_do_not_stop_a_revert(shop: Shop) -> None:
    """All of them in the middle of a release: they come back with their verdicts, and the alarm takes it back."""
    old = await shop.installed(manifests.switch(), manifests.rollout(replicas=6, alarms=manifests.alarms()))
    new = await shop.release("1.1.0", strategy=LONG)
    await shop.until(lambda now: now.phase == "Rolling" and "bake" in now.waits_for, "the bake of the first batch")
    await shop.kubectl("delete", "artifacts.ombak.dev", "--all")

    async def is_restored() -> bool:
        return {item["spec"]["id"] for item in await shop.items("Artifact")} == {old, new}

    await shop.settled(is_restored, "both records")
    await shop.switch(manifests.FIRING)
    await shop.phase("Reverted")
    assert await shop.boxes() == {old: 6}
    await shop.event("RecordRestored")


@side_by_side
async def test_a_rollout_deleted_and_created_again_starts_anew(shop: Shop) -> None:
    """Nothing of the old one, status, verdicts or boxes, is taken for its own by the new one of the same name."""
    made = manifests.rollout(replicas=3)
    await shop.installed(made)
    async with shop.watcher.excused("the test deletes the Rollout and all its boxes"):
        await shop.kubectl("delete", "rollouts.ombak.dev", shop.name, "--cascade=foreground")
        await shop.create(made | {"metadata": {"name": shop.name}})
        second = await shop.phase("Stable")
        await shop.sized(3)
    uid = (await shop.get("Rollout", shop.name))["metadata"]["uid"]
    children = [item for kind in ("Artifact", "Deployment") for item in await shop.items(kind)]
    assert {child["metadata"]["ownerReferences"][0]["uid"] for child in children} == {uid}
    assert second.artifact("stable") in await shop.boxes()


@side_by_side
async def test_a_namespace_that_goes_takes_all_of_it_along(shop: Shop) -> None:
    """In the middle of a release, nothing the operator does keeps it: no object is made anew."""
    await shop.installed(manifests.rollout(replicas=3))
    await shop.release("1.1.0", strategy=LONG)
    await shop.phase("Rolling")
    async with shop.watcher.excused("the test deletes the namespace"):
        await shop.call("DELETE", f"/api/v1/namespaces/{shop.namespace}")

        async def is_empty() -> bool:
            kinds = ("Rollout", "Artifact", "ReplicaSet", "Deployment", "Pod")
            return not [item for kind in kinds for item in await shop.items(kind)]

        await shop.settled(is_empty, "everything to be gone")
