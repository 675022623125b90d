"""When a Window is open: its three forms, what closes it, two odd days of the year, staff, and several at once."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ombak.api.window import WindowSpec
from ombak.core.gates import recurrence
from ombak.core.gates.compile import compile_window
from ombak.core.gates.gate import Context, Moment
from ombak.core.gates.localtime import instant
from ombak.core.gates.problems import UnreadableWindow
from ombak.core.gates.schedule import REACH, Schedule
from ombak.core.gates.spans import intersect, shifted, span_at, subtract, union
from ombak.core.gates.windows import WindowGate, WindowView, next_open_of_all
from support.effort import examples

WEEK = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
OFFICE = {"days": ["Mon", "Tue", "Wed", "Thu"], "from": "09:00", "to": "16:00"}
ALWAYS = {"days": WEEK, "from": "00:00", "to": "24:00"}
MINUTE = timedelta(minutes=1)
SLOWLY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How fast the machine is does not matter."""


def window(
    *openings: dict[str, Any], zone: str = "Europe/Berlin", calendars: tuple[str, ...] = (), **more: Any
) -> Schedule:
    """A Window with these openings."""
    spec = WindowSpec.model_validate({"timeZone": zone, "open": list(openings), **more})
    return compile_window(spec, "UTC", calendars)


