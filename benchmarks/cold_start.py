"""N settled Rollouts: how long a new operator takes to have looked at all, what it writes (nothing), its memory."""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import bench
from benchmarks.targets import Count, are_kept


def measure(count: int, folder: Path) -> bool:
    """Settle `count` Rollouts with two versions each, stop the operator, start another one; it must write nothing."""
    with bench.bench_region() as region:
        operator = bench.OperatorUnderTest(region, folder / "first.log")
        bench.create_all(region, count)
        bench.wait_settled(region, count)
        bench.release_all(region, count, "2")
        bench.wait_settled(region, count)
        operator.stop()
        mark, log = region.audit.mark(), folder / "second.log"
        operator = bench.OperatorUnderTest(region, log)
        try:
            looked = wait_looked(log, operator.started)
            cpu = operator.cpu_s()
            time.sleep(10)
            found = region.audit.counts("ombak", since=mark)
            print(f"\ncold start with {count} Rollouts of 10 replicas, 2 ReplicaSets each")
            print(f"  every one looked at after {looked:.1f} s (process start included), CPU {cpu:.1f} s")
            print(f"  memory {operator.rss_mb():.0f} MB")
            return are_kept(Count("writes", found.writes.total(), 0), Count("Events", found.events, 0))
        finally:
            operator.stop()


def wait_looked(log: Path, started: float, limit_s: float = 120) -> float:
    """Wait for the line that says that every object was looked at once."""
    while time.monotonic() - started < limit_s:
        for line in log.read_text().splitlines():
            if line.startswith("{") and json.loads(line).get("event") == "looked at everything":
                return time.monotonic() - started
        time.sleep(0.05)
    raise TimeoutError("the operator did not look at everything")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=1000)
    with tempfile.TemporaryDirectory() as place:
        sys.exit(0 if measure(parser.parse_args().count, Path(place)) else 1)
