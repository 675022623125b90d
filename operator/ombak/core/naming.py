"""Names and labels of what Ombak owns, and the patterns that only those names match (design 2)."""

import hashlib
import re

from ombak.api.common import GROUP

ROLLOUT = f"{GROUP}/rollout"
BOX = f"{GROUP}/box"
ARTIFACT = f"{GROUP}/artifact"
ZONE = f"{GROUP}/zone"
CONFIG = f"{GROUP}/config"
"""An annotation: the ConfigMap of which this one is a copy."""
ABORT = f"{GROUP}/abort"
RETRY = f"{GROUP}/retry"
RESTORING = f"{GROUP}/restoring"
"""An annotation of an Artifact that was written anew and whose verdict is still to be written; nothing rests on it."""
PERMIT = f"{GROUP}/permit"
"""An annotation: the artifact that may leave its one box, where `strategy.oneBox.needsPermit` asks for that."""
ORPHAN = "orphan"
"""The built-in finalizer: deleting the CRD leaves the boxes, `kubectl delete rollout` still cascades."""

MAX_BASE = 34
"""A pod's name is cut after 58 characters and the random tail; a longer base would lose what tells boxes apart."""
_HASH = 8
_ZONE_HASH = 4
_SAFE = "[bcdfghjklmnpqrstvwxz2456789]"
"""The letters of which Kubernetes makes pod-template-hashes and the tails of generated names."""


def base(rollout: str) -> str:
    """Return the start of all child names: the Rollout's name, shortened unmistakably when it is long."""
    if len(rollout) <= MAX_BASE:
        return rollout
    digest = hashlib.sha256(rollout.encode()).hexdigest()[:_HASH]
    return f"{rollout[: MAX_BASE - _HASH - 1].rstrip('-.')}-{digest}"


def _suffix(zone: str) -> str:
    return f"-{hashlib.sha256(zone.encode()).hexdigest()[:_ZONE_HASH]}" if zone else ""


def one_box(rollout: str, zone: str = "") -> str:
    """Return the name of the one box's Deployment; `zone` is empty where there is one for the region."""
    return f"{base(rollout)}-onebox{_suffix(zone)}"


def fleet(rollout: str, artifact: str, zone: str = "") -> str:
    """Return the name of the ReplicaSet of one artifact (and zone)."""
    return f"{base(rollout)}-{artifact}{_suffix(zone)}"


def artifact(rollout: str, artifact: str) -> str:
    """Return the name of the Artifact object."""
    return f"{base(rollout)}-{artifact}"


def _literal(rollout: str) -> str:
    """Return the base as a regular expression that matches nothing else: names may hold dots."""
    return base(rollout).replace(".", "[.]")


_ONE_BOX_TAIL = f"onebox(-[0-9a-f]{{{_ZONE_HASH}}})?-{_SAFE}{{1,10}}-{_SAFE}{{5}}"
_FLEET_PART = f"a1[0-9a-f]{{10}}(-[0-9a-f]{{{_ZONE_HASH}}})?"
_ONE_BOX_PART = f"onebox(-[0-9a-f]{{{_ZONE_HASH}}})?-{_SAFE}{{1,10}}"
_OF_A_FLEET = re.compile(f"(.+)-(a1[0-9a-f]{{10}})(?:-[0-9a-f]{{{_ZONE_HASH}}})?-[^-]+")
_ANY_TAIL = f"({_FLEET_PART}|{_ONE_BOX_PART})-{_SAFE}{{5}}"
EVERY_POD = f"(.+)-{_ANY_TAIL}"
"""The names of the pods of all Rollouts; the first group is `base` of the one it belongs to.

No tail ends in another tail, so a name can be divided in one way only: `all_pods` of a Rollout matches a name exactly
if this does and the group is its base.
"""
EVERY_ONE_BOX_POD = f"(.+)-{_ONE_BOX_TAIL}"
"""The same of the one boxes' pods, and `one_box_pods`."""


def one_box_pods(rollout: str) -> str:
    """Return an anchored-by-use regular expression of the names of the one box's pods, and of no others."""
    return f"{_literal(rollout)}-{_ONE_BOX_TAIL}"


def all_pods(rollout: str) -> str:
    """Return a regular expression of the names of every pod of a Rollout, and of no others.

    `front-end` is a prefix of `front-end-admin`; artifact ids hold a vowel and pod-template-hashes never do, so
    that the two forms below cannot be mistaken for a longer Rollout's name either.
    """
    return f"{_literal(rollout)}-{_ANY_TAIL}"


def version_of_pod(rollout: str, pod: str) -> str:
    """Return which version a pod of a Rollout's fleet runs; empty for every other name, the one box's tells none."""
    found = _OF_A_FLEET.fullmatch(pod)
    return found[2] if found is not None and found[1] == base(rollout) else ""
