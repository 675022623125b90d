"""What configuration costs: the operator's memory beside N ConfigMaps that nobody lists, and while they change."""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks import bench
from ombak.sandbox import Region

CONFIG_MAPS = f"/api/v1/namespaces/{bench.NAMESPACE}/configmaps"
SETTLES_S = 15


def measure(count: int, size: int, folder: Path) -> None:
    """One Rollout with configuration, then `count` ConfigMaps of `size` bytes beside it, then every one changes."""
    with bench.bench_region() as region:
        client = region.plane.client
        client.call("POST", CONFIG_MAPS, {"metadata": {"name": "settings"}, "data": {"flag": "off"}})
        client.call("POST", bench.COLLECTION, bench.rollout("plain", "1"))
        bench.wait_settled(region, 0)
        print(f"\nconfiguration beside {count} ConfigMaps of {size // 1000} KB that nobody lists")
        _run(region, folder / "plain.log", "without configuration")
        client.call("POST", bench.COLLECTION, _configured())
        _run(region, folder / "alone.log", "one Rollout with configuration, no other ConfigMaps")
        strangers = [f"stranger-{i:04d}" for i in range(count)]
        bench.for_all(lambda name: client.call("POST", CONFIG_MAPS, _stranger(name, size)), strangers, 4)
        operator = bench.OperatorUnderTest(region, folder / "beside.log")
        try:
            bench.wait_settled(region, 2)
            _tell(operator, "the same beside all of them, after a start")
            before = operator.cpu_s()
            bench.for_all(lambda name: _touch(region, name), strangers, 4)
            _tell(operator, "after every one has changed")
            print(f"  CPU for {count} changes {operator.cpu_s() - before:.2f} s")
            mark, began = region.audit.mark(), time.monotonic()
            client.call("PATCH", f"{CONFIG_MAPS}/settings", {"data": {"flag": "on"}})
            time.sleep(1)
            bench.wait_settled(region, 2)
            found = region.audit.counts("ombak", since=mark)
            writes = {f"{verb} {plural}": n for (verb, plural), n in sorted(found.writes.items())}
            took = time.monotonic() - began
            print(f"  a change of the one that is listed: {took:.1f} s, {sum(writes.values())} writes: {writes}")
            print(f"  reads of ConfigMaps {found.gets.get(('get', 'configmaps'), 0)}")
        finally:
            operator.stop()


def _run(region: Region, log: Path, told: str) -> None:
    operator = bench.OperatorUnderTest(region, log)
    try:
        bench.wait_settled(region, 1)
        _tell(operator, told)
    finally:
        operator.stop()


def _tell(operator: bench.OperatorUnderTest, told: str) -> None:
    time.sleep(SETTLES_S)
    print(f"  {operator.rss_mb():.0f} MB {told}", flush=True)


def _configured() -> bench.Json:
    made = bench.rollout("configured", "1", config=["settings"])
    pod = made["spec"]["template"]["spec"]
    pod["containers"][0]["envFrom"] = [{"configMapRef": {"name": "settings"}}]
    return made


def _stranger(name: str, size: int) -> bench.Json:
    return {"metadata": {"name": name}, "data": {"text": "x" * size}}


def _touch(region: Region, name: str) -> None:
    region.plane.client.call("PATCH", f"{CONFIG_MAPS}/{name}", {"data": {"more": "y"}})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=1000)
    parser.add_argument("size", nargs="?", type=int, default=100_000)
    with tempfile.TemporaryDirectory() as place:
        arguments = parser.parse_args()
        measure(arguments.count, arguments.size, Path(place))
