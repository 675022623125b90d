"""Nothing is written while nothing happens: no status, no Event, whatever is watched and however it is asked."""

from __future__ import annotations

import asyncio
import copy
import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from test_operator import ALARM, World, run

from ombak.alarms.definition import MEMBER
from ombak.core import naming
from ombak.runtime import kinds
from ombak.runtime.metrics_port import QueryResult, Series, Store
from support.fake_metrics import FakeSource
from support.rig import NAME, spec

IDLE = 600
EMPTY = 'errors{code=~"5.."}'
SIGNALS = [
    {"name": "ratio", "ratio": {"bad": 'r{code="500"}', "total": "r"}, "above": "1%"},
    {"name": "quantile", "quantile": {"of": "l_bucket", "q": 0.9}, "above": "500ms"},
    {"name": "query", "query": "max(q)", "above": 1000},
    {"name": "typo", "ratio": {"bad": 'r{kode="500"}', "total": "r"}, "above": "1%"},
]


class Noisy(FakeSource):
    """Numbers that are different every time and mean the same; no series of EMPTY and of what is `absent`.

    It is scraped, and knows which series there are; nothing has the label `kode`.
    """

    chance = random.Random(1)

    async def query_range(self, query: str, start: datetime, end: datetime, step: timedelta) -> QueryResult:
        moments = [(start + i * step).timestamp() for i in range(round((end - start) / step) + 1)]
        if query.startswith(("max(timestamp", "min(timestamp")):
            return QueryResult((Series({}, tuple((at, at // 15 * 15) for at in moments)),))
        if (EMPTY in query and "vector" not in query) or "absent" in query:
            return QueryResult(())
        large = 1e6 if "increase" in query else 0.0
        values = tuple((at, large + at % 97 / 1e6) for at in moments)
        labels = {MEMBER: naming.base(NAME)} if MEMBER in query else {}
        return QueryResult((Series(labels, values),), store=Store(start - timedelta(days=9)))

    async def has_series(self, selector: str, start: datetime, end: datetime) -> bool:
        await asyncio.sleep(self.chance.uniform(0.001, 0.01))
        return selector != EMPTY and "kode" not in selector and "absent" not in selector


def _metric(query: str, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = copy.deepcopy(ALARM["spec"])
    return {"metric": made["metric"] | {"query": query, **changes}}


ALARMS = {
    "own": _metric("errors"),
    "empty": _metric(EMPTY),
    "default": _metric(f"sum({EMPTY}) or vector(0)"),
    "gone": _metric("absent_metric", treatMissingData="notBreaching"),
    "template": _metric('errors{pod=~"$(pods)"}'),
    "sampled": _metric("errors", minSamples={"query": "increase(calls[$(window)])", "count": 5}),
    "rule": {"alertingRule": {"name": "Nowhere"}},
    "all": {"expression": "ALARM(own) OR ALARM(empty) AND ALARM(template)"},
    "broken": _metric("sum("),
    "cycle": {"expression": "ALARM(cycle)"},
}
GOOD = " OR ".join(f"ALARM({name})" for name in ("own", "default", "gone", "template", "sampled"))
EVERYTHING = " OR ".join(f"ALARM({name})" for name in ALARMS)


@pytest.mark.breadth
@pytest.mark.parametrize(
    ("watched", "is_stable"),
    [
        pytest.param(spec(alarms={"revert": "ALARM(empty)"}), False, id="an empty one"),
        pytest.param(spec(alarms={"revert": EVERYTHING, "oneBox": EVERYTHING}), False, id="alarms"),
        pytest.param(spec(alarms={"revert": GOOD, "oneBox": GOOD}, signals=SIGNALS), True, id="both"),
    ],
)
def test_nothing_is_written_while_nothing_changes(watched: dict[str, Any], is_stable: bool) -> None:
    """Ten minutes with Alarms of every kind, good, empty and broken, beside a Rollout that names them."""

    async def body(world: World) -> None:
        for name, alarm in ALARMS.items():
            world.create(kinds.ALARMS, name, spec=alarm)
        world.create(kinds.ALARMS, "guard", spec={"expression": "ALARM(own)", "guards": {"matchLabels": {}}})
        world.create(kinds.ROLLOUTS, NAME, spec=watched)
        world.synced.set()
        await asyncio.sleep(400)
        before = len(world.kube.requests)
        told = {name: world.server.get(kinds.ALARMS, "shop", name).get("status") for name in ALARMS}
        assert all(told.values())
        assert world.phase == ("Stable" if is_stable else "Bake")
        await asyncio.sleep(IDLE)
        written = Counter(request.told for request in world.kube.requests[before:] if request.is_write)
        found = {told: count for told, count in written.items() if "status" in told or "Event" in told}
        assert found == {}

    run(body, Noisy())
