"""For how long a region has been silent: as the hub has heard it itself, and the same from one look to the next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from ombak.core.conveyor.snapshot import SKIP_AFTER
from ombak.runtime.gate_book import GateBook
from ombak.runtime.hub.index import AlarmIndex
from ombak.runtime.hub.observe import HubStores, Observer
from ombak.runtime.hub.records import decode_hub_artifact, decode_pipeline
from ombak.runtime.records import decode_rollout
from ombak.runtime.region_records import decode_region
from ombak.runtime.regions import NOT_LOOKED_AT, Contact, Reach
from ombak.runtime.store import Store

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Machine:
    """A clock on the wall, one that never jumps, and a region that does not answer."""

    def __init__(self) -> None:
        self.passed = self.set_by = self.jitter = timedelta(0)
        stores = HubStores(Store(decode_pipeline), Store(decode_hub_artifact), Store(decode_region))
        gates = GateBook(Store(decode_rollout), lambda _key: None)
        self.observer = Observer("hub-1", stores, cast("Any", self), gates, self, AlarmIndex())

    def now(self) -> datetime:
        return NOW + self.passed + self.set_by + self.jitter

    def monotonic(self) -> float:
        return self.passed.total_seconds()

    def contact(self, _name: str) -> Contact:
        return Contact(Reach.UNKNOWN, "NoAnswer", "it is silent", NOW, NOW)

    def view(self, _name: str, _key: object) -> None:
        return None

    def given_up_at(self) -> datetime | None:
        """When the region is passed over, as it is told now."""
        found = self.observer.region("eu-1", self.now())
        return found.given_up_at(self.now(), SKIP_AFTER)


def test_of_which_cluster_a_region_is_is_known_before_it_was_looked_at() -> None:
    """As an earlier process wrote it down; one that was looked at, and told nothing, is of none that is known."""
    machine = Machine()
    meta = {"name": "eu-1", "uid": "u", "resourceVersion": "1"}
    found = {"metadata": meta, "spec": {"access": {"inCluster": {}}}, "status": {"cluster": "c"}}
    machine.observer._stores.regions.observe(found)
    silent = machine.contact("eu-1")
    known = []
    for contact in (silent.turned(Reach.UNKNOWN, NOT_LOOKED_AT, "", NOW), silent, silent.seen("v1.36.3", cluster="d")):
        machine.contact = lambda _name, told=contact: told  # type: ignore[method-assign,misc]
        known.append(machine.observer.region("eu-1", NOW).cluster)

    assert known == ["c", "", "d"]


def test_the_moment_is_the_same_from_one_look_to_the_next() -> None:
    """Two clocks are never read at once: what is told to the second would be another one, and be written anew."""
    machine, told = Machine(), set()
    for step in range(60):
        machine.passed = timedelta(seconds=3 * step)
        machine.jitter = timedelta(microseconds=-400 if step % 2 else 300)
        told.add(machine.given_up_at())

    assert len(told) == 1


@pytest.mark.parametrize("minutes", [-30, 30])
def test_a_clock_that_is_set_makes_the_silence_no_longer(minutes: int) -> None:
    """What this process heard itself counts, and the moment is told by the clock as it is now."""
    machine = Machine()
    machine.given_up_at()
    machine.passed = timedelta(minutes=2)
    machine.set_by = timedelta(minutes=minutes)
    found = machine.observer.region("eu-1", machine.now())

    assert found.silent_for == timedelta(minutes=2)