def at(text: str, zone: str = "Europe/Berlin") -> datetime:
    """A local time, the first one where it comes twice."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def utc(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("opening", "open_at", "closed_at"),
    [
        pytest.param(
            OFFICE, ["2026-11-23T09:00", "2026-11-26T15:59"], ["2026-11-23T08:59", "2026-11-26T16:00"], id="days"
        ),
        pytest.param(OFFICE, ["2026-11-24T12:00"], ["2026-11-27T12:00", "2026-11-28T12:00"], id="other-days"),
        pytest.param(
            {"days": ["Fri"], "from": "22:00", "to": "02:00"},
            ["2026-11-27T22:00", "2026-11-28T01:59"],
            ["2026-11-27T01:00", "2026-11-28T02:00", "2026-11-28T22:30"],
            id="over-midnight",
        ),
        pytest.param(ALWAYS, ["2026-11-27T00:00", "2026-11-28T23:59"], [], id="always"),
        pytest.param(
            {"rrule": "FREQ=MONTHLY;BYDAY=1TU", "start": "2026-01-06T10:00", "for": "2h"},
            ["2026-11-03T10:00", "2026-11-03T11:59", "2027-02-02T11:00"],
            ["2026-11-03T12:00", "2026-11-10T10:30", "2025-12-02T10:30"],
            id="rrule",
        ),
        pytest.param(
            {"rrule": "FREQ=WEEKLY;INTERVAL=2", "start": "2026-01-05T10:00", "for": "1h"},
            ["2026-01-05T10:00", "2026-01-19T10:00", "2026-11-23T10:30"],
            ["2026-01-12T10:00", "2026-11-16T10:30"],
            id="rrule-interval-from-its-start",
        ),
        pytest.param(
            {"rrule": "RRULE:FREQ=DAILY;COUNT=3", "start": "2026-01-05T10:00", "for": "1h"},
            ["2026-01-07T10:00"],
            ["2026-01-08T10:00"],
            id="rrule-count",
        ),
        pytest.param(
            {"rrule": "FREQ=DAILY;UNTIL=20260107T090000Z", "start": "2026-01-05T10:00", "for": "1h"},
            ["2026-01-07T10:00"],
            ["2026-01-08T10:00"],
            id="rrule-until-in-utc",
        ),
        pytest.param(
            {"rrule": "FREQ=DAILY;UNTIL=20260107", "start": "2026-01-05T10:00", "for": "1h"},
            ["2026-01-07T10:00"],
            ["2026-01-08T10:00"],
            id="rrule-until-a-day",
        ),
        pytest.param(
            {"cron": "0 9 * * MON-THU", "for": "7h"},
            ["2026-11-23T09:00", "2026-11-26T15:59"],
            ["2026-11-23T08:59", "2026-11-26T16:00", "2026-11-27T12:00"],
            id="cron",
        ),
        pytest.param(
            {"cron": "0 20 * * FRI", "for": "2d12h"},
            ["2026-11-27T20:00", "2026-11-30T07:59"],
            ["2026-11-27T19:59", "2026-11-30T08:00"],
            id="cron-over-days",
        ),
    ],
)
def test_each_form_opens_and_closes(opening: dict[str, Any], open_at: list[str], closed_at: list[str]) -> None:
    """From its first moment, up to its end, which is not in it."""
    made = window(opening)

    assert [text for text in open_at if not made.is_open(at(text))] == []
    assert [text for text in closed_at if made.is_open(at(text))] == []


CLOSED = [
    pytest.param({"holidays": [{"country": "DE", "subdivision": "BY"}]}, "2026-12-25", "Christmas Day", id="holiday"),
    pytest.param({"holidays": [{"country": "DE", "subdivision": "BY"}]}, "2027-01-06", "Epiphany", id="of-a-part"),
    pytest.param({"closed": [{"from": "2026-11-24", "reason": "fair"}]}, "2026-11-24", "fair", id="one-day"),
    pytest.param(
        {"closed": [{"from": "2026-11-20", "to": "2026-12-01", "reason": "sale"}]}, "2026-12-01", "sale", id="last-day"
    ),
    pytest.param(
        {"closed": [{"from": "2026-11-24T11:00", "to": "2026-11-24T12:30"}]}, "2026-11-24", "closed", id="moments"
    ),
]


@pytest.mark.parametrize(("more", "day", "reason"), CLOSED)
def test_a_named_day_closes_and_says_why(more: dict[str, Any], day: str, reason: str) -> None:
    """At noon of a day that would be open; the day before it is open."""
    made, noon = window(ALWAYS, **more), at(f"{day}T12:00")

    assert not made.is_open(noon)
    assert made.why_closed(noon) == reason
    assert made.is_open(at(f"{day}T12:00") - timedelta(days=30))


def test_holidays_are_those_of_the_subdivision() -> None:
    """Epiphany is one in Bavaria, and none in Hamburg."""
    assert window(ALWAYS, holidays=[{"country": "DE", "subdivision": "HH"}]).is_open(at("2027-01-06T12:00"))


CALENDAR = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//shop//EN
BEGIN:VEVENT
UID:break
DTSTART;VALUE=DATE:20261224
DTEND;VALUE=DATE:20261228
TRANSP:TRANSPARENT
SUMMARY:Christmas break
END:VEVENT
BEGIN:VEVENT
UID:board
DTSTART;TZID=America/New_York:20261102T090000
DURATION:PT2H
RRULE:FREQ=WEEKLY;BYDAY=MO;UNTIL=20261231T000000Z
EXDATE;TZID=America/New_York:20261109T090000
SUMMARY:Board
END:VEVENT
BEGIN:VEVENT
UID:board
RECURRENCE-ID;TZID=America/New_York:20261116T090000
DTSTART;TZID=America/New_York:20261117T090000
DURATION:PT1H
SUMMARY:Board, moved
END:VEVENT
BEGIN:VEVENT
UID:floating
DTSTART:20261203T080000
DTEND:20261203T090000
SUMMARY:Drill
END:VEVENT
BEGIN:VEVENT
UID:off
DTSTART;VALUE=DATE:20261210
STATUS:CANCELLED
SUMMARY:Cancelled party
END:VEVENT
END:VCALENDAR
"""


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        pytest.param("2026-12-24T00:00", "Christmas break", id="first-day"),
        pytest.param("2026-12-27T23:59", "Christmas break", id="last-day"),
        pytest.param("2026-12-28T00:00", "", id="day-after"),
        pytest.param("2026-11-02T15:00", "Board", id="in-its-own-zone"),
        pytest.param("2026-11-02T17:00", "", id="its-end"),
        pytest.param("2026-11-09T15:00", "", id="left-out"),
        pytest.param("2026-11-16T15:00", "", id="moved-away"),
        pytest.param("2026-11-17T15:30", "Board, moved", id="moved-to"),
        pytest.param("2026-11-23T15:00", "Board", id="comes-back"),
        pytest.param("2027-01-04T15:00", "", id="after-its-until"),
        pytest.param("2026-12-03T08:30", "Drill", id="of-no-zone"),
        pytest.param("2026-12-10T12:00", "", id="cancelled"),
    ],
)
def test_every_event_of_a_calendar_is_closed_time(moment: str, reason: str) -> None:
    """Whole days, repetitions, exceptions, and moved ones; free or busy does not matter, public holidays are free."""
    made = window(ALWAYS, calendars=(CALENDAR,))

    assert (made.is_open(at(moment)), "" if made.is_open(at(moment)) else made.why_closed(at(moment))) == (
        not reason,
        reason,
    )


