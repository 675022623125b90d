"""Conditions of a status, as the Kubernetes API conventions have them: the time of each stays while its state does."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

_LONGEST = 1024
"""Characters of a message; a condition is no log."""


def stamp(moment: datetime) -> str:
    """Return a moment in UTC as the API server writes it, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def written(old: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return a condition of a status as it was written last; empty if there is none of that type. Total."""
    found = old.get("conditions")
    known = (c for c in (found if isinstance(found, list) else ()) if isinstance(c, Mapping))
    return next((c for c in known if c.get("type") == kind), {})


def condition(
    fact: tuple[str, str, str, str], old: Mapping[str, Any], generation: int, now: datetime
) -> dict[str, Any]:
    """Return a condition of type, status, reason and message; `old` is the whole status that was written last."""
    kind, state, reason, message = fact
    before = written(old, kind)
    since = before.get("lastTransitionTime") if before.get("status") == state else None
    return {
        "type": kind,
        "status": state,
        "reason": reason,
        "message": message[:_LONGEST],
        "observedGeneration": generation,
        "lastTransitionTime": since or stamp(now),
    }
