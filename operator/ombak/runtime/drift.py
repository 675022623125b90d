"""What others changed in an object that we own, robust against what the API server or an admission policy fills in.

What others set is told from `managedFields`: only fields that somebody else manages are compared with what we would
write, so a default is never mistaken for an edit. What others took away leaves no trace there; it is told from what
is missing in the pod template (see `Removals`).
"""

import dataclasses
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from ombak.api.common import GROUP
from ombak.core import naming
from ombak.core.manifests import Manifest
from ombak.runtime.kube_port import listed, mapping, metadata

MANAGER = "ombak"
"""The field manager under which the operator writes."""
SOMEBODY = "somebody"
_SCALED = ("spec", "replicas")
"""Sizes are compared by the planner, whoever set them."""
_PODS = ("spec", "template")
_OURS = (naming.ROLLOUT, naming.BOX, naming.ARTIFACT, naming.ZONE)
_IDENTITY = ("mountPath", "devicePath", "containerPort", "protocol", "name", "key", "ip", "topologyKey")
"""What tells the elements of a list apart, as far as they have it (the merge keys of a pod spec)."""

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Edits:
    """An object's spec without its size, and what others did to it."""

    live: bytes = b""
    """Compressed JSON: a few hundred bytes for each of many thousand objects."""
    fields: tuple[tuple[Path, str], ...] = ()
    """Fields of the spec that others manage, each with its manager."""
    labels: tuple[str, ...] = ()
    """What is wrong with the object's own labels, each in words: a stray Deployment could adopt it by foreign ones."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """The spec as it was."""
        return mapping(json.loads(zlib.decompress(self.live))) if self.live else {}


def edits_of(obj: Mapping[str, Any]) -> Edits:
    """Return what others manage in the spec of an object, and labels on it that are not ours."""
    entries = [entry for entry in map(mapping, listed(metadata(obj).get("managedFields"))) if _is_foreign(entry)]
    fields = []
    for entry in entries:
        managed = mapping(mapping(entry.get("fieldsV1")).get("f:spec"))
        paths = (p for p in _leaves(managed, ("spec",)) if p not in (("spec",), _SCALED))
        fields += [(path, str(entry.get("manager"))) for path in paths]
    spec = {name: value for name, value in mapping(obj.get("spec")).items() if name != _SCALED[-1]}
    live = zlib.compress(json.dumps(spec, sort_keys=True, separators=(",", ":")).encode(), level=1)
    return Edits(live, tuple(fields), tuple(_labels(obj, entries)))


def _is_foreign(entry: Mapping[str, Any]) -> bool:
    return entry.get("manager") != MANAGER


def _labels(obj: Mapping[str, Any], foreign: list[Mapping[str, Any]]) -> Iterator[str]:
    """Foreign labels, and those of ours that the pods have and the object has lost."""
    labels = mapping(metadata(obj).get("labels"))
    for label in labels:
        if not label.startswith(f"{GROUP}/"):
            yield f"label {label} set by {_who_labelled(label, foreign)}"
    pods = mapping(metadata(mapping(mapping(obj.get("spec")).get("template"))).get("labels"))
    for label in _OURS:
        if label in pods and labels.get(label) != pods[label]:
            did = f"set by {_who_labelled(label, foreign)}" if label in labels else f"removed by {SOMEBODY}"
            yield f"label {label} {did}"


def _who_labelled(label: str, foreign: list[Mapping[str, Any]]) -> str:
    for entry in foreign:
        managed = mapping(mapping(entry.get("fieldsV1")).get("f:metadata"))
        if f"f:{label}" in mapping(managed.get("f:labels")):
            return str(entry.get("manager"))
    return SOMEBODY


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
    return ", ".join(managers) or SOMEBODY


def _leaves(fields: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """Walk `fieldsV1`: `f:name` is a field, `k:{...}` an element of a list, `v:` a value of a set, `.` itself."""
    below = [key for key in fields if key != "."]
    if not below:
        yield path
    for key in below:
        yield from _leaves(mapping(fields[key]), (*path, key.removeprefix("f:")))


def drift(edits: Edits, wanted: Manifest) -> str:
    """Return what somebody else made of the object that is not what we write, empty if nothing differs."""
    if edits.labels:
        return edits.labels[0]
    return next((f"{_told(path)} set by {manager}" for path, manager in _changed(edits, wanted)), "")


def is_of_pods(edits: Edits, wanted: Manifest) -> bool:
    """Tell whether somebody else made the pod template one that is not what we write."""
    return any(path[: len(_PODS)] == _PODS for path, _ in _changed(edits, wanted))


def _changed(edits: Edits, wanted: Manifest) -> Iterator[tuple[Path, str]]:
    """Fields that others made other ones, each with its manager."""
    live = {"spec": edits.spec} if edits.fields else {}
    return ((path, manager) for path, manager in edits.fields if _at(wanted, path) != _at(live, path))


def _told(path: Path) -> str:
    """Write a managed path as people do: `spec.template.spec.containers[app].image`."""
    text = ""
    for step in path:
        keys = mapping(_json(step[2:])) if step.startswith("k:") else {}
        text += f"[{','.join(map(str, keys.values()))}]" if keys else f".{step}"
    return text.removeprefix(".")


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
    """Return the element of a list that has these keys; those that it leaves to their defaults are not compared."""
    if not isinstance(place, list):
        return None
    return next((e for e in place if isinstance(e, Mapping) and all(e.get(k, v) == v for k, v in keys.items())), None)


def missing(wanted: object, live: object, path: str) -> Iterator[str]:
    """Return the paths of what is wanted and not there; values are not compared, only whether there is one.

    What is empty or 0 the API server leaves out by itself, so it is not missed.
    """
    if isinstance(wanted, Mapping):
        there = mapping(live)
        for name, value in wanted.items():
            if name in there:
                yield from missing(value, there[name], f"{path}.{name}")
            elif not _is_empty(value):
                yield f"{path}.{name}"
    elif isinstance(wanted, list):
        for index, element in enumerate(wanted):
            yield from _missing_element(element, index, listed(live), path)


def _missing_element(wanted: object, index: int, live: Any, path: str) -> Iterator[str]:
    """One element of a list: found by what tells it apart, else by its place; plain values are edits, not missed."""
    if not isinstance(wanted, Mapping):
        return
    keys = {name: wanted[name] for name in _IDENTITY if name in wanted}
    found = _element(live, keys) if keys else next(iter(live[index : index + 1]), None)
    told = f"{path}[{next(iter(keys.values()), index) if 'name' not in keys else keys['name']}]"
    if found is None:
        yield told
    else:
        yield from missing(wanted, found, told)


def _is_empty(value: object) -> bool:
    return value is None or (not isinstance(value, bool) and value in ("", 0, [], {}))
