"""What a decision costs grows with the regions of the Pipeline, and no faster."""

import cProfile
import pstats
from datetime import datetime

from ombak.core.conveyor.decide import decide
from ombak.core.conveyor.snapshot import GateAnswer
from ombak.core.gates.gate import Held
from support.conveyor import NOW, hours, inside, push, region, spec, stage, version_of, world

HELD = Held("window", "Window hours to open", "its owner")


def calls_of(count: int) -> int:
    """How many functions a decision calls while everything waits: for its turn, for gates, for an earlier change."""
    names = [f"r-{n:03}" for n in range(count)]
    first, second = names[: count // 2], names[count // 2 :]
    w = world(spec("v1", [stage("first", *first), stage("second", *second, maxParallel=1)]), [region(n) for n in names])
    w.run(NOW + hours(1.5))
    push(w, "v2")

    def closed(_now: datetime) -> tuple[GateAnswer, ...]:
        return tuple(GateAnswer("first", HELD, name) for name in first)

    w.set_gates(closed)
    w.settle()
    assert inside(w) == {"first": version_of("v2"), "second": version_of("v1")}
    profile, seen = cProfile.Profile(), w.snapshot()
    made = profile.runcall(decide, seen, w.now)
    assert len(made.waits) == count
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def test_four_times_the_regions_cost_four_times_as_much() -> None:
    """Counted in calls, which are the same on every machine."""
    assert calls_of(240) < 4.2 * calls_of(60)
