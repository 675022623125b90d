"""What people and `kubectl wait` read: the status of a Rollout."""

import functools
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ombak.alarms import parser
from ombak.alarms.errors import AlarmError
from ombak.api.rollout import Phase
from ombak.api.wording import sentence
from ombak.core import commands, keeping, unheard, verdicts
from ombak.core.alarm_views import alarm_views
from ombak.core.capacity import floor_of
from ombak.core.conditions import condition, stamp, written
from ombak.core.converge import serving_all
from ombak.core.failures import NO_FAILURE, REFUSED, Failure, Status, filled, waiting_of
from ombak.core.memory import dump_memory
from ombak.core.news import IN_FLIGHT
from ombak.core.plan import Plan
from ombak.core.snapshot import Snapshot

_STALLED = {Phase.REVERTED, Phase.FAILED, Phase.INVALID}
SOUND, UNAMBIGUOUS = "QueriesSound", "Unambiguous"
_LATER = "Changes of strategy, minReadySeconds, signals and alarms hold for the next version."
"""What a person who edits these under a version that is delivered should know; always true, so it costs no write."""


_ON_ITS_OWN = ("nobody", "time")
"""Who lifts a wait that ends without anybody's doing, and needs no command."""


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
        "artifacts": filled(
            {"stable": plan.stable, "current": plan.current, "queued": plan.queued, "rejected": plan.rejected}
        ),
        "progress": _progress(plan),
        "message": failure.message or plan.message,
        "memory": dump_memory(plan.memory),
        "conditions": _conditions(s, plan, old, now, failure),
    }
    waiting = waiting_of(failure, s.rollout, old, now) if failure else _waiting(s, plan)
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
    return filled(told | {name: stamp(moment) for name, moment in moments.items() if moment is not None})


def _waiting(s: Snapshot, plan: Plan) -> dict[str, str]:
    if plan.waiting is None or plan.memory.wait is None:
        return {}
    waiting = plan.waiting
    is_on_its_own = waiting.who.startswith(_ON_ITS_OWN)
    return filled(
        {
            "what": waiting.what,
            "since": stamp(plan.memory.wait.since),
            "who": waiting.who,
            "command": waiting.command or ("" if is_on_its_own else commands.look(s.rollout)),
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
            *_unheard(verdicts.judged(s, now), old),
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
    phase, told = plan.phase, failure.message or plan.message
    spec = s.rollout.spec
    wanted = spec.replicas if spec.replicas is not None else sum(o.desired for o in (*s.fleet, *s.one_boxes))
    serves, floor = serving_all(s), floor_of(spec.strategy.rolling.min_available, wanted)
    enough = serves >= floor
    stalled = phase in _STALLED or plan.is_loud or bool(failure)
    loud = _loud(plan.waiting.key) if plan.is_loud and plan.waiting else phase.value
    going = phase in IN_FLIGHT and not stalled  # kstatus takes the first of the two that is True, in whatever order
    stalled_by = failure.reason if failure else loud
    delivered = phase is Phase.STABLE
    return [
        ("Ready", enough, "Serving" if enough else "TooFewBoxes", f"{serves} boxes serve, at least {floor} must."),
        ("Reconciling", going, phase.value, told if phase in IN_FLIGHT else ""),
        ("Stalled", stalled, stalled_by if stalled else "Going", told if stalled else ""),
        ("Delivered", delivered, phase.value, _LATER if delivered else told),
        ("SpecValid", not s.rollout.problem, "Invalid" if s.rollout.problem else "Valid", s.rollout.problem),
        *keeping.facts(s),
    ]


def _loud(key: str) -> str:
    """Return why it will not go on by itself, by what it waits for: boxes that are not let in, or something unknown."""
    return {"template": REFUSED, "spec": Phase.INVALID.value}.get(key, key.capitalize())
