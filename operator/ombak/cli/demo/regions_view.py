"""How pictures of several regions look: a line for each thing that happened, and a table at the end."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from rich import box
from rich.table import Table

from ombak.api.rollout_status import Phase
from ombak.cli.demo.regions_scene import Picture, Place, Standing
from ombak.cli.demo.summary import Requests
from ombak.cli.demo.view import clock

_HUB = "hub"


@dataclasses.dataclass(frozen=True, slots=True)
class Names:
    """How versions are called, by artifact id."""

    versions: Mapping[str, str]

    def of(self, text: str) -> str:
        """Return a text with versions in place of the ids."""
        for artifact, version in self.versions.items():
            text = text.replace(artifact, version)
        return text


def happened(before: Picture | None, now: Picture, began: datetime, names: Names) -> Iterator[str]:
    """Return a line for each Event of the hub and each change of a region since the picture before."""
    known = before.events if before is not None else {}
    for name, event in now.events.items():
        if name not in known:
            yield _line(now.now - began, _HUB, "", f"{event.reason}: {names.of(event.message)}")
    old = {each.place: each for each in before.standings} if before is not None else {}
    for each in now.standings:
        told = _told(each, names)
        if told and told != _told(old.get(each.place), names):
            yield _line(now.now - began, each.place.region, each.place.stage, told)


def _told(each: Standing | None, names: Names) -> str:
    """What is worth a line: the version and its phase, and why it goes back."""
    if each is None or each.phase is None:
        return ""
    why = f": {names.of(each.message)}" if each.phase in (Phase.REVERTING, Phase.FAILED) and each.message else ""
    return f"{names.of(each.wanted)} {each.phase}{why}"


def _line(since: timedelta, who: str, stage: str, text: str) -> str:
    return f"{clock(since):>5}  {who:<6} {stage:<7} {text}"


@dataclasses.dataclass(frozen=True, slots=True)
class RegionsAct:
    """One version and what became of it; `problem` is empty if that is what it should be."""

    version: str
    artifact: str
    outcome: str
    took: timedelta
    reached: tuple[Place, ...]
    """Where boxes of it ever ran."""
    requests: Mapping[str, Requests] = dataclasses.field(default_factory=dict)
    """By region."""
    problem: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class RegionsOutcome:
    """The whole demonstration."""

    acts: tuple[RegionsAct, ...]
    took: timedelta
    ended: datetime
    planned: int

    @property
    def problem(self) -> str:
        """Why the demonstration failed, empty if it shows what it promises."""
        for act in self.acts:
            if act.problem:
                return f"{act.version}: {act.problem}"
        missing = self.planned - len(self.acts)
        return f"only {len(self.acts)} of {self.planned} versions were delivered" if missing else ""


def outcome_table(acts: Sequence[RegionsAct], places: Sequence[Place]) -> Table:
    """Return one row for each version, one column for each place: whether it came there, and what failed there."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    made.add_column("Version", no_wrap=True)
    made.add_column("What became of it")
    made.add_column("Took", justify="right", no_wrap=True)
    for place in places:
        made.add_column(f"{place.stage}\n{place.region}", justify="right", no_wrap=True)
    for act in acts:
        made.add_row(act.version, act.outcome, clock(act.took), *(_cell(act, place) for place in places))
    return made


def _cell(act: RegionsAct, place: Place) -> str:
    if place not in act.reached:
        return "never there"
    found = act.requests.get(place.region, Requests())
    return f"{found.failed:,.0f} of {found.total:,.0f} failed"


def outcome_sentences(outcome: RegionsOutcome) -> list[str]:
    """Return what the table does not say."""
    requests = [found for act in outcome.acts for found in act.requests.values()]
    total, failed = sum(r.total for r in requests), sum(r.failed for r in requests)
    share = failed / total if total else 0.0
    return [
        f"It took {clock(outcome.took)} minutes, and nobody touched it.",
        f"Of {total:,.0f} requests {failed:,.0f} failed ({share:.2%}), all versions and regions taken together.",
    ]
