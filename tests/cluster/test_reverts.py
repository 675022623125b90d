"""Releases that are taken back: by alarms early and late, by deadlines, by people."""

from __future__ import annotations

import asyncio
import shlex
import time

import pytest

import manifests
from harness import Shop
from parallel import side_by_side
from timeline import RolloutSeen

pytestmark = [pytest.mark.cluster, pytest.mark.proof]


async def taken_back(shop: Shop, old: str, new: str, replicas: int = 10) -> RolloutSeen:
    """Wait for the end of a revert and check what every one has in common."""
    at_rest = await shop.phase("Reverted")
    assert at_rest.artifact("stable") == old
    assert at_rest.artifact("rejected") == new
    assert await shop.boxes() == {old: replicas}
    assert at_rest.condition("Stalled")["status"] == "True"
    assert at_rest.condition("Ready")["status"] == "True"
    verdict = (await shop.get("Artifact", f"{shop.name}-{new}"))["status"]["rejected"]
    assert verdict["reason"] in at_rest.status["message"]
    # Git and the cluster's spec agree: it is never written.
    assert (await shop.get("Rollout", shop.name))["metadata"]["generation"] == shop.generation
    return at_rest


@side_by_side
async def test_a_bad_release_is_caught_in_the_one_box(shop: Shop) -> None:
    """A fifth of the one box's requests fail, 2 % of all: the one box's alarm sees it, and nobody else gets it."""
    watched = manifests.alarms(one_box="onebox")
    old = await shop.installed(
        manifests.service_errors(0.05), manifests.one_box_errors(0.05), manifests.rollout(alarms=watched)
    )

    new = await shop.release("1.1.0", {"error-rate": "0.2"})
    at_rest = await taken_back(shop, old, new)

    assert shop.watcher.goals(new) == [1]
    assert shop.watcher.judgement().most(new) == 1
    assert "onebox" in at_rest.status["message"]


@side_by_side
async def test_a_bad_release_is_caught_in_the_third_batch(shop: Shop) -> None:
    """With batches of two it is only at seven of ten boxes that the service's alarm can see the damage."""
    old = await shop.installed(
        manifests.service_errors(0.135),
        manifests.rollout(alarms=manifests.alarms(), strategy=manifests.strategy(rolling_fields={"batch": "20%"})),
    )

    new = await shop.release("1.1.0", {"error-rate": "0.2"})
    await taken_back(shop, old, new)

    assert shop.watcher.goals(new) == [1, 3, 5, 7]
    assert shop.watcher.judgement().most(new) == 7


@side_by_side
async def test_a_zone_that_is_ill_is_not_lost_in_the_sum_of_all(shop: Shop) -> None:
    """A fifth of the one box's requests fail: a fifteenth of its zone's, and a good fiftieth of all nine boxes'."""
    by_zone = manifests.alarm("zones", manifests.error_ratio('rollout="$(name)", zone="$(zone)"'), 0.05)
    watched = manifests.alarms("zones")
    old = await shop.installed(by_zone, manifests.rollout(replicas=9, zones=["a", "b", "c"], alarms=watched))

    new = await shop.release("1.1.0", {"error-rate": "0.2"})
    at_rest = await taken_back(shop, old, new, replicas=9)

    assert shop.watcher.judgement().most(new) == 1
    assert "zones in zone a" in at_rest.status["message"]


@side_by_side
async def test_a_slow_burn_is_caught_in_the_bake(shop: Shop) -> None:
    """Good in every batch; once all boxes run it, it begins to fail, and goes before it is called stable."""
    strategy = manifests.strategy(bake="5m")
    old = await shop.installed(manifests.service_errors(), manifests.rollout(replicas=4, alarms=manifests.alarms()))

    burning = {"slow-burn-after": "1h", "slow-burn-error-rate": "0.5"}
    new = await shop.release("1.1.0", burning, strategy=strategy)
    await shop.until(lambda now: now.phase == "Bake" and "bake" in now.waits_for, "the bake of all boxes")
    begins = {"metadata": {"annotations": {"sandbox.ombak.dev/slow-burn-after": "1s"}}}
    for pod in await shop.items("Pod", labelSelector=f"ombak.dev/artifact={new}"):
        await shop.patch("Pod", pod["metadata"]["name"], begins)
    await taken_back(shop, old, new, replicas=4)

    assert shop.watcher.goals(new) == [1, 2, 3, 4]
    assert shop.watcher.phases()[-3:] == ["Bake", "Reverting", "Reverted"]


@pytest.mark.parametrize(
    ("behaviour", "cause"), [("never-ready", "not ready"), ("crash-loop", "CrashLoopBackOff")], ids=["hangs", "crashes"]
)
@side_by_side
async def test_boxes_that_never_serve_are_taken_back_by_the_deadline(shop: Shop, behaviour: str, cause: str) -> None:
    """No alarm speaks, but the one box does not come up; the message says what its pod says."""
    old = await shop.installed(manifests.rollout(replicas=10))

    new = await shop.release("1.1.0", {"behaviour": behaviour, "crash-every": "1s"}, progressDeadline="45s")
    at_rest = await taken_back(shop, old, new)

    assert shop.watcher.judgement().most(new) == 1
    assert "progressDeadline 45s" in at_rest.status["message"]
    assert cause in at_rest.status["message"]


