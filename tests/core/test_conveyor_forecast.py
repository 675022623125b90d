"""How long a change needs: days to all regions, found out by the conveyor itself."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ombak.core.conveyor import forecast
from ombak.core.conveyor.forecast import Day
from ombak.core.conveyor.snapshot import GateAnswer
from ombak.core.conveyor.world import Gates, World, no_gates
from ombak.core.gates.gate import Held
from support.conveyor import NOW, region, spec, stage, view, watch

WAVES = {"wave-1": 1, "wave-2": 1, "wave-3": 3, "wave-4": 12}
PRE = {"alpha": ("dev-1",), "beta": ("dev-2",), "gamma": ("g-1", "g-2")}
NAMES = (*PRE, *WAVES, "rest")
REGIONS = [
    *(region(name) for names in PRE.values() for name in names),
    *(region(f"{wave}-{n}", labels={"wave": wave}) for wave, count in WAVES.items() for n in range(count)),
    *(region(f"rest-{n}") for n in range(7)),
]


def everyones() -> dict[str, Any]:
    """The sample of the source: alpha, beta, gamma, and waves of 1, 1, 3, 12 and 7 regions, by default."""
    stages = [stage(name, *names, phase="PreProd", bake=None) for name, names in PRE.items()]
    stages += [stage(wave, regions={"matchLabels": {"wave": wave}}, bake=None) for wave in WAVES]
    made = spec("v1", [*stages, stage("rest", regions="Unplaced", bake=None)])
    del made["rollout"]["spec"]["strategy"]
    return made


def office_hours(now: datetime) -> tuple[GateAnswer, ...]:
    """Starts are from nine to four, Monday to Friday; closed gates say when they open."""
    if now.weekday() < 5 and 9 <= now.hour < 16:
        return ()
    opens = now.replace(hour=9, minute=0, second=0, microsecond=0)
    while opens <= now or opens.weekday() >= 5:
        opens += timedelta(days=1)
    held = Held("window", "Window office-hours to open", "its owner", expected=opens)
    return tuple(GateAnswer(name, held) for name in NAMES)


def test_by_default_all_regions_have_it_in_four_to_five_business_days() -> None:
    """With starts in office hours only (R75), and no stage is left out."""
    began = NOW.replace(hour=9)
    found = forecast.forecast(view(everyones()), {}, REGIONS, began, office_hours)

    assert found.stuck == ()
    assert found.business_days() in (4, 5)
    assert [len(s.regions) for s in found.stages] == [1, 1, 2, 1, 1, 3, 12, 7]
    assert all(s.entered is not None and s.left is not None and s.entered < s.left for s in found.stages)
    assert sum((s.waited for s in found.stages), timedelta(0)) > timedelta(days=1)
    assert {s.waited_for for s in found.stages if s.waited} == {"Window office-hours to open"}


def test_every_region_says_when_it_starts_and_is_stable() -> None:
    """Inside the time of its stage, and the stage is left when the last one is stable."""
    found = forecast.forecast(view(everyones()), {}, REGIONS, NOW.replace(hour=9), office_hours)

    for each in found.stages:
        times = [(r.started, r.stable) for r in each.regions]
        assert all(started is not None and stable is not None and started < stable for started, stable in times)
        assert (min(s for s, _ in times if s), max(e for _, e in times if e)) == (each.entered, each.left)


def test_the_largest_day_is_that_on_which_most_boxes_of_production_get_it() -> None:
    """Stages before production are no blast radius; without production all of them are."""
    found = forecast.forecast(view(everyones()), {}, REGIONS, NOW.replace(hour=9), office_hours)
    before = forecast.forecast(view(spec("v1", [stage("alpha", "dev-1", phase="PreProd")])), {}, REGIONS, NOW)

    assert [day.regions for day in found.days()] == [1, 4, 19]
    assert found.largest_day() == Day(found.days()[-1].day, 19, 190)
    assert [(day.regions, day.boxes) for day in before.days()] == [(1, 10)]


def test_a_day_is_one_of_the_time_zone_in_which_people_live() -> None:
    """What starts in the evening in Europe starts on the next day in Asia."""
    evening = NOW.replace(hour=18)
    found = forecast.forecast(view(spec("v1", [stage("only", "dev-1")])), {}, REGIONS, evening)

    assert [str(day.day) for day in found.days()] == ["2026-01-05"]
    assert [str(day.day) for day in found.days(ZoneInfo("Asia/Jakarta"))] == ["2026-01-06"]
    assert found.business_days() == 1


def test_the_same_region_in_two_stages_is_told_twice() -> None:
    """Alpha and beta share a cluster, in namespaces of their own."""
    stages = [stage("alpha", "dev-1", namespace="shop-alpha", replicas=3), stage("beta", "dev-1")]
    found = forecast.forecast(view(spec("v1", stages)), {}, [region("dev-1", into=("shop/shop-alpha",))], NOW)

    told = [(r.name, r.namespace, r.boxes, r.started is not None) for s in found.stages for r in s.regions]
    assert told == [("dev-1", "shop-alpha", 3, True), ("dev-1", "shop", 10, True)]
    assert [(day.regions, day.boxes) for day in found.days()] == [(1, 13)]


def test_without_windows_it_takes_as_long_as_its_bakes() -> None:
    """The same to the minute, every time."""
    found = [forecast.forecast(view(everyones()), {}, REGIONS, NOW) for _ in range(2)]

    assert found[0] == found[1]
    assert found[0].length is not None
    assert timedelta(hours=50) < found[0].length < timedelta(hours=52)


VALUES = [{"regions": {"matchLabels": {"wave": "wave-4"}}, "env": {"SIZE": "large"}}]
JOB = {"spec": {"template": {"spec": {"containers": [{"name": "test", "image": "registry.example/test:1"}]}}}}
TESTS = [{"name": "mixed", "when": "DuringOneBox", "template": JOB}, {"name": "smoke", "template": JOB}]
ALARM = {"apiVersion": "ombak.dev/v1alpha1", "kind": "Alarm", "metadata": {"name": "errors"}, "spec": watch(1)}


def by_turns() -> dict[str, Any]:
    """As `everyones`, two regions of a stage at a time, with tests, values and an Alarm that travels along."""
    made = everyones()
    stages = [{**each, "maxParallel": 2, "tests": TESTS} for each in made["stages"]]
    return {**made, "stages": stages, "values": VALUES, "objects": [ALARM]}


def half_closed(now: datetime) -> tuple[GateAnswer, ...]:
    """Some regions of a stage open later than others, by a gate of their own."""
    held = Held("window", "Window late to open", "its owner", expected=now.replace(hour=22, minute=0))
    return tuple(GateAnswer("wave-4", held, f"wave-4-{n}") for n in range(0, 12, 3)) if now.hour < 22 else ()


@pytest.mark.breadth
@pytest.mark.parametrize("gates", [no_gates, office_hours, half_closed])
@pytest.mark.parametrize("made", [everyones(), by_turns()], ids=["default", "by turns"])
def test_to_ask_only_the_regions_that_move_tells_the_same(
    made: dict[str, Any], gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a world does in which every region is looked at each time."""
    found = forecast.forecast(view(made), {}, REGIONS, NOW.replace(hour=9), gates)
    monkeypatch.setattr(forecast, "Undisturbed", World)
    slowly = forecast.forecast(view(made), {}, REGIONS, NOW.replace(hour=9), gates)

    assert found.stuck == ()
    assert found == slowly


