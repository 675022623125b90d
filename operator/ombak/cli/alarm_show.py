"""`ombak alarm show`: what watches a Rollout in a cluster, what each of it says and why, and what it would do."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import click

from ombak.adapters.clock import SystemClock
from ombak.adapters.kubernetes import namespace_of
from ombak.adapters.prometheus_config import ConfigError, PrometheusSources, open_sources
from ombak.cli.alarm_show_alarm import show_alarm
from ombak.cli.alarm_show_read import cluster, read_one, read_surroundings
from ombak.cli.alarm_show_rollout import show_rollout
from ombak.cli.alarm_show_text import alarm_lines, rollout_lines
from ombak.runtime import kinds
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.kube_port import KubeClient
from ombak.runtime.records import decode_rollout

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_KINDS = {
    "rollout": kinds.ROLLOUTS,
    "rollouts": kinds.ROLLOUTS,
    "omr": kinds.ROLLOUTS,
    "alarm": kinds.ALARMS,
    "alarms": kinds.ALARMS,
}


@click.command("show")
@click.argument("target", metavar="rollout/NAME|alarm/NAME")
@click.option("--namespace", "-n", help="Default: that of the kubeconfig's context.")
@click.option("--kubeconfig", type=_FILE, help="Default: as kubectl finds it.")
@click.option("--context", help="A context of the kubeconfig.")
@click.option("--prometheus", metavar="URL", help="Ask this Prometheus now, instead of reading what the status says.")
@click.option("--prometheus-config", type=_FILE, help="The same with every Prometheus, as `ombak run` takes it.")
def show_command(
    target: str,
    namespace: str | None,
    kubeconfig: Path | None,
    context: str | None,
    prometheus: str | None,
    prometheus_config: Path | None,
) -> None:
    """Say what watches a Rollout of a cluster (or what an Alarm is), with states, reasons and numbers.

    Reads only: the Rollout, and the Alarms of its namespace and team. States are those that the operator told; with
    --prometheus they are asked for now.
    """
    kind, slash, name = target.partition("/")
    if not slash or not name or kind.lower() not in _KINDS:
        raise click.UsageError(f"{target!r} is neither rollout/NAME nor alarm/NAME")
    with _sources(prometheus, prometheus_config) as sources:
        key = (namespace or namespace_of(kubeconfig, context), name)
        asked = _ask(kubeconfig, context, kind.lower() in ("alarm", "alarms"), key, sources)
        for line in asyncio.run(asked):
            click.echo(line)


@contextlib.contextmanager
def _sources(url: str | None, config: Path | None) -> Iterator[PrometheusSources | None]:
    if url is None and config is None:
        yield None
        return
    try:
        sources = open_sources(url, config)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    try:
        yield sources
    finally:
        sources.close()


async def _ask(
    kubeconfig: Path | None,
    context: str | None,
    is_alarm: bool,
    key: tuple[str, str],
    sources: PrometheusSources | None,
) -> list[str]:
    service = AlarmService(sources.by_name if sources is not None else {}, SystemClock(), lambda _: None)
    async with cluster(kubeconfig, context) as client:
        show = _alarm if is_alarm else _rollout
        return await show(client, key, service, sources is not None)


async def _rollout(client: KubeClient, key: tuple[str, str], service: AlarmService, is_live: bool) -> list[str]:
    record = decode_rollout(await read_one(client, kinds.ROLLOUTS, key))
    if record.spec is None:
        raise click.ClickException(f"the spec of rollout {key[1]} cannot be read; correct it: {record.problem}")
    found = await read_surroundings(client, key[0], service)
    return list(rollout_lines(await show_rollout(record, found, service, is_live=is_live)))


async def _alarm(client: KubeClient, key: tuple[str, str], service: AlarmService, is_live: bool) -> list[str]:
    await read_one(client, kinds.ALARMS, key)
    found = await read_surroundings(client, key[0], service)
    return list(alarm_lines(await show_alarm(client, key, found, service, is_live=is_live)))
