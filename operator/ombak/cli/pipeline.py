"""`ombak pipeline show`: stages, regions, what is on its way, what waits for what, and the command that helps."""

import asyncio
from pathlib import Path

import click

from ombak.adapters.clock import SystemClock
from ombak.adapters.kubernetes import namespace_of
from ombak.cli.alarm_show_read import cluster, read_one
from ombak.cli.pipeline_text import pipeline_lines
from ombak.runtime import kinds
from ombak.runtime.kube_port import Object
from ombak.runtime.store import Key


@click.group("pipeline")
def pipeline_command() -> None:
    """Look at Pipelines."""


@pipeline_command.command("show")
@click.argument("name")
@click.option("--namespace", "-n", help="Default: that of the kubeconfig's context.")
@click.option(
    "--kubeconfig", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Default: as kubectl finds it."
)
@click.option("--context", help="A context of the kubeconfig.")
def show_command(name: str, namespace: str | None, kubeconfig: Path | None, context: str | None) -> None:
    """Draw a Pipeline of the hub: stages, regions, artifacts on their way, and what they wait for. Reads only."""
    key = (namespace or namespace_of(kubeconfig, context), name)
    found = asyncio.run(_read(kubeconfig, context, key))
    for line in pipeline_lines(found, SystemClock().now(), context or ""):
        click.echo(line)


async def _read(kubeconfig: Path | None, context: str | None, key: Key) -> Object:
    async with cluster(kubeconfig, context) as client:
        return await read_one(client, kinds.PIPELINES, key)
