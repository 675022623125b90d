"""What is kept of an Alarm object."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ombak.api.alarm import AlarmSpec
from ombak.api.parse import parse_alarm_spec
from ombak.runtime.kube_port import mapping, metadata
from ombak.runtime.records import Meta, meta_of


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmRecord:
    """An Alarm; `spec` is a sentence where it cannot be understood."""

    meta: Meta
    spec: AlarmSpec | str
    status: Mapping[str, Any]
    created_at: datetime | None = None
    guards: Mapping[str, str] | None = None
    """The labels of the Rollouts that it guards, also where the rest of its spec cannot be understood: what nobody
    can evaluate holds those whom it guards, it does not let them go."""


def decode_alarm(obj: Mapping[str, Any]) -> AlarmRecord:
    """Read an Alarm; total: what is wrong with it takes the place of its spec."""
    parsed = parse_alarm_spec(obj.get("spec") or {})
    raw = mapping(obj.get("spec")).get("guards")
    guards = None if raw is None else dict(mapping(mapping(raw).get("matchLabels")))
    made = moment_of(metadata(obj).get("creationTimestamp"))
    return AlarmRecord(meta_of(obj), parsed.spec or parsed.problem, mapping(obj.get("status")), made, guards)


def moment_of(text: object) -> datetime | None:
    """A moment as the API server writes it; None where there is none that can be read."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
