"""Where a Rollout is heading, with its memory and without: an erased status loses nothing."""

import dataclasses

import pytest

from ombak.core.advance import new_step
from ombak.core.course import Course, Heading, heading
from ombak.core.memory import Memory, Mode, Position, Release, Reverting
from ombak.core.snapshot import Snapshot
from support.snapshots import NOW, artifact, changed, fleet, id_of, one_box, snapshot, spec

V1 = id_of("v1")


def release(version: str) -> Memory:
    """The memory of a version on its way."""
    return Memory(release=Release(id_of(version), Mode.FORWARD, NOW, Position(0, 1, 1), new_step(1, 1, NOW)))


def reverting(source: str, target: str) -> Memory:
    """The memory of a way back."""
    return Memory(reverting=Reverting(id_of(source), id_of(target), NOW, 10, 0, NOW))


STABLE = snapshot()
NEW = snapshot(spec("v2"))
MIXED = changed(
    NEW,
    artifacts=(artifact("v1", 1, order=1), artifact("v2", 2)),
    one_boxes=(one_box("v2"),),
    fleet=(fleet("v1", 6), fleet("v2", 3)),
)
UNPROVEN = changed(NEW, artifacts=(artifact("v1", 1),))
REJECTED = changed(MIXED, artifacts=(artifact("v1", 1, order=1), artifact("v2", 2, rejected="AlarmFired")))
BACK = changed(REJECTED, one_boxes=(one_box("v1"),), fleet=(fleet("v1", 9),))


@pytest.mark.parametrize(
    ("s", "course", "version"),
    [
        pytest.param(changed(STABLE, artifacts=(), fleet=(), one_boxes=()), Course.INSTALL, "v1", id="nothing yet"),
        pytest.param(changed(STABLE, artifacts=(artifact("v1", 1),)), Course.INSTALL, "v1", id="never was good"),
        pytest.param(UNPROVEN, Course.INSTALL, "v1", id="a change waits for the bake of what serves"),
        pytest.param(
            changed(UNPROVEN, fleet=(fleet("v1", 9, ready=2, available=2),)),
            Course.INSTALL,
            "v2",
            id="what hardly serves is replaced",
        ),
        pytest.param(
            changed(UNPROVEN, memory=release("v2")), Course.INSTALL, "v2", id="a replacement under way goes on"
        ),
        pytest.param(
            changed(UNPROVEN, artifacts=(artifact("v1", 1, rejected="AlarmFired"),)),
            Course.INSTALL,
            "v2",
            id="what was taken back is replaced",
        ),
        pytest.param(
            changed(MIXED, artifacts=(artifact("v1", 1), artifact("v2", 2))),
            Course.INSTALL,
            "v1",
            id="all verdicts lost in the middle: what serves most stays",
        ),
        pytest.param(STABLE, Course.STABLE, "v1", id="what is wanted is stable"),
        pytest.param(NEW, Course.START, "v2", id="another one is wanted"),
        pytest.param(MIXED, Course.FORWARD, "v2", id="status erased in the middle: goes on"),
        pytest.param(REJECTED, Course.REVERT, "v1", id="status erased while reverting: goes on back"),
        pytest.param(BACK, Course.REVERTED, "v1", id="status erased when reverted: stays"),
        pytest.param(changed(MIXED, memory=release("v2")), Course.FORWARD, "v2", id="remembered"),
        pytest.param(
            changed(MIXED, rollout=STABLE.rollout, memory=release("v2")), Course.REVERT, "v1", id="called back"
        ),
        pytest.param(
            changed(MIXED, rollout=snapshot(spec("v3")).rollout, memory=release("v2")),
            Course.FORWARD,
            "v2",
            id="a later wish waits",
        ),
        pytest.param(
            changed(REJECTED, rollout=snapshot(spec("v3")).rollout, memory=reverting("v2", "v1")),
            Course.REVERT,
            "v1",
            id="a later wish waits for the revert",
        ),
        pytest.param(
            changed(MIXED, memory=reverting("v2", "v1")), Course.REVERT, "v1", id="a retry waits for the revert"
        ),
        pytest.param(
            changed(NEW, memory=release("v2"), artifacts=(artifact("v1", 1, order=1), artifact("v2", 2))),
            Course.FORWARD,
            "v2",
            id="recorded, and not a box yet",
        ),
        pytest.param(
            changed(NEW, memory=release("v2"), artifacts=(artifact("v1", 1, order=1),)),
            Course.START,
            "v2",
            id="remembered, and its artifact is gone: from the start",
        ),
    ],
)
def test_the_course_follows_from_wish_verdicts_and_boxes(s: Snapshot, course: Course, version: str) -> None:
    """The cluster wins; memory only tells apart what the boxes alone cannot."""
    found = heading(s)

    assert (course, id_of(version)) == (found.course, found.artifact)


