"""What guards a release of a `Rollout`: alarm expressions, and what follows while nothing is known (R69, R70)."""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

import pydantic

from ombak.api.common import Model, rule, rules
from ombak.api.duration import Duration
from ombak.api.strategy import PLAIN

TOO_EARLY = (
    "with then: Revert it must be at least 30s, or one scrape that fails takes a release back; write holdFor: 5m"
)
_LEAST_HOLD = timedelta(seconds=30)
NO_ALARM = (
    "names no alarm, so it watches nothing; write for example 'ALARM(\"errors\")', "
    "or in place of alarms the reason in unwatched"
)
_NAMELESS = r"(?i)^([\s()]|TRUE|FALSE|AND|OR|NOT)*$"


class ThenOnUnknown(StrEnum):
    """What follows when alarms could not be evaluated for `holdFor`."""

    HOLD = "Hold"
    REVERT = "Revert"


class OnUnknown(Model):
    """Unknown is not bad and not good: it holds, and after `holdFor` does what `then` says (design 2)."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.then) || self.then != 'Revert' || !has(self.holdFor)"
                f" || !(self.holdFor == '0' || self.holdFor.matches('{PLAIN}'))"
                " || (self.holdFor != '0' && duration(self.holdFor) >= duration('30s'))",
                TOO_EARLY,
                ".holdFor",
            )
        )
    )

    hold_for: Duration = timedelta(minutes=30)
    """So long a release holds before it does what `then` says."""
    then: ThenOnUnknown = ThenOnUnknown.HOLD

    @pydantic.model_validator(mode="after")
    def _reverts_late_enough(self) -> Self:
        if self.then is ThenOnUnknown.REVERT and self.hold_for < _LEAST_HOLD:
            raise ValueError(f"holdFor: {TOO_EARLY}")
        return self


def _naming(value: str) -> str:
    if re.match(_NAMELESS, value):
        raise ValueError(NO_ALARM)
    return value


Expression = Annotated[
    str,
    pydantic.Field(
        min_length=1, max_length=10240, json_schema_extra=rules(rule(f"!self.matches(r'{_NAMELESS}')", NO_ALARM))
    ),
    pydantic.AfterValidator(_naming),
]


class Alarms(Model):
    """Alarm expressions that guard a release; `oneBox` is for the one box only (R69, R70)."""

    revert: Expression
    """What takes every box back in any phase, such as `ALARM("errors")`."""
    one_box: Expression | None = None
    """What takes a release back as well, about the one box alone: `$(pods)` are then its pods."""
    on_unknown: OnUnknown = OnUnknown()
