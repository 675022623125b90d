"""Proves afterwards, by range queries, when everything that a watcher rests on was OK (design 2, the bake ledger).

Each question is judged as often as live, four times in a period, with the rules that judge it live: an ALARM that
comes and goes between two of its points is seen there too. Between two of these moments
a leaf counts as what it was at both of them, and as unknown where they differ: so no time is counted in which an
alarm changed. What leaves no past to ask for (alerting rules, an Alarm that warms up) is unknown all the time.

A Prometheus answers from the last sample for five minutes (its look-back), and from the two ends of a range whatever
lies between, also where it was down and stored nothing. So a moment counts only if something that the query reads was
stored shortly before it.
"""

import asyncio
import bisect
import itertools
import statistics
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ombak.alarms import metric
from ombak.alarms.history import Stretch, clipped, good_stretches
from ombak.alarms.resolve import AlarmKey
from ombak.alarms.traps import selectors
from ombak.alarms.verdict import Certainty, State, Verdict, unknown_verdict
from ombak.alarms.zoned import origin
from ombak.runtime.alarm_interest import Bound, MetricLeaf, Watch, guarded
from ombak.runtime.alarm_queries import QueryKey, align, metric_verdict, name_series
from ombak.runtime.metrics_port import QueryResult

_MOST = 2000
"""So many moments are looked at in one slice; Prometheus gives at most 11,000 points, and a judgement costs time."""
_MOST_SLICES = 24
"""At a period of 30 s these are four days as finely as live, and sixteen at all; the newest of a longer time."""
_FINENESS = (4, 2)
_YIELD_EVERY = 50
_NONE, _MILLISECOND = timedelta(0), timedelta(milliseconds=1)
_FALLBACK = "up"
"""What every scrape stores; it speaks for a query whose own series there are none of, as errors that never were."""
_NOT_STORED = "nothing was stored then"
_NO_PAST = "leaves no past that could be asked for"

AskRange = Callable[[QueryKey, datetime, datetime], Awaitable[QueryResult]]
"""Asks a question at every period between two moments; raises QueryError."""


@dataclass(frozen=True, slots=True)
class _Past:
    """What a leaf was at moments in order of time."""

    moments: tuple[datetime, ...]
    verdicts: tuple[Verdict, ...]

    def around(self, moment: datetime, name: str) -> Verdict:
        """The verdict at a moment, unknown where those before and after it differ."""
        after = bisect.bisect_left(self.moments, moment)
        if after == len(self.moments):
            return unknown_verdict(name, "was not looked at")
        if self.moments[after] == moment:
            return self.verdicts[after]
        if after == 0:
            return unknown_verdict(name, "was not looked at")
        before, next_one = self.verdicts[after - 1], self.verdicts[after]
        is_same = (before.state, before.certainty) == (next_one.state, next_one.certainty)
        return before if is_same else unknown_verdict(name, "changed")


async def ok_stretches(
    watch: Watch, ask: AskRange, unsure: frozenset[AlarmKey], since: datetime, until: datetime
) -> tuple[Stretch, ...]:
    """The stretches between two moments in which all that is watched was OK and certain; raises QueryError.

    `unsure` are alarms of whose past nothing can be said. A long time is asked for in slices, one after another.
    """
    found: list[Stretch] = []
    for start, end in _slices(watch, since, until):
        for stretch in await _ok_in_slice(watch, ask, unsure, start, end):
            follows = bool(found) and found[-1][1] == stretch[0]
            found[-1:] = [(found[-1][0], stretch[1])] if follows else [*found[-1:], stretch]
    return tuple(found)


