"""How long a change needs: days to all regions, found out by the conveyor itself."""

from datetime import datetime, timedelta
from typing import Any

from ombak.core.conveyor.forecast import forecast
from ombak.core.conveyor.snapshot import GateAnswer
from ombak.core.gates.gate import Held
from support.conveyor import NOW, region, spec, stage, view

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
    found = forecast(view(everyones()), {}, REGIONS, began, office_hours)

    assert found.stuck == ()
    assert found.ended is not None
    assert (found.ended.date() - began.date()).days + 1 in (4, 5)
    assert [len(s.regions) for s in found.stages] == [1, 1, 2, 1, 1, 3, 12, 7]
    assert all(s.entered is not None and s.left is not None and s.entered < s.left for s in found.stages)
    assert sum(found.regions_per_day.values()) == 28
    assert found.largest_day == 19
    assert sum((s.waited for s in found.stages), timedelta(0)) > timedelta(days=1)


def test_without_windows_it_takes_as_long_as_its_bakes() -> None:
    """The same to the minute, every time."""
    found = [forecast(view(everyones()), {}, REGIONS, NOW) for _ in range(2)]

    assert found[0] == found[1]
    assert found[0].length is not None
    assert timedelta(hours=50) < found[0].length < timedelta(hours=52)


def test_what_never_arrives_says_why() -> None:
    """A plan that is not valid, and a window that never opens."""
    held = Held("window", "Window never to open", "its owner")
    shut = forecast(view(everyones()), {}, REGIONS, NOW, lambda _now: (GateAnswer("gamma", held),))
    wrong = forecast(view(spec("v1", [])), {}, REGIONS, NOW)

    assert (shut.ended, shut.stuck) == (None, ("Window never to open",))
    assert "spec.stages is empty" in wrong.stuck[0]
