"""What the demonstration reads: boxes, ledger, alarm queries, and its own versions."""

from datetime import timedelta
from importlib import resources
from typing import Any

import pytest
import yaml
from demo_cases import BAKING, NEW, NOW, OLD, box, scene

from ombak.api.rollout_status import Phase, RolloutStatus
from ombak.cli.demo.boxes import BoxCount, box_of
from ombak.cli.demo.scene import Ledger, ledger_of, questions
from ombak.cli.demo.story import versions
from ombak.core.memory import Ledger as Recorded
from ombak.core.memory import Memory, Mode, Position, Release, Step, dump_memory

MANIFESTS = resources.files("ombak.cli.demo") / "manifests"


def pod(**metadata: Any) -> dict[str, Any]:
    """A ready pod of the one box."""
    labels = {"ombak.dev/artifact": NEW, "ombak.dev/box": "onebox"}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": "p", "labels": labels} | metadata, "status": ready}


def test_box_of_a_pod_has_its_artifact_and_whether_it_serves() -> None:
    """The labels say whose it is, the Ready condition whether it serves."""
    assert box_of(pod()) == box("p", NEW, one_box=True)


def test_a_pod_on_its_way_out_is_no_box() -> None:
    """A deleted pod serves nobody, even while it still says that it is ready."""
    assert box_of(pod(deletionTimestamp="2026-01-02T03:04:05Z")) is None


def test_fewest_counts_from_the_beginning_on_and_most_always() -> None:
    """The installation, where boxes come up one by one, is not held against the promise; later moments are."""
    count = BoxCount()
    count.put(box("one"))
    count.begin()
    for name in ("two", "three"):
        count.put(box(name, NEW))
    count.remove("three")
    count.put(box("four", NEW, ready=False))

    assert (count.fewest, count.most(OLD), count.most(NEW)) == (1, 1, 2)


def test_fewest_remembers_a_dip_that_is_over() -> None:
    """One moment below is enough."""
    count = BoxCount()
    count.replace({name: box(name) for name in ("one", "two", "three")})
    count.begin()
    count.remove("one")
    count.put(box("four"))

    assert (len(count.boxes), count.fewest) == (3, 2)


def baking(ledger: Recorded, alarm: str = "OK") -> RolloutStatus:
    """A status in the middle of a bake, as the operator writes it."""
    step = Step(1, NOW, 1, 1, NOW, arrived_at=NOW, available_since=NOW, ledger=ledger)
    memory = Memory(release=Release(NEW, Mode.FORWARD, NOW, Position(0, 1, 1), step))
    alarms = {"revert": {"state": alarm, "certainty": "Certain", "message": ""}}
    return RolloutStatus.model_validate(BAKING | {"memory": dump_memory(memory), "alarms": alarms})


@pytest.mark.parametrize(
    ("alarm", "seconds", "proven"),
    [
        pytest.param("OK", 2, 5, id="goes on while all is well"),
        pytest.param("OK", 60, 10, id="never beyond what is needed"),
        pytest.param("ALARM", 2, 3, id="stands still under an alarm"),
    ],
)
def test_ledger_goes_on_between_two_writes(alarm: str, seconds: int, proven: int) -> None:
    """The status holds what was proven at the last write; what must have come since is added."""
    status = baking(Recorded(timedelta(seconds=3), NOW, NOW), alarm)

    found = ledger_of(status, NOW + timedelta(seconds=seconds))

    assert found == Ledger(timedelta(seconds=proven), timedelta(seconds=10))


def test_there_is_no_ledger_without_a_bake() -> None:
    """A Rollout at rest proves nothing."""
    assert ledger_of(RolloutStatus(), NOW) is None


def test_phase_of_an_older_generation_is_not_taken_for_the_new_ones() -> None:
    """Stable of the version before is not Stable of the one just applied."""
    assert scene(generation=3).phase is None
    assert scene().phase is Phase.ONE_BOX_BAKE


def test_queries_are_asked_as_the_operator_asks_them() -> None:
    """Every metric alarm of the example is asked, without variables left in it, under its own condition."""
    alarms = list(yaml.safe_load_all((MANIFESTS / "alarms.yaml").read_text()))

    asked = {question.alarm: question for question in questions(alarms, "shop", "front-end")}

    assert set(asked) == {"front-end-errors", "front-end-latency", "front-end-onebox-errors"}
    assert str(asked["front-end-errors"].rule) == "> 0.01"
    assert not [q.query for q in asked.values() if "$(" in q.query]


def test_the_three_versions_differ_in_image_and_behaviour_only() -> None:
    """Two good versions and a bad one, made from the example that is shipped with the package."""
    example = yaml.safe_load((MANIFESTS / "rollout.yaml").read_text())

    played = versions(example)

    assert [(v.name, v.ends) for v in played] == [
        ("1.0.0", Phase.STABLE),
        ("1.1.0", Phase.STABLE),
        ("1.2.0", Phase.REVERTED),
    ]
    assert played[0].manifest == example
    assert len({v.artifact for v in played}) == 3
