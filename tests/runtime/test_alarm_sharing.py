"""One question for all who ask the same, over different spans or for many Rollouts, and seldom while these rest."""

from __future__ import annotations

import random
import re
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ombak.alarms import metric
from ombak.alarms.definition import MEMBER
from ombak.alarms.resolve import AlarmKey
from ombak.alarms.signals import define_signal
from ombak.alarms.template import Context
from ombak.api.alarm import AlarmSpec, Comparison, TreatMissingData
from ombak.api.signal import Signal
from ombak.core import naming
from ombak.runtime.alarm_interest import MetricLeaf, Wanted, leaf_of, wanted_signal
from ombak.runtime.alarm_queries import Seen, View
from ombak.runtime.alarm_reader import AlarmReader
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.metrics_port import QueryError, QueryErrorKind, QueryResult, Series
from ombak.runtime.reconcile import Reconciler
from support.fake_metrics import FakeClock, FakeSource, constant
from support.rig import NAMESPACE, Rig, template

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PERIOD = timedelta(seconds=30)
RATIO = Signal.model_validate({"name": "e", "ratio": {"bad": 'r{code="5"}', "total": "r"}, "above": "1%"})
QUANTILE = Signal.model_validate({"name": "p", "quantile": {"of": "l_bucket", "q": 0.99}, "above": "500ms"})
PARTS = ((naming.all_pods, naming.EVERY_POD), (naming.one_box_pods, naming.EVERY_ONE_BOX_POD))


def contexts(name: str) -> tuple[Context, ...]:
    """Of all boxes of a Rollout, and of its one box."""
    return tuple(Context("shop", name, pods(name), crowd=crowd, member=naming.base(name)) for pods, crowd in PARTS)


def leaf(signal: Signal, context: Context) -> MetricLeaf:
    found = leaf_of(define_signal(signal, context), context)
    assert isinstance(found, MetricLeaf)
    return found


class World:
    """A service, and a Prometheus that knows the series of many Rollouts by both questions."""

    def __init__(self) -> None:
        self.clock, self.source = FakeClock(), Crowded()
        self.told: list[frozenset[Hashable]] = []
        self.service = AlarmService({"": self.source}, self.clock, self.told.append, rng=random.Random(1))

    def watch(self, name: str, *signals: Signal, is_active: bool = False) -> None:
        wanted = {
            f"{s.name}{i}": wanted_signal(s, context, f"of {i}")
            for s in signals
            for i, context in enumerate(contexts(name))
        }
        self.service.watch(name, wanted, is_active)

    async def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            await self.service.poll_due()


class Crowded(FakeSource):
    """`refused` fails what is asked for many, and nothing else."""

    refused: QueryError | None = None

    async def query_range(self, query: str, start: datetime, end: datetime, step: timedelta) -> QueryResult:
        answer = await super().query_range(query, start, end, step)
        if MEMBER not in query:
            return answer
        if self.refused is not None:
            raise self.refused
        return QueryResult(tuple(Series({MEMBER: one.labels["pod"]}, one.points) for one in answer.series))


def says(world: World, name: str, value: float, samples: float = 1000) -> None:
    """Of all boxes and of the one box, whichever way it is asked."""
    for context in contexts(name):
        found = leaf(RATIO, context)
        assert found.common is not None
        assert found.samples is not None
        assert found.samples.common is not None
        for one, number in ((found, value), (found.samples, samples)):
            world.source.values[one.query.text] = {"": constant(number)}
            assert one.common is not None
            world.source.values.setdefault(one.common.query.text, {})[context.member] = constant(number)