@side_by_side
async def test_a_ready_count_that_flaps_cannot_move_the_deadline(shop: Shop) -> None:
    """The box comes and goes for ever: it is no progress, and its good moments do not end its bake either."""
    old = await shop.installed(manifests.service_errors(), manifests.rollout(replicas=10, alarms=manifests.alarms()))

    bake = manifests.strategy("1h")
    new = await shop.release("1.1.0", {"behaviour": "flap", "flap-every": "2s"}, progressDeadline="6s", strategy=bake)
    await taken_back(shop, old, new)

    assert shop.watcher.judgement().most(new) == 1
    verdict = (await shop.get("Artifact", f"{shop.name}-{new}"))["status"]["rejected"]
    assert verdict["reason"] == "ProgressDeadlineExceeded"


@side_by_side
async def test_good_moments_of_a_box_do_not_add_up_to_a_bake(shop: Shop) -> None:
    """Nothing watches it, and it is up half of the time: it never leaves its one box, and is taken back."""
    old = await shop.installed(manifests.rollout(replicas=10))

    flaps = {"behaviour": "flap", "flap-every": "4s"}
    new = await shop.release("1.1.0", flaps, progressDeadline="10s", strategy=manifests.strategy("6s"))
    while shop.now is not None and shop.now.phase not in ("Reverting", "Reverted"):
        # Whatever happens to the Rollout is a reason to look, and each look at a good moment counts it.
        await shop.annotate(seen=str(time.monotonic()))
        await asyncio.sleep(0.5)
    await taken_back(shop, old, new)

    assert shop.watcher.goals(new) == [1]
    assert shop.watcher.judgement().most(new) == 1


@side_by_side
async def test_an_alarm_takes_back_a_release_that_a_person_paused(shop: Shop) -> None:
    """Revert wins over every pause; the pause stays, it is the person's."""
    old = await shop.installed(manifests.switch(), manifests.rollout(alarms=manifests.alarms()))

    new = await shop.release("1.1.0", strategy=manifests.strategy(rolling="1h"))
    await shop.until(lambda now: (now.release.get("step") or {}).get("goal") == 4, "four boxes approved")
    await shop.change(paused=True)
    await shop.until(lambda now: "paused" in now.waits_for, "the pause")
    await shop.switch(manifests.FIRING)
    await taken_back(shop, old, new)

    assert (await shop.get("Rollout", shop.name))["spec"]["paused"] is True
    assert shop.watcher.judgement().most(new) == 4


@side_by_side
async def test_an_abort_takes_back_what_it_names(shop: Shop) -> None:
    """The annotation is gone when it is done, and the version is not tried again by itself."""
    old = await shop.installed(manifests.rollout(replicas=10))

    new = await shop.release("1.1.0", strategy=manifests.strategy(rolling="1h"))
    await shop.until(lambda now: now.phase == "Rolling" and "bake" in now.waits_for, "the bake of the first batch")
    await shop.annotate(abort=new)
    at_rest = await taken_back(shop, old, new)

    assert "Aborted" in at_rest.status["message"]
    await shop.until(lambda now: "ombak.dev/abort" not in now.annotations, "the command to be gone")


@side_by_side
async def test_an_abort_of_another_version_does_nothing(shop: Shop) -> None:
    """Commands name an artifact, so that one that comes too late, or out of Git, harms nobody."""
    old = await shop.installed(manifests.rollout(replicas=3))

    await shop.annotate(abort=old)
    await shop.until(lambda now: "ombak.dev/abort" not in now.annotations, "the command to be gone")
    new = await shop.release("1.1.0")
    await shop.until(lambda now: now.phase == "Stable" and now.artifact("stable") == new, "the new version")

    assert "Reverting" not in shop.watcher.phases()


@side_by_side
async def test_asking_for_the_stable_version_in_the_middle_is_a_revert(shop: Shop) -> None:
    """The user himself goes back: in batches, and nothing is rejected by it."""
    old = await shop.installed(manifests.rollout(replicas=10))

    new = await shop.release("1.1.0", strategy=manifests.strategy(rolling="1h"))
    await shop.until(lambda now: now.phase == "Rolling" and "bake" in now.waits_for, "the bake of the first batch")
    assert await shop.release("1.0.0") == old
    at_rest = await shop.phase("Stable")

    assert "Reverting" in shop.watcher.phases()
    assert at_rest.artifact("stable") == old
    assert await shop.boxes() == {old: 10}
    assert shop.watcher.judgement().most(new) == 4
    assert "rejected" not in (await shop.get("Artifact", f"{shop.name}-{new}")).get("status", {})


@side_by_side
async def test_a_quota_without_room_for_a_surge_does_not_keep_a_way_back_from_its_end(shop: Shop) -> None:
    """The only box surges, which the quota forbids: after a deadline the version that was taken back goes first."""
    old = await shop.installed(manifests.rollout(replicas=1))
    new = await shop.release("1.1.0", strategy=manifests.strategy("1h"))
    await shop.until(lambda now: "bake" in now.waits_for, "the bake of the only box")
    await shop.change(progressDeadline="20s")
    await shop.limit(pods=1)

    async with shop.watcher.excused("P1 yields to P3, and it is told"):
        await shop.annotate(abort=new)
        seen = await shop.until(lambda now: "exceeded quota" in now.waits_for, "why the box cannot be made")
        command = shlex.split(seen.status["waitingFor"]["command"])
        assert command[0] == "kubectl"
        # Its Events follow a moment later, and say more.
        assert "FailedCreate" in await shop.kubectl(*command[1:])
        await shop.event("FloorYields", "below minAvailable")
        await taken_back(shop, old, new, replicas=1)
