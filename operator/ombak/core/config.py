"""Configuration that travels with a version (R8, R11, design 2 "Identity"): its hash, its copies, who refers to it.

A ConfigMap that a Rollout lists in `spec.config` is copied into an immutable one for every version, and the pods of
that version refer to the copy. So a change of it goes to one box first, bakes, and is taken back like code.
"""

import copy
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ombak.api.rollout import RolloutSpec
from ombak.core.identity import ID_LENGTH, canonical_json

HASH = "c1"
"""The version of the hash of a ConfigMap's content."""
MAX_NAME = 253
"""Characters; the API server's limit for the name of a ConfigMap."""


def content_digest(config_map: Mapping[str, Any]) -> str:
    """Return `c1:sha256:<hex>` of the content of a ConfigMap: `data` and `binaryData`, and nothing else of it.

    What is absent and what is empty are the same content: the API server makes no difference either.
    """
    content = {field: config_map[field] for field in ("data", "binaryData") if config_map.get(field)}
    return f"{HASH}:sha256:{hashlib.sha256(canonical_json(content).encode()).hexdigest()}"


def copy_name(rollout: str, artifact: str, name: str) -> str:
    """Return the name of a version's own copy of a ConfigMap: `<name>-<hash>`, at most 253 characters.

    The hash is of the Rollout and the version, whose id says which content that is: two Rollouts share no copy, and
    every version has one of its own, which lives as long as the version does.
    """
    tail = HASH + hashlib.sha256(canonical_json([rollout, artifact, name]).encode()).hexdigest()[: ID_LENGTH - 2]
    return f"{name[: MAX_NAME - len(tail) - 1].rstrip('-.')}-{tail}"


def copy_names(rollout: str, artifact: str, names: Iterable[str]) -> dict[str, str]:
    """Return the names of a version's copies by the names of the ConfigMaps."""
    return {name: copy_name(rollout, artifact, name) for name in names}


def references(template: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the ConfigMaps that the pods of a template use; total, whatever the template holds."""
    return frozenset(place["name"] for place in _places(template) if isinstance(place.get("name"), str))


def rewritten(template: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the template with every reference to a ConfigMap in `names` replaced, and nothing else touched."""
    made = copy.deepcopy(dict(template))
    for place in _places(made):
        name = place.get("name")
        if isinstance(name, str) and name in names:
            place["name"] = names[name]
    return made


def unused(spec: RolloutSpec) -> str:
    """Return what is wrong with `spec.config`: a name that the template does not use; empty if nothing is."""
    strangers = [name for name in spec.config or () if name not in references(spec.template)]
    if not strangers:
        return ""
    return (
        f"spec.config names {', '.join(strangers)}, which spec.template does not use; remove it there, or refer to it "
        "in a volume, in envFrom or in env"
    )


def _places(template: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Walk everything in a pod template that names a ConfigMap: volumes, projected volumes, envFrom and env."""
    spec = _dict(template.get("spec"))
    for volume in _dicts(spec.get("volumes")):
        yield from _dicts([volume.get("configMap")])
        for source in _dicts(_dict(volume.get("projected")).get("sources")):
            yield from _dicts([source.get("configMap")])
    for kind in ("initContainers", "containers"):
        for container in _dicts(spec.get(kind)):
            yield from _dicts([source.get("configMapRef") for source in _dicts(container.get("envFrom"))])
            values = [_dict(variable.get("valueFrom")) for variable in _dicts(container.get("env"))]
            yield from _dicts([value.get("configMapKeyRef") for value in values])


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(values: object) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