def test_what_it_inherits_counts_as_if_it_was_written_down() -> None:
    """Whatever else is in the namespace."""
    stages = everyones().pop("stages")
    child = {**spec("v1", []), "extends": {"name": "base"}, "stages": [{"name": "rest", "maxParallel": 1}]}
    bases = {"base": {"stages": stages}, "other": {"stages": [stage("alpha", "nowhere")]}}
    whole = [*stages[:-1], {**stages[-1], "maxParallel": 1}]

    found = forecast.forecast(view(child), bases, REGIONS, NOW)
    assert found.stuck == ()
    assert found == forecast.forecast(view(spec("v1", whole)), {}, REGIONS, NOW)


def test_what_never_arrives_says_why() -> None:
    """A plan that is not valid, and a window that never opens."""
    held = Held("window", "Window never to open", "its owner")
    shut = forecast.forecast(view(everyones()), {}, REGIONS, NOW, lambda _now: (GateAnswer("gamma", held),))
    wrong = forecast.forecast(view(spec("v1", [])), {}, REGIONS, NOW)

    assert (shut.ended, shut.stuck) == (None, ("Window never to open",))
    assert next((s.name, s.waited_for) for s in shut.stages if s.entered is None) == ("gamma", "Window never to open")
    assert [r.started for r in shut.stages[-1].regions] == [None] * 7
    assert "spec.stages is empty" in wrong.stuck[0]
