"""The status of a Region says what is so, and is written seldom."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ombak.runtime.kube_port import Conflict, Object
from ombak.runtime.pulse import Sign
from ombak.runtime.region_records import decode_region
from ombak.runtime.region_status import CONTACT_EVERY, RegionReporter, is_worth_a_write, region_status
from ombak.runtime.regions import Contact, Reach, cluster_of
from ombak.runtime.store import Store
from ombak.simulation.agenda import run_virtual

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
UP = Contact(Reach.YES, "Answering", "it answers", T0, T0, "v1.36.3")
SILENT = Sign(False, "Silent", "no sign of life")
LISTENING = Sign(None, "Listening", "no fresh one yet")
DOWN = Contact(Reach.UNKNOWN, "Timeout", "no answer", T0 + timedelta(minutes=1), T0, "v1.36.3")


def region(status: Any = None, generation: int = 1) -> Object:
    meta = {"name": "eu", "uid": "u", "resourceVersion": "1", "generation": generation}
    return {"metadata": meta, "spec": {"access": {"inCluster": {}}}, **({"status": status} if status else {})}


def written(contact: Contact, **before: Any) -> dict[str, Any]:
    return region_status(decode_region(region(**before)), contact)


def test_a_status_tells_reach_reason_and_last_contact() -> None:
    """As metav1.Condition has it."""
    assert written(UP) == {
        "observedGeneration": 1,
        "lastContact": "2026-03-01T12:00:00Z",
        "serverVersion": "v1.36.3",
        "conditions": [
            {
                "type": "Reachable",
                "status": "True",
                "reason": "Answering",
                "message": "it answers",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-03-01T12:00:00Z",
            },
            {
                "type": "Operated",
                "status": "True",
                "reason": "Alive",
                "message": "the operator there gives signs of life",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-03-01T12:00:00Z",
            },
        ],
    }


def test_an_operator_that_fell_silent_is_told_and_one_of_a_region_that_does_not_answer_is_unknown() -> None:
    """The region answers, and yet nobody works there; where it does not answer nobody can tell."""
    before = written(UP)
    silent = written(UP.seen("v1.36.3", SILENT), status=before)
    away = written(DOWN.seen("v1.36.3", SILENT), status=before)

    assert [(c["type"], c["status"], c["reason"]) for c in silent["conditions"]] == [
        ("Reachable", "True", "Answering"),
        ("Operated", "False", "Silent"),
    ]
    assert (away["conditions"][1]["status"], away["conditions"][1]["reason"]) == ("Unknown", "Timeout")


HERE = UP.seen("v1.36.3", cluster="c")


def test_a_region_that_leads_to_the_cluster_of_another_one_names_it() -> None:
    """As long as it does, and not at all where each is a cluster of its own."""
    found = region_status(decode_region(region()), HERE, ["spare", "us"])
    told = found["conditions"][2]

    assert (told["type"], told["status"], told["reason"]) == ("Distinct", "False", "SameCluster")
    assert told["message"].startswith("it leads to the same cluster as Region spare, Region us; a Pipeline that is to")
    record = decode_region(region(found))
    assert not is_worth_a_write(record, region_status(record, HERE, ["spare", "us"]))
    assert is_worth_a_write(record, region_status(record, HERE, ["spare"]))
    assert is_worth_a_write(record, region_status(record, HERE))
    assert len(region_status(record, HERE)["conditions"]) == 2


def test_of_which_cluster_a_region_is_outlasts_a_restart_until_it_is_looked_at() -> None:
    """Else the first of two Regions of one cluster to answer would be alone there, and get what neither is to get."""
    before = written(HERE)
    unseen = Contact(Reach.UNKNOWN, "NotLookedAtYet", "", T0 + timedelta(hours=1))
    away = unseen.turned(Reach.UNKNOWN, "Timeout", "", T0 + timedelta(hours=1))

    assert (before["cluster"], written(unseen, status=before)["cluster"]) == ("c", "c")
    assert [cluster_of(before, c) for c in (None, unseen, away, UP)] == ["c", "c", "", ""]
    assert (written(away, status=before)["cluster"], "cluster" in written(UP, status=before)) == ("c", False)
    assert not is_worth_a_write(decode_region(region(written(UP))), before)


def test_a_restart_of_the_hub_neither_turns_a_condition_nor_forgets() -> None:
    """The time of the transition, the last contact and the version outlast it."""
    before = written(UP)
    anew = Contact(Reach.YES, "Answering", "again", T0 + timedelta(hours=1), T0 + timedelta(hours=1), "v1.36.3")
    unseen = Contact(Reach.UNKNOWN, "NotLookedAtYet", "", T0 + timedelta(hours=1))

    assert written(anew, status=before)["conditions"][0]["lastTransitionTime"] == "2026-03-01T12:00:00Z"
    assert written(unseen, status=before)["lastContact"] == before["lastContact"]
    assert not is_worth_a_write(decode_region(region(before)), written(unseen, status=before))


@pytest.mark.parametrize(
    ("contact", "generation", "expected"),
    [
        pytest.param(UP, 1, False, id="the-same"),
        pytest.param(DOWN, 1, True, id="turned"),
        pytest.param(UP.turned(Reach.YES, "Answering", "other words", T0), 1, False, id="only-words"),
        pytest.param(UP.seen("v1.37.0"), 1, True, id="another-version"),
        pytest.param(UP.seen("v1.36.3", SILENT), 1, True, id="its-operator-fell-silent"),
        pytest.param(UP.seen("v1.36.3", LISTENING), 1, False, id="the-hub-has-just-begun-to-listen"),
        pytest.param(UP, 2, True, id="another-generation"),
        pytest.param(UP.turned(Reach.YES, "Answering", "", T0 + CONTACT_EVERY), 1, True, id="contact-is-old"),
        pytest.param(
            UP.turned(Reach.YES, "Answering", "", T0 + CONTACT_EVERY - timedelta(seconds=1)),
            1,
            False,
            id="contact-is-fresh",
        ),
    ],
)
def test_only_news_is_written(contact: Contact, generation: int, expected: bool) -> None:
    """A transition, a version, a generation, or a last contact of five minutes ago."""
    record = decode_region(region(written(UP), generation))

    assert is_worth_a_write(record, region_status(record, contact)) is expected


class Hub:
    """Takes status writes, and may refuse some."""

    def __init__(self) -> None:
        self.bodies: list[Object] = []
        self.refuse = 0

    async def replace(self, _kind: Any, _namespace: str, _name: str, body: Object, *, subresource: str) -> Object:
        assert subresource == "status"
        if self.refuse:
            self.refuse -= 1
            raise Conflict(409, "Conflict", "changed")
        self.bodies.append(body)
        answer = region(body["status"])
        return answer | {"metadata": answer["metadata"] | {"resourceVersion": str(1 + len(self.bodies))}}


class Known:
    """Contacts by name."""

    def __init__(self, contact: Contact) -> None:
        self.now = contact
        self.others: tuple[str, ...] = ()

    def contact(self, _name: str) -> Contact:
        return self.now

    def names(self) -> tuple[str, ...]:
        return ("eu", *self.others)


async def reporting(hub: Hub, known: Known) -> tuple[RegionReporter, asyncio.Task[None]]:
    """A reporter of one Region that has told what it found first."""
    records = Store(decode_region)
    client: Any = hub
    regions: Any = known
    records.observe(region())
    reporter = RegionReporter(client, records, regions, client)
    task = asyncio.create_task(reporter.run())
    await asyncio.sleep(100)
    return reporter, task


def test_the_reporter_writes_at_transitions_and_tries_again() -> None:
    """A write that is refused comes later by itself."""

    async def scene() -> list[str]:
        hub, known = Hub(), Known(UP)
        reporter, task = await reporting(hub, known)
        hub.refuse, known.now = 1, DOWN
        reporter.wake()
        await asyncio.sleep(100)
        task.cancel()
        return [body["status"]["conditions"][0]["reason"] for body in hub.bodies]

    assert run_virtual(scene()) == ["Answering", "Timeout"]


def test_the_reporter_tells_which_regions_are_one_cluster() -> None:
    """It knows them all; one that comes later is told at once."""

    async def scene() -> list[list[str]]:
        hub, known = Hub(), Known(HERE)
        reporter, task = await reporting(hub, known)
        known.others = ("us",)
        reporter.wake()
        await asyncio.sleep(100)
        task.cancel()
        return [[c["type"] for c in body["status"]["conditions"]] for body in hub.bodies]

    assert run_virtual(scene()) == [["Reachable", "Operated"], ["Reachable", "Operated", "Distinct"]]
