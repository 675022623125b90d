"""Whether an Override came about under the policy that guards Overrides, told from that policy as it is now.

A policy that is there with its first generation, and older than the Override, was there unaltered for the whole life
of the Override: the API server counts generations and sets times of creation itself, and takes neither from anybody.
So no history has to be kept, and nothing is won by taking the policy away for a moment: it comes back younger.
"""

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ombak.api import override_policy

SETTLES = timedelta(seconds=10)
"""So long after its creation a policy may not yet hold at every API server."""
_APPLY = "kubectl apply -f charts/override-policy.yaml"


@dataclasses.dataclass(frozen=True, slots=True)
class GuardObject:
    """The policy, or its binding, as it is in the cluster now."""

    created: datetime
    generation: int
    spec: Mapping[str, Any]
    is_deleting: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Guard:
    """What is known of the two objects; None where there is none. `unreadable` says why nothing is known."""

    policy: GuardObject | None = None
    binding: GuardObject | None = None
    unreadable: str = ""


def flaw(guard: Guard, created: datetime) -> str:
    """Return why an Override that was created then is not guarded, with the fix; empty if it is."""
    if guard.unreadable:
        return guard.unreadable
    return _flaw(override_policy.POLICY_KIND, guard.policy, override_policy.policy_spec(), created) or _flaw(
        override_policy.BINDING_KIND, guard.binding, override_policy.binding_spec(), created
    )


def _flaw(kind: str, found: GuardObject | None, wanted: Mapping[str, Any], created: datetime) -> str:
    what, anew = f"the {kind} {override_policy.NAME}", "and create this Override anew"
    if found is None:
        return f"{what} is missing, so anybody could have written it; {_APPLY}, {anew}"
    if found.is_deleting:
        return f"{what} is being deleted; when it is gone {_APPLY}, {anew}"
    if found.spec != wanted:
        return f"{what} is not the one of this version of the operator (its spec differs); delete it, {_APPLY}, {anew}"
    if found.generation != 1:
        return (
            f"{what} was altered since it was created (its generation is {found.generation}, not 1); "
            f"delete it, {_APPLY}, {anew}"
        )
    if created < found.created + SETTLES:
        return (
            f"it is older than {what} (of {found.created:%Y-%m-%dT%H:%M:%SZ}), or came within "
            f"{SETTLES.seconds} s of it; delete it, {anew}"
        )
    return ""
