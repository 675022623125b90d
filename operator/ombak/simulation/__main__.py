"""`python -m ombak.simulation`: replay one run by its seed, or run many and tell what broke."""

import collections
import sys

import click

from ombak.simulation.batches import ENGINES, SCENARIOS, batch, one, replay
from ombak.simulation.run import Outcome

_SHOWN = 20


def _summary(outcomes: list[Outcome], engine: str) -> None:
    broken = [o for o in outcomes if o.violations]
    for outcome in broken[:_SHOWN]:
        click.echo(f"{outcome.violations[0]}\n  {replay(outcome, engine)}")
    phases = collections.Counter(o.phase for o in outcomes)
    ended = ", ".join(f"{count} {phase}" for phase, count in phases.most_common())
    hours, passes = sum(o.seconds for o in outcomes) / 3600, sum(o.passes for o in outcomes)
    click.echo(f"{len(outcomes)} runs ({ended}): {hours:.0f} simulated hours, {passes} passes, {len(broken)} broken")


@click.command()
@click.option("--seed", type=int, default=1, show_default=True, help="The seed (the first one with --runs).")
@click.option("--scenario", "name", type=click.Choice(SCENARIOS), default="chaos", show_default=True)
@click.option(
    "--engine",
    type=click.Choice(sorted(ENGINES)),
    default="loop",
    show_default=True,
    help="loop: event loop, work queue, calls that take time; quick: none of these, many times as fast "
    "(with --scenario regions this is about the operators of the regions: the hub always has them).",
)
@click.option("--trace", is_flag=True, help="Show all that happened.")
@click.option("--runs", type=int, default=0, help="Run so many seeds and sum up.")
@click.option(
    "--jobs", type=click.IntRange(0), default=1, show_default=True, help="Processes for --runs; 0: all cores."
)
def main(seed: int, name: str, engine: str, trace: bool, runs: int, jobs: int) -> None:
    """Simulate a region, or a hub with several, with people and faults under all promises; exits 1 if one broke."""
    if runs:
        outcomes = batch(name, range(seed, seed + runs), engine, jobs)
        _summary(outcomes, engine)
        sys.exit(any(o.violations for o in outcomes))
    outcome = one(name, seed, engine)
    for line in outcome.trace if trace else ():
        click.echo(line)
    for violation in outcome.violations:
        click.echo(violation)
    if outcome.violations:
        click.echo(f"again: {replay(outcome, engine)}")
        sys.exit(1)
    click.echo(f"{name}, seed {seed}: ended {outcome.phase} after {outcome.seconds:.0f} s, every promise kept")


if __name__ == "__main__":
    main()
