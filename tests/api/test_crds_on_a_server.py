"""The CRDs on a real API server: it takes them, refuses bad manifests helpfully, and scales whatever it is told to."""

import json
import pathlib
from typing import Any

import pytest
import yaml
from api_manifests import ABSENT, Manifest, alarm, artifact, rollout, with_field

from ombak.api import kinds
from ombak.sandbox import KubectlError, Region

pytestmark = pytest.mark.cluster

ROOT = pathlib.Path(__file__).parents[2]
MINIMAL = ROOT / "examples" / "front-end" / "minimal.yaml"


@pytest.fixture(scope="module")
def served(region: Region) -> Region:
    """The region, with our kinds in it."""
    region.kubectl("apply", "-f", str(ROOT / "crds"))
    names = [f"crd/{kind.crd_name}" for kind in kinds.KINDS]
    region.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    return region


def apply(region: Region, namespace: str, manifest: Manifest, *options: str) -> str:
    """Apply one manifest as a user does, and return what kubectl says."""
    return region.kubectl("apply", "-n", namespace, *options, "-f", "-", input=yaml.safe_dump(manifest))


def refusal(region: Region, manifest: Manifest, namespace: str = "default") -> str:
    """Return what kubectl says of a manifest that must be refused; if it is not, nothing is stored."""
    with pytest.raises(KubectlError) as refused:
        apply(region, namespace, manifest, "--validate=strict", "--dry-run=server")
    return str(refused.value)


def fetched(region: Region, namespace: str, *what: str) -> dict[str, Any]:
    """Return one object as it is stored."""
    found = json.loads(region.kubectl("get", "-n", namespace, "-o", "json", *what))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: kind.name)
def test_the_server_takes_every_kind(served: Region, kind: kinds.CustomKind) -> None:
    """Established, names accepted, and nothing to complain about in the schema."""
    found = json.loads(served.kubectl("get", "crd", kind.crd_name, "-o", "json"))
    conditions = {each["type"]: each["status"] for each in found["status"]["conditions"]}

    assert conditions == {"Established": "True", "NamesAccepted": "True"}


