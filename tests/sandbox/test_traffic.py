"""The traffic model: exact, fair, and readable by Prometheus."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ombak.sandbox.traffic.boxes import Behaviour, Box, behaviour_of, box_of, parse_duration
from ombak.sandbox.traffic.collector import TrafficCollector
from ombak.sandbox.traffic.model import BUCKETS_S, Tally, TrafficModel

START = 1_000.0


def box(pod: str = "p", *, serving: bool = True, ready_since: float = START, **behaviour: Any) -> Box:
    """A box of the rollout `r` in `ns`."""
    labels = ("ns", pod, "fleet", "v1-x", "a", "r")
    return Box(labels, serving, ready_since, Behaviour(**behaviour))


def tallies(model: TrafficModel, now: float) -> dict[str, Tally]:
    """Counts by pod."""
    return {tally.box.labels[1]: tally for tally in model.tallies(now)}


def test_ready_boxes_share_the_requests_evenly() -> None:
    """Two boxes get half each, and the third nothing until it serves."""
    model = TrafficModel()
    for name in ("one", "two"):
        model.put(box(name, requests_per_second=90), START)
    model.put(box("three", serving=False, requests_per_second=90), START)
    first = {name: tally.requests for name, tally in tallies(model, START + 10).items()}
    model.put(box("three", requests_per_second=90), START + 10)
    second = {name: tally.requests for name, tally in tallies(model, START + 20).items()}

    assert first == pytest.approx({"one": 450, "two": 450, "three": 0})
    assert second == pytest.approx({"one": 750, "two": 750, "three": 300})


def test_rollouts_do_not_share() -> None:
    """Each rollout has its own load balancer."""
    model = TrafficModel()
    model.put(box("mine"), START)
    other = Box(("ns", "theirs", "fleet", "v1-x", "a", "other"), True, START, Behaviour())
    model.put(other, START)

    assert {name: tally.requests for name, tally in tallies(model, START + 1).items()} == {
        "mine": 100,
        "theirs": 100,
    }


@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.sampled_from("abcd"), st.booleans()), max_size=30))
def test_no_request_is_lost_or_invented(changes: list[tuple[float, str, bool]]) -> None:
    """Whatever the boxes do, the total is the rate times the time in which any of them served."""
    model, now, expected = TrafficModel(), START, 0.0
    serving: set[str] = set()
    for wait, name, serves in changes:
        expected += wait * 100 if serving else 0.0
        now += wait
        model.put(box(name, serving=serves), now)
        serving = (serving | {name}) if serves else (serving - {name})

    assert sum(tally.requests for tally in tallies(model, now).values()) == pytest.approx(expected)


def test_slow_burn_begins_after_its_time() -> None:
    """Errors are exact although nobody looked at the moment when the burn began."""
    burning = box(error_rate=0.1, slow_burn_after=timedelta(seconds=4), slow_burn_error_rate=0.5)
    model = TrafficModel()
    model.put(burning, START)

    assert tallies(model, START + 10)["p"].errors == pytest.approx(100 * (4 * 0.1 + 6 * 0.5))


def test_latencies_are_spread_around_the_given_one() -> None:
    """Half of the requests are faster than the latency, none takes more than one and a half of it."""
    model = TrafficModel()
    model.put(box(latency=timedelta(milliseconds=100)), START)
    tally = tallies(model, START + 1)["p"]
    within = dict(zip(BUCKETS_S, tally.buckets, strict=True))

    assert within[0.05] == pytest.approx(0)
    assert within[0.1] == pytest.approx(50)
    assert within[0.25] == pytest.approx(100)
    assert tally.latency_sum_s == pytest.approx(10)


def test_histogram_never_shrinks_when_the_latency_changes() -> None:
    """What was counted stays where it was counted."""
    model = TrafficModel()
    model.put(box(latency=timedelta(milliseconds=10)), START)
    model.put(box(latency=timedelta(seconds=4)), START + 1)
    within = dict(zip(BUCKETS_S, tallies(model, START + 2)["p"].buckets, strict=True))

    assert within[0.025] == pytest.approx(100)
    assert within[float("inf")] == pytest.approx(200)


def test_replace_forgets_boxes_that_are_gone() -> None:
    """After a new list only its boxes exist; counts of those that stay go on."""
    model = TrafficModel()
    model.replace([box("one"), box("two")], START)
    model.replace([box("two")], START + 2)

    assert {name: tally.requests for name, tally in tallies(model, START + 3).items()} == {"two": 200}


def test_exposition_is_what_prometheus_reads() -> None:
    """Every series has the labels of the pod, and both codes exist before the first error."""
    model = TrafficModel()
    model.put(box("one"), START)
    registry = CollectorRegistry()
    registry.register(TrafficCollector(model, threading.Lock()))
    families = {f.name: f for f in text_string_to_metric_families(generate_latest(registry).decode())}
    requests = {s.labels["code"]: s for s in families["http_requests"].samples}
    buckets = [s for s in families["http_request_duration_seconds"].samples if s.name.endswith("_bucket")]
    pod = {"namespace": "ns", "pod": "one", "box": "fleet", "artifact": "v1-x", "zone": "a", "rollout": "r"}

    assert set(requests) == {"200", "500"}
    assert requests["500"].value == 0
    assert requests["200"].labels == pod | {"code": "200"}
    assert [s.labels["le"] for s in buckets][-2:] == ["5.0", "+Inf"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("80ms", 0.08), ("3s", 3), ("1m30s", 90), ("1.5h", 5400)],
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float) -> None:
    """The forms that kwok's stages take too."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "3", "s", "3 s", "3d", "-3s", "3s4"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """The message says what to write."""
    with pytest.raises(ValueError, match="write for example"):
        parse_duration(text)


