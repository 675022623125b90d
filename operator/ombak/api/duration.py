"""Durations as people write them in Kubernetes: `90s`, `5m`, `1h30m`, and `2d` too (design.md 1)."""

import re
from datetime import timedelta
from typing import Annotated, Any

import pydantic
from pydantic_core import core_schema

DURATION_PATTERN = r"^(0|([0-9]{1,9}(\.[0-9]{1,6})?(ms|s|m|h|d))+)$"
"""The written form, for the CRD schema: RE2-safe, and the same expression in Python."""
DURATION_MAX_LENGTH = 64
LONGEST = timedelta(days=3650)
"""What a field takes at most: longer ones are slips, and a date that far ahead does not exist."""

_WHOLE = re.compile(DURATION_PATTERN)
_PART = re.compile(r"([0-9]+)(?:\.([0-9]+))?(ms|[smhd])")
_MICROSECONDS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000}


def parse_duration(text: str) -> timedelta:
    """The length of `90s`, `5m`, `1h30m`, `1.5h`, `2d`, `500ms` or `0`, exact to the microsecond.

    Raises ValueError, with what to write instead, for anything else, and for what no timedelta can hold.
    """
    if len(text) > DURATION_MAX_LENGTH or _WHOLE.fullmatch(text) is None:
        raise ValueError(f"{text[:40]!r} is no duration: write for example 90s, 5m, 1h30m, 2d or 500ms")
    total = 0
    for whole, fraction, unit in _PART.findall(text):
        scale = _MICROSECONDS[unit]
        total += int(whole) * scale + int(fraction.ljust(6, "0") or 0) * scale // 1_000_000
    try:
        return timedelta(microseconds=total)
    except OverflowError:
        raise ValueError(f"{text!r} is too long for a duration: at most 999999999d") from None


def format_duration(duration: timedelta) -> str:
    """The canonical text, largest unit first: `1h30m`, `2d`, `500ms`, `0s`; parses back to the same length.

    Less than a millisecond is written as a fraction of one. Raises ValueError for a negative duration.
    """
    rest = duration // timedelta(microseconds=1)
    if rest < 0:
        raise ValueError("a duration cannot be negative")
    if rest == 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, _MICROSECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    if rest:
        whole, micros = divmod(rest, 1_000)
        parts.append(f"{whole}.{micros:03d}".rstrip("0") + "ms" if micros else f"{whole}ms")
    return "".join(parts)


class _DurationSchema:
    """Teaches pydantic the written form: text in YAML and JSON, a timedelta in Python."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                format_duration, return_schema=core_schema.str_schema()
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: core_schema.CoreSchema, _handler: pydantic.GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": DURATION_PATTERN, "maxLength": DURATION_MAX_LENGTH}


def _validate(value: object) -> timedelta:
    if isinstance(value, timedelta):
        found = value
    elif isinstance(value, str):
        found = parse_duration(value)
    else:
        raise ValueError(f"a duration is a text such as 90s, 5m or 1h30m, not {type(value).__name__}")
    if found < timedelta(0):
        raise ValueError("a duration cannot be negative")
    if found > LONGEST:
        raise ValueError(f"{format_duration(found)} is too long; write at most {format_duration(LONGEST)}")
    return found


Duration = Annotated[timedelta, _DurationSchema]
"""A timedelta that is written as text; use it as the type of a field."""
