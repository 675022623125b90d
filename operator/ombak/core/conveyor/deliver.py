"""A stage on its way: which of its regions start, which are finished, and what the others wait for (R45-R48)."""

import dataclasses

from ombak.core.conveyor import tests, visit, waits
from ombak.core.conveyor.memory import Item
from ombak.core.conveyor.placement import Target
from ombak.core.conveyor.scene import Scene
from ombak.core.conveyor.snapshot import RolloutFacts
from ombak.core.conveyor.standing import State, has_version
from ombak.core.conveyor.visit import Outcome


@dataclasses.dataclass(frozen=True, slots=True)
class Round:
    """One look at the regions of a stage."""

    outcomes: tuple[tuple[Target, Outcome], ...]

    @property
    def is_over(self) -> bool:
        """All that could be asked are finished, and at least one was: silence is never success."""
        found = {outcome for _, outcome in self.outcomes}
        return not self.outcomes or (Outcome.FINISHED in found and found <= {Outcome.FINISHED, Outcome.SKIPPED})

    @property
    def is_deserted(self) -> bool:
        """There is nobody left to go on with."""
        return bool(self.outcomes) and all(outcome is Outcome.SKIPPED for _, outcome in self.outcomes)

    @property
    def skipped(self) -> tuple[str, ...]:
        """The regions that were passed over."""
        return tuple(t.region.name for t, o in self.outcomes if o is Outcome.SKIPPED)


_TO_WRITE = (State.RENUMBERED, State.OVERRIDDEN, State.REZONED, State.EDITED)
_BEGUN = (State.MOVING, State.STABLE, State.REVALUED, State.BACK, *_TO_WRITE)
_ON_THE_WAY = (State.MOVING, State.HELD, *_TO_WRITE)


def deliver(scene: Scene, item: Item, stage: str, *, with_tests: bool) -> Round:
    """Move one change on in one stage, and say what each region waits for."""
    targets = scene.targets(item, stage)
    states = {t.key: visit.state_of(scene, item, t) for t in targets}
    moving = sum(_takes_room(scene, item, t, *states[t.key]) for t in targets)
    moving += with_tests and sum(states[t.key][0] is State.STABLE and tests.is_lacking(item, t) for t in targets)
    outcomes = []
    for target in targets:
        state, facts = states[target.key]
        if state in (State.ABSENT, State.EARLIER, State.REVALUED):
            most, begin = target.stage.max_parallel, visit.revalue if state is State.REVALUED else visit.start
            has_room = most is None or moving < most
            outcome = begin(scene, item, target, facts, has_room=has_room)
            moving += outcome is Outcome.UNDER_WAY
        else:
            outcome = visit.go_on(scene, item, target, state, facts, with_tests=with_tests)
        outcomes.append((target, outcome))
    made = Round(tuple(outcomes))
    for target in targets if made.is_deserted else ():
        waits.of_item(scene, item, stage, "Unreachable", waits.deserted(target), target.region.name)
    return made


def has_begun(scene: Scene, item: Item, stage: str) -> bool:
    """Something of a change runs, or ran, in some region of a stage, or is being written there just now."""
    for target in scene.targets(item, stage):
        state, facts = visit.state_of(scene, item, target)
        has_it = has_version(scene, item, facts)
        if target.key in scene.touched or state in _BEGUN or (state in (State.UNREACHED, State.TWIN) and has_it):
            return True
    return False


def overtaken(scene: Scene, item: Item, stage: str) -> RolloutFacts | None:
    """Return a region's Rollout with a later change, if every region of a stage has one: nothing is proven there.

    That comes of stages, and of labels, that were changed. A region that is passed over proves nothing either.
    """
    later: list[RolloutFacts] = []
    for target in scene.targets(item, stage):
        facts = scene.facts.get(target.key)
        if visit.may_skip(scene, item, target):
            continue
        if facts is None or facts.sequence <= item.sequence:
            return None
        if visit.state_of(scene, item, target)[0] is not State.LATER:
            return None
        later.append(facts)
    return min(later, key=lambda found: found.sequence, default=None)


def _takes_room(scene: Scene, item: Item, target: Target, state: State, facts: RolloutFacts | None) -> bool:
    """It counts among those that are on their way at once; one that fell silent on its way does too."""
    if state is State.UNREACHED:
        return has_version(scene, item, facts) and not visit.may_skip(scene, item, target)
    return state in _ON_THE_WAY or (state is State.REVALUED and facts is not None and facts.is_moving)