async def test_rules_over_the_same_text_share_one_question() -> None:
    """The longest span that any of them looks at is asked for; each judges its own part of it."""
    world, spans = World(), (1, 2, 3)
    world.source.values["x"] = {"a": lambda at: 9.0 if at < world.clock.now() - 2 * PERIOD else 0.0}
    for n in spans:
        spec = {"query": "x", "comparison": "GreaterThanThreshold", "threshold": 1, "period": "30s"}
        world.service.set_alarm(
            AlarmKey("shop", f"x{n}"),
            AlarmSpec.model_validate({"metric": {**spec, "evaluationPeriods": n, "datapointsToAlarm": 1}}),
        )
        world.service.watch(n, {"w": Wanted(f"ALARM(x{n})", "shop", Context("shop"))}, is_active=False)
    await world.service.poll_due()
    assert (world.service.distinct_queries, world.source.asked) == (1, ["x"])
    assert [world.service.verdict(n, "w").is_alarm for n in spans] == [False, False, False]
    world.source.values["x"] = {"a": lambda at: 9.0 if at < world.clock.now() - PERIOD else 0.0}
    await world.pass_time(31)
    assert [world.service.verdict(n, "w").is_alarm for n in spans] == [False, False, True]


async def test_a_rule_that_looks_further_back_waits_for_an_answer_of_its_own_length() -> None:
    """One that came while a shorter span was being asked for is not judged by what is missing there."""
    world = World()
    world.source.values["x"] = {"a": constant(0.0)}
    spec = {"query": "x", "comparison": "GreaterThanThreshold", "threshold": 1, "period": "30s"}
    for n in (1, 9):
        definition = {**spec, "evaluationPeriods": n, "treatMissingData": "breaching", "datapointsToAlarm": 1}
        world.service.set_alarm(AlarmKey("shop", f"x{n}"), AlarmSpec.model_validate({"metric": definition}))
    world.service.watch(1, {"w": Wanted("ALARM(x1)", "shop", Context("shop"))}, is_active=False)
    answer, asked = world.source.query_range, []

    async def late(query: str, start: datetime, end: datetime, step: timedelta) -> QueryResult:
        if query != "x":
            return await answer(query, start, end, step)
        asked.append((end - start) // step + 1)
        if len(asked) == 1:
            world.service.watch(9, {"w": Wanted("ALARM(x9)", "shop", Context("shop"))}, is_active=False)
            found = await answer(query, start, end, step)
            seen.append(world.service.verdict(9, "w").is_unknown)
            return found
        seen.append(world.service.verdict(9, "w").is_unknown)
        return await answer(query, start, end, step)

    seen: list[bool] = []
    world.source.query_range = late  # type: ignore[method-assign]
    await world.service.poll_due()
    assert (asked, seen) == ([3, 11], [True, True])
    assert world.service.verdict(9, "w").is_ok


POINT = st.one_of(st.none(), st.sampled_from((0.0, 2.0, float("nan"))))
RULES = st.builds(
    lambda n, m, missing, pending, recovery: metric.Rule(
        Comparison.GREATER, 1, n, min(n, m), missing, pending, recovery
    ),
    *(st.integers(1, 4), st.integers(1, 4), st.sampled_from(TreatMissingData), st.integers(0, 3), st.integers(0, 3)),
)


@given(st.lists(st.lists(POINT, min_size=14, max_size=14), max_size=3), RULES, st.integers(0, 3))
def test_a_longer_answer_for_many_is_judged_as_the_own_one(lines: list[Any], rule: metric.Rule, more: int) -> None:
    """Whatever points are missing, and whatever else is in the answer."""
    count = rule.points + more
    shown = {f"p{i}": (line * 2)[-count:] for i, line in enumerate(lines)}

    def answer(length: int, member: str) -> tuple[Series, ...]:
        found = []
        for name, line in shown.items():
            times = [NOW.timestamp() - back * 30 for back in reversed(range(length))]
            points = tuple((at, v) for at, v in zip(times, line[-length:], strict=True) if v is not None)
            if points:
                found.append(Series({"pod": name} | ({MEMBER: member} if member else {}), points))
        return tuple(found)

    alone = Seen(QueryResult(answer(rule.points, "")), NOW, PERIOD, rule.points).series(View(rule))
    strangers = Series({"pod": "p0", MEMBER: "other"}, ((NOW.timestamp(), 9.0),))
    together = Seen(QueryResult((strangers, *answer(count, "own"))), NOW, PERIOD, count).series(View(rule, "own"))
    assert repr(metric.judge(rule, together, metric.Memory())) == repr(metric.judge(rule, alone, metric.Memory()))


NAMES = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,40}[a-z0-9])?", fullmatch=True),
    st.lists(
        st.sampled_from(("a", "front", "onebox", "a1c0ffee0123", "bcdfg", "2f3d", "bbbbb")), min_size=1, max_size=4
    ).map("-".join),
)
TAILS = st.sampled_from(
    (
        "onebox-bbbbb-ccccc",
        "a1c0ffee0123-ccccc",
        "a1c0ffee0123-2f3d-ccccc",
        "onebox-2222-bb-22222",
        "bbbbb",
        "",
        "onebox",
    )
)


