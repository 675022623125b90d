"""Windows and Blockers through the runtime: whom a change wakes, what is told and written, calendars, and rights."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from ombak.alarms.verdict import State
from ombak.api.window import ConfigMapKey
from ombak.core.gates.facts import GateFacts
from ombak.runtime import kinds
from ombak.runtime.gate_book import FORBIDDEN, GateBook
from ombak.runtime.gate_records import decode_blocker, decode_cluster_blocker
from ombak.runtime.gate_status import CALENDARS_EVERY, LATEST_LOOK, GateReporter
from ombak.runtime.intake import Intake
from ombak.runtime.kube_port import ApiError, Kind, Object, Unreachable
from ombak.runtime.observe import view_of
from ombak.runtime.records import RolloutRecord, decode_rollout
from ombak.runtime.store import Key, Store
from support.rig import KEY, NAMESPACE, Rig, baking, template

pytestmark = pytest.mark.usefixtures("quiet")

DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


def hours(start: datetime, length: timedelta) -> Object:
    """A Window that opens then, every day."""
    opening = {"days": DAYS, "from": f"{start:%H:%M}", "to": f"{start + length:%H:%M}"}
    return {"timeZone": "UTC", "open": [opening], "owner": "platform"}


def blocking(**more: Any) -> Object:
    """The spec of a Blocker."""
    return {"owner": "sre", "reason": "an incident"} | more


def write(rig: Rig, kind: Kind, name: str, spec: Object, namespace: str = NAMESPACE) -> None:
    """Somebody creates a gate."""
    rig.server.create("kubectl", kind, namespace if kind.namespaced else "", {"metadata": {"name": name}, "spec": spec})


def facts(rig: Rig) -> GateFacts:
    """What the gates say of the Rollout."""
    stored = rig.stores.rollouts.get(KEY)
    assert stored is not None
    return rig.gates.facts(view_of(stored.value))


async def test_a_change_waits_for_its_window_and_goes_when_it_opens(rig: Rig) -> None:
    """Status names the Window, its owner, and when; the next look is at that moment; then it goes by itself."""
    opens = (rig.clock.now() + timedelta(minutes=30)).replace(second=0, microsecond=0)
    write(rig, kinds.WINDOWS, "hours", hours(opens, timedelta(hours=2)))
    rig.change(windows=["hours"])
    rig.change(template=template("2.0.0"))
    wake = await rig.reconcile()

    assert rig.phase == "Blocked"
    waiting = rig.status["waitingFor"]
    assert waiting["what"].startswith("Window hours to open (outside its hours; opens ")
    assert (waiting["who"], waiting["command"]) == ("time, or platform", "kubectl edit window hours")
    assert waiting["expected"] == opens.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert wake == opens - rig.clock.now()
    rig.change(template=template("3.0.0"))
    await rig.reconcile()
    assert rig.status["queue"]["superseded"] == 1
    rig.clock.advance((opens - rig.clock.now()).total_seconds())
    await rig.go_on("Stable")
    assert "queue" not in rig.status
    started = next(note for note in rig.recorder.notes if note.reason == "Started")
    assert "1 change was overtaken" in started.message


async def test_alarms_rest_while_a_window_is_awaited(rig: Rig) -> None:
    """A weekend is long; they are asked before it starts."""
    rig.change(windows=["nowhere"])
    rig.change(template=template("2.0.0"))
    await rig.reconcile()
    rig.alarms.reads.clear()
    await rig.reconcile()

    assert rig.phase == "Blocked"
    assert {is_active for _, is_active in rig.alarms.reads} == {False}


async def test_a_blocker_stops_the_next_step_and_no_revert(rig: Rig) -> None:
    """The boxes that it has stay; when the alarm fires they go back, although it is still there."""
    await rig.at_first_batch()
    write(rig, kinds.BLOCKERS, "freeze", blocking(stops="Steps"))
    before = rig.boxes()
    for _ in range(5):
        await rig.reconcile()
        rig.settle()
        rig.clock.advance(15)
    assert rig.boxes() == before
    assert rig.status["waitingFor"]["command"] == "kubectl -n shop delete blocker freeze"

    rig.alarms.state = State.ALARM
    await rig.go_on("Reverted")

    assert rig.boxes() == {rig.stable: 4}


async def test_a_lifted_blocker_lets_it_go_on(rig: Rig) -> None:
    """And so does one that expires."""
    write(rig, kinds.BLOCKERS, "freeze", blocking())
    end = (rig.clock.now() + timedelta(minutes=10)).isoformat()
    write(rig, kinds.CLUSTER_BLOCKERS, "event", blocking(expires=end))
    rig.change(template=template("2.0.0"))
    await rig.reconcile()
    assert "expected" not in rig.status["waitingFor"]
    rig.server.delete("kubectl", kinds.BLOCKERS, NAMESPACE, "freeze")
    wake = await rig.reconcile()
    assert rig.status["waitingFor"]["command"] == "kubectl delete clusterblocker event"
    assert wake is not None
    assert wake <= timedelta(minutes=10)
    rig.clock.advance(600)

    await rig.go_on("Stable")


# --- whom it concerns ------------------------------------------------------------------------------------


class Book:
    """A book with two Rollouts in each of two namespaces, of which one names a Window."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.rollouts: Store[RolloutRecord] = Store(decode_rollout)
        self.woken: list[Key] = []
        self.changed: list[str] = []
        self.book = GateBook(
            self.rollouts, self.woken.append, changed=lambda kind, key: self.changed.append(f"{kind.kind} {key[1]}")
        )
        self.rig.apply()
        for number, key in enumerate((("a", "one"), ("a", "two"), ("b", "one"), ("b", "two"))):
            made = {**self.rig.rollout, "metadata": {**self._meta(key), "resourceVersion": str(number + 1)}}
            if key == ("b", "two"):
                made["spec"] = {**made["spec"], "windows": ["hours"]}
            self.rollouts.observe(made)

    def _meta(self, key: Key) -> Object:
        return {"namespace": key[0], "name": key[1], "uid": f"{key}", "generation": 1}

    def see(
        self, kind: Kind, name: str, spec: Object, *, version: int, namespace: str = "", status: object = None
    ) -> None:
        """The watch brings a gate."""
        meta = {**self._meta((namespace, name)), "resourceVersion": str(version), "generation": version}
        if status is not None:
            meta["generation"] = version - 1
        self.woken.clear()
        self.book.stores()[kind].observe({"metadata": meta, "spec": spec, "status": status or {}})


