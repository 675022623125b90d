"""What people do while or after something is delivered: queue, retry, fix a first version, scale."""

from __future__ import annotations

import shlex

import pytest

import manifests
from harness import Shop
from parallel import side_by_side

pytestmark = [pytest.mark.cluster, pytest.mark.proof]


@side_by_side
async def test_changes_in_the_middle_wait_and_the_latest_wins(shop: Shop) -> None:
    """What is on its way is finished first; of those that wait only the last one is ever delivered."""
    await shop.installed(manifests.rollout(replicas=10))

    second = await shop.release("1.1.0", strategy=manifests.strategy(rolling="1h"))
    await shop.until(lambda now: (now.release.get("step") or {}).get("goal") == 4, "four boxes approved")
    third = await shop.release("1.2.0")
    await shop.until(lambda now: now.artifact("queued") == third, "the third version in the queue")
    fourth = await shop.release("1.3.0")
    waiting = await shop.until(lambda now: now.artifact("queued") == fourth, "the fourth version in the queue")
    assert waiting.artifact("current") == second
    await shop.change(strategy=manifests.strategy())
    await shop.until(lambda now: now.artifact("stable") == second, "the second version")
    await shop.until(lambda now: now.phase == "Stable" and now.artifact("stable") == fourth, "the fourth version")

    assert shop.watcher.goals(second) == [1, 4, 7, 10]
    assert shop.watcher.goals(fourth) == [1, 4, 7, 10]
    found = shop.watcher.judgement()
    assert found.most(third) == 0
    all_second = next(seen for seen in found.exposures if seen.artifact == second and seen.serving == 10)
    assert found.first(fourth).version > all_second.version


@side_by_side
async def test_a_retry_works_once_and_then_needs_new_words(shop: Shop) -> None:
    """The command that status names takes effect once; the same words again, as Git repeats them, change nothing."""
    old = await shop.installed(manifests.switch(), manifests.rollout(replicas=3, alarms=manifests.alarms()))
    new = await _rejected(shop, await shop.release("1.1.0", strategy=manifests.strategy(bake="1h")))

    await _as_told(shop)
    await shop.until(lambda now: now.release.get("artifact") == new, "another try")
    await shop.until(lambda now: "ombak.dev/retry" not in now.annotations, "the command to be gone")
    await _rejected(shop, new)

    await shop.annotate(retry=new)
    await shop.until(lambda now: "ombak.dev/retry" not in now.annotations, "the old command to be gone")
    await shop.scale(4)  # so that there is a status of later than that
    assert (await shop.phase("Reverted")).artifact("stable") == old
    await shop.sized(4)
    assert shop.watcher.phases().count("OneBox") == 2

    await shop.change(strategy=manifests.strategy())
    await _as_told(shop)
    await shop.until(lambda now: now.phase == "Stable" and now.artifact("stable") == new, "the third try")


async def _rejected(shop: Shop, new: str) -> str:
    """Let the alarm fire until the version is taken back, then let it end."""
    await shop.until(lambda now: now.release.get("artifact") == new, "its start")
    await shop.switch(manifests.FIRING)
    await shop.until(lambda now: now.phase == "Reverted" and now.artifact("rejected") == new, "its revert")
    await shop.switch(manifests.OK)
    return new


async def _as_told(shop: Shop) -> None:
    """Type the command that the status offers."""
    at_rest = await shop.phase("Reverted")
    words = shlex.split(at_rest.status["waitingFor"]["command"])
    assert words[:3] == ["kubectl", "-n", shop.namespace]
    await shop.kubectl(*words[3:])


@pytest.mark.parametrize("fails_by", ["deadline", "alarm"])
@side_by_side
async def test_a_first_version_that_fails_stays_and_its_fix_is_delivered(shop: Shop, fails_by: str) -> None:
    """There is nothing to go back to, so nothing is scaled down; the next version is the way out."""
    never = {"behaviour": {"behaviour": "never-ready"}, "progressDeadline": "8s"}
    how = never if fails_by == "deadline" else {"strategy": manifests.strategy(bake="5m")}
    await shop.create(manifests.switch(), manifests.rollout(replicas=4, alarms=manifests.alarms(), **how))
    if fails_by == "alarm":
        await shop.phase("Bake")
        await shop.switch(manifests.FIRING)
    failed = await shop.phase("Failed")

    first = failed.artifact("rejected")

    async def has(replicas: int) -> bool:
        return await shop.boxes() == {first: replicas}

    await shop.settled(lambda: has(4), "the four boxes")
    assert failed.condition("Stalled")["status"] == "True"
    assert "nothing is there to go back to" in failed.status["message"]
    await shop.scale(5)
    await shop.settled(lambda: has(5), "a fifth box")

    await shop.switch(manifests.OK)
    fixed = await shop.release("1.0.1", progressDeadline="10m", strategy=manifests.strategy())
    stable = await shop.phase("Stable")
    assert stable.artifact("stable") == fixed
    assert await shop.boxes() == {fixed: 5}


@side_by_side
async def test_scaling_in_the_middle_of_a_batch_keeps_every_promise(shop: Shop) -> None:
    """Growth goes to the stable version; a shrink leaves at most the approved share of the new one."""
    old = await shop.installed(manifests.rollout(replicas=10))
    new = await shop.release("1.1.0", strategy=manifests.strategy(rolling="1h"))
    await shop.until(lambda now: (now.release.get("step") or {}).get("goal") == 4, "four boxes approved")
    await shop.change(paused=True)

    await shop.scale(20)
    await shop.runs({old: 16, new: 4})

    await shop.scale(5)
    await shop.sized(5)
    left = await shop.boxes()
    assert left[new] <= 2
    assert sum(left.values()) == 5

    await shop.scale(12)
    await shop.sized(12)
    assert (await shop.boxes())[new] <= 4

    await shop.change(paused=False, strategy=manifests.strategy())
    await shop.until(lambda now: now.phase == "Stable" and now.artifact("stable") == new, "the new version")
    assert await shop.boxes() == {new: 12}


@side_by_side
async def test_an_autoscaler_that_moves_all_the_time_disturbs_no_release(shop: Shop) -> None:
    """Replicas change again and again in the middle of it, up and down; the watcher looks at every moment."""
    await shop.installed(manifests.rollout(replicas=10))
    new = await shop.release("1.1.0")

    sizes = [13, 9, 16, 8, 12, 20, 11, 10]
    for size in sizes:
        await shop.scale(size)
        await shop.until(lambda now: True, "a status of this size")

    await shop.until(lambda now: now.phase == "Stable" and now.artifact("stable") == new, "the new version")
    await shop.runs({new: 10})  # what the last change of the size took away may still be going


@side_by_side
async def test_a_revert_survives_an_autoscaler(shop: Shop) -> None:
    """Scaled up and down while going back, it still ends at the stable version with every box."""
    old = await shop.installed(manifests.switch(), manifests.rollout(replicas=10, alarms=manifests.alarms()))
    new = await shop.release("1.1.0", {"ready-after": "1s"}, strategy=manifests.strategy(bake="1h"))
    await shop.until(lambda now: (now.release.get("step") or {}).get("goal", 0) >= 7, "seven boxes approved")

    await shop.switch(manifests.FIRING)
    await shop.phase("Reverting", "Reverted")
    for size in (15, 7, 12):
        await shop.scale(size)
        await shop.until(lambda now: True, "a status of this size")

    at_rest = await shop.phase("Reverted")
    assert at_rest.artifact("rejected") == new
    await shop.runs({old: 12})
