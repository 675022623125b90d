"""`ombak demo`: what is typed, and how it ends. The rest is loaded only when it is asked for."""

import contextlib
import signal
import sys
from collections.abc import Iterator

import click


@click.command("demo")
@click.option("--regions", is_flag=True, help="Play it on a hub with three regions: a Pipeline, about four minutes.")
@click.option("--keep", is_flag=True, help="Leave it running afterwards, and say how to use kubectl with it.")
def demo_command(regions: bool, keep: bool) -> None:
    """Play a good and a bad release on a real control plane.

    Needs no cluster, no container and no root, only the extra ombak[sandbox]. Ends by itself, with 0 only if the
    good version became stable and the bad one was taken back.
    """
    try:
        from ombak.cli.demo.regions_stage import demonstrate_regions
        from ombak.cli.demo.stage import demonstrate
        from ombak.sandbox import BuildError, SandboxError, ToolMissingError
    except ImportError as error:
        raise click.ClickException(f"{error}; the demo needs the sandbox: pip install 'ombak[sandbox]'") from error
    try:
        with _terminated_as_interrupted():
            problem = demonstrate_regions(keep) if regions else demonstrate(keep)
    except KeyboardInterrupt:
        click.echo("stopped; everything it started is gone")
        sys.exit(130)
    except (BuildError, SandboxError, ToolMissingError) as error:
        raise click.ClickException(str(error)) from error
    if problem:
        raise click.ClickException(f"the demonstration did not go as promised: {problem}")


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: in order."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
