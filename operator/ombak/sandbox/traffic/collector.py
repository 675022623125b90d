"""Shows the counts to prometheus_client."""

import math
import threading
import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ombak.sandbox.traffic.boxes import LABELS
from ombak.sandbox.traffic.model import BUCKETS_S, TrafficModel

_BOUNDS = ["+Inf" if math.isinf(bound) else str(bound) for bound in BUCKETS_S]


class TrafficCollector(Collector):
    """Counts up to the moment of the scrape. `lock` guards the model against the thread that watches pods."""

    def __init__(self, model: TrafficModel, lock: threading.Lock) -> None:
        """Both are shared with the watching thread."""
        self._model = model
        self._lock = lock

    def collect(self) -> Iterator[Metric]:
        """`http_requests_total{code}` and `http_request_duration_seconds`, per pod."""
        requests = CounterMetricFamily("http_requests", "Requests answered.", labels=[*LABELS, "code"])
        durations = HistogramMetricFamily("http_request_duration_seconds", "Time to answer.", labels=LABELS)
        with self._lock:
            for tally in self._model.tallies(time.time()):
                labels = tally.box.labels
                requests.add_metric((*labels, "200"), tally.requests - tally.errors)
                requests.add_metric((*labels, "500"), tally.errors)
                buckets = list(zip(_BOUNDS, tally.buckets, strict=True))
                durations.add_metric(labels, buckets, tally.latency_sum_s)
        yield requests
        yield durations
