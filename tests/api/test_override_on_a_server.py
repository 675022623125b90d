"""The CRD of Overrides on a real API server: bad ones are refused helpfully, and nothing is changed afterwards.

Who writes what is the policy's part: `tests/cluster/faults/test_faults_override_policy.py`.
"""

import pathlib
from typing import Any

import pytest
import yaml
from api_manifests import ABSENT, Manifest, with_field

from ombak.api import kinds
from ombak.api.override import OverrideState
from ombak.api.parse import parse_override_spec
from ombak.sandbox import KubectlError, Region

pytestmark = pytest.mark.cluster

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def served(region: Region) -> Region:
    """The region, with our kinds in it."""
    region.kubectl("apply", "-f", str(ROOT / "crds"))
    names = [f"crd/{kind.crd_name}" for kind in kinds.KINDS]
    region.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    return region


def override() -> Manifest:
    """An Override that says everything once."""
    spec: dict[str, Any] = {
        "target": {"kind": "Rollout", "name": "front-end"},
        "artifact": "a15b0c6d7e8f",
        "requestedBy": "alice",
        "reason": "CVE-2026-1",
        "urgency": "it is exploited",
        "expires": "2026-11-23T18:00:00Z",
        "bake": {"oneBox": "10m", "batch": "2m", "bake": "30m"},
        "passes": [{"kind": "Blocker", "name": "freeze"}, {"kind": "Window", "name": "freeze"}],
        "supersede": True,
        "approvals": [{"by": "bob", "uid": "1-2-3", "note": "read it"}],
    }
    return {"apiVersion": "ombak.dev/v1alpha1", "kind": "Override", "metadata": {"name": "fix"}, "spec": spec}


BAD = [
    pytest.param("spec.artifact", ABSENT, ["spec.artifact: Required"], id="no-artifact"),
    pytest.param("spec.artifact", "*", ["spec.artifact"], id="every-artifact"),
    pytest.param("spec.target.kind", "Deployment", ["spec.target.kind", '"Rollout", "Pipeline"'], id="kind"),
    pytest.param("spec.requestedBy", "", ["spec.requestedBy", "at least 1"], id="nobody"),
    pytest.param("spec.reason", ABSENT, ["spec.reason: Required"], id="no-reason"),
    pytest.param("spec.urgency", "", ["spec.urgency"], id="no-urgency"),
    pytest.param("spec.expires", ABSENT, ["spec.expires: Required"], id="for-ever"),
    pytest.param("spec.expires", "tomorrow", ["spec.expires", "date-time"], id="no-time"),
    pytest.param("spec.bake", {}, ["spec.bake", "write at least one of oneBox"], id="no-floor"),
    pytest.param("spec.bake.batch", "0s", ["spec.bake.batch", "must be longer than 0s"], id="no-bake"),
    pytest.param("spec.bake.batch", "soon", ["spec.bake.batch", "write for example 90s"], id="no-duration"),
    pytest.param("spec.passes", [], ["spec.passes", "at least 1"], id="no-gate"),
    pytest.param("spec.passes.0.kind", "Permit", ["spec.passes[0].kind", "ClusterBlocker"], id="what-cannot-be-passed"),
    pytest.param("spec.passes.0.name", ABSENT, ["spec.passes[0].name: Required"], id="all-blockers"),
    pytest.param("spec.passes.0.kind", "Window", ["spec.passes[1]: Duplicate"], id="twice"),
    pytest.param("spec.approvals.0.uid", ABSENT, ["spec.approvals[0].uid: Required"], id="approval-of-nothing"),
    pytest.param("spec.approvals.0.by", "alice", ["spec.approvals", "cannot approve it"], id="own-approval"),
    pytest.param("spec.pass", [], ['unknown field "spec.pass"'], id="unknown"),
]


@pytest.mark.parametrize(("path", "value", "fragments"), BAD)
def test_a_bad_override_is_refused(served: Region, path: str, value: object, fragments: list[str]) -> None:
    """The sentence names the field and the fix; what reads it in the cluster refuses it too."""
    made = with_field(override(), path, value)
    with pytest.raises(KubectlError) as refused:
        _apply(served, made)
    said = str(refused.value)

    assert [part for part in fragments if part not in said] == [], said
    assert parse_override_spec(made["spec"]).problem or "Duplicate" in said


def test_an_override_allows_something(served: Region) -> None:
    """`supersede: false` alone is nothing."""
    made = override()
    made["spec"] |= {"supersede": False}
    del made["spec"]["bake"], made["spec"]["passes"]

    with pytest.raises(KubectlError, match="must allow something; write bake, passes or supersede: true"):
        _apply(served, made)
    assert parse_override_spec(made["spec"]).problem


def _apply(region: Region, made: Manifest, namespace: str = "default", *options: str) -> str:
    return region.kubectl(
        *("apply", "-n", namespace, "--validate=strict", *(options or ("--dry-run=server",)), "-f", "-"),
        input=yaml.safe_dump(made),
    )


def test_a_good_one_is_taken_as_it_is_and_cannot_be_changed(served: Region, namespace: str) -> None:
    """By the server, and by what reads it; then only approvals come, and none goes."""
    made = override()
    _apply(served, made, namespace, "--server-side")
    assert parse_override_spec(made["spec"]).problem == ""
    for path, value in (
        ("spec.artifact", "a1ffffffffff"),
        ("spec.bake", ABSENT),
        ("spec.expires", "2026-11-23T19:00:00Z"),
        ("spec.passes", [{"kind": "Window", "name": "other"}]),
        ("spec.supersede", False),
    ):
        with pytest.raises(KubectlError, match="cannot be changed once it is there"):
            _apply(served, with_field(made, path, value), namespace, "--server-side", "--force-conflicts")
    more = with_field(made, "spec.approvals", [*made["spec"]["approvals"], {"by": "carol", "uid": "1-2-3"}])
    _apply(served, more, namespace, "--server-side")
    with pytest.raises(KubectlError, match="an approval that was given stays"):
        _apply(served, made, namespace, "--server-side")


def test_kubectl_shows_who_and_until_when(served: Region, namespace: str) -> None:
    """By its short name, as its status tells."""
    _apply(served, override(), namespace, "--server-side")
    status = {"status": {"state": OverrideState.ACTIVE.value, "approvedBy": ["bob", "carol"], "message": "m"}}
    path = f"/apis/ombak.dev/v1alpha1/namespaces/{namespace}/overrides/fix/status"
    served.plane.client.call("PATCH", path, status)
    header, row = served.kubectl("-n", namespace, "get", "omo").splitlines()

    assert header.split() == ["NAME", "STATE", "FOR", "ARTIFACT", "REQUESTED-BY", "APPROVED-BY", "EXPIRES", "AGE"]
    assert row.split()[:5] == ["fix", "Active", "front-end", "a15b0c6d7e8f", "alice"]
    assert "bob" in row
