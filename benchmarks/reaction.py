"""From "the bad value is visible in Prometheus" to the first write of the revert, by alarm period."""

import argparse
import statistics
import tempfile
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from benchmarks import bench
from ombak.sandbox import Region


class Gauge:
    """An exporter of one number, which the benchmark turns bad."""

    def __init__(self) -> None:
        self.value = 0.0
        gauge = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(f"bench_bad {gauge.value}\n".encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()


def alarm(period_s: int) -> bench.Json:
    """One point over the threshold is an alarm."""
    metric = {
        "query": "bench_bad",
        "comparison": "GreaterThanThreshold",
        "threshold": 0.5,
        "period": f"{period_s}s",
        "evaluationPeriods": 1,
    }
    return {
        "apiVersion": "ombak.dev/v1alpha1",
        "kind": "Alarm",
        "metadata": {"name": "bad"},
        "spec": {"metric": metric},
    }


def measure(period_s: int, runs: int, log: Path) -> None:
    """Let a release go bad in its bake, again and again, at moments that fall anywhere in the period."""
    gauge = Gauge()
    with bench.bench_region() as region:
        region.prometheus.add_target("bench", gauge.address)
        client = region.plane.client
        client.call("POST", bench.COLLECTION.replace("rollouts", "alarms"), alarm(period_s))
        operator = bench.OperatorUnderTest(region, log)
        try:
            spec = {"alarms": {"revert": 'ALARM("bad")'}, "unwatched": None}
            first = bench.rollout("app-0000", "0", **spec)
            first["spec"].pop("unwatched")
            client.call("POST", bench.COLLECTION, first)
            bench.wait_settled(region, 1)
            long = {"spec": {"strategy": {"oneBox": {"bake": {"for": "1h"}}}}}
            client.call("PATCH", f"{bench.COLLECTION}/app-0000", long)
            delays = [one_run(region, gauge, n, period_s) for n in range(1, runs + 1)]
        finally:
            operator.stop()
    median = statistics.median(delays)
    print(f"\nperiod {period_s} s, {runs} runs: bad value visible -> first revert write")
    print(f"  min {min(delays):.2f} s, median {median:.2f} s, max {max(delays):.2f} s")


def one_run(region: Region, gauge: Gauge, number: int, period_s: int) -> float:
    """One release that goes bad; returns seconds from the visible value to the first write."""
    bench.set_version(region, "app-0000", str(number))
    bench.wait_settled(region, 1, "OneBoxBake")
    time.sleep(period_s * (1 + 0.37 * number % 1))
    mark = region.audit.mark()
    gauge.value = 1.0
    while not region.prometheus.value("bench_bad"):
        time.sleep(0.02)
    visible = time.time()
    bench.wait_settled(region, 1, "Reverted")
    gauge.value = 0.0
    writes = (e for e in region.audit.entries("ombak", since=mark) if e["verb"] in ("patch", "update", "create"))
    first = next(e for e in writes if e["objectRef"].get("resource") != "events")
    while region.prometheus.value("bench_bad"):
        time.sleep(0.1)
    time.sleep(period_s)
    return datetime.fromisoformat(first["requestReceivedTimestamp"]).timestamp() - visible


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("periods", nargs="*", type=int, default=[1, 10])
    chosen = parser.parse_args()
    for seconds in chosen.periods:
        with tempfile.NamedTemporaryFile(suffix=".log", delete=False) as file:
            measure(seconds, chosen.runs, Path(file.name))