def test_a_window_wakes_those_who_name_it() -> None:
    """Nobody else; and a write of its status wakes nobody."""
    made, spec = Book(), hours(datetime(2026, 1, 5, 9), timedelta(hours=1))  # noqa: DTZ001 - only the hour counts
    made.see(kinds.WINDOWS, "hours", spec, version=10)
    assert made.woken == [("b", "two")]
    made.see(kinds.WINDOWS, "hours", spec, version=11, status={"state": "Open"})
    assert made.woken == []
    made.see(kinds.WINDOWS, "other", spec, version=12)
    assert made.woken == []
    assert made.changed == ["Window hours", "Window hours", "Window other"]


@pytest.mark.parametrize(
    ("kind", "namespace", "woken"),
    [
        pytest.param(kinds.BLOCKERS, "a", {("a", "one"), ("a", "two")}, id="namespaced"),
        pytest.param(kinds.CLUSTER_BLOCKERS, "", {(n, m) for n in "ab" for m in ("one", "two")}, id="cluster"),
    ],
)
def test_a_blocker_wakes_those_in_its_reach(kind: Kind, namespace: str, woken: set[Key]) -> None:
    """When it comes, changes and goes; not when its status is written."""
    made = Book()
    made.see(kind, "freeze", blocking(), version=10, namespace=namespace)
    assert set(made.woken) == woken
    made.see(kind, "freeze", blocking(), version=11, namespace=namespace, status={"state": "Active"})
    assert made.woken == []
    made.see(kind, "freeze", blocking(stops="Steps"), version=12, namespace=namespace)
    assert set(made.woken) == woken


# --- status ----------------------------------------------------------------------------------------------


def reporter(rig: Rig, *, writes_cluster: bool = True) -> GateReporter:
    """What writes the status of gates."""
    return GateReporter(rig.kube, rig.gates, rig.clock, writes_cluster=writes_cluster)


