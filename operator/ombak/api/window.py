"""`Window`: when a deployment may start (design 1; R89-R91, R98)."""

import re
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Self

import pydantic

from ombak.api.common import Condition, Model, StatusModel, rule, rules
from ombak.api.duration import Duration

REGION_TIME = "Region"
"""In the place of a time zone: that of the Region, or of the operator where there is none."""
LONGEST_OPENING = timedelta(days=31)

_ONE_FORM = (
    "write exactly one of days (with from and to), rrule (with start and for) and cron (with for); "
    "several openings are several entries"
)
_DAYS_FORM = "days goes with from and to, and with nothing else; write {days: [Mon, Tue], from: '09:00', to: '16:00'}"
_RRULE_FORM = (
    "rrule goes with start and for, and with nothing else; "
    "write {rrule: 'FREQ=MONTHLY;BYDAY=1TU', start: '2026-01-06T10:00', for: 2h}"
)
_CRON_FORM = "cron goes with for, and with nothing else; write {cron: '0 9 * * MON-THU', for: 7h}"
_EMPTY_DAY = "from and to are the same; write from: '00:00', to: '24:00' for a whole day"
_BACKWARDS = "to comes before from; write the first day or moment in from, the last one in to"
_ONE_ICS = "a calendar is in one place; write exactly one of text and configMap"
_TOO_FAST = "rrule knows DAILY, WEEKLY, MONTHLY and YEARLY here; write cron for what comes more than once a day"
_FAST = re.compile("FREQ=(HOURLY|MINUTELY|SECONDLY)")
_TOO_LONG = "for is longer than 31d; write a shorter one, or days"


class Day(StrEnum):
    """A day of the week."""

    MON = "Mon"
    TUE = "Tue"
    WED = "Wed"
    THU = "Thu"
    FRI = "Fri"
    SAT = "Sat"
    SUN = "Sun"


