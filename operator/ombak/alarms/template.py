"""Query templates: `$(namespace)`, `$(name)`, `$(pods)`, `$(region)`, `$(zone)`, `$(artifact)`, `$(window)` (design 1).

Values are put into PromQL, so they are made safe there: names may hold only what Kubernetes names and labels
hold, and patterns are escaped for the string literal in which they stand.
"""

import dataclasses
import re
from collections.abc import Mapping
from datetime import timedelta

from ombak.alarms.errors import TemplateError

KNOWN = ("namespace", "name", "pods", "region", "zone", "artifact", "window")
"""Every variable there is, in the order in which they are listed to people."""

_VARIABLE = re.compile(r"\$\(([^()]*)\)")
_PLAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': "\\x22", "'": "\\x27", "\n": "\\n", "\r": "\\r"})
_REGEX_SPECIAL = re.compile(r"[.+*?()|\[\]{}^$\\]")
_SOURCES = {
    "region": "; the operator has one with --region NAME",
    "zone": "; an Alarm has one for each zone of a Rollout that names it, if that has spec.zones",
}
_NEUTRAL = {"namespace": "n", "name": "n", "pods": "n", "region": "n", "zone": "n", "artifact": "n", "window": "1m"}


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """For whom a query is asked: the values of its variables; `pods` is a regular expression over pod names.

    An empty value is fine as long as no query uses it. `crowd` is a pattern over the pods of everybody of whom the
    same may be asked, whose first group says to whom a pod belongs, and `member` who this is: a pod matches `pods`
    exactly if it matches `crowd` with `member` in that group. Empty where nothing is asked together. `zones` are all
    those in which it has boxes: of these `zone` is one at a time (see `zoned`).
    """

    namespace: str = ""
    name: str = ""
    pods: str = ""
    region: str = ""
    artifact: str = ""
    crowd: str = ""
    member: str = ""
    zone: str = ""
    zones: tuple[str, ...] = ()


def variables(query: str) -> frozenset[str]:
    """The variables a query uses; raises TemplateError for one that does not exist."""
    found = frozenset(match.group(1) for match in _VARIABLE.finditer(query))
    for name in sorted(found.difference(KNOWN)):
        listed = ", ".join(f"$({known})" for known in KNOWN)
        raise TemplateError(f"$({name}) is no variable of a query; there are {listed}")
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class Occurrence:
    """Where a variable stands in a template, and how many characters it and its neutral value have."""

    start: int
    length: int
    neutral_length: int


def positions(query: str) -> tuple[Occurrence, ...]:
    """Every place where the query uses a variable; raises TemplateError for one that does not exist."""
    variables(query)
    return tuple(
        Occurrence(match.start(), len(match.group()), len(_NEUTRAL[match.group(1)]))
        for match in _VARIABLE.finditer(query)
    )


def is_context_free(query: str) -> bool:
    """Whether the query means the same for everybody, so that an Alarm with it has a state of its own."""
    return variables(query) <= {"window"}


def render(query: str, context: Context, window: timedelta) -> str:
    """The query with its variables filled in; `window` is a positive time, used to the millisecond.

    Raises TemplateError for an unknown variable, one without a value here, or a value that does not fit.
    """
    used = variables(query)
    values: dict[str, str] = {name: getattr(context, name) for name in used - {"window"}}
    values["window"] = promql_duration(window)
    for name in sorted(used):
        _check(name, values[name])
    quoted = {name: values[name].translate(_ESCAPES) for name in used}
    return _fill(query, quoted)


def render_neutral(query: str) -> str:
    """The query with values that fit everywhere, to have its syntax checked; raises TemplateError."""
    variables(query)
    return _fill(query, _NEUTRAL)


def _fill(query: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: values[match.group(1)], query)


def _check(name: str, value: str) -> None:
    if not value:
        raise TemplateError(f"$({name}) has no value here{_SOURCES.get(name, '')}")
    if name not in ("pods", "window") and _PLAIN.fullmatch(value) is None:
        raise TemplateError(
            f"$({name}) cannot be {value!r}: only letters, digits, '-', '_' and '.' are safe in a query"
        )


def promql_duration(length: timedelta) -> str:
    """A positive time as PromQL writes it, such as `90s` or `1500ms`; rounded up to milliseconds."""
    milliseconds = max(1, -(-length // timedelta(milliseconds=1)))
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def regex_literal(text: str) -> str:
    """A regular expression (RE2) that matches exactly this text; names need no backslash in it."""
    return _REGEX_SPECIAL.sub(lambda match: _class(match.group()), text)


def _class(character: str) -> str:
    return f"\\{character}" if character in "^\\" else f"[{character}]"
