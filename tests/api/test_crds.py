"""What holds for every CRD of ours, and for the files in `crds/`."""

import pathlib
import re
from collections.abc import Iterator

import pytest
import yaml
from click.testing import CliRunner

from ombak.api import crd, kinds
from ombak.api.crd_schema import Schema
from ombak.cli import generate

CRDS = pathlib.Path(__file__).parents[2] / "crds"
LAST_APPLIED_LIMIT = 256 * 1024
"""`kubectl apply` keeps the whole manifest in an annotation, and annotations may hold no more."""

every_kind = pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: kind.name)


def root_of(kind: kinds.CustomKind) -> Schema:
    """Return the schema of a whole object."""
    found = crd.custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert isinstance(found, dict)
    return found


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Walk over every schema in a schema."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[]")


def test_the_files_are_those_of_the_models() -> None:
    """Run `ombak crds --write crds` when this fails."""
    assert generate.stale_files(CRDS) == []


def test_writing_brings_a_folder_up_to_date(tmp_path: pathlib.Path) -> None:
    """Missing and old files are written, those of no kind are removed, and a second run does nothing."""
    (tmp_path / "ombak.dev_rollouts.yaml").write_text("old")
    (tmp_path / "ombak.dev_gone.yaml").write_text("of no kind")
    run = CliRunner()

    before = run.invoke(generate.crds_command, ["--check", str(tmp_path)])
    run.invoke(generate.crds_command, ["--write", str(tmp_path)])
    after = run.invoke(generate.crds_command, ["--check", str(tmp_path)])

    assert (before.exit_code, after.exit_code) == (1, 0)
    assert {"ombak.dev_gone.yaml", "ombak.dev_rollouts.yaml"} <= set(re.findall(r"ombak\.dev_\w+\.yaml", before.output))
    assert "; run: ombak crds --write" in before.output
    assert generate.write_files(tmp_path) == []


def test_what_a_hub_writes_in_a_field_is_all_that_is_in_it() -> None:
    """Server-side apply would leave what somebody else adds in a granular one; only `rejected` grows by parts."""
    kind = next(k for k in kinds.KINDS if k.name == "Rollout")
    fields = root_of(kind)["properties"]["spec"]["properties"]
    types = {n: f.get("x-kubernetes-map-type") or f.get("x-kubernetes-list-type") for n, f in fields.items()}

    assert {n for n, f in fields.items() if f.get("type") in ("object", "array") and types[n] != "atomic"} == {
        "selector",  # it never changes
        "config",  # a hub brings ConfigMaps along instead
        "rejected",  # who reads it first hands all of it on
        "windows",  # a hub asks its own
    }


def test_printing_gives_what_kubectl_applies() -> None:
    """`ombak crds | kubectl apply -f -` installs every kind."""
    printed = CliRunner().invoke(generate.crds_command, []).output

    names = [document["metadata"]["name"] for document in yaml.safe_load_all(printed)]

    assert names == [kind.crd_name for kind in kinds.KINDS]


@every_kind
def test_a_crd_is_small_enough_for_kubectl_apply(kind: kinds.CustomKind) -> None:
    """Far under the limit, so that there is room to grow."""
    size = len((CRDS / f"ombak.dev_{kind.plural}.yaml").read_bytes())

    assert size < LAST_APPLIED_LIMIT // 4


@every_kind
def test_the_server_never_fills_in_a_default(kind: kinds.CustomKind) -> None:
    """Git and the cluster agree, and a newer operator can have better defaults."""
    assert [path for path, schema in nodes(root_of(kind)) if "default" in schema] == []


@every_kind
def test_every_part_of_a_schema_has_a_type(kind: kinds.CustomKind) -> None:
    """Or says that it is open; the API server takes nothing else."""
    typed = {"type", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"}

    assert [path for path, schema in nodes(root_of(kind)) if not typed & schema.keys()] == []


@every_kind
def test_every_field_says_what_it_is(kind: kinds.CustomKind) -> None:
    """`kubectl explain` is never blank; a default alone is no explanation. Metadata the API server describes itself."""
    fields = [
        (f"{path}.{name}", part.get("description", ""))
        for path, schema in nodes(root_of(kind))
        if not schema.get("x-kubernetes-preserve-unknown-fields")
        for name, part in schema.get("properties", {}).items()
        if f"{path}.{name}" != ".metadata"
    ]

    assert fields
    assert [path for path, text in fields if not re.sub(r"Default: .*", "", text).strip()] == []


@every_kind
def test_every_rule_says_what_to_do(kind: kinds.CustomKind) -> None:
    """A message of a rule is one line for people; the API server refuses line breaks in it."""
    messages = [
        each["message"] for _, schema in nodes(root_of(kind)) for each in schema.get("x-kubernetes-validations", ())
    ]

    assert all(re.search(r"; \w|: write|, and a new", message) for message in messages)
    assert not any("\n" in message for message in messages)


def test_no_rule_reads_replicas() -> None:
    """It would stand in the way of the autoscaler's `/scale` (design 1)."""
    rules = [
        each["rule"]
        for _, schema in nodes(root_of(kinds.ROLLOUT))
        for each in schema.get("x-kubernetes-validations", ())
    ]

    assert [rule for rule in rules if "replicas" in rule] == []