@pytest.mark.parametrize(
    ("zone", "opening", "opens", "closes"),
    [
        pytest.param("Europe/Berlin", ("02:30", "04:00"), "2026-03-29T01:00", "2026-03-29T02:00", id="gap-start-north"),
        pytest.param("Europe/Berlin", ("01:30", "02:30"), "2026-03-29T00:30", "2026-03-29T01:00", id="gap-end-north"),
        pytest.param(
            "Europe/Berlin", ("02:30", "04:00"), "2026-10-25T00:30", "2026-10-25T03:00", id="overlap-start-north"
        ),
        pytest.param(
            "Europe/Berlin", ("01:30", "02:30"), "2026-10-24T23:30", "2026-10-25T00:30", id="overlap-end-north"
        ),
        pytest.param("America/New_York", ("02:30", "04:00"), "2026-03-08T07:00", "2026-03-08T08:00", id="gap-new-york"),
        pytest.param(
            "America/New_York", ("01:30", "03:00"), "2026-11-01T05:30", "2026-11-01T08:00", id="overlap-new-york"
        ),
        pytest.param("Australia/Sydney", ("02:30", "04:00"), "2026-10-03T16:00", "2026-10-03T17:00", id="gap-south"),
        pytest.param(
            "Australia/Sydney", ("02:30", "04:00"), "2026-04-04T15:30", "2026-04-04T18:00", id="overlap-south"
        ),
        pytest.param(
            "Australia/Lord_Howe", ("02:15", "04:00"), "2026-10-03T15:30", "2026-10-03T17:00", id="half-an-hour"
        ),
        pytest.param("America/Santiago", ("00:00", "02:00"), "2026-09-06T04:00", "2026-09-06T05:00", id="no-midnight"),
    ],
)
def test_the_clocks_change(zone: str, opening: tuple[str, str], opens: str, closes: str) -> None:
    """A time that comes twice is the first one; one that is skipped is the moment of the jump."""
    made = window({"days": WEEK, "from": opening[0], "to": opening[1]}, zone=zone)

    before = utc(opens) - timedelta(hours=1)
    assert made.next_open(before) == utc(opens)
    assert made.next_close(utc(opens)) == utc(closes)


def test_a_window_inside_of_the_gap_does_not_open_that_day() -> None:
    """Its time does not exist; the next day it does."""
    made = window({"days": WEEK, "from": "02:10", "to": "02:50"})

    assert made.next_open(at("2026-03-28T12:00")) == utc("2026-03-30T00:10")


@pytest.mark.parametrize(
    ("form", "opens", "closes"),
    [
        pytest.param({"cron": "30 2 * * *", "for": "1h"}, "2026-03-29T01:00", "2026-03-29T02:00", id="cron-gap"),
        pytest.param({"cron": "30 2 * * *", "for": "3h"}, "2026-10-25T00:30", "2026-10-25T03:30", id="cron-overlap"),
        pytest.param(
            {"rrule": "FREQ=DAILY", "start": "2026-01-01T02:30", "for": "1h"},
            "2026-03-29T01:00",
            "2026-03-29T02:00",
            id="rrule-gap",
        ),
        pytest.param(
            {"rrule": "FREQ=DAILY", "start": "2026-01-01T02:30", "for": "3h"},
            "2026-10-25T00:30",
            "2026-10-25T03:30",
            id="rrule-overlap",
        ),
    ],
)
def test_lengths_are_those_of_a_stopwatch(form: dict[str, Any], opens: str, closes: str) -> None:
    """What opens for three hours does so also in the night that is longer."""
    made = window(form)

    assert made.next_open(utc(opens) - timedelta(hours=1)) == utc(opens)
    assert made.next_close(utc(opens)) == utc(closes)


