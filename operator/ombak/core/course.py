"""Where a Rollout is heading, told from the wish, the verdicts and the boxes alone: an erased status loses nothing."""

import dataclasses
from enum import StrEnum

from ombak.core.capacity import floor_of
from ombak.core.converge import artifacts_with_boxes, serving_all, serving_of
from ombak.core.snapshot import ArtifactView, Snapshot


class Course(StrEnum):
    """What is to be done with the boxes."""

    INSTALL = "Install"
    START = "Start"
    FORWARD = "Forward"
    REVERT = "Revert"
    STABLE = "Stable"
    REVERTED = "Reverted"
    FAILED = "Failed"


@dataclasses.dataclass(frozen=True, slots=True)
class Heading:
    """A course, and the versions that it is about."""

    course: Course
    artifact: str
    """The version on its way, or the one that stays."""
    stable: str
    """The newest version that finished its bake here and was not taken back; empty before the first."""


def newest_good(s: Snapshot) -> ArtifactView | None:
    """Return what a revert goes to."""
    return max(good_ones(s), key=newest_last, default=None)


def good_ones(s: Snapshot) -> tuple[ArtifactView, ...]:
    """Return the versions that finished their bake here and were not taken back."""
    return tuple(a for a in s.artifacts if a.is_good)


def newest_last(view: ArtifactView) -> tuple[int, int]:
    """Return the place of a good version in the order in which they became stable."""
    return view.stable_order, view.sequence


def heading(s: Snapshot) -> Heading:
    """Return where this Rollout is heading."""
    stable = newest_good(s)
    if stable is None:
        return _first_time(s)
    flying = in_flight(s, stable.id)
    wanted = s.rollout.artifact
    if flying is not None and not _is_called_back(s, flying, stable.id):
        return Heading(Course.FORWARD, flying, stable.id)
    if artifacts_with_boxes(s) - {stable.id}:
        return Heading(Course.REVERT, stable.id, stable.id)
    if wanted == stable.id:
        return Heading(Course.STABLE, stable.id, stable.id)
    view = s.artifact(wanted)
    if view is not None and view.rejection is not None:
        return Heading(Course.REVERTED, stable.id, stable.id)
    return Heading(Course.START, wanted, stable.id)


def _first_time(s: Snapshot) -> Heading:
    """No version finished a bake here yet: the wanted one is installed, unless another one serves already."""
    wanted = s.rollout.artifact
    serving = _serves_unproven(s)
    if serving:
        return Heading(Course.INSTALL, serving, "")
    view = s.artifact(wanted)
    if view is not None and view.rejection is not None:
        return Heading(Course.FAILED, stays(s) or view.id, "")
    return Heading(Course.INSTALL, wanted, "")


def _serves_unproven(s: Snapshot) -> str:
    """Return a version that serves although it is not proven yet: it finishes its bake, and a change waits for that.

    Where too few boxes serve, of whatever version, the wanted one replaces them at once.
    """
    remembered = s.memory.release.artifact if s.memory.release else ""
    best, spec = stays(s), s.rollout.spec
    if not best or best == s.rollout.artifact or not _may_fly(s, best) or remembered == s.rollout.artifact:
        return ""
    replicas = spec.replicas if spec.replicas is not None else sum(o.desired for o in (*s.fleet, *s.one_boxes))
    floor = floor_of(spec.strategy.rolling.min_available, replicas)
    return best if floor and serving_all(s) >= floor and serving_of(s, best) else ""


def stays(s: Snapshot) -> str:
    """Return what a Rollout stays on that never had a good version: what serves best, and was not taken back.

    Scaled to nothing, none serves better than another: then it is the wanted one, if it ever had boxes.
    """
    serving: dict[str, tuple[int, int]] = {}
    for owned in (*s.fleet, *s.one_boxes):
        serves, asked = serving.get(owned.artifact, (0, 0))
        serving[owned.artifact] = (serves + owned.serving, asked + owned.desired)

    def rank(artifact: str) -> tuple[bool, int, int, bool]:
        serves, asked = serving[artifact]
        return _may_fly(s, artifact) and serves > 0, serves, asked, not asked and artifact == s.rollout.artifact

    return max(sorted(serving), key=rank, default="")


def _is_called_back(s: Snapshot, flying: str, stable: str) -> bool:
    """The user asked for the stable version again, or a revert has begun: it is finished first."""
    return flying != s.rollout.artifact and (s.rollout.artifact == stable or s.memory.reverting is not None)


def in_flight(s: Snapshot, stable: str) -> str | None:
    """Return the version on its way: the one remembered, else the one whose boxes tell of it."""
    remembered = s.memory.release.artifact if s.memory.release else ""
    if remembered and remembered != stable and _may_fly(s, remembered):
        return remembered
    if s.memory.reverting is not None:
        return None
    asked = {o.artifact for o in (*s.fleet, *s.one_boxes) if o.desired} - {stable}
    candidates = {a for a in asked if _may_fly(s, a)}
    if s.rollout.artifact in candidates:
        return s.rollout.artifact
    # One that was good before, or is older than the stable one, is a leftover or somebody's edit: nobody asked for it.
    newer = [a for a in candidates if _sequence(s, a) > _sequence(s, stable) and not _is_good(s, a)]
    return max(newer, key=lambda a: _sequence(s, a), default=None)


def _may_fly(s: Snapshot, artifact: str) -> bool:
    view = s.artifact(artifact)
    return view is not None and view.is_genuine and view.rejection is None


def _is_good(s: Snapshot, artifact: str) -> bool:
    view = s.artifact(artifact)
    return view is not None and view.is_good


def _sequence(s: Snapshot, artifact: str) -> int:
    view = s.artifact(artifact)
    return view.sequence if view else 0
