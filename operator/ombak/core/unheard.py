"""Commands of people that name nothing: they are taken off without effect, which must not look like success (P10)."""

from collections.abc import Mapping
from typing import Any

from ombak.core import commands, naming
from ombak.core.conditions import written
from ombak.core.course import in_flight, newest_good
from ombak.core.plan import Note
from ombak.core.snapshot import Snapshot

HEARD = "CommandHeard"
"""The condition that is there, and False, after a command that named nothing, until another one, or another spec."""
REASON = "NamesNothing"


def told(s: Snapshot) -> str:
    """Return what is wrong with the commands on a Rollout, in a sentence; empty if nothing is."""
    return " ".join(part for part in (_abort(s), _retry(s)) if part)


def notes(s: Snapshot) -> tuple[Note, ...]:
    """Return the same as an Event."""
    return (Note("NamesNothing", message, is_warning=True),) if (message := told(s)) else ()


def _abort(s: Snapshot) -> str:
    command, stable = s.rollout.abort, newest_good(s)
    view = s.artifact(command) if command else None
    flying = in_flight(s, stable.id) if stable else (s.memory.release.artifact if s.memory.release else None)
    if not command or command == flying or (view is not None and view.rejection is not None):
        return ""
    if flying:
        return f"{nothing(naming.ABORT, command)}; on its way is {flying}: {commands.abort(s.rollout, flying)}"
    return f"{nothing(naming.ABORT, command)}; nothing is. To go back, ask for an earlier version in spec.template."


def nothing(annotation: str, command: str) -> str:
    """Return the beginning of what is said of an abort that names nothing."""
    return f"{annotation}={command} names nothing that is on its way, so nothing is taken back"


def _retry(s: Snapshot) -> str:
    command = s.rollout.retry
    named = command.partition(".")[0]
    view = s.artifact(named) if command else None
    if not command or (view is not None and view.rejection is None and named == s.rollout.artifact):
        return ""
    if named in s.rollout.spec.rejected:
        return f"{naming.RETRY}={command} changes nothing while spec.rejected names {named}; take it out there."
    if view is None or view.rejection is None:
        return "" if view is not None and view.retried == command else not_rejected(naming.RETRY, command)
    if view.retried == command:
        again = commands.retry(s.rollout, named, view.retried)
        return f"{naming.RETRY}={command} was carried out before; to try {named} once more: {again}"
    return ""


def not_rejected(annotation: str, command: str) -> str:
    """Return what is said of a retry that names nothing."""
    return f"{annotation}={command} names no version that was taken back, so nothing is tried again."


def fact(message: str, *, is_commanded: bool, old: Mapping[str, Any], generation: int) -> list[tuple[str, str, str]]:
    """Return state, reason and message of the condition, if there is one: it outlives the annotation."""
    before = written(old, HEARD)
    if not message and not is_commanded and before.get("observedGeneration") == generation:
        message = str(before.get("message") or "")
    return [("False", REASON, message)] if message else []
