"""Traces of whole runs that a person can read; `python tests/simulation/golden_traces.py` writes them anew."""

import re
from pathlib import Path

from ombak.simulation.batches import one

FOLDER = Path(__file__).parent / "golden"
NAMES = (
    "good-release",
    "bad-in-one-box",
    "bad-in-third-batch",
    "slow-burn-in-bake",
    "never-ready",
    "held-by-window",
    "blocked-revert",
    "good-release-in-zones",
    "bad-in-second-zone",
    "one-replica",
    "one-replica-bad",
    "two-replicas",
    "two-replicas-bad",
    "old-alarm-and-a-new-one",
)
_TIME = re.compile(r"^ *(\d+)\.(\d\d)  ")


def golden(name: str) -> str:
    """The trace of a scenario without its reads, in whole seconds, with the versions by their own names."""
    outcome = one(name, 1, "loop")
    assert not outcome.violations
    lines = [line for line in outcome.trace if not re.match(r"^ *[\d.]+  (GET|LIST) ", line)]
    text = "\n".join(_TIME.sub(lambda m: f"{m.group(1):>5}  ", line) for line in lines) + "\n"
    for number, artifact in enumerate(dict.fromkeys(re.findall(r"a1[0-9a-f]{10}", text)), start=1):
        text = text.replace(artifact, f"version{number}")
    return text


if __name__ == "__main__":
    for chosen in NAMES:
        (FOLDER / f"{chosen}.txt").write_text(golden(chosen))
