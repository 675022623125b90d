"""What the gates say of the stages of a Pipeline: by region, in its own time, and what the team's alarms say there."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ombak.api.health import State
from ombak.core.conveyor import content
from ombak.core.conveyor.merge import merge
from ombak.core.conveyor.snapshot import GateAnswer
from ombak.core.floors import Floors
from ombak.core.gates.gate import Context, Moment
from ombak.core.gates.team_alarms import PlacedAlarm, TeamAlarmGate
from ombak.runtime import kinds
from ombak.runtime.gate_book import GateBook
from ombak.runtime.hub.gating import Gating
from ombak.runtime.hub.records import decode_pipeline
from ombak.runtime.pulse import ALIVE, UNASKED, Sign
from ombak.runtime.records import RolloutRecord, decode_rollout
from ombak.runtime.region_records import RegionAlarm, decode_region_alarm, decode_region_rollout
from ombak.runtime.regions import Contact, Reach, RegionView
from ombak.runtime.store import Key, Store
from support.conveyor import NOW, region, spec, stage, template, watch

FINE = RegionAlarm(State.OK, is_certain=True, told="", since=None)
BURNS = RegionAlarm(State.ALARM, is_certain=True, told="errors 7 %.", since=NOW)
DOUBT = RegionAlarm(State.OK, is_certain=False, told="one child is unknown", since=NOW)
BLIND = RegionAlarm(State.INSUFFICIENT_DATA, is_certain=True, told="no data", since=NOW)
ALARM = {"apiVersion": "ombak.dev/v1alpha1", "kind": "Alarm", "metadata": {"name": "team"}, "spec": watch(1)}
STAGES = [stage("alpha", "a-1", namespace="shop-alpha"), stage("prod", "p-1", "p-2")]
EVERYWHERE = {("a-1", "shop-alpha"), ("p-1", "shop"), ("p-2", "shop")}


class Regions:
    """What regions say of Alarms and of the Rollout."""

    def __init__(self) -> None:
        self.alarms: dict[tuple[str, Key], RegionAlarm] = {}
        self.versions: dict[tuple[str, Key], str] = {}
        self.signs: dict[str, Sign] = {}

    def contact(self, name: str) -> Contact:
        return Contact(Reach.YES, "Answering", "", NOW, operator=self.signs.get(name, ALIVE))

    def alarm(self, name: str, key: Key) -> RegionAlarm | None:
        return self.alarms.get((name, key))

    def view(self, name: str, key: Key) -> RegionView:
        found = self.versions.get((name, key))
        annotations = {"ombak.dev/version": found}
        obj = {"metadata": {"namespace": key[0], "name": key[1], "annotations": annotations}}
        rollout = decode_region_rollout(obj, "ombak-hub") if found is not None else None
        return RegionView(name, self.contact(name), rollout, is_known=True)


class Asked:
    """A Pipeline of two stages over three regions, and the gates of its hub."""

    def __init__(self, **more: Any) -> None:
        self.regions, rollouts = Regions(), Store[RolloutRecord](decode_rollout)
        self.book = GateBook(rollouts, lambda _key: None)
        port: Any = self.regions
        self.gating = Gating(self.book, port)
        self.spec = spec("v1", more.pop("stages", STAGES), **more)
        self.facts = [region(name) for name in ("a-1", "p-1", "p-2")]
        self.labels: dict[str, str] = {}

    def alarms_everywhere(self, found: RegionAlarm = FINE, name: str = "team") -> None:
        for where, namespace in EVERYWHERE:
            self.regions.alarms[where, (namespace, name)] = found

    def write(self, kind: Any, name: str, spec: dict[str, Any], namespace: str = "") -> None:
        meta = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "1", "generation": 1}
        self.book.stores()[kind].observe({"metadata": meta, "spec": spec})

    def answers(self, now: datetime = NOW) -> list[GateAnswer]:
        meta = {"namespace": "shop", "name": "front-end", "uid": "uid-1", "labels": self.labels}
        record = decode_pipeline({"metadata": meta, "spec": self.spec})
        return list(self.gating.answers(record, [merge("front-end", self.spec, {})], self.facts, now))

    def closed(self, now: datetime = NOW) -> set[tuple[str, str]]:
        """Which stage is held, and in which region of it; empty for all of it."""
        return {(answer.stage, answer.region) for answer in self.answers(now)}


def hours(start: str, end: str, zone: str = "Region") -> dict[str, Any]:
    """A Window of every day."""
    days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    return {"timeZone": zone, "open": [{"days": days, "from": start, "to": end}], "owner": "platform"}


def test_a_window_is_asked_in_the_time_of_each_region() -> None:
    """In the morning of London it is night in New York, later in Jakarta; the others of the stage are not held."""
    asked = Asked(windows=["hours"])
    asked.write(kinds.WINDOWS, "hours", hours("09:00", "18:00"))
    zones = {"a-1": "", "p-1": "Asia/Jakarta", "p-2": "America/New_York"}
    asked.facts = [dataclasses.replace(f, time_zone=zones[f.name]) for f in asked.facts]

    assert asked.closed(datetime(2026, 1, 5, 9, 30, tzinfo=UTC)) == {("prod", "p-2")}
    assert asked.closed(datetime(2026, 1, 5, 15, tzinfo=UTC)) == {("prod", "p-1")}


def test_a_window_with_staff_is_asked_by_how_long_each_region_bakes() -> None:
    """Regions with other floors take longer than their neighbours, and end at night."""
    asked = Asked(windows=["hours"])
    staff = [{"days": ["Mon", "Tue", "Wed", "Thu", "Fri"], "from": "09:00", "to": "17:00"}]
    asked.write(kinds.WINDOWS, "hours", {**hours("00:00", "24:00", "UTC"), "staffed": staff})
    asked.facts[2] = dataclasses.replace(asked.facts[2], floors=Floors(bake=timedelta(hours=12)))

    assert asked.closed(datetime(2026, 1, 5, 9, tzinfo=UTC)) == {("prod", "p-2")}


def test_where_every_region_is_closed_the_stage_is_not_entered() -> None:
    """It opens with the first of its regions: until then a newer change may take its place."""
    asked = Asked(windows=["hours"])
    asked.write(kinds.WINDOWS, "hours", hours("09:00", "10:00"))
    zones = {"a-1": "Europe/London", "p-1": "Asia/Jakarta", "p-2": "America/New_York"}
    asked.facts = [dataclasses.replace(f, time_zone=zones[f.name]) for f in asked.facts]
    found = {(a.stage, a.region): a.held.expected for a in asked.answers(datetime(2026, 1, 5, 12, tzinfo=UTC))}

    assert found == {
        ("alpha", ""): datetime(2026, 1, 6, 9, tzinfo=UTC),
        ("prod", ""): datetime(2026, 1, 5, 14, tzinfo=UTC),
    }


def test_a_window_that_is_missing_is_closed() -> None:
    """With the reason, and the command on the Pipeline that names it."""
    (first, *_) = Asked(windows=["office-hours"]).answers()

    assert "Window office-hours to open, which is closed because it does not exist" in first.held.what
    assert first.held.command == "kubectl -n shop edit ompl front-end"


def test_a_stage_may_have_windows_of_its_own() -> None:
    """They stand for those of the Pipeline."""
    stages = [stage("alpha", "a-1", windows=[]), stage("prod", "p-1", "p-2")]

    assert Asked(stages=stages, windows=["office-hours"]).closed() == {("prod", "")}


@pytest.mark.parametrize(
    ("labels", "closed"),
    [
        ({}, {("alpha", ""), ("prod", "")}),
        ({"ombak.dev/name": "front-end"}, {("alpha", ""), ("prod", "")}),
        ({"ombak.dev/name": "p-1"}, set()),
        ({"ombak.dev/stage": "prod"}, {("prod", "")}),
        ({"ombak.dev/region": "eu"}, {("prod", "p-2")}),
        ({"team": "web"}, {("alpha", ""), ("prod", "")}),
        ({"team": "other"}, set()),
    ],
    ids=["everything", "its name", "a region's name", "a stage", "a place", "its label", "another's label"],
)
def test_a_blocker_selects_by_name_label_stage_and_region(labels: dict[str, str], closed: set[tuple[str, str]]) -> None:
    """So an event in one region stops starts there alone (R87)."""
    asked = Asked()
    asked.labels = {"team": "web"}
    asked.facts[2] = region("p-2", labels={"ombak.dev/region": "eu"})
    reason = {"owner": "sre", "reason": "a large event", "selector": {"matchLabels": labels}}
    asked.write(kinds.CLUSTER_BLOCKERS, "event", reason)

    assert asked.closed() == closed


@pytest.mark.parametrize(
    "own",
    [{"ombak.dev/region": "elsewhere"}, {"ombak.dev/stage": "elsewhere"}, {"ombak.dev/name": "elsewhere"}],
    ids=["region", "stage", "name"],
)
def test_a_pipeline_cannot_hide_from_a_blocker_by_its_own_labels(own: dict[str, str]) -> None:
    """Whoever stops all that goes to a region is not passed over for a label of that name, nor without an Override."""
    asked = Asked()
    asked.labels = own
    asked.facts[2] = region("p-2", labels={"ombak.dev/region": "eu"})
    wanted = {"ombak.dev/region": "eu", "ombak.dev/stage": "prod", "ombak.dev/name": "front-end"}
    reason = {"owner": "sre", "reason": "a large event", "selector": {"matchLabels": wanted}}
    asked.write(kinds.CLUSTER_BLOCKERS, "event", reason)

    assert asked.closed() == {("prod", "p-2")}


@pytest.mark.parametrize("stops", ["Starts", "Steps"])
def test_a_blocker_of_steps_holds_no_less_than_one_of_starts(stops: str) -> None:
    """On a hub it is the same: a region where a change is under way goes on by itself."""
    asked = Asked()
    asked.write(kinds.CLUSTER_BLOCKERS, "event", {"owner": "sre", "reason": "an incident", "stops": stops})

    assert asked.closed() == {("alpha", ""), ("prod", "")}


@pytest.mark.parametrize("found", [BURNS, DOUBT, BLIND, None], ids=["in ALARM", "uncertain", "no data", "missing"])
@pytest.mark.parametrize(
    ("where", "closed"),
    [
        (("a-1", ("shop-alpha", "team")), {("alpha", ""), ("prod", "")}),
        (("p-2", ("shop", "team")), {("prod", "")}),
    ],
    ids=["in an earlier stage", "in the stage itself"],
)
def test_the_teams_alarms_hold_this_stage_and_those_after_it(
    found: RegionAlarm | None, where: tuple[str, Key], closed: set[tuple[str, str]]
) -> None:
    """In each region of the stage and of the stages before, OK and certain (R86)."""
    asked = Asked(alarms=["team"])
    asked.alarms_everywhere()
    assert asked.closed() == set()
    del asked.regions.alarms[where]
    asked.regions.versions[where[0], (where[1][0], "front-end")] = "a1-older"
    if found is not None:
        asked.regions.alarms[where] = found

    assert asked.closed() == closed


def test_it_says_which_alarm_where_and_how_to_see_it() -> None:
    """The namespace is that of the stage, unless the Pipeline names another."""
    asked = Asked(alarms=["web-team/high"])
    for name in ("a-1", "p-1", "p-2"):
        asked.regions.alarms[name, ("web-team", "high")] = FINE
    asked.regions.alarms["p-1", ("web-team", "high")] = BURNS
    (answer,) = asked.answers()

    assert (answer.stage, answer.region, answer.held.kind) == ("prod", "", "alarm")
    assert answer.held.what == "Alarm web-team/high in Region p-1 to end: errors 7 %"
    assert answer.held.command == "kubectl --context p-1 -n web-team describe alarm high"
    assert answer.held.since == NOW


def test_a_stage_may_name_alarms_of_its_own_or_none() -> None:
    """What it names is what its regions are asked for, before it and before all later stages."""
    stages = [stage("alpha", "a-1", alarms=[]), stage("prod", "p-1", alarms=["other"])]

    assert Asked(stages=stages, alarms=["team"]).closed() == {("prod", "")}


@pytest.mark.parametrize(
    ("policy", "minutes", "closed"),
    [
        ("Hold", 60, {("prod", "")}),
        ("Skip", 60, set()),
        ("Skip", 1, {("prod", "")}),
    ],
)
def test_a_region_that_does_not_answer_is_unknown(policy: str, minutes: int, closed: set[tuple[str, str]]) -> None:
    """What it said last counts for nothing, unless one may go on without it."""
    asked = Asked(alarms=["team"], onRegionUnreachable=policy)
    asked.alarms_everywhere()
    silent = {"reachable": False, "last_contact": NOW - timedelta(minutes=minutes)}
    asked.facts[1] = dataclasses.replace(asked.facts[1], **silent)

    assert asked.closed() == closed


@pytest.mark.parametrize(
    ("found", "runs", "is_held"),
    [(BLIND, False, False), (BLIND, True, True), (BURNS, False, True), (DOUBT, False, True)],
    ids=["no data, nothing there", "no data, something runs", "in ALARM", "uncertain"],
)
def test_an_alarm_without_data_holds_only_where_something_runs(found: RegionAlarm, runs: bool, is_held: bool) -> None:
    """Before the first delivery its data cannot be there: to wait for it would be for ever."""
    asked = Asked(alarms=["team"])
    asked.alarms_everywhere()
    asked.regions.alarms["a-1", ("shop-alpha", "team")] = found
    if runs:
        asked.regions.versions["a-1", ("shop-alpha", "front-end")] = "a1-older"

    assert bool(asked.closed()) is is_held


@pytest.mark.parametrize("runs", [False, True], ids=["nothing there", "something runs"])
def test_an_alarm_of_another_namespace_without_data_holds(runs: bool) -> None:
    """Its data is that of other services, which are there: that there is none is no news of this one (R86)."""
    asked = Asked(alarms=["web-team/high"])
    for name in ("a-1", "p-1", "p-2"):
        asked.regions.alarms[name, ("web-team", "high")] = FINE
    asked.regions.alarms["p-2", ("web-team", "high")] = BLIND
    if runs:
        asked.regions.versions["p-2", ("shop", "front-end")] = "a1-older"

    assert asked.closed() == {("prod", "")}


@pytest.mark.parametrize("sign", [Sign(False, "Silent", "no sign of life since then"), UNASKED])
def test_an_alarm_of_an_operator_that_may_be_dead_is_unknown(sign: Sign) -> None:
    """It said OK and died: nobody would tell if that turned (B4: what is stale is unknown)."""
    asked = Asked(alarms=["team"])
    asked.alarms_everywhere()
    asked.regions.signs["a-1"] = sign
    (alpha, *_) = asked.answers()

    assert asked.closed() == {("alpha", ""), ("prod", "")}
    assert sign.message in alpha.held.what


V1 = content.content_id(template("v1"), [ALARM])


@pytest.mark.parametrize(
    ("there", "closed"),
    [(None, set()), ("a1-older", set()), (V1, {("prod", "")})],
    ids=["nothing is there yet", "an older version", "this version"],
)
def test_an_alarm_that_travels_along_is_not_waited_for_before_it_is_there(
    there: str | None, closed: set[tuple[str, str]]
) -> None:
    """Else it could never come; but once it was delivered it must not be missing."""
    asked = Asked(alarms=["team"], objects=[ALARM])
    asked.alarms_everywhere()
    del asked.regions.alarms["p-2", ("shop", "team")]
    if there is not None:
        asked.regions.versions["p-2", ("shop", "front-end")] = there

    assert asked.closed() == closed


def placed(found: RegionAlarm, name: str = "a-1") -> PlacedAlarm:
    """An Alarm somewhere."""
    return PlacedAlarm(name, "shop", "team", found.state, found.is_certain, found.told, found.since)


def test_alarms_hold_starts_and_never_steps() -> None:
    """A change under way is judged by the regions themselves."""
    gate = TeamAlarmGate((placed(BURNS),))

    assert gate.holds(Context("shop", "front-end", Moment.START), NOW) is not None
    assert gate.holds(Context("shop", "front-end", Moment.STEP), NOW) is None


def test_what_is_on_is_told_before_what_is_unknown_and_not_all_of_many() -> None:
    """Three are enough to begin with."""
    found = [placed(DOUBT), *(placed(BURNS, f"p-{n}") for n in range(5))]
    held = TeamAlarmGate(tuple(found)).holds(Context("shop", "front-end", Moment.START), NOW)

    assert held is not None
    assert held.what.count("in Region p-") == 3
    assert held.what.endswith("; and 2 more")


STATUS = {
    "observedGeneration": 2,
    "state": "OK",
    "certainty": "Certain",
    "message": "1 %",
    "since": "2026-01-05T12:00:00Z",
}


@pytest.mark.parametrize(
    ("status", "found"),
    [
        (STATUS, RegionAlarm(State.OK, is_certain=True, told="1 %", since=NOW)),
        (
            STATUS | {"state": "ALARM", "message": "", "contributors": ["a", "b"]},
            RegionAlarm(State.ALARM, is_certain=True, told="a; b", since=NOW),
        ),
        (STATUS | {"certainty": "Uncertain"}, RegionAlarm(State.OK, is_certain=False, told="1 %", since=NOW)),
        (
            STATUS | {"observedGeneration": 1},
            RegionAlarm(None, is_certain=False, told="what it says is about an earlier spec of it", since=None),
        ),
        ({}, RegionAlarm(None, is_certain=False, told="nobody has evaluated it yet", since=None)),
        ("nonsense", RegionAlarm(None, is_certain=False, told="nobody has evaluated it yet", since=None)),
        ({"observedGeneration": 2, "state": "FINE"}, RegionAlarm(None, is_certain=False, told="", since=None)),
    ],
    ids=["OK", "ALARM", "uncertain", "of an earlier spec", "new", "nonsense", "no such state"],
)
def test_an_alarm_counts_only_by_a_status_about_its_spec_as_it_is(status: Any, found: RegionAlarm) -> None:
    """What cannot be read is unknown."""
    metadata = {"namespace": "shop", "name": "team", "generation": 2}

    assert decode_region_alarm({"metadata": metadata, "status": status}) == found


@pytest.mark.parametrize(
    ("passed", "is_held"),
    [
        pytest.param((), True, id="nothing is passed"),
        pytest.param(("team",), False, id="by its name in the Pipeline's namespace"),
        pytest.param(("shop/team",), False, id="by its whole name"),
        pytest.param(("other/team", "latency"), True, id="another one"),
    ],
)
def test_an_override_passes_the_alarms_that_it_names(passed: tuple[str, ...], is_held: bool) -> None:
    """Only those that are on: what nobody knows holds as before, whatever its name."""
    context = Context("shop", "front-end", Moment.START)
    gate = TeamAlarmGate((placed(BURNS),), frozenset(passed))
    assert (gate.holds(context, NOW) is not None) is is_held
    unknown = dataclasses.replace(placed(BURNS), is_certain=False)
    assert TeamAlarmGate((unknown,), frozenset(passed)).holds(context, NOW) is not None
