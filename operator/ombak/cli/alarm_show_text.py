"""`ombak alarm show` for a person: one line for what would happen, then each alarm with its reason."""

from collections.abc import Iterator
from datetime import datetime

from ombak.cli.alarm_show_alarm import AlarmPage
from ombak.cli.alarm_show_facts import AlarmShown, Said
from ombak.cli.alarm_show_rollout import RolloutShown
from ombak.runtime.alarm_reader import ONE_BOX, REVERT

_TITLES = {REVERT: "All boxes", ONE_BOX: "The one box"}


def rollout_lines(shown: RolloutShown) -> Iterator[str]:
    """A Rollout: where it stands, what would take it back, and all that watches it."""
    boxes = f", {shown.boxes} boxes" if shown.boxes else ""
    yield f"Rollout {shown.name}: {shown.phase}{boxes}"
    if shown.waits:
        yield f"  waits for {shown.waits}"
        if shown.command:
            yield f"  $ {shown.command}"
    yield from _outcome(shown)
    for part, title in _TITLES.items():
        watches = [watch.shown for watch in shown.watches if watch.part == part]
        yield ""
        yield f"{title}{_together(shown.together.get(part))}"
        if not watches:
            yield "  nothing watches them" if part == REVERT else "  nothing watches it by itself"
        for watch in watches:
            yield from _lines(watch, "  ")
    for note in shown.notes:
        yield f"note: {note}"


def _outcome(shown: RolloutShown) -> Iterator[str]:
    against, named = shown.against, shown.flying
    if not shown.watches:
        yield "nothing watches it, so no alarm can take it back"
    elif shown.is_going_back:
        yield "it is on its way back already, whatever the alarms say"
    elif named:
        yield f"right now {_some(against) or 'no alarm'} would take {named} back"
        if shown.old:
            yield f"in ALARM since before {named} went ahead, which only holds it: {_some(shown.old)}"
    elif against:
        yield f"no release is on its way; a change would wait for the end of {_some(against)}"
    else:
        yield "no release is on its way, and no alarm is known that would hold one"
    if shown.unknown:
        yield f"not known for sure, which holds a release: {_some(shown.unknown)}"


def _some(names: list[str]) -> str:
    return "; ".join(names[:10]) + (f"; and {len(names) - 10} more" if len(names) > 10 else "")


def _together(said: Said | None) -> str:
    return "" if said is None else f": {_state(said)}, as the operator told"


def alarm_lines(page: AlarmPage) -> Iterator[str]:
    """An Alarm: what it says, and whom it concerns."""
    yield from _lines(page.shown, "")
    if page.guards:
        yield f"guards, in its namespace and its team's: {page.guards}"
    yield "concerns:" if page.concerned else "concerns no Rollout that was read"
    for line in page.concerned:
        yield f"  {line}"
    for note in page.notes:
        yield f"note: {note}"


def _lines(shown: AlarmShown, indent: str) -> Iterator[str]:
    state = _state(shown.said)
    yield f"{indent}{shown.title}{f': {state}' if state else ''}"
    below = indent + "    "
    if shown.said.why:
        yield f"{below}why: {shown.said.why}"
    for name in shown.said.contributors:
        yield f"{below}in ALARM: {name}"
    for line in shown.said.unknown:
        yield f"{below}unknown: {line}"
    for fact in shown.facts:
        yield f"{below}{fact}"
    if shown.latency:
        yield f"{below}notices what is bad within {shown.latency}"
    for complaint in shown.complaints:
        yield f"{below}warning: {complaint}"
    for child in shown.children:
        yield from _lines(child, below)


def _state(said: Said) -> str:
    if not said.state:
        return "not told" if said.why else ""
    since = f" since {_moment(said.since)}" if said.since is not None else ""
    return f"{said.state} {said.certainty}{since}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
