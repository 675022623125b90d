"""`ombak alarm eval` and `backtest` against a real Prometheus with a day of history."""

import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ombak.cli.main import main
from support.prometheus_history import HistoryPrometheus, running_history

pytestmark = pytest.mark.cluster
DAY = Path(__file__).with_name("alarm_day.yaml")
HOUR = 3600.0
STEP = 30.0


@dataclass(frozen=True)
class History:
    """A day that ended at `end`; times are seconds before that."""

    prometheus: HistoryPrometheus
    end: float

    def run(self, command: str, *arguments: str) -> Result:
        options = ["--prometheus", self.prometheus.url, "--var", "pods=front-.*"]
        return CliRunner().invoke(main, ["alarm", command, str(DAY), *options, *arguments])

    def at(self, before: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.end - before))


def _errors(before: float) -> float:
    """Two incidents: 40 minutes from 20 h before the end, 10 minutes from 6 h before it."""
    bad = 20 * HOUR - 2400 < before <= 20 * HOUR or 6 * HOUR - 600 < before <= 6 * HOUR
    return 0.2 if bad else 0.01


def _latency(before: float) -> float:
    """Twice over the threshold: for 5 minutes, and for 30."""
    bad = 15 * HOUR - 300 < before <= 15 * HOUR or 3 * HOUR - 1800 < before <= 3 * HOUR
    return 0.9 if bad else 0.2 + 0.1 * math.sin(before / HOUR)


@pytest.fixture(scope="module")
def history() -> Iterator[History]:
    """A day of three metrics; `errors` has a gap of an hour, and few calls in the night."""
    end = math.floor(time.time() / 60) * 60.0
    moments = [end - 24 * HOUR + STEP * k for k in range(int(24 * HOUR / STEP) + 1)]
    chance = random.Random(1)
    with running_history("history") as made:
        errors = [(t, _errors(end - t)) for t in moments if not 11 * HOUR < end - t <= 12 * HOUR]
        latency = [(t, _latency(end - t) + chance.uniform(0, 0.01)) for t in moments]
        calls = [(t, 3.0 if 9 * HOUR < end - t <= 10 * HOUR else 50.0) for t in moments]
        named = {"__name__": "error_ratio", "pod": "front-1"}, {"__name__": "latency_p99"}, {"__name__": "calls"}
        made.write(zip(named, (errors, latency, calls), strict=True))
        yield History(made, end)


def test_a_backtest_finds_the_incidents(history: History, tmp_path: Path) -> None:
    """When, how long, how often; what was too short for the pending period did not fire; a picture of it all."""
    png = tmp_path / "day.png"
    found = history.run("backtest", "--from", history.at(24 * HOUR), "--to", history.at(0), "--png", str(png))
    assert found.exit_code == 0, found.output
    lines = found.stdout.splitlines()
    by_name = {line.split(":")[0]: line for line in lines if line.startswith("shop/")}
    # Two of three points: it fires with the second bad one and ends with the second good one.
    assert "fired 2 times, 50m in ALARM, longest 40m" in by_name["shop/errors"]
    # The hour without data is known for the first two minutes (the newest points), and for the five of the look-back;
    # the hour with three calls a minute is not known at all.
    assert "unknown for 1h5" in by_name["shop/errors"]
    assert "fired 1 times, 20m in ALARM, longest 20m, unknown for 0s" in by_name["shop/latency"]
    assert "fired 3 times, 1h10m in ALARM" in by_name["shop/any"]
    assert any(line.strip().startswith("note: from the series ALERTS") for line in lines)
    assert any("0.2 for" in line and "40m" in line for line in lines)
    states = [line for line in lines if line.endswith("# ALARM, . OK, ? unknown")]
    assert len(states) == 4
    assert [set(line.partition("  #")[0].strip()) for line in states] == [set(".#?"), set(".#"), {"."}, set(".#?")]
    assert png.read_bytes().startswith(b"\x89PNG")
    assert png.stat().st_size > 20_000


