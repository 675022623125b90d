"""CustomResourceDefinitions of every kind, generated from the models; `ombak crds` writes them to files."""

from typing import Any

from ombak.api.common import GROUP, VERSION, rule, rules
from ombak.api.crd_schema import Schema, structural_schema
from ombak.api.kinds import CATEGORY, Column, CustomKind

_SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}


def custom_resource_definition(kind: CustomKind) -> dict[str, Any]:
    """Return the CRD of a kind as `kubectl apply` takes it; its keys come in the same order every time."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name},
        "spec": {
            "group": GROUP,
            "names": _names(kind),
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _root_schema(kind)},
                    "subresources": {"status": {}, **({"scale": _SCALE} if kind.scalable else {})},
                    "additionalPrinterColumns": [_printer_column(column) for column in kind.columns],
                }
            ],
        },
    }


def _names(kind: CustomKind) -> dict[str, Any]:
    names = {
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "plural": kind.plural,
        "singular": kind.name.lower(),
        "categories": [CATEGORY],
    }
    return names | ({"shortNames": list(kind.short_names)} if kind.short_names else {})


def _root_schema(kind: CustomKind) -> Schema:
    root: Schema = {
        "description": kind.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": f"Always `{GROUP}/{VERSION}`.", "type": "string"},
            "kind": {"description": f"Always `{kind.name}`.", "type": "string"},
            "metadata": {"type": "object"},  # the API server describes it itself, and takes nothing else here
            "spec": structural_schema(kind.spec),
            "status": _status_schema(kind),
        },
    }
    return root | _name_rules(kind)


def _status_schema(kind: CustomKind) -> Schema:
    """Conditions are keyed by type, so that server-side apply merges those of two writers."""
    status = structural_schema(kind.status, tell_defaults=False)
    if conditions := status.get("properties", {}).get("conditions"):
        conditions |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return status


def _name_rules(kind: CustomKind) -> Schema:
    if kind.name_limit is None:
        return {}
    return rules(
        rule(
            f"self.metadata.name.size() <= {kind.name_limit}",
            f"metadata.name must be at most {kind.name_limit} characters, labels carry it; choose a shorter name",
        )
    )


def _printer_column(column: Column) -> dict[str, Any]:
    shown = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return shown | ({"priority": 1} if column.wide else {})