@given(NAMES, NAMES, TAILS, TAILS)
def test_the_group_of_a_pod_is_the_rollout_whose_pattern_matches_it(one: str, other: str, tail: str, more: str) -> None:
    """Also where a Rollout is named like the pods of another one."""
    for pod in (f"{naming.base(one)}-{tail}", f"{naming.base(one)}-{tail}-{more}"):
        for pods, crowd in PARTS:
            found = re.fullmatch(crowd, pod)
            for name in (one, other, f"{one}-{tail}"):
                assert bool(re.fullmatch(pods(name), pod)) == (found is not None and found[1] == naming.base(name))


@pytest.mark.parametrize("signal", [pytest.param(RATIO, id="ratio"), pytest.param(QUANTILE, id="quantile")])
@pytest.mark.parametrize("part", [0, 1])
def test_what_is_asked_for_many_is_the_own_question_by_one_label_more(signal: Signal, part: int) -> None:
    """Taking that label out again gives the own questions, word by word."""
    context = contexts("front-end")[part]
    own = leaf(signal, context)
    for one in own.parts:
        assert one.common is not None
        replaced = re.compile(rf'label_replace\((.*?\]\)), "{MEMBER}", "\$1", "pod", "[^"]*"\)')
        text, found = replaced.subn(r"\1", one.common.query.text)
        text = text.replace(f" by (le, {MEMBER})", " by (le)").replace(f" by ({MEMBER}) ", "")
        assert found
        assert text.replace(context.crowd, context.pods) == one.query.text.replace("\n", "")
        assert (one.common.member, one.common.query.period) == ("front-end", one.query.period)


@pytest.mark.breadth
async def test_many_rollouts_of_a_namespace_cost_as_much_as_one() -> None:
    """A signal is four questions: of all boxes and of the one box, the value and the samples; each judged by itself."""
    world = World()
    for i in range(100):
        says(world, f"r{i}", 0.5 if i == 7 else 0.0, samples=1 if i == 8 else 1000)
        world.watch(f"r{i}", RATIO, QUANTILE)
    await world.service.poll_due()
    assert world.service.distinct_queries == 8
    assert len(world.source.asked) == 8
    verdicts = [world.service.verdict(f"r{i}", "e0") for i in range(100)]
    assert [i for i, one in enumerate(verdicts) if one.is_alarm] == [7]
    assert [i for i, one in enumerate(verdicts) if one.is_unknown] == [8]
    assert verdicts[0].message.startswith("signal e of 0: 0 (alarms when > 0.01")


async def test_a_rollout_without_series_is_unknown_beside_those_that_have_some() -> None:
    """What is missing in the answer for many is missing."""
    world = World()
    says(world, "front", 0.0)
    for name in ("front", "gone"):
        world.watch(name, RATIO)
    await world.service.poll_due()
    assert world.service.verdict("front", "e0").is_ok
    assert world.service.verdict("gone", "e0").is_unknown


