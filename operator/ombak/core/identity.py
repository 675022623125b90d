"""What makes two versions the same: a versioned hash over canonical JSON (design 2, P5, P7)."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

ID_PREFIX = "a1"
"""The version of the hash. Its first letter is a vowel, which no pod-template-hash has, so that no name of a
fleet can look like a name that a Deployment gave."""
ID_LENGTH = 12


def canonical_json(content: Any) -> str:
    """Return the one spelling of a JSON value: sorted keys, no spaces, so that a library cannot change the hash."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(template: dict[str, Any], config: Mapping[str, str] | None = None) -> str:
    """Return `sha256:<hex>` of a pod template as the user wrote it, and of the config that travels with it.

    `config` maps names of ConfigMaps to digests of their content. Without any the hash is that of the template alone,
    as it always was (P7); a pod template has a `spec` and so is never mistaken for the pair.
    """
    content = {"config": dict(config), "template": template} if config else template
    return "sha256:" + hashlib.sha256(canonical_json(content).encode()).hexdigest()


def artifact_id(template: dict[str, Any], config: Mapping[str, str] | None = None) -> str:
    """Return the id of a version, such as `a1c0ffee0123`: 12 characters, safe in names and labels."""
    return id_of(digest_of(template, config))


def id_of(digest: str) -> str:
    """Return the id of the version that has this digest: who needs both hashes once."""
    return ID_PREFIX + digest.removeprefix("sha256:")[: ID_LENGTH - len(ID_PREFIX)]