TimeOfDay = Annotated[str, pydantic.Field(max_length=5, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
EndOfDay = Annotated[str, pydantic.Field(max_length=5, pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]
LocalMoment = Annotated[
    str,
    pydantic.Field(min_length=16, max_length=19, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?$"),
]
LocalDay = Annotated[
    str,
    pydantic.Field(
        min_length=10, max_length=19, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?)?$"
    ),
]
_FORMS = "(has(self.days) ? 1 : 0) + (has(self.rrule) ? 1 : 0) + (has(self.cron) ? 1 : 0) == 1"


class Opening(Model):
    """A time that comes back: days with hours, an RFC 5545 recurrence, or a cron schedule. Times are local.

    A time that the clock shows twice in autumn is the first one; one that it skips in spring is the moment of the jump.
    """

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            rule(_FORMS, _ONE_FORM),
            rule(
                "has(self.days) == has(self.from) && has(self.days) == has(self.to)"
                " && !(has(self.days) && (has(self.start) || has(self.__for__)))",
                _DAYS_FORM,
            ),
            rule("has(self.rrule) == has(self.start) && (!has(self.rrule) || has(self.__for__))", _RRULE_FORM),
            rule("!has(self.cron) || has(self.__for__)", _CRON_FORM),
            rule("!has(self.from) || !has(self.to) || self.from != self.to", _EMPTY_DAY),
            rule(f"!has(self.rrule) || !self.rrule.matches('{_FAST.pattern}')", _TOO_FAST, ".rrule"),
        )
    )

    days: Annotated[
        Annotated[tuple[Day, ...], pydantic.Field(min_length=1, max_length=7)] | None,
        pydantic.Field(json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = None
    """Days of the week on which it opens."""
    from_: Annotated[TimeOfDay | None, pydantic.Field(alias="from", description="Local time, such as 09:00.")] = None
    to: Annotated[
        EndOfDay | None,
        pydantic.Field(description="Local time up to 24:00; one that is earlier than from is of the next day."),
    ] = None
    rrule: Annotated[
        Annotated[str, pydantic.Field(min_length=10, max_length=512)] | None,
        pydantic.Field(description="What RFC 5545 calls RRULE, such as FREQ=MONTHLY;BYDAY=1TU."),
    ] = None
    start: Annotated[
        LocalMoment | None, pydantic.Field(description="The first opening of rrule, local; RFC 5545's DTSTART.")
    ] = None
    cron: Annotated[
        Annotated[str, pydantic.Field(min_length=9, max_length=128, pattern=r"^[^ ]+( [^ ]+){4}$")] | None,
        pydantic.Field(description="Five fields: minute, hour, day of the month, month, day of the week."),
    ] = None
    for_: Annotated[
        Duration | None,
        pydantic.Field(
            alias="for",
            description="How long each opening of rrule or cron lasts, as a stopwatch counts; at most 31d.",
            json_schema_extra=rules(rule("self.matches('[1-9]')", "must be longer than 0s; write 2h")),
        ),
    ] = None

    @pydantic.model_validator(mode="after")
    def _is_one_form(self) -> Self:
        if [self.days, self.rrule, self.cron].count(None) != 2:
            raise ValueError(_ONE_FORM)
        if self.days is not None and (not self.from_ or not self.to or self.start or self.for_ is not None):
            raise ValueError(_DAYS_FORM)
        if self.days is None and (self.from_ or self.to):
            raise ValueError(_DAYS_FORM)
        if self.rrule is not None and (not self.start or not self.for_):
            raise ValueError(_RRULE_FORM)
        if self.cron is not None and (self.start or not self.for_):
            raise ValueError(_CRON_FORM)
        if self.days is not None and self.from_ == self.to:
            raise ValueError(_EMPTY_DAY)
        if self.rrule is not None and _FAST.search(self.rrule):
            raise ValueError(_TOO_FAST)
        if self.for_ is not None and self.for_ > LONGEST_OPENING:
            raise ValueError(_TOO_LONG)
        return self


class Holidays(Model):
    """The public holidays of a country, whole days in the Window's time zone."""

    country: Annotated[str, pydantic.Field(pattern="^[A-Z]{2}$", max_length=2, description="ISO 3166, such as DE.")]
    subdivision: Annotated[
        Annotated[str, pydantic.Field(min_length=1, max_length=16, pattern=r"^[A-Za-z0-9-]+$")] | None,
        pydantic.Field(description="A part of the country with holidays of its own, such as BY."),
    ] = None


class ConfigMapKey(Model):
    """A key of a ConfigMap in the cluster where the Window is."""

    namespace: Annotated[str, pydantic.Field(min_length=1, max_length=63)]
    """Where the ConfigMap is."""
    name: Annotated[str, pydantic.Field(min_length=1, max_length=253)]
    """The name of the ConfigMap."""
    key: Annotated[str, pydantic.Field(min_length=1, max_length=253)] = "calendar.ics"
    """Which of its keys holds the calendar."""


class Ics(Model):
    """A calendar as an .ics file has it: every event in it, all-day or not, is closed time."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(rule("has(self.text) != has(self.configMap)", _ONE_ICS)),
    )

    text: Annotated[str, pydantic.Field(min_length=1, max_length=65_536)] | None = None
    """The calendar itself."""
    config_map: ConfigMapKey | None = None

    @pydantic.model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.text is None) == (self.config_map is None):
            raise ValueError(_ONE_ICS)
        return self


class Closed(Model):
    """A stretch of closed time, such as a campaign; days are whole, the last one included."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(rule("!has(self.to) || self.from <= self.to", _BACKWARDS)),
    )

    from_: Annotated[
        LocalDay, pydantic.Field(alias="from", description="A day such as 2026-11-20, or 2026-11-20T18:00.")
    ]
    to: Annotated[
        LocalDay | None, pydantic.Field(description="The last day, or a moment; left out, the day of from alone.")
    ] = None
    reason: Annotated[str, pydantic.Field(max_length=256)] = ""
    """Why, for whoever has to wait."""

    @pydantic.model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if self.to is not None and self.to < self.from_:
            raise ValueError(_BACKWARDS)
        return self


Openings = Annotated[tuple[Opening, ...], pydantic.Field(min_length=1, max_length=32)]


class WindowSpec(Model):
    """When a deployment may start: in one of the openings, on no holiday, in no closed time, with staff to see it end.

    It is local time throughout: of `timeZone`, which is an IANA name such as Europe/Berlin.
    """

    time_zone: Annotated[
        str,
        pydantic.Field(
            min_length=3,
            max_length=64,
            pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*$",
            description="An IANA name, or Region: that of the Region, without one that of the operator.",
        ),
    ] = REGION_TIME
    open: Annotated[Openings, pydantic.Field(description="Open while at least one of these is.")]
    holidays: Annotated[tuple[Holidays, ...], pydantic.Field(max_length=16)] = ()
    """Closed on the public holidays of these countries."""
    ics: Annotated[tuple[Ics, ...], pydantic.Field(max_length=16)] = ()
    """Closed during every event of these calendars."""
    closed: Annotated[tuple[Closed, ...], pydantic.Field(max_length=256)] = ()
    """Closed in these times."""
    staffed: Annotated[
        Openings | None,
        pydantic.Field(
            description="Hours in which people are there, holidays and closed time not counted: "
            "a start is allowed only if the release, bakes included, is expected to end in one of these."
        ),
    ] = None
    owner: Annotated[str, pydantic.Field(max_length=253, description="Who may change it: a team, an address.")] = ""


class WindowState(StrEnum):
    """What a Window says now, for a release that takes no time."""

    OPEN = "Open"
    CLOSED = "Closed"
    UNREADABLE = "Unreadable"


class WindowStatus(StatusModel):
    """What it says now, and until when; no decision reads this."""

    observed_generation: int = 0
    """The rest speaks of this generation of the spec."""
    state: WindowState | None = None
    until: Annotated[datetime | None, pydantic.Field(description="When that changes next.")] = None
    time_zone: Annotated[str, pydantic.Field(description="The time zone that was used.")] = ""
    message: str = ""
    """Why it is so, in a sentence."""
    conditions: tuple[Condition, ...] = ()
    """`Readable`: whether the spec and its calendars could be read."""