@pytest.mark.parametrize("kind", [QueryErrorKind.PARTIAL, QueryErrorKind.BAD_QUERY])
async def test_series_that_spoil_the_question_for_many_cost_the_others_nothing(kind: QueryErrorKind) -> None:
    """Each asks alone then, at once, and together again after ten minutes."""
    world = World()
    for name in ("front", "cart"):
        says(world, name, 0.0)
        world.watch(name, RATIO, is_active=True)
    world.source.refused = QueryError(kind, "a mix of histograms and floats")
    await world.service.poll_due()
    assert [world.service.verdict(name, "e0").is_ok for name in ("front", "cart")] == [True, True]
    assert world.service.distinct_queries == 8
    world.source.refused = None
    await world.pass_time(620)
    assert world.service.distinct_queries == 4
    assert [world.service.verdict(name, "e0").is_ok for name in ("front", "cart")] == [True, True]
    world.service.unwatch("front")
    world.service.unwatch("cart")
    assert world.service.distinct_queries == 0


async def test_a_prometheus_that_is_down_is_not_asked_more() -> None:
    """All of them are unknown."""
    world = World()
    says(world, "front", 0.0)
    world.watch("front", RATIO)
    world.source.refused = QueryError(QueryErrorKind.UNREACHABLE, "cannot be reached")
    await world.service.poll_due()
    assert world.service.distinct_queries == 4
    assert world.service.verdict("front", "e0").is_unknown


class Settled:
    """A settled Rollout, the real evaluator, and the metric `errors` that was well so far."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.source = rig, FakeSource({"errors": {"": constant(0.0)}})
        self.service = AlarmService({"": self.source}, rig.clock, lambda _: None, rng=random.Random(1))
        spec = {"query": "errors", "comparison": "GreaterThanThreshold", "threshold": 0.5, "period": "30s"}
        metric_of = {"metric": {**spec, "evaluationPeriods": 1}}
        self.service.set_alarm(AlarmKey(NAMESPACE, "errors"), AlarmSpec.model_validate(metric_of))
        reader = AlarmReader(self.service, self.source, rig.clock, lambda _: None)
        rig.reconciler = Reconciler(rig.kube, rig.stores, reader, rig.clock, rig.recorder)

    async def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.rig.clock.advance(1)
            await self.service.poll_due()


@pytest.fixture
async def settled() -> Settled:
    rig = Rig()
    await rig.installed()
    made = Settled(rig)
    for _ in range(2):
        await rig.reconcile()
        await made.service.poll_due()
    return made


async def test_a_settled_rollout_is_looked_at_every_fourth_period(settled: Settled) -> None:
    """Its alarm is not needed before the next start; an Alarm object beside it is told at the rate of its period."""
    settled.source.asked.clear()
    await settled.pass_time(480)
    assert 4 <= len(settled.source.asked) <= 5
    settled.service.watch("its status", {"w": Wanted("ALARM(errors)", NAMESPACE, Context())}, is_active=False)
    settled.source.asked.clear()
    await settled.pass_time(480)
    assert 16 <= len(settled.source.asked) <= 18


async def test_no_release_starts_on_what_was_seen_at_rest(settled: Settled) -> None:
    """The alarm fires between two looks at rest: the change waits for a look of its own, and then for the alarm."""
    await settled.pass_time(90)
    settled.source.values["errors"] = {"": constant(1.0)}
    settled.rig.change(template=template("2.0.0"))
    settled.source.asked.clear()
    await settled.rig.reconcile()
    assert not settled.source.asked
    assert (settled.rig.phase, list(settled.rig.boxes())) == ("Blocked", [settled.rig.stable])
    await settled.service.poll_due()
    assert settled.source.asked == ["errors"]
    await settled.rig.reconcile()
    assert (settled.rig.phase, list(settled.rig.boxes())) == ("Blocked", [settled.rig.stable])
    settled.source.values["errors"] = {"": constant(0.0)}
    await settled.pass_time(30)
    await settled.rig.reconcile()
    assert len(settled.rig.boxes()) == 2
