"""What was promised of counts, and whether it was kept; times depend on the machine and are no promise."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Count:
    """One count as it was found, and the most that it may be."""

    what: str
    found: float
    most: float

    @property
    def is_kept(self) -> bool:
        """Whether the promise was kept."""
        return self.found <= self.most

    def __str__(self) -> str:
        return f"{'pass' if self.is_kept else 'FAIL'}  {self.what}: {self.found:.2f}, at most {self.most:g}"


def are_kept(*counts: Count) -> bool:
    """Print each count against its target; returns whether all are kept."""
    for count in counts:
        print(f"  {count}", flush=True)
    return all(count.is_kept for count in counts)
