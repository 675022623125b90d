"""Who made a change, what it was made of, and who looked at it, as the Pipeline's annotations say (R97)."""

from collections.abc import Mapping

from ombak.core.conveyor import manifests

_LONGEST = 128
"""Characters of one value in a status or an Event. The annotations that travel along are whole."""
_WORDS = {"author": "by {}", "commit": "commit {}", "build": "build {}", "reviewer": "reviewed by {}"}


def told(annotations: Mapping[str, str]) -> dict[str, str]:
    """Return what is known, by its short name: `author`, `commit`, `build`, `reviewer`."""
    found = {name.rpartition("/")[2]: annotations.get(name, "")[:_LONGEST] for name in manifests.PROVENANCE}
    return {name: value for name, value in found.items() if value}


def sentence(found: Mapping[str, object]) -> str:
    """Return what `told` found for people, `by ada, commit 4f2c9d1, reviewed by budi`; empty where that is nothing."""
    return ", ".join(words.format(found[name]) for name, words in _WORDS.items() if name in found)