async def test_a_window_says_what_it_is(rig: Rig) -> None:
    """Until when, in its time zone; written at each turn, and not in between."""
    opens = (rig.clock.now() + timedelta(minutes=30)).replace(second=0, microsecond=0)
    write(rig, kinds.WINDOWS, "hours", hours(opens, timedelta(minutes=20)))
    made, key = reporter(rig), ("", "hours")
    wake = await made.reconcile(kinds.WINDOWS, key)
    status = rig.server.get(kinds.WINDOWS, "", "hours")["status"]
    assert (status["state"], status["timeZone"]) == ("Closed", "UTC")
    assert status["until"] == opens.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert status["conditions"][0]["status"] == "True"
    assert wake == opens - rig.clock.now()
    rig.clock.advance(60)
    await made.reconcile(kinds.WINDOWS, key)
    assert rig.kube.writes == ["replace Window/status hours"]

    rig.clock.advance((opens - rig.clock.now()).total_seconds())
    assert await made.reconcile(kinds.WINDOWS, key) == timedelta(minutes=20)

    assert rig.server.get(kinds.WINDOWS, "", "hours")["status"]["state"] == "Open"


async def test_an_unreadable_window_says_why(rig: Rig) -> None:
    """And holds whoever names it."""
    write(
        rig,
        kinds.WINDOWS,
        "hours",
        {"timeZone": "Europe/Nowhere", "open": [{"days": DAYS, "from": "09:00", "to": "10:00"}]},
    )
    rig.change(windows=["hours"])
    await reporter(rig).reconcile(kinds.WINDOWS, ("", "hours"))

    status = rig.server.get(kinds.WINDOWS, "", "hours")["status"]
    assert (status["state"], status["conditions"][0]["status"]) == ("Unreadable", "False")
    assert "there is no time zone 'Europe/Nowhere'; write" in status["message"]
    assert facts(rig).windows[0].schedule is None


async def test_a_blocker_expires_once(rig: Rig) -> None:
    """It is looked at again at its end; then it says Expired, one write, and rests."""
    now = rig.clock.now()
    times = {"begins": (now + timedelta(minutes=1)).isoformat(), "expires": (now + timedelta(minutes=5)).isoformat()}
    write(rig, kinds.BLOCKERS, "freeze", blocking(**times))
    made, key = reporter(rig), (NAMESPACE, "freeze")
    seen = []
    for _ in range(4):
        wake = await made.reconcile(kinds.BLOCKERS, key)
        seen.append((rig.server.get(kinds.BLOCKERS, *key)["status"]["state"], wake))
        rig.clock.advance(wake.total_seconds() if wake else 3600)

    minute = timedelta(minutes=1)
    assert seen == [("Pending", minute), ("Active", 4 * minute), ("Expired", None), ("Expired", None)]
    assert len(rig.kube.writes) == 3


async def test_nothing_is_left_alone_for_longer_than_an_hour(rig: Rig) -> None:
    """Clocks are set, and machines sleep."""
    far = (rig.clock.now() + timedelta(days=3)).isoformat()
    write(rig, kinds.BLOCKERS, "freeze", blocking(expires=far))

    assert await reporter(rig).reconcile(kinds.BLOCKERS, (NAMESPACE, "freeze")) == LATEST_LOOK


async def test_an_operator_of_one_namespace_leaves_the_clusters_status_alone(rig: Rig) -> None:
    """Two of them with other time zones would write against each other for ever."""
    write(rig, kinds.WINDOWS, "hours", hours(rig.clock.now(), timedelta(hours=1)))
    write(rig, kinds.CLUSTER_BLOCKERS, "event", blocking())
    made = reporter(rig, writes_cluster=False)
    await made.reconcile(kinds.WINDOWS, ("", "hours"))
    await made.reconcile(kinds.CLUSTER_BLOCKERS, ("", "event"))

    assert rig.kube.writes == []


async def test_a_gate_that_is_gone_or_another_one_is_no_failure(rig: Rig) -> None:
    """The watch tells, and then it is looked at again."""
    write(rig, kinds.BLOCKERS, "freeze", blocking())
    made = reporter(rig)
    for status in (404, 409):
        rig.kube.fail("replace Blocker/status", ApiError.of(status))
        await made.reconcile(kinds.BLOCKERS, (NAMESPACE, "freeze"))
    rig.kube.fail("replace Blocker/status", Unreachable("cut"))
    with pytest.raises(Unreachable):
        await made.reconcile(kinds.BLOCKERS, (NAMESPACE, "freeze"))
    rig.server.delete("kubectl", kinds.BLOCKERS, NAMESPACE, "freeze")
    assert await made.reconcile(kinds.BLOCKERS, (NAMESPACE, "freeze")) is None


