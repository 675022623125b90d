"""Pipelines on a real API server: what is right is stored as it is, what is wrong is refused with field and fix."""

import copy
import json
import pathlib
from typing import Any

import pytest
import yaml
from api_manifests import ABSENT, Manifest, with_field

from ombak.sandbox import KubectlError, Region

pytestmark = pytest.mark.cluster

ROOT = pathlib.Path(__file__).parents[2]
JOB = {"spec": {"template": {"spec": {"containers": [{"name": "test", "image": "registry.example/test:1"}]}}}}
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front-end"}, "spec": {"ports": [{"port": 80}]}}


@pytest.fixture(scope="module")
def served(region: Region) -> Region:
    """The region, with our kinds in it."""
    region.kubectl("apply", "-f", str(ROOT / "crds"))
    names = ["crd/pipelines.ombak.dev", "crd/artifacts.ombak.dev", "crd/rollouts.ombak.dev"]
    region.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    return region


def pipeline() -> Manifest:
    """A Pipeline that says everything once."""
    rollout = {
        "replicas": 10,
        "selector": {"matchLabels": {"app": "front-end"}},
        "template": {
            "metadata": {"labels": {"app": "front-end"}},
            "spec": {"containers": [{"name": "app", "image": "registry.example/front-end:1.0.0"}]},
        },
        "minReadySeconds": 5,
        "progressDeadline": "10m",
        "strategy": {"oneBox": {"bake": {"for": "1h"}}, "rolling": {"batch": "20%"}, "knownGood": "Fast"},
        "signals": [{"name": "errors", "ratio": {"bad": "a", "total": "b"}, "above": "1%"}],
    }
    alpha = {
        "name": "alpha",
        "phase": "PreProd",
        "regions": {"names": ["dev-1"]},
        "namespace": "shop-alpha",
        "replicas": 2,
        "tests": [
            {"name": "smoke", "where": "Hub", "when": "DuringOneBox", "template": JOB, "deadline": "5m", "retries": 1}
        ],
    }
    wave = {
        "name": "wave-1",
        "phase": "Prod",
        "regions": {"matchExpressions": [{"key": "traffic", "operator": "In", "values": ["low"]}]},
        "bake": {"for": "12h"},
        "zones": ["*"],
        "windows": ["office-hours"],
        "revertScope": "Everywhere",
        "onRegionUnreachable": "Skip",
    }
    return {
        "apiVersion": "ombak.dev/v1alpha1",
        "kind": "Pipeline",
        "metadata": {"name": "front-end"},
        "spec": {
            "rollout": {"spec": rollout},
            "objects": [SERVICE],
            "values": [{"regions": {"matchLabels": {"cloud": "gcp"}}, "env": {"DB_HOST": "db.gcp.example"}}],
            "stages": [alpha, wave, {"name": "rest", "phase": "Prod", "regions": "Unplaced", "maxParallel": 4}],
            "revertScope": "Stage",
            "onRegionUnreachable": "Hold",
            "windows": ["office-hours"],
            "deletionPolicy": "Orphan",
            "handEdits": "Report",
            "paused": True,
        },
    }


def apply(region: Region, namespace: str, manifest: Manifest, *options: str) -> str:
    """Apply one manifest as a user does."""
    return region.kubectl("apply", "-n", namespace, *options, "-f", "-", input=yaml.safe_dump(manifest))


def stored(region: Region, namespace: str, what: str) -> dict[str, Any]:
    """Return the spec of an object as it is stored."""
    found: dict[str, Any] = json.loads(region.kubectl("get", "-n", namespace, "-o", "json", what))["spec"]
    return found


def test_everything_that_is_right_is_stored_as_it_is(served: Region, namespace: str) -> None:
    """Nothing is pruned and nothing filled in."""
    apply(served, namespace, pipeline(), "--validate=strict")

    assert stored(served, namespace, "ompl/front-end") == pipeline()["spec"]


