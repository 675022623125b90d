"""`ombak plan` of one Pipeline over N regions: its CPU time. No control plane is needed."""

import argparse
import cProfile
import pstats
import time
from datetime import UTC, datetime
from typing import Any

from benchmarks.hub_simulated import child
from ombak.api.common import API_VERSION
from ombak.cli.plan_facts import plan_all
from ombak.cli.plan_read import Book

Json = dict[str, Any]
_MONDAY = datetime(2026, 1, 5, 9, tzinfo=UTC)
_ZONES = ("UTC", "Asia/Jakarta", "America/New_York")
_WAVES = {"alpha": 1, "beta": 2, "gamma": 4, "wave-1": 5, "wave-2": 8, "wave-3": 20}
"""The stages before the last one, and the number of regions in and before each."""


def region(number: int) -> Json:
    """A Region of one of three clouds, each in a time zone of its own."""
    wave = next((name for name, last in _WAVES.items() if number < last), "rest")
    labels = {"wave": wave, "cloud": str(number % 3)}
    spec = {"access": {"inCluster": {}}, "timeZone": _ZONES[number % 3]}
    return _made("Region", f"r-{number:04}", spec, labels=labels)


def pipeline(max_parallel: int | None) -> Json:
    """A service with three pre-production stages and four waves, in office hours, with a value for each cloud."""
    stages: list[Json] = [{"name": name, "regions": {"matchLabels": {"wave": name}}} for name in _WAVES]
    stages.append({"name": "rest", "regions": "Unplaced", **({"maxParallel": max_parallel} if max_parallel else {})})
    for stage in stages:
        stage["phase"] = "PreProd" if stage["name"] in ("alpha", "beta", "gamma") else "Prod"
    made: Json = child("shop", "service", "1")["spec"]
    values = [{"regions": {"matchLabels": {"cloud": str(n)}}, "env": {"DB": f"db-{n}"}} for n in range(3)]
    more = {"stages": stages, "values": values, "windows": ["office"]}
    return _made("Pipeline", "service", {k: v for k, v in made.items() if k != "extends"} | more, namespace="shop")


def window() -> Json:
    """From Monday to Friday, in the time of each Region."""
    days = ["Mon", "Tue", "Wed", "Thu", "Fri"]
    return _made("Window", "office", {"open": [{"days": days, "from": "09:00", "to": "16:00"}]})


def _made(kind: str, name: str, spec: Json, **meta: Any) -> Json:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, **meta}, "spec": spec}


def main() -> None:
    """Measure one size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regions", type=int, default=300)
    parser.add_argument("--max-parallel", type=int, help="of the last stage; default: all at once")
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    options = parser.parse_args()
    book = Book("UTC")
    book.take_files([*map(region, range(options.regions)), window(), pipeline(options.max_parallel)])
    book.compile()
    profile = cProfile.Profile()
    began = time.process_time()
    (planned,) = profile.runcall(plan_all, book, _MONDAY) if options.profile else plan_all(book, _MONDAY)
    took = time.process_time() - began
    if options.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
    assert planned.forecast.ended is not None, planned.forecast.stuck
    print(f"{options.regions} regions, {options.max_parallel or 'all'} at once: {took:.1f} s CPU")
    print(f"  everywhere after {planned.forecast.length}")


if __name__ == "__main__":
    main()