CALENDAR = """\
BEGIN:VCALENDAR
BEGIN:VEVENT
UID:1
DTSTART;VALUE=DATE:{:%Y%m%d}
SUMMARY:Founders' day
END:VEVENT
END:VCALENDAR
"""
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")


async def test_a_calendar_in_a_configmap_closes_a_window(rig: Rig) -> None:
    """Closed while it is not there; read again from time to time, and whoever waits hears of it."""
    place = {"namespace": "platform", "name": "company"}
    always = {"days": DAYS, "from": "00:00", "to": "24:00"}
    write(rig, kinds.WINDOWS, "hours", {"timeZone": "UTC", "open": [always], "ics": [{"configMap": place}]})
    rig.change(windows=["hours"])
    made = reporter(rig)
    woken: list[Key] = []
    rig.gates._wake = woken.append
    assert facts(rig).windows[0].problem == "the calendar calendar.ics of ConfigMap platform/company was not read yet"

    assert await made.reconcile(kinds.WINDOWS, ("", "hours")) == CALENDARS_EVERY
    assert facts(rig).windows[0].problem.endswith("does not exist")
    body = {"metadata": {"name": "company"}, "data": {"calendar.ics": CALENDAR.format(rig.clock.now())}}
    rig.server.create("kubectl", CONFIG_MAP, "platform", body)
    await made.reconcile(kinds.WINDOWS, ("", "hours"))

    schedule = facts(rig).windows[0].schedule
    assert schedule is not None
    assert schedule.why_closed(rig.clock.now()) == "Founders' day"
    assert woken == [KEY, KEY]
    rig.kube.fail("get ConfigMap", ApiError.of(403, "Forbidden", "no right"))
    await made.reconcile(kinds.WINDOWS, ("", "hours"))
    assert facts(rig).windows[0].problem.endswith("may not be read: no right")
    assert ConfigMapKey.model_validate(place).key == "calendar.ics"


# --- what cannot be read, and rights ---------------------------------------------------------------------


def test_a_blocker_that_cannot_be_read_stops_what_it_may_have_meant() -> None:
    """The selector narrows it as far as it can be read; nothing expires of which nobody knows when."""
    meta = {"namespace": "shop", "name": "x", "uid": "1", "resourceVersion": "1"}
    spec = blocking(selector={"matchLabels": {"tier": "web"}}, stops="Steps", expires="tomorrow")
    made = decode_blocker({"metadata": meta, "spec": spec}).view
    cluster = decode_cluster_blocker({"metadata": {**meta, "namespace": None}, "spec": {"namespaces": ["shop"]}}).view

    assert (dict(made.match_labels), made.stops.value, made.expires) == ({"tier": "web"}, "Steps", None)
    assert "its spec cannot be read: spec.expires" in made.reason
    assert (cluster.namespace, cluster.namespaces) == ("", frozenset({"shop"}))


class Forbidding:
    """A client that may read nothing of the whole cluster."""

    async def list(self, kind: Kind, *_: object, **__: object) -> Object:
        if not kind.namespaced:
            raise ApiError.of(403, "Forbidden", f"{kind.plural} is forbidden")
        return {"metadata": {"resourceVersion": "1"}, "items": []}


async def test_an_operator_of_one_namespace_goes_without_what_it_may_not_read(rig: Rig) -> None:
    """Windows are closed to it then, with the reason; it starts all the same."""
    client: Any = Forbidding()
    intake = Intake(client, rig.gates.stores(), ["shop"], random.Random(1), optional=rig.gates.optional())
    async with asyncio.timeout(5):
        await intake.sync()
    rig.change(windows=["hours"])

    assert set(intake.stores) == {kinds.BLOCKERS, kinds.OVERRIDES}
    assert facts(rig).windows[0].problem == FORBIDDEN
    rig.change(template=template("2.0.0"), strategy=baking())
    await rig.reconcile()
    assert "bind the ClusterRole" in rig.status["waitingFor"]["what"]
