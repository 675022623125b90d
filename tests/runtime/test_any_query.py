"""Whatever somebody writes as a query, the alarms of everybody else are evaluated on."""

from __future__ import annotations

import asyncio
import copy
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_operator import ALARM, World, run

from ombak.runtime import alarm_traps, kinds
from ombak.runtime.metrics_port import QueryResult
from support.fake_metrics import FakeSource, constant
from support.rig import NAME, NAMESPACE, spec

MINUTES = 2
_UNITS = st.sampled_from(["ms", "s", "m", "h", "d", "w", "y"])
_NUMBERS = st.integers(0, 10**12) | st.sampled_from([0, 1, 5, 3650, 3651, 99_999_999, 999_999_999, 10**30])
durations = st.builds(lambda number, unit: f"{number}{unit}", _NUMBERS, _UNITS) | st.just("$(window)")
_leaf = st.sampled_from(["x", "errors", 'x{pod=~"$(pods)"}', "$(name)", "x{a='$(zone)'}", "1", "x >= 1"])
_function = st.sampled_from(["rate", "max_over_time", "absent_over_time"])
_ranged = st.builds("{}({}[{}])".format, _function, _leaf, durations)


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({})".format, inner),
        st.builds("{} offset {}".format, inner, durations),
        st.builds("x offset -{} + {}".format, durations, inner),
        st.builds("max_over_time({}[{}:{}])".format, inner, durations, durations),
        st.builds("max_over_time(({})[{}:])".format, inner, durations),
        st.builds("sum({}) / ({})".format, inner, inner),
    )


queries = st.recursive(_leaf | _ranged, _nested, max_leaves=6) | st.text(min_size=1, max_size=40)


class Answering(FakeSource):
    """Takes anything for a query and has data for it, so that every path behind an answer is gone."""

    async def query_range(self, query: str, start: datetime, end: datetime, step: timedelta) -> QueryResult:
        self.values.setdefault(query, {"front-1": constant(0.0)})
        return await super().query_range(query, start, end, step)


def _alarm(query: str, samples: str) -> Any:
    made: Any = copy.deepcopy(ALARM["spec"])
    made["metric"] |= {"query": query, "minSamples": {"query": samples, "count": 1}}
    return made


@pytest.mark.breadth
@settings(max_examples=25, deadline=None)
@example(query="rate(x[999999999d])", other="x")
@example(query="rate(x[99999999d])", other="rate(x[3650d])")
@example(query="max_over_time(max_over_time(x[600000000d:1d])[600000000d:1d])", other="x")
@example(query="x offset 999999999d", other="max_over_time(x[$(window)] offset 3650d)")
@example(query="0", other="x offset -5883517y + x")
@example(query="x offset -999999999d", other="max_over_time(rate(x[5m])[1h:999999999d])")
@given(query=queries, other=queries)
def test_no_query_ends_the_alarms_of_others(query: str, other: str) -> None:
    """As Alarm, as what counts its samples, as signal, and as sample quota; minutes of polls later all is well."""

    async def body(world: World) -> None:
        quota = [{"name": "calls", "query": other, "count": 1}]
        strategy: Any = spec()["strategy"] | {"bake": {"for": "10m", "atLeast": quota}}
        signal = {"name": "sign", "query": query, "above": 1}
        world.create(kinds.ALARMS, "errors", spec=ALARM["spec"])
        world.create(kinds.ALARMS, "absurd", spec=_alarm(query, other))
        world.create(kinds.ROLLOUTS, NAME, spec=spec())
        world.create(kinds.ROLLOUTS, "other", spec=spec(alarms={"revert": "ALARM(absurd)"}, signals=[signal]))
        world.create(kinds.ROLLOUTS, "quota", spec=spec(strategy=strategy))
        world.synced.set()
        await asyncio.sleep(60 * MINUTES)
        assert world.phase == "Stable"
        assert len(world.operator.service._watches) >= 3
        for name in ("errors", "absurd"):
            assert world.server.get(kinds.ALARMS, NAMESPACE, name)["status"]["conditions"], name
        alarm = world.server.get(kinds.ALARMS, NAMESPACE, "errors")
        assert alarm["status"]["state"] == "OK"

    logged = run(body, Answering())
    assert [line for line in logged if line["log_level"] in ("error", "critical")] == []


@pytest.mark.parametrize("kind", [OverflowError, ValueError])
def test_a_defect_in_the_search_for_traps_costs_no_verdict(monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    """It is advice: the log has the defect, and the Alarm its state and its conditions."""

    async def broken(*_: Any, **__: Any) -> None:
        raise kind("a mistake")

    monkeypatch.setattr(alarm_traps, "inspect", broken)

    async def body(world: World) -> None:
        world.create(kinds.ALARMS, "errors", spec=ALARM["spec"])
        world.synced.set()
        await asyncio.sleep(60)
        status = world.server.get(kinds.ALARMS, NAMESPACE, "errors")["status"]
        assert status["state"] == "OK"
        assert {c["type"]: c["status"] for c in status["conditions"]}["QuerySound"] == "True"

    logged = run(body)
    assert "a query could not be looked into" in [line["event"] for line in logged]
