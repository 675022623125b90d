"""Who owns which field of an object in a region."""

from typing import Any

from ombak.runtime.region_fields import others, taken_over


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
