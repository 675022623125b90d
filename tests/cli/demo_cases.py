"""Scenes for the tests of the demonstration's view."""

from datetime import UTC, datetime, timedelta
from typing import Any

from ombak.api.rollout_status import RolloutStatus
from ombak.cli.demo.boxes import Box, Told
from ombak.cli.demo.scene import Ledger, Number, Scene
from ombak.cli.demo.view import Programme

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OLD, NEW = "a1old0000000", "a1new0000000"
PROGRAMME = Programme(
    title="2 of 3: a good change",
    began=NOW - timedelta(seconds=75),
    replicas=4,
    floor=3,
    versions={OLD: "1.0.0", NEW: "1.1.0"},
)


def box(name: str, artifact: str = OLD, *, one_box: bool = False, ready: bool = True) -> Box:
    """A box; of the fleet, and ready, unless said otherwise."""
    return Box(name, artifact, one_box, ready)


BAKING: dict[str, Any] = {
    "observedGeneration": 2,
    "phase": "OneBoxBake",
    "progress": {"boxes": "1/4", "step": "step 1: 1 of 4 boxes approved", "bake": "3s of 10s by 03:04:03Z"},
    "alarms": {
        "revert": {"state": "OK", "certainty": "Certain", "message": "fine"},
        "oneBox": {"state": "ALARM", "certainty": "Uncertain", "message": "hm"},
    },
    "waitingFor": {
        "what": f"the bake of {NEW}, proven good for 3s of 10s by 03:04:03Z",
        "since": "2026-01-02T03:04:00Z",
        "who": "time, while every alarm is OK",
        "command": f"kubectl -n shop describe pods -l ombak.dev/artifact={NEW}",
        "expected": "2026-01-02T03:04:12Z",
    },
}


def scene(status: dict[str, Any] | None = None, **changes: Any) -> Scene:
    """A release of four boxes in the bake of its one box, one box of the fleet being replaced."""
    parts: dict[str, Any] = {
        "now": NOW,
        "generation": 2,
        "status": RolloutStatus.model_validate(BAKING if status is None else status),
        "boxes": (box("fleet-1"), box("onebox-1", NEW, one_box=True), box("fleet-2", ready=False)),
        "numbers": (
            Number("errors", 0.2, "> 0.01", True, "too many errors"),
            Number("latency", None, "> 0.5", False, "too slow"),
        ),
        "ledger": Ledger(timedelta(seconds=5), timedelta(seconds=10)),
        "events": (Told(NOW, "Started", f"{NEW} starts in 1 of 4 boxes.", False),),
    }
    return Scene(**(parts | changes))
