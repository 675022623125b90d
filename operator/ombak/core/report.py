"""What people and `kubectl wait` read: the status of a Rollout, and when a change of it is worth a write."""

import dataclasses
import functools
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ombak.alarms import parser
from ombak.alarms.errors import AlarmError
from ombak.api.rollout import Phase
from ombak.api.wording import sentence
from ombak.core import keeping, unheard
from ombak.core.alarm_views import alarm_views, has_news
from ombak.core.capacity import floor_of
from ombak.core.conditions import condition, stamp, written
from ombak.core.converge import serving_all
from ombak.core.memory import ZERO, Memory, Release, dump_memory, load_memory
from ombak.core.plan import Plan
from ombak.core.snapshot import Snapshot

Status = dict[str, Any]

_IN_FLIGHT = {
    Phase.INSTALLING,
    Phase.BLOCKED,
    Phase.ONE_BOX,
    Phase.ONE_BOX_BAKE,
    Phase.ROLLING,
    Phase.BAKE,
    Phase.REVERTING,
}
_STALLED = {Phase.REVERTED, Phase.FAILED, Phase.INVALID}
REFUSED = "ApplyFailed"
CONFLICT = "Conflict"
DEFECT = "Defect"
TROUBLE = "ApiError"
_FAILURES = (REFUSED, CONFLICT, DEFECT, TROUBLE)
SOUND, UNAMBIGUOUS = "QueriesSound", "Unambiguous"
_LATER = "Changes of strategy, minReadySeconds, signals and alarms hold for the next version."
"""What a person who edits these under a version that is delivered should know; always true, so it costs no write."""
DEADLINE_STORED = timedelta(minutes=1)
"""A deadline that runs is stored so often: what a restart finds older than this was not seen, and does not count."""
_COUNTS = ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas", "selector")


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


def report(s: Snapshot, plan: Plan, old: Mapping[str, Any], now: datetime, failure: Failure = NO_FAILURE) -> Status:
    """Return the whole status; times of conditions stay as they were while their state does."""
    owned = (*s.fleet, *s.one_boxes)
    status: Status = {
        "observedGeneration": s.rollout.generation,
        "phase": plan.phase.value,
        "selector": ",".join(f"{k}={v}" for k, v in sorted(s.rollout.spec.selector.match_labels.items())),
        "replicas": sum(o.replicas for o in owned),
        "readyReplicas": sum(o.ready for o in owned),
        "availableReplicas": sum(o.available for o in owned),
        "updatedReplicas": sum(min(o.desired, o.replicas) for o in owned if o.artifact == s.rollout.artifact),
        "artifacts": _filled(
            {"stable": plan.stable, "current": plan.current, "queued": plan.queued, "rejected": plan.rejected}
        ),
        "progress": _progress(plan),
        "message": failure.message or plan.message,
        "memory": dump_memory(plan.memory),
        "conditions": _conditions(s, plan, old, now, failure),
    }
    waiting = _refusal(failure, old, now) if failure else _waiting(plan)
    if waiting:
        status["waitingFor"] = waiting
    if plan.memory.queued is not None:
        queued = plan.memory.queued
        status["queue"] = {"since": stamp(queued.since), "superseded": queued.superseded}
    if plan.override is not None:
        status["override"] = plan.override.status
    if plan.is_watched or plan.phase is Phase.REVERTING:
        status |= alarm_views(s, old, stamp(now))
    return status


def _progress(plan: Plan) -> dict[str, str]:
    moments = {"bakeSince": plan.bake_began_at, "bakeEnds": plan.bake_ends_at}
    told = {"boxes": plan.boxes, "step": plan.step, "bake": plan.bake}
    return _filled(told | {name: stamp(moment) for name, moment in moments.items() if moment is not None})


def _filled(found: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in found.items() if v}


def _refusal(failure: Failure, old: Mapping[str, Any], now: datetime) -> dict[str, str]:
    before = old.get("waitingFor") or {}
    since = before["since"] if before.get("what") == failure.message else stamp(now)
    return _filled({"what": failure.message, "since": since, "who": failure.who, "command": failure.command})


def _waiting(plan: Plan) -> dict[str, str]:
    if plan.waiting is None or plan.memory.wait is None:
        return {}
    waiting = plan.waiting
    return _filled(
        {
            "what": waiting.what,
            "since": stamp(plan.memory.wait.since),
            "who": waiting.who,
            "command": waiting.command,
            "expected": stamp(waiting.expected) if waiting.expected else "",
        }
    )


