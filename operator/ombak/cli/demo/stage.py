"""Sets the stage for the story, shows it as it happens, and leaves nothing behind."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from importlib.resources.abc import Traversable

import yaml
from rich.console import Console
from rich.live import Live
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from ombak.cli.demo.boxes import BoxWatch
from ombak.cli.demo.keep import instructions
from ombak.cli.demo.scene import Camera, Scene, questions
from ombak.cli.demo.story import NAMESPACE, Story, versions
from ombak.cli.demo.summary import Act, Outcome, sentences, table
from ombak.cli.demo.view import Programme, clock, panel, plain
from ombak.cli.generate import crd_files
from ombak.sandbox import Process, Region

USER = "ombak"
NAME = "front-end"
LOG_WIDTH = 100
_SHORT = 60
"""Characters of a line about a build that stand beside the clock."""
_SHOWN = "rollouts,artifacts,deployments,replicasets"


def demonstrate(keep: bool) -> str:
    """Play it all; returns why it did not go as promised, empty if it did.

    With `keep` it stays until Ctrl-C. Raises SandboxError, BuildError, ToolMissingError.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH)
    with progress(console) as say:
        region = Region.start("demo", users=(USER,), progress=say)
    is_fine = False
    try:
        outcome = _demonstrate(region, keep, console)
        is_fine = not outcome.problem
    except KeyboardInterrupt:
        is_fine = True
        raise
    finally:
        region.stop(keep_logs=not is_fine)
        if not is_fine:
            console.print(f"the logs are kept in {region.workdir.logs}", soft_wrap=True)
    return outcome.problem


def _demonstrate(region: Region, keep: bool, console: Console) -> Outcome:
    console.print(
        f"A region is up: API server, scheduler, six nodes, Prometheus {region.prometheus_url}", soft_wrap=True
    )
    install(region)
    operator = start_operator(region)
    try:
        outcome = _play(_story(region, operator), console)
        _tell(outcome, region, console)
        if keep:
            _wait(region, operator, console)
    finally:
        operator.stop()
    return outcome


@contextlib.contextmanager
def progress(console: Console) -> Iterator[Callable[[str], None]]:
    """Lines for what is built and how long it takes; in a terminal also a clock that shows that it goes on."""
    if not console.is_terminal:
        yield lambda line: console.print(Text(line), soft_wrap=True)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting a control plane and a Prometheus")

        def say(line: str) -> None:
            progress.console.print(Text(line))
            progress.reset(task, description=line.partition(",")[0][:_SHORT])

        yield say


def install(region: Region) -> None:
    """Do what a platform team does once: the CRDs and the operator's rights."""
    crds = "---\n".join(crd_files().values())
    region.kubectl("apply", "-f", "-", input=crds)
    region.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", "-", input=crds)
    with resources.as_file(manifests() / "rbac.yaml") as rbac:
        region.grant(USER, rbac)


def start_operator(region: Region, *options: str) -> Process:
    """Start the operator of a region, with rights of its own."""
    command = [sys.executable, "-m", "ombak", "run", "--prometheus", region.prometheus_url, *options]
    command += ["--kubeconfig", str(region.kubeconfig_for(USER))]
    operator = Process("operator", command, region.workdir.logs / "operator.log")
    operator.start()
    return operator


def manifests() -> Traversable:
    """Return the folder with what is applied."""
    return resources.files("ombak.cli.demo") / "manifests"


def _story(region: Region, operator: Process) -> Story:
    """Do what a service team does once: a namespace, the Service, the Alarms. The Rollout is the story's."""
    region.kubectl("create", "namespace", NAMESPACE)
    service, alarms, rollout = ((manifests() / f"{name}.yaml").read_text() for name in ("service", "alarms", "rollout"))
    for text in (service, alarms):
        region.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=text)
    watch = BoxWatch(region.plane.client, NAMESPACE, NAME)
    watch.start()
    asked = questions(list(yaml.safe_load_all(alarms)), NAMESPACE, NAME)
    camera = Camera(region, watch, asked, NAMESPACE, NAME)
    return Story(region, operator, camera, watch, versions(yaml.safe_load(rollout)))


def _play(story: Story, console: Console) -> Outcome:
    """Show the story as it happens: live in a terminal, line by line elsewhere."""

    def acted(act: Act) -> None:
        console.print(f"[bold]{act.version}[/] {act.problem or act.outcome} after {clock(act.took)}", soft_wrap=True)

    if not console.is_terminal:
        return story.play(_LineByLine(console).show, acted)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        return story.play(lambda scene, programme: live.update(panel(scene, programme), refresh=True), acted)


class _LineByLine:
    """Prints a line for each change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._scene: Scene | None = None
        self._programme: Programme | None = None

    def show(self, scene: Scene, programme: Programme) -> None:
        if programme is not self._programme:
            self._console.print(Text(programme.title), soft_wrap=True)
            self._scene = None
        line = plain(scene, programme, self._scene)
        self._scene, self._programme = scene, programme
        if line is not None:
            self._console.print(Text(line), soft_wrap=True)


def _tell(outcome: Outcome, region: Region, console: Console) -> None:
    console.print("\n[bold]What happened[/]")
    console.print(table(outcome.acts, outcome.replicas))
    for sentence in sentences(outcome):
        console.print(sentence, soft_wrap=not console.is_terminal)
    console.print(f"\n[bold]What kubectl shows now[/] [dim](kubectl -n {NAMESPACE} get {_SHOWN})[/]", soft_wrap=True)
    console.print(Text(region.kubectl("-n", NAMESPACE, "get", _SHOWN)), soft_wrap=True)


def _wait(region: Region, operator: Process, console: Console) -> None:
    """Say how to look around, and wait for Ctrl-C."""
    console.print(Text(instructions(region)), soft_wrap=True)
    wait_for_ctrl_c([operator], console)


def wait_for_ctrl_c(operators: Sequence[Process], console: Console) -> None:
    """Wait for a person to have seen enough. Raises SandboxError when an operator ends."""
    never = threading.Event()
    with contextlib.suppress(KeyboardInterrupt):
        while not never.wait(0.5):
            for operator in operators:
                operator.check()
    console.print("\nstopping ...")
