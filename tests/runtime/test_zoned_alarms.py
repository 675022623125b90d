"""Alarms that use `$(zone)`: asked for each zone in which a Rollout has boxes, and in ALARM when one of them is."""

import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from ombak.alarms.resolve import AlarmKey
from ombak.alarms.verdict import State, Verdict
from ombak.api.alarm import AlarmSpec
from ombak.core.evidence import Evidence
from ombak.core.snapshot import RolloutView
from ombak.runtime.alarm_book import Reading
from ombak.runtime.alarm_reader import AlarmReader
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.observe import view_of
from ombak.runtime.records import decode_rollout
from support.fake_metrics import FakeClock, FakeSource, constant
from support.rig import NAME, NAMESPACE, spec

ERRORS = AlarmKey(NAMESPACE, "errors")
METRIC = {"query": 'x{zone="$(zone)"}', "comparison": "GreaterThanThreshold", "threshold": 1, "period": "20s"}


def _view(**changes: Any) -> RolloutView:
    fields = {"zones": ["a", "b", "c"], "replicas": 6, **changes}
    return view_of(decode_rollout({"metadata": {"name": NAME, "namespace": NAMESPACE}, "spec": spec(**fields)}))


class World:
    """A reader on a service with one Alarm, whose series have these values by zone."""

    def __init__(self, metric: Mapping[str, Any] = METRIC) -> None:
        self.clock, self.source = FakeClock(), FakeSource()
        self.service = AlarmService({"": self.source}, self.clock, lambda _: None, rng=random.Random(1))
        self.service.set_alarm(ERRORS, AlarmSpec.model_validate({"metric": metric}))
        self.reader = AlarmReader(self.service, self.source, self.clock, lambda _: None)

    def says(self, **zones: float) -> None:
        """Each of these zones has such a value, and the others have none."""
        self.source.values = {f'x{{zone="{zone}"}}': {"": constant(value)} for zone, value in zones.items()}

    async def read(self, view: RolloutView) -> Reading:
        self.reader.read(view, None, is_active=True)
        await self.service.poll_due()
        return self.reader.read(view, None, is_active=True)


def _told(verdict: Verdict | None) -> list[str]:
    """What a verdict is, in a word."""
    assert verdict is not None
    found = {"alarm": verdict.is_alarm, "ok": verdict.is_ok, "unknown": verdict.is_unknown}
    return [name for name, holds in found.items() if holds]


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("zones", "expression", "expected"),
    [
        pytest.param({"a": 0.0, "b": 0.0, "c": 0.0}, "ALARM(errors)", "ok", id="all are well"),
        pytest.param({"a": 0.0, "b": 9.0, "c": 0.0}, "ALARM(errors)", "alarm", id="one is ill"),
        pytest.param({"a": 9.0}, "ALARM(errors)", "alarm", id="one is ill and the others are silent"),
        pytest.param({"a": 0.0, "b": 0.0}, "ALARM(errors)", "unknown", id="one is silent"),
        pytest.param({"a": 0.0, "b": 9.0, "c": 0.0}, "NOT OK(errors)", "alarm", id="one is ill, so it is not OK"),
        pytest.param({"a": 0.0, "b": 0.0, "c": 0.0}, "NOT OK(errors)", "ok", id="all are well, so it is OK"),
    ],
)
async def test_it_is_in_alarm_when_one_of_its_zones_is(
    world: World, zones: dict[str, float], expression: str, expected: str
) -> None:
    """As an OR over them: where one is not heard of and no other is ill, it is unknown."""
    world.says(**zones)
    revert = (await world.read(_view(alarms={"revert": expression}))).revert
    assert _told(revert) == [expected], revert


async def test_the_zone_is_named_with_what_is_ill(world: World) -> None:
    """Below an expression of the team too."""
    world.service.set_alarm(AlarmKey(NAMESPACE, "team"), AlarmSpec.model_validate({"expression": 'ALARM("errors")'}))
    world.says(a=0.0, b=9.0, c=0.0)
    revert = (await world.read(_view(alarms={"revert": 'ALARM("team")'}))).revert
    assert revert is not None
    assert "errors in zone b: 9 (" in revert.message, revert.message
    assert "zone a" not in revert.message


@pytest.mark.parametrize(
    ("changes", "everywhere", "one_box"),
    [
        pytest.param({}, "abc", "a", id="one box in the region"),
        pytest.param({"strategy": {"oneBox": {"scope": "Zone"}}}, "abc", "abc", id="one box in each zone"),
        pytest.param({"replicas": 2}, "ab", "a", id="fewer boxes than zones"),
        pytest.param({"replicas": 1}, "a", "a", id="the one box alone"),
        pytest.param({"replicas": 0}, "abc", "a", id="none at all"),
    ],
)
async def test_only_zones_with_boxes_are_asked(
    world: World, changes: dict[str, Any], everywhere: str, one_box: str
) -> None:
    """Of the others nothing would ever be heard."""
    metric = METRIC | {"query": 'x{pod=~"$(pods)", zone="$(zone)"}'}
    world.service.set_alarm(ERRORS, AlarmSpec.model_validate({"metric": metric}))
    await world.read(_view(alarms={"revert": "ALARM(errors)", "oneBox": "ALARM(errors)"}, **changes))
    boxes = [query for query in world.source.asked if f"{NAME}-onebox" in query]
    every = [query for query in world.source.asked if query not in boxes]
    assert (_zones(every), _zones(boxes)) == (everywhere, one_box), world.source.asked


