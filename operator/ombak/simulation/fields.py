"""JSON as an API server handles it: copies, merge patches, and who set which field."""

import json
from collections.abc import Iterator
from typing import Any

Path = tuple[str, ...]


def clone(value: Any) -> Any:
    """Return a copy of a JSON value that shares nothing with it."""
    if isinstance(value, dict):
        return {k: clone(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clone(v) for v in value]
    return value


def merged(target: Any, patch: Any) -> Any:
    """Return a JSON merge patch (RFC 7396) applied."""
    if not isinstance(patch, dict):
        return clone(patch)
    made = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = merged(made.get(name), value)
    return made


def applied(live: Any, before: Any, wanted: Any) -> Any:
    """Return a JSON value after an apply of `wanted` by the one who applied `before`; lists are taken whole."""
    if not isinstance(live, dict) or not isinstance(wanted, dict):
        return clone(wanted)
    known = before if isinstance(before, dict) else {}
    made = {}
    for name, value in live.items():
        if name in wanted or name not in known:
            made[name] = value
        elif isinstance(value, dict) and (left := applied(value, known[name], {})):
            made[name] = left
    return made | {name: applied(live.get(name), known.get(name), value) for name, value in wanted.items()}


def _parts(value: Any) -> dict[str, Any] | None:
    """Return the children of a value by their names in `fieldsV1`, None for a leaf; lists are maps by `name`."""
    if isinstance(value, dict):
        return {f"f:{k}": v for k, v in value.items()}
    if isinstance(value, list) and value and all(isinstance(e, dict) and "name" in e for e in value):
        return {"k:" + json.dumps({"name": e["name"]}, separators=(",", ":")): e for e in value}
    return None


def changed(old: Any, new: Any, path: Path = ()) -> Iterator[Path]:
    """Return the paths of all leaves that differ."""
    if old == new:
        return
    before, after = _parts(old), _parts(new)
    if not before and not after:
        yield path
        return
    for name in {**(before or {}), **(after or {})}:
        yield from changed((before or {}).get(name), (after or {}).get(name), (*path, name))


def has(value: Any, path: Path) -> bool:
    """Tell whether there is anything at a path."""
    for step in path:
        children = _parts(value)
        if not children or step not in children:
            return False
        value = children[step]
    return True


def fields_v1(paths: set[Path]) -> dict[str, Any]:
    """Return the paths as `fieldsV1` writes them."""
    made: dict[str, Any] = {}
    for path in sorted(paths):
        place = made
        for step in path:
            place = place.setdefault(step, {})
    return made
