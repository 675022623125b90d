"""Releases of 10 replicas, one and many at once: requests by audit log against what was promised, time, CPU, memory."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import bench, peer
from benchmarks.targets import Count, are_kept
from ombak.sandbox import Region
from ombak.sandbox.audit import RequestCounts

MOST_WRITES, MOST_EVENTS, MOST_READS = 14, 6, 10


@dataclass(frozen=True, slots=True)
class Row:
    """What releases of `count` Rollouts at once took."""

    count: int
    install_s: float
    wall_s: float
    cpu_s: float
    rss_mb: float
    found: RequestCounts

    @property
    def writes(self) -> float:
        """Of one release."""
        return self.found.writes.total() / self.count

    @property
    def events(self) -> float:
        """Of one release."""
        return self.found.events / self.count

    def __str__(self) -> str:
        times = f"install {self.install_s:.1f} s, releases {self.wall_s:.1f} s, CPU {self.cpu_s:.2f} s"
        return f"{times}, RSS {self.rss_mb:.0f} MB, {self.writes:.2f} writes, {self.events:.2f} Events"


def measure_ours(count: int, log: Path) -> Row:
    """Install `count` Rollouts, then release a second version of all at once."""
    with bench.bench_region() as region:
        operator = bench.OperatorUnderTest(region, log)
        return _measured(count, region, operator, bench.create_all, bench.release_all, bench.wait_settled)


def measure_peer(count: int, log: Path, binary: Path, crds: Path) -> Row:
    """The same work by the peer."""
    with peer.peer_region(crds) as region:
        controller = peer.start(region, binary, log)
        return _measured(count, region, controller, peer.create_all, peer.release_all, peer.wait_settled)


def _measured(
    count: int,
    region: Region,
    process: bench.ProcessUnderTest,
    create_all: Callable[[Region, int], None],
    release_all: Callable[[Region, int, str], None],
    wait_settled: Callable[[Region, int], None],
) -> Row:
    try:
        began = time.monotonic()
        create_all(region, count)
        wait_settled(region, count)
        installed = time.monotonic() - began
        mark, cpu, began = region.audit.mark(), process.cpu_s(), time.monotonic()
        release_all(region, count, "2")
        wait_settled(region, count)
        wall, cpu = time.monotonic() - began, process.cpu_s() - cpu
        time.sleep(2)
        return Row(count, installed, wall, cpu, process.rss_mb(), region.audit.counts("ombak", since=mark))
    finally:
        process.stop()


def is_kept(row: Row) -> bool:
    """Print our row and its counts against the targets; returns whether all of them are kept."""
    found = row.found
    print(f"\n{row.count} releases of 10 replicas at once: {row}")
    dry_runs = found.dry_run.total() / row.count
    print(f"  {dry_runs:.2f} dry runs of each, which write nothing; refused: {dict(found.failed)}")
    print(f"  writes by kind: {dict(found.writes)}")
    return are_kept(
        Count("writes of a release", row.writes, MOST_WRITES),
        Count("Events of a release", row.events, MOST_EVENTS),
        Count("single reads of a release", found.gets.total() / row.count, MOST_READS),
        Count("uncached lists and watches in all", found.uncached.total(), 0),
    )


def compare(ours: Row, theirs: Row) -> None:
    """Print ratios to the peer, which was measured in the same run."""
    print(f"  the peer: {theirs}")
    ratios = {
        "wall": ours.wall_s / theirs.wall_s,
        "CPU": ours.cpu_s / theirs.cpu_s,
        "writes": ours.writes / theirs.writes,
        "Events": ours.events / theirs.events,
        "RSS": ours.rss_mb / theirs.rss_mb,
    }
    print("  ours to the peer's: " + ", ".join(f"{what} {ratio:.2f}" for what, ratio in ratios.items()), flush=True)


def main() -> None:
    """Measure each number of releases; exits with 1 if a promise of counts was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[1, 100, 1000])
    peer.add_options(parser)
    options = parser.parse_args()
    if (options.peer is None) != (options.peer_crds is None):
        parser.error("--peer and --peer-crds go together")
    kept = []
    for count in options.counts:
        folder = Path(tempfile.mkdtemp(prefix="ombak-bench-"))
        print(f"logs: {folder}", flush=True)
        ours = measure_ours(count, folder / "operator.log")
        kept.append(is_kept(ours))
        if options.peer is not None:
            compare(ours, measure_peer(count, folder / "peer.log", options.peer, options.peer_crds))
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
