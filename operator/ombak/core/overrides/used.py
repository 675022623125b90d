"""What an Override made possible, told when it happens, so that it is on record (R81, R84)."""

import dataclasses
from datetime import datetime

from ombak.api.duration import format_duration
from ombak.core import bake as bakes
from ombak.core import start
from ombak.core.evidence import evidence_of
from ombak.core.gates.alarms import told_by
from ombak.core.gates.horizon import detection_horizon
from ombak.core.layout import segments
from ombak.core.memory import Release
from ombak.core.overrides.effective import ordinary
from ombak.core.overrides.view import Permit
from ombak.core.plan import Note, Plan
from ombak.core.snapshot import Snapshot


def recorded(s: Snapshot, made: Plan, replicas: int, now: datetime) -> Plan:
    """Return a plan with the Override that counts, for status, and with Notes of what it made possible just now.

    `s` is the snapshot as it is written, without what an Override changes in it.
    """
    active = s.gates.overrides.active(now)
    if active is None:
        return made
    wake_at = min(filter(None, (made.wake_at, active.until)))
    made = dataclasses.replace(made, override=active, wake_at=wake_at)
    told = _told(s, made, active, replicas, now)
    if not told:
        return made
    message = f"{active.artifact} {' and '.join(told)}, {active.by_whom}: {active.reason}"
    note = Note("Overridden", message, is_warning=True)
    return dataclasses.replace(made, notes=(*made.notes, note))


def _told(s: Snapshot, made: Plan, active: Permit, replicas: int, now: datetime) -> list[str]:
    """Return what this plan does that would have waited without the Override."""
    before, after = s.memory.release, made.memory.release
    if after is not None and after.artifact == active.artifact and _is_launch(before, after):
        return _passes_at_start(s, replicas, now)
    if before is None or before.artifact != active.artifact or not _went_on(before, made):
        return []
    told = _shorter_bake(s, before, replicas)
    held = s.gates.passed(start.step_of(s, before.artifact), now) if after is not None else None
    return told + ([f"passes {', '.join(held.names)}"] if held is not None else [])


def _is_launch(before: Release | None, after: Release) -> bool:
    return before is None or before.artifact != after.artifact


def _went_on(before: Release, made: Plan) -> bool:
    """Its next step was approved, or it is done."""
    after = made.memory.release
    if after is None:
        return made.stable == before.artifact
    return after.artifact == before.artifact and after.step.number > before.step.number


def _passes_at_start(s: Snapshot, replicas: int, now: datetime) -> list[str]:
    horizon = detection_horizon(s.rollout.spec, replicas)
    held, alarm = s.gates.passed(start.start_of(s, horizon), now), evidence_of(s).alarm
    told = [f"starts although {held.what.replace(' to be lifted', '')}"] if held is not None else []
    return told + ([f"starts in spite of an alarm: {told_by(alarm)}"] if alarm is not None else [])


def _shorter_bake(s: Snapshot, release: Release, replicas: int) -> list[str]:
    spec = ordinary(s).rollout.spec
    bake, ledger = bakes.bake_of(spec, release, segments(spec, replicas)), release.step.ledger
    if not bakes.remaining(bake, ledger):
        return []
    return [f"goes on before its bake of {format_duration(bake.for_)} is over"]