def _slices(watch: Watch, since: datetime, until: datetime) -> list[Stretch]:
    """Parts of a time, oldest first, each with no more moments than are looked at at once."""
    leaves = (leaf for bound in watch.bound.values() for leaf in bound.leaves.values())
    shortest = min((leaf.query.period for leaf in leaves if isinstance(leaf, MetricLeaf)), default=None)
    if shortest is None or until <= since:
        return [(since, until)]
    since = max(since, until - _MOST_SLICES * _MOST * shortest)
    count = min(_MOST_SLICES, -(-(until - since) // (_MOST * shortest / _FINENESS[0])))
    length = (until - since) // count // _MILLISECOND * _MILLISECOND
    ends = [until - (count - 1 - index) * length for index in range(count)]
    return list(zip([since, *ends[:-1]], ends, strict=True))


async def _ok_in_slice(
    watch: Watch, ask: AskRange, unsure: frozenset[AlarmKey], since: datetime, until: datetime
) -> tuple[Stretch, ...]:
    leaves = {leaf for bound in watch.bound.values() for leaf in bound.leaves.values() if isinstance(leaf, MetricLeaf)}
    pasts = {leaf: await _past(leaf, ask, since, until) for leaf in leaves}
    looks = sorted({moment for past in pasts.values() for moment in past.moments}) or [since, until]
    judged: list[tuple[datetime, bool]] = []
    seen: dict[object, bool] = {}
    for index, moment in enumerate(looks):
        if index % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
        good = all(_was_ok(name, bound, pasts, unsure, moment, seen) for name, bound in watch.bound.items())
        judged.append((moment, good))
    return clipped(good_stretches(judged), since, until)


@dataclass(frozen=True, slots=True)
class _Grid:
    """The moments at which a question is judged, oldest first; `fineness` of them in a period."""

    moments: tuple[datetime, ...]
    fineness: int
    period: timedelta

    @property
    def step(self) -> timedelta:
        """The time between two of them."""
        return self.period / self.fineness

    def key(self, query: QueryKey, text: str) -> QueryKey:
        """What is to be asked for something at each of these moments."""
        return QueryKey(query.endpoint, text, self.step)


def _grid(period: timedelta, since: datetime, until: datetime) -> _Grid:
    """As fine as live, as long as that is not too many moments, and Prometheus can count them in milliseconds."""
    fitting = (n for n in _FINENESS if period % (n * _MILLISECOND) == _NONE and n * (until - since) <= _MOST * period)
    fineness = next(fitting, 1)
    step = period / fineness
    count = min(_MOST, -(-(until - since) // step)) + 1
    return _Grid(tuple(until - (count - 1 - index) * step for index in range(count)), fineness, period)


async def _past(leaf: MetricLeaf, ask: AskRange, since: datetime, until: datetime) -> _Past:
    grid = _grid(leaf.query.period, since, until)
    results = await _results(leaf, ask, grid)
    stored = await _stored(leaf.query, ask, grid)
    name, moments = leaf.query.text, grid.moments
    verdicts = [metric_verdict(name, result, at, leaf.query) for result, at in zip(results, moments, strict=True)]
    if leaf.samples is not None:
        counted = await _results(leaf.samples, ask, grid)
        verdicts = [
            guarded(
                own, metric_verdict(name, one, at, leaf.samples.query), name, one.newest, leaf.samples.rule.threshold
            )
            for own, one, at in zip(verdicts, counted, moments, strict=True)
        ]
    shown = (own if fresh else unknown_verdict(name, _NOT_STORED) for own, fresh in zip(verdicts, stored, strict=True))
    return _Past(moments, tuple(shown))


async def _stored(key: QueryKey, ask: AskRange, grid: _Grid) -> list[bool]:
    """Whether, at each moment, something that a query reads had been stored shortly before.

    Shortly is two periods, or two of the times that usually lie between two samples. A query without any selector
    rests on nothing that is stored.
    """
    names = tuple(dict.fromkeys(map(str, selectors(key.text))))
    if not names:
        return [True] * len(grid.moments)
    newest = await _newest(names, key, ask, grid)
    if not any(newest):
        newest = await _newest((_FALLBACK,), key, ask, grid)
    times = sorted({one for one in newest if one is not None})
    spaces = [after - before for before, after in itertools.pairwise(times)]
    usual = statistics.median_low(spaces) if len(spaces) > 1 else 0.0
    most = 2 * max(key.period.total_seconds(), usual)
    return [one is not None and at.timestamp() - one <= most for one, at in zip(newest, grid.moments, strict=True)]


async def _newest(names: tuple[str, ...], key: QueryKey, ask: AskRange, grid: _Grid) -> list[float | None]:
    """When the newest sample of any of these selectors was taken, at each moment (seconds since the epoch)."""
    newest: list[float | None] = [None] * len(grid.moments)
    for name in names:
        asked = grid.key(key, f"max(timestamp({name}))")
        answer = await ask(asked, grid.moments[0], grid.moments[-1])
        for series in answer.series:
            for index, value in enumerate(align(series, grid.moments[-1], grid.step, len(grid.moments))):
                known = newest[index]
                if value is not None and (known is None or value > known):
                    newest[index] = value
    return newest


async def _results(leaf: MetricLeaf, ask: AskRange, grid: _Grid) -> list[metric.MetricResult]:
    """The judgement at each moment, each knowing the ones before it, as live."""
    before = (leaf.rule.points - 1) * grid.fineness
    asked, count = grid.key(leaf.query, leaf.query.text), before + len(grid.moments)
    answer = await ask(asked, grid.moments[0] - before * grid.step, grid.moments[-1])
    values = {name_series(series): align(series, grid.moments[-1], grid.step, count) for series in answer.series}
    memory, found = metric.Memory(), []
    for index in range(len(grid.moments)):
        if index % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
        shown = {name: line[index : index + before + 1 : grid.fineness] for name, line in values.items()}
        present = {name: line for name, line in shown.items() if any(value is not None for value in line)}
        found.append(metric.judge(leaf.rule, present, memory))
        memory = found[-1].memory
    return found


def _was_ok(
    name: str,
    bound: Bound,
    pasts: Mapping[MetricLeaf, _Past],
    unsure: frozenset[AlarmKey],
    moment: datetime,
    seen: dict[object, bool],
) -> bool:
    if bound.resolution is None or bound.problems:
        return False
    verdicts: dict[AlarmKey, Verdict] = {}
    for key, leaf in bound.leaves.items():
        known = isinstance(leaf, MetricLeaf) and origin(key) not in unsure
        verdicts[key] = (
            pasts[leaf].around(moment, str(key))
            if known and isinstance(leaf, MetricLeaf)
            else unknown_verdict(str(key), _NO_PAST)
        )
    states: list[tuple[State, Certainty, bool]] = [
        (v.state, v.certainty, v.evaluated_at is None) for v in verdicts.values()
    ]
    essence = name, tuple(states)
    if essence not in seen:
        seen[essence] = bound.resolution.evaluate(verdicts.__getitem__, moment).is_ok
    return seen[essence]
