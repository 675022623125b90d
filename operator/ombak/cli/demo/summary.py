"""What happened, told at the end: by whom it was proven, and whether the demonstration shows what it promises."""

import dataclasses
from collections.abc import Sequence
from datetime import timedelta

from rich import box
from rich.table import Table

from ombak.cli.demo.view import clock


@dataclasses.dataclass(frozen=True, slots=True)
class Requests:
    """How many were answered, and how many of them with an error."""

    total: float = 0.0
    failed: float = 0.0

    @property
    def share(self) -> float:
        """Share of failed ones, 0 to 1."""
        return self.failed / self.total if self.total else 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Act:
    """One version and what became of it; `problem` is empty if that is what it should be."""

    version: str
    artifact: str
    outcome: str
    took: timedelta
    most_boxes: int
    requests: Requests
    problem: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """The whole demonstration. `fewest` boxes were ready at any moment since the first installation."""

    acts: tuple[Act, ...]
    fewest: int | None
    floor: int
    replicas: int
    took: timedelta
    planned: int
    """So many versions were to be delivered."""

    @property
    def problem(self) -> str:
        """Why the demonstration failed, empty if it shows what it promises."""
        for act in self.acts:
            if act.problem:
                return f"{act.version}: {act.problem}"
        if len(self.acts) < self.planned:
            return f"only {len(self.acts)} of {self.planned} versions were delivered"
        if self.fewest is None or self.fewest < self.floor:
            return f"only {self.fewest or 0} boxes served at one moment, {self.floor} were promised"
        return ""


def table(acts: Sequence[Act], replicas: int) -> Table:
    """Return one row for each version."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    made.add_column("Version", no_wrap=True)
    made.add_column("What became of it")
    for heading in ("Took", "In at most", "Requests", "Failed"):
        made.add_column(heading, justify="right", no_wrap=True)
    for act in acts:
        requests = act.requests
        made.add_row(
            *(act.version, act.outcome, clock(act.took), f"{act.most_boxes} of {replicas}"),
            *(f"{requests.total:,.0f}", f"{requests.failed:,.0f} ({requests.share:.0%})"),
        )
    return made


def sentences(outcome: Outcome) -> list[str]:
    """Return what the table does not say."""
    total = sum(act.requests.total for act in outcome.acts)
    failed = sum(act.requests.failed for act in outcome.acts)
    share = failed / total if total else 0.0
    told = [
        f"It took {clock(outcome.took)} minutes, and nobody touched it.",
        f"Of {total:,.0f} requests {failed:,.0f} failed ({share:.2%}), all versions taken together.",
    ]
    if outcome.fewest is not None:
        told.append(
            f"After the first installation never fewer than {outcome.fewest} of {outcome.replicas} boxes served "
            f"(promised: {outcome.floor})."
        )
    return told
