"""`ombak alarm eval`: what Alarms say now, or would have said, with every part and its reason."""

import dataclasses
import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import click

from ombak.adapters.clock import SystemClock
from ombak.alarms import syntax, template
from ombak.alarms.definition import Definition, ExpressionAlarm, MetricAlarm
from ombak.alarms.resolve import AlarmKey, Broken, key_of
from ombak.alarms.verdict import State, Verdict, unknown_verdict
from ombak.cli.alarm_files import AlarmManifest, RolloutManifest
from ombak.cli.alarm_rollouts import Watched, watched_by
from ombak.runtime.alarm_interest import MetricLeaf, Wanted
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.alarm_traps import common_interval, inspect
from ombak.runtime.clock import Clock
from ombak.runtime.metrics_port import MetricsSource, QueryError, QueryErrorKind, QueryResult, RulesResult

_OWN = "own"


@dataclasses.dataclass(frozen=True, slots=True)
class Evaluation:
    """What one Alarm, or one thing that a Rollout watches, says, on what it rests, and what is wrong with its query."""

    key: AlarmKey
    definition: Definition | Broken
    verdict: Verdict
    parts: tuple[tuple[str, Verdict | None], ...] = ()
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class StoppedClock:
    """A moment in the past, which it stays."""

    moment: datetime

    def now(self) -> datetime:
        """That moment."""
        return self.moment

    def monotonic(self) -> float:
        """No time passes."""
        return 0.0


class PastSource:
    """A Prometheus asked about its past: its clock says nothing about that, nor do its rules, nor what it has now."""

    def __init__(self, source: MetricsSource) -> None:
        self._source = source

    @property
    def limit(self) -> timedelta:
        """The same."""
        return self._source.limit

    async def query_range(self, query: str, start: datetime, end: datetime, step: timedelta) -> QueryResult:
        """Evaluate over a range."""
        found = await self._source.query_range(query, start, end, step)
        return dataclasses.replace(found, server_time=None, store=None)

    async def query(self, query: str, at: datetime) -> QueryResult:
        """Evaluate at one moment."""
        return dataclasses.replace(await self._source.query(query, at), server_time=None)

    async def alert_rules(self) -> RulesResult:
        """Refuse: the rules API tells the present only."""
        raise QueryError(QueryErrorKind.FAILED, "the past of an alerting rule cannot be read; leave --at out")

    async def has_series(self, selector: str, start: datetime, end: datetime) -> bool:
        """Whether any series matched."""
        return await self._source.has_series(selector, start, end)

    async def scrape_interval(self) -> timedelta | None:
        """The interval of today."""
        return await self._source.scrape_interval()


async def evaluate_file(
    manifests: Sequence[AlarmManifest],
    rollouts: Sequence[RolloutManifest],
    sources: Mapping[str, MetricsSource],
    context: template.Context,
    at: datetime | None,
) -> list[Evaluation]:
    """Evaluate every Alarm of a file, and what its Rollouts watch, as the operator would, at `at` or now."""
    clock: Clock = SystemClock() if at is None else StoppedClock(at)
    asked = sources if at is None else {name: PastSource(source) for name, source in sources.items()}
    service = AlarmService(asked, clock, lambda _: None, rng=random.Random())  # noqa: S311 - spreads polls only
    for manifest in manifests:
        service.set_alarm(manifest.key, manifest.spec)
    watched = tuple(watched_by(rollouts, context))
    for manifest in manifests:
        service.watch(manifest.key, {_OWN: _wanted(manifest, context)}, is_active=False)
    for one in watched:
        service.watch(one.key, {_OWN: one.wanted, **_parts_of(one)}, is_active=False)
    await service.poll_due()
    verdicts = {manifest.key: _verdict(manifest, service) for manifest in manifests}
    found = [Evaluation(one.key, one.definition, verdicts[one.key], _parts(one, verdicts)) for one in manifests] + [
        _evaluation(one, service) for one in watched
    ]
    return [dataclasses.replace(one, warnings=await _warnings(one, service, asked, clock)) for one in found]


def _parts_of(watched: Watched) -> dict[str, Wanted]:
    """The alarms that an expression of a Rollout names, each in its context."""
    definition = watched.definition
    if not isinstance(definition, ExpressionAlarm):
        return {}
    refs = syntax.references(definition.expression)
    texts = {str(ref): syntax.print_expression(syntax.Is(State.ALARM, ref)) for ref in refs}
    return {name: dataclasses.replace(watched.wanted, expression=text) for name, text in texts.items()}


