"""The actions of a plan one after another: what a refusal ends, and what goes on without what was refused."""

import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime

from ombak.core import plan as plan_of
from ombak.core import unrecorded
from ombak.core.advance import DEADLINE
from ombak.core.decide import decide
from ombak.core.failures import NO_FAILURE, Failure
from ombak.core.snapshot import Snapshot
from ombak.runtime import kinds
from ombak.runtime.apply import Applier, Refused
from ombak.runtime.kube_port import ApiError, Conflict, KubeClient
from ombak.runtime.observe import Stores
from ombak.runtime.records import RolloutRecord
from ombak.runtime.store import Key
from ombak.runtime.telling import Decision


async def carry_out(
    applier: Applier, actions: Sequence[plan_of.Action], changes: Callable[[Key], None], *, is_back: bool = False
) -> Failure:
    """Carry out actions, each told to `changes` before; returns what the API server refuses for good.

    The first refusal ends a plan, but that of a way back: there each box that can go back does (P3). What is left
    out can only leave more boxes than planned, for what is taken away keeps to the floor by itself (P1).
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
            if not (is_back and refusal.is_only_its_own):
                if refusal.is_for_people:
                    return refusal.failure
                raise
            first = first or refusal
    if first is not None and not first.is_for_people:
        raise first.error
    return NO_FAILURE if first is None else first.failure


def without(
    made: Decision, early: Sequence[plan_of.Action], applier: Applier, failure: Failure, now: datetime
) -> Decision | None:
    """Return the decision on all that does not rest on the record that was refused; None where all does."""
    refused = next((action for action in early if action not in applier.applied), None)
    s = unrecorded.without(made.s, refused, failure)
    if s is None:
        return None
    plan = decide(s, now)
    left = tuple(action for action in plan.actions if action not in applier.applied)
    return dataclasses.replace(made, s=s, plan=dataclasses.replace(plan, actions=left))


def unanswered(
    made: Decision, early: Sequence[plan_of.Action], applier: Applier, error: ApiError, now: datetime
) -> Decision | None:
    """Return the decision on all that does not rest on a copy that no answer let be put back; None for anything else.

    A webhook that hangs for ConfigMaps alone must not keep boxes on what a verdict is about.
    """
    action = next((action for action in early if action not in applier.applied), None)
    is_copy = isinstance(action, plan_of.KeepConfig) and Refused(type(action).__name__, error).is_only_its_own
    return without(made, early, applier, Failure(str(error)), now) if is_copy else None


async def confirm(client: KubeClient, stores: Stores, record: RolloutRecord, version: str) -> None:
    """Raise `Conflict` unless the release is still on record: another operator may have taken it back."""
    live = await client.get(kinds.ROLLOUTS, record.meta.namespace, record.meta.name)
    if live["metadata"]["resourceVersion"] != version:
        stores.rollouts.upsert(live)
        raise Conflict(409, "Conflict", "the Rollout is not the one that was decided upon")


def moves_boxes(actions: Sequence[plan_of.Action]) -> bool:
    """Tell whether these do more than tidy up."""
    return any(not isinstance(a, plan_of.ClearCommand | plan_of.OwnConfig) for a in actions)


def lacks_cause(s: Snapshot, plan: plan_of.Plan) -> bool:
    """Tell whether a verdict on boxes that did not come up would stand for good without a word on why."""
    late = any(isinstance(a, plan_of.RecordRejected) and a.reason == DEADLINE for a in plan.actions)
    return late and not (s.boxes_trouble or s.refusal)
