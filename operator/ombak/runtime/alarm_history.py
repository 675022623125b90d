"""Proves afterwards, by range queries, when everything that a watcher rests on was OK (design 2, the bake ledger).

Each question is judged at every one of its periods with the rules that judge it live. Between two of these moments
a leaf counts as what it was at both of them, and as unknown where they differ: so no time is counted in which an
alarm changed. What leaves no past to ask for (alerting rules, an Alarm that warms up) is unknown all the time.
"""

import asyncio
import bisect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ombak.alarms import metric
from ombak.alarms.history import Stretch, clipped, good_stretches
from ombak.alarms.resolve import AlarmKey
from ombak.alarms.verdict import Certainty, State, Verdict, unknown_verdict
from ombak.runtime.alarm_interest import Bound, MetricLeaf, Watch, guarded
from ombak.runtime.alarm_queries import QueryKey, align, metric_verdict, name_series
from ombak.runtime.metrics_port import QueryResult

MOST_MOMENTS = 2000
"""So many moments are looked at, the newest; Prometheus gives at most 11,000 points, and a judgement costs time."""
_YIELD_EVERY = 50
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

    `unsure` are alarms of whose past nothing can be said.
    """
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


async def _past(leaf: MetricLeaf, ask: AskRange, since: datetime, until: datetime) -> _Past:
    period = leaf.query.period
    count = min(MOST_MOMENTS, -(-(until - since) // period)) + 1
    moments = tuple(until - (count - 1 - index) * period for index in range(count))
    results = await _results(leaf, ask, moments)
    name = leaf.query.text
    verdicts = [metric_verdict(name, result, at, leaf.query) for result, at in zip(results, moments, strict=True)]
    if leaf.samples is not None:
        counted = await _results(leaf.samples, ask, moments)
        verdicts = [
            guarded(
                own, metric_verdict(name, one, at, leaf.samples.query), name, one.newest, leaf.samples.rule.threshold
            )
            for own, one, at in zip(verdicts, counted, moments, strict=True)
        ]
    return _Past(moments, tuple(verdicts))


async def _results(leaf: MetricLeaf, ask: AskRange, moments: tuple[datetime, ...]) -> list[metric.MetricResult]:
    """The judgement at each moment, each knowing the ones before it, as live."""
    key, points = leaf.query, leaf.query.points
    answer = await ask(key, moments[0] - (points - 1) * key.period, moments[-1])
    whole = QueryKey(key.endpoint, key.text, key.period, len(moments) + points - 1)
    values = {name_series(series): align(series, moments[-1], whole) for series in answer.series}
    memory, found = metric.Memory(), []
    for index in range(len(moments)):
        if index % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
        shown = {name: line[index : index + points] for name, line in values.items()}
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
        known = isinstance(leaf, MetricLeaf) and key not in unsure
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
