"""Signals of a Rollout as metric alarms: the service's and the one box's from the same line (design 1, R63, R69)."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from datetime import timedelta

from ombak.alarms import metric, scope, template, traps
from ombak.alarms.definition import MEMBER, Crowd, MetricAlarm, Samples
from ombak.alarms.errors import AlarmError
from ombak.alarms.lookback import check_query
from ombak.alarms.verdict import Certainty, State, Verdict
from ombak.api.alarm import Comparison
from ombak.api.signal import NO_ZONE, Quantile, Ratio, Signal
from ombak.api.wording import clause

WINDOW_PERIODS = 4
"""A point of a ratio or a quantile looks at so many periods: two minutes at 30 s, which is four usual scrapes."""
RATIO_SAMPLES = 10
"""With fewer requests a share of bad ones is a matter of luck."""


def problem_of(signals: Sequence[Signal]) -> str:
    """What is wrong with the queries of signals, with the field and the fix; empty if nothing is."""
    for index, signal in enumerate(signals):
        for field, text in _texts(signal):
            try:
                scope.check_selector(text) if field != "query" else check_query(text)
            except AlarmError as error:
                return f"spec.signals[{index}].{field}: {error}"
            if "zone" in template.variables(text):
                return f"spec.signals[{index}].{field}: {NO_ZONE}"
        if signal.query is not None and (found := traps.find_traps(signal.query)):
            return f"spec.signals[{index}].query: {found[0]}"
    return ""


def _texts(signal: Signal) -> tuple[tuple[str, str], ...]:
    if signal.ratio is not None:
        return ("ratio.bad", signal.ratio.bad), ("ratio.total", signal.ratio.total)
    if signal.quantile is not None:
        return (("quantile.of", signal.quantile.of),)
    return (("query", signal.query or ""),)


@functools.lru_cache(maxsize=4096)
def define_signal(signal: Signal, context: template.Context) -> MetricAlarm:
    """The alarm that a signal means for the pods of `context`; nothing in its queries is variable any more.

    Raises AlarmError, whose text is meant for the person who wrote the signal.
    """
    comparison, threshold = Comparison.GREATER, signal.above
    if threshold is None:
        assert signal.below is not None
        comparison, threshold = Comparison.LESS, signal.below
    rule = metric.Rule(comparison, threshold, n=signal.evaluation_periods, m=signal.m)
    boxes = _Boxes(context.namespace, context.pods)
    query, counted = _queries(signal, context, boxes)
    count = signal.min_samples or _least_samples(signal)
    samples = Samples(counted, count, _counted_over(signal)) if counted else None
    return MetricAlarm(query, signal.period, rule, samples=samples, crowd=_crowd(signal, context))


@dataclasses.dataclass(frozen=True, slots=True)
class _Boxes:
    """Whose series are read: those of one pattern, or those of many at once, told apart by a label."""

    namespace: str
    pods: str
    are_many: bool = False

    def total(self, each: str, *by: str) -> str:
        """The sum over the series of a query, for each of the many by itself."""
        if self.are_many:
            each, by = f'label_replace({each}, "{MEMBER}", "$1", "pod", {scope.quoted(self.pods)})', (*by, MEMBER)
        return f"sum by ({', '.join(by)}) ({each})" if by else f"sum({each})"


def _crowd(signal: Signal, context: template.Context) -> Crowd | None:
    """The same for many at once, word by word: a sum by one label more is the sum of each of them.

    Of a query of the user's own nobody can say that.
    """
    if signal.query is not None or not context.crowd:
        return None
    many = _Boxes(context.namespace, context.crowd, are_many=True)
    query, counted = _queries(signal, context, many)
    return Crowd(query, many.total(counted), context.member)


def _window(signal: Signal) -> timedelta:
    return WINDOW_PERIODS * signal.period


def _counted_over(signal: Signal) -> timedelta:
    """All that an evaluation looks at: from the start of its first point's window to its last point."""
    return _window(signal) + (signal.evaluation_periods - 1) * signal.period


