"""Statuses of a Rollout whose plan was not carried out, or could not be made: what is in the way, and who lifts it."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from ombak.api.rollout import Phase
from ombak.api.wording import clause
from ombak.core.commands import Named, edit, look
from ombak.core.conditions import condition, stamp

Status = dict[str, Any]

REFUSED = "ApplyFailed"
CONFLICT = "Conflict"
DEFECT = "Defect"
TROUBLE = "ApiError"
_RIGHTS = "whoever gives Ombak its rights (charts/rbac.yaml), or owns the policy that says no"
_FAILURES = (REFUSED, CONFLICT, DEFECT, TROUBLE)


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """Why a plan was not carried out, for people; false where nothing stood in its way.

    `reason` is that of the condition `Stalled`, `who` can lift it, with `command` if there is one.
    """

    message: str = ""
    reason: str = REFUSED
    who: str = "whoever may change what the API server refuses"
    command: str = ""

    def __bool__(self) -> bool:
        """Something failed."""
        return bool(self.message)


NO_FAILURE = Failure()


def filled(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is not empty."""
    return {k: v for k, v in found.items() if v}


class Written(Named, Protocol):
    """A Rollout of which no more is known than where it is, and how often its spec was written."""

    @property
    def generation(self) -> int:
        """Of its spec."""
        ...


def waiting_of(failure: Failure, rollout: Named, old: Mapping[str, Any], now: datetime) -> dict[str, str]:
    """Return the wait for whoever can lift a failure, since it was first told."""
    before = old.get("waitingFor") or {}
    since = before["since"] if before.get("what") == failure.message else stamp(now)
    command = failure.command or look(rollout)
    return filled({"what": failure.message, "since": since, "who": failure.who, "command": command})


def unreadable(rollout: Written, problem: str, old: Mapping[str, Any], now: datetime) -> Status:
    """Return the status of a Rollout of whose spec nothing can be trusted: what was known stays, and Stalled."""
    invalid = "Invalid"
    facts = [
        ("Stalled", True, invalid, problem),
        ("Delivered", False, invalid, problem),
        ("SpecValid", False, invalid, problem),
    ]
    what = f"a spec that is right: {clause(problem)}"
    waiting = waiting_of(Failure(what, invalid, "whoever edits the Rollout", edit(rollout)), rollout, old, now)
    told = {"phase": Phase.INVALID.value, "message": problem, "waitingFor": waiting}
    return _amended(old, facts, rollout.generation, now) | told


def trouble(error: Exception, at_most: str, *, is_about_rights: bool = False) -> Failure:
    """Return what people are told of an API server that again and again fails to do what is asked."""
    told = str(error) or "it takes too long"
    message = (
        f"The API server does not do what is asked: {told[:600]}. Nothing that runs is touched by that; "
        f"it is tried again by itself, {at_most} later at most."
    )
    who = "whoever runs the API server, or the webhook that it asks"
    return Failure(message, TROUBLE, _RIGHTS if is_about_rights else who)


def defective(rollout: Written, failure: Failure, old: Mapping[str, Any], now: datetime) -> Status:
    """Return the status when a pass came to no end: whatever was known stays."""
    facts = [("Stalled", True, failure.reason, failure.message)]
    told = {"message": failure.message, "waitingFor": waiting_of(failure, rollout, old, now)}
    return {"phase": Phase.BLOCKED.value} | _amended(old, facts, rollout.generation, now) | told


def failure_of(status: Mapping[str, Any]) -> Failure:
    """Return the failure that a status tells."""
    conditions = [c for c in status.get("conditions") or [] if isinstance(c, Mapping)]
    stalled = next((c for c in conditions if c.get("type") == "Stalled"), {})
    waiting = status.get("waitingFor") or {}
    if stalled.get("reason") not in _FAILURES or waiting.get("what") != status.get("message"):
        return NO_FAILURE
    return Failure(
        str(status.get("message") or ""),
        str(stalled["reason"]),
        str(waiting.get("who") or ""),
        str(waiting.get("command") or ""),
    )


def _amended(old: Mapping[str, Any], facts: list[tuple[str, bool, str, str]], generation: int, now: datetime) -> Status:
    """Return a status with some conditions changed, the first of which is Stalled, and everything else as it was."""
    before = {c.get("type"): c for c in old.get("conditions") or [] if isinstance(c, Mapping)}
    going = before.get("Reconciling", {})
    if going.get("status") == "True":  # kstatus takes the first of the two that is True
        facts = [*facts, ("Reconciling", False, str(going.get("reason")), facts[0][3])]
    after = {
        kind: condition((kind, str(value), reason, message), old, generation, now)
        for kind, value, reason, message in facts
    }
    return {**old, "observedGeneration": generation, "conditions": list((before | after).values())}
