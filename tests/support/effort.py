"""How hard properties are tried: all of it in `make test`, a fifth where a quick answer is wanted."""

from hypothesis import settings

USUAL = 100
"""Examples that Hypothesis tries where nothing is said."""


def examples(count: int) -> int:
    """Return `max_examples` of a property that deserves `count`, or the profile's part of that."""
    return max(1, count * settings().max_examples // USUAL)