def test_annotations_set_the_behaviour() -> None:
    """All of them, under the sandbox's own prefix."""
    annotations = {
        "sandbox.ombak.dev/requests-per-second": "7.5",
        "sandbox.ombak.dev/error-rate": "0.02",
        "sandbox.ombak.dev/latency": "120ms",
        "sandbox.ombak.dev/slow-burn-after": "1m",
        "sandbox.ombak.dev/slow-burn-error-rate": "0.5",
        "error-rate": "1",
    }

    assert behaviour_of(annotations) == Behaviour(7.5, 0.02, timedelta(milliseconds=120), timedelta(minutes=1), 0.5)


def pod_with(ready: str = "True", **changes: Any) -> dict[str, Any]:
    """A running pod as the API shows it."""
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:10Z"}
    state = changes.pop("state", {"running": {}})
    status = {"phase": "Running", "conditions": [condition], "containerStatuses": [{"state": state}]}
    labels = {f"ombak.dev/{name}": name for name in ("box", "artifact", "zone", "rollout")}
    metadata = {"namespace": "ns", "name": "p", "labels": labels} | changes.pop("metadata", {})
    return {"metadata": metadata, "status": status | changes}


@pytest.mark.parametrize(
    ("pod", "serving"),
    [
        pytest.param(pod_with(), True, id="ready"),
        pytest.param(pod_with(ready="False"), False, id="not-ready"),
        pytest.param(pod_with(metadata={"deletionTimestamp": "x"}), False, id="being-deleted"),
        pytest.param(pod_with(phase="Pending"), None, id="not-running"),
        pytest.param(pod_with(state={"waiting": {}}), None, id="crashed"),
    ],
)
def test_only_ready_pods_that_stay_serve(pod: dict[str, Any], serving: bool | None) -> None:
    """As the endpoints of a Service; a container that does not run shows no metrics at all."""
    found = box_of(pod)

    assert (found.serving if found else None) is serving
    assert found is None or found.labels == ("ns", "p", "box", "artifact", "zone", "rollout")
