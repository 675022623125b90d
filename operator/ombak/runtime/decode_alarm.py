"""What is kept of an Alarm object."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ombak.api.alarm import AlarmSpec
from ombak.api.parse import parse_alarm_spec
from ombak.runtime.records import Meta, meta_of


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmRecord:
    """An Alarm; `spec` is a sentence where it cannot be understood."""

    meta: Meta
    spec: AlarmSpec | str
    status: Mapping[str, Any]


def decode_alarm(obj: Mapping[str, Any]) -> AlarmRecord:
    """Read an Alarm; total: what is wrong with it takes the place of its spec."""
    parsed = parse_alarm_spec(obj.get("spec") or {})
    return AlarmRecord(meta_of(obj), parsed.spec or parsed.problem, obj.get("status") or {})
