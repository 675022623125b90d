"""What a labelled stranger stops, and what it does not (M1 of an audit)."""

from datetime import timedelta

import pytest

from ombak.core.decide import decide
from ombak.core.memory import Memory, Mode, Position, Release, Step
from ombak.core.plan import ScaleFleet
from ombak.core.retention import leftovers
from ombak.core.snapshot import Snapshot
from support.snapshots import ALARM, NOW, POLL, artifact, changed, fleet, id_of, later, one_box, snapshot, spec

STRANGER = fleet("v1", 0, name="x", is_ours=False, owner="Helper tool")
STEP = Step(1, later(-300), 1, 1, later(-300), arrived_at=later(-300), available_since=later(-300))
ON_ITS_WAY = snapshot(
    spec("v2"),
    artifacts=(artifact("v1", 1, order=1), artifact("v2", 2)),
    one_boxes=(one_box("v2"),),
    fleet=(fleet("v1", 9), STRANGER),
    memory=Memory(release=Release(id_of("v2"), Mode.FORWARD, later(-300), Position(0, 1, 1), STEP)),
)


def test_scaling_goes_on_beside_a_stranger() -> None:
    """Though nothing starts, and the status tells what is in the way."""
    s = snapshot(
        spec("v2", replicas=12),
        artifacts=(artifact("v1", 1, order=1),),
        one_boxes=(one_box("v1"),),
        fleet=(fleet("v1", 9), STRANGER),
    )
    found = decide(s, NOW)
    assert [(a.name, a.after) for a in found.actions if isinstance(a, ScaleFleet)] == [(s.fleet[0].name, 11)]
    assert (found.phase, found.stable, found.boxes) == ("Invalid", id_of("v1"), "10/12")
    assert found.waiting is not None
    assert "ReplicaSet x to be out of the way: it belongs to Helper tool" in found.waiting.what


@pytest.mark.parametrize("seconds", [0, 3600])
def test_what_is_on_its_way_is_watched_and_goes_no_further(seconds: int) -> None:
    """Its bake may be over long ago; it is looked at again, with alarms at full rate."""
    found = decide(ON_ITS_WAY, NOW + timedelta(seconds=seconds))
    release = found.memory.release
    assert release is not None
    assert (found.phase, release.step.number, release.position, found.is_watched) == (
        "Invalid",
        1,
        Position(0, 1, 1, "*", 0),
        True,
    )
    assert found.wake_at == NOW + timedelta(seconds=seconds) + POLL
    assert found.current == id_of("v2")


@pytest.mark.parametrize(
    "s",
    [
        changed(ON_ITS_WAY, revert_alarm=ALARM),
        changed(
            ON_ITS_WAY,
            one_boxes=(one_box("v2", ready=0, available=0),),
            memory=Memory(
                release=Release(
                    id_of("v2"),
                    Mode.FORWARD,
                    later(-900),
                    Position(0, 1, 1),
                    Step(1, later(-900), 1, 0, later(-900), down_since=later(-900)),
                )
            ),
        ),
    ],
    ids=["alarm", "deadline"],
)
def test_an_alarm_and_a_deadline_take_it_back(s: Snapshot) -> None:
    """A stranger blinds neither."""
    assert decide(s, NOW).phase == "Reverting"


def test_the_newest_two_good_versions_are_kept() -> None:
    """However many were taken back since: there is always one to go back to."""
    bad = tuple(artifact(f"bad{n}", n, rejected="AlarmFired") for n in range(4, 14))
    good = tuple(artifact(f"v{n}", n, order=n) for n in range(1, 4))
    s = snapshot(
        spec("new"), artifacts=(*good, *bad, artifact("new", 14, order=4)), one_boxes=(one_box("new"),), fleet=()
    )
    gone = {a.name for a in leftovers(s, id_of("new"), ("",))}
    assert gone == {a.name for a in (*good[:2], bad[0])}


def test_a_version_that_failed_after_others_is_not_called_the_first() -> None:
    """Whoever reads it must not look for a first install."""
    alone = snapshot(
        spec("v2"),
        artifacts=(artifact("v2", 2, rejected="AlarmFired"),),
        one_boxes=(one_box("v2"),),
        fleet=(fleet("v2", 9),),
    )
    after = changed(alone, artifacts=(artifact("v1", 1, rejected="AlarmFired"), *alone.artifacts))
    assert "The first version" in decide(alone, NOW).message
    assert "no other version is recorded as good here" in decide(after, NOW).message