BAD_ROLLOUTS = [
    pytest.param("metadata.name", "f" * 64, ["metadata.name must be at most 63", "shorter name"], id="name"),
    pytest.param("spec", ABSENT, ["spec: Required"], id="no-spec"),
    pytest.param("spec.replicas", -1, ["spec.replicas", "greater than or equal to 0"], id="negative-replicas"),
    pytest.param("spec.strategy.canary", {"weight": 1}, ['unknown field "spec.strategy.canary"'], id="unknown"),
    pytest.param("spec.alarms", ABSENT, ["write alarms.revert", "or unwatched"], id="nothing-watched"),
    pytest.param("spec.unwatched", "both", ["write alarms.revert", "one of the two"], id="alarms-and-unwatched"),
    pytest.param("spec.alarms.revert", ABSENT, ["spec.alarms.revert: Required"], id="no-revert-alarm"),
    pytest.param("spec.alarms.revert", "A" * 10241, ["spec.alarms.revert: Too long", "10240"], id="long-expression"),
    pytest.param(
        "spec.alarms.onUnknown.then", "Ignore", ["spec.alarms.onUnknown.then", '"Hold", "Revert"'], id="ignore"
    ),
    pytest.param(
        "spec.strategy.rolling.batch", "50%", ["spec.strategy.rolling.batch", "write 33% or less"], id="batch-50%"
    ),
    pytest.param(
        "spec.strategy.rolling.batch", "a third", ["spec.strategy.rolling.batch", "or a count"], id="batch-words"
    ),
    pytest.param("spec.strategy.rolling.batch", 0, ["rolling.batch", "count from 1 up"], id="batch-0"),
    pytest.param("spec.strategy.revert.batch", "34%", ["spec.strategy.revert.batch", "33%"], id="revert-34%"),
    pytest.param(
        "spec.strategy.rolling.minAvailable", "50%", ["rolling.minAvailable", "write 66% or more"], id="min-50%"
    ),
    pytest.param("spec.strategy.rolling.maxSurge", "-1", ["rolling.maxSurge", "3 or 33%"], id="surge-text"),
    pytest.param("spec.strategy.bake.for", ABSENT, ["spec.strategy.bake.for: Required"], id="bake-without-for"),
    pytest.param(
        "spec.strategy.bake.for", "5 minutes", ["spec.strategy.bake.for", "write for example 90s"], id="duration"
    ),
    pytest.param("spec.strategy.bake.for", 300, ["spec.strategy.bake.for", "type string"], id="duration-number"),
    pytest.param("spec.strategy.bake.atMost", ABSENT, ["atLeast needs atMost", "write atMost: 6h"], id="quota"),
    pytest.param("spec.strategy.bake.atMost", "1h", ["spec.strategy.bake.atMost", "longer atMost"], id="at-most"),
    pytest.param(
        "spec.strategy.oneBox.bake",
        {"for": "1h", "atMost": "2h", "atLeast": [{"name": "calls", "query": "other", "count": 1}]},
        ["spec.strategy", "give atLeast.name another value"],
        id="quotas-of-one-name",
    ),
    pytest.param(
        "spec.strategy.bake.atLeast",
        [{"name": "a", "query": "p", "count": 1}, {"name": "a", "query": "q", "count": 1}],
        ["spec.strategy.bake.atLeast[1]: Duplicate value"],
        id="quota-twice",
    ),
    pytest.param("spec.strategy.oneBox.scope", "zone", ["oneBox.scope", '"Region", "Zone"'], id="scope"),
    pytest.param("spec.zones", ABSENT, ["oneBox.scope Zone needs zones; write zones:"], id="zones-missing"),
    pytest.param("spec.zones", ["a", "a"], ["spec.zones", "a zone is named twice"], id="zone-twice"),
    pytest.param("spec.config", ["App"], ["spec.config[0]", "name of a ConfigMap", "write for example"], id="config"),
    pytest.param("spec.config", ["app", "app"], ["spec.config[1]: Duplicate value"], id="config-twice"),
    pytest.param("spec.config", [], ["spec.config", "at least 1"], id="no-config"),
    pytest.param("spec.progressDeadline", "0s", ["spec.progressDeadline", "write 10m"], id="deadline-0"),
    pytest.param("spec.progressDeadline", "1ms", ["spec.progressDeadline", "at least 1s"], id="deadline-1ms"),
    pytest.param("spec.progressDeadline", "5s", ["spec.progressDeadline", "smaller minReadySeconds"], id="too-soon"),
    pytest.param("spec.minReadySeconds", 600, ["spec.progressDeadline", "smaller minReadySeconds"], id="never-ready"),
    pytest.param("spec.alarms.revert", "FALSE", ["spec.alarms.revert", "names no alarm"], id="no-alarm"),
    pytest.param("spec.alarms.oneBox", " not (True)", ["spec.alarms.oneBox", "names no alarm"], id="no-alarm-either"),
    pytest.param(
        "spec.alarms.onUnknown",
        {"holdFor": "29s", "then": "Revert"},
        ["spec.alarms.onUnknown.holdFor", "at least 30s"],
        id="hold",
    ),
    pytest.param(
        "spec.alarms.onUnknown", {"holdFor": "0", "then": "Revert"}, ["onUnknown.holdFor", "at least 30s"], id="hold-0"
    ),
    pytest.param(
        "spec.template.metadata.labels",
        {"app": "front-end", "ombak.dev/zone": "a"},
        ["spec.template", "template.metadata.labels has ombak.dev/zone, but", "; remove it"],
        id="own-pod-label",
    ),
    pytest.param(
        "spec.selector.matchLabels",
        {"app": "other"},
        ["spec.template", "must contain every label of selector.matchLabels; add them"],
        id="selector-not-in-template",
    ),
    pytest.param("spec.selector.matchLabels", {}, ["spec.selector.matchLabels", "at least 1"], id="no-labels"),
    pytest.param(
        "spec.selector.matchLabels",
        {"ombak.dev/box": "fleet"},
        ["spec.selector.matchLabels", "select by a label of yours"],
        id="own-label",
    ),
    pytest.param(
        "spec.template.spec.containers", [], ["spec.template.spec.containers", "at least 1"], id="no-containers"
    ),
]

