"""The part of a status that tells people what each of the alarms of a release says, since when and why."""

from collections.abc import Mapping
from typing import Any

from ombak.alarms.verdict import Verdict
from ombak.core.snapshot import Snapshot

MOST = 10
"""So many contributors are told."""
_LONGEST = 512
_FROM_LATER = ("since", "contributors")
"""Fields that older versions did not write: that they are missing is worth no write (P7)."""

View = dict[str, Any]


def alarm_views(s: Snapshot, old: Mapping[str, Any], stamp: str) -> View:
    """Return `alarms` and `signals` of a status, without what is empty; `stamp` is now, as a status writes it."""
    told = _mapping(old.get("alarms"))
    both = (("revert", s.revert_alarm), ("oneBox", s.one_box_alarm))
    found: View = {name: _view(v, _mapping(told.get(name)), stamp) for name, v in both if v is not None}
    if not found:
        return {}
    listed = old.get("signals")
    before = {str(_mapping(each).get("name")): _mapping(each) for each in (listed if isinstance(listed, list) else ())}
    signals = []
    for signal in s.signals:
        was = before.get(signal.name, {})
        service = _view(signal.service, _mapping(was.get("service")), stamp)
        one_box = _view(signal.one_box, _mapping(was.get("oneBox")), stamp)
        signals.append({"name": signal.name, "service": service, "oneBox": one_box})
    return {"alarms": found} | ({"signals": signals} if signals else {})


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _view(verdict: Verdict, before: Mapping[str, Any], stamp: str) -> View:
    """`since` stays while the state does; where an older version told the state, nobody knows."""
    is_same = (before.get("state"), before.get("certainty")) == (verdict.state.value, verdict.certainty.value)
    found = {
        "state": verdict.state.value,
        "certainty": verdict.certainty.value,
        "message": verdict.message[:_LONGEST],
        "since": before.get("since") if is_same else stamp,
        "contributors": [str(cause)[:_LONGEST] for cause in verdict.causes[:MOST]],
    }
    return {name: value for name, value in found.items() if value}


def has_news(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether one of them tells something that the other one does not."""
    return any(_plain(old.get(name)) != _plain(new.get(name)) for name in ("alarms", "signals"))


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items() if name not in _FROM_LATER}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value or None
