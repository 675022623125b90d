"""What goes wrong between the operator and its cluster, drawn by a seed."""

import dataclasses


@dataclasses.dataclass(slots=True)
class Faults:
    """The chances of the moment; a scenario changes them as it goes."""

    latency: float = 0.02
    """The usual length of half a call, in seconds."""
    refused: float = 0.0
    """A call is answered 409, 429 or 500 without effect."""
    lost_answer: float = 0.0
    """A write happens, and its answer never comes."""
    crash: float = 0.0
    """The operator dies right after a call took effect."""
    crash_on: int = 0
    """It dies right after its so-maniest write; 0: it does not."""
    watch_lag: float = 0.05
    """How late the watch tells, at the latest, in seconds."""
    lost_event: float = 0.0
    """An event never comes; a list some time later brings what it told."""
    doubled_event: float = 0.0
    """An event comes a second time, later."""


CALM = Faults()
RESYNC_AFTER = 40.0
"""A lost event is made up for within so many seconds."""
