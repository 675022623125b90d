"""What others changed in an object that we own: told from `managedFields`, so that defaults the API server or an
admission policy fill in are never mistaken for an edit.

Only when somebody else manages a field of `spec` are the object's fields kept and compared with what we would write;
for all others nothing is kept.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ombak.api.common import GROUP
from ombak.core.manifests import Manifest
from ombak.runtime.kube_port import listed, mapping, metadata

MANAGER = "ombak"
"""The field manager under which the operator writes."""
_SCALED = ("spec", "replicas")
"""Sizes are compared by the planner, whoever set them."""

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Edits:
    """Fields that others manage, by path, and what they hold; `live` is the object as JSON, empty without edits."""

    by: str = ""
    live: str = ""
    fields: tuple[Path, ...] = ()
    labels: tuple[str, ...] = ()
    """Labels of the object itself that are not ours: a stray Deployment could adopt it by them."""


NONE = Edits()


def edits_of(obj: Mapping[str, Any]) -> Edits:
    """Return what others manage in the spec of an object, and labels on it that are not ours."""
    meta = metadata(obj)
    labels = tuple(k for k in mapping(meta.get("labels")) if not k.startswith(f"{GROUP}/"))
    fields: list[Path] = []
    managers: list[str] = []
    for entry in map(mapping, listed(meta.get("managedFields"))):
        if entry.get("manager") == MANAGER:
            continue
        managed = mapping(mapping(entry.get("fieldsV1")).get("f:spec"))
        found = [p for p in _leaves(managed, ("spec",)) if p not in (("spec",), _SCALED)]
        if found:
            fields += found
            managers.append(str(entry.get("manager")))
    if not fields and not labels:
        return NONE
    spec = {name: value for name, value in mapping(obj.get("spec")).items() if name != _SCALED[-1]}
    return Edits(", ".join(managers) or "somebody", json.dumps({"spec": spec}), tuple(fields), labels)


def scaled_by(obj: Mapping[str, Any]) -> str:
    """Return who set the size of an object, empty if that was us or nobody keeps a record."""
    entries = [mapping(entry) for entry in listed(metadata(obj).get("managedFields"))]
    managers = [
        str(entry.get("manager"))
        for entry in entries
        if "f:replicas" in mapping(mapping(entry.get("fieldsV1")).get("f:spec"))
    ]
    if not entries or MANAGER in managers:
        return ""
    # The API server records nobody for a size of 0 that came through `/scale`.
    return ", ".join(managers) or "somebody"


def _leaves(fields: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """Walk `fieldsV1`: `f:name` is a field, `k:{...}` an element of a list, `v:` a value of a set, `.` itself."""
    below = [key for key in fields if key != "."]
    if not below:
        yield path
    for key in below:
        yield from _leaves(mapping(fields[key]), (*path, key.removeprefix("f:")))


def drift(edits: Edits, wanted: Manifest) -> str:
    """Return what somebody else made of the object that is not what we write, empty if nothing differs."""
    if edits is NONE or edits == NONE:
        return ""
    if edits.labels:
        return f"label {edits.labels[0]} set by {edits.by}"
    live = json.loads(edits.live)
    for path in edits.fields:
        ours, theirs = _at(wanted, path), _at(live, path)
        if ours != theirs:
            return f"{'.'.join(path)} set by {edits.by}"
    return ""


def _at(place: Any, path: Path) -> Any:
    """Return the value at a managed path, or None where there is none."""
    for step in path:
        if step.startswith("k:"):
            place = _element(place, mapping(_json(step[2:])))
        elif step.startswith("v:"):
            value = _json(step[2:])
            place = value if isinstance(place, list) and value in place else None
        else:
            place = place.get(step) if isinstance(place, Mapping) else None
        if place is None:
            return None
    return place


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _element(place: Any, keys: Mapping[str, Any]) -> Any:
    if not isinstance(place, list):
        return None
    return next((e for e in place if isinstance(e, Mapping) and all(e.get(k, v) == v for k, v in keys.items())), None)