def _conditions(s: Snapshot, plan: Plan, old: Mapping[str, Any], now: datetime, failure: Failure) -> list[Status]:
    return [
        condition((kind, str(value), reason, message), old, s.rollout.generation, now)
        for kind, value, reason, message in (
            *_facts(s, plan, failure),
            *_sound(s, old),
            *_clear(s),
            *_unheard(s, old),
        )
    ]


def _clear(s: Snapshot) -> list[tuple[str, bool, str, str]]:
    """Return the condition about expressions that could be misunderstood while there are some; else none (P7)."""
    alarms = s.rollout.spec.alarms
    written = (("revert", alarms.revert), ("oneBox", alarms.one_box)) if alarms is not None else ()
    told = [f"spec.alarms.{field}: {warning}" for field, text in written if text for warning in _warnings(text)]
    return [(UNAMBIGUOUS, False, "MixedOperators", " ".join(map(sentence, told)))] if told else []


@functools.lru_cache(maxsize=4096)
def _warnings(expression: str) -> tuple[str, ...]:
    """Return what a reader could misunderstand; of what is no expression, the alarm itself tells."""
    try:
        return parser.parse(expression).warnings
    except AlarmError:
        return ()


def _unheard(s: Snapshot, old: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return the condition about a command that named nothing; else none, as before (P7)."""
    is_commanded = bool(s.rollout.abort or s.rollout.retry)
    found = unheard.fact(unheard.told(s), is_commanded=is_commanded, old=old, generation=s.rollout.generation)
    return [(unheard.HEARD, *fact) for fact in found]


def _sound(s: Snapshot, old: Mapping[str, Any]) -> list[tuple[str, bool, str, str]]:
    """Return the condition about its queries while something is wrong with them; else none, as before (P7).

    What was told stays until all of them were looked into again.
    """
    told = written(old, SOUND) if s.traps.is_open and not s.traps.problems else {}
    message = " ".join(map(sentence, s.traps.problems)) or str(told.get("message") or "")
    return [(SOUND, False, "Trap", message)] if message else []


def _facts(s: Snapshot, plan: Plan, failure: Failure) -> list[tuple[str, bool, str, str]]:
    """Return the table phase -> conditions: kstatus's three, and whether the wanted version is delivered."""
    phase, told = plan.phase, plan.message
    spec = s.rollout.spec
    wanted = spec.replicas if spec.replicas is not None else sum(o.desired for o in (*s.fleet, *s.one_boxes))
    serves, floor = serving_all(s), floor_of(spec.strategy.rolling.min_available, wanted)
    enough = serves >= floor
    stalled = phase in _STALLED or plan.is_loud or bool(failure)
    loud = _loud(plan.waiting.key) if plan.is_loud and plan.waiting else phase.value
    stalled_by = failure.reason if failure else loud
    delivered = phase is Phase.STABLE
    return [
        ("Ready", enough, "Serving" if enough else "TooFewBoxes", f"{serves} boxes serve, at least {floor} must."),
        ("Reconciling", phase in _IN_FLIGHT, phase.value, told if phase in _IN_FLIGHT else ""),
        ("Stalled", stalled, stalled_by if stalled else "Going", (failure.message or told) if stalled else ""),
        ("Delivered", delivered, phase.value, _LATER if delivered else told),
        ("SpecValid", not s.rollout.problem, "Invalid" if s.rollout.problem else "Valid", s.rollout.problem),
        *keeping.facts(s),
    ]


def _loud(key: str) -> str:
    """Return why it will not go on by itself, by what it waits for: boxes that are not let in, or something unknown."""
    return REFUSED if key == "template" else key.capitalize()


def is_urgent(old: Mapping[str, Any], new: Status, bake: timedelta) -> bool:
    """A transition: it is written at once. Counts and texts alone are not (see `is_stale`).

    Bake time is stored every 5 minutes or 5 % of `bake`, whichever is longer: a crash loses no more.
    """
    before, after = load_memory(old.get("memory")), load_memory(new.get("memory"))
    if _essence(old, before) != _essence(new, after):
        return True
    return _accrued(after) - _accrued(before) >= max(timedelta(minutes=5), bake / 20)


def is_stale(old: Mapping[str, Any], new: Status) -> bool:
    """Counts differ, or in flight a text does: it is written when the last write is some seconds old.

    So is a deadline that runs, every minute: a crash loses no more of it, unless many wait for a turn to write.
    """
    if any(old.get(name) != new.get(name) for name in _COUNTS) or _deadline_runs_on(old, new):
        return True
    if new["phase"] not in {p.value for p in _IN_FLIGHT}:
        return False
    seen, told = old.get("progress") or {}, new.get("progress") or {}
    if seen.get("boxes") != told.get("boxes"):
        return True
    if has_news(old, new):
        return True
    return _trouble(old) != _trouble(new) or _opening(old) != _opening(new)


def _opening(status: Mapping[str, Any]) -> object:
    """When a change that has not started is expected to: somebody may have changed a Window or a Blocker."""
    is_blocked = status.get("phase") == Phase.BLOCKED.value
    return (status.get("waitingFor") or {}).get("expected") if is_blocked else None


def _trouble(status: Mapping[str, Any]) -> str:
    """What is told after the colon of a wait for boxes: why they do not come up."""
    what = str((status.get("waitingFor") or {}).get("what") or "")
    return what.partition(": ")[2] if what.startswith("boxes of ") else ""


def _essence(status: Mapping[str, Any], memory: Memory) -> object:
    """What makes two statuses tell the same story, whatever their numbers."""
    conditions = [
        (c.get("type"), c.get("status"), c.get("reason"))
        for c in status.get("conditions") or []
        if isinstance(c, Mapping)
    ]
    release, reverting = memory.release, memory.reverting
    return (
        status.get("observedGeneration"),
        status.get("phase"),
        status.get("artifacts") or {},
        status.get("override"),
        memory.wait and memory.wait.key,
        release
        and (
            *(release.artifact, release.mode, _place(release), release.step.number),
            *(release.unknown_since is None, release.baseline),
        ),
        reverting and (reverting.source, reverting.target, reverting.forced),
        conditions,
    )


def _place(release: Release) -> object:
    """The approved share; for which zones it was made an older version did not write, and that is no news."""
    return release.position.segment, release.position.boxes, release.position.of


def _is_counting(memory: Memory) -> bool:
    """Boxes that were asked for do not serve, and their time runs."""
    return memory.reverting is not None or (memory.release is not None and memory.release.step.down_since is not None)


def _deadline_runs_on(old: Mapping[str, Any], new: Status) -> bool:
    before, after = load_memory(old.get("memory")), load_memory(new.get("memory"))
    return _is_counting(after) and _seen_apart(before, after) >= DEADLINE_STORED


def _seen_apart(before: Memory, after: Memory) -> timedelta:
    return after.seen_at - before.seen_at if before.seen_at and after.seen_at else ZERO


def _accrued(memory: Memory) -> timedelta:
    return memory.release.step.ledger.accrued if memory.release else ZERO


def unreadable(generation: int, problem: str, old: Mapping[str, Any], now: datetime) -> Status:
    """Return the status of a Rollout of whose spec nothing can be trusted: what was known stays, and Stalled."""
    invalid = "Invalid"
    if failure_of(old):
        old = {name: value for name, value in old.items() if name != "waitingFor"}
    facts = [
        ("Stalled", True, invalid, problem),
        ("Delivered", False, invalid, problem),
        ("SpecValid", False, invalid, problem),
    ]
    return _amended(old, facts, generation, now) | {"phase": Phase.INVALID.value, "message": problem}


def refused(generation: int, failure: Failure, old: Mapping[str, Any], now: datetime) -> Status:
    """Return the status when the API server took no record of what was to be done, and so nothing was done."""
    delivered = ("Delivered", False, failure.reason, failure.message)
    return _failed(generation, failure, old, now, delivered)


def trouble(error: Exception, at_most: str) -> Failure:
    """Return what people are told of an API server that again and again fails to do what is asked."""
    told = str(error) or "it takes too long"
    message = (
        f"The API server does not do what is asked: {told[:600]}. Nothing that runs is touched by that; "
        f"it is tried again by itself, {at_most} later at most."
    )
    return Failure(message, TROUBLE, "whoever runs the API server, or the webhook that it asks")


def defective(generation: int, failure: Failure, old: Mapping[str, Any], now: datetime) -> Status:
    """Return the status when a pass came to no end: whatever was known stays."""
    return _failed(generation, failure, old, now)


def _failed(
    generation: int, failure: Failure, old: Mapping[str, Any], now: datetime, *more: tuple[str, bool, str, str]
) -> Status:
    facts = [("Stalled", True, failure.reason, failure.message), *more]
    told = {"message": failure.message, "waitingFor": _refusal(failure, old, now)}
    return {"phase": Phase.BLOCKED.value} | _amended(old, facts, generation, now) | told


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
    """Return a status with some conditions changed and everything else as it was."""
    before = {c.get("type"): c for c in old.get("conditions") or [] if isinstance(c, Mapping)}
    after = {
        kind: condition((kind, str(value), reason, message), old, generation, now)
        for kind, value, reason, message in facts
    }
    return {**old, "observedGeneration": generation, "conditions": list((before | after).values())}
