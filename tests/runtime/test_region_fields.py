"""Who owns which field of an object in a region."""

from typing import Any

import pytest

from ombak.runtime.region_fields import others, taken_over
from ombak.runtime.region_records import decode_region_rollout
from ombak.runtime.regions import HUB_MANAGER


def entry(manager: str, fields: dict[str, Any], operation: str = "Apply", subresource: str = "") -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": "ombak.dev/v1alpha1",
        "fieldsV1": fields,
        "subresource": subresource,
    }


def spec(*names: str) -> dict[str, Any]:
    return {"f:spec": {f"f:{name}": {} for name in names}}


def obj(*entries: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a", "managedFields": list(entries)}, **fields}


def test_strangers_in_the_spec_are_named() -> None:
    """Not the hub, not the region's operator, not who scales, and not what is in the status or the metadata.

    Who set a field before the hub did, and was right, owns it beside it ever after: that is no edit.
    """
    listed = {"f:spec": {"f:zones": {".": {}, 'v:"a"': {}}, "f:ports": {'k:{"port":80}': {"f:name": {}}}}}
    found = others(
        obj(
            entry("ombak-hub", spec("template", "selector")),
            entry("argocd-controller", spec("selector")),
            entry("ombak", spec("replicas", "x"), "Update"),
            entry("kubectl-edit", spec("replicas", "paused"), "Update"),
            entry("kubectl-edit", spec("hidden"), "Update", "status"),
            entry("helm", {**listed, "f:metadata": {"f:labels": {"f:a": {}}}}),
        ),
        "ombak-hub",
    )

    assert found == (
        ("spec.paused", ("kubectl-edit",)),
        ("spec.ports[port=80].name", ("helm",)),
        ('spec.zones["a"]', ("helm",)),
    )


def test_a_creation_counts_as_applied_but_for_the_size() -> None:
    """What was created and what was applied are one record; the size has its own."""
    fields = taken_over(
        obj(
            entry("ombak-hub", spec("template", "replicas", "old"), "Update"),
            entry("ombak-hub", spec("template", "new")),
            entry("ombak", spec("status"), "Update", "status"),
        ),
        "ombak-hub",
    )

    assert fields is not None
    assert [(e["manager"], e["operation"], sorted(e["fieldsV1"]["f:spec"])) for e in fields] == [
        ("ombak", "Update", ["f:status"]),
        ("ombak-hub", "Update", ["f:replicas"]),
        ("ombak-hub", "Apply", ["f:new", "f:old", "f:template"]),
    ]


def test_there_is_nothing_to_take_over_twice() -> None:
    """Nor where somebody else created it, or scaled what we created."""
    done = taken_over(obj(entry("ombak-hub", spec("template", "replicas"), "Update")), "ombak-hub")
    assert done is not None

    for managed in (done, [entry("ombak-hub", spec("replicas"), "Update")], [entry("helm", spec("a"), "Update")], []):
        assert taken_over(obj(*managed), "ombak-hub") is None


@pytest.mark.parametrize(
    ("managers", "expected"),
    [
        pytest.param((HUB_MANAGER,), "0bjects", id="the-hub"),
        pytest.param((HUB_MANAGER, "argocd"), "0bjects", id="the-hub-and-another"),
        pytest.param(("kubectl-annotate",), None, id="somebody"),
        pytest.param((), "0bjects", id="no-record"),
    ],
)
def test_what_is_said_to_be_there_counts_only_while_the_hub_says_it(
    managers: tuple[str, ...], expected: str | None
) -> None:
    """Whoever writes the hash of the objects on a Rollout does not keep the hub from bringing them."""
    fields = {"f:metadata": {"f:annotations": {".": {}, "f:ombak.dev/objects": {}}}}
    entries = [{"manager": name, "operation": "Update", "fieldsV1": fields} for name in managers]
    annotations = {"ombak.dev/objects": "0bjects", "ombak.dev/version": "a1x"}
    obj = {"metadata": {"name": "a", "namespace": "shop", "annotations": annotations, "managedFields": entries}}
    found = decode_region_rollout(obj, HUB_MANAGER).annotations

    assert (found.get("ombak.dev/objects"), found["ombak.dev/version"]) == (expected, "a1x")
