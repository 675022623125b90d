"""Releases that go well: at every size, zone by zone, and a version that is known to be good."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

import manifests
from boxes import served
from harness import Shop
from parallel import side_by_side
from timeline import PodSeen

pytestmark = [pytest.mark.cluster, pytest.mark.proof]


@side_by_side
async def test_a_good_release_reaches_every_box(shop: Shop) -> None:
    """One box, then batches of a third, each approved after the last one serves; then it is the stable version."""
    watched = manifests.alarms(one_box="onebox")
    await shop.installed(
        manifests.service_errors(), manifests.one_box_errors(), manifests.rollout(replicas=10, alarms=watched)
    )

    new = await shop.release("1.1.0")
    stable = await shop.phase("Stable")

    assert stable.artifact("stable") == new
    assert await shop.boxes() == {new: 10}
    assert shop.watcher.goals(new) == [1, 4, 7, 10]
    assert shop.watcher.phases()[-5:] == ["OneBox", "OneBoxBake", "Rolling", "Bake", "Stable"]
    assert shop.watcher.judgement().removals >= 10


@pytest.mark.parametrize(
    ("replicas", "goals"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (5, [1, 2, 3, 4, 5]), (100, [1, 34, 67, 100])],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
@side_by_side
async def test_every_size_is_released_in_batches_of_at_most_a_third(
    shop: Shop, replicas: int, goals: list[int]
) -> None:
    """The floor of 66 % holds down to one box, where the new one comes up before the old one goes."""
    old = await shop.installed(manifests.rollout(replicas=replicas))

    new = await shop.release("1.1.0")
    stable = await shop.phase("Stable")

    assert stable.artifact("stable") == new
    assert shop.watcher.goals(new) == goals
    assert await shop.boxes() == {new: replicas}
    found = shop.watcher.judgement()
    assert found.most(old) == replicas
    assert found.removals >= replicas
    steps = [str((seen.status.get("progress") or {}).get("step")) for seen in shop.watcher.visits()]
    assert any("100 % exposure" in step for step in steps) == (replicas == 1)


@side_by_side
async def test_without_boxes_a_change_waits_and_stable_does_not_move(shop: Shop) -> None:
    """Nothing can be proven by no boxes; scaled up, it goes its whole way."""
    await shop.create(manifests.rollout(replicas=0))
    await shop.phase("Blocked")
    await shop.scale(3)
    old = (await shop.phase("Stable")).artifact("stable")
    await shop.scale(0)
    await shop.sized(0)

    new = await shop.release("1.1.0")
    waiting = await shop.phase("Blocked")

    assert "spec.replicas" in waiting.waits_for
    assert waiting.artifact("stable") == old
    assert waiting.artifact("queued") == new
    await shop.scale(3)
    stable = await shop.phase("Stable")
    assert stable.artifact("stable") == new
    assert shop.watcher.goals(new) == [1, 2, 3]


@side_by_side
async def test_zones_change_one_after_the_other(shop: Shop) -> None:
    """All boxes of a zone are new and serve before the next zone has a new one (P6), and each is where it belongs."""
    zones = ["a", "b", "c"]
    await shop.installed(manifests.rollout(replicas=9, zones=zones))

    new = await shop.release("1.1.0")
    await shop.phase("Stable")

    assert shop.watcher.goals(new) == [1, 3, 5, 6, 8, 9]
    pods = [seen for seen in shop.timeline.events(shop.watcher.key) if isinstance(seen, PodSeen)]
    order = [zone for zone, _ in itertools.groupby(seen.zone for seen in pods if _is_first(seen, pods, new))]
    assert order == zones
    where = {node["metadata"]["name"]: _zone(node) for node in (await shop.call("GET", "/api/v1/nodes"))["items"]}
    for pod in await shop.items("Pod"):
        assert where[pod["spec"]["nodeName"]] == pod["metadata"]["labels"]["ombak.dev/zone"]


def _is_first(seen: PodSeen, pods: list[PodSeen], artifact: str) -> bool:
    return seen.artifact == artifact and next(p for p in pods if p.name == seen.name) is seen


def _zone(node: dict[str, dict[str, dict[str, str]]]) -> str:
    return node["metadata"]["labels"]["topology.kubernetes.io/zone"]


@side_by_side
async def test_a_revert_goes_zone_by_zone_too(shop: Shop) -> None:
    """A release that has reached the second zone is taken back without two zones being away at once."""
    zones = ["a", "b", "c"]
    old = await shop.installed(manifests.rollout(replicas=9, zones=zones))

    new = await shop.release("1.1.0", strategy=manifests.strategy(bake="1h"))
    await shop.until(lambda now: (now.release.get("step") or {}).get("goal", 0) >= 5, "boxes of the second zone")
    await shop.annotate(abort=new)
    await shop.phase("Reverted")

    assert await shop.boxes() == {old: 9}
    assert shop.watcher.judgement().most(new) <= shop.watcher.goals(new)[-1]


@side_by_side
async def test_a_version_that_was_stable_before_is_released_fast(shop: Shop) -> None:
    """Back to an older good version there are batches and alarms, but no bake: a bake of an hour is not waited for."""
    alarms = manifests.alarms()
    first = await shop.installed(manifests.switch(), manifests.rollout(replicas=10, alarms=alarms))
    second = await shop.release("1.1.0")
    await shop.until(lambda now: now.phase == "Stable" and now.artifact("stable") == second, "the second version")

    await shop.release("1.0.0", strategy=manifests.strategy("1h", "1h", "1h"))
    stable = await shop.until(
        lambda now: now.phase == "Stable" and now.artifact("stable") == first, "the first version again"
    )

    assert stable.artifact("stable") == first
    assert await shop.boxes() == {first: 10}
    assert shop.watcher.goals(first)[-4:] == [1, 4, 7, 10]


@side_by_side
async def test_boxes_count_only_after_min_ready_seconds(shop: Shop) -> None:
    """No batch follows before the boxes of the last one were ready for so long."""
    await shop.installed(manifests.rollout(replicas=3, minReadySeconds=4))

    new = await shop.release("1.1.0")
    await shop.phase("Stable")

    boxes = await served(shop, new)
    assert len(boxes) == 3
    for (_, ready), (made, _) in itertools.pairwise(boxes):
        assert made - ready >= timedelta(seconds=4)


@side_by_side
async def test_kubectl_wait_and_kstatus_tell_when_it_is_delivered(shop: Shop) -> None:
    """`kubectl apply` and `kubectl wait` right after it: true only when every box runs the new version."""
    await shop.installed(manifests.rollout(replicas=3))

    new = await shop.release("1.1.0")
    await shop.kubectl("wait", "--for=condition=Delivered", "omr/front-end", "--timeout=200s")

    assert await shop.boxes() == {new: 3}
    at_rest = await shop.phase("Stable")
    told = {kind: at_rest.condition(kind)["status"] for kind in ("Ready", "Reconciling", "Stalled", "Delivered")}
    assert told == {"Ready": "True", "Reconciling": "False", "Stalled": "False", "Delivered": "True"}
    in_flight = [seen for seen in shop.watcher.visits() if seen.phase in ("OneBox", "Rolling")]
    assert in_flight
    assert all(seen.condition("Reconciling")["status"] == "True" for seen in in_flight)
    assert all(seen.condition("Delivered")["status"] == "False" for seen in in_flight)
