"""Whole runs under all monitors: drawn by seeds, and the ones that are easily got wrong. `make simulate` runs more."""

import pytest

from ombak.simulation.batches import batch, one, replay
from ombak.simulation.run import Outcome
from ombak.simulation.scenarios import NAMED

pytestmark = pytest.mark.breadth


def told(outcomes: list[Outcome], engine: str) -> list[str]:
    """What broke, and how to see it again."""
    return [f"{o.violations[0]}; again: {replay(o, engine)}" for o in outcomes if o.violations]


@pytest.mark.parametrize(
    ("name", "engine", "first", "count"),
    [
        *[pytest.param("chaos", "quick", n, 4, id=f"everything, from seed {n}") for n in range(1, 17, 4)],
        *[pytest.param("people", "quick", n, 4, id=f"people and the world, from seed {n}") for n in (1, 5)],
        *[pytest.param("chaos", "loop", n, 2, id=f"everything, on a loop, from seed {n}") for n in (1, 3)],
        pytest.param("stale-watch", "quick", 1, 4, id="a watch half a minute late"),
        *[pytest.param("outages", "quick", n, 4, id=f"nobody sees everything, from seed {n}") for n in (1, 5, 9)],
        pytest.param("outages", "quick", 110, 1, id="a clock that is put right while nobody looks"),
        pytest.param("outages", "loop", 1, 2, id="nobody sees everything, on a loop"),
    ],
)
def test_no_promise_breaks(name: str, engine: str, first: int, count: int) -> None:
    """P1 to P7 and P9, exposure, fairness and quiescence, checked after every write."""
    assert told(batch(name, range(first, first + count), engine, jobs=1), engine) == []


@pytest.mark.parametrize(
    "name",
    [
        *("crash-loop", "flapping", "revert-without-room", "to-zero-and-back", "invalid-meanwhile", "zones-meanwhile"),
        *("old-alarm-ends", "old-alarm-and-a-new-one", "old-alarm-comes-back", "old-alarm-and-an-abort"),
    ],
)
def test_what_is_easily_got_wrong_ends_well(name: str) -> None:
    """In the phase that the scenario names."""
    assert told([one(name, 1, "quick")], "quick") == []


def test_a_run_is_the_same_every_time() -> None:
    """A seed is enough to see a failure again."""
    assert one("chaos", 7, "loop").trace == one("chaos", 7, "loop").trace


def test_every_scenario_names_its_end() -> None:
    """One without would pass wherever it came to rest."""
    assert all(scenario.phase for scenario in NAMED.values())
