"""What a status tells of each alarm of a release: since when, because of what, and when that is worth a write."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ombak.alarms.verdict import Contributor, State
from ombak.api.rollout import RolloutStatus
from ombak.core.alarm_views import MOST, alarm_views, has_news
from ombak.core.snapshot import SignalReading
from support.snapshots import ALARM, OK, changed, snapshot

FIRST, LATER = "2026-01-05T12:00:00Z", "2026-01-05T12:05:00Z"
BAD = dataclasses.replace(ALARM, causes=tuple(Contributor("errors", f"{{pod={n}}}") for n in range(MOST + 3)))
WATCHED = snapshot(one_box_alarm=OK, signals=(SignalReading("errors", BAD, OK),))


def without(view: Any, *names: str) -> Any:
    """The view as an older version wrote it."""
    if isinstance(view, dict):
        return {name: without(each, *names) for name, each in view.items() if name not in names}
    return [without(each, *names) for each in view] if isinstance(view, list) else view


def test_the_status_holds_what_a_person_needs() -> None:
    """State, certainty, since, why, and contributors, of which ten are enough; and the API takes it."""
    found = alarm_views(changed(WATCHED, revert_alarm=BAD), {}, FIRST)

    told = found["alarms"]["revert"]
    assert (told["state"], told["certainty"], told["since"]) == ("ALARM", "Certain", FIRST)
    assert told["contributors"] == [f"errors {{pod={n}}}" for n in range(MOST)]
    assert found["signals"][0]["service"] == told
    assert "contributors" not in found["alarms"]["oneBox"]
    RolloutStatus.model_validate(found)


def test_since_stays_while_the_state_does() -> None:
    """Of each by itself."""
    old = alarm_views(WATCHED, {}, FIRST)

    found = alarm_views(changed(WATCHED, revert_alarm=BAD), old, LATER)

    assert (found["alarms"]["revert"]["since"], found["alarms"]["oneBox"]["since"]) == (LATER, FIRST)
    assert found["signals"][0]["service"]["since"] == FIRST


def test_an_older_versions_status_is_worth_no_write() -> None:
    """P7: nobody knows since when, so that is not told; and what it lacks is no news."""
    old = without(alarm_views(WATCHED, {}, FIRST), "since", "contributors")

    found = alarm_views(WATCHED, old, LATER)

    assert "since" not in found["alarms"]["revert"]
    assert not has_news(old, found)


@pytest.mark.parametrize(
    "state", [pytest.param(BAD, id="state"), pytest.param(dataclasses.replace(OK, message="0.3"), id="numbers")]
)
def test_another_state_or_number_is_news(state: Any) -> None:
    """As it was."""
    old = alarm_views(WATCHED, {}, FIRST)

    assert has_news(old, alarm_views(changed(WATCHED, revert_alarm=state), old, LATER))


@pytest.mark.parametrize("odd", [None, 7, "x", [], {"revert": 1}, [{"name": 3}]])
def test_what_somebody_wrote_there_does_no_harm(odd: Any) -> None:
    """It is told anew."""
    found = alarm_views(WATCHED, {"alarms": odd, "signals": odd}, FIRST)

    assert found["alarms"]["revert"]["state"] == State.OK.value


def test_an_unwatched_rollout_tells_nothing() -> None:
    """There is nothing to tell."""
    assert alarm_views(snapshot(revert_alarm=None), {}, FIRST) == {}
