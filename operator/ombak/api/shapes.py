"""The shape of what a CRD takes unseen, pod templates above all, as far as the operator itself reads in it.

Whether an image or a volume makes sense is the API server's to say, where it is written. But a list where a mapping
belongs would end every decision about its object in an error, so it is refused with its place.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_NAMED = {"name": str}
_METADATA: Mapping[str, Any] = {"labels": {}, "annotations": {}}
_CONTAINERS = [
    {
        "env": [{"name": str, "valueFrom": {"configMapKeyRef": _NAMED}}],
        "envFrom": [{"configMapRef": _NAMED}],
    }
]
_VOLUMES = [{"configMap": _NAMED, "projected": {"sources": [{"configMap": _NAMED}]}}]
POD_TEMPLATE: Mapping[str, Any] = {
    "metadata": _METADATA,
    "spec": {"containers": _CONTAINERS, "initContainers": _CONTAINERS, "volumes": _VOLUMES},
}
JOB_TEMPLATE: Mapping[str, Any] = {
    "metadata": _METADATA,
    "spec": {"ttlSecondsAfterFinished": int, "template": POD_TEMPLATE},
}
OBJECT: Mapping[str, Any] = {"metadata": {"name": str, **_METADATA}}
_CALLED = {str: "text", int: "a number"}


def misshapen(value: object, shape: Mapping[str, Any]) -> str:
    """Return where a value has not its shape, and what belongs there; empty if it has.

    A field that is absent or null is no fault, and one that the shape does not know may hold anything.
    """
    return next(_faults(value, shape, ""), "")


def _faults(value: object, shape: Any, place: str) -> Iterator[str]:
    if isinstance(shape, Mapping):
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            yield f"{place} must be a mapping".strip()
        else:
            inside = {key: value[key] for key in shape if value.get(key) is not None}
            for key, found in inside.items():
                yield from _faults(found, shape[key], f"{place}.{key}".strip("."))
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{place} must be a list"
        else:
            for index, found in enumerate(value):
                yield from _faults(found, shape[0], f"{place}[{index}]")
    elif not isinstance(value, shape) or isinstance(value, bool):
        yield f"{place} must be {_CALLED[shape]}"
