"""A Pipeline goes back to a version that was good everywhere, though the alarm of the outage holds the stage (R88)."""

from __future__ import annotations

import pytest

from ombak.core.conveyor.snapshot import GateAnswer, Held
from ombak.core.conveyor.world import World
from ombak.core.gates.team_alarms import ALARM, UNKNOWN
from support.conveyor import hours, push, region, running, spec, stage, version_of, world

V1, V2, V3 = (version_of(tag) for tag in ("v1", "v2", "v3"))
STAGES = [stage("alpha", "a-1"), stage("prod", "p-1", "p-2")]
FIRING = Held(ALARM, "Alarm shop/errors in Region p-1 to end", "the alarm's owner", "kubectl describe alarm errors")
NOBODY_KNOWS = Held(
    UNKNOWN, "Alarm shop/errors in Region p-1 to be known", "its owner", "kubectl describe alarm errors"
)
FROZEN = Held("blocker", "Blocker shop/freeze to be lifted", "sre", "kubectl delete blocker freeze")


def burning(held: Held) -> World:
    """v1 was delivered, then v2 runs everywhere; then something holds prod."""
    w = world(spec("v1", STAGES), [region(name) for name in ("a-1", "p-1", "p-2")])
    w.run(w.now + hours(40))
    push(w, "v2")
    w.run(w.now + hours(40))
    assert set(running(w).values()) == {V2}
    w.set_gates(lambda _now: (GateAnswer("prod", held),))
    return w


@pytest.mark.parametrize(
    ("held", "tag", "goes"),
    [
        pytest.param(FIRING, "v1", True, id="the version before"),
        pytest.param(FIRING, "v3", False, id="a new one"),
        pytest.param(NOBODY_KNOWS, "v1", False, id="nobody knows"),
        pytest.param(FROZEN, "v1", False, id="a Blocker holds"),
    ],
)
def test_an_alarm_that_is_on_does_not_hold_what_was_good_in_every_region(held: Held, tag: str, goes: bool) -> None:
    """Only an alarm, only while it is on, and only for what the regions themselves keep as good."""
    w = burning(held)
    push(w, tag)
    w.run(w.now + hours(60))
    found = running(w)
    assert found["a-1"] == version_of(tag)
    assert {found["p-1"], found["p-2"]} == ({version_of(tag)} if goes else {V2})


def test_a_region_that_never_had_it_keeps_the_alarm_s_hold() -> None:
    """It would get a version that is new there, under an alarm."""
    w = burning(FIRING)
    for model in (w.regions["p-2"],):
        for rollout in model.rollouts.values():
            rollout.good = [version for version in rollout.good if version == rollout.stable]
    push(w, "v1")
    w.run(w.now + hours(60))
    assert running(w)["p-1"] == V2
