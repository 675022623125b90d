"""A change whose stage has a later one in every region: what it did not prove there does not count as proven."""

from __future__ import annotations

import dataclasses

import pytest

from ombak.core.conveyor.snapshot import GateAnswer
from ombak.core.conveyor.world import Gates, World, no_gates
from ombak.core.gates.gate import Held
from ombak.core.overrides.facts import OverrideFacts
from support.conveyor import hours, inside, override, push, region, running, spec, stage, version_of, world

V1, V2, V3, V4 = (version_of(tag) for tag in ("v1", "v2", "v3", "v4"))
NAMES = ("a-1", "b-1", "c-1")
ALPHA, BETA, GAMMA = stage("alpha", "a-1"), stage("beta", "b-1"), stage("gamma", "c-1")


def reordered(gates: Gates = no_gates, **more: object) -> World:
    """V2 has passed the first stage; v3, which takes the stages in another order, has passed the second one."""
    w = world(spec("v1", [ALPHA, BETA, GAMMA], **more), [region(name) for name in NAMES])
    w.run(w.now + hours(12))
    push(w, "v2")
    w.run(w.now + hours(0.5))
    w.set_gates(gates)
    push(w, "v3", stages=[BETA, ALPHA, GAMMA])
    w.run(w.now + hours(1.5))
    assert running(w) == {"a-1": V2, "b-1": V3, "c-1": V1}
    return w


def alpha_is_closed(_: object) -> tuple[GateAnswer, ...]:
    """The later change cannot follow into the stage that v2 has passed."""
    return (GateAnswer("alpha", Held("window", "the Window w to open", "time")),)


def had(w: World, name: str) -> set[str]:
    """All versions that a region was ever asked for."""
    return set(w.regions[name].rollouts["shop"].digests)


def test_a_change_proves_nothing_in_a_stage_that_has_a_later_one() -> None:
    """It goes no further by what another one proved: it waits, and goes on as part of that one."""
    w = reordered()
    last = w.settle()
    wait = next(x for x in last.waits if x.artifact == V2)

    assert inside(w) == {"alpha": V3}
    assert (wait.reason, wait.stage) == ("Queued", "beta")
    assert wait.what.startswith(f"change 3 ({V3}), which every region of stage beta has already, to go on for both")
    assert wait.command.endswith(f"ombak.dev/abort={V2}")
    last = w.run(w.now + hours(24))
    assert (last.reason, set(running(w).values())) == ("Delivered", {V3})
    assert V2 not in had(w, "c-1")
    assert [(i.version, i.batch) for i in w.memory.items] == [(V3, 2)]


@pytest.mark.parametrize("scope", ["Stage", "Everywhere"])
def test_a_change_goes_on_by_itself_when_the_later_one_is_taken_back(scope: str) -> None:
    """Then it proves its stage itself, also in a region that keeps what was taken back elsewhere."""
    w = reordered(revertScope=scope)
    w.regions["a-1"].becomes_ill(V3)
    w.run(w.now + hours(1))
    assert w.artifacts[V3].rejection is not None
    assert inside(w) == {"beta": V2}
    w.run(w.now + hours(24))

    assert set(running(w).values()) == {V2}
    assert w.regions["b-1"].rollouts["shop"].good[-1] == V2


def test_a_change_whose_region_a_later_one_took_meanwhile_leaves_the_slot() -> None:
    """A region is relabelled in the middle of it, and back again: what it was about to prove is gone."""
    by_wave = [stage(n, regions={"matchLabels": {"wave": w}}) for n, w in (("alpha", "1"), ("beta", "2"))]
    regions = [region("a-1", labels={"wave": "1"}), region("b-1", labels={"wave": "2"}), region("c-1")]
    w = world(spec("v1", [*by_wave, GAMMA]), regions)
    w.run(w.now + hours(12))
    push(w, "v2")
    w.run(w.now + hours(1.5))
    push(w, "v3")
    w.settle()
    w.add(region("b-1", labels={"wave": "1"}))
    w.run(w.now + hours(1.1))
    assert w.regions["b-1"].rollouts["shop"].flying == V3
    w.add(region("b-1", labels={"wave": "2"}))
    w.settle()

    assert inside(w) == {"alpha": V3}
    last = w.run(w.now + hours(24))
    assert (last.reason, set(running(w).values())) == ("Delivered", {V3})
    assert V2 not in had(w, "c-1")


def test_a_change_goes_on_by_itself_when_nobody_goes_on_with_the_later_one() -> None:
    """The later one went on as part of one that was aborted: what it left in the stage would be waited for for ever."""
    w = reordered(alpha_is_closed)
    push(w, "v4")
    w.run(w.now + hours(2))
    assert [i.version for i in w.memory.items if i.version != V1] == [V2, V4]
    w.pipeline = dataclasses.replace(w.pipeline, abort=V4)
    w.run(w.now + hours(2))
    w.set_gates(no_gates)
    w.run(w.now + hours(24))

    assert (w.artifacts[V3].rejection, set(running(w).values())) == (None, {V2})


def test_a_change_of_an_override_does_not_wait_for_one_that_waits_for_it() -> None:
    """The Override holds the later one: each would wait for the other until it ends."""
    w = reordered(alpha_is_closed)
    w.overrides = OverrideFacts((override("v2"),))
    w.run(w.now + hours(6))

    assert running(w)["c-1"] == V2
    assert V2 in w.regions["b-1"].rollouts["shop"].good
