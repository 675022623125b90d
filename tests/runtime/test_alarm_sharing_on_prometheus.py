"""A real Prometheus gives each Rollout the same points, asked alone or together with others."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from ombak.adapters.prometheus import PrometheusSource
from ombak.alarms.metric import EXTRA_POINTS
from ombak.alarms.signals import define_signal
from ombak.alarms.template import Context
from ombak.api.signal import Signal
from ombak.core import naming
from ombak.runtime.alarm_interest import MetricLeaf, leaf_of
from ombak.runtime.alarm_queries import Seen, View
from support.prometheus_history import HistoryPrometheus, Labels, Sample, running_history

pytestmark = pytest.mark.cluster
ROLLOUTS = ("front", "front-admin", "front.end", "front-onebox", "x" * 50, "idle")
PODS = tuple(
    f"{naming.base(name)}-{tail}"
    for name in ROLLOUTS[:-1]
    for tail in ("onebox-2f3d-bbbbb-ccccc", "onebox-bbbbb-ddddd", "a1c0ffee0123-ccccc", "a1deadbeef01-2f3d-ggggg")
)
STRANGERS = ("front", "front-bbbbb-ccccc", "front-a1c0ffee0123", "cron-28391-zzzzz")
LES = ("0.1", "0.5", "1", "2.5", "+Inf")
STEP, SCRAPE, MINUTES = timedelta(seconds=30), 15, 20
SIGNALS = (
    Signal.model_validate({"name": "e", "ratio": {"bad": 'r_total{code="500"}', "total": "r_total"}, "above": "1%"}),
    Signal.model_validate({"name": "p", "quantile": {"of": "l_bucket", "q": 0.9}, "above": "500ms"}),
)


def _counted(chance: random.Random, begin: float) -> list[Sample]:
    """A counter that comes late or goes early at times, stands still, and starts anew."""
    length, value, samples = MINUTES * 60 // SCRAPE, 0.0, []
    first, last = chance.choice((0, 0, length // 2)), chance.choice((length, length, length * 2 // 3))
    pace = chance.choice((0.0, 1.0, 40.0))
    for index in range(first, last):
        value = 0.0 if chance.random() < 0.02 else value + pace * chance.random()
        if chance.random() > 0.05:
            samples.append((begin + index * SCRAPE + chance.random(), value))
    return samples


def _history(chance: random.Random, begin: float) -> Iterator[tuple[Labels, list[Sample]]]:
    for namespace in ("shop", "other"):
        for pod in (*PODS, *STRANGERS):
            where = {"namespace": namespace, "pod": pod}
            for code in ("200", "404", "500"):
                if code == "200" or chance.random() < 0.5:
                    yield {"__name__": "r_total", "code": code, **where}, _counted(chance, begin)
            samples, total = _counted(chance, begin), 0.0
            for le in LES:
                total += chance.random()
                yield {"__name__": "l_bucket", "le": le, **where}, [(at, value * total) for at, value in samples]
    yield {"__name__": "r_total", "code": "500", "namespace": "shop"}, _counted(chance, begin)


@pytest.fixture(scope="module")
def history() -> Iterator[HistoryPrometheus]:
    """Twenty minutes of many pods."""
    with running_history("sharing") as made:
        made.write(_history(random.Random(1), time.time() - MINUTES * 60))
        yield made


def _leaves(signal: Signal, name: str) -> Iterator[MetricLeaf]:
    for pods, crowd in (
        (naming.all_pods(name), naming.EVERY_POD),
        (naming.one_box_pods(name), naming.EVERY_ONE_BOX_POD),
    ):
        context = Context("shop", name, pods, crowd=crowd, member=naming.base(name))
        found = leaf_of(define_signal(signal, context), context)
        assert isinstance(found, MetricLeaf)
        yield from found.parts


@pytest.mark.parametrize("signal", [pytest.param(each, id=each.name) for each in SIGNALS])
async def test_together_or_alone_the_points_are_the_same(history: HistoryPrometheus, signal: Signal) -> None:
    """Counters that reset, come late or go; no bad ones; nothing at all; strangers; and names inside of names."""
    source, end = PrometheusSource(history.url), datetime.fromtimestamp(int(time.time()), UTC)
    count, compared = MINUTES * 2, 0
    try:
        for name in ROLLOUTS:
            for leaf in _leaves(signal, name):
                assert leaf.common is not None
                rule = dataclasses.replace(leaf.rule, n=count - EXTRA_POINTS)
                seen = []
                for key, member in ((leaf.query, ""), (leaf.asked, leaf.common.member)):
                    answer = await source.query_range(key.text, end - (count - 1) * STEP, end, STEP)
                    seen.append(Seen(answer, end, STEP, count).series(View(rule, member)))
                assert repr(seen[0]) == repr(seen[1])
                compared += sum(value is not None for line in seen[0].values() for value in line)
    finally:
        source.close()
    assert compared > 10 * count
