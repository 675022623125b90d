"""What a hub reads of its own objects: whole, checked, and never raising."""

from typing import Any

import pytest

from ombak.core.conveyor import content
from ombak.runtime.hub import observe
from ombak.runtime.hub.records import artifact_owner, decode_hub_artifact, decode_pipeline
from ombak.runtime.region_records import decode_region_rollout
from ombak.runtime.regions import HUB_MANAGER
from support import conveyor

VALUES = [{"regions": {"matchLabels": {"cloud": "gcp"}}, "env": {"A": "b"}}]


def artifact(values: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    """An Artifact of v1 as the hub writes it."""
    template = conveyor.template("v1")
    found = content.content_id(template, ())
    name = content.object_name(conveyor.NAME, content.version_of(found, values or []))
    spec = {"pipeline": conveyor.NAME, "id": found, "digest": content.content_digest(template, ()), "sequence": 3}
    spec |= {"template": template} | ({"values": values} if values else {}) | more.pop("spec", {})
    metadata = {
        "name": name,
        "namespace": "shop",
        "labels": {"ombak.dev/pipeline": conveyor.NAME},
        "annotations": {"ombak.dev/author": "ada", "other": "x"},
    }
    return {"metadata": metadata, "spec": spec, **more}


@pytest.mark.parametrize("values", [None, VALUES], ids=["plain", "with values"])
def test_an_artifact_is_known_by_its_content_and_values(values: list[Any] | None) -> None:
    """What is delivered and judged as one has one name."""
    found = decode_hub_artifact(artifact(values))

    assert (found.view.is_genuine, found.view.is_ours, found.view.sequence) == (True, True, 3)
    assert found.view.version == content.version_of(found.view.id, values or [])
    assert artifact_owner(found) == ("shop", conveyor.NAME)
    assert found.view.provenance == {"ombak.dev/author": "ada"}


@pytest.mark.parametrize(
    "spec",
    [{"template": conveyor.template("v2")}, {"digest": "sha256:0"}, {"values": VALUES}, {"template": None}],
    ids=["content", "digest", "values", "nothing"],
)
def test_what_is_not_what_its_name_says_is_not_genuine(spec: dict[str, Any]) -> None:
    """It is never delivered."""
    assert not decode_hub_artifact(artifact(spec=spec)).view.is_genuine


def test_the_verdict_is_read_back() -> None:
    """With where it was made, and when it was taken off."""
    rejected = {
        "at": "2026-01-05T12:00:00Z",
        "reason": "RegionReverted",
        "stage": "wave-1",
        "region": "eu-1",
        "scope": "Stage",
    }
    found = decode_hub_artifact(artifact(status={"rejected": rejected, "retried": "a1", "retriedAt": 4})).view

    assert found.rejection is not None
    assert (found.rejection.stage, found.rejection.region, found.rejection.scope) == ("wave-1", "eu-1", "Stage")
    assert (found.retried, found.retried_at) == ("a1", 4)
    assert decode_hub_artifact(artifact(status={"rejected": "nonsense"})).view.rejection is None


def test_a_pipeline_is_read_with_its_commands_and_whatever_is_wrong_with_it() -> None:
    """A problem is told, never raised."""
    annotations = {"ombak.dev/abort": "a1", "ombak.dev/retry": "a2", "ombak.dev/commit": "c"}
    metadata = {"name": "front-end", "namespace": "shop", "annotations": annotations}
    found = decode_pipeline({"metadata": metadata, "spec": {"extends": {"name": "base"}, "stages": "nonsense"}})

    assert (found.view.abort, found.view.retry, found.base) == ("a1", "a2", "base")
    assert found.view.provenance == {"ombak.dev/commit": "c"}
    assert "stages" in found.view.problem


def test_who_wrote_a_setting_in_a_region_is_known_by_field() -> None:
    """As far as the API server there tells it; what the hub and the region's operator wrote is no edit."""
    bake = {"f:strategy": {"f:bake": {"f:for": {}}}, "f:zones": {".": {}, 'v:"a"': {}}, "f:replicas": {}}
    wrote = {"kubectl-edit": bake, HUB_MANAGER: {"f:template": {}, "f:alarms": {}}, "ombak": {"f:alarms": {}}}
    entries = [{"manager": m, "operation": "Update", "fieldsV1": {"f:spec": f}} for m, f in wrote.items()]
    obj = {"metadata": {"name": "front-end", "namespace": "shop", "managedFields": entries}, "spec": {}}
    found = observe._facts("eu-1", decode_region_rollout(obj, HUB_MANAGER), ())

    assert found.others == {"spec.strategy", "spec.zones"}
