"""How a scene looks: a panel in a terminal, one plain line per change anywhere else."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from rich import box
from rich.console import RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ombak.api.duration import format_duration
from ombak.api.rollout_status import AlarmView, Phase
from ombak.cli.demo.boxes import Box, Told
from ombak.cli.demo.scene import Number, Scene

COLOURS = ("cyan", "green", "magenta", "yellow")
"""One for each version, in the order in which they come."""
_FIRST = (Phase.INSTALLING, Phase.BAKE, Phase.STABLE)
_FORWARD = (Phase.ONE_BOX, Phase.ONE_BOX_BAKE, Phase.ROLLING, Phase.BAKE, Phase.STABLE)
_BACK = (Phase.REVERTING, Phase.REVERTED)
_STATE_STYLES = {"OK": "green", "ALARM": "bold red"}
_BAR = 30
_EVENT_ROWS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Programme:
    """What stays the same during a chapter: what is going on, and how versions are called."""

    title: str
    began: datetime
    replicas: int
    floor: int
    versions: Mapping[str, str]
    """Artifact id -> version, in the order in which they come."""
    is_first: bool = False

    def version(self, artifact: str) -> str:
        """Return how people call an artifact."""
        return self.versions.get(artifact, artifact)

    def named(self, text: str) -> str:
        """Return a text of the operator's with versions in place of the ids."""
        for artifact, version in self.versions.items():
            text = text.replace(artifact, version)
        return text

    def colour(self, artifact: str) -> str:
        """Return the colour of an artifact."""
        known = list(self.versions)
        return COLOURS[known.index(artifact) % len(COLOURS)] if artifact in known else "white"


def clock(length: timedelta) -> str:
    """Return a length as `1:05`."""
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    return f"{minutes}:{seconds:02d}"


def panel(scene: Scene, programme: Programme) -> RenderableType:
    """Return the live view; its height stays the same, so that it does not jump."""
    rows = Table.grid(padding=(0, 1), expand=True)
    rows.add_column(width=9, style="bold", no_wrap=True)
    rows.add_column(ratio=1)
    rows.add_row("Phase", _path(scene.status.phase, is_first=programme.is_first))
    rows.add_row("Boxes", _boxes(scene.boxes, programme))
    rows.add_row("", _counts(scene, programme))
    rows.add_row("Step", Text(scene.status.progress.step or "-", overflow="ellipsis", no_wrap=True))
    rows.add_row("Bake", _bake(scene))
    rows.add_row("Alarms", _alarms(scene))
    rows.add_row("", _numbers(scene.numbers))
    rows.add_row("Waits for", _waits(scene, programme))
    rows.add_row("Events", _events(scene.events, programme))
    took = clock(scene.now - programme.began)
    title = f"[bold]ombak demo[/]  {escape(programme.title)}  [dim]{took}[/]"
    return Panel(rows, title=title, title_align="left", box=box.ROUNDED, border_style="blue")


def _path(phase: Phase | None, *, is_first: bool) -> Text:
    """The way of a release, with the place where it stands."""
    forward = _FIRST if is_first else _FORWARD
    known = (forward, _BACK)
    stops = next((stops for stops in known if phase in stops), (phase,) if phase else ())
    bad = stops == _BACK
    text = Text(" > ", style="dim").join(
        Text(str(stop), style=("bold white on red" if bad else "bold black on green") if stop is phase else "dim")
        for stop in stops
    )
    return text if stops else Text("-", style="dim")


def _boxes(boxes: Sequence[Box], programme: Programme) -> Text:
    """One cell for each box: the one box first, then the newest version; what is missing is shown as such."""
    order = list(programme.versions)
    rank = {artifact: -index for index, artifact in enumerate(order)}
    ordered = sorted(boxes, key=lambda b: (not b.is_one_box, rank.get(b.artifact, 1), not b.is_ready, b.name))
    cells = [] if ordered and ordered[0].is_one_box else [_missing()]
    cells += [_cell(each, programme) for each in ordered]
    cells += [_missing() for _ in range(programme.replicas - len(cells))]
    return Text(" ").join(cells)


def _cell(each: Box, programme: Programme) -> Text:
    label = f"{programme.version(each.artifact)[:5]:^5}"
    colour = programme.colour(each.artifact)
    return Text(label, style=f"bold black on {colour}" if each.is_ready else f"dim {colour}")


def _missing() -> Text:
    return Text("  .  ", style="dim")


