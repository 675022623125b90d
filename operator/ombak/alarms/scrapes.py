"""When a Prometheus scraped anything at all: of a time in which it did not, no answer tells anything.

One that kept its store and was away answers for that time too: `or vector(0)` with 0, `absent()` with 1, `count()` with
less. Which points such an answer may be believed at follows from the times of its scrapes alone. Pure; times are
seconds since the epoch.
"""

import bisect
import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from ombak.alarms.lookback import Read

_LOOKBACK = 300.0
"""A plain selector answers from a sample that is so old, by Prometheus' default."""
_ENOUGH = 3
"""Scrapes between which the usual time is known."""
_FOREVER = float("inf")

Gap: TypeAlias = tuple[float, float]
"""The last scrape before it (or minus infinity), and the first one after it (or infinity)."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The scrapes of any target between `since` and `until`, as they were looked at every `grain` seconds."""

    since: float
    until: float
    times: tuple[float, ...]
    grain: float
    usual: float
    """The time between two of them."""
    gaps: tuple[Gap, ...]

    @property
    def span(self) -> float:
        """How long it is."""
        return self.until - self.since

    def saw(self, moment: float, reads: Iterable[Read]) -> bool:
        """Whether there were scrapes where a query reads for this moment: what it does not find was not there."""
        return all(self._saw(moment - one.offset.total_seconds(), one) for one in reads)

    def _saw(self, moment: float, read: Read) -> bool:
        moment = min(moment, self.until)
        index = bisect.bisect_left(self.gaps, (moment, -_FOREVER)) - 1
        if moment < self.since or index < 0:
            return True
        last, first = self.gaps[index]
        window, two_scrapes = read.window.total_seconds() or _LOOKBACK, 2 * self.usual
        holds_older = moment - window <= last - two_scrapes
        if moment >= first:
            return holds_older or moment >= first + two_scrapes
        most = _longest(self.usual, self.grain)
        # What arrives late, as by remote write, is not lost yet; but then there has to be something older to tell.
        return moment - last <= (most + 2 * self.grain if holds_older else most)

    def why_not(self) -> str:
        """The newest time in which nothing was scraped, for people."""
        last, first = self.gaps[-1]
        if first == _FOREVER:
            return f"no target was scraped since {_clock(max(last, self.since))} UTC" + " or longer" * (
                last == -_FOREVER
            )
        since = "before" if last == -_FOREVER else f"from {_clock(last)} to"
        return f"no target was scraped {since} {_clock(first)} UTC"


def timeline(since: float, until: float, times: Sequence[float], grain: float, unknown: float) -> Timeline:
    """Make one; `times` in order, `unknown` is the time between two scrapes where there are too few to tell."""
    spaces = [after - before for before, after in itertools.pairwise(times)]
    usual = statistics.median_low(spaces) if len(spaces) >= _ENOUGH else unknown
    ends = [times[0] if times and times[0] - since <= _longest(usual, grain) else -_FOREVER, *times]
    if not times or until - times[-1] > _longest(usual, grain):
        ends.append(_FOREVER)
    gaps = tuple((a, b) for a, b in itertools.pairwise(ends) if b - a > _longest(usual, grain))
    return Timeline(since, until, tuple(times), grain, usual, gaps)


def _longest(usual: float, grain: float) -> float:
    """Seconds between two scrapes that were seen, if none is missing."""
    return 1.5 * usual + grain


def _clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S}"
