"""What a pass reads of regions is read once, as long as they say the same, and let go when a Pipeline is at rest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from ombak.core.conveyor.snapshot import RolloutFacts
from ombak.core.identity import artifact_id, digest_of
from ombak.runtime.gate_book import GateBook
from ombak.runtime.hub.index import AlarmIndex
from ombak.runtime.hub.observe import HubStores, Observer
from ombak.runtime.hub.records import PipelineRecord, decode_hub_artifact, decode_pipeline
from ombak.runtime.pulse import ALIVE
from ombak.runtime.records import decode_rollout
from ombak.runtime.region_records import (
    RegionAlarm,
    RegionArtifact,
    RegionRollout,
    decode_region,
    decode_region_artifact,
    decode_region_rollout,
)
from ombak.runtime.regions import Contact, Reach, RegionView
from ombak.runtime.store import Key, Store
from support.conveyor import spec, stage, template, watch

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
NAMES = ("eu-1", "us-1")
KEY = ("shop", "front-end")
STAGES = [stage("alpha", "eu-1", namespace="shop-alpha", alarms=["web/high"]), stage("prod", *NAMES)]
BROUGHT = {"apiVersion": "ombak.dev/v1alpha1", "kind": "Alarm", "metadata": {"name": "errors"}, "spec": watch(1)}


class Hub:
    """A Pipeline over two regions, and what these say of its Rollout."""

    def __init__(self) -> None:
        stores = HubStores(Store(decode_pipeline), Store(decode_hub_artifact), Store(decode_region))
        for name in NAMES:
            meta = {"name": name, "uid": name, "resourceVersion": "1"}
            stores.regions.observe({"metadata": meta, "spec": {"access": {"inCluster": {}}}})
        self.contact_of = Contact(Reach.YES, "Answering", "", NOW, NOW, operator=ALIVE)
        self.said: dict[str, tuple[RegionRollout, tuple[RegionArtifact, ...]]] = {}
        self.alarms = AlarmIndex()
        gates = GateBook(Store(decode_rollout), lambda _key: None)
        self.observer = Observer("hub-1", stores, cast("Any", self), gates, self, self.alarms)

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    def names(self) -> tuple[str, ...]:
        return NAMES

    def contact(self, _name: str) -> Contact:
        return self.contact_of

    def alarm(self, _name: str, _key: Key) -> RegionAlarm | None:
        return None

    def view(self, name: str, key: Key) -> RegionView:
        rollout, artifacts = self.said[name] if name in self.said and key == KEY else (None, ())
        return RegionView(name, self.contact_of, rollout, artifacts, is_known=True, is_live=True)

    def says(self, name: str, version: str, phase: str, *, is_stable: bool = False) -> None:
        """A region has news of its Rollout, or of an Artifact of it."""
        made = template(version)
        meta = {"name": KEY[1], "namespace": KEY[0], "uid": name, "resourceVersion": "1", "generation": 1}
        status = {"phase": phase, "observedGeneration": 1, "artifacts": {"stable": artifact_id(made)}}
        rollout = decode_region_rollout({"metadata": meta, "spec": {"template": made}, "status": status}, "ombak-hub")
        verdict = {"stable": {"order": 1, "at": "2026-01-05T09:00:00Z"}} if is_stable else {}
        kept = {"id": artifact_id(made), "digest": digest_of(made), "template": made, "rollout": KEY[1]}
        self.said[name] = rollout, (decode_region_artifact({"metadata": meta, "spec": kept, "status": verdict}),)

    def facts(self, made: PipelineRecord | None = None) -> dict[str, RolloutFacts]:
        """What a pass reads."""
        record = made or pipeline()
        return {f.region: f for f in self.observer.snapshot(record, {}, NOW).rollouts}


def pipeline(**more: Any) -> PipelineRecord:
    """The Pipeline as it was read."""
    meta = {"name": KEY[1], "namespace": KEY[0], "uid": "uid-1", "resourceVersion": "1", "generation": 1}
    return decode_pipeline({"metadata": meta, "spec": spec("v1", STAGES, **more)})


def test_only_the_region_that_has_news_is_read_again() -> None:
    """Of its Rollout, or of an Artifact of it; what is read is what it says now."""
    hub = Hub()
    for name in NAMES:
        hub.says(name, "v1", "Rolling")
    first = hub.facts()
    hub.says("us-1", "v1", "Stable")
    second = hub.facts()
    rollout = hub.said["us-1"][0]
    hub.says("us-1", "v1", "Stable", is_stable=True)
    hub.said["us-1"] = rollout, hub.said["us-1"][1]
    third = hub.facts()

    assert first["eu-1"] is second["eu-1"] is third["eu-1"]
    assert [f["us-1"].phase for f in (first, second)] == ["Rolling", "Stable"]
    assert [bool(f["us-1"].good) for f in (second, third)] == [False, True]
    assert first["eu-1"].artifact == artifact_id(template("v1"))


def test_a_rollout_that_is_gone_is_gone() -> None:
    """And one that comes back is read anew."""
    hub = Hub()
    hub.says("eu-1", "v1", "Stable")
    before = hub.facts()
    kept = hub.said.pop("eu-1")

    assert (hub.facts(), before.keys()) == ({}, {"eu-1"})
    hub.said["eu-1"] = kept
    assert hub.facts() == before


def test_nothing_is_kept_of_a_pipeline_at_rest() -> None:
    """Thousands may be, for weeks."""
    hub = Hub()
    hub.says("eu-1", "v1", "Stable")
    before = hub.facts()
    hub.observer.forget(KEY)
    after = hub.facts()

    assert after == before
    assert after["eu-1"] is not before["eu-1"]


def test_a_pass_asks_for_the_alarms_that_stages_name_and_for_those_that_travel() -> None:
    """By the namespace in the region; whoever names none is woken by none."""
    hub = Hub()
    hub.facts(pipeline(objects=[BROUGHT], alarms=["team"]))
    asked = {k for k in _places("high", "team", "errors") if hub.alarms.asking(k) == [KEY]}

    assert asked == {("web", "high"), ("shop", "team"), ("shop", "errors"), ("shop-alpha", "errors")}
    hub.facts(decode_pipeline({"metadata": {"name": KEY[1], "namespace": KEY[0]}, "spec": spec("v1", [])}))
    assert not any(hub.alarms.asking(k) for k in asked)


def _places(*names: str) -> list[Key]:
    return [(namespace, name) for namespace in ("shop", "shop-alpha", "web") for name in names]