def _zones(queries: list[str]) -> str:
    return "".join(sorted(query.split('zone="')[1][0] for query in queries))


async def test_a_rollout_without_zones_is_told_so(world: World) -> None:
    """It would be unknown for ever."""
    revert = (await world.read(_view(zones=None))).revert
    assert revert is not None
    assert revert.is_unknown
    assert "if that has spec.zones" in revert.message
    assert world.source.asked == []


async def test_an_alarm_that_warms_up_does_so_in_each_zone(world: World) -> None:
    """Then they are judged, all at once."""
    warm_at = world.clock.now() + timedelta(seconds=60)
    world.service.set_alarm(ERRORS, AlarmSpec.model_validate({"metric": METRIC | {"warmUp": "60s"}}), warm_at)
    world.says(a=9.0, b=0.0, c=0.0)
    early = (await world.read(_view())).revert
    assert early is not None
    assert "warming up" in early.message
    world.clock.advance(61)
    late = (await world.read(_view())).revert
    assert late is not None
    assert late.is_alarm


async def test_the_past_is_proven_zone_by_zone(world: World) -> None:
    """A gap counts where all of them were well."""
    view = _view()
    now = world.clock.now()
    world.says(a=0.0, b=0.0, c=0.0)
    await world.read(view)
    good = await world.service.ok_stretches((NAMESPACE, NAME), now - timedelta(seconds=60), now)
    world.says(a=0.0, b=9.0, c=0.0)
    bad = await world.service.ok_stretches((NAMESPACE, NAME), now - timedelta(seconds=60), now)
    assert good == ((now - timedelta(seconds=60), now),)
    assert bad == ()


async def test_a_change_of_the_alarm_reaches_whoever_rests_on_its_zones(world: World) -> None:
    """The object is what people change, not the part of one zone."""
    world.says(a=5.0, b=0.0, c=0.0)
    assert (await world.read(_view())).revert.state is State.ALARM  # type: ignore[union-attr]
    world.service.set_alarm(ERRORS, AlarmSpec.model_validate({"metric": METRIC | {"threshold": 7}}))
    assert (await world.read(_view())).revert.state is State.OK  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("zones", "expression", "expected"),
    [
        pytest.param({"a": 0.0, "b": 0.0}, "INSUFFICIENT_DATA(errors)", "alarm", id="a zone is silent"),
        pytest.param({}, "INSUFFICIENT_DATA(errors)", "alarm", id="all are silent"),
        pytest.param({"a": 0.0, "b": 0.0, "c": 0.0}, "INSUFFICIENT_DATA(errors)", "ok", id="none is silent"),
        pytest.param({"a": 0.0, "b": 9.0}, "INSUFFICIENT_DATA(errors)", "ok", id="it is in ALARM for sure"),
        pytest.param({"a": 0.0, "b": 0.0}, "NOT INSUFFICIENT_DATA(errors)", "ok", id="whoever asks for data has none"),
    ],
)
async def test_it_lacks_data_where_a_zone_does(
    world: World, zones: dict[str, float], expression: str, expected: str
) -> None:
    """As an Alarm without zones would: else a silent zone would count as OK for sure."""
    world.says(**zones)
    revert = (await world.read(_view(alarms={"revert": expression}))).revert
    assert _told(revert) == [expected], revert


async def test_an_override_that_passes_the_alarm_passes_it_in_every_zone(world: World) -> None:
    """People name the object, for its zones have none."""
    world.says(a=9.0, b=9.0, c=0.0)
    revert = (await world.read(_view())).revert
    assert revert is not None
    assert {cause.alarm for cause in revert.causes} == {"errors in zone a", "errors in zone b"}
    assert Evidence((revert,)).unnamed({"errors"}) is None
    assert Evidence((revert,), frozenset({0})).passing({"errors"}).is_ok
    assert Evidence((revert,)).unnamed({"latency"}) is revert


async def test_what_lacks_data_is_named_where_that_is_the_alarm(world: World) -> None:
    """The verdict that takes a version back stands on its record: `always ALARM` would tell nobody why."""
    metric = METRIC | {"query": "x"}
    world.service.set_alarm(ERRORS, AlarmSpec.model_validate({"metric": metric}))
    revert = (await world.read(_view(alarms={"revert": "INSUFFICIENT_DATA(errors)"}))).revert
    assert revert is not None
    assert revert.is_alarm
    assert "no series" in revert.message
