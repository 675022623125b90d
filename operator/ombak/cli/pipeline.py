"""`ombak pipeline show`: stages, regions, what is on its way, what waits for what, and the command that helps."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from ombak.adapters.clock import SystemClock
from ombak.adapters.kubernetes import namespace_of
from ombak.api.duration import format_duration
from ombak.cli.alarm_show_read import cluster, read_one
from ombak.runtime import kinds
from ombak.runtime.decode_alarm import moment_of
from ombak.runtime.kube_port import Object, listed, mapping
from ombak.runtime.store import Key

_MARKS = {
    "Stable": "●",
    "Moving": "◐",
    "Held": "◌",
    "Busy": "◌",
    "Edited": "!",
    "TakenBack": "✗",
    "Conflict": "✗",
    "Unknown": "?",
    "Later": "●",
}
_NOTHING = "○"


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
    for line in pipeline_lines(found, SystemClock().now()):
        click.echo(line)


async def _read(kubeconfig: Path | None, context: str | None, key: Key) -> Object:
    async with cluster(kubeconfig, context) as client:
        return await read_one(client, kinds.PIPELINES, key)


def pipeline_lines(found: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """A Pipeline as its status tells it."""
    meta, status = mapping(found.get("metadata")), mapping(found.get("status"))
    if not status:
        yield f"Pipeline {meta.get('name')}: no hub has looked at it yet; is one running with --hub?"
        return
    yield f"Pipeline {meta.get('name')}: {status.get('reason') or 'Idle'}"
    if status.get("message"):
        yield from (f"  {line}" for line in str(status["message"]).splitlines())
    if status.get("observedGeneration") != meta.get("generation"):
        yield "  (the hub has not seen the newest spec yet)"
    yield ""
    for stage in map(mapping, listed(status.get("stages"))):
        yield from _stage(stage, now)
    yield from _travelling([mapping(t) for t in listed(status.get("travelling"))], now)
    yield from _waits([mapping(w) for w in listed(status.get("waitingFor"))], now)
    applied = next((c for c in map(mapping, listed(status.get("conditions"))) if c.get("type") == "Applied"), {})
    if applied.get("status") == "False":
        yield f"could not be written: {applied.get('message')}"


def _stage(stage: Mapping[str, Any], now: datetime) -> Iterator[str]:
    batch = f", {stage['batch']} changes at once" if stage.get("batch", 0) > 1 else ""
    content = f"  {stage['artifact']}{batch}{_since(stage, now)}" if stage.get("artifact") else ""
    yield f"{stage.get('name'):<16} {stage.get('state'):<10}{content}"
    for region in map(mapping, listed(stage.get("regions"))):
        state = str(region.get("state"))
        phase = f" ({region['phase']})" if region.get("phase") and state != "Stable" else ""
        mark, artifact = _MARKS.get(state, _NOTHING), region.get("artifact", "")
        yield f"  {mark} {region.get('name'):<20} {state}{phase}  {artifact}".rstrip()


def _travelling(items: list[Mapping[str, Any]], now: datetime) -> Iterator[str]:
    if items:
        yield ""
        yield "On their way, oldest first"
    for item in items:
        inside = item.get("state") == "Inside"
        where = (
            f"in {item['stage']}"
            if inside
            else f"behind {item['stage']}"
            if item.get("stage")
            else "before the first stage"
        )
        skipped = f", without {', '.join(item['skipped'])}" if item.get("skipped") else ""
        yield f"  {item.get('sequence'):>4}  {item.get('artifact')}  {where}{_since(item, now)}{skipped}"


def _waits(waits: list[Mapping[str, Any]], now: datetime) -> Iterator[str]:
    if waits:
        yield ""
        yield "What waits for what"
    for wait in waits:
        subject = " ".join(str(wait[k]) for k in ("artifact", "stage", "region") if wait.get(k)) or "the Pipeline"
        what, *log = str(wait.get("what")).splitlines()
        yield f"  {subject}: {what}{_since(wait, now)}{_expected(wait)}"
        yield from (f"    | {line}" for line in log)
        if wait.get("who"):
            yield f"    lifted by {wait['who']}"
        if wait.get("command"):
            yield f"    $ {wait['command']}"


def _since(found: Mapping[str, Any], now: datetime) -> str:
    since = moment_of(found.get("since"))
    if since is None or since > now:
        return ""
    return f", for {format_duration(timedelta(seconds=int((now - since).total_seconds())))}"


def _expected(wait: Mapping[str, Any]) -> str:
    expected = moment_of(wait.get("expected"))
    return f", until {expected.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z" if expected is not None else ""
