"""The actions of a plan one after another: what a refusal ends, and what goes on without what was refused."""

import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime

from ombak.core import plan as plan_of
from ombak.core import unrecorded
from ombak.core.decide import decide
from ombak.core.failures import NO_FAILURE, Failure
from ombak.core.snapshot import Snapshot
from ombak.runtime.apply import Applier, Refused
from ombak.runtime.kube_port import ApiError
from ombak.runtime.siblings import is_late
from ombak.runtime.store import Key
from ombak.runtime.telling import Decision

_IN_ORDER = (plan_of.ClearCommand, plan_of.OwnConfig, plan_of.RepairFleet, plan_of.Delete)
"""What puts things in order, on which nothing else in a plan rests."""


async def carry_out(
    applier: Applier, actions: Sequence[plan_of.Action], changes: Callable[[Key], None], *, is_back: bool = False
) -> Failure:
    """Carry out actions, each told to `changes` before; returns what the API server refuses for good.

    The first refusal ends a plan, but that of a way back: there each box that can go back does (P3). What is left
    out can only leave more boxes than planned, for what is taken away keeps to the floor by itself (P1). Nor does it
    end a plan when something is only not put in order.
    """
    first: Refused | None = None
    for action in actions:
        changes(applier.key)
        try:
            await applier.apply(action)
        except ApiError as error:
            refusal = Refused(type(action).__name__, error)
            if refusal.is_only_its_own:
                applier.refused.add(type(action))
            if not ((is_back or isinstance(action, _IN_ORDER)) and refusal.is_only_its_own):
                if refusal.is_for_people:
                    return refusal.failure
                raise
            first = first or refusal
    if first is not None and not first.is_for_people:
        raise first.error
    return NO_FAILURE if first is None else first.failure


@dataclasses.dataclass(frozen=True, slots=True)
class Instead:
    """The decision on all that does not rest on a record that was not made."""

    made: Decision
    is_missed: bool
    """Something waits for that record, so people are told that it is not there."""


def without(
    made: Decision, early: Sequence[plan_of.Action], applier: Applier, failure: Failure, now: datetime
) -> Instead:
    """Return what goes on although a record was refused.

    A plan with a verdict stays what it is, whether that is on record or not: it counts on it already.
    """
    record = _not_made(early, applier)
    applier.off_record.append(record)
    s = unrecorded.without(made.s, record, failure, now)
    is_verdict = isinstance(record, plan_of.RecordRejected)
    plan = unrecorded.remembering(made.plan, s) if is_verdict else decide(s, now)
    left = tuple(action for action in plan.actions if action not in (*applier.applied, *applier.off_record))
    notes = (*_of_verdicts(made.plan, plan, applier), *plan.notes)
    instead = dataclasses.replace(made, s=s, plan=dataclasses.replace(plan, actions=left, notes=notes))
    return Instead(instead, unrecorded.is_missed(made.s, record))


def _of_verdicts(before: plan_of.Plan, plan: plan_of.Plan, applier: Applier) -> tuple[plan_of.Note, ...]:
    """Return what was to be told of verdicts of this pass, and what is decided instead takes for known."""
    tried = (*applier.applied, *applier.off_record)
    reasons = {action.reason for action in tried if isinstance(action, plan_of.RecordRejected)}
    again = {note.reason for note in plan.notes}
    return tuple(note for note in before.notes if note.reason in reasons - again)


async def unanswered(
    made: Decision, early: Sequence[plan_of.Action], applier: Applier, error: ApiError, now: datetime
) -> Instead | None:
    """Return what goes on although no answer came to a record; None where nothing does. Raises `ApiError`.

    A webhook that hangs for ConfigMaps or Artifacts alone must not keep boxes on what a verdict is about. Where the
    Rollout itself is not answered for, nobody is there: then the verdict may be about a time that nobody saw.
    """
    record = _not_made(early, applier)
    if not Refused(type(record).__name__, error).is_only_its_own:
        return None
    if isinstance(record, plan_of.Adopt):  # others would hang as long, one after another
        applier.off_record += [action for action in early if isinstance(action, plan_of.Adopt)]
    instead = without(made, early, applier, Failure(str(error)), now)
    if isinstance(record, plan_of.KeepConfig):
        return instead
    if not _is_urgent(record, instead.made):
        return None
    await applier.confirm()
    return instead


def _is_urgent(record: plan_of.Action, instead: Decision) -> bool:
    """Tell whether there is anything to do at once without a record that is not answered for.

    What only waits for it is not told of each failure that the next try mends.
    """
    if isinstance(record, plan_of.RecordRejected | plan_of.RecordRetry) or moves_boxes(instead.plan.actions):
        return True
    memory = instead.s.memory
    is_under_way = memory.release is not None or memory.reverting is not None
    return is_under_way and not isinstance(record, plan_of.RecordStable)


def _not_made(early: Sequence[plan_of.Action], applier: Applier) -> plan_of.Action:
    """Return the record at which it ended."""
    return next(action for action in early if action not in applier.applied)


def moves_boxes(actions: Sequence[plan_of.Action]) -> bool:
    """Tell whether these do more than tidy up."""
    return any(not isinstance(a, plan_of.ClearCommand | plan_of.OwnConfig) for a in actions)


def keeps_boxes_out(s: Snapshot, actions: Sequence[plan_of.Action], applier: Applier) -> bool:
    """Tell whether boxes that were to come may not be asked for: more than something that is not put in order."""
    sizes = {fleet.name: fleet.desired for fleet in s.fleet}

    def is_about_boxes(action: plan_of.Action) -> bool:
        if isinstance(action, plan_of.RepairFleet):
            return action.replicas > sizes.get(action.name, 0)
        return not isinstance(action, _IN_ORDER)

    refused = (a for a in actions if type(a) in applier.refused and a not in applier.applied)
    return any(map(is_about_boxes, refused))


def needs_alarms(plan: plan_of.Plan) -> bool:
    """Tell whether alarms are asked at full rate; until it is on record that a version is stable, its bake goes on."""
    return plan.is_watched or any(isinstance(action, plan_of.RecordStable) for action in plan.actions)


def told_at_once(plan: plan_of.Plan) -> tuple[plan_of.Note, ...]:
    """Return what is told with a verdict, for no later pass would tell of it.

    That another version starts is not told before it is written down: else the next pass may do something else.
    """
    if plan.memory.release is None:
        return plan.notes
    recorded = {action.reason for action in plan.actions if isinstance(action, plan_of.RecordRejected)}
    reasons = recorded | {verdict.reason for verdict in plan.memory.unrecorded}
    return tuple(note for note in plan.notes if note.reason in reasons)


def lacks_cause(s: Snapshot, plan: plan_of.Plan) -> bool:
    """Tell whether a verdict on boxes that did not come up would stand for good without a word on why."""
    return any(map(is_late, plan.actions)) and not (s.trouble_of(plan.rejected) or s.refusal)