def test_a_holiday_is_a_whole_day_where_it_has_25_hours() -> None:
    """From its first moment to the first of the next day."""
    made = window(ALWAYS, closed=[{"from": "2026-10-25"}])

    assert made.next_close(at("2026-10-24T12:00")) == utc("2026-10-24T22:00")
    assert made.next_open(at("2026-10-25T12:00")) == utc("2026-10-25T23:00")


STAFF = [{"days": ["Mon", "Tue", "Wed", "Thu", "Fri"], "from": "09:00", "to": "17:00"}]


@pytest.mark.parametrize(
    ("hours", "opens"),
    [
        pytest.param(0, "2026-11-23T09:00", id="no-time"),
        pytest.param(6, "2026-11-23T03:00", id="ends-in-the-morning"),
        pytest.param(14, "2026-11-22T20:00", id="at-once"),
        pytest.param(48, "2026-11-23T09:00", id="two-days"),
        pytest.param(5 * 24, "2026-11-25T09:00", id="not-on-the-weekend"),
    ],
)
def test_a_release_starts_only_if_it_ends_with_staff(hours: int, opens: str) -> None:
    """Asked on a Sunday evening: the first start of which the expected end lies in hours with staff."""
    made, horizon = window(ALWAYS, staffed=STAFF), timedelta(hours=hours)

    found = made.next_open(at("2026-11-22T20:00"), horizon)

    assert found == at(opens)


def test_staff_is_away_on_holidays() -> None:
    """What would end on one does not start; the reason tells when it would end."""
    made = window(OFFICE, staffed=STAFF, closed=[{"from": "2026-11-24"}])

    assert not made.is_open(at("2026-11-23T10:00"), timedelta(days=1))
    assert "would end about Tue 2026-11-24 10:00" in made.why_closed(at("2026-11-23T10:00"), timedelta(days=1))
    assert made.is_off_hours(at("2026-11-24T10:00"))
    assert not made.is_off_hours(at("2026-11-23T16:30"))


def test_without_staffed_hours_those_it_is_closed_are_off() -> None:
    """For counting trouble at night (R90)."""
    assert window(OFFICE).is_off_hours(at("2026-11-23T16:30"))


def held(*views: WindowView, now: str = "2026-11-21T12:00", moment: Moment = Moment.START) -> Any:
    """What the gate says on a Saturday."""
    return WindowGate(views).holds(Context("shop", "front-end", moment), at(now))


def test_all_windows_must_be_open() -> None:
    """The wait names the closed ones, and ends when all are open at once."""
    early = WindowView("early", window({"days": WEEK, "from": "06:00", "to": "10:00"}))
    late = WindowView("late", window({"days": ["Tue"], "from": "09:30", "to": "12:00"}), owner="team-late")
    always = WindowView("always", window(ALWAYS))

    found = held(always, early, late)

    assert found.names == ("early", "late")
    assert found.expected == at("2026-11-24T09:30")
    assert found.since == at("2026-11-17T12:00")
    assert found.who == "time, or whoever may edit Window early; time, or team-late"
    assert "opens Tue 2026-11-24 09:30 Europe/Berlin" in found.what
    assert held(always) is None


def test_a_missing_window_is_closed_and_says_so() -> None:
    """Nobody knows when it will be there."""
    found = held(WindowView("always", window(ALWAYS)), WindowView("nowhere"))

    assert found.what == "Window nowhere to open, which is closed because it does not exist"
    assert found.command == "kubectl -n shop edit omr front-end"
    assert found.expected is None