RATIO = {"name": "errors", "ratio": {"bad": "a", "total": "b"}, "above": "1%"}
BAD_SIGNALS = [
    pytest.param({"above": 1}, ["signals[0].above", "write a share such as 1%"], id="ratio-above-1"),
    pytest.param({"above": "a lot"}, ["signals[0].above", "(%|ms|s|m|h|d)"], id="threshold"),
    pytest.param({"below": "1%"}, ["write above", "one of the two"], id="two-limits"),
    pytest.param({"query": "up"}, ["exactly one of ratio"], id="two-kinds"),
    pytest.param({"query": 'up{z="$(zone)"}'}, ["$(zone) has no value"], id="by-zone"),
    pytest.param({"datapointsToAlarm": 4}, ["write M of at most N"], id="m-of-n"),
]

BAD_ALARMS = [
    pytest.param("spec.metric", ABSENT, ["exactly one of metric", "and expression"], id="neither"),
    pytest.param("spec.expression", 'ALARM("a")', ["exactly one of metric", "and expression"], id="both"),
    pytest.param(
        "spec.metric.datapointsToAlarm", 4, ["datapointsToAlarm (M) is more", "write M of at most N"], id="m-of-n"
    ),
    pytest.param("spec.alertingRule", {"name": "Errors"}, ["write exactly one of metric"], id="two-facts"),
    pytest.param("spec.alertingRule", {}, ["alertingRule selects nothing"], id="no-rule"),
    pytest.param(
        "spec",
        {"expression": "TRUE", "source": {"name": "mimir"}},
        ["an expression asks no Prometheus; leave source out"],
        id="source-of-an-expression",
    ),
    pytest.param("spec.metric.minSamples", {"query": "calls"}, ["minSamples.count: Required"], id="samples-uncounted"),
    pytest.param("spec.metric.period", "0s", ["spec.metric", "period is zero", "such as 30s"], id="period-0"),
    pytest.param("spec.metric.period", "often", ["spec.metric.period", "write for example 90s"], id="period"),
    pytest.param("spec.metric.threshold", "1%", ["spec.metric.threshold", "type number"], id="threshold"),
    pytest.param("spec.metric.comparison", ">", ["spec.metric.comparison", "GreaterThan"], id="comparison"),
    pytest.param("spec.metric.query", "", ["spec.metric.query", "at least 1"], id="empty-query"),
]


@pytest.mark.parametrize(("path", "value", "fragments"), BAD_ROLLOUTS)
def test_a_bad_rollout_is_refused(served: Region, path: str, value: object, fragments: list[str]) -> None:
    """The sentence names the field and the fix."""
    said = refusal(served, with_field(rollout(), path, value))

    assert [part for part in fragments if part not in said] == [], said


@pytest.mark.parametrize(("fields", "fragments"), BAD_SIGNALS)
def test_a_bad_signal_is_refused(served: Region, fields: dict[str, object], fragments: list[str]) -> None:
    """The sentence names the field and the fix."""
    said = refusal(served, with_field(rollout(), "spec.signals", [RATIO | fields]))

    assert [part for part in fragments if part not in said] == [], said


def test_signals_are_enough_to_be_watched(served: Region, namespace: str) -> None:
    """Numbers, shares and times are all taken; `unwatched` beside them is not."""
    quantile = {"name": "p99", "quantile": {"of": "a_bucket", "q": 0.99}, "above": "500ms", "minSamples": 50}
    query = {"name": "rate", "query": "sum(rate(a[1m]))", "below": 5, "period": "10s", "datapointsToAlarm": 3}
    manifest = with_field(with_field(rollout(), "spec.alarms", ABSENT), "spec.signals", [RATIO, quantile, query])
    apply(served, namespace, manifest, "--validate=strict")

    assert fetched(served, namespace, "rollout", "front-end")["spec"] == manifest["spec"]
    assert "one of the two" in refusal(served, with_field(manifest, "spec.unwatched", "both"))


