"""A team's alarm over all its Rollouts, on a real control plane with a real Prometheus."""

from __future__ import annotations

import asyncio

import pytest

import manifests
from harness import Shop
from parallel import side_by_side

pytestmark = pytest.mark.cluster
TEAM = "ombak.dev/team"


async def labelled(shop: Shop, team: str) -> None:
    """Say whose the namespace is."""
    await shop.call("PATCH", f"/api/v1/namespaces/{shop.namespace}", {"metadata": {"labels": {TEAM: team}}})


def guarded(name: str = manifests.NAME, tier: str = "web") -> manifests.Manifest:
    """A Rollout that watches nothing by itself."""
    made = manifests.rollout(replicas=2, name=name)
    made["metadata"]["labels"] = {"tier": tier}
    return made


@side_by_side
async def test_a_teams_nested_alarm_reverts_all_that_it_guards(shop: Shop) -> None:
    """Three releases in flight in two namespaces go back; a stranger's and one of another tier go on baking."""
    elsewhere = await shop.beside("b")
    strangers = await shop.beside("c")
    second = Shop(shop.region, shop.timeline, shop.namespace, "second")
    other_tier = Shop(shop.region, shop.timeline, shop.namespace, "batch")
    for place, team in ((shop, "red"), (elsewhere, "red"), (strangers, "blue")):
        await labelled(place, f"{team}-{shop.namespace[-6:]}")
    high = {
        "apiVersion": manifests.API,
        "kind": "Alarm",
        "metadata": {"name": "high-severity"},
        "spec": {"expression": 'ALARM("group") AND NOT ALARM("quiet")', "guards": {"matchLabels": {"tier": "web"}}},
    }
    group = {**high, "metadata": {"name": "group"}, "spec": {"expression": 'AT_LEAST(2, ALARM, ("x", "y", "z"))'}}
    await shop.create(high, group, manifests.switch("quiet"), *(manifests.switch(name) for name in "xyz"))
    mine, others = (shop, second, elsewhere), (strangers, other_tier)
    everyone = (*mine, *others)
    made = [guarded(each.name, "batch" if each is other_tier else "web") for each in everyone]
    stable = await asyncio.gather(*(each.installed(one) for each, one in zip(everyone, made, strict=True)))
    old = dict(zip(everyone, stable, strict=True))
    long = manifests.strategy(bake="1h")
    new = {each: await each.release("1.1.0", strategy=long) for each in everyone}
    await asyncio.gather(*(each.phase("Bake") for each in everyone))

    await shop.patch("Alarm", "x", {"spec": {"metric": {"query": manifests.FIRING}}})
    await shop.patch("Alarm", "y", {"spec": {"metric": {"query": manifests.FIRING}}})
    ends = await asyncio.gather(*(each.phase("Reverted") for each in mine))

    for each, end in zip(mine, ends, strict=True):
        assert await each.boxes() == {old[each]: 2}
        assert "x" in end.status["message"]
    for each in others:
        assert each.now is not None
        assert each.now.phase == "Bake"
        assert await each.boxes() == {new[each]: 2}
    # What comes next waits for the alarm to end.
    await second.release("1.2.0", strategy=manifests.strategy())
    await second.until(lambda now: "an alarm to end" in now.waits_for, "a wait for the team's alarm")
    await shop.patch("Alarm", "x", {"spec": {"metric": {"query": manifests.OK}}})
    await second.phase("Stable")


@side_by_side
async def test_who_leaves_the_team_is_not_guarded_any_more(shop: Shop) -> None:
    """A namespace's label decides, at once: first it holds the change, then it does not."""
    theirs = await shop.beside("b")
    team = f"red-{shop.namespace[-6:]}"
    await labelled(shop, team)
    await labelled(theirs, team)
    firing = manifests.switch("high", manifests.FIRING)
    firing["spec"]["guards"] = {}
    await theirs.installed(guarded())
    await shop.create(firing)
    await shop.told("ALARM", "high")
    await theirs.release("1.1.0")
    await theirs.until(lambda now: f"{shop.namespace}/high" in now.waits_for, "a wait for the team's alarm")

    await labelled(theirs, "somebody-else")
    await theirs.phase("Stable")
