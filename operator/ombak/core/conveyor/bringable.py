"""What is wrong with the objects of a Pipeline, as far as it can be told before a region is asked (P9).

A region would refuse them in the middle of a stage, or after it, and to whoever runs that cluster.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ombak.alarms.definition import define
from ombak.alarms.errors import AlarmError
from ombak.api.parse import parse_alarm_spec

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def problem_of(objects: Iterable[Mapping[str, Any]]) -> str:
    """Return what is wrong with `spec.objects`, with the field and the fix; empty if nothing is."""
    for found in objects:
        kind, name = str(found["kind"]), str(found["metadata"]["name"])
        if problem := _misnamed(kind, name) or _ASKED.get(kind, _nothing)(found):
            return f"spec.objects ({kind} {name}): {problem}"
    return ""


def _misnamed(kind: str, name: str) -> str:
    allowed, longest = (_LABEL, 63) if kind == "Service" else (_NAME, 253)
    if allowed.fullmatch(name) and len(name) <= longest:
        return ""
    return "metadata.name must be lower case letters, digits, '-' and '.', as settings-1"


def _nothing(_found: Mapping[str, Any]) -> str:
    return ""


def _alarm(found: Mapping[str, Any]) -> str:
    parsed = parse_alarm_spec(found.get("spec") or {})
    if parsed.spec is None:
        return parsed.problem
    try:
        define(parsed.spec)
    except AlarmError as error:
        way = next(way for way in ("metric", "alertingRule", "expression") if found["spec"].get(way) is not None)
        return f"spec.{way}: {error}"
    return ""


def _config_map(found: Mapping[str, Any]) -> str:
    data = found.get("data") or {}
    if not isinstance(data, Mapping):
        return "data must be a mapping of keys to text"
    wrong = next((key for key, value in data.items() if not isinstance(value, str | None)), None)
    return f'data.{wrong} must be text; put it in quotes: {wrong}: "{data[wrong]}"' if wrong is not None else ""


_ASKED = {"Alarm": _alarm, "ConfigMap": _config_map}