@pytest.mark.parametrize(("path", "value", "fragments"), BAD_ALARMS)
def test_a_bad_alarm_is_refused(served: Region, namespace: str, path: str, value: object, fragments: list[str]) -> None:
    """The sentence names the field and the fix."""
    said = refusal(served, with_field(alarm(), path, value))

    assert [part for part in fragments if part not in said] == [], said


@pytest.mark.parametrize("make", [rollout, alarm, artifact], ids=lambda make: str(make.__name__))
def test_a_manifest_that_says_everything_is_taken_as_it_is(served: Region, namespace: str, make: Any) -> None:
    """Nothing is pruned and nothing filled in."""
    manifest = make()
    apply(served, namespace, manifest, "--validate=strict")

    stored = fetched(served, namespace, manifest["kind"].lower(), manifest["metadata"]["name"])

    assert stored["spec"] == manifest["spec"]


def test_the_smallest_manifest_is_taken_as_it_is(served: Region, namespace: str) -> None:
    """That of the README; the server adds no field to its spec, so GitOps sees no difference."""
    manifest = yaml.safe_load(MINIMAL.read_text())
    apply(served, namespace, manifest, "--validate=strict")

    assert fetched(served, namespace, "omr", "hello")["spec"] == manifest["spec"]


def test_the_examples_are_taken(served: Region, namespace: str) -> None:
    """All of them, by one command."""
    said = served.kubectl("apply", "-n", namespace, "--validate=strict", "-f", str(MINIMAL.parent))

    assert said.count(" created") == len(said.splitlines())


def test_an_alarm_may_be_a_rule_that_there_is_already(served: Region, namespace: str) -> None:
    """By name or by labels, of a Prometheus of its own."""
    for rule in ({"name": "Errors"}, {"matchLabels": {"team": "shop"}}):
        spec = {"alertingRule": rule, "source": {"name": "mimir"}}
        said = apply(served, namespace, with_field(alarm(), "spec", spec), "--validate=strict")
        assert said.startswith("alarm.ombak.dev/errors ")


def test_an_alarm_needs_no_more_than_a_query_and_a_threshold(served: Region, namespace: str) -> None:
    """Rules over fields that have defaults hold when those are left out."""
    metric = {"query": "errors", "comparison": "GreaterThanThreshold", "threshold": 1}

    said = apply(served, namespace, with_field(alarm(), "spec", {"metric": metric}), "--validate=strict")

    assert said == "alarm.ombak.dev/errors created\n"


def test_the_selector_never_changes(served: Region, namespace: str) -> None:
    """Not even together with the template's labels."""
    apply(served, namespace, rollout())
    labels = {"app": "other"}
    changed = with_field(rollout(), "spec.selector.matchLabels", labels)

    said = refusal(served, with_field(changed, "spec.template.metadata.labels", labels), namespace)

    assert "spec.selector" in said
    assert "create a Rollout with another name" in said


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("spec.digest", "v1:ffff", id="digest"),
        pytest.param("spec.template.spec.containers.0.image", "registry.example/other:1", id="image"),
        pytest.param("spec.template.metadata.labels.more", "1", id="label"),
        pytest.param("spec.config.settings", "c1:sha256:2233", id="config"),
        pytest.param("spec.config", {"renamed": "c1:sha256:0011"}, id="config-renamed"),
        pytest.param("spec.config", ABSENT, id="config-taken-out"),
        pytest.param("spec.template.spec.hostNetwork", False, id="field-the-schema-does-not-know"),
        pytest.param(
            "spec.template.spec",
            {**{k: v for k, v in artifact()["spec"]["template"]["spec"].items() if k != "hostNetwork"}}
            | {"hostPID": True},
            id="unknown-field-renamed",
        ),
    ],
)
def test_an_artifact_never_changes(served: Region, namespace: str, path: str, value: object) -> None:
    """Down to fields of the template that the schema leaves open."""
    apply(served, namespace, artifact())
    changed = with_field(artifact(), path, value)

    with pytest.raises(KubectlError, match="an Artifact never changes; change the Rollout"):
        served.kubectl("replace", "-n", namespace, "-f", "-", input=yaml.safe_dump(changed))


def set_status(region: Region, namespace: str, what: str, status: Manifest) -> None:
    """Write the status of an object as the operator does."""
    patch = json.dumps({"status": status})
    region.kubectl("patch", "-n", namespace, what, "--subresource=status", "--type=merge", "-p", patch)


