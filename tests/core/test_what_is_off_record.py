"""What the API server does not let be put on record holds what is new, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from test_properties import snapshots

from ombak.core.decide import decide
from ombak.core.plan import CreateArtifact, RecordStable
from ombak.core.snapshot import Snapshot
from support.snapshots import NOW, changed

NEW = ("Started", "StepApproved", "Superseded", "Stable")


@pytest.mark.breadth
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(snapshots())
def test_only_what_is_new_waits_for_a_record(s: Snapshot) -> None:
    """In any world: a way back, an abort, a repair and scaling are decided as if nothing were amiss."""
    free, held = decide(s, NOW), decide(changed(s, off_record="no"), NOW)

    assert not any(note.reason in NEW for note in held.notes)
    assert not any(isinstance(action, CreateArtifact | RecordStable) for action in held.actions)
    if held.waiting is None or held.waiting.key != "refused":
        assert held == free