@pytest.mark.parametrize("example", ["pipeline", "world"])
def test_the_examples_are_taken(served: Region, example: str) -> None:
    """All of them, by one command: Regions, Windows, a base and what extends it."""
    served.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    shop = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    served.kubectl("apply", "-f", "-", input=json.dumps(shop))
    folder = ROOT / "examples" / example
    said = served.kubectl("apply", "--validate=strict", "--dry-run=server", "-f", str(folder))

    assert said.count(" created (server dry run)") == len(said.splitlines()) > 1


def test_a_child_says_only_what_differs(served: Region, namespace: str) -> None:
    """What is missing is inherited, so the server must not ask for it."""
    spec = {"extends": {"name": "storefront"}, "stages": [{"name": "wave-1", "bake": {"for": "1d"}}]}
    apply(served, namespace, with_field(pipeline(), "spec", spec), "--validate=strict")

    assert stored(served, namespace, "ompl/front-end") == spec


SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}
OWN = {"apiVersion": "ombak.dev/v1alpha1", "kind": "Rollout", "metadata": {"name": "a"}}
SIGNAL = {"name": "errors", "ratio": {"bad": "a", "total": "b"}, "above": "1%"}
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}
ALIEN = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "a"}}
TWICE = [{"name": "a", "phase": "Prod", "regions": "Unplaced"}] * 2