@pytest.mark.parametrize("replicas", [0, 1, 7, 100_001, 2_147_483_647], ids=str)
def test_no_rule_blocks_an_autoscaler(served: Region, namespace: str, replicas: int) -> None:
    """`/scale` takes any number, whatever the strategy says."""
    apply(served, namespace, rollout())

    served.kubectl("scale", "-n", namespace, "omr/front-end", f"--replicas={replicas}")

    assert fetched(served, namespace, "omr", "front-end")["spec"]["replicas"] == replicas


def test_an_autoscaler_reads_what_it_needs(served: Region, namespace: str) -> None:
    """`/scale` shows the wanted and the observed count and the selector of the pods."""
    apply(served, namespace, rollout())
    set_status(served, namespace, "omr/front-end", {"replicas": 9, "selector": "app=front-end"})

    found = fetched(served, namespace, "omr", "front-end", "--subresource=scale")

    assert (found["spec"], found["status"]) == (
        {"replicas": 10},
        {"replicas": 9, "selector": "app=front-end"},
    )


def test_kubectl_get_shows_how_a_release_goes(served: Region, namespace: str) -> None:
    """One line for each Rollout; why it waits is in the wide view."""
    apply(served, namespace, rollout())
    since = "2024-01-01T00:00:00Z"
    status = {
        "phase": "OneBoxBake",
        "artifacts": {"stable": "a1aa", "current": "a1bb"},
        "progress": {"boxes": "1/10", "bake": "3m/1h"},
        "waitingFor": {"what": "the bake of the one box", "since": since},
    }
    set_status(served, namespace, "omr/front-end", status)

    heads, row = served.kubectl("get", "-n", namespace, "omr").splitlines()
    wide = served.kubectl("get", "-n", namespace, "omr", "-o", "wide")

    assert heads.split() == ["NAME", "PHASE", "STABLE", "CURRENT", "BOXES", "BAKE", "AGE"]
    assert row.split()[:-1] == ["front-end", "OneBoxBake", "a1aa", "a1bb", "1/10", "3m/1h"]
    assert "WAITING-FOR" in wide
    assert "the bake of the one box" in wide


def test_one_word_lists_everything(served: Region, namespace: str) -> None:
    """`kubectl get ombak`, with columns of each kind's own."""
    for manifest in (rollout(), alarm(), artifact()):
        apply(served, namespace, manifest)
    verdict = {"stable": {"order": 3, "at": "2024-01-01T00:00:00Z"}}
    set_status(served, namespace, "artifact/front-end-a1b2c3", verdict)
    set_status(served, namespace, "alarm/errors", {"state": "OK", "certainty": "Certain"})

    rows = [line.split() for line in served.kubectl("get", "-n", namespace, "ombak").splitlines()]
    listed = {row[0]: row[1:3] for row in rows if row and "/" in row[0]}

    assert listed["alarm.ombak.dev/errors"] == ["OK", "Certain"]
    assert listed["artifact.ombak.dev/front-end-a1b2c3"] == ["front-end", "3"]
    assert "rollout.ombak.dev/front-end" in listed
    assert ["NAME", "ROLLOUT", "ORDER", "STABLE", "REJECTED", "AGE"] in rows


def test_conditions_of_two_writers_are_merged(served: Region, namespace: str) -> None:
    """They are keyed by type, so server-side apply keeps those of the other."""
    apply(served, namespace, rollout())
    for writer, name in (("one", "Ready"), ("two", "Stalled")):
        condition = {"type": name, "status": "True", "reason": "Said", "lastTransitionTime": "2024-01-01T00:00:00Z"}
        manifest = {
            **{key: rollout()[key] for key in ("apiVersion", "kind", "metadata")},
            "status": {"conditions": [condition]},
        }
        options = ("--server-side", f"--field-manager={writer}", "--subresource=status")
        apply(served, namespace, manifest, *options)

    status = fetched(served, namespace, "omr", "front-end")["status"]

    assert [each["type"] for each in status["conditions"]] == ["Ready", "Stalled"]
