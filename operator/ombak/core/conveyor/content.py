"""What makes two versions of a Pipeline the same: template and objects are the artifact, values stand beside it."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ombak.core import identity, naming
from ombak.core.identity import canonical_json, digest_of

Raw = Mapping[str, Any]
_SHORT = 8


def _hash(content: object) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def short_hash(content: object) -> str:
    """Return eight hex digits that tell contents apart; empty for what is empty."""
    return _hash(content)[:_SHORT] if content else ""


def content_digest(template: Raw, objects: Sequence[Raw]) -> str:
    """Return `sha256:<hex>` of an artifact; without objects it is the one that a region says of the template."""
    if not objects:
        return digest_of(dict(template))
    return "sha256:" + _hash({"objects": list(objects), "template": template})


def content_id(template: Raw, objects: Sequence[Raw]) -> str:
    """Return the id of an artifact, the same on the hub and, without objects and values, in every region."""
    return identity.id_of(content_digest(template, objects))


def version_of(artifact: str, values: Sequence[Raw]) -> str:
    """Return what is delivered and judged as one: the id, and the hash of the values if there are any."""
    return f"{artifact}-{short_hash(list(values))}" if values else artifact


def id_of(version: str) -> str:
    """Return the artifact's id of a version."""
    return version.partition("-")[0]


def object_name(pipeline: str, version: str) -> str:
    """Return the name of the hub's Artifact; no Artifact of a Rollout has a dot before its id."""
    return f"{naming.base(pipeline)}.pipeline.{version}"
