"""In which phase a release is, by where it is and whether its boxes are there."""

from ombak.api.rollout import Phase
from ombak.core import layout
from ombak.core.layout import Part
from ombak.core.memory import Mode, Release
from ombak.core.scene import Scene


def phase_of(scene: Scene, release: Release) -> Phase:
    """Return the phase of a release that is on its way forward, or is installed."""
    is_there = release.step.available_since is not None
    part = scene.parts[release.position.segment].part
    if part is Part.ONE_BOX and not is_there and release.mode is not Mode.INSTALL:
        return Phase.ONE_BOX
    if layout.is_everywhere(scene.parts, release.position):
        waiting = Phase.INSTALLING if release.mode is Mode.INSTALL else Phase.ROLLING
        return Phase.BAKE if is_there else waiting
    return Phase.ONE_BOX_BAKE if part is Part.ONE_BOX else Phase.ROLLING
