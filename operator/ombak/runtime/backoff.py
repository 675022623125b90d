"""How long to wait before the n-th attempt: exponential, capped, with jitter."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubles from `initial` up to `cap`; every delay is drawn from its upper half, so that crowds spread."""

    initial: timedelta = timedelta(milliseconds=500)
    cap: timedelta = timedelta(minutes=2)

    def delay(self, failures: int, rng: random.Random) -> timedelta:
        """The pause after `failures` failures in a row (1 is the first)."""
        doubled = self.initial * 2.0 ** min(max(failures, 1) - 1, 32)
        return min(self.cap, doubled) * rng.uniform(0.5, 1.0)