@pytest.mark.parametrize(
    ("path", "value", "fragments"),
    [
        pytest.param("metadata.name", "f" * 64, ["metadata.name must be at most 63"], id="name"),
        pytest.param("spec.stages.0.phase", ABSENT, ["spec.stages", "write both, or extend"], id="no-phase"),
        pytest.param("spec.stages.0.phase", "Test", ["phase", '"PreProd", "Prod"'], id="phase"),
        pytest.param("spec.stages.0.namespace", "Foo_Bar", ["spec.stages[0].namespace"], id="stage-namespace"),
        pytest.param("spec.stages", TWICE, ["spec.stages[1]: Duplicate value"], id="stage-twice"),
        pytest.param("spec.stages.0.bakes", {}, ['unknown field "spec.stages[0].bakes"'], id="unknown"),
        pytest.param("spec.stages.1.bake.for", "long", ["bake.for", "write for example 90s"], id="duration"),
        pytest.param("spec.stages.1.maxParallel", 0, ["maxParallel", "greater than or equal to 1"], id="parallel"),
        pytest.param("spec.stages.0.tests.0.template", {}, ["template.spec: Required"], id="job"),
        pytest.param("spec.objects", [SECRET], ["spec.objects[0].kind", "a Secret never travels"], id="secret"),
        pytest.param("spec.objects", [OWN], ["write the Rollout in rollout"], id="own-kind"),
        pytest.param("spec.objects", [DEPLOYMENT], ["spec.objects[0].kind", "only these travel"], id="rooted"),
        pytest.param("spec.objects", [ALIEN], ["spec.objects[0].kind", "only these travel"], id="alien"),
        pytest.param("spec.objects.0.metadata.namespace", "a", ["leave metadata.namespace out"], id="namespace"),
        pytest.param("spec.values.0.env", {}, ["spec.values[0].env", "at least 1"], id="no-env"),
        pytest.param("spec.rollout.spec.strategy.bake", {"for": "1h"}, ["unknown field", "strategy.bake"], id="bake"),
        pytest.param("spec.rollout.spec.strategy.rolling.batch", "50%", ["write 33% or less"], id="batch"),
        pytest.param("spec.deletionPolicy", "Delete", ["deletionPolicy", '"Orphan"'], id="deletion"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(served: Region, path: str, value: object, fragments: list[str]) -> None:
    """The sentence names the field and the fix."""
    with pytest.raises(KubectlError) as refused:
        apply(served, "default", with_field(pipeline(), path, value), "--validate=strict", "--dry-run=server")
    said = str(refused.value)

    assert [part for part in fragments if part not in said] == [], said


def test_kubectl_get_shows_stage_artifact_and_reason(served: Region, namespace: str) -> None:
    """At a glance; the sentence is in the wide view."""
    apply(served, namespace, pipeline())
    status = {"stage": "wave-1", "artifact": "a1c0ffee0123", "reason": "Bake", "message": "Region eu-1 bakes"}
    patch = json.dumps({"status": status})
    served.kubectl("patch", "-n", namespace, "ompl/front-end", "--subresource=status", "--type=merge", "-p", patch)

    heads, row = served.kubectl("get", "-n", namespace, "pipelines").splitlines()

    assert heads.split() == ["NAME", "STAGE", "ARTIFACT", "REASON", "AGE"]
    assert row.split()[:-1] == ["front-end", "wave-1", "a1c0ffee0123", "Bake"]
    assert "Region eu-1 bakes" in served.kubectl("get", "-n", namespace, "ompl", "-o", "wide")


def test_an_artifact_belongs_to_a_rollout_or_to_a_pipeline(served: Region, namespace: str) -> None:
    """And what travels with it, and the values beside it, never change either."""
    template = pipeline()["spec"]["rollout"]["spec"]["template"]
    spec: Manifest = {"pipeline": "front-end", "id": "a1b2", "digest": "sha256:1", "sequence": 1, "template": template}
    spec |= {"objects": [SERVICE], "values": pipeline()["spec"]["values"]}
    made = {
        "apiVersion": "ombak.dev/v1alpha1",
        "kind": "Artifact",
        "metadata": {"name": "f.pipeline.a1b2"},
        "spec": spec,
    }
    apply(served, namespace, made, "--validate=strict")

    assert stored(served, namespace, "artifact/f.pipeline.a1b2") == spec
    other = copy.deepcopy(made)
    other["spec"]["objects"][0]["spec"]["ports"][0]["port"] = 81
    with pytest.raises(KubectlError, match="an Artifact never changes"):
        served.kubectl("replace", "-n", namespace, "-f", "-", input=yaml.safe_dump(other))
    both = with_field(with_field(made, "metadata.name", "x"), "spec.rollout", "front-end")
    with pytest.raises(KubectlError, match="write rollout or pipeline, one of the two"):
        apply(served, namespace, both)


ADDED = {
    "strategy": {"revert": {"batch": "10%"}, "bake": {"for": "1m"}},
    "alarms": {"revert": 'ALARM("other")', "oneBox": 'ALARM("mine")'},
    "signals": [SIGNAL, {**SIGNAL, "name": "mine"}],
    "zones": ["a", "b"],
}


@pytest.mark.parametrize("field", sorted(ADDED))
def test_what_somebody_adds_in_a_field_goes_when_the_hub_puts_it_back(
    served: Region, namespace: str, field: str
) -> None:
    """A field that it writes is its own whole: else `handEdits: PutBack` would write the same again and again."""
    rollout = {k: v for k, v in pipeline()["spec"]["rollout"]["spec"].items() if k != "replicas"}
    rollout |= {"alarms": {"revert": 'ALARM("ours")'}, "zones": ["a"]}
    whole = {"apiVersion": "ombak.dev/v1alpha1", "kind": "Rollout", "metadata": {"name": "front-end"}, "spec": rollout}
    hub = ("--server-side", "--field-manager=ombak-hub", "--force-conflicts")
    apply(served, namespace, whole, *hub)
    patch = json.dumps({"spec": {field: ADDED[field]}})
    served.kubectl("patch", "-n", namespace, "omr/front-end", "--type=merge", "-p", patch)
    assert stored(served, namespace, "omr/front-end")[field] != rollout[field]

    apply(served, namespace, whole, *hub)

    assert stored(served, namespace, "omr/front-end") == rollout


def test_a_signal_has_its_name_alone(served: Region, namespace: str) -> None:
    """Though the list is one value for server-side apply."""
    rollout = {**pipeline()["spec"]["rollout"]["spec"], "signals": [SIGNAL, SIGNAL]}
    whole = {"apiVersion": "ombak.dev/v1alpha1", "kind": "Rollout", "metadata": {"name": "front-end"}, "spec": rollout}
    with pytest.raises(KubectlError, match="two signals have the same name"):
        apply(served, namespace, whole)