def test_a_revert_goes_to_the_newest_version_that_was_good() -> None:
    """By the order in which bakes ended here, not by age; one that was taken back is out."""
    artifacts = (
        artifact("v1", 1, order=3),
        artifact("v2", 2, order=2),
        artifact("v3", 3, order=4, rejected="AlarmFired"),
    )

    assert heading(changed(STABLE, artifacts=artifacts)).stable == V1


@pytest.mark.parametrize(
    "leftover",
    [
        pytest.param(artifact("v2", 1, order=1), id="one that was good before"),
        pytest.param(artifact("v2", 1), id="one that is older"),
    ],
)
def test_boxes_that_nobody_asked_for_are_not_a_release(leftover: object) -> None:
    """Somebody scaled up an old ReplicaSet: that promotes nothing, it is put back."""
    s = changed(
        snapshot(spec("v3")),
        artifacts=(artifact("v1", 2, order=2), leftover, artifact("v3", 3, rejected="AlarmFired")),
        fleet=(fleet("v1", 9), fleet("v2", 4)),
    )

    assert heading(s) == Heading(Course.REVERT, V1, V1)


def test_boxes_on_their_way_out_are_not_a_release() -> None:
    """What is asked for tells of a release, not what has still to go."""
    s = changed(MIXED, one_boxes=(one_box("v1"),), fleet=(fleet("v1", 9), fleet("v2", 0, replicas=2)))

    assert heading(s).course is Course.REVERT


def test_a_version_with_another_content_never_flies() -> None:
    """An Artifact whose content is not what its id says is nothing to deliver."""
    spoilt = dataclasses.replace(artifact("v2", 2), is_genuine=False)

    assert heading(changed(MIXED, artifacts=(artifact("v1", 1, order=1), spoilt))).course is Course.REVERT


@pytest.mark.parametrize(
    ("boxes", "course", "version"),
    [
        pytest.param(
            (fleet("v1", 4), fleet("v2", 5)), Course.INSTALL, "v1", id="one that was not taken back, if it serves"
        ),
        pytest.param((fleet("v1", 4, available=0), fleet("v2", 5)), Course.FAILED, "v2", id="else what serves"),
    ],
)
def test_a_failed_first_version_is_not_spread_further(boxes: tuple[object, ...], course: Course, version: str) -> None:
    """Without any good version it stays on what serves best."""
    s = changed(
        snapshot(spec("v2")),
        artifacts=(artifact("v1", 1), artifact("v2", 2, rejected="AlarmFired")),
        fleet=boxes,
        one_boxes=(one_box("v2"),),
    )

    assert heading(s) == Heading(course, id_of(version), "")


@pytest.mark.parametrize("wanted", ["v1", "v2"])
def test_of_what_was_scaled_to_nothing_the_wanted_version_is_scaled_up_again(wanted: str) -> None:
    """Both failed, and none serves better than the other."""
    s = changed(
        snapshot(spec(wanted)),
        artifacts=(artifact("v1", 1, rejected="AlarmFired"), artifact("v2", 2, rejected="AlarmFired")),
        fleet=(fleet("v1", 0), fleet("v2", 0)),
        one_boxes=(one_box("v2", 0),),
    )

    assert heading(s) == Heading(Course.FAILED, id_of(wanted), "")


def test_a_rejected_version_that_is_wanted_again_stays_rejected() -> None:
    """Until the user says retry: the verdict is on the artifact, not on the attempt."""
    assert heading(BACK) == Heading(Course.REVERTED, V1, V1)
    assert heading(changed(BACK, artifacts=(artifact("v1", 1, order=1), artifact("v2", 2)))).course is Course.START