def _evaluation(watched: Watched, service: AlarmService) -> Evaluation:
    verdict = service.verdict(watched.key, _OWN)
    if isinstance(watched.definition, Broken):
        verdict = unknown_verdict(watched.key.name, watched.definition.why)
    elif watched.wanted.own is not None:
        verdict = service.leaves(watched.key, _OWN).get(watched.wanted.own.key, verdict)
    parts = tuple((name, service.verdict(watched.key, name)) for name in _parts_of(watched))
    return Evaluation(watched.key, watched.definition, verdict, parts)


def _wanted(manifest: AlarmManifest, context: template.Context) -> Wanted:
    key, definition = manifest.key, manifest.definition
    own = dataclasses.replace(context, namespace=context.namespace or key.namespace)
    expression = (
        definition.expression
        if isinstance(definition, ExpressionAlarm)
        else syntax.Is(State.ALARM, syntax.Ref(key.name))
    )
    return Wanted(syntax.print_expression(expression), key.namespace, own)


def _verdict(manifest: AlarmManifest, service: AlarmService) -> Verdict:
    if isinstance(manifest.definition, Broken):
        return unknown_verdict(manifest.key.name, manifest.definition.why)
    leaf = service.leaves(manifest.key, _OWN).get(manifest.key)
    is_leaf = leaf is not None and not isinstance(manifest.definition, ExpressionAlarm)
    return leaf if is_leaf and leaf is not None else service.verdict(manifest.key, _OWN)


def _parts(manifest: AlarmManifest, verdicts: Mapping[AlarmKey, Verdict]) -> tuple[tuple[str, Verdict | None], ...]:
    if not isinstance(manifest.definition, ExpressionAlarm):
        return ()
    refs = syntax.references(manifest.definition.expression)
    keys = ((ref, key_of(ref, manifest.key.namespace)) for ref in refs)
    return tuple((str(ref), None if key is None else verdicts.get(key)) for ref, key in keys)


async def _warnings(
    evaluation: Evaluation, service: AlarmService, sources: Mapping[str, MetricsSource], clock: Clock
) -> tuple[str, ...]:
    definition = evaluation.definition
    if isinstance(definition, ExpressionAlarm):
        return definition.warnings
    if not isinstance(definition, MetricAlarm):
        return ()
    found = list(definition.traps)
    for leaf, is_empty in service.empty_queries(evaluation.key, _OWN).items():
        if isinstance(leaf, MetricLeaf):
            source = sources[leaf.query.endpoint]
            try:
                scrape = await common_interval(source)
                found += (await inspect(source, leaf.query.text, clock, is_empty=is_empty, scrape=scrape)).problems
            except QueryError as error:
                found.append(f"its query could not be looked into: {error}")
    return tuple(dict.fromkeys(found))


def print_evaluations(evaluations: Sequence[Evaluation]) -> None:
    """One block for each Alarm: the state, why, the parts, and the warnings."""
    for evaluation in evaluations:
        verdict, definition = evaluation.verdict, evaluation.definition
        click.echo(f"{evaluation.key}: {verdict.state} {verdict.certainty}")
        click.echo(f"  {verdict.message}")
        if isinstance(definition, ExpressionAlarm):
            click.echo(f"  {syntax.print_expression(definition.expression)}")
        for name, part in evaluation.parts:
            click.echo(f"  - {name}: {_told(part)}")
        for series in verdict.contributors if isinstance(definition, MetricAlarm) else ():
            click.echo(f"  - in ALARM: {series}")
        for line in verdict.unknown if isinstance(definition, MetricAlarm) else ():
            click.echo(f"  - unknown: {line}")
        if verdict.evaluated_at is not None:
            click.echo(f"  data from {verdict.window_start:%Y-%m-%d %H:%M:%S} to {verdict.evaluated_at:%H:%M:%S} UTC")
        for warning in evaluation.warnings:
            click.echo(f"  warning: {warning}")


def _told(part: Verdict | None) -> str:
    if part is None:
        return "unknown: is not in this file"
    return f"{part.state} {part.certainty}: {part.message}"
