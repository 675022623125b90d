"""Two Regions that lead to one cluster: no Pipeline writes one Rollout by both of them in turn."""

from __future__ import annotations

import dataclasses
from typing import Any

from ombak.core.conveyor import report
from ombak.core.conveyor.world import World
from ombak.core.floors import Floors
from support.conveyor import hours, push, region, running, spec, stage, version_of, world

V1, V2 = (version_of(tag) for tag in ("v1", "v2"))
ALPHA, ONE, BOTH = stage("alpha", "a-1"), stage("prod", "p-1"), stage("prod", "p-1", "p-2")
LONG = Floors(one_box=hours(1))


def one_cluster(**more: Any) -> World:
    """V1 runs in p-1, whose floors are long; p-2 leads to the same cluster, and so to the same Rollouts."""
    w = world(spec("v1", [ALPHA, ONE], **more), [region("a-1"), region("p-1", cluster="c", floors=LONG)])
    w.run(w.now + hours(12))
    w.add(region("p-2", cluster="c"))
    w.regions["p-2"].rollouts = w.regions["p-1"].rollouts
    return w


def test_of_two_regions_of_one_cluster_neither_gets_anything_and_both_are_named() -> None:
    """Their floors would be written in turn, for ever; what runs there stays, and it goes on when it is put right."""
    w = one_cluster()
    before = w.regions["p-1"].rollouts["shop"].version
    push(w, "v2", stages=[ALPHA, BOTH])
    last = w.run(w.now + hours(12))

    assert running(w) == {"a-1": V2, "p-1": V1, "p-2": V1}
    assert w.regions["p-1"].rollouts["shop"].version == before
    told = {x.region: x for x in last.waits}
    assert [(name, x.reason) for name, x in sorted(told.items())] == [("p-1", "SameCluster"), ("p-2", "SameCluster")]
    assert told["p-2"].what == (
        "Region p-2 to lead to another cluster than Region p-1: both would get the same Rollout shop/front-end there"
    )
    assert told["p-2"].command == "kubectl get omreg p-2 p-1 -o yaml"
    found = {c["type"]: c["status"] for c in report.status(w.snapshot(), last, {}, w.now)["conditions"]}
    assert (found["Stalled"], found["Delivered"]) == ("True", "False")
    push(w, "v2", stages=[ALPHA, ONE])
    last = w.run(w.now + hours(24))
    assert (last.reason, running(w)["p-1"]) == ("Delivered", V2)


def test_a_change_that_has_begun_in_the_cluster_says_that_it_can_be_aborted() -> None:
    """It keeps the stages that it was frozen with, so to take one of the Regions out of them does not help it."""
    w = one_cluster()
    del w.regions["p-2"]
    w.add(region("p-2"))
    push(w, "v2", stages=[ALPHA, BOTH])
    w.run(w.now + hours(2))
    w.regions["p-2"].rollouts = w.regions["p-1"].rollouts
    w.add(region("p-2", cluster="c"))
    push(w, "v2", stages=[ALPHA, ONE])
    last = w.run(w.now + hours(6))

    assert {x.who.rpartition("; or ")[2] for x in last.waits if x.reason == "SameCluster"} == {"abort the change"}
    w.pipeline = dataclasses.replace(w.pipeline, abort=V2)
    w.run(w.now + hours(1))
    push(w, "v3", stages=[ALPHA, ONE])
    last = w.run(w.now + hours(24))
    assert (last.reason, running(w)["p-1"]) == ("Delivered", version_of("v3"))


def test_in_different_namespaces_two_regions_of_one_cluster_are_two_places() -> None:
    """So a team may have floors or labels of its own there."""
    stages = [stage("prod", "p-1"), stage("late", "p-2", namespace="shop-late")]
    regions = [region("p-1", cluster="c", floors=LONG), region("p-2", cluster="c", into=("shop/shop-late",))]
    w = world(spec("v1", stages), regions)
    last = w.run(w.now + hours(12))

    assert (last.reason, running(w)) == ("Delivered", {"p-1": V1, "p-2": V1})


def test_what_one_of_two_such_regions_takes_back_is_heard() -> None:
    """Reverts wait for nothing: the version is rejected for all, though its stage is held."""
    w = one_cluster(revertScope="Everywhere")
    push(w, "v2")
    w.run(w.now + hours(2))
    assert running(w) == {"a-1": V2, "p-1": V1, "p-2": V1}
    push(w, "v2", stages=[ALPHA, BOTH])
    w.regions["p-1"].becomes_ill(V2)
    w.run(w.now + hours(2))

    assert w.artifacts[V2].rejection is not None
    assert running(w) == {"a-1": V1, "p-1": V1, "p-2": V1}
    assert w.regions["p-1"].rollouts["shop"].wanted == V1
