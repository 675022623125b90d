"""Passes that ended in a mistake of ours: what people are told of it, once for each mistake."""

import traceback
from pathlib import Path

from ombak.core.failures import DEFECT, Failure
from ombak.runtime.store import Key

_PACKAGE = Path(__file__).parents[1]
_WHO = "nobody, it is tried again; please report it with the operator's log"


class Defects:
    """What was told since the last pass of each Rollout that ended well. To be used from one event loop only."""

    def __init__(self) -> None:
        self._told: dict[Key, set[str]] = {}
        self._begun: set[Key] = set()

    def begin(self, key: Key) -> None:
        """A pass begins; nothing was changed in it so far."""
        self._begun.discard(key)

    def changes(self, key: Key) -> None:
        """The pass begins to change something."""
        self._begun.add(key)

    def end(self, key: Key) -> None:
        """A pass ended well, or the Rollout is gone."""
        self._told.pop(key, None)
        self._begun.discard(key)

    def is_told(self, key: Key, failure: Failure) -> bool:
        """Whether people know of this one already."""
        return failure.message in self._told.get(key, ())

    def told(self, key: Key, failure: Failure) -> None:
        """People know of it now."""
        self._told.setdefault(key, set()).add(failure.message)

    def failure(self, key: Key, error: Exception, at_most: str) -> Failure:
        """Return the sentence about an error, the same one for the same place; `at_most` is the longest pause."""
        done = "Of what it had begun nothing is lost" if key in self._begun else "Nothing was changed"
        message = (
            f"A defect of Ombak ended the work on this Rollout: {type(error).__name__} in {place_of(error)}. {done}, "
            f"and what runs goes on running; it is tried again by itself, {at_most} later at most. The operator's log "
            "has the details."
        )
        return Failure(message, DEFECT, _WHO)


def place_of(error: Exception) -> str:
    """Return file and line of the innermost part of Ombak: what an error says may be different each time."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _PACKAGE in Path(frame.filename).parents]
    if not frames:
        return "an unknown place"
    return f"{Path(frames[-1].filename).relative_to(_PACKAGE.parent)}:{frames[-1].lineno}"
