"""Many runs, on several processes if asked, and the command that shows one of them again."""

import logging
import multiprocessing
import os

import structlog

from ombak.simulation.hub.run import WORLD, world_run
from ombak.simulation.run import Outcome, loop_run, quick_run
from ombak.simulation.scenarios import names, scenario

_CHUNK = 8
SCENARIOS = [*names(), WORLD]
ENGINES = {"quick": quick_run, "loop": loop_run}


def one(name: str, seed: int, engine: str) -> Outcome:
    """Run one scenario quietly; whoever logs afterwards does so as before."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        return world_run(seed, engine) if name == WORLD else ENGINES[engine](scenario(name, seed), seed)
    finally:
        structlog.configure(**before)


def replay(outcome: Outcome, engine: str) -> str:
    """Return the command that shows this run again."""
    return f"python -m ombak.simulation --scenario {outcome.scenario} --engine {engine} --seed {outcome.seed} --trace"


def _job(job: tuple[str, int, str]) -> Outcome:
    outcome = one(*job)
    outcome.trace.clear()
    return outcome


def batch(name: str, seeds: range, engine: str, jobs: int) -> list[Outcome]:
    """Run many seeds, on several processes if asked, on one per core with 0; the outcomes in the order of the seeds."""
    work = [(name, seed, engine) for seed in seeds]
    count = min(jobs or os.cpu_count() or 1, len(work))
    if count <= 1:
        return [_job(job) for job in work]
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        # Runs last differently long, and a few of them must not all fall to one process.
        return list(pool.imap(_job, work, chunksize=max(1, min(_CHUNK, len(work) // (4 * count)))))
