"""Who owns which field of an object in a region, as `managedFields` record it: hand edits, and our own records.

The hub creates an object with `replicas` and applies it without them ever after, so that an autoscaler or a person may
scale it. The API server keeps two records of us then, one of the creation and one of applying; as long as the first
holds more than `replicas`, fields that we no longer want would stay. `taken_over` is client-go's way out, too.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ombak.runtime.kube_port import Object, listed, mapping, metadata

Path = tuple[str, ...]

_APPLY, _UPDATE = "Apply", "Update"
_REPLICAS: Path = ("f:spec", "f:replicas")
_REGION_OPERATOR = "ombak"


def owners(obj: Mapping[str, Any]) -> dict[Path, tuple[str, ...]]:
    """Every leaf that somebody manages outside of `status`, with the managers, those of applying and others alike."""
    found: dict[Path, dict[str, None]] = {}
    for entry in _entries(obj):
        if entry.get("subresource") != "status":
            for path in _leaves(mapping(entry.get("fieldsV1")), ()):
                found.setdefault(path, {})[str(entry.get("manager"))] = None
    return {path: tuple(names) for path, names in found.items()}


def others(obj: Mapping[str, Any], ours: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Fields of the spec that others manage, as people write them, with their managers; the size is not among them.

    The operator of the region is no stranger: it fills in what is absent. What is the hub's too is as the hub wrote it:
    whoever changes a field takes it from all others.
    """
    known = {ours, _REGION_OPERATOR}
    found = []
    for path, managers in owners(obj).items():
        strangers = tuple(name for name in managers if name not in known)
        if strangers and ours not in managers and path[0] == "f:spec" and path != _REPLICAS:
            found.append((dotted(path), strangers))
    return tuple(sorted(found))


def is_anothers(obj: Mapping[str, Any], annotation: str, ours: str) -> bool:
    """Whether somebody else than the hub wrote an annotation last; no, where nobody keeps a record."""
    managers = {
        str(entry.get("manager"))
        for entry in _entries(obj)
        if f"f:{annotation}" in mapping(mapping(mapping(entry.get("fieldsV1")).get("f:metadata")).get("f:annotations"))
    }
    return bool(managers) and ours not in managers


def dotted(path: Sequence[str]) -> str:
    """A path of `fieldsV1` as people write it: `spec.ports[port=80].name`."""
    text = ""
    for step in path:
        if step.startswith("f:"):
            text += f".{step[2:]}"
        elif step.startswith("k:"):
            keys = mapping(_json(step[2:]))
            text += f"[{','.join(f'{key}={value}' for key, value in keys.items())}]"
        else:
            text += f"[{step.partition(':')[2]}]"
    return text.removeprefix(".")


def taken_over(obj: Mapping[str, Any], ours: str) -> list[Object] | None:
    """The `managedFields` in which what we created counts as applied, but for the size; None if they are so already."""
    entries = _entries(obj)
    created = [e for e in entries if _is_our_creation(e, ours)]
    if not any(_without_replicas(mapping(entry.get("fieldsV1"))) for entry in created):
        return None
    applied = next((e for e in entries if e.get("manager") == ours and e.get("operation") == _APPLY), None)
    fields: Object = dict(mapping(applied.get("fieldsV1"))) if applied is not None else {}
    kept = [dict(entry) for entry in entries if entry is not applied and entry not in created]
    for entry in created:
        managed = mapping(entry.get("fieldsV1"))
        fields = _union(fields, _without_replicas(managed))
        if "f:replicas" in mapping(managed.get("f:spec")):
            kept.append({**entry, "fieldsV1": {"f:spec": {"f:replicas": {}}}})
    return [*kept, {**(applied or created[0]), "operation": _APPLY, "fieldsV1": fields}]


def _is_our_creation(entry: Mapping[str, Any], ours: str) -> bool:
    is_main = not entry.get("subresource")
    return entry.get("manager") == ours and entry.get("operation") == _UPDATE and is_main


def _without_replicas(fields: Mapping[str, Any]) -> Object:
    spec = {name: below for name, below in mapping(fields.get("f:spec")).items() if name != "f:replicas"}
    rest = {name: below for name, below in fields.items() if name != "f:spec"}
    return rest | ({"f:spec": spec} if spec else {})


def _union(one: Mapping[str, Any], other: Mapping[str, Any]) -> Object:
    return {key: _union(mapping(one.get(key)), mapping(other.get(key))) for key in {**one, **other}}


def _entries(obj: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [mapping(entry) for entry in listed(metadata(obj).get("managedFields"))]


def _leaves(fields: Mapping[str, Any], path: Path) -> Iterator[Path]:
    below = [key for key in fields if key != "."]
    if not below and path:
        yield path
    for key in below:
        yield from _leaves(mapping(fields[key]), (*path, key))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
