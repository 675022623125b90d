"""What a hub remembers of a Pipeline between two decisions: only what cannot be read back from the regions."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import pydantic
from pydantic.alias_generators import to_camel

_WRITTEN = pydantic.ConfigDict(alias_generator=to_camel, populate_by_name=True)
Moment = pydantic.AwareDatetime


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One change on its way: the n-th wish, frozen when it was made (R94)."""

    __pydantic_config__: ClassVar = _WRITTEN

    sequence: int
    version: str
    plan: str
    """The hash of the merged Pipeline by which it travels."""
    began_at: Moment
    stage: str = ""
    """The stage in whose slot it is, or that it passed last; empty before the first."""
    is_inside: bool = False
    since: Moment | None = None
    """When it came to where it is."""
    batch: int = 1
    """So many wishes came along in it: those that waited for the same slot before it."""
    is_retry: bool = False
    skipped: tuple[str, ...] = ()
    """`stage/region` of the regions that were passed over because they could not be reached."""
    passed: tuple[str, ...] = ()
    """`stage/region/test` of the tests that it passed in the stage where it is."""
    provenance: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class HubMemory:
    """All that is remembered. Verdicts are on the Artifacts, and what runs where is in the regions."""

    __pydantic_config__: ClassVar = _WRITTEN

    sequence: int = 0
    """The last number that was given out."""
    wish: str = ""
    """The hash of the merged Pipeline that was last put into the queue."""
    items: tuple[Item, ...] = ()
    changes: Mapping[int, str] = dataclasses.field(default_factory=dict)
    """The version of each number that was given out after the oldest item, but for what was given up."""
    plans: Mapping[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    waits: Mapping[str, datetime] = dataclasses.field(default_factory=dict)
    """Since when each thing is waited for, by its key."""


_ADAPTER = pydantic.TypeAdapter(HubMemory)


def dump_memory(memory: HubMemory) -> dict[str, object]:
    """Return the memory as JSON for the status, without what is empty."""
    dumped: dict[str, object] = _ADAPTER.dump_python(
        memory, mode="json", by_alias=True, exclude_none=True, exclude_defaults=True
    )
    return dumped


def load_memory(raw: object) -> HubMemory:
    """Return the memory that a status holds; what cannot be read counts as erased: the regions tell the rest."""
    try:
        return _ADAPTER.validate_python(raw or {})
    except pydantic.ValidationError:
        return HubMemory()
