"""The `ombak` command, also found as `kubectl ombak`."""

import click

from ombak.cli.alarm import alarm_command
from ombak.cli.demo.command import demo_command
from ombak.cli.generate import crds_command, policy_command
from ombak.cli.pipeline import pipeline_command
from ombak.cli.plan import plan_command
from ombak.cli.reference import docs_command
from ombak.cli.run import run_command


@click.group()
@click.version_option(package_name="ombak")
def main() -> None:
    """Deliver changes hands-off: one box, small batches, bake under alarms, and back by itself."""


main.add_command(run_command)
main.add_command(alarm_command)
main.add_command(crds_command)
main.add_command(demo_command)
main.add_command(docs_command)
main.add_command(pipeline_command)
main.add_command(plan_command)
main.add_command(policy_command)