def test_windows_that_are_never_open_together_say_so() -> None:
    """Each of them opens, and waiting is in vain."""
    morning = WindowView("morning", window({"days": WEEK, "from": "06:00", "to": "10:00"}))
    evening = WindowView("evening", window({"days": WEEK, "from": "18:00", "to": "20:00"}))

    found = held(morning, evening)

    assert found.expected is None
    assert "not open together within 400 days" in found.what


def test_a_window_that_never_opens_says_so() -> None:
    """The 29th of February, where it is a Friday: in 2036."""
    rule = "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=FR"
    odd = window({"rrule": rule, "start": "2026-01-01T00:00", "for": "1d"})
    found = held(WindowView("odd", odd))

    assert odd.next_open(at("2036-01-01T00:00")) == at("2036-02-29T00:00")

    assert found.expected is None
    assert "never opens within 400 days" in found.what


def test_a_rule_that_never_comes_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search takes a while; whoever asks afterwards, for whatever moment, is answered at once."""
    begin = datetime.fromisoformat("2026-01-01T00:00")
    rule = recurrence.parse_recurrence("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", begin, ZoneInfo("UTC"))
    monkeypatch.delattr(recurrence, "rrulestr")

    assert list(rule.times(begin.replace(year=2030))) == []


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=FR",
        "FREQ=YEARLY;INTERVAL=3;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO",
        "FREQ=MONTHLY;INTERVAL=5;BYDAY=5SU;BYMONTH=2",
        "FREQ=WEEKLY;INTERVAL=3;BYMONTH=2;BYMONTHDAY=29;BYDAY=TU",
        "FREQ=YEARLY;INTERVAL=4;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=YEARLY;INTERVAL=13;BYWEEKNO=53;BYDAY=WE",
    ],
)
@pytest.mark.parametrize("begin", ["1999-12-31T09:00", "2026-01-03T10:00", "2096-02-29T00:30"])
def test_a_rule_that_comes_once_in_many_years_is_found(rule: str, begin: str) -> None:
    """Its first time is the one that a search of all years finds, or there is none in any year."""
    start = datetime.fromisoformat(begin)
    first = next(iter(rrulestr(rule, dtstart=start)), None)

    assert recurrence.parse_recurrence(rule, start, ZoneInfo("UTC")).first == first


def test_a_search_in_vain_ends_with_the_cycle_of_the_calendar(monkeypatch: pytest.MonkeyPatch) -> None:
    """After at most two cycles of 400 years, not with the year 9999: it runs in the loop that everything runs in."""
    searched: list[datetime] = []

    def searching(rule: str, dtstart: datetime) -> Any:
        searched.append(dtstart)
        return rrulestr(rule, dtstart=dtstart)

    monkeypatch.setattr(recurrence, "rrulestr", searching)
    begin = datetime.fromisoformat("2026-01-01T00:00")
    found = recurrence.parse_recurrence("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", begin, ZoneInfo("UTC"))

    assert found.first is None
    assert [9999 - each.year < 2 * 400 for each in searched] == [True]


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_closed_for_ever_is_closed(zone: str) -> None:
    """Whoever writes the last day of all means that; no arithmetic of ours goes beyond it."""
    closed = window(OFFICE, zone=zone, closed=[{"from": "0001-01-01", "to": "9999-12-31", "reason": "it is over"}])

    assert closed.next_open(at("2026-11-23T09:00")) is None
    assert closed.why_closed(at("2026-11-23T09:00")) == "it is over"


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
@pytest.mark.parametrize(
    ("lines", "opens"),
    [
        pytest.param("DTSTART:00010101T000000Z\nDTEND:20260601T000000Z", True, id="from-the-first-day"),
        pytest.param("DTSTART:20260101T000000Z\nDTEND:99991231T235959Z", False, id="to-the-last-moment"),
        pytest.param("DTSTART;VALUE=DATE:20260101\nDTEND;VALUE=DATE:99991231", False, id="to-the-last-day"),
        pytest.param(
            "DTSTART:20260101T000000Z\nDURATION:PT1H\nRRULE:FREQ=YEARLY;UNTIL=99991231T235959Z", True, id="until"
        ),
        pytest.param(
            "DTSTART:20260101T000000Z\nDURATION:PT1H\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", True, id="never"
        ),
    ],
)
def test_a_calendar_may_reach_to_both_ends_of_time(zone: str, lines: str, opens: bool) -> None:
    """Programs write such days where they mean none; a rule that never comes closes nothing."""
    text = f"BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nSUMMARY:long\n{lines}\nEND:VEVENT\nEND:VCALENDAR"

    assert (window(OFFICE, zone=zone, calendars=(text,)).next_open(at("2026-11-23T09:00")) is not None) == opens


def test_a_rule_that_began_with_an_epoch_keeps_its_day() -> None:
    """Exports of some calendars begin recurring days in 1601."""
    lines = "DTSTART;VALUE=DATE:16011225\nDTEND;VALUE=DATE:16011226\nRRULE:FREQ=YEARLY"
    text = f"BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nSUMMARY:Christmas\n{lines}\nEND:VEVENT\nEND:VCALENDAR"
    made = window(OFFICE, calendars=(text,))

    assert made.next_open(at("2025-12-24T18:00")) == at("2025-12-29T09:00")


def test_steps_pass_a_closed_window() -> None:
    """Windows say when a deployment may start (R89)."""
    assert held(WindowView("nowhere"), moment=Moment.STEP) is None


@pytest.mark.breadth
@pytest.mark.parametrize(
    ("spec", "told"),
    [
        pytest.param(
            {"timeZone": "Europe/Nowhere", "open": [OFFICE]}, "no time zone 'Europe/Nowhere'; write", id="zone"
        ),
        pytest.param({"timeZone": "Europe", "open": [OFFICE]}, "no time zone 'Europe'; write", id="half-a-zone"),
        pytest.param({"open": [{"cron": "0 25 * * *", "for": "1h"}]}, "cron '0 25 * * *' cannot be read", id="cron"),
        pytest.param(
            {"open": [{"rrule": "FREQ=WEEKLY;BYDAY=ZZ", "start": "2026-01-01T00:00", "for": "1h"}]},
            "no RRULE",
            id="rrule",
        ),
        pytest.param(
            {"open": [{"rrule": "FREQ=FORTNIGHTLY", "start": "2026-01-01T00:00", "for": "1h"}]},
            "needs FREQ",
            id="no-frequency",
        ),
        *(
            pytest.param(
                {"open": [{"rrule": rule, "start": start, "for": "1h"}]},
                told,
                id=f"{rule.partition(';')[2]}-{start[:4]}",
            )
            for rule, start, told in (
                ("FREQ=DAILY;INTERVAL=0", "2026-01-01T00:00", "INTERVAL is 0; write 1 or more"),
                ("FREQ=DAILY;INTERVAL=-1", "2026-01-01T00:00", "INTERVAL is -1; write 1 or more"),
                ("FREQ=YEARLY;BYDAY=99SU", "2026-01-01T00:00", "is no RRULE of RFC 5545"),
                ("FREQ=DAILY;BYHOUR=99999999999", "2026-01-01T00:00", "is no RRULE of RFC 5545"),
                ("FREQ=DAILY;COUNT=0", "2026-01-01T00:00", "COUNT is 0; write 1 or more"),
                ("FREQ=DAILY;COUNT=-3", "2026-01-01T00:00", "COUNT is -3; write 1 or more"),
                (
                    "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
                    "2026-01-01T00:00",
                    "never comes after its start 2026-01-01T00:00",
                ),
                ("FREQ=DAILY;UNTIL=20251231", "2026-01-01T00:00", "never comes after its start"),
                ("FREQ=DAILY;INTERVAL=1", "0001-01-01T00:00", "begins in 1; write a start from 1600"),
            )
        ),
        pytest.param({"open": [{"cron": "*/14 * * * *", "for": "1m"}]}, "more than 96 times a day", id="too-many"),
        pytest.param({"open": [OFFICE], "holidays": [{"country": "XX"}]}, "holidays of XX", id="country"),
        pytest.param(
            {"open": [OFFICE], "holidays": [{"country": "DE", "subdivision": "ZZ"}]}, "holidays of DE ZZ", id="part"
        ),
        pytest.param({"open": [OFFICE], "closed": [{"from": "2026-02-30"}]}, "2026-02-30", id="day"),
    ],
)
def test_what_a_crd_cannot_tell_is_told(spec: dict[str, Any], told: str) -> None:
    """With the field and what to write; such a Window is closed."""
    with pytest.raises(UnreadableWindow, match=told.replace("*", "[*]")):
        compile_window(WindowSpec.model_validate(spec), "UTC")


@pytest.mark.parametrize(
    "text", ["", "hello", "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:no start\nEND:VEVENT\nEND:VCALENDAR"]
)
def test_half_a_calendar_is_none(text: str) -> None:
    """An event of which nobody knows when it is closes everything."""
    with pytest.raises(UnreadableWindow, match="calendar cannot be read"):
        window(OFFICE, calendars=(text,))


def test_the_zone_of_the_region_is_the_operators_to_know() -> None:
    """`timeZone: Region`, which is the default."""
    spec = WindowSpec.model_validate({"open": [OFFICE]})

    with pytest.raises(UnreadableWindow, match=r"'Mars/Base'; write .* in the Region's spec.timeZone"):
        compile_window(spec, "Mars/Base")
    assert compile_window(spec, "Asia/Tokyo").next_open(utc("2026-11-22T12:00")) == utc("2026-11-23T00:00")


# --- properties ------------------------------------------------------------------------------------------

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "UTC", "Asia/Kolkata")
MOMENTS = st.integers(0, 60 * 24 * 800).map(lambda minutes: utc("2026-01-01T00:00") + minutes * MINUTE)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


@st.composite
def drawn_openings(draw: Any) -> dict[str, Any]:
    """Any opening."""
    kind = draw(st.sampled_from(["days", "rrule", "cron"]))
    start, length = draw(st.integers(0, 1439)), draw(st.integers(1, 40))
    if kind == "days":
        end = draw(st.integers(0, 1439).filter(lambda minute: minute != start))
        return {
            "days": draw(st.lists(st.sampled_from(WEEK), min_size=1, unique=True)),
            "from": _clock(start),
            "to": _clock(end),
        }
    if kind == "rrule":
        rule = draw(st.sampled_from(["FREQ=DAILY;INTERVAL=3", "FREQ=WEEKLY;BYDAY=MO,FR", "FREQ=MONTHLY;BYDAY=-1SU"]))
        return {"rrule": rule, "start": f"2026-01-01T{_clock(start)}", "for": f"{length}h"}
    return {"cron": f"{start % 60} {start // 60} * * {draw(st.sampled_from(['*', 'SAT', '1-4']))}", "for": f"{length}h"}


@st.composite
def drawn_windows(draw: Any) -> tuple[Schedule, list[dict[str, Any]]]:
    """Any Window, and what closes it."""
    days = draw(st.lists(st.integers(0, 800), max_size=3))
    closed = [{"from": str(date(2026, 1, 1) + timedelta(days=day))} for day in days]
    more: dict[str, Any] = {"closed": closed}
    if draw(st.booleans()):
        more["holidays"] = [{"country": "DE"}]
    if draw(st.booleans()):
        more["staffed"] = [draw(drawn_openings())]
    openings = draw(st.lists(drawn_openings(), min_size=1, max_size=3))
    return window(*openings, zone=draw(st.sampled_from(ZONES)), **more), closed


HORIZONS = st.integers(0, 100).map(lambda hours: timedelta(hours=hours))


@settings(SLOWLY, max_examples=examples(150))
@given(drawn_windows(), MOMENTS, HORIZONS)
def test_the_next_opening_is_the_first_one(drawn: tuple[Schedule, Any], now: datetime, horizon: timedelta) -> None:
    """It is open then, and not a second before; between the two it is not open at any moment asked about."""
    made, _ = drawn
    opens = made.next_open(now, horizon)
    if made.is_open(now, horizon):
        assert opens == now
        return
    if opens is None:
        assert not any(made.is_open(now + days * timedelta(days=1), horizon) for days in range(0, 400, 7))
        return
    assert now < opens <= now + REACH
    assert made.is_open(opens, horizon)
    assert not made.is_open(opens - timedelta(seconds=1), horizon)
    between = (now + (opens - now) * share / 16 for share in range(16))
    assert not any(made.is_open(moment, horizon) for moment in between)


@settings(SLOWLY, max_examples=examples(150))
@given(drawn_windows(), MOMENTS, HORIZONS)
def test_the_next_close_is_the_end_of_what_is_open(
    drawn: tuple[Schedule, Any], now: datetime, horizon: timedelta
) -> None:
    """Open up to it, and closed then; and what was open last ended when it says."""
    made, _ = drawn
    closes = made.next_close(now, horizon)
    if not made.is_open(now, horizon):
        assert closes == now
        since = made.closed_since(now, horizon)
        if since is not None:
            assert since <= now
            assert made.is_open(since - timedelta(seconds=1), horizon)
            assert not made.is_open(since, horizon)
        return
    if closes is None:
        return
    assert closes > now
    assert not made.is_open(closes, horizon)
    assert made.is_open(closes - timedelta(seconds=1), horizon)


@settings(SLOWLY, max_examples=examples(150))
@given(drawn_windows(), MOMENTS, st.integers(0, 60 * 24 * 30))
def test_openings_come_in_order(drawn: tuple[Schedule, Any], now: datetime, minutes: int) -> None:
    """Whoever asks later never hears of an earlier opening."""
    made, _ = drawn
    first, second = made.next_open(now), made.next_open(now + minutes * MINUTE)

    assert first is None or second is None or first <= second


@settings(SLOWLY, max_examples=examples(150))
@given(drawn_windows(), st.integers(0, 1439))
def test_it_is_never_open_during_an_exception(drawn: tuple[Schedule, list[dict[str, Any]]], minute: int) -> None:
    """At any minute of a closed day, whatever else it says."""
    made, closed = drawn
    for each in closed:
        moment = instant(datetime.fromisoformat(each["from"]) + minute * MINUTE, made.zone)
        if moment.astimezone(made.zone).date().isoformat() == each["from"]:
            assert not made.is_open(moment)


@settings(SLOWLY, max_examples=examples(60))
@given(st.lists(drawn_windows(), min_size=2, max_size=3), MOMENTS, HORIZONS)
def test_several_windows_open_when_all_of_them_do(
    drawn: list[tuple[Schedule, Any]], now: datetime, horizon: timedelta
) -> None:
    """Never before any of them says."""
    schedules = [each for each, _ in drawn]
    found = next_open_of_all(schedules, now, horizon)
    if found is None:
        assert not all(each.is_open(now, horizon) for each in schedules)
        return
    assert all(each.is_open(found, horizon) for each in schedules)
    assert all((each.next_open(now, horizon) or found) <= found for each in schedules)
    assert found == now or not all(each.is_open(found - timedelta(seconds=1), horizon) for each in schedules)


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=6).map(
    lambda pairs: union(
        (utc("2026-01-01T00:00") + a * MINUTE, utc("2026-01-01T00:00") + (a + b) * MINUTE) for a, b in pairs
    )
)


@settings(SLOWLY, max_examples=examples(300))
@given(SPANS, SPANS, st.integers(0, 85))
def test_arithmetic_of_spans_is_that_of_sets(left: Any, right: Any, minute: int) -> None:
    """Minute by minute."""
    moment = utc("2026-01-01T00:00") + minute * MINUTE
    a, b = span_at(left, moment) is not None, span_at(right, moment) is not None

    assert (span_at(union([*left, *right]), moment) is not None) == (a or b)
    assert (span_at(intersect(left, right), moment) is not None) == (a and b)
    assert (span_at(subtract(left, right), moment) is not None) == (a and not b)
    assert (span_at(shifted(left, MINUTE), moment + MINUTE) is not None) == a


def test_a_view_is_frozen() -> None:
    """Snapshots hold it."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        WindowView("a").name = "b"  # type: ignore[misc]
