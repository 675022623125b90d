"""Metric alarms over points of which nobody knows anything: certain only if it is the same however they were."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from ombak.alarms import metric
from ombak.api.health import Certainty, State


def judge(
    rule: metric.Rule, series: Mapping[str, metric.Points], memory: metric.Memory, seen: Sequence[bool], why: str
) -> metric.MetricResult:
    """As `metric.judge`, where `seen` says which points tell anything (empty: all do), and `why` why the others do not.

    Such a point is neither missing nor a value. The newest must tell something, for it is the state of now.
    """
    plain = metric.judge(rule, series, memory)
    if all(seen[-rule.points :]):
        return plain
    found = [metric.judge(rule, _filled(rule, series, seen, value), memory) for value in _extremes(rule)]
    best, worst = ((one.state, one.certainty) for one in found)
    if not seen[-1] or best != worst:
        return dataclasses.replace(
            plain,
            state=State.INSUFFICIENT_DATA,
            certainty=Certainty.Uncertain,
            contributors=(),
            memory=memory,
            doubt=why,
        )
    return plain if (plain.state, plain.certainty) == best else found[0]


def _extremes(rule: metric.Rule) -> tuple[float, float]:
    """The best value that there can be, and the worst."""
    return (math.inf, -math.inf) if rule.is_low_bad else (-math.inf, math.inf)


def _filled(
    rule: metric.Rule, series: Mapping[str, metric.Points], seen: Sequence[bool], value: float
) -> dict[str, metric.Points]:
    """All series with this value where nothing is known; without any, one that may have been there."""
    lines = series or {metric.NOTHING: [None] * rule.points}
    shown = seen[-rule.points :]
    return {
        name: [point if known else value for point, known in zip(line, shown, strict=True)]
        for name, line in lines.items()
    }
