"""`ombak alarm backtest`: when Alarms would have fired, judged point by point with the operator's own rules."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import click

from ombak.alarms import alerting, metric, template, unseen
from ombak.alarms.definition import ExpressionAlarm, LeafAlarm, MetricAlarm, RuleAlarm
from ombak.alarms.errors import AlarmError
from ombak.alarms.resolve import AlarmKey, Broken, Registry, Resolution, resolve
from ombak.alarms.verdict import State, Verdict, unknown_verdict
from ombak.alarms.zoned import context_of, resolve_in_zones
from ombak.api.alarm import Comparison
from ombak.api.duration import format_duration
from ombak.cli.alarm_files import AlarmManifest, RolloutManifest
from ombak.cli.alarm_past_sight import WHY, PastSight
from ombak.cli.alarm_rollouts import Watched, watched_by
from ombak.cli.alarm_spark import spark_states, spark_values
from ombak.runtime.alarm_conditions import is_template
from ombak.runtime.alarm_interest import MetricLeaf, guarded, leaf_of
from ombak.runtime.alarm_queries import metric_verdict, name_series
from ombak.runtime.metrics_port import MetricsSource, QueryError

_MOST_POINTS = 5_000
_MOST_EPISODES = 10
_RULE_PERIOD = timedelta(seconds=30)
Span = tuple[datetime, datetime]


@dataclasses.dataclass(frozen=True, slots=True)
class Episode:
    """A stretch of time in one state: ALARM, OK, or unknown (None)."""

    state: State | None
    start: datetime
    end: datetime
    why: str = ""

    @property
    def length(self) -> timedelta:
        """How long it lasted."""
        return self.end - self.start


@dataclasses.dataclass(frozen=True, slots=True)
class Track:
    """What one Alarm would have said: a verdict for every step; `values` are those of its series by moment."""

    key: AlarmKey
    start: datetime
    step: timedelta
    verdicts: Sequence[Verdict]
    values: Mapping[str, Sequence[float | None]] = dataclasses.field(default_factory=dict)
    threshold: float | None = None
    is_low_bad: bool = False
    note: str = ""

    def at(self, moment: datetime) -> Verdict:
        """The verdict that was the latest at that moment."""
        return self.verdicts[max(0, min(len(self.verdicts) - 1, (moment - self.start) // self.step))]

    @property
    def states(self) -> list[State | None]:
        """What anybody could have acted on; None is unknown."""
        return [None if verdict.is_unknown else verdict.state for verdict in self.verdicts]

    @property
    def episodes(self) -> list[Episode]:
        """The stretches, in order."""
        found: list[Episode] = []
        for index, (state, verdict) in enumerate(zip(self.states, self.verdicts, strict=True)):
            moment = self.start + index * self.step
            if found and found[-1].state is state:
                found[-1] = dataclasses.replace(found[-1], end=moment + self.step)
            else:
                found.append(Episode(state, moment, moment + self.step, verdict.message))
        return found


@dataclasses.dataclass(slots=True)
class Backtest:
    """The tracks of what could be judged, in the order of the file, and why the others could not."""

    sources: Mapping[str, MetricsSource]
    sight: PastSight
    span: Span
    tracks: dict[AlarmKey, Track] = dataclasses.field(default_factory=dict)
    problems: dict[AlarmKey, str] = dataclasses.field(default_factory=dict)

    async def leaf(self, key: AlarmKey, definition: LeafAlarm, context: template.Context) -> None:
        """Judge a metric alarm, or the past of an alerting rule."""
        try:
            self.tracks[key] = await _leaf_track(key, definition, self, context)
        except (QueryError, AlarmError) as error:
            self.problems[key] = str(error)

    def in_order(self, keys: Iterable[AlarmKey]) -> None:
        """Put the tracks into the order of the file."""
        self.tracks = {key: self.tracks[key] for key in keys if key in self.tracks}

    def expression(self, key: AlarmKey, resolution: Resolution, below: "Backtest") -> None:
        """Judge an expression over what was judged below it."""
        self.tracks[key] = _expression_track(key, resolution, below, self.span)


async def backtest(
    manifests: Sequence[AlarmManifest],
    rollouts: Sequence[RolloutManifest],
    sources: Mapping[str, MetricsSource],
    context: template.Context,
    span: Span,
) -> Backtest:
    """What every Alarm, and everything that a Rollout watches, would have said over a span of time."""
    found = Backtest(sources, PastSight(sources), span)
    registry = {manifest.key: manifest.definition for manifest in manifests}
    for manifest in manifests:
        own = dataclasses.replace(context, namespace=context.namespace or manifest.key.namespace)
        if isinstance(manifest.definition, MetricAlarm | RuleAlarm):
            await found.leaf(manifest.key, manifest.definition, own)
        elif isinstance(manifest.definition, Broken):
            found.problems[manifest.key] = manifest.problem
    for manifest in manifests:
        if isinstance(manifest.definition, ExpressionAlarm):
            resolution = resolve(manifest.definition.expression, manifest.key.namespace, registry)
            found.expression(manifest.key, resolution, found)
    found.in_order(registry)
    if rollouts:  # which give these a meaning, where no --var does
        found.problems = {key: why for key, why in found.problems.items() if not is_template(registry[key])}
    for rollout in rollouts:
        if rollout.spec is None:
            found.problems[AlarmKey(rollout.namespace, f"{rollout.name} (Rollout)")] = rollout.problem
    for one in watched_by(rollouts, context):
        await _watched(one, registry, found)
    return found


async def _watched(one: Watched, registry: Registry, found: Backtest) -> None:
    """A signal by itself; an expression over the alarms that it rests on, in the context of its Rollout."""
    definition = one.definition
    if isinstance(definition, Broken):
        found.problems[one.key] = definition.why
    elif isinstance(definition, ExpressionAlarm):
        context = one.wanted.context
        resolution = resolve_in_zones(definition.expression, one.wanted.namespace, registry, context)
        below = Backtest(found.sources, found.sight, found.span)
        for key, alarm in resolution.leaves.items():
            await below.leaf(key, alarm, context_of(key, context))
        found.expression(one.key, resolution, below)
        if below.problems:
            found.problems[one.key] = "; ".join(f"{key}: {why}" for key, why in below.problems.items())
    else:
        await found.leaf(one.key, definition, one.wanted.context)


async def _leaf_track(key: AlarmKey, definition: LeafAlarm, test: Backtest, context: template.Context) -> Track:
    note, span = "", test.span
    source = test.sources.get(definition.source)
    if source is None:
        raise AlarmError(f"no Prometheus is configured as {definition.source!r}")
    if isinstance(definition, RuleAlarm):
        note = await _about_alerts(definition.selector, source)
        definition = _from_alerts(definition)
    leaf = leaf_of(definition, context)
    assert isinstance(leaf, MetricLeaf)
    values, results = await _judge_all(leaf, source, test)
    moments = [span[0] + index * leaf.query.period for index in range(len(results))]
    verdicts = [
        metric_verdict(key.name, result, moment, leaf.query) for result, moment in zip(results, moments, strict=True)
    ]
    if leaf.samples is not None:
        counted = (await _judge_all(leaf.samples, source, test))[1]
        samples = leaf.samples
        verdicts = [
            guarded(own, metric_verdict(key.name, one, at, samples.query), key.name, one.newest, samples.rule.threshold)
            for own, one, at in zip(verdicts, counted, moments, strict=True)
        ]
    skipped = leaf.rule.points - 1
    shown = {name: points[skipped:] for name, points in values.items()} if not note else {}
    return Track(key, span[0], leaf.query.period, verdicts, shown, leaf.rule.threshold, leaf.rule.is_low_bad, note)


_ALERTS_NOTE = (
    "from the series ALERTS, the only past that alerting rules leave: it cannot tell a healthy rule from a broken one"
)


async def _about_alerts(selector: alerting.Selector, source: MetricsSource) -> str:
    """What the past of alerting rules is worth, and whether there are any today: nobody sees that in `ALERTS`."""
    try:
        is_there = any(map(selector.matches, (await source.alert_rules()).rules))
    except QueryError:
        return _ALERTS_NOTE
    return _ALERTS_NOTE if is_there else f"{_ALERTS_NOTE}; and today no alerting rule {selector} is loaded"


def _from_alerts(alarm: RuleAlarm) -> MetricAlarm:
    """An alerting rule as a query over its past."""
    name = (("alertname", alarm.selector.name),) if alarm.selector.name else ()
    labels = alerting.Selector("ALERTS", (("alertstate", "firing"), *name, *alarm.selector.labels))
    rule = metric.Rule(Comparison.GREATER, 0, n=1, m=1)
    return MetricAlarm(f"count({labels}) or vector(0)", _RULE_PERIOD, rule, alarm.source)


async def _judge_all(
    leaf: MetricLeaf, source: MetricsSource, test: Backtest
) -> tuple[dict[str, list[float | None]], list[metric.MetricResult]]:
    """The values of every series from `points - 1` periods before the span on, and the judgement at each step."""
    period, points, (begin, end) = leaf.query.period, leaf.rule.points, test.span
    steps = (end - begin) // period + 1
    start, count = begin - (points - 1) * period, steps + points - 1
    values = await _fetch(leaf, source, start, count)
    seen = await test.sight.seen(leaf.query, [start + index * period for index in range(count)])
    memory, results = metric.Memory(), []
    for index in range(steps):
        window = {name: series[index : index + points] for name, series in values.items()}
        there = {name: series for name, series in window.items() if any(value is not None for value in series)}
        results.append(unseen.judge(leaf.rule, there, memory, seen[index : index + points], WHY))
        memory = results[-1].memory
    return values, results


async def _fetch(leaf: MetricLeaf, source: MetricsSource, start: datetime, count: int) -> dict[str, list[float | None]]:
    """`count` values per series from `start` on, in as many queries as Prometheus wants it to be."""
    period, found = leaf.query.period, dict[str, list[float | None]]()
    for first in range(0, count, _MOST_POINTS):
        last = min(first + _MOST_POINTS, count) - 1
        answer = await source.query_range(leaf.query.text, start + first * period, start + last * period, period)
        for series in answer.series:
            values = found.setdefault(name_series(series), [None] * count)
            for moment, value in series.points:
                index = round((moment - start.timestamp()) / period.total_seconds())
                if 0 <= index < count:
                    values[index] = value
    return found


def _expression_track(key: AlarmKey, resolution: Resolution, below: Backtest, span: Span) -> Track:
    tracks = [below.tracks[leaf] for leaf in resolution.leaves if leaf in below.tracks]
    step = min((track.step for track in tracks), default=_RULE_PERIOD)

    def verdict_at(moment: datetime) -> Callable[[AlarmKey], Verdict]:
        def of(leaf: AlarmKey) -> Verdict:
            found = below.tracks.get(leaf)
            return found.at(moment) if found is not None else unknown_verdict(str(leaf), below.problems[leaf])

        return of

    moments = [span[0] + index * step for index in range((span[1] - span[0]) // step + 1)]
    return Track(key, span[0], step, [resolution.evaluate(verdict_at(moment), moment) for moment in moments])


def print_backtest(tracks: Sequence[Track]) -> None:
    """For each Alarm a summary, a line of its values, a line of its states, and the times when it fired."""
    for track in tracks:
        fired = [episode for episode in track.episodes if episode.state is State.ALARM]
        unknown = sum((e.length for e in track.episodes if e.state is None), timedelta(0))
        total = sum((episode.length for episode in fired), timedelta(0))
        longest = max((episode.length for episode in fired), default=timedelta(0))
        click.echo(
            f"{track.key}: fired {len(fired)} times, {_told(total)} in ALARM, longest {_told(longest)}, "
            f"unknown for {_told(unknown)}"
        )
        if track.note:
            click.echo(f"  note: {track.note}")
        if track.values:
            click.echo(f"  {_spark(track)}")
        click.echo(f"  {spark_states(track.states)}  # ALARM, . OK, ? unknown")
        for episode in fired[:_MOST_EPISODES]:
            click.echo(f"  {episode.start:%Y-%m-%d %H:%M:%S} UTC for {_told(episode.length)}: {episode.why}")
        if len(fired) > _MOST_EPISODES:
            click.echo(f"  and {len(fired) - _MOST_EPISODES} times more")


def _spark(track: Track) -> str:
    """A line of the worst values, and how bad it came: what is low where the alarm is about that."""
    worst = min if track.is_low_bad else max
    rows = zip(*track.values.values(), strict=True)
    values = [worst((v for v in row if v is not None and math.isfinite(v)), default=None) for row in rows]
    most = worst((v for v in values if v is not None), default=0)
    return f"{spark_values(values, lowest=track.is_low_bad)}  {'down' if track.is_low_bad else 'up'} to {most:.6g}"


def _told(length: timedelta) -> str:
    return format_duration(timedelta(seconds=round(length.total_seconds())))
