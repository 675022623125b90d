"""Who owns which field of an object in a region."""

import json
from typing import Any

from ombak.runtime.region_fields import Edit, edits, others, taken_over


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
    """Not the hub, not the region's operator, not who scales, and not what is in the status or the metadata."""
    listed = {"f:spec": {"f:zones": {".": {}, 'v:"a"': {}}, "f:ports": {'k:{"port":80}': {"f:name": {}}}}}
    found = others(
        obj(
            entry("ombak-hub", spec("template", "paused")),
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


def test_edits_are_where_the_object_is_not_what_was_said() -> None:
    """A changed one, a removed one; what the manifest leaves out is nobody's edit, nor is what the server adds."""
    manifest = {
        "apiVersion": "v1",
        "kind": "A",
        "metadata": {"name": "a", "labels": {"x": "y"}},
        "spec": {"template": {"a": [1]}, "deadline": "5m", "same": 1},
    }
    live = obj(
        entry("ombak-hub", spec("same", "deadline")),
        entry("kubectl-edit", spec("template", "extra"), "Update"),
        spec={"template": {"a": [2]}, "same": 1, "extra": 1, "replicas": 3},
    )

    assert edits(live, manifest, "ombak-hub") == (
        Edit("metadata.labels", (), json.dumps({"x": "y"}), "nothing"),
        Edit("spec.template.a", ("kubectl-edit",), "[1]", "[2]"),
        Edit("spec.deadline", (), '"5m"', "nothing"),
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