@pytest.mark.parametrize(
    ("before", "errors", "latency", "expression"),
    [
        pytest.param(19.5 * HOUR, "ALARM Certain", "OK Certain", "ALARM Certain", id="errors"),
        pytest.param(17 * HOUR, "OK Certain", "OK Certain", "OK Certain", id="all is well"),
        pytest.param(15 * HOUR - 200, "OK Certain", "OK Certain", "OK Certain", id="pending"),
        pytest.param(2.6 * HOUR, "OK Certain", "ALARM Certain", "ALARM Certain", id="latency"),
        pytest.param(11.5 * HOUR, "INSUFFICIENT_DATA Certain", "OK Certain", "OK Uncertain", id="no data"),
        pytest.param(9.5 * HOUR, "INSUFFICIENT_DATA Certain", "OK Certain", "OK Uncertain", id="too few samples"),
    ],
)
def test_a_moment_of_the_past_is_evaluated(
    history: History, before: float, errors: str, latency: str, expression: str
) -> None:
    """Every part with its reason; alerting rules have no past."""
    found = history.run("eval", "--at", history.at(before))
    assert found.exit_code == 0, found.output
    assert f"shop/errors: {errors}" in found.stdout
    assert f"shop/latency: {latency}" in found.stdout
    assert f"shop/any: {expression}" in found.stdout
    assert f"  - latency: {latency}: latency: " in found.stdout
    assert "the past of an alerting rule cannot be read; leave --at out" in found.stdout


_OUTAGE = """
apiVersion: ombak.dev/v1alpha1
kind: Alarm
metadata: {name: calm, namespace: shop}
spec: {metric: {query: sum(bad) or vector(0), comparison: GreaterThanThreshold, threshold: 1}}
---
apiVersion: ombak.dev/v1alpha1
kind: Alarm
metadata: {name: gone, namespace: shop}
spec: {metric: {query: absent(bad) or vector(0), comparison: GreaterThanThreshold, threshold: 0.5}}
---
apiVersion: ombak.dev/v1alpha1
kind: Alarm
metadata: {name: rule, namespace: shop}
spec: {alertingRule: {name: Dwon}}
"""


def test_a_time_without_any_scrape_is_unknown_in_a_backtest_too(tmp_path: Path) -> None:
    """As it was to the operator: neither OK by a default nor ALARM by an `absent()`, also in long-ago parts of days."""
    file, end = tmp_path / "alarms.yaml", math.floor(time.time() / 60) * 60.0
    file.write_text(_OUTAGE)
    moments = [end - 26 * HOUR + STEP * k for k in range(int(26 * HOUR / STEP) + 1)]
    there = [(t, 1.0) for t in moments if not 20 * HOUR < end - t < 20 * HOUR + 1800]
    with running_history("outage") as made:
        made.write([({"__name__": "up", "job": "a"}, there), ({"__name__": "bad"}, there)])
        history = History(made, end)
        span = "--from", history.at(25 * HOUR), "--to", history.at(0)
        found = CliRunner().invoke(main, ["alarm", "backtest", str(file), "--prometheus", made.url, *span])
        moment = "--prometheus", made.url, "--at", history.at(20 * HOUR + 900)
        then = CliRunner().invoke(main, ["alarm", "eval", str(file), *moment])
    assert found.exit_code == 0, found.output
    told = [line for line in found.stdout.splitlines() if line.startswith("shop/")]
    assert [line.split(": fired 0 times, 0s in ALARM, longest 0s, unknown for ")[0] for line in told] == [
        "shop/calm",
        "shop/gone",
        "shop/rule",
    ]
    assert all(line.endswith(" for 29m") for line in told), told
    assert "and today no alerting rule Dwon is loaded" in found.stdout
    assert then.stdout.count(": INSUFFICIENT_DATA Uncertain") == 3, then.output


def test_too_few_samples_are_told(history: History) -> None:
    """With the numbers."""
    assert "errors has 3 samples, 10 are needed" in history.run("eval", "--at", history.at(9.5 * HOUR)).stdout


def test_the_present_is_evaluated_with_warnings_about_labels(history: History, tmp_path: Path) -> None:
    """A label that nothing has is found out through the API; a rule that is not loaded is unknown."""
    file = tmp_path / "alarms.yaml"
    text = DAY.read_text().replace('error_ratio{pod=~"$(pods)"}', 'error_ratio{pod="other"}')
    file.write_text(text)
    found = CliRunner().invoke(main, ["alarm", "eval", str(file), "--prometheus", history.prometheus.url])
    assert found.exit_code == 0, found.output
    assert 'warning: no series of error_ratio has pod="other"' in found.stdout
    assert "shop/page: INSUFFICIENT_DATA Uncertain" in found.stdout
    assert "no alerting rule Down is loaded" in found.stdout