def _counts(scene: Scene, programme: Programme) -> Text:
    style = "green" if scene.ready >= programme.floor else "bold red"
    text = Text("^ one box   ")
    text.append(f"{scene.ready} of {programme.replicas} serve", style=style)
    text.append(f", at least {programme.floor} must", style="dim")
    return text


def _bake(scene: Scene) -> Text:
    if scene.ledger is None:
        return Text("-", style="dim")
    proven, needed = scene.ledger.proven, scene.ledger.needed
    filled = round(_BAR * (proven / needed)) if needed else _BAR
    text = Text().append("█" * filled, style="green").append("░" * (_BAR - filled), style="dim")
    return text.append(f" {_seconds(proven)} of {_seconds(needed)} proven good")


def _seconds(length: timedelta) -> str:
    return format_duration(timedelta(seconds=int(length.total_seconds())))


def _alarms(scene: Scene) -> Text:
    """What the operator says of the two expressions; between releases it asks nothing."""
    alarms = scene.status.alarms
    if alarms is None:
        return Text("watched while a release is on its way", style="dim")
    views = {"all boxes": alarms.revert, "one box": alarms.one_box}
    return Text("   ").join(_alarm(name, view) for name, view in views.items() if view)


def _alarm(name: str, view: AlarmView) -> Text:
    state = view.state if view.certainty == "Certain" else f"{view.state} (uncertain)"
    return Text(f"{name} ").append(state, style=_STATE_STYLES.get(view.state, "yellow"))


def _numbers(numbers: Sequence[Number]) -> Table:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(no_wrap=True)
    rows.add_column(justify="right", no_wrap=True)
    rows.add_column(style="dim", no_wrap=True)
    for number in numbers:
        value = "no value" if number.value is None else f"{number.value:.3f}"
        rows.add_row(number.alarm, Text(value, style="bold red" if number.is_bad else ""), f"alarms {number.condition}")
    return rows


def _waits(scene: Scene, programme: Programme) -> Text:
    """Three rows: what it waits for, who can lift it and when it should move, and the command."""
    waiting = scene.status.waiting_for
    if scene.phase is None:
        return Text("the operator, which has not seen this change yet\n\n", style="dim")
    if waiting is None:
        return Text("nothing\n\n", style="dim")
    text = Text(programme.named(waiting.what), overflow="ellipsis", no_wrap=True)
    by = f"\nlifted by: {waiting.who}"
    if waiting.expected:
        by += f" (within {_seconds(max(timedelta(0), waiting.expected - scene.now))})"
    text.append(by, style="dim")
    return text.append(f"\n{waiting.command}", style="italic")


def _events(events: Sequence[Told], programme: Programme) -> Text:
    rows = [_event(event, programme) for event in events] + [Text("")] * (_EVENT_ROWS - len(events))
    return Text("\n", overflow="ellipsis", no_wrap=True).join(rows)


def _event(event: Told, programme: Programme) -> Text:
    text = Text().append(f"{event.at:%H:%M:%S} ", style="dim")
    text.append(event.reason, style="bold yellow" if event.is_warning else "bold")
    return text.append(f" {programme.named(event.message)}")


def plain(scene: Scene, programme: Programme, before: Scene | None) -> str | None:
    """Return a line for a log, None if nothing changed that is worth one."""
    if before is not None and _essence(scene) == _essence(before):
        return None
    counts = _per_version(scene)
    order = [a for a in programme.versions if a in counts]
    boxes = "  ".join(f"{programme.version(a)} x{counts[a]}" for a in order)
    parts = [f"{clock(scene.now - programme.began):>5}  {scene.status.phase or '-':<11} {boxes or 'no box':<22}"]
    parts += [f"{n.alarm} {n.value:.3f} ({n.condition})" for n in scene.numbers if n.is_bad and n.value is not None]
    if waiting := scene.status.waiting_for:
        parts.append(f"waits for {programme.named(waiting.what)}")
    return "  ".join(parts)


def _essence(scene: Scene) -> object:
    waiting = scene.status.waiting_for
    return (
        scene.status.phase,
        _per_version(scene),
        scene.status.progress.step,
        waiting and (waiting.since, waiting.who),
        [number.is_bad for number in scene.numbers],
    )


def _per_version(scene: Scene) -> Counter[str]:
    return Counter(each.artifact for each in scene.boxes if each.is_ready)
