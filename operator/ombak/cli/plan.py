"""`ombak plan`: what a change of a Pipeline will do, before anybody asks for it."""

import json
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from ombak.adapters.clock import SystemClock
from ombak.cli.manifest_files import read_documents
from ombak.cli.plan_facts import plan_all
from ombak.cli.plan_json import plan_json
from ombak.cli.plan_read import Book
from ombak.cli.plan_text import plan_lines
from ombak.core.gates.compile import zone_of
from ombak.core.gates.problems import UnreadableWindow

_WRONG, _NEVER = 2, 1
_PATHS = click.Path(path_type=Path, exists=True)


class _Zone(click.ParamType[ZoneInfo]):
    name = "zone"

    def convert(self, value: object, _param: click.Parameter | None, _ctx: click.Context | None) -> ZoneInfo:
        try:
            return zone_of(str(value))
        except UnreadableWindow as error:
            raise click.BadParameter(str(error)) from error


class _Moment(click.ParamType[datetime]):
    name = "time"

    def convert(self, value: object, _param: click.Parameter | None, _ctx: click.Context | None) -> datetime:
        try:
            return datetime.fromisoformat(str(value))
        except ValueError:
            told = f"{value!r} is no moment; write for example 2026-01-05T09:00 or 2026-01-05T09:00:00+07:00"
            raise click.BadParameter(told) from None


@click.command("plan")
@click.argument("files", nargs=-1, required=True, type=_PATHS, metavar="FILES...")
@click.option("--regions", "more", multiple=True, type=_PATHS, help="More files: Regions, Windows, Blockers.")
@click.option("--start", type=_Moment(), help="When the change is asked for; default: now.")
@click.option("--time-zone", "zone", type=_Zone(), default="UTC", show_default=True, help="Of times here; the hub's.")
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--kubeconfig", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Default: as kubectl finds it."
)
@click.option("--context", help="A context of the kubeconfig: the hub.")
def plan_command(
    files: tuple[Path, ...],
    more: tuple[Path, ...],
    start: datetime | None,
    zone: ZoneInfo,
    output: str,
    kubeconfig: Path | None,
    context: str | None,
) -> None:
    """Say how long a change of the Pipelines in FILES needs to all regions, and how much it touches on which day.

    FILES, or folders of them, hold Pipelines with their bases, Regions, Windows and Blockers. Where they hold no
    Region, Regions, Windows, Blockers and bases come from the hub besides; what FILES say wins. Nothing is written.

    The hub's own decisions are played in simulated time: nothing fails, every alarm stays OK, no other change is
    on its way. Ends with 2 if a manifest is wrong, and with 1 if a change would not get everywhere.
    """
    book = Book(zone.key)
    documents = [document for path in (*files, *more) for document in read_documents(path)]
    if all(document.get("kind") != "Region" for document in documents):
        try:
            book.take_cluster(kubeconfig, context)
        except click.ClickException as error:
            book.take_files(documents)
            _tell(book)
            told = "FILES hold no Region, so those of a hub are needed; add files with Regions (--regions), or"
            raise click.ClickException(f"{told} mend this: {error.message}") from error
    book.take_files(documents)
    book.compile()
    now = start or SystemClock().now()
    planned = plan_all(book, now if now.tzinfo is not None else now.replace(tzinfo=zone))
    _tell(book)
    if not planned and not book.problems:
        raise click.ClickException("the files hold no Pipeline with a rollout; there is nothing to plan")
    if output == "json":
        click.echo(json.dumps({"pipelines": [plan_json(each, zone) for each in planned]}, indent=2))
    else:
        click.echo("\n\n".join("\n".join(plan_lines(each, zone)) for each in planned))
    if book.problems:
        raise click.exceptions.Exit(_WRONG)
    if any(each.forecast.ended is None for each in planned):
        raise click.exceptions.Exit(_NEVER)


def _tell(book: Book) -> None:
    for problem in book.problems:
        click.echo(problem, err=True)
