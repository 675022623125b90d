"""Releases of 10 replicas, one and many at once: wall time, requests by audit log, CPU and memory of the operator."""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks import bench, peer


def measure(count: int, log: Path) -> None:
    """Install `count` Rollouts, then release a second version of all at once."""
    with bench.bench_region() as region:
        operator = bench.OperatorUnderTest(region, log)
        try:
            began = time.monotonic()
            bench.create_all(region, count)
            bench.wait_settled(region, count)
            installed = time.monotonic() - began
            mark, cpu, began = region.audit.mark(), operator.cpu_s(), time.monotonic()
            bench.release_all(region, count, "2")
            bench.wait_settled(region, count)
            wall, cpu = time.monotonic() - began, operator.cpu_s() - cpu
            time.sleep(2)
            report(count, installed, wall, cpu, operator.rss_mb(), region.audit.counts("ombak", since=mark))
        finally:
            operator.stop()


def report(count: int, installed: float, wall: float, cpu: float, rss: float, found: object) -> None:
    """Print one row of figures and its ratios to the peer's."""
    writes = sum(found.writes.values()) / count
    reads, lists = sum(found.gets.values()) / count, sum(found.uncached.values())
    print(f"\n{count} releases of 10 replicas at once (install {installed:.1f} s)")
    print(f"  wall {wall:.1f} s, operator CPU {cpu:.2f} s, RSS {rss:.0f} MB")
    print(f"  per release: {writes:.2f} writes, {found.events / count:.2f} events, {reads:.2f} single reads,")
    print(f"               {sum(found.dry_run.values()) / count:.2f} dry runs; uncached lists in all: {lists}")
    print(f"  writes by kind: {dict(found.writes)}")
    print(f"  refused: {dict(found.failed)}")
    other = peer.RELEASES.get(count)
    if other:
        print(
            f"  ratio to the peer: wall {wall / other.wall_s:.2f}, CPU {cpu / other.cpu_s:.2f}, "
            f"writes {writes / other.writes:.2f}, events {found.events / count / other.events:.2f}, "
            f"RSS {rss / other.rss_mb:.2f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[1, 100, 1000])
    for number in parser.parse_args().counts:
        with tempfile.NamedTemporaryFile(suffix=".log", delete=False) as file:
            print(f"operator's log: {file.name}", flush=True)
        measure(number, Path(file.name))
