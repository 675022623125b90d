"""What `ombak plan` finds out: the forecast of each Pipeline, and how much time its Windows leave."""

import dataclasses
from collections.abc import Iterator
from datetime import datetime, timedelta

from ombak.api.duration import format_duration
from ombak.api.stage import Phase
from ombak.cli.plan_read import Book
from ombak.core.conveyor.forecast import Forecast, forecast
from ombak.core.conveyor.merge import Merged, merge
from ombak.core.conveyor.placement import bake_of, matches, place, windows_of
from ombak.core.conveyor.snapshot import GateAnswer, RegionFacts
from ombak.core.gates.pileup import Openness, openness
from ombak.runtime.hub.gating import Gating, horizon_of
from ombak.runtime.hub.observe import region_facts
from ombak.runtime.hub.records import PipelineRecord
from ombak.runtime.store import Key

_SMALL = timedelta(hours=10)
"""Windows that leave less in a week, or a longer pause than `_LONG`, pile changes up."""
_LONG = timedelta(days=4)


@dataclasses.dataclass(frozen=True, slots=True)
class StageWindows:
    """The Windows of some stages, and how much time they leave."""

    stages: tuple[str, ...]
    openness: Openness

    @property
    def warning(self) -> str:
        """Whether changes pile up before these stages, and what to do about it; empty if not."""
        found, stages = self.openness, ", ".join(self.stages)
        least = min(found.alone.values(), default=found.together)
        if found.together >= _SMALL and found.longest_pause <= _LONG:
            return ""
        left = a_week(found.together)
        if not found.together:
            return f"{_named(found)} never lets a change start in {stages} within four weeks; widen it, or take it out"
        many = f"{_named(found)} together leave only {left}" if len(found.windows) > 1 else ""
        one = f"{_named(found)} leaves only {left}" if found.together < _SMALL else f"{_named(found)} has pauses"
        advice = "let these stages name fewer of them" if many and found.together < least else "widen it"
        return (
            f"{many or one}, and up to {told(found.longest_pause)} pass without any: before {stages} changes pile up "
            f"and come as one; {advice}"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Planned:
    """One Pipeline, and what is to be expected of a change of it."""

    key: Key
    forecast: Forecast
    windows: tuple[StageWindows, ...]
    notes: tuple[str, ...] = ()


def plan_all(book: Book, now: datetime) -> list[Planned]:
    """Plan every Pipeline of the files that is not merely a base; what is wrong with one becomes a problem."""
    found = []
    for key in book.wanted:
        stored = book.pipelines.get(key)
        assert stored is not None
        record = stored.value
        made = merge(key[1], record.view.spec, book.bases(record))
        if record.view.problem or (made.spec is not None and made.spec.rollout is None):
            continue
        problem = made.problem or _misplaced(book, record, made)
        if problem:
            book.problems.append(f"Pipeline {'/'.join(key)}: {problem}")
        else:
            found.append(_plan(book, record, made, now))
    return found


def _misplaced(book: Book, record: PipelineRecord, made: Merged) -> str:
    assert made.spec is not None
    regions = [region_facts(r) for r in book.known_regions()]
    return next(iter(place(made.spec, record.meta.namespace, regions).slips), "")


def _plan(book: Book, record: PipelineRecord, made: Merged, now: datetime) -> Planned:
    def gates(at: datetime) -> tuple[GateAnswer, ...]:
        return tuple(Gating(book.gates).answers(record, [made], regions, at))

    regions = [region_facts(r) for r in book.known_regions()]
    found = forecast(record.view, book.bases(record), regions, now, gates)
    notes = (*_notes(record, made), *_idle_values(record, made, regions))
    return Planned((record.meta.namespace, record.meta.name), found, _windows(book, record, made, now), notes)


def _windows(book: Book, record: PipelineRecord, made: Merged, now: datetime) -> tuple[StageWindows, ...]:
    """Return how much time the Windows leave, stages for which that is the same taken together.

    A Window with staff is asked as the hub asks it: by how long the slowest region of the stage takes, floors included.
    """
    stages: dict[tuple[str, ...], list[StageWindows]] = {}
    assert made.spec is not None
    regions = [region_facts(r) for r in book.known_regions()]
    placed = place(made.spec, record.meta.namespace, regions).targets
    for stage in made.spec.stages:
        names = windows_of(made.spec, stage)
        views = {name: book.gates.window(name) for name in names}
        schedules = {name: view.schedule for name, view in views.items() if view.schedule is not None}
        if not names or len(schedules) < len(names):
            continue
        lengths = (horizon_of(made, made.spec, target) for target in placed[stage.name])
        horizon = max(lengths, default=bake_of(made.spec, stage))
        found, same = openness(schedules, now, horizon), stages.setdefault(names, [])
        known = next((each for each in same if each.openness == found), None)
        if known is None:
            same.append(StageWindows((stage.name,), found))
        else:
            same[same.index(known)] = dataclasses.replace(known, stages=(*known.stages, stage.name))
    return tuple(each for same in stages.values() for each in same)


def _notes(record: PipelineRecord, made: Merged) -> Iterator[str]:
    assert made.spec is not None
    stages = [stage for stage in made.spec.stages if stage.phase is Phase.PROD]
    bare = [stage.name for stage in stages if not windows_of(made.spec, stage)]
    if bare:
        yield f"no Window holds for {', '.join(bare)}: a change may start there at night and on holidays"
    if record.view.spec.get("paused"):
        yield "it is paused now (spec.paused), so nothing starts; this is how it would go without that"


def _idle_values(record: PipelineRecord, made: Merged, regions: list[RegionFacts]) -> Iterator[str]:
    """A misspelt label leaves a region without its values, and nothing is wrong with the manifest.

    Those of a base are for other children too.
    """
    assert made.spec is not None
    targets = place(made.spec, record.meta.namespace, regions).targets.values()
    own = len(record.view.spec.get("values") or ())
    for index, values in enumerate(made.spec.values[len(made.spec.values) - own :]):
        if not any(matches(values.regions, target.region) for found in targets for target in found):
            what = f"spec.values[{index}] ({', '.join(values.env)})"
            yield f"{what} is for no region of its stages; correct its selector, or label a Region"


def _named(found: Openness) -> str:
    word = "Windows" if len(found.windows) > 1 else "Window"
    return f"{word} {' and '.join(found.windows)}"


def told(length: timedelta) -> str:
    """Return a length for people, to the minute."""
    return format_duration(timedelta(minutes=round(length.total_seconds() / 60)))


def a_week(length: timedelta) -> str:
    """Return how much of a week something takes, in hours as people count those: `37h30m a week`."""
    hours, minutes = divmod(round(length.total_seconds() / 60), 60)
    return f"{hours}h{f'{minutes}m' if minutes else ''} a week"
