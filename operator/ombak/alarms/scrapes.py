"""When a Prometheus scraped anything at all: of a time in which it did not, no answer tells anything.

One that kept its store and was away answers for that time too: `or vector(0)` with 0, `absent()` with 1, `count()` with
less. Which points such an answer may be believed at follows from the times of its scrapes alone. Pure; times are
seconds since the epoch.
"""

import bisect
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from ombak.alarms.lookback import Read

_LOOKBACK = 300.0
"""A plain selector answers from a sample that is so old, by Prometheus' default."""
_RECENT = 900.0
"""What is usual is what was so in so many of the newest seconds with scrapes."""
_RECURS = 3
"""A space between two scrapes that was seen so often is no gap."""
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
    """The longest time between two of them that recurs."""
    patience: float
    """How long after the last one what was stored before still tells, as between scrapes of the default interval."""
    delay: float
    """How much later than it was scraped a sample can be asked for, as where it comes by remote write."""
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
            # Two of each target, some before the gap and some after it.
            holds_both = moment - window <= last and window - (first - last) >= two_scrapes + self.usual
            return holds_older or holds_both or moment >= first + two_scrapes
        delay = self.delay if first == _FOREVER else 0.0
        if holds_older:
            return moment - last <= self.patience + delay
        holds_two = moment - window <= last - self.usual
        return moment - last <= _longest(self.usual, self.grain) + (delay if holds_two else 0.0)

    def why_not(self) -> str:
        """The newest time in which nothing was scraped, for people."""
        last, first = self.gaps[-1]
        if first == _FOREVER:
            return f"no target was scraped since {_clock(max(last, self.since))} UTC" + " or longer" * (
                last == -_FOREVER
            )
        since = "before" if last == -_FOREVER else f"from {_clock(last)} to"
        return f"no target was scraped {since} {_clock(first)} UTC"


def timeline(
    since: float,
    until: float,
    times: Sequence[float],
    grain: float,
    unknown: float,
    delay: float = 0.0,
    told: float | None = None,
) -> Timeline:
    """Make one; `times` in order, `unknown` is the time between two scrapes where there are too few to tell.

    `told` takes its place where a young Prometheus says how often it scrapes.
    """
    spaces = [after - before for before, after in itertools.pairwise(times)]
    usual = _usual(spaces, grain, unknown if told is None else told)
    most = _longest(usual, grain)
    ends = [times[0] if times and times[0] - since <= most else -_FOREVER, *times]
    if not times or until - times[-1] > most:
        ends.append(_FOREVER)
    gaps = tuple((a, b) for a, b in itertools.pairwise(ends) if b - a > most)
    patience = max(most + 2 * grain, unknown + grain)
    return Timeline(since, until, tuple(times), grain, usual, patience, min(delay, _LOOKBACK), gaps)


def _usual(spaces: Sequence[float], grain: float, unknown: float) -> float:
    """The largest space that recurs, for a few targets are scraped at uneven moments of each interval.

    Spaces are like if looking so seldom may explain that they differ: Prometheus keeps its interval, outages do not
    last equally long. What has been seen for less than three intervals may be a part of the first one.
    """
    recent = _recent(spaces)
    alike = (
        least for most, least in zip(recent, recent[_RECURS - 1 :], strict=False) if most - least <= grain + most / 10
    )
    found = next(alike, None)
    return max(found or 0.0, unknown) if found is None or sum(recent) < _RECURS * unknown else found


def _recent(spaces: Sequence[float]) -> list[float]:
    """The newest ones, the largest first, without those that are an outage for every plain selector."""
    short = [space for space in reversed(spaces) if space <= _LOOKBACK]
    ages = itertools.accumulate(short, initial=0.0)
    return sorted((space for space, age in zip(short, ages, strict=False) if age < _RECENT), reverse=True)


def _longest(usual: float, grain: float) -> float:
    """Seconds between two scrapes that were seen, if none is missing."""
    return 1.5 * usual + grain


def _clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S}"
