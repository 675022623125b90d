"""`ombak alarm`: try alarms before they guard anything, and see what they say when they do."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from ombak.adapters.prometheus_config import ConfigError, PrometheusSources, open_sources
from ombak.alarms import parser, syntax, template, truth
from ombak.alarms.errors import ExpressionError
from ombak.api.duration import parse_duration
from ombak.api.health import Certainty, State
from ombak.cli.alarm_backtest import backtest, print_backtest
from ombak.cli.alarm_eval import evaluate_file, print_evaluations
from ombak.cli.alarm_files import read_all
from ombak.cli.alarm_lint import lint
from ombak.cli.alarm_show import show_command

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_BAD_SYNTAX = 2
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_T = TypeVar("_T")


@click.group("alarm")
def alarm_command() -> None:
    """Try alarms before they guard anything, and see what they say when they do."""


alarm_command.add_command(show_command)


@alarm_command.command("truth")
@click.argument("expression")
@click.argument("states", nargs=-1, metavar="[NAME=STATE]...")
def truth_command(expression: str, states: tuple[str, ...]) -> None:
    """Say what EXPRESSION is when its alarms are in these states; those that are not named are unknown.

    A STATE is OK, ALARM, INSUFFICIENT_DATA or UNKNOWN. The first line is the result, such as `ALARM Certain`.
    """
    try:
        parsed = parser.parse(expression)
        children = _children(states)
    except ExpressionError as error:
        click.echo(error.render(), err=True)
        raise click.exceptions.Exit(_BAD_SYNTAX) from error
    found = truth.evaluate(parsed.expression, children)
    click.echo(f"{found.state} {found.certainty}")
    named = syntax.references(parsed.expression)
    for ref in named:
        child = children.get(ref, truth.unknown("was not given"))
        click.echo(f"  {_sentence(ref, child, makes_it_alarm=ref in found.causes)}")
    if found.certainty is Certainty.Uncertain:
        click.echo(f"  it could turn out otherwise: {', '.join(map(str, found.unknown))} not known")
    for warning in parsed.warnings:
        click.echo(f"warning: {warning}", err=True)
    for ref in children.keys() - set(named):
        click.echo(f"warning: {ref} is not in the expression", err=True)


def _children(states: Sequence[str]) -> dict[syntax.Ref, truth.Child]:
    children: dict[syntax.Ref, truth.Child] = {}
    for ref, child in map(_child, states):
        if children.setdefault(ref, child) != child:
            raise click.BadParameter(f"{ref} is said to be in two states; name it once", param_hint="NAME=STATE")
    return children


def _child(text: str) -> tuple[syntax.Ref, truth.Child]:
    name, equals, word = text.rpartition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not NAME=STATE, such as errors=ALARM", param_hint="NAME=STATE")
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    named = parser.parse(f'ALARM("{escaped}")').expression
    assert isinstance(named, syntax.Is)
    if word.upper() == "UNKNOWN":
        return named.ref, truth.unknown("is said to be unknown")
    try:
        return named.ref, truth.known(State(word.upper()))
    except ValueError:
        states = f"{', '.join(State)} or UNKNOWN"
        raise click.BadParameter(f"{word!r} is no state; write {states}", param_hint="NAME=STATE") from None


def _sentence(ref: syntax.Ref, child: truth.Child, *, makes_it_alarm: bool) -> str:
    told = " or ".join(sorted(child.reading)) or "unknown"
    why = f": {child.why}" if child.why else ""
    return f"{ref} is {told}{why}{', and makes it ALARM' if makes_it_alarm else ''}"


@alarm_command.command("lint")
@click.argument("file", type=_FILE)
@click.option("--strict", is_flag=True, help="Warnings fail too.")
def lint_command(file: Path, strict: bool) -> None:
    """Check the Alarms of FILE, and what its Rollouts watch, without asking anything; exit 1 if one is wrong or a trap.

    Of a Rollout these are both expressions of spec.alarms and its signals.
    """
    complaints = lint(*read_all(file))
    for complaint in complaints:
        click.echo(f"{file}: {complaint}")
    errors = sum(complaint.is_error for complaint in complaints)
    click.echo(f"{errors} errors, {len(complaints) - errors} warnings", err=True)
    if errors or (strict and complaints):
        raise click.exceptions.Exit(1)


def _prometheus_options(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option(
        "--var", "variables", multiple=True, metavar="NAME=VALUE", help="A value for $(NAME); may be repeated."
    )(command)
    command = click.option(
        "--prometheus-config", type=_FILE, help="YAML with every Prometheus, as `ombak run` takes it."
    )(command)
    return click.option("--prometheus", metavar="URL", help="Base URL of the Prometheus to ask.")(command)


@alarm_command.command("eval")
@click.argument("file", type=_FILE)
@_prometheus_options
@click.option("--at", "at", metavar="TIME", help="A moment, as 2026-01-31T12:00:00Z or as 2h for two hours ago.")
def eval_command(
    file: Path, prometheus: str | None, prometheus_config: Path | None, variables: tuple[str, ...], at: str | None
) -> None:
    """Evaluate the Alarms of FILE, and what its Rollouts watch, now or at a moment; print every part with its reason.

    Exits with 1 if none of them could be asked, or a Rollout cannot be read.
    """
    (alarms, rollouts), context = read_all(file), _context(variables)
    moment = _moment(at) if at is not None else None
    found = _with_sources(
        prometheus, prometheus_config, lambda s: evaluate_file(alarms, rollouts, s.by_name, context, moment)
    )
    print_evaluations(found)
    unread = [rollout for rollout in rollouts if rollout.spec is None]
    for rollout in unread:
        click.echo(f"{rollout.namespace}/{rollout.name} (Rollout): error: {rollout.problem}", err=True)
    if unread or all(one.verdict.evaluated_at is None for one in found):
        raise click.exceptions.Exit(1)


@alarm_command.command("backtest")
@click.argument("file", type=_FILE)
@_prometheus_options
@click.option("--from", "start", required=True, metavar="TIME", help="A moment, or as 1d for a day ago.")
@click.option("--to", "end", default="0s", metavar="TIME", help="A moment, or as 0s for now (the default).")
@click.option("--png", type=click.Path(path_type=Path, dir_okay=False), help="Draw it into this file.")
def backtest_command(
    file: Path,
    prometheus: str | None,
    prometheus_config: Path | None,
    variables: tuple[str, ...],
    start: str,
    end: str,
    png: Path | None,
) -> None:
    """Say when the Alarms of FILE, and what its Rollouts watch, would have fired, how often and for how long.

    Exits with 1 if one of them could not be judged; the others are.
    """
    (alarms, rollouts), context = read_all(file), _context(variables)
    first, last = _moment(start), _moment(end)
    if first >= last:
        raise click.UsageError("--from is not before --to")
    found = _with_sources(
        prometheus, prometheus_config, lambda s: backtest(alarms, rollouts, s.by_name, context, (first, last))
    )
    tracks = list(found.tracks.values())
    print_backtest(tracks)
    if png is not None and tracks:
        from ombak.cli.alarm_picture import draw

        draw(tracks, png)
        click.echo(f"drawn into {png}", err=True)
    for key, problem in found.problems.items():
        click.echo(f"{key}: error: {problem}", err=True)
    if found.problems:
        raise click.exceptions.Exit(1)


def _with_sources(
    url: str | None, config: Path | None, work: Callable[[PrometheusSources], Coroutine[Any, Any, _T]]
) -> _T:
    try:
        sources = open_sources(url, config)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    try:
        return asyncio.run(work(sources))
    finally:
        sources.close()


def _context(variables: Sequence[str]) -> template.Context:
    parts = (text.partition("=") for text in variables)
    pairs: dict[str, Any] = {name: value for name, _, value in parts}
    if unknown := pairs.keys() - set(template.KNOWN) | ({"window"} & pairs.keys()):
        known = ", ".join(name for name in template.KNOWN if name != "window")
        raise click.UsageError(f"--var {sorted(unknown)[0]} is no variable of a query; there are {known}")
    return template.Context(**pairs)


def _moment(text: str) -> datetime:
    """A moment as ISO 8601 (UTC where it does not say), or as a time before now."""
    try:
        moment = _moment_of(text)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is no moment; write 2026-01-31T12:00:00Z, or 2h for two hours ago"
        ) from None
    if not _EARLIEST <= moment <= _LATEST:
        raise click.BadParameter(f"{text!r} lies outside of {_EARLIEST:%Y} to {_LATEST:%Y}; no Prometheus was there")
    return moment - timedelta(microseconds=moment.microsecond % 1000)


def _moment_of(text: str) -> datetime:
    try:
        length = parse_duration(text)
    except ValueError:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return datetime.now(UTC) - length