def _least_samples(signal: Signal) -> int:
    """A quantile of fewer than 1 / (1 - q) samples is only their maximum."""
    return RATIO_SAMPLES if signal.quantile is None else math.ceil(round(1 / (1 - signal.quantile.q), 6))


def _queries(signal: Signal, context: template.Context, boxes: _Boxes) -> tuple[str, str]:
    """The query, and the one that counts its samples where that is known."""
    if signal.ratio is not None:
        return _of_ratio(signal, signal.ratio, context, boxes)
    if signal.quantile is not None:
        return _of_quantile(signal, signal.quantile, context, boxes)
    query = signal.query or ""
    rendered = template.render(query, context, signal.period)
    if "pods" in template.variables(query):
        return rendered, ""
    return scope.narrowed(rendered, *scope.conditions(context.namespace, context.pods)), ""


def _of_ratio(signal: Signal, ratio: Ratio, context: template.Context, boxes: _Boxes) -> tuple[str, str]:
    """No bad series is 0 of the total; where the total is gone or idle, the share is missing (0 / 0), not 0."""
    bad, total = (
        boxes.total(f"rate({_selected(text, signal, context, boxes)}[{_range(signal)}])")
        for text in (ratio.bad, ratio.total)
    )
    return f"({bad} or 0 * {total}) / {total}", _count(ratio.total, signal, context, boxes)


def _of_quantile(signal: Signal, quantile: Quantile, context: template.Context, boxes: _Boxes) -> tuple[str, str]:
    buckets = boxes.total(f"rate({_selected(quantile.of, signal, context, boxes)}[{_range(signal)}])", "le")
    counted = _count(quantile.of, signal, context, boxes, ("le", "=", "+Inf"))
    return f"histogram_quantile({quantile.q}, {buckets})", counted


def _count(text: str, signal: Signal, context: template.Context, boxes: _Boxes, *more: scope.Condition) -> str:
    window = template.promql_duration(_counted_over(signal))
    return f"increase({_selected(text, signal, context, boxes, *more)}[{window}])"


def _selected(text: str, signal: Signal, context: template.Context, boxes: _Boxes, *more: scope.Condition) -> str:
    scope.check_selector(text)
    rendered = template.render(text, context, signal.period)
    return scope.narrowed(rendered, *scope.conditions(boxes.namespace, boxes.pods), *more)


def _range(signal: Signal) -> str:
    return template.promql_duration(_window(signal))


OF_ALL_BOXES = "of all boxes"
OF_THE_ONE_BOX = "of the one box"


def alarm_name(signal: str, whose: str) -> str:
    """Return what people and contributors call the alarm of a signal; no Alarm object can have that name."""
    return f"signal {signal} {whose}"


def worst(verdicts: Sequence[Verdict]) -> Verdict | None:
    """One verdict for several, as an OR over them: ALARM beats unknown, unknown beats OK; None for none.

    It is as old as the oldest that it rests on, and tells of those that made it what it is.
    """
    if len(verdicts) < 2:
        return verdicts[0] if verdicts else None
    telling = [v for v in verdicts if v.is_alarm] or [v for v in verdicts if v.is_unknown] or list(verdicts)
    times = [verdict.evaluated_at for verdict in telling]
    known = [time for time in times if time is not None]
    is_unknown = telling[0].is_unknown
    return dataclasses.replace(
        telling[0],
        state=State.INSUFFICIENT_DATA if is_unknown else telling[0].state,
        certainty=Certainty.Uncertain if is_unknown else Certainty.Certain,
        evaluated_at=min(known) if len(known) == len(times) else None,
        window=max(verdict.window for verdict in telling),
        contributors=tuple(dict.fromkeys(name for v in telling for name in v.contributors)),
        unknown=tuple(dict.fromkeys(line for v in telling for line in v.unknown)),
        message="; ".join(dict.fromkeys(clause(verdict.message) for verdict in telling if verdict.message)),
        causes=tuple(dict.fromkeys(cause for v in telling for cause in v.causes)),
        unclear=tuple(dict.fromkeys(name for v in verdicts for name in v.unclear)),
    )
