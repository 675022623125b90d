"""The operator dies after any of its writes, or somebody erases its memory at any moment: the end is the same (P4)."""

import dataclasses

import pytest

from ombak.simulation.run import quick_run
from ombak.simulation.scenario import Scenario, Stage, act
from ombak.simulation.scenarios import CHANGE_AT, NAMED

pytestmark = pytest.mark.breadth

WRITES = 26
"""More than any of these releases needs, so that the last ones show that nothing happens without a crash."""


def dying(name: str, write: int) -> Scenario:
    """A scenario in which the operator dies right after its n-th write of the release."""

    def arm(stage: Stage) -> None:
        stage.faults.crash_on = write

    made = NAMED[name]
    return dataclasses.replace(made, events=(act(CHANGE_AT - 1, f"it will die at write {write}", arm), *made.events))


@pytest.mark.parametrize("name", ["good-release", "bad-in-third-batch", "one-replica-bad", "bad-in-second-zone"])
@pytest.mark.parametrize("half", [range(1, WRITES // 2), range(WRITES // 2, WRITES)], ids=["early", "late"])
def test_a_crash_after_any_write_changes_nothing(name: str, half: range) -> None:
    """Same end, no capacity lost, no bake invented."""
    broken = {n: o.violations for n in half if (o := quick_run(dying(name, n), n)).violations}

    assert broken == {}


@pytest.mark.parametrize("name", ["good-release", "bad-in-third-batch", "never-ready", "two-replicas-bad"])
def test_an_erased_status_changes_nothing(name: str) -> None:
    """In whatever phase: nothing is delivered again, and nothing promoted early."""
    broken = {}
    for moment in range(int(CHANGE_AT) - 20, int(CHANGE_AT) + 240, 13):
        made = NAMED[name]
        erased = act(float(moment), "the status is erased", lambda stage: stage.region.erase_status())
        outcome = quick_run(dataclasses.replace(made, events=(*made.events, erased)), moment)
        if outcome.violations:
            broken[moment] = outcome.violations

    assert broken == {}
